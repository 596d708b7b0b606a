//! What a server costs when nobody looks: resident memory, and the time from spawn to ready.

use std::path::Path;

use crate::Failure;
use crate::contestant::Contestant;
use crate::goals::{Direction, Goals};
use crate::load::{self, Volume};
use crate::options::{LanOptions, MIB};
use crate::payload::Payload;
use crate::photosync::PhotoSync;
use crate::process::Memory;
use crate::spread::Spread;
use crate::table::{Table, mib, size};
use crate::uploads::{Folder, Lane};

/// Uploads at once in the memory trial.
const LARGE_UPLOADS: usize = 4;
/// Bytes in one MiB, for goals in MiB.
const MIB_F64: f64 = MIB as f64;

/// Peaks of memory seen in the upload scenarios, by scenario.
pub type Peaks<'run> = [(&'run str, &'run [Lane])];

/// Prints idle and peak memory of every server, and of PhotoSync under four large uploads.
pub fn compare_memory(
    contestants: &[Box<dyn Contestant>],
    server: Option<&PhotoSync>,
    options: &LanOptions,
    payload: &Payload,
    peaks: &Peaks<'_>,
    goals: &mut Goals,
) -> Result<(), Failure> {
    eprintln!("bench: memory");
    let mut heading = vec!["contestant", "idle"];
    heading.extend(peaks.iter().map(|(scenario, _)| *scenario));
    let mut table = Table::new(
        "Resident memory: idle after start, most during uploads (median of rounds)",
        &heading,
    );
    for contestant in contestants {
        let idle = match server {
            Some(server) if contestant.is_durable() => Ok(bare_idle_memory(server, &options.dir)?),
            _ => idle_memory(contestant.as_ref(), &options.dir),
        };
        let idle = idle.map_or("failed".into(), |idle| mib(idle.resident_bytes));
        let mut cells = vec![contestant.name().to_owned(), idle];
        for (_, lanes) in peaks {
            cells.push(peak_text(lanes, contestant.name()));
        }
        table.row(cells);
    }
    table.print();
    let Some(server) = server else { return Ok(()) };
    let bare = bare_idle_memory(server, &options.dir)?;
    let (loaded, after) = under_large_uploads(server, options, payload)?;
    println!(
        "  photosync: {} idle before any request; most during {LARGE_UPLOADS} uploads of {} at once {}, after them {}",
        mib(bare.resident_bytes),
        size(options.stream_bytes),
        mib(loaded.peak_bytes),
        mib(after.resident_bytes),
    );
    let idle_mib = bare.resident_bytes as f64 / MIB_F64;
    goals.judge("idle memory", Direction::AtMost, 20.0, " MiB", Some(idle_mib));
    goals.judge(
        format!("memory with {LARGE_UPLOADS} x {} uploads", size(options.stream_bytes)),
        Direction::AtMost,
        48.0,
        " MiB",
        Some(loaded.peak_bytes as f64 / MIB_F64),
    );
    Ok(())
}

fn peak_text(lanes: &[Lane], name: &str) -> String {
    let lane = lanes.iter().find(|lane| lane.name == name);
    let peaks = lane.into_iter().flat_map(Lane::memory);
    Spread::of(peaks.map(|memory| memory.peak_bytes as f64))
        .map_or("-".into(), |peaks| mib(peaks.median() as u64))
}

fn idle_memory(contestant: &dyn Contestant, dir: &Path) -> Result<Memory, Failure> {
    let folder = Folder::make(dir, contestant.name())?;
    let server = contestant.start(&folder.path)?;
    let idle = server.process.settled_memory();
    server.process.stop()?;
    folder.remove()?;
    Ok(idle)
}

/// Idle memory of a server that nobody ever asked anything: its second start, so that making keys
/// and tables does not count.
fn bare_idle_memory(server: &PhotoSync, dir: &Path) -> Result<Memory, Failure> {
    let folder = Folder::make(dir, "photosync")?;
    server.start_bare(&folder.path)?.process.stop()?;
    let ready = server.start_bare(&folder.path)?;
    let idle = ready.process.settled_memory();
    ready.process.stop()?;
    folder.remove()?;
    Ok(idle)
}

fn under_large_uploads(
    photosync: &PhotoSync,
    options: &LanOptions,
    payload: &Payload,
) -> Result<(Memory, Memory), Failure> {
    let folder = Folder::make(&options.dir, "photosync")?;
    let server = photosync.start(&folder.path)?;
    server.process.reset_peak()?;
    let files = LARGE_UPLOADS as u64;
    let volume = Volume { files, bytes_each: options.stream_bytes, in_flight: LARGE_UPLOADS };
    load::send(server.address, server.uploader.as_ref(), payload, volume)?;
    let loaded = server.process.memory();
    let stored = server.stored_count()?;
    if stored != files {
        return Err(format!("{files} large files were answered, {stored} are listed").into());
    }
    let after = server.process.settled_memory();
    server.process.stop()?;
    folder.remove()?;
    Ok((loaded, after))
}

/// Prints the time from spawn to the ready line: empty folder, existing one, and `large`, the folder
/// of a library of `options.many_assets`, left as it is.
pub fn compare_starts(
    server: &PhotoSync,
    options: &LanOptions,
    large: &Path,
    goals: &mut Goals,
) -> Result<(), Failure> {
    eprintln!("bench: start");
    let existing = Folder::make(&options.dir, "existing")?;
    server.start_bare(&existing.path)?.process.stop()?;
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..options.start_count {
        let fresh = Folder::make(&options.dir, "fresh")?;
        for (figures, folder) in seconds.iter_mut().zip([&fresh.path, &existing.path, large]) {
            let ready = server.start_bare(folder)?;
            figures.push(ready.took.as_secs_f64() * 1e3);
            ready.process.stop()?;
        }
        fresh.remove()?;
    }
    existing.remove()?;
    let kinds = [
        "empty folder".to_owned(),
        "existing folder".to_owned(),
        format!("{} assets", options.many_assets),
    ];
    let title = format!("Spawn to PHOTOSYNC-READY, {} starts in turn (ms)", options.start_count);
    let mut table = Table::new(title, &["data", "min", "median", "max"]);
    let spreads = seconds.map(Spread::of);
    for (kind, spread) in kinds.iter().zip(&spreads) {
        let Some(spread) = spread else { continue };
        let figures = [spread.min(), spread.median(), spread.max()];
        let cells = figures.map(|figure| format!("{figure:.1}"));
        table.row(std::iter::once(kind.clone()).chain(cells));
    }
    table.print();
    for (kind, spread) in kinds.iter().zip(&spreads).skip(1) {
        let found = spread.as_ref().map(Spread::median);
        goals.judge(format!("start to ready, {kind}"), Direction::AtMost, 100.0, " ms", found);
    }
    Ok(())
}
