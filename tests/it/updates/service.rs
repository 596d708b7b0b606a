//! An update of a service, under a real systemd: root installs, the sandboxed service cannot, and the unit takes back what does
//! not become healthy.

use std::fs;

use photosync_tests::release::Signer;

use super::{Drill, version, write_program};
use crate::service::{boot_and_run, package_of};

#[test]
fn under_systemd_a_version_that_dies_goes_by_itself_and_a_good_one_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bin = tempfile::tempdir().expect("a temporary folder");
    write_program(&bin.path().join("photosync-server"), &version("0.1.0"));
    write_program(&bin.path().join("photosync"), b"#!/bin/sh\necho the client\n");
    let public = package_of(bin.path(), bin.path(), &folder.path().join("first"));
    fs::write(folder.path().join("public"), public).expect("a file");
    let signer = Signer::read(&bin.path().join("release.pem")).expect("a key");
    for (name, words) in [("bad", "0.2.0 migrates update.boot:1:kill"), ("good", "0.3.0 migrates")]
    {
        let number = words.split(' ').next().expect("a version");
        let releases = folder.path().join(name);
        fs::create_dir(&releases).expect("a folder");
        Drill::release_into(&releases, number, &version(words), &signer);
        signer.write_manifest(&releases, 2_000_000_000, "0.1.0").expect("a manifest");
    }
    boot_and_run(folder.path(), "updated.sh");
}
