//! What one bad file must not cost: not the rest of a backup, nor what only an older one has.

use std::fs;
use std::process::Command;

use photosync_tests::server::ServerProcess;

use super::{back_up, generations, hex_of, noise, require_well, restore, verify};
use crate::crash::torture::binaries;
use crate::stand::Stand;

#[test]
fn what_the_server_lost_comes_from_the_newest_backup_that_has_it_so_that_older_ones_may_go() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    alice.keep("changed.jpg", &noise(1, 20_000));
    alice.keep("well.jpg", &noise(2, 20_000));
    let sealed = noise(3, 9_000);
    assert_eq!(alice.put_chunk(&hex_of(&sealed), &sealed).status(), 200);
    assert_eq!(alice.put_manifest("one", "sealed").status(), 200);
    require_well(&back_up(&stand, &target, &[]));

    // Somebody writes into a photo by way of a network drive, and a repair of the file system takes the small files.
    fs::write(alice.folder.join("changed.jpg"), noise(9, 20_000)).expect("written");
    assert_eq!(stand.command(&["scrub"], "").code, 3, "the server knows of it");
    let account = alice.folder.file_name().expect("the account").to_owned();
    let relay = stand.data().join("relay").join(&account);
    let manifest = fs::read_dir(relay.join("manifests")).expect("manifests").next();
    fs::remove_file(manifest.expect("one").expect("an entry").path()).expect("removed");
    fs::remove_file(alice.folder.join(".photosync.json")).expect("removed");
    fs::remove_file(stand.data().join("secrets/jwt")).expect("removed");
    let said = back_up(&stand, &target, &["--keep", "1"]);
    assert_eq!(said.code, 3, "{}{}", said.stdout, said.stderr);
    for name in ["changed.jpg", "sealed manifest one", ".photosync.json"] {
        let told = format!("{name}, kept from an older backup");
        assert!(said.stdout.contains(&told), "{name}: {}", said.stdout);
    }
    let left = generations(&target);
    assert_eq!(left.len(), 1, "the new one has everything that the older one had");
    // The copy has the right bytes: a trial has nothing to say against it, and a restored server shows the photo.
    require_well(&verify(&stand, &target));
    let data = folder.path().join("restored");
    require_well(&restore(&target, &data));
    let server = ServerProcess::start(&data, &[]).expect("a ready server");
    let again = crate::stand::Person { address: server.address(), ..alice.clone() };
    assert_eq!(again.download("changed.jpg").body, noise(1, 20_000));
    assert_eq!(server.stop().expect("an end"), 0);
    let uploads = data.join("uploads").join(&account);
    assert!(fs::read(uploads.join("changed.jpg")).expect("a photo") == noise(1, 20_000));
    assert!(uploads.join(".photosync.json").exists() && data.join("secrets/jwt").exists());
    assert_eq!(
        fs::read_dir(data.join("relay").join(&account).join("manifests")).unwrap().count(),
        1
    );
}

#[test]
fn a_photo_that_was_set_aside_counts_again_once_its_bytes_are_right() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 20_000));
    let file = alice.folder.join("a.jpg");
    fs::write(&file, noise(9, 20_000)).expect("written");
    assert_eq!(stand.command(&["scrub"], "").code, 3);
    assert_eq!(alice.names(), Vec::<String>::new());
    assert_eq!(stand.command(&["scrub"], "").code, 0, "nothing more is lost");
    assert_eq!(alice.names(), Vec::<String>::new(), "its bytes are still wrong");
    fs::write(&file, noise(1, 20_000)).expect("written");
    assert_eq!(stand.command(&["scrub"], "").code, 0);
    assert_eq!(alice.names(), ["a.jpg"]);
    require_well(&stand.command(&["check", "--read"], ""));
    stand.require_agreement();
}

#[test]
fn a_file_that_the_disk_of_the_backups_does_not_give_keeps_nobody_from_all_others() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    for (seed, name) in ["bad.jpg", "well.jpg"].into_iter().enumerate() {
        alice.keep(name, &noise(seed as u64, 20_000));
    }
    require_well(&back_up(&stand, &target, &[]));
    let made = generations(&target).remove(0);
    let place = alice.folder.strip_prefix(stand.data()).expect("in the data").to_owned();
    // Nobody can read a link that leads to itself, not even root.
    let bad = made.join(&place).join("bad.jpg");
    fs::remove_file(&bad).expect("removed");
    std::os::unix::fs::symlink("bad.jpg", &bad).expect("a link");
    fs::write(made.join("photosync-backup.json"), b"\0\0\0").expect("written");
    let data = folder.path().join("restored");
    let said = restore(&target, &data);
    assert_eq!(said.code, 3, "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.contains("unreadable") && said.stdout.contains("bad.jpg"),
        "{}",
        said.stdout
    );
    assert!(fs::read(data.join(&place).join("well.jpg")).expect("a photo") == noise(1, 20_000));
    assert!(!data.join(&place).join("bad.jpg").exists(), "half a photo looks like one");
    assert_eq!(verify(&stand, &target).code, 3);
    assert!(!target.join(".trial").exists());

    // What a trial left that was cut off goes with the next backup, and that one is whole.
    fs::create_dir(target.join(".trial")).expect("a folder");
    require_well(&back_up(&stand, &target, &[]));
    assert!(!target.join(".trial").exists());
    require_well(&verify(&stand, &target));
}

#[test]
fn a_backup_whose_disk_failed_is_not_gone_on_with() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    stand.person().keep("a.jpg", &noise(1, 20_000));
    stand.stop();
    let faulty = binaries::fault_server().expect("the server with fault points");
    let done = Command::new(faulty)
        .arg("backup")
        .arg(&target)
        .arg("--data")
        .arg(stand.data())
        .env("PHOTOSYNC_FAULT", "sync_backup:1:eio")
        .output()
        .expect("a command that ends");
    assert!(!done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(generations(&target).len(), 0);
    assert!(!target.join(".partial").exists(), "what memory holds of it says nothing of the disk");
    require_well(&back_up(&stand, &target, &[]));
    require_well(&verify(&stand, &target));
}
