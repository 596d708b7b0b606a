//! Whose data it is: commands of root beside a service, and keys that a service manager keeps.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use photosync_tests::http::Request;

use super::{run, said};
use crate::stand::Stand;

/// An account that no machine has.
const OTHER: u32 = 61_234;

/// Every name below a folder, with its owner, sorted.
fn owners(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder").flatten() {
            let file = entry.metadata().expect("a file");
            found.push((entry.path().to_string_lossy().into_owned(), file.uid()));
            if file.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn root_asks_the_server_of_another_account_while_it_runs_and_leaves_nothing_while_it_does_not() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: this needs root");
        return;
    }
    let stand = Stand::new(&[]);
    let given = run("chown", &["-R", &format!("{OTHER}:{OTHER}"), &stand.data().to_string_lossy()]);
    assert!(given.status.success(), "{}", said(&given));
    let asked = stand.command(&["user", "invite", "ann@example.org"], "");
    assert_eq!(asked.code, 0, "{}{}", asked.stdout, asked.stderr);

    // As a crash would leave it, and without the locks.
    stand.stop();
    for folder in ["", "uploads", "relay"] {
        fs::remove_file(stand.data().join(folder).join(".lock")).expect("a lock");
    }
    let before = owners(stand.data());
    for words in [vec!["user", "list"], vec!["check"], vec!["serve"]] {
        let refused = stand.command(&words, "");
        assert_eq!(refused.code, 64, "{words:?}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("belongs to another account"), "{}", refused.stderr);
        assert_eq!(owners(stand.data()), before, "{words:?}");
    }
    // A folder that was made for the service and never used.
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::chown(folder.path(), Some(OTHER), Some(OTHER)).expect("an owner");
    let data = folder.path().to_string_lossy().into_owned();
    let words = ["user", "invite", "ann@example.org", "--data", &data];
    let refused = photosync_tests::server::run_command(&words, b"").expect("an end");
    assert_eq!(refused.code, 64, "{}{}", refused.stdout, refused.stderr);
    assert_eq!(owners(folder.path()), []);
}

#[test]
fn commands_make_no_identity_key_and_a_server_without_a_credential_makes_and_keeps_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let key = data.join("secrets/identity");
    let named = data.to_string_lossy().into_owned();
    for words in [vec!["user", "invite", "ann@example.org"], vec!["user", "list"], vec!["check"]] {
        let words: Vec<&str> = words.into_iter().chain(["--data", named.as_str()]).collect();
        let outcome = photosync_tests::server::run_command(&words, b"").expect("an end");
        assert_eq!(outcome.code, 0, "{words:?}: {}{}", outcome.stdout, outcome.stderr);
        assert!(!key.exists(), "{words:?} made a key");
    }
    let stand = Stand::start_in(folder, data, &[]);
    let fingerprint = |stand: &Stand| {
        let answer = stand.send(Request::new("GET", "/api/v2/server")).json().expect("JSON");
        answer["fingerprint"].as_str().expect("a fingerprint").to_owned()
    };
    let (before, kept) = (fingerprint(&stand), fs::read(&key).expect("a key"));
    stand.stop();
    assert_eq!(stand.command(&["user", "list"], "").code, 0);
    stand.start();
    assert_eq!((fingerprint(&stand), fs::read(&key).expect("a key")), (before, kept));
}
