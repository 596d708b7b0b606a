//! The bench `sync`: uploads by tus beside `@tus/server`, and a backup on which nothing changed beside
//! restic.

mod known;
mod proxy;
mod tree;
mod tus;

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::Failure;
use crate::contestant::{Contestant, OURS};
use crate::goals::{Direction, Goals};
use crate::load::Volume;
use crate::machine;
use crate::options::{MIB, SyncOptions, SyncPart};
use crate::payload::Payload;
use crate::photosync::PhotoSync;
use crate::spread::Spread;
use crate::table::{Table, figure, mib, size};
use crate::uploads::{self, Ground, Lane, Scenario};

/// Bytes of a small file: a thumbnail-sized picture or a message's photo.
const SMALL_BYTES: u64 = 20_000;
/// Connections for small files.
const SMALL_CONNECTIONS: usize = 8;
/// Buffers of 4 MiB hashed for the limit: about a second.
const HASHED_BUFFERS: usize = 256;
/// Connections of the part `streams`.
const STREAM_CONNECTIONS: usize = 4;

/// Measures what was asked for and prints it.
pub fn run(options: &SyncOptions) -> Result<(), Failure> {
    let dir = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    let options = &SyncOptions { dir, ..options.clone() };
    machine::print(&options.dir, options.quick)?;
    let server = PhotoSync::find(options.server.as_deref())
        .ok_or("photosync-server was not found; name it with --server")?;
    let mut goals = Goals::default();
    if options.parts.iter().any(|part| *part != SyncPart::Known) {
        compare_tus(&server, options, &mut goals)?;
    }
    if options.parts.contains(&SyncPart::Known) {
        known::compare(&server, options, &mut goals)?;
    }
    goals.print();
    Ok(())
}

fn compare_tus(
    server: &PhotoSync,
    options: &SyncOptions,
    goals: &mut Goals,
) -> Result<(), Failure> {
    let contestants = gather(server, options);
    let payload = Payload::new();
    let ground = Ground {
        dir: &options.dir,
        payload: &payload,
        contestants: &contestants,
        rounds: options.rounds,
    };
    println!(
        "tus: PhotoSync answers after the file is on the disk and hashed; @tus/server hands bytes to the system, \
         syncs nothing and hashes nothing; {} is the same with a sync before the answer that ends an upload",
        tus::SYNCED_RIVAL
    );
    let mut peaks = Vec::new();
    for (part, scenario) in scenarios(options) {
        if !options.parts.contains(&part) {
            continue;
        }
        let lanes = uploads::compare(&ground, &scenario)?;
        let (what, target) = match part {
            SyncPart::Small => ("stretch: 20 KB files by tus", 3.5),
            SyncPart::Stream => ("one tus stream", 2.0),
            SyncPart::Streams | SyncPart::Known => ("four tus streams", 2.0),
        };
        for rival in [tus::SYNCED_RIVAL, tus::RIVAL] {
            let found = uploads::ratios(&lanes, OURS, rival);
            if let Some(found) = &found {
                let [least, median, most] = [found.min(), found.median(), found.max()].map(figure);
                println!("  {median} x {rival} ({least} to {most} by rounds)");
            }
            let what = format!("{what}, over {rival}");
            goals.judge(what, Direction::AtLeast, target, "", found.map(|found| found.median()));
        }
        if part == SyncPart::Stream {
            print_hash_limit(&lanes, scenario.volume.bytes_each);
        }
        peaks.push((scenario.name, lanes));
    }
    print_memory(&peaks);
    Ok(())
}

/// SHA-256 takes one byte after the other: no stream that is acknowledged by its digest is faster than one core.
fn print_hash_limit(lanes: &[Lane], bytes_each: u64) {
    let limit = hash_rate();
    let percent = 100.0 * bytes_each as f64 / limit;
    let part = |name: &str| uploads::rate_of(lanes, name).map(|rate| percent * rate);
    if let (Some(ours), Some(rival)) = (part(OURS), part(tus::RIVAL)) {
        println!(
            "  limit: SHA-256 on one core {} MB/s = {} x {}; {} reaches {} % of it",
            figure(limit / 1e6),
            figure(100.0 / rival),
            tus::RIVAL,
            OURS,
            figure(ours)
        );
    }
}

/// Bytes per second that one core hashes.
fn hash_rate() -> f64 {
    let buffer = vec![0x5a; 4 * MIB as usize];
    let mut hash = Sha256::new();
    let began = Instant::now();
    for _ in 0..HASHED_BUFFERS {
        hash.update(&buffer);
    }
    std::hint::black_box(hash.finalize());
    (HASHED_BUFFERS * buffer.len()) as f64 / began.elapsed().as_secs_f64()
}

/// What is uploaded by tus, in the order of measuring.
fn scenarios(options: &SyncOptions) -> [(SyncPart, Scenario); 3] {
    let pieces = size(options.piece_bytes);
    let stream = |count: usize| Volume {
        files: count as u64,
        bytes_each: options.stream_bytes / count as u64,
        in_flight: count,
    };
    let small = Volume {
        files: options.small_count,
        bytes_each: SMALL_BYTES,
        in_flight: SMALL_CONNECTIONS,
    };
    let scenario = |name: String, volume| Scenario { name, volume };
    [
        (SyncPart::Stream, scenario(format!("One tus stream, pieces of {pieces}"), stream(1))),
        (
            SyncPart::Streams,
            scenario(format!("tus streams, pieces of {pieces}"), stream(STREAM_CONNECTIONS)),
        ),
        (SyncPart::Small, scenario("Small files by tus, in their creation".into(), small)),
    ]
}

fn gather(server: &PhotoSync, options: &SyncOptions) -> Vec<Box<dyn Contestant>> {
    let mut contestants: Vec<Box<dyn Contestant>> =
        vec![Box::new(tus::Ours::new(server.clone(), options.piece_bytes))];
    for is_synced in [false, true] {
        match tus::Rival::find(options.foreign.as_deref(), options.piece_bytes, is_synced) {
            Some(rival) => contestants.push(Box::new(rival)),
            None if is_synced => {}
            None => {
                let name = tus::RIVAL;
                println!("{name} is not installed and left out (scripts/bench sync --install)");
            }
        }
    }
    contestants
}

fn print_memory(peaks: &[(String, Vec<Lane>)]) {
    let names = [OURS, tus::RIVAL];
    let mut heading = vec!["scenario"];
    heading.extend(names);
    let mut table = Table::new("Most resident memory of the server (median of rounds)", &heading);
    for (scenario, lanes) in peaks {
        let peak = |name: &str| {
            let lane = lanes.iter().find(|lane| lane.name == name);
            Spread::of(lane.into_iter().flat_map(Lane::memory).map(|m| m.peak_bytes as f64))
                .map_or("-".into(), |peaks| mib(peaks.median() as u64))
        };
        table.row(std::iter::once(scenario.clone()).chain(names.map(peak)));
    }
    table.print();
}

/// MiB, for goals.
fn in_mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
