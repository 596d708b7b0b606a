//! Files that were acknowledged, and files that are visible.

use std::path::Path;

use photosync_powercut_replay::{Cut, Recording};

use crate::{Run, findings};

const FILES: usize = 8;
const MIN_BYTES: usize = 700;

/// What the victim wrote into the file with this number.
fn content(number: usize, min_bytes: usize) -> Vec<u8> {
    let count = min_bytes + (number * 7_919) % (min_bytes * 14);
    (0..count).map(|at| (at.wrapping_mul(31) + number * 17 + 1) as u8 | 1).collect()
}

fn run(mode: &str, threads: usize) -> Run {
    let (files, threads) = (FILES.to_string(), threads.to_string());
    let min_bytes = MIN_BYTES.to_string();
    Run::of(env!("CARGO_BIN_EXE_powercut-victim"), mode, &[&files, &threads, &min_bytes])
}

/// Acknowledged files that are missing or not whole.
fn lost(recording: &Recording) -> Vec<String> {
    findings(recording, |position, left| {
        let is_lost = |number: &usize| {
            let name = format!("file-{number}");
            recording.is_acknowledged(&name, position)
                && std::fs::read(left.join(name)).ok() != Some(content(*number, MIN_BYTES))
        };
        (0..FILES).filter(is_lost).map(|number| format!("file-{number} is lost")).collect()
    })
}

/// Published files, acknowledged or not, that are not whole.
fn torn(recording: &Recording) -> Vec<String> {
    findings(recording, |_, left| {
        let is_torn = |number: &usize| {
            let bytes = std::fs::read(left.join(format!("file-{number}")));
            bytes.is_ok_and(|bytes| bytes != content(*number, MIN_BYTES))
        };
        (0..FILES).filter(is_torn).map(|number| format!("file-{number} is torn")).collect()
    })
}

/// Whether one of the findings comes from a strict cut and one from a random one.
fn assert_found_by_both(findings: &[String]) {
    for cut in ["Strict", "Random"] {
        let count = findings.iter().filter(|finding| finding.starts_with(cut)).count();
        assert!(count > 0, "{cut} cuts found nothing among {findings:?}");
    }
}

#[test]
fn the_correct_program_loses_nothing_and_shows_nothing_torn() {
    for threads in [1, 3] {
        let recording = run("correct", threads).recording();
        assert_eq!(recording.answers().iter().filter(|a| a.status() == Some(201)).count(), FILES);
        assert_eq!(lost(&recording), Vec::<String>::new());
        assert_eq!(torn(&recording), Vec::<String>::new());
    }
}

#[test]
fn a_missing_flush_of_the_file_is_found() {
    assert_found_by_both(&lost(&run("no-file-sync", 1).recording()));
}

#[test]
fn a_missing_flush_of_the_directory_is_found() {
    assert_found_by_both(&lost(&run("no-directory-sync", 1).recording()));
}

#[test]
fn a_flush_of_the_wrong_directory_is_found() {
    assert_found_by_both(&lost(&run("wrong-directory-sync", 1).recording()));
}

#[test]
fn an_answer_before_the_flush_is_found() {
    let recording = run("answer-first", 1).recording();
    let found = lost(&recording);
    assert_found_by_both(&found);
    let last = format!("after {}", recording.describe(recording.len()));
    assert!(!found.iter().any(|finding| finding.contains(&last)), "all is flushed at the end");
}

#[test]
fn a_flush_of_the_wrong_file_is_found() {
    assert_found_by_both(&lost(&run("wrong-file-sync", 1).recording()));
}

#[test]
fn a_rename_before_the_flush_shows_torn_files_but_loses_none() {
    let recording = run("rename-first", 1).recording();
    assert_found_by_both(&torn(&recording));
    assert_eq!(lost(&recording), Vec::<String>::new());
}

#[test]
fn every_broken_program_is_found_with_several_threads_too() {
    for mode in ["no-file-sync", "no-directory-sync", "answer-first"] {
        assert_found_by_both(&lost(&run(mode, 3).recording()));
    }
}

/// Prints how long 500 cuts of 100 files of 20 to 300 KB take: `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn five_hundred_cuts_of_a_hundred_uploads() {
    let rest = ["100", "4", "20000"];
    let run = Run::of(env!("CARGO_BIN_EXE_powercut-victim"), "correct", &rest);
    let mut recording = run.recording();
    let folder = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    let cuts = 500;
    for index in 0..cuts {
        let left = folder.path().join("left");
        let position = recording.len() * (index + 1) / cuts;
        recording.materialise(position, &Cut::Random(index as u64), &left).unwrap();
        std::fs::remove_dir_all(&left).unwrap();
    }
    println!("{cuts} cuts of {} records took {:?}", recording.len(), begun.elapsed());
    let left = folder.path().join("left");
    recording.materialise(recording.len(), &Cut::Strict, &left).unwrap();
    assert!((0..100).all(|number| is_whole(&left, number)));
}

fn is_whole(left: &Path, number: usize) -> bool {
    std::fs::read(left.join(format!("file-{number}"))).ok() == Some(content(number, 20_000))
}
