//! The yardstick: the least work that makes a file durable on this disk, and what a flush costs here.
//!
//! The loop does what any honest upload must: write while hashing, fdatasync, rename without
//! replacing, fsync of the folder. It has no network, no database and no names to look up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use crate::Failure;
use crate::load::Volume;
use crate::payload::{Content, Payload};
use crate::spread::Spread;

/// Bytes written and hashed at a time: 256 KiB stays in the second-level cache.
const PIECE_BYTES: usize = 256 * 1024;
/// Flushes of each kind that are timed.
const FLUSH_COUNT: usize = 200;
/// Bytes of a small photo, as in the 20 KB scenario.
const SMALL_BYTES: u64 = 20_000;
/// Bytes that one commit of a few rows appends to a log: one 4 KiB page and its frame.
const LOG_APPEND_BYTES: u64 = 4_120;

/// Writes the files with `volume.in_flight` writers and returns the time it took.
pub fn run_loop(dir: &Path, payload: &Payload, volume: Volume) -> Result<Duration, Failure> {
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..volume.in_flight)
            .map(|_| scope.spawn(|| write_files(dir, payload, volume, &next)))
            .collect();
        for writer in writers {
            writer.join().map_err(|_| Failure::from("a writer panicked"))?.map_err(|error| {
                format!("could not write durably in {}: {error}", dir.display())
            })?;
        }
        Ok(begun.elapsed())
    })
}

fn write_files(dir: &Path, payload: &Payload, volume: Volume, next: &AtomicU64) -> io::Result<()> {
    let folder = File::open(dir)?;
    while next.fetch_add(1, Ordering::Relaxed) < volume.files {
        let content = payload.content(volume.bytes_each);
        let staged = dir.join(format!(".{}.part", content.name()));
        let file = write_hashed(&staged, &content)?;
        file.sync_data()?;
        renameat_with(CWD, &staged, CWD, dir.join(content.name()), RenameFlags::NOREPLACE)?;
        folder.sync_all()?;
    }
    Ok(())
}

fn write_hashed(path: &Path, content: &Content) -> io::Result<File> {
    let mut file = File::create_new(path)?;
    let mut hash = Sha256::new();
    let mut written_bytes = 0;
    while written_bytes < content.bytes {
        let piece = content.piece(written_bytes, PIECE_BYTES);
        file.write_all(piece)?;
        hash.update(piece);
        written_bytes += piece.len() as u64;
    }
    // Without a use the compiler may drop the hashing.
    std::hint::black_box(hash.finalize());
    Ok(file)
}

/// Time of each kind of flush that a small durable upload waits for, one after the other.
#[derive(Debug)]
pub struct FlushTimes {
    /// fdatasync of a new 20 KB file.
    pub new_file: Spread,
    /// fsync of the folder after a rename.
    pub folder: Spread,
    /// fdatasync of a log after an append.
    pub log: Spread,
}

impl FlushTimes {
    /// Seconds that one upload spends in flushes when it waits for nobody else.
    pub fn serial_seconds(&self) -> f64 {
        self.new_file.median() + self.folder.median() + self.log.median()
    }

    /// Uploads per second that no group publish passes with so many in flight: each upload waits
    /// for three flushes one after the other, whoever else shares them.
    pub fn bound_per_second(&self, in_flight: usize) -> f64 {
        in_flight as f64 / self.serial_seconds()
    }
}

/// Times flushes in `dir`, alone on the disk.
pub fn time_flushes(dir: &Path, payload: &Payload) -> Result<FlushTimes, Failure> {
    flush_seconds(dir, payload)
        .map_err(|error| format!("could not time flushes in {}: {error}", dir.display()).into())
}

fn flush_seconds(dir: &Path, payload: &Payload) -> io::Result<FlushTimes> {
    let folder = File::open(dir)?;
    let mut log = File::create(dir.join("log"))?;
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..FLUSH_COUNT {
        let content = payload.content(SMALL_BYTES);
        let staged = dir.join(format!(".{}.part", content.name()));
        let file = write_hashed(&staged, &content)?;
        seconds[0].push(timed(|| file.sync_data())?);
        fs::rename(&staged, dir.join(content.name()))?;
        seconds[1].push(timed(|| folder.sync_all())?);
        log.write_all(payload.content(LOG_APPEND_BYTES).piece(8, LOG_APPEND_BYTES as usize))?;
        seconds[2].push(timed(|| log.sync_data())?);
    }
    let spreads = seconds.map(|figures| Spread::of(figures).ok_or(io::ErrorKind::InvalidData));
    let [new_file, folder, log] = spreads;
    Ok(FlushTimes { new_file: new_file?, folder: folder?, log: log? })
}

fn timed(act: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let begun = Instant::now();
    act()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_leaves_every_file_whole_and_nothing_staged() {
        let dir = std::env::temp_dir().join(format!("photosync-bench-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let volume = Volume { files: 5, bytes_each: 300_000, in_flight: 2 };
        run_loop(&dir, &Payload::new(), volume).unwrap();
        let sizes: Vec<u64> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| entry.metadata().unwrap().len())
            .collect();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(sizes, vec![300_000; 5]);
    }
}
