//! The recorder sees everything, and says so when it cannot.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use photosync_powercut_replay::{Cut, Recording, ReplayError, launch};

use crate::Run;

const VICTIM: &str = env!("CARGO_BIN_EXE_powercut-victim");

/// Path below the root → mode, number of names, and bytes or target.
type Tree = BTreeMap<PathBuf, (u32, u64, Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    let (mut tree, mut waiting) = (Tree::new(), vec![root.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let bytes = if metadata.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                std::fs::read(&path).unwrap()
            };
            let names = if metadata.is_dir() { 1 } else { metadata.nlink() };
            let name = path.strip_prefix(root).unwrap().to_owned();
            tree.insert(name, (metadata.mode(), names, bytes));
        }
    }
    tree
}

#[test]
fn the_end_of_a_recording_is_the_folder_as_the_process_left_it() {
    for (mode, files) in [("every-call", "0"), ("correct", "30")] {
        let run = Run::of(VICTIM, mode, &[files, "3", "5000"]);
        let mut recording = run.recording();
        let left = run.folder.path().join("left");
        recording.materialise(recording.len(), &Cut::KeepEverything, &left).unwrap();
        assert_eq!(tree(&left), tree(&run.root()), "{mode}");
    }
}

#[test]
fn the_database_at_the_end_is_the_one_the_process_left() {
    let run = Run::of(env!("CARGO_BIN_EXE_powercut-victim-sqlite"), "FULL", &["20"]);
    let left = run.folder.path().join("left");
    let mut recording = run.recording();
    recording.materialise(recording.len(), &Cut::KeepEverything, &left).unwrap();
    assert_eq!(tree(&left), tree(&run.root()));
}

#[test]
fn what_was_there_before_is_durable_at_every_position() {
    let folder = tempfile::tempdir().unwrap();
    let (root, log) = (folder.path().join("root"), folder.path().join("run.powercut"));
    std::fs::create_dir_all(root.join("old/folder")).unwrap();
    std::fs::write(root.join("old/folder/photo"), vec![7; 3_000_000]).unwrap();
    std::fs::hard_link(root.join("old/folder/photo"), root.join("second name")).unwrap();
    let before = tree(&root);
    let mut victim = Command::new(VICTIM);
    victim.arg("every-call").arg(&root).args(["-", "0", "0", "0"]);
    launch::record(&mut victim, &root, &log).unwrap();
    assert!(victim.status().unwrap().success());
    let mut recording = Recording::open(&log).unwrap();
    for position in 0..=recording.len() {
        let left = folder.path().join("left");
        recording.materialise(position, &Cut::Strict, &left).unwrap();
        assert_eq!(tree(&left), before, "after {}", recording.describe(position));
        std::fs::remove_dir_all(left).unwrap();
    }
}

#[test]
fn the_same_cut_gives_the_same_folder_forwards_and_backwards() {
    let run = Run::of(VICTIM, "no-file-sync", &["4", "1", "3000"]);
    let mut recording = run.recording();
    let mut seen = Vec::new();
    let last = recording.len();
    for position in (0..=last).chain((0..=last).rev()) {
        let left = run.folder.path().join("left");
        recording.materialise(position, &Cut::Random(5), &left).unwrap();
        seen.push(tree(&left));
        std::fs::remove_dir_all(left).unwrap();
    }
    let back: Vec<Tree> = seen.split_off(last + 1).into_iter().rev().collect();
    assert_eq!(seen, back);
}

#[test]
fn a_file_made_behind_the_recorders_back_ends_the_process() {
    let run = Run::of(VICTIM, "unseen", &["0", "0", "0"]);
    let said = String::from_utf8_lossy(&run.output.stderr);
    assert!(!run.output.status.success());
    assert!(said.contains("unseen was made behind the recorder's back"), "{said}");
}

#[test]
fn a_log_that_exists_is_not_written_over() {
    let run = Run::of(VICTIM, "every-call", &["0", "0", "0"]);
    let before = std::fs::read(run.log()).unwrap();
    let mut again = Command::new(VICTIM);
    launch::record(&mut again, &run.root(), &run.log()).unwrap();
    let output = again.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not begin to record"));
    assert_eq!(std::fs::read(run.log()).unwrap(), before);
}

#[test]
fn a_last_record_cut_short_is_left_out_and_a_foreign_file_refused() {
    let run = Run::of(VICTIM, "every-call", &["0", "0", "0"]);
    let whole = run.recording().len();
    let bytes = std::fs::read(run.log()).unwrap();
    let short = run.folder.path().join("short");
    std::fs::write(&short, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(Recording::open(&short).unwrap().len(), whole - 1);
    std::fs::write(&short, &bytes[1..]).unwrap();
    assert!(matches!(Recording::open(&short), Err(ReplayError::NotALog { .. })));
}

#[test]
fn a_folder_that_is_not_empty_is_not_filled() {
    let run = Run::of(VICTIM, "every-call", &["0", "0", "0"]);
    let outcome = run.recording().materialise(0, &Cut::Strict, run.folder.path());
    assert!(matches!(outcome, Err(ReplayError::NotEmpty { .. })));
}
