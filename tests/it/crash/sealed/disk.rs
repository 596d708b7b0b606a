//! A disk that fails or is full in the middle of sealed bytes: the right refusal, nothing left behind, nothing lost, and the
//! same request works afterwards.

use std::path::Path;

use photosync_tests::http::Client;
use photosync_tests::server::find_binary;

use super::super::disk::{RESERVE, SmallDisk, TIDY_WITHIN, require_full};
use super::super::torture::process::{Running, Started, check, serve_command, start, wait_until};
use super::super::torture::{Dice, binaries, list_below};
use super::{Load, Owner, Step, keyring, object, raw_id, round};

fn run(command: std::process::Command, data: &Path) -> Running {
    start(command, &data.with_extension("log")).and_then(Started::ready).expect("a start")
}

fn require_nothing_staged(data: &Path) {
    let mut left = Vec::new();
    let tidy = wait_until(TIDY_WITHIN, || {
        left = list_below(&data.join("relay"), ".staging").expect("the relay");
        left.is_empty()
    });
    assert!(tidy, "left behind: {left:?}");
}

/// Sends what `step` needs before it can be taken.
fn prepare(owner: &Owner, client: &mut Client, steps: &[Step], kept: &mut Vec<Step>) {
    for step in steps {
        owner.require_sent(client, step).unwrap_or_else(|wrong| panic!("{wrong}"));
        kept.push(step.clone());
    }
}

#[test]
fn a_failing_call_in_the_middle_of_sealed_bytes_is_answered_and_loses_nothing() {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let binary = binaries::fault_server().expect("the server with fault points");
    let server = run(serve_command(&binary, &data), &data);
    let owner = Owner::sign_up(server.address);
    server.stop().expect("a clean stop");
    let (mut dice, mut kept, mut sequence, mut failed) = (Dice(2026), Vec::new(), 0, 0);
    // The rest of the round before, without which chains and keyrings would not go on.
    let mut rest: Vec<Step> = Vec::new();
    let points = ["write", "sync", "publish", "published", "sync_dir", "commit"];
    for point in points {
        // A segment is committed in three transactions; of the other calls two are as good as many.
        let passes = if point == "commit" { 3 } else { 2 };
        for nth in 1..=passes {
            let action = if nth == 2 { "enospc" } else { "eio" };
            for way in ["batch", "single", "segment", "keyring"] {
                sequence += 1;
                let mut steps = round(&mut dice, 7, sequence);
                steps.push(keyring(&mut dice, sequence));
                let index = steps.iter().position(|step| step.id.starts_with(way));
                let step = steps.remove(index.expect("a step of this way"));
                // A segment needs what it lists; all others are sent with it at the next start.
                if way == "segment" {
                    rest.extend(steps.drain(..2));
                }
                if !rest.is_empty() {
                    let server = run(serve_command(&binary, &data), &data);
                    let mut client = Client::new(server.address);
                    prepare(&owner, &mut client, &std::mem::take(&mut rest), &mut kept);
                    drop(client);
                    server.stop().expect("a clean stop");
                }

                let case = format!("{point}:{nth}:{action}");
                let mut command = serve_command(&binary, &data);
                command.env("PHOTOSYNC_FAULT", &case);
                let case = format!("{way}: {case}");
                let server = run(command, &data);
                let mut client = Client::new(server.address);
                let answer = owner.send(&mut client, &step).expect("an answer");
                let status = answer.status();
                assert!(nth > 1 || status >= 500, "{case}: the failing call was not met");
                if !matches!(status, 200 | 201) {
                    let code = answer.json().expect("JSON")["code"].clone();
                    let expected = match action {
                        "enospc" => (507, "storage_full"),
                        _ => (500, "storage_failed"),
                    };
                    assert_eq!((status, code.as_str()), (expected.0, Some(expected.1)), "{case}");
                    failed += 1;
                    // Without its place it does not count, and whatever of it is listed is whole.
                    let offered: Vec<Step> = kept.iter().chain([&step]).cloned().collect();
                    let found = owner.require_kept(&mut client, &kept, &offered);
                    found.unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
                    require_nothing_staged(&data);
                    if matches!(point, "write" | "sync") {
                        // All of a request is whole before the first of it gets its name.
                        let ids: Vec<_> = step.objects().iter().map(|one| raw_id(one)).collect();
                        let found = owner.fetch(&mut client, &ids).expect("an answer");
                        assert!(found.iter().all(Option::is_none), "{case}: half of it is there");
                    }
                    // The fault has been met: this server takes the rest as well.
                    steps.insert(0, step);
                    steps.sort_by_key(|step| matches!(step.load, Load::Segment { .. }));
                    prepare(&owner, &mut client, &steps, &mut kept);
                } else {
                    kept.push(step);
                    rest = steps;
                }
                drop(client);
                server.stop().expect("a clean stop");
                if way == "keyring" {
                    check(&binary, &data).unwrap_or_else(|found| panic!("{case}: {found}"));
                }
            }
        }
    }
    let server = run(serve_command(&binary, &data), &data);
    let found = owner.require_kept(&mut Client::new(server.address), &kept, &kept);
    found.unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("crash: {failed} failing calls amid sealed bytes, each answered, nothing lost");
    assert!(failed >= 25, "{failed} faults were met");
}

#[test]
fn a_full_disk_refuses_sealed_bytes_with_507_and_recovers_without_a_restart() {
    let scratch = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&scratch.path().join("disk"), "24m") else { return };
    let (data, ballast) = (disk.0.join("data"), disk.0.join("ballast"));
    std::fs::write(&ballast, vec![1; 6 << 20]).expect("ballast");
    let binary = find_binary().expect("the server");
    let mut command = serve_command(&binary, &data);
    command.env("PHOTOSYNC_STORAGE_RESERVE_BYTES", RESERVE);
    let server = run(command, &data);
    let owner = Owner::sign_up(server.address);
    let mut client = Client::new(server.address);
    let mut kept: Vec<Step> = Vec::new();
    let batch = |number: u64| {
        let objects = (0..3).map(|seed| object('C', 0, number * 10 + seed, 700_000)).collect();
        Step { id: format!("batch-{number}"), load: Load::Batch(objects) }
    };
    let refused = loop {
        let step = batch(kept.len() as u64);
        let answer = owner.send(&mut client, &step).expect("an answer");
        if answer.status() != 200 {
            require_full(&answer);
            break step;
        }
        kept.push(step);
        assert!(kept.len() < 12, "24 MiB cannot hold that and 6 MiB of ballast");
    };
    assert!(kept.len() >= 2, "{} batches fit", kept.len());
    let single = Step { id: "single".into(), load: Load::Single(object('C', 0, 5, 3 << 20)) };
    require_full(&owner.send(&mut Client::new(server.address), &single).expect("an answer"));
    // The connection ends with a body that is refused half-way, sooner or later.
    let mut client = Client::new(server.address);
    require_nothing_staged(&data);
    owner.require_kept(&mut client, &kept, &kept).expect("reading still works");
    std::fs::remove_file(&ballast).expect("the ballast");
    prepare(&owner, &mut client, &[refused], &mut kept);
    owner.require_kept(&mut client, &kept, &kept).expect("all of it");
    drop(client);
    server.stop().expect("a clean stop");
    check(&binary, &data).expect("index and disk agree");
    println!(
        "crash: a full disk refused sealed bytes after {} batches and recovered",
        kept.len() - 1
    );
}
