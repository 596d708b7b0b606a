//! Backups of the server itself: made while uploads run, restored, tried out.

mod copies;
mod damage;
mod harm;
mod restores;
mod schedule;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use photosync_tests::server::{CommandOutcome, run_command};

use crate::stand::Stand;

/// Backups of the run amid uploads; a number in this variable asks for another count, as for the long run.
const VARIABLE: &str = "PHOTOSYNC_TEST_BACKUPS";
const BACKUPS: usize = 8;
/// Backups of one server. Uploads never rest meanwhile, and every backup is restored whole: more of them would take hours
/// and show nothing new.
const BACKUPS_OF_ONE: usize = 10;

pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn back_up(stand: &Stand, target: &Path, more: &[&str]) -> CommandOutcome {
    let words = [&["backup", target.to_str().expect("a path")], more].concat();
    stand.command(&words, "")
}

pub(crate) fn verify(stand: &Stand, target: &Path) -> CommandOutcome {
    stand.command(&["verify-backup", target.to_str().expect("a path")], "")
}

pub(crate) fn restore(target: &Path, data: &Path) -> CommandOutcome {
    let paths = [target, data].map(|path| path.to_str().expect("a path").to_owned());
    let words = ["restore-backup", &paths[0], "--data", &paths[1]];
    run_command(&words, b"").expect("a subcommand that ends")
}

pub(crate) fn require_well(outcome: &CommandOutcome) {
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
}

pub(crate) fn generations(target: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(target).expect("the backups").map(|entry| entry.expect("an entry"));
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Every file below a folder, by its path there.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let place = path.strip_prefix(folder).expect("below it").to_owned();
                    found.insert(place, path);
                }
            }
        }
    }
    found
}

#[test]
fn backups_made_amid_uploads_restore_to_a_consistent_state_with_all_that_was_acknowledged_before() {
    let count = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(BACKUPS);
    let (mut left, mut kept) = (count, 0);
    while left > 0 {
        let these = left.min(BACKUPS_OF_ONE);
        kept += back_up_amid_uploads(these);
        left -= these;
    }
    println!("{count} backups amid {kept} uploads, each restored whole");
}

/// Makes so many backups of one server and restores each; how many files were uploaded meanwhile.
fn back_up_amid_uploads(count: usize) -> usize {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let acknowledged: Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>> = Arc::default();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3_u64 {
            let (stand, acknowledged, stop) = (&stand, acknowledged.clone(), &stop);
            scope.spawn(move || {
                let person = stand.person();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let seed = writer << 32 | number;
                    let name = format!("IMG_{number} 🏝️.jpg");
                    let bytes = noise(seed, 500 + usize::try_from(seed % 60_000).expect("small"));
                    person.keep(&name, &bytes);
                    let place = person.folder.strip_prefix(stand.uploads()).expect("an account");
                    acknowledged.lock().expect("the list").insert(place.join(&name), bytes);
                    if number % 7 == 0 {
                        let id = hex_of(&noise(seed, 300));
                        assert_eq!(person.put_chunk(&id, &noise(seed, 300)).status(), 200);
                    }
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..count {
                let before = acknowledged.lock().expect("the list").clone();
                require_well(&back_up(&stand, &target, &[]));
                let data = folder.path().join(format!("restored-{round}"));
                require_well(&restore(&target, &data));
                for (place, bytes) in &before {
                    let found = fs::read(data.join("uploads").join(place));
                    assert!(found.is_ok_and(|found| found == *bytes), "{round}: {place:?}");
                }
                fs::remove_dir_all(&data).expect("removed");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    let kept = acknowledged.lock().expect("the list").len();
    assert!(kept > count, "{kept} uploads ran beside");
    assert_eq!(generations(&target).len(), count);
    kept
}

pub(crate) fn hex_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[test]
fn what_has_not_changed_is_shared_between_backups_and_never_with_a_live_file() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    for number in 0..5 {
        alice.keep(&format!("{number}.jpg"), &noise(number, 400_000));
    }
    require_well(&back_up(&stand, &target, &[]));
    alice.keep("later.jpg", &noise(77, 3_000_000));
    let second = back_up(&stand, &target, &[]);
    require_well(&second);
    assert!(second.stdout.contains("5 MB, of which 3 MB are new"), "{}", second.stdout);
    let place = alice.folder.strip_prefix(stand.data()).expect("in the data").join("3.jpg");
    let inode = |root: &Path| fs::metadata(root.join(&place)).expect("a file").ino();
    let made = generations(&target);
    assert_eq!(made.len(), 2);
    assert_eq!(inode(&made[0]), inode(&made[1]), "one copy for both");
    assert_ne!(inode(stand.data()), inode(&made[0]), "never the live file");

    let third = back_up(&stand, &target, &["--keep", "1"]);
    require_well(&third);
    assert!(third.stdout.contains("2 older backups were removed"), "{}", third.stdout);
    let left = generations(&target);
    assert_eq!(left.len(), 1);
    require_well(&verify(&stand, &target));
    let data = folder.path().join("restored");
    require_well(&restore(&left[0], &data));
    assert_eq!(fs::read(data.join(&place)).expect("a photo"), noise(3, 400_000));
    // The same server: clients that know its key and hold its tokens go on.
    for name in ["identity", "jwt"] {
        let key = |root: &Path| fs::read(root.join("secrets").join(name)).expect("a key");
        assert_eq!(key(&data), key(stand.data()), "{name}");
    }
}

#[test]
fn damage_in_a_backup_is_found_by_trying_it_out_and_a_backup_that_is_gone_on_with_is_whole() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 50_000));
    alice.keep("b.jpg", &noise(2, 50_000));
    assert_eq!(verify(&stand, folder.path()).code, 1, "there is no backup yet");
    require_well(&back_up(&stand, &target, &[]));
    require_well(&verify(&stand, &target));
    let made = generations(&target).remove(0);
    let before = tree(&made);

    let place = alice.folder.strip_prefix(stand.data()).expect("in the data").join("a.jpg");
    let flip = |file: &Path| {
        let modified = fs::metadata(file).and_then(|file| file.modified()).expect("a time");
        let mut bytes = fs::read(file).expect("a copy");
        bytes[25_000] ^= 4;
        fs::write(file, bytes).expect("written");
        let file = fs::File::options().write(true).open(file).expect("a file");
        file.set_modified(modified).expect("a time");
    };
    flip(&made.join(&place));
    let found = verify(&stand, &target);
    assert_eq!(found.code, 3, "{}", found.stdout);
    assert!(found.stdout.contains("a.jpg have changed"), "{}", found.stdout);
    assert_eq!(tree(&made), before, "trying it out leaves it as it was");
    assert!(!target.join(".trial").exists());

    // As if it had been broken off, and its last bytes had never reached the disk.
    fs::remove_file(made.join("photosync-backup.json")).expect("the marker");
    fs::rename(&made, target.join(".partial")).expect("renamed");
    require_well(&back_up(&stand, &target, &[]));
    require_well(&verify(&stand, &target));
    assert!(!target.join(".partial").exists());
}

#[test]
fn a_backup_goes_into_no_live_data_and_a_restore_into_nothing_that_is_there() {
    let stand = Stand::new(&[]);
    stand.person().keep("a.jpg", &noise(1, 5_000));
    let inside = stand.data().join("uploads/backups");
    let refused = back_up(&stand, &inside, &[]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("lie in each other"), "{}", refused.stderr);
    assert!(!inside.exists(), "nothing is left there");
    stand.require_agreement();

    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    require_well(&back_up(&stand, &target, &[]));
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).expect("a folder");
    fs::write(taken.join("mine.txt"), "mine").expect("a file");
    let refused = restore(&target, &taken);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    assert_eq!(tree(&taken).len(), 1);
}

#[test]
fn what_the_server_has_lost_is_kept_from_the_backup_before_and_older_ones_may_go() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    // The last one has the name of what a backup says of itself.
    let names = ["gone.jpg", "cut.jpg", "well.jpg", "photosync-backup.json"];
    for (seed, name) in names.into_iter().enumerate() {
        alice.keep(name, &noise(seed as u64 + 1, 20_000));
    }
    require_well(&back_up(&stand, &target, &[]));
    fs::remove_file(alice.folder.join("gone.jpg")).expect("removed");
    fs::write(alice.folder.join("cut.jpg"), b"only this is left").expect("written");
    let second = back_up(&stand, &target, &["--keep", "1"]);
    assert_eq!(second.code, 3, "{}", second.stdout);
    for name in ["gone.jpg", "cut.jpg"] {
        let said = format!("{name}, kept from an older backup");
        assert!(second.stdout.contains(&said), "{}", second.stdout);
    }
    assert_eq!(generations(&target).len(), 1, "the new one has all that the older one had");
    require_well(&verify(&stand, &target));
    let data = folder.path().join("restored");
    require_well(&restore(&target, &data));
    let place = alice.folder.strip_prefix(stand.data()).expect("in the data");
    for (seed, name) in names.into_iter().enumerate() {
        let found = fs::read(data.join(place).join(name)).expect("a photo");
        assert!(found == noise(seed as u64 + 1, 20_000), "{name}");
    }
}

#[test]
fn without_its_disk_the_server_makes_no_backup() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 20_000));
    require_well(&back_up(&stand, &target, &[]));
    let away = folder.path().join("away");
    fs::rename(stand.uploads(), &away).expect("renamed");
    fs::create_dir(stand.uploads()).expect("a mount point");
    let refused = back_up(&stand, &target, &["--keep", "1"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("is not there"), "{}", refused.stderr);
    assert_eq!(generations(&target).len(), 1);
    fs::remove_dir(stand.uploads()).expect("removed");
    fs::rename(&away, stand.uploads()).expect("renamed");
    require_well(&verify(&stand, &target));
}

#[test]
fn sealed_chunks_on_a_disk_of_their_own_are_in_the_backup_and_what_is_gone_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, chunks) = (folder.path().join("backups"), folder.path().join("chunks"));
    let chunks_text = chunks.to_str().expect("a path").to_owned();
    let stand = Stand::new(&[("PHOTOSYNC_STORAGE_RELAY_CHUNKS", &chunks_text)]);
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 20_000));
    let sealed = noise(9, 30_000);
    assert_eq!(alice.put_chunk(&hex_of(&sealed), &sealed).status(), 200);
    assert_eq!(alice.put_manifest("one", "sealed").status(), 200);
    // A backup that broke off long ago, with a photo that is gone by now.
    let place = alice.folder.strip_prefix(stand.data()).expect("in the data").to_owned();
    let partial = target.join(".partial");
    fs::create_dir_all(partial.join(&place)).expect("folders");
    fs::write(partial.join(&place).join("erased.jpg"), b"gone for good").expect("written");
    require_well(&back_up(&stand, &target, &[]));
    require_well(&verify(&stand, &target));
    let data = folder.path().join("restored");
    require_well(&restore(&target, &data));
    let files = tree(&data);
    assert!(files.keys().any(|path| path.ends_with(hex_of(&sealed))));
    assert!(!files.keys().any(|path| path.ends_with("erased.jpg")));
}
