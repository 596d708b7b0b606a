//! Sweeping: what goes, what stays, and what a sweep that is killed, or overtaken, leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use photosync_tests::server::CommandOutcome;

use super::chains::sorted;
use super::{Owner, object};
use crate::crash::torture::binaries::fault_server;
use crate::stand::{Stand, wait_until};

const WRITER: &str = "0123456789abcdef0123456789abcdef";
/// Everything in the trash is over, and every sealed object that no backup names is old enough.
const AT_ONCE: [&str; 4] = ["--storage-trash-days", "0", "--storage-relay-grace-days", "0"];

fn sweep(stand: &Stand, more: &[&str]) -> CommandOutcome {
    let outcome = stand.command(&[&["sweep"], more].concat(), "");
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    outcome
}

/// How many of a kind a sweep says there are.
fn count(outcome: &CommandOutcome, kind: &str) -> u64 {
    let line = outcome.stdout.lines().find(|line| line.contains(kind));
    let line = line.unwrap_or_else(|| panic!("{kind}: {}", outcome.stdout));
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Every file that is no part of the database.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in super::files_below(folder) {
        if !path.to_string_lossy().contains("photosync.db") {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

fn backdate(file: &Path) {
    let then = SystemTime::now() - Duration::from_hours(48);
    let file = fs::File::options().write(true).open(file).expect("a file");
    file.set_modified(then).expect("a time");
}

#[test]
fn a_dry_run_changes_nothing_and_a_sweep_removes_what_is_over_and_nothing_that_anybody_can_see() {
    let stand = Stand::new(&[]);
    let owner = Owner::of(&stand);
    let alice = &owner.person;
    alice.keep("stays.jpg", b"stays");
    alice.keep("gone.jpg", b"goes for good");
    let objects: Vec<Vec<u8>> = (0..3).map(|seed| object('C', seed, 5000)).collect();
    let (named, unnamed) = objects.split_at(2);
    assert_eq!(owner.phone.put_batch(&objects).status(), 200);
    let segment = object('S', 100, 900);
    assert_eq!(owner.phone.post_segment(WRITER, "1", &sorted(named), &segment).status(), 201);
    assert_eq!(stand.command(&["trash", &alice.email, "gone.jpg"], "").code, 0);
    wait_until("it was moved", || alice.on_disk().len() == 1);

    // Nothing of it is due, and an upload that is just coming is nobody's waste.
    let upload = alice.begin_raw("coming.jpg", 900_000, &vec![7; 600_000]);
    wait_until("bytes have come", || alice.staged() == 1);
    for more in [&["--dry-run"][..], &[]] {
        let none = sweep(&stand, more);
        assert!(none.stdout.contains("0 things with 0 bytes"), "{}", none.stdout);
    }
    assert_eq!(alice.staged(), 1);
    stand.kill();
    drop(upload);

    // A person put a file there, and a folder.
    fs::write(alice.folder.join("mine.jpg"), b"put there by hand").expect("written");
    backdate(&alice.folder.join("mine.jpg"));
    fs::create_dir(alice.folder.join("a folder")).expect("a folder");
    fs::write(alice.folder.join("a folder/inside.jpg"), b"inside").expect("written");
    let before = files(stand.data());
    let dry = sweep(&stand, &[&["--dry-run"][..], &AT_ONCE].concat());
    assert_eq!(files(stand.data()), before, "a dry run changes nothing");
    let found = |outcome: &CommandOutcome| {
        let kinds =
            ["nobody came back", "originals whose", "sealed objects whose", "no backup names"];
        kinds.map(|kind| count(outcome, kind))
    };
    assert_eq!(found(&dry), [1, 1, 0, 1], "{}", dry.stdout);
    assert!(dry.stdout.contains("mine.jpg") && dry.stdout.contains("a folder"), "{}", dry.stdout);

    let done = sweep(&stand, &AT_ONCE);
    assert_eq!(found(&done), [1, 1, 0, 1], "{}", done.stdout);
    assert!(
        done.stdout.contains("1 visible files without an entry were taken in"),
        "{}",
        done.stdout
    );
    let after = files(stand.data());
    let lost: Vec<&PathBuf> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(
        lost.iter().all(|path| {
            let path = path.to_string_lossy();
            path.contains(".staging") || path.contains(".trash")
        }),
        "{lost:?}"
    );
    assert_eq!(alice.staged(), 0);
    // What no backup names is in the trash now; its time is over at the next sweep.
    assert_eq!(found(&sweep(&stand, &AT_ONCE)), [0, 0, 1, 0]);

    stand.start();
    let phone = owner.phone.at(stand.address());
    let held = |objects: &[Vec<u8>]| {
        let ids: Vec<u8> = objects.iter().flat_map(|object| super::raw_id(object)).collect();
        phone.send_bytes("POST", "/relay/have", &ids).body
    };
    assert_eq!((held(named), held(unnamed)), (vec![0, 0], vec![1]));
    let inside = alice.folder.join("a folder/inside.jpg");
    assert_eq!(fs::read(inside).expect("a file"), b"inside");
    fs::remove_dir_all(alice.folder.join("a folder")).expect("removed");
    alice
        .at(&stand)
        .require_library(&[("mine.jpg", b"put there by hand"), ("stays.jpg", b"stays")]);
}

#[test]
fn a_sweep_that_is_killed_leaves_nothing_lost_and_nothing_for_ever() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let names = ["a.jpg", "b.jpg", "c.jpg"];
    for name in names {
        alice.keep(name, name.as_bytes());
    }
    alice.keep("stays.jpg", b"stays");
    let words = [&["trash", alice.email.as_str()][..], &names].concat();
    assert_eq!(stand.command(&words, "").code, 0);
    wait_until("they were moved", || alice.on_disk().len() == 1);
    stand.stop();
    let in_trash = || fs::read_dir(alice.folder.join(".trash")).expect("the trash").count();
    assert_eq!(in_trash(), 3);
    let mut command = Command::new(fault_server().expect("a server with fault points"));
    command.arg("sweep").args(AT_ONCE).arg("--data").arg(stand.data());
    command.env("PHOTOSYNC_FAULT", "expire:2:kill");
    let killed = command.output().expect("a sweep");
    assert!(!killed.status.success(), "{killed:?}");
    assert_eq!(in_trash(), 2, "the row of one is gone, its file is not: {killed:?}");

    // A server with the usual trash period keeps what is there.
    stand.start();
    alice.at(&stand).require_library(&[("stays.jpg", b"stays")]);
    stand.require_agreement();
    assert_eq!(count(&sweep(&stand, &[]), "a crash left"), 0, "not for long enough yet");
    assert_eq!(stand.command(&["trash-restore", &alice.email], "").code, 0);
    let back = alice.at(&stand).names();
    assert_eq!(back.len(), 2, "{back:?}");
    stand.stop();
    // A time stamp has whole seconds here.
    wait_until("a second has passed", || {
        count(&sweep(&stand, &[&["--dry-run"][..], &AT_ONCE].concat()), "a crash left") == 1
    });
    assert_eq!(count(&sweep(&stand, &AT_ONCE), "a crash left"), 1);
    assert_eq!(in_trash(), 0);
    stand.start();
    assert_eq!(alice.at(&stand).names(), back);
}

#[test]
fn an_object_that_a_segment_names_while_sweeps_run_is_never_collected() {
    let stand = Stand::new(&[
        ("PHOTOSYNC_STORAGE_RELAY_GRACE_DAYS", "0"),
        ("PHOTOSYNC_STORAGE_TRASH_DAYS", "0"),
    ]);
    let owner = Owner::of(&stand);
    let stop = AtomicBool::new(false);
    let named: Vec<Vec<u8>> = (0..60).map(|seed| object('C', seed, 700)).collect();
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            let mut collected = 0;
            while !stop.load(Ordering::Relaxed) {
                collected += count(&sweep(&stand, &[]), "no backup names");
            }
            collected
        });
        for (number, few) in named.chunks(4).enumerate() {
            let segment = object('S', 1000 + number as u64, 900);
            let sequence = (number + 1).to_string();
            // What was collected before its segment came is sent again, as a client does.
            wait_until("the segment is kept", || {
                assert_eq!(owner.phone.put_batch(few).status(), 200);
                owner.phone.post_segment(WRITER, &sequence, &sorted(few), &segment).status() == 201
            });
        }
        stop.store(true, Ordering::Relaxed);
        sweeping.join().expect("sweeps");
    });
    sweep(&stand, &[]);
    assert_eq!(owner.phone.have(&named), vec![0; named.len()]);
    for object in &named {
        let id = photosync_tests::relay::chunk_id(object);
        assert_eq!(owner.phone.get_object(&id).body, *object, "{id}");
    }
}
