//! What a completed flush covers, rule by rule, on logs written by hand.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use photosync_powercut_replay::record::{Kind, MAGIC, Record};
use photosync_powercut_replay::{Cut, Recording};

const ROOT: u64 = 1;
const STAGING: u64 = 2;
const FILE: u64 = 10;

/// Name (with its folder) → bytes, of the regular files.
type Left = BTreeMap<String, Vec<u8>>;

fn name(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn create(ino: u64, dir: u64, text: &str) -> (Record, &'static [u8]) {
    (Record::Create { ino, dir, name: name(text), kind: Kind::File, mode: 0o600 }, b"")
}

fn write(ino: u64, offset: u64, bytes: &'static [u8]) -> (Record, &'static [u8]) {
    (Record::Write { ino, offset }, bytes)
}

fn begin(sync: u64, ino: u64) -> (Record, &'static [u8]) {
    (Record::SyncStart { sync, ino }, b"")
}

fn end(sync: u64) -> (Record, &'static [u8]) {
    (Record::SyncEnd { sync }, b"")
}

fn publish(text: &str) -> (Record, &'static [u8]) {
    let (from_dir, to_dir) = (STAGING, ROOT);
    (Record::Rename { from_dir, from: name(text), to_dir, to: name(text) }, b"")
}

/// What a cut at the end of these records leaves; `staging/` exists from the start.
fn left(records: &[(Record, &'static [u8])], cut: Cut) -> Left {
    let staging = Record::Create {
        ino: STAGING,
        dir: ROOT,
        name: name("staging"),
        kind: Kind::Directory,
        mode: 0o700,
    };
    let start = [(Record::Root { ino: ROOT }, &b""[..]), (staging, b""), (Record::Started, b"")];
    let mut log = MAGIC.to_vec();
    for (record, data) in start.iter().chain(records) {
        log.extend(record.to_head(data.len() as u32));
        log.extend_from_slice(data);
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, root) = (folder.path().join("log"), folder.path().join("root"));
    std::fs::write(&path, log).unwrap();
    Recording::open(&path).unwrap().materialise(records.len(), &cut, &root).unwrap();
    let mut left = Left::new();
    for (prefix, folder) in [("", root.clone()), ("staging/", root.join("staging"))] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
                left.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    left
}

fn files(expected: &[(&str, &[u8])]) -> Left {
    expected.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[test]
fn a_flush_covers_only_what_was_written_before_it_began() {
    let records = [
        create(FILE, ROOT, "a"),
        begin(1, ROOT),
        end(1),
        write(FILE, 0, b"before"),
        begin(2, FILE),
        write(FILE, 6, b" meanwhile"),
        end(2),
    ];
    assert_eq!(left(&records, Cut::Strict), files(&[("a", b"before")]));
}

#[test]
fn a_flush_that_has_not_ended_covers_nothing() {
    let records = [create(FILE, ROOT, "a"), begin(1, ROOT), write(FILE, 0, b"x"), begin(2, FILE)];
    assert_eq!(left(&records, Cut::Strict), files(&[]));
    let named = [&records[..], &[end(1)]].concat();
    assert_eq!(left(&named, Cut::Strict), files(&[("a", b"")]), "a name, but no bytes");
}

#[test]
fn a_forgotten_removal_brings_the_file_back_with_its_flushed_bytes() {
    let records = [
        create(FILE, ROOT, "a"),
        write(FILE, 0, b"kept"),
        begin(1, 0),
        end(1),
        write(FILE, 0, b"lost"),
        (Record::Unlink { dir: ROOT, name: name("a") }, b""),
    ];
    assert_eq!(left(&records, Cut::Strict), files(&[("a", b"kept")]));
    assert_eq!(left(&records, Cut::KeepEverything), files(&[]));
}

#[test]
fn a_rename_is_as_durable_as_the_directory_of_its_new_name_and_never_loses_the_file() {
    let records = [create(FILE, STAGING, "a"), begin(1, 0), end(1), publish("a")];
    assert_eq!(left(&records, Cut::Strict), files(&[("staging/a", b"")]));
    let old = [&records[..], &[begin(2, STAGING), end(2)]].concat();
    assert_eq!(left(&old, Cut::Strict), files(&[("staging/a", b"")]));
    let new = [&records[..], &[begin(2, ROOT), end(2)]].concat();
    assert_eq!(left(&new, Cut::Strict), files(&[("a", b""), ("staging/a", b"")]));
    let both = [&old[..], &[begin(3, ROOT), end(3)]].concat();
    assert_eq!(left(&both, Cut::Strict), files(&[("a", b"")]));
    for seed in 0..200 {
        assert_ne!(left(&records, Cut::Random(seed)), files(&[]), "seed {seed} lost the file");
    }
}

#[test]
fn an_inode_number_used_again_is_another_file() {
    let records = [
        create(FILE, ROOT, "a"),
        write(FILE, 0, b"first"),
        begin(1, 0),
        end(1),
        (Record::Unlink { dir: ROOT, name: name("a") }, b""),
        create(FILE, ROOT, "b"),
        write(FILE, 0, b"second"),
        begin(2, FILE),
        end(2),
    ];
    assert_eq!(left(&records, Cut::Strict), files(&[("a", b"first")]));
    let synced = [&records[..], &[begin(3, ROOT), end(3)]].concat();
    assert_eq!(left(&synced, Cut::Strict), files(&[("b", b"second")]));
}

#[test]
fn random_cuts_tear_writes_at_sectors_and_reach_both_ends() {
    const BYTES: &[u8] = &[7; 64 * 1024];
    let records = [create(FILE, ROOT, "a"), begin(1, 0), end(1), write(FILE, 0, BYTES)];
    let mut sizes = std::collections::BTreeSet::new();
    let mut torn = 0;
    for seed in 0..100 {
        let left = left(&records, Cut::Random(seed));
        let bytes = &left["a"];
        sizes.insert(bytes.len());
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is written whole");
        }
        torn += usize::from(bytes.contains(&0) && bytes.contains(&7));
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [0, BYTES.len()]);
    assert!(torn > 10, "only {torn} of 100 cuts tore the write");
}

#[test]
fn names_of_one_directory_survive_as_an_ordered_prefix() {
    let records: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .enumerate()
        .map(|(index, text)| create(FILE + index as u64, ROOT, text))
        .collect();
    let mut counts = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let names: String = left(&records, Cut::Random(seed)).into_keys().collect();
        assert!("abcd".starts_with(&names), "{names}");
        counts.insert(names.len());
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}
