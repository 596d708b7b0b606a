//! Damage in a backup, and folders that are not this server's.

use std::fs;

use super::{back_up, generations, noise, require_well, restore, tree, verify};
use crate::stand::Stand;

#[test]
fn what_a_trial_found_damaged_in_a_backup_is_whole_in_the_next_one() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    let names = ["copy.jpg", "live.jpg", "well.jpg"];
    for (seed, name) in names.into_iter().enumerate() {
        alice.keep(name, &noise(seed as u64 + 1, 40_000));
    }
    require_well(&back_up(&stand, &target, &[]));
    let place = alice.folder.strip_prefix(stand.data()).expect("in the data").to_owned();
    let spoil = |file: &std::path::Path| {
        let modified = fs::metadata(file).and_then(|file| file.modified()).expect("a time");
        let mut bytes = fs::read(file).expect("a file");
        bytes[20_000] ^= 1;
        fs::write(file, bytes).expect("written");
        let file = fs::File::options().write(true).open(file).expect("a file");
        file.set_modified(modified).expect("a time");
    };
    let first = generations(&target).remove(0).join(&place);
    spoil(&first.join("copy.jpg"));
    let found = verify(&stand, &target);
    assert_eq!(found.code, 3, "{}", found.stdout);
    // Meanwhile the server's own disk has lost another one, and nobody has noticed.
    spoil(&alice.folder.join("live.jpg"));
    require_well(&back_up(&stand, &target, &[]));
    require_well(&verify(&stand, &target));
    let second = generations(&target).remove(1).join(&place);
    for (seed, name) in names.into_iter().enumerate() {
        let bytes = fs::read(second.join(name)).expect("a copy");
        assert!(bytes == noise(seed as u64 + 1, 40_000), "{name}");
    }
    assert!(
        fs::read(first.join("copy.jpg")).expect("a copy") != noise(1, 40_000),
        "left as it was"
    );
    assert!(!target.join(".compare").exists(), "this was done once");
}

#[test]
fn the_backups_of_two_servers_never_share_a_folder() {
    let (one, other) = (Stand::new(&[]), Stand::new(&[]));
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    one.person().keep("a.jpg", &noise(1, 5_000));
    require_well(&back_up(&one, &target, &[]));
    let before = tree(&target);
    for refused in [back_up(&other, &target, &["--keep", "1"]), verify(&other, &target)] {
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        assert!(refused.stderr.contains("of another server"), "{}", refused.stderr);
    }
    assert_eq!(tree(&target), before);
    require_well(&verify(&one, &target));
    let data = folder.path().join("restored");
    require_well(&restore(&target, &data));
}
