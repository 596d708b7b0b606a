//! The whole of it under a real systemd: `tests/service/system` boots one over this machine's files, and
//! `tests/service/booted.sh` installs, uses, upgrades and removes a release there.

use std::fs;
use std::path::Path;

use super::install::{Key, package};
use super::{project, run, said};

/// Exit codes of `tests/service/system` where no machine could be made, or its systemd did not come up: nothing of ours
/// has run by then, so that a machine without such rights fails nothing.
const NOT_BEGUN: [i32; 2] = [70, 77];

/// Boots a systemd that sees `folder` as `/in`, and runs `tests/service/SCRIPT` there, which must end well.
pub(crate) fn boot_and_run(folder: &Path, script: &str) {
    for name in [script, "steps.sh"] {
        let from = project().join("tests/service").join(name);
        fs::copy(from, folder.join(name)).expect("a copy");
    }
    let folder = folder.to_string_lossy();
    let outcome =
        run(project().join("tests/service/system"), &[&folder, "sh", &format!("/in/{script}")]);
    let text = said(&outcome);
    println!("{text}");
    if outcome.status.code().is_some_and(|code| NOT_BEGUN.contains(&code)) {
        println!("SKIPPED: no systemd can be started here");
        return;
    }
    assert!(outcome.status.success(), "{text}");
    assert!(outcome.stdout.ends_with(b"all is well\n"), "{text}");
}

/// The programs of the build, without what only a debugger reads.
pub(super) fn strip_programs(to: &Path) {
    let server = photosync_tests::server::find_binary().expect("the server");
    let client = server.with_file_name("photosync");
    fs::create_dir_all(to).expect("a folder");
    for program in [server, client] {
        let name = program.file_name().expect("a name");
        let (from, to) = (program.to_string_lossy(), to.join(name));
        let outcome = run("strip", &["-o", &to.to_string_lossy(), &from]);
        assert!(outcome.status.success(), "{}", said(&outcome));
    }
}

#[test]
fn under_systemd_a_release_is_installed_used_upgraded_and_removed_and_every_photo_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = tempfile::tempdir().expect("a temporary folder");
    let key = Key::make(folder.path());
    strip_programs(programs.path());
    package(&key, programs.path(), &folder.path().join("first"));
    for program in ["photosync-server", "photosync"] {
        // The same program with a byte more behind its end: enough to be another version.
        let path = programs.path().join(program);
        let mut bytes = fs::read(&path).expect("a program");
        bytes.push(0);
        fs::write(&path, bytes).expect("another program");
    }
    package(&key, programs.path(), &folder.path().join("next"));
    boot_and_run(folder.path(), "booted.sh");
}
