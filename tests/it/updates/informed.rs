//! The look that a running server takes: it informs, and changes nothing.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use photosync_tests::http::{Client, Request};

use super::{Drill, release_signer, stand_in, target, version, write_program};
use crate::service::package_of;
use crate::stand::SOON;

#[test]
fn a_running_server_tells_of_a_newer_version_in_its_log_and_its_metrics_and_changes_nothing() {
    let drill = Drill::new(&[]);
    drill.release("0.2.0", &stand_in("0.2.0", "exit 1"), &release_signer());
    drill.publish(2);
    let before = drill.programs();
    let settings = drill.settings();
    let mut all: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend([("PHOTOSYNC_UPDATE_CHECK", "on"), ("PHOTOSYNC_FAULT_FIRST_CHECK_MS", "50")]);
    let program = drill.bin().join("photosync-server");
    let data = drill.folder.join("data");
    let server =
        photosync_tests::server::ServerProcess::start_program(&program, &data, &all, 3 * SOON);
    let mut server = server.expect("a ready server");
    assert!(server.wait_for_log("version 0.2.0 is there", SOON), "{}", server.log());
    let metrics = server.metrics_address().expect("metrics");
    let end = Instant::now() + SOON;
    loop {
        let answer = Client::new(metrics).send(Request::new("GET", "/metrics")).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if text.contains("photosync_update_available 1") {
            break;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.ready().version, "0.1.0");
    assert_eq!(server.stop().expect("an end"), 0);
    assert!(drill.programs() == before, "it only informs");
    let looked = drill.run(&["check-update"]);
    assert!(looked.stdout.contains("version 0.2.0 is there; this is 0.1.0"), "{}", looked.stdout);
    assert!(drill.programs() == before, "so does the command");
}

#[test]
fn one_folder_of_scripts_package_serves_the_installer_and_the_updater() {
    let drill = Drill::of(&version("0.0.9"), &[]);
    let bin = drill.folder.join("built");
    fs::create_dir(&bin).expect("a folder");
    let number = env!("CARGO_PKG_VERSION");
    write_program(&bin.join("photosync-server"), &stand_in(number, "echo '# settings'"));
    write_program(&bin.join("photosync"), b"#!/bin/sh\necho the client\n");
    let out = drill.folder.join("packaged");
    let public = package_of(drill.folder.as_path(), &bin, &out);
    let from = out.to_string_lossy().into_owned();
    let settings =
        [("PHOTOSYNC_UPDATE_URL", from.as_str()), ("PHOTOSYNC_FAULT_RELEASE_KEY", public.as_str())];
    let looked = drill.run_with("photosync-server", &["check-update"], &settings);
    assert!(
        looked.stdout.contains(&format!("version {number} is there")),
        "{}{}",
        looked.stdout,
        looked.stderr
    );
    let updated = drill.run_with("photosync-server", &["update", "--to", number], &settings);
    assert_eq!(updated.code, 0, "{}{}", updated.stdout, updated.stderr);
    assert_eq!(drill.programs()["photosync"], b"#!/bin/sh\necho the client\n");
    // What was appended to the archive hinders no tar.
    let archive = out.join(format!("photosync-{number}-{}.tar.gz", target()));
    let listed = Command::new("tar").arg("-tzf").arg(archive).output().expect("tar");
    assert!(listed.status.success() && listed.stderr.is_empty(), "{listed:?}");
}
