//! The bench `lan`: which parts run, in which order, on which ground.

use crate::Failure;
use crate::contestant::{Contestant, OURS};
use crate::durable;
use crate::goals::Goals;
use crate::listing;
use crate::load::Volume;
use crate::machine;
use crate::options::{LanOptions, MIB, Part};
use crate::payload::Payload;
use crate::photosync::PhotoSync;
use crate::rivals;
use crate::seed;
use crate::spread::Spread;
use crate::table::Table;
use crate::upkeep;
use crate::uploads::{self, Folder, Ground, Lane, Scenario};

/// Bytes of a phone photo.
const PHOTO_BYTES: u64 = 3 * MIB;
/// Bytes of a small file: a thumbnail-sized picture or a message's photo.
const SMALL_BYTES: u64 = 20_000;
/// Connections for photos.
const PHOTO_CONNECTIONS: usize = 4;
/// Connections for small files.
const SMALL_CONNECTIONS: usize = 8;

/// Measures what was asked for and prints it.
pub fn run(options: &LanOptions) -> Result<(), Failure> {
    let dir = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    let options = &LanOptions { dir, ..options.clone() };
    machine::print(&options.dir, options.quick)?;
    let server =
        PhotoSync::find(options.server.as_deref()).filter(|_| options.wants_contestant(OURS));
    let contestants = gather(server.as_ref(), options);
    let payload = Payload::new();
    let ground = Ground {
        dir: &options.dir,
        payload: &payload,
        contestants: &contestants,
        rounds: options.rounds,
    };
    let mut goals = Goals::default();

    let mut peaks: Vec<(&str, Vec<Lane>)> = Vec::new();
    if options.wants(Part::Photos) {
        let lanes = uploads::compare(&ground, &photos(options))?;
        uploads::judge_photos(&mut goals, &lanes);
        peaks.push(("3 MiB files", lanes));
    }
    if options.wants(Part::Small) {
        let lanes = uploads::compare(&ground, &small(options))?;
        uploads::judge_small(&mut goals, &lanes, SMALL_CONNECTIONS);
        peaks.push(("20 KB files", lanes));
    }
    if options.wants(Part::Stream) {
        let lanes = uploads::compare(&ground, &stream(options))?;
        peaks.push(("one stream", lanes));
    }
    if options.wants(Part::Flushes) {
        print_flushes(options, &payload)?;
    }
    if options.wants(Part::Memory) {
        let peaks: Vec<_> = peaks.iter().map(|(name, lanes)| (*name, lanes.as_slice())).collect();
        let server = server.as_ref();
        upkeep::compare_memory(&contestants, server, options, &payload, &peaks, &mut goals)?;
    }
    if let Some(server) = &server {
        measure_large_library(server, options, &mut goals)?;
    }
    goals.print();
    Ok(())
}

/// Listing and start share one large library: it takes longer to make than to measure.
fn measure_large_library(
    server: &PhotoSync,
    options: &LanOptions,
    goals: &mut Goals,
) -> Result<(), Failure> {
    if !options.wants(Part::Listing) && !options.wants(Part::Start) {
        return Ok(());
    }
    let large = Folder::make(&options.dir, "many")?;
    seed::make_library(server, &large.path, options.many_assets)?;
    if options.wants(Part::Listing) {
        listing::compare(server, options, &large.path, goals)?;
    }
    if options.wants(Part::Start) {
        upkeep::compare_starts(server, options, &large.path, goals)?;
    }
    large.remove()
}

fn photos(options: &LanOptions) -> Scenario {
    let volume = Volume {
        files: options.photo_count,
        bytes_each: PHOTO_BYTES,
        in_flight: PHOTO_CONNECTIONS,
    };
    Scenario { name: "Photos".into(), volume }
}

fn small(options: &LanOptions) -> Scenario {
    let volume = Volume {
        files: options.small_count,
        bytes_each: SMALL_BYTES,
        in_flight: SMALL_CONNECTIONS,
    };
    Scenario { name: "Small files".into(), volume }
}

fn stream(options: &LanOptions) -> Scenario {
    let volume = Volume { files: 1, bytes_each: options.stream_bytes, in_flight: 1 };
    Scenario { name: "One stream".into(), volume }
}

/// PhotoSync first, then every rival that is there; says who is missing.
fn gather(server: Option<&PhotoSync>, options: &LanOptions) -> Vec<Box<dyn Contestant>> {
    let mut contestants: Vec<Box<dyn Contestant>> = Vec::new();
    match server {
        Some(server) => contestants.push(Box::new(server.clone())),
        None if options.wants_contestant(OURS) => {
            println!("photosync-server was not found: loop and rivals only");
        }
        None => {}
    }
    for (name, rival) in rivals::look_for(options.rivals.as_deref()) {
        match rival {
            _ if !options.wants_contestant(name) => {}
            Some(rival) => contestants.push(Box::new(rival)),
            None => println!("{name} is not installed and left out (scripts/bench lan --install)"),
        }
    }
    contestants
}

fn print_flushes(options: &LanOptions, payload: &Payload) -> Result<(), Failure> {
    eprintln!("bench: flushes");
    let folder = Folder::make(&options.dir, "flushes")?;
    let times = durable::time_flushes(&folder.path, payload)?;
    folder.remove()?;
    let mut table =
        Table::new("Flushes on this disk, one at a time (ms)", &["flush", "min", "median", "99 %"]);
    let rows: [(&str, &Spread); 3] = [
        ("new 20 KB file", &times.new_file),
        ("folder after a rename", &times.folder),
        ("log after an append", &times.log),
    ];
    for (name, spread) in rows {
        let figures = [spread.min(), spread.median(), spread.quantile(0.99)];
        let cells = figures.map(|seconds| format!("{:.3}", seconds * 1e3));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table.print();
    for in_flight in [1, PHOTO_CONNECTIONS, SMALL_CONNECTIONS] {
        println!(
            "  bound of group publish with {in_flight} in flight: {in_flight} / {:.3} ms (3 flushes in a row) = {:.0}/s",
            times.serial_seconds() * 1e3,
            times.bound_per_second(in_flight)
        );
    }
    Ok(())
}
