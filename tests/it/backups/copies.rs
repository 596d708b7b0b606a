//! Second copies: what receipts say after a backup on another disk was tried out.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{back_up, generations, hex_of, noise, require_well, verify};
use crate::stand::{Person, Stand, wait_until};
use crate::sync::{Native, json_of};

/// A folder on another disk than the one of the data: in memory.
pub(super) fn another_disk() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a folder in memory")
}

/// What the server says of a photo, once nothing waits to be read back.
pub(super) fn told(device: &Native, bytes: &[u8]) -> Value {
    let mut told = Value::Null;
    wait_until("everything was read back", || {
        let answer = device.post_json("/library/receipts", &json!({"digests": [hex_of(bytes)]}));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        told = json_of(&answer);
        told["queued"] == 0
    });
    told["receipts"][0].clone()
}

fn state(device: &Native, bytes: &[u8]) -> String {
    told(device, bytes)["state"].as_str().expect("a state").to_owned()
}

fn spoil(file: &Path) {
    let mut bytes = fs::read(file).expect("a copy");
    let modified = fs::metadata(file).and_then(|file| file.modified()).expect("a time");
    bytes[100] ^= 4;
    fs::write(file, bytes).expect("written");
    let file = fs::File::options().write(true).open(file).expect("a file");
    file.set_modified(modified).expect("a time");
}

fn place_of(stand: &Stand, person: &Person, name: &str) -> std::path::PathBuf {
    person.folder.strip_prefix(stand.data()).expect("in the data").join(name)
}

#[test]
fn a_file_has_a_second_copy_when_a_backup_on_another_disk_was_tried_out_and_not_before() {
    let stand = Stand::new(&[]);
    let disk = another_disk();
    let target = disk.path().join("backups");
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let (a, b) = (noise(1, 50_000), noise(2, 50_000));
    alice.keep("a.jpg", &a);
    assert_eq!(state(&phone, &a), "verified");
    require_well(&back_up(&stand, &target, &[]));
    assert_eq!(state(&phone, &a), "verified", "nobody has looked at the backup yet");
    alice.keep("b.jpg", &b);
    let outcome = verify(&stand, &target);
    require_well(&outcome);
    assert!(!outcome.stdout.contains("second copy"), "{}", outcome.stdout);
    let answer = told(&phone, &a);
    assert_eq!(answer["state"], "second_copy");
    assert!(answer["receipt"]["signature"].is_string(), "{answer}");
    assert!(answer["second_copy_at_ms"].as_i64().expect("a time") > 1_700_000_000_000);
    assert_eq!(state(&phone, &b), "verified", "it came after the backup");

    // A later trial in which one is damaged takes its note back, and leaves the other's.
    require_well(&back_up(&stand, &target, &["--verify"]));
    assert_eq!(state(&phone, &b), "second_copy");
    spoil(&generations(&target)[1].join(place_of(&stand, &alice, "b.jpg")));
    assert_eq!(verify(&stand, &target).code, 3);
    assert_eq!(state(&phone, &b), "verified");
    assert_eq!(state(&phone, &a), "second_copy");
    // The last word stays when the backups are gone: it says when it was true.
    fs::remove_dir_all(&target).expect("removed");
    assert_eq!(state(&phone, &a), "second_copy");
}

#[test]
fn a_lost_file_has_no_second_copy_until_it_is_healed_and_read_back_and_a_backup_on_its_own_disk_is_none()
 {
    let stand = Stand::new(&[]);
    let disk = another_disk();
    let target = disk.path().join("backups");
    let near = tempfile::tempdir().expect("a folder");
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let a = noise(1, 50_000);
    alice.keep("a.jpg", &a);
    let close_by = back_up(&stand, &near.path().join("backups"), &["--verify"]);
    require_well(&close_by);
    assert!(
        close_by.stdout.contains("nothing there counts as a second copy"),
        "{}",
        close_by.stdout
    );
    assert_eq!(state(&phone, &a), "verified");
    require_well(&back_up(&stand, &target, &["--verify"]));
    assert_eq!(state(&phone, &a), "second_copy");

    fs::remove_file(alice.folder.join("a.jpg")).expect("removed");
    assert_ne!(alice.download("a.jpg").status(), 200);
    let lost = told(&phone, &a);
    assert_eq!(lost, json!({"digest": hex_of(&a), "state": "known"}));
    assert_eq!(phone.put("a.jpg", &[], &a).status(), 201);
    assert_eq!(state(&phone, &a), "second_copy", "healed with the same bytes, and read back");
    alice.require_library(&[("a.jpg", &a)]);
}
