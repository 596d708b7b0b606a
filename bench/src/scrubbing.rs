//! The bench `upkeep`: reading everything back, backing the server up, and what the first costs those who upload meanwhile.
//!
//! Backups are compared with `rsync -a --link-dest` of the same data folder, in turn; both make their copies durable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::contestant::{Contestant, Server};
use crate::goals::{Direction, Goals};
use crate::http::{Answer, Connection, HttpError};
use crate::load::{self, Uploader, Volume};
use crate::machine;
use crate::options::UpkeepOptions;
use crate::payload::{Content, Payload};
use crate::photosync::{PhotoSync, data_dir};
use crate::process::{clean_command, find_program, run_to_end};
use crate::spread::Spread;
use crate::table::{Table, figure};
use crate::uploads::Folder;

/// Bytes of one photo: 3 MiB.
const PHOTO_BYTES: u64 = 3 * 1024 * 1024;
/// Connections that upload at once.
const CONNECTIONS: usize = 4;
/// How much longer an upload may take while everything is read back.
const EFFECT_GOAL: f64 = 1.10;

/// Measures everything and prints it.
pub fn run(options: &UpkeepOptions) -> Result<(), Failure> {
    let home = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    machine::print(&home, false)?;
    let server =
        PhotoSync::find(options.server.as_deref()).ok_or("name the server with --server")?;
    let program = options.server.clone().ok_or("name the server with --server")?;
    let program = program.canonicalize()?;
    let folder = Folder::make(&home, "upkeep")?;
    let running = server.start(&folder.path)?;
    let payload = Payload::new();
    let photos = (options.bytes / PHOTO_BYTES).max(1);
    eprintln!("bench: storing {photos} photos");
    let volume = Volume { files: photos, bytes_each: PHOTO_BYTES, in_flight: CONNECTIONS };
    load::send(running.address, running.uploader.as_ref(), &payload, volume)?;
    let stored_bytes = (photos * PHOTO_BYTES) as f64;

    let mut goals = Goals::default();
    let ground = Ground { program, home: folder.path.clone(), stored_bytes };
    ground.scrub(&running, options.rounds, &mut goals)?;
    ground.back_up(options.rounds)?;
    ground.upload_beside_a_scrub(&running, &payload, options, &mut goals)?;
    goals.print();
    running.process.stop()?;
    folder.remove()
}

/// What every part needs.
struct Ground {
    program: PathBuf,
    home: PathBuf,
    stored_bytes: f64,
}

impl Ground {
    /// A command of the server, carried out by the one that runs.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = clean_command(&self.program, &self.home);
        command.args(words).arg("--data").arg(data_dir(&self.home));
        command
    }

    fn scrub(&self, running: &Server, rounds: usize, goals: &mut Goals) -> Result<(), Failure> {
        eprintln!("bench: scrub");
        let (mut per_core, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cpu_before = running.process.cpu_seconds();
            let done = run_to_end("scrub", self.command(&["scrub"]), "", &self.home)?;
            let cpu_seconds = running.process.cpu_seconds() - cpu_before;
            per_core.push(self.stored_bytes / 1e9 / cpu_seconds.max(1e-3));
            rates.push(self.stored_bytes / 1e9 / done.took.as_secs_f64());
        }
        let mut table =
            Table::new("Reading everything back, GB/s", &["what", "least", "median", "most"]);
        let per_core = spread(per_core)?;
        row(&mut table, "for each second of processor time", &per_core);
        row(&mut table, "for each second", &spread(rates)?);
        table.print();
        let at_least = Direction::AtLeast;
        goals.judge("scrub for each core", at_least, 1.0, " GB/s", Some(per_core.median()));
        Ok(())
    }

    fn back_up(&self, rounds: usize) -> Result<(), Failure> {
        let Some(rsync) = find_program("rsync") else {
            eprintln!(
                "bench: no rsync here; backups are not compared (scripts/bench upkeep --install)"
            );
            return Ok(());
        };
        let mut took: [Vec<f64>; 4] = Default::default();
        for round in 0..rounds {
            eprintln!("bench: backups, round {}", round + 1);
            let both = Folder::make(&self.home, "copies")?;
            let (ours, theirs) = (both.path.join("ours"), both.path.join("theirs"));
            std::fs::create_dir(&theirs)?;
            let ours_text = ours.to_string_lossy().into_owned();
            // First copies, then again when nothing has changed.
            for again in [false, true] {
                let made =
                    run_to_end("backup", self.command(&["backup", &ours_text]), "", &self.home)?;
                took[usize::from(again)].push(made.took.as_secs_f64());
                took[2 + usize::from(again)]
                    .push(self.rsync(&rsync, &theirs, again)?.as_secs_f64());
            }
            both.remove()?;
        }
        let spreads: Vec<Spread> = took.into_iter().map(spread).collect::<Result<_, _>>()?;
        let mut table = Table::new("Backups, s", &["what", "least", "median", "most"]);
        for (what, spread) in [
            ("photosync-server backup, first", &spreads[0]),
            ("rsync -a and sync -f, first", &spreads[2]),
            ("photosync-server backup, nothing changed", &spreads[1]),
            ("rsync -a --link-dest and sync -f, nothing changed", &spreads[3]),
        ] {
            row(&mut table, what, spread);
        }
        table.print();
        for (what, ours, theirs) in [("first backup", 0, 2), ("backup when nothing changed", 1, 3)]
        {
            let ratio = spreads[ours].median() / spreads[theirs].median();
            println!("  {what} over rsync: {} x", figure(ratio));
        }
        Ok(())
    }

    /// The same data folder by rsync, durable at the end as ours is.
    fn rsync(&self, rsync: &Path, to: &Path, again: bool) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let mut command = clean_command(rsync, &self.home);
        command.arg("-a");
        if again {
            command.arg("--link-dest=../1");
        }
        let mut from = data_dir(&self.home).into_os_string();
        from.push("/");
        command.arg(from).arg(to.join(if again { "2" } else { "1" }));
        run_to_end("rsync", command, "", &self.home)?;
        let sync = find_program("sync").ok_or("there is no program sync")?;
        let mut command = clean_command(&sync, &self.home);
        command.arg("-f").arg(to);
        run_to_end("sync", command, "", &self.home)?;
        Ok(begun.elapsed())
    }

    /// Pairs of the same uploads with and without everything being read back, the order changing from pair to pair.
    fn upload_beside_a_scrub(
        &self,
        running: &Server,
        payload: &Payload,
        options: &UpkeepOptions,
        goals: &mut Goals,
    ) -> Result<(), Failure> {
        let mut ratios = Vec::new();
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for pair in 0..options.pairs {
            eprintln!("bench: uploads with and without a scrub, pair {}", pair + 1);
            let mut both = [0.0; 2];
            let order = if pair % 2 == 0 { [false, true] } else { [true, false] };
            for with_scrub in order {
                let p99 = self.p99(running, payload, options.uploads, with_scrub)?;
                both[usize::from(with_scrub)] = p99;
            }
            alone.push(both[0]);
            beside.push(both[1]);
            ratios.push((both[1] / both[0]).ln());
        }
        let mut table = Table::new(
            "Slowest upload of a hundred (3 MiB, 4 connections), ms",
            &["what", "least", "median", "most"],
        );
        row(&mut table, "nothing else", &spread(alone)?);
        row(&mut table, "while everything is read back without a rest", &spread(beside)?);
        table.print();
        let (middle, least, most) = interval(&ratios);
        println!(
            "  ratio: {} (95 % of such runs: {} to {}), {} pairs",
            figure(middle),
            figure(least),
            figure(most),
            ratios.len()
        );
        // Reached unless the pairs show that it is more.
        goals.judge(
            "effect of a scrub on uploads, least that fits",
            Direction::AtMost,
            EFFECT_GOAL,
            " x",
            Some(least),
        );
        Ok(())
    }

    /// The 99th of a hundred uploads by the time it took, milliseconds.
    fn p99(
        &self,
        running: &Server,
        payload: &Payload,
        uploads: u64,
        with_scrub: bool,
    ) -> Result<f64, Failure> {
        let timed = Timed { inner: running.uploader.as_ref(), took_ms: Mutex::default() };
        let volume = Volume { files: uploads, bytes_each: PHOTO_BYTES, in_flight: CONNECTIONS };
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let scrubbing = scope.spawn(|| -> Result<(), String> {
                while with_scrub && !stop.load(Ordering::Relaxed) {
                    let status =
                        self.command(&["scrub"]).stdout(std::process::Stdio::null()).status();
                    if !status.is_ok_and(|status| status.success()) {
                        return Err("a scrub failed".into());
                    }
                }
                Ok(())
            });
            let sent = load::send(running.address, &timed, payload, volume);
            stop.store(true, Ordering::Relaxed);
            scrubbing.join().map_err(|_| "the scrub's thread panicked")??;
            sent.map(drop)
        })?;
        let mut took_ms = timed.took_ms.into_inner().map_err(|_| "a load thread panicked")?;
        took_ms.sort_by(f64::total_cmp);
        let place = (took_ms.len() * 99).div_ceil(100).saturating_sub(1);
        Ok(*took_ms.get(place).ok_or("nothing was uploaded")?)
    }
}

/// Notes how long each upload took.
struct Timed<'run> {
    inner: &'run dyn Uploader,
    took_ms: Mutex<Vec<f64>>,
}

impl Uploader for Timed<'_> {
    fn upload(&self, connection: &mut Connection, file: &Content) -> Result<Answer, HttpError> {
        let begun = Instant::now();
        let answer = self.inner.upload(connection, file);
        if let Ok(mut took_ms) = self.took_ms.lock() {
            took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        answer
    }

    fn objection(&self, answer: &Answer) -> Option<String> {
        self.inner.objection(answer)
    }
}

fn spread(figures: Vec<f64>) -> Result<Spread, Failure> {
    Spread::of(figures).ok_or_else(|| "nothing was measured".into())
}

fn row(table: &mut Table, what: &str, spread: &Spread) {
    let cells = [spread.min(), spread.median(), spread.max()].map(figure);
    table.row([what.to_owned()].into_iter().chain(cells));
}

/// The ratio of the mean of logarithms, and between which ratios it lies in 95 % of such runs (Student's t).
fn interval(logarithms: &[f64]) -> (f64, f64, f64) {
    let count = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / count;
    let squares: f64 = logarithms.iter().map(|one| (one - mean).powi(2)).sum();
    if logarithms.len() < 2 {
        return (mean.exp(), 0.0, f64::INFINITY);
    }
    let error = (squares / (count - 1.0) / count).sqrt();
    // Student's t at 97.5 % for this many degrees of freedom; beyond the table the last one is a little too wide.
    const T: [f64; 20] = [
        12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
        2.12, 2.11, 2.10, 2.09, 2.09,
    ];
    let wide = T[(logarithms.len() - 2).min(T.len() - 1)] * error;
    (mean.exp(), (mean - wide).exp(), (mean + wide).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_have_a_narrow_interval_and_few_pairs_a_wide_one() {
        let (middle, least, most) = interval(&[0.1_f64.ln_1p(); 12]);
        assert!((middle - 1.1).abs() < 1e-9 && (least - most).abs() < 1e-9);
        let (_, least, most) = interval(&[0.0, 0.5_f64.ln_1p()]);
        assert!(least < 0.5 && most > 2.0);
        assert_eq!(interval(&[0.0]), (1.0, 0.0, f64::INFINITY));
    }
}
