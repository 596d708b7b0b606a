//! What `verify` and `status` say of second copies, against the real server.

use std::fs;

use crate::real::{binary, last_event, login, run, server, start};

#[test]
fn verify_and_status_say_how_many_files_were_found_right_in_a_backup_on_another_disk() {
    let disk = tempfile::tempdir().unwrap();
    let another = tempfile::tempdir_in("/dev/shm").unwrap();
    let data = disk.path().join("data");
    let running = start(&binary(), &data);
    let (profile, photos) = (disk.path().join("profile"), disk.path().join("photos"));
    fs::create_dir(&photos).unwrap();
    for name in ["a.jpg", "b.jpg"] {
        fs::write(photos.join(name), name).unwrap();
    }
    login(&running, &profile);
    let backup = run(&profile, &["backup", photos.to_str().unwrap()]);
    assert_eq!(backup.status.code(), Some(0), "{backup:?}");
    let before = last_event(&run(&profile, &["verify", "--wait", "--json"]));
    assert_eq!((&before["verified"], &before["second_copy"]), (&2.into(), &0.into()), "{before}");

    let target = another.path().join("backups");
    let made = server(&binary(), &data).args(["backup", "--verify"]).arg(&target).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let after = last_event(&run(&profile, &["verify", "--json"]));
    assert_eq!((&after["verified"], &after["second_copy"]), (&2.into(), &2.into()), "{after}");
    assert!(after["second_copy_since_ms"].as_i64().unwrap() > 1_700_000_000_000, "{after}");
    let said = run(&profile, &["verify"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("2 with a second copy"), "{said}");
    let status = run(&profile, &["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("Second copies 2, found there just now"), "{status}");
}
