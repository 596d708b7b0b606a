//! The upload scenarios: the durable loop and every server in turn, round after round.
//!
//! Each measurement has a fresh process and an empty folder, and begins after everything written
//! before it has left the cache: nobody pays for another's dirty pages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::contestant::{Contestant, OURS};
use crate::durable;
use crate::goals::{Direction, Goals};
use crate::load::{self, Volume};
use crate::options::MIB;
use crate::payload::Payload;
use crate::process::{self, MachineTimes, Memory};
use crate::spread::Spread;
use crate::table::{Table, figure, size};

/// Files per connection that are sent before the clock starts.
const WARM_UP_FILES: u64 = 2;

/// Above this many cores in other hands the figures are marked: 0.3.
const BUSY_CORES: f64 = 0.3;

/// Above this many cores that the host kept for other machines the figures are marked: 0.1.
const STOLEN_CORES: f64 = 0.1;

/// What all measurements share.
pub struct Ground<'run> {
    /// Where contestants get their folders.
    pub dir: &'run Path,
    /// What is sent.
    pub payload: &'run Payload,
    /// Who takes part beside the loop.
    pub contestants: &'run [Box<dyn Contestant>],
    /// How often each is measured.
    pub rounds: usize,
}

/// One kind of upload.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name in tables: "3 MiB files".
    pub name: String,
    /// What is sent.
    pub volume: Volume,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Round {
    files_per_second: f64,
    /// Processor use in cores, of the client (for the loop: all of it), the server and all others.
    client_cores: f64,
    server_cores: f64,
    other_cores: f64,
    /// What the host kept for other machines.
    stolen_cores: f64,
    /// After the last upload, with the peak since the warm-up; none for the loop.
    memory: Option<Memory>,
}

/// All measurements of one contestant in one scenario.
pub struct Lane {
    /// The contestant.
    pub name: String,
    is_durable: bool,
    rounds: Vec<Round>,
    /// Why a rival dropped out.
    failure: Option<String>,
}

impl Lane {
    fn rates(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round.files_per_second))
    }

    fn median_rate(&self) -> Option<f64> {
        self.rates().map(|rates| rates.median())
    }

    fn median_of(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        Spread::of(self.rounds.iter().map(figure)).map_or(0.0, |spread| spread.median())
    }

    /// Memory of every round; empty for the loop.
    pub fn memory(&self) -> impl Iterator<Item = Memory> {
        self.rounds.iter().filter_map(|round| round.memory)
    }
}

/// Runs one scenario, prints its table and returns the measurements: first the loop with one writer,
/// then with as many as connections when those are several, then the servers.
pub fn compare(ground: &Ground<'_>, scenario: &Scenario) -> Result<Vec<Lane>, Failure> {
    let volume = scenario.volume;
    let mut writers = vec![1];
    if volume.in_flight > 1 {
        writers.push(volume.in_flight);
    }
    let loop_names = writers.iter().map(|count| (loop_name(*count), true));
    let server_names =
        ground.contestants.iter().map(|one| (one.name().to_owned(), one.is_durable()));
    let mut lanes: Vec<Lane> = loop_names
        .chain(server_names)
        .map(|(name, is_durable)| Lane { name, is_durable, rounds: Vec::new(), failure: None })
        .collect();
    for number in 1..=ground.rounds {
        eprintln!("bench: {}: round {number} of {}", scenario.name, ground.rounds);
        for (lane, count) in lanes.iter_mut().zip(&writers) {
            lane.rounds.push(measure_loop(ground, Volume { in_flight: *count, ..volume })?);
        }
        for (lane, contestant) in lanes[writers.len()..].iter_mut().zip(ground.contestants) {
            if lane.failure.is_some() {
                continue;
            }
            match measure_server(ground, contestant.as_ref(), volume) {
                Ok(round) => lane.rounds.push(round),
                // Another program's trouble must not cost the figures of a long run.
                Err(error) if lane.name != OURS => lane.failure = Some(error.to_string()),
                Err(error) => {
                    return Err(format!("{}: {}: {error}", scenario.name, lane.name).into());
                }
            }
        }
    }
    print_table(scenario, &lanes, ground.rounds);
    Ok(lanes)
}

/// Name of the loop with so many writers.
fn loop_name(writers: usize) -> String {
    if writers == 1 { "loop, 1 writer".into() } else { format!("loop, {writers} writers") }
}

fn measure_loop(ground: &Ground<'_>, volume: Volume) -> Result<Round, Failure> {
    let folder = Folder::make(ground.dir, "loop")?;
    let before = CpuTimes::now(0.0);
    let elapsed = durable::run_loop(&folder.path, ground.payload, volume)?;
    let cores = CpuTimes::now(0.0).since(&before, elapsed);
    folder.remove()?;
    Ok(cores.into_round(volume, elapsed, None))
}

fn measure_server(
    ground: &Ground<'_>,
    contestant: &dyn Contestant,
    volume: Volume,
) -> Result<Round, Failure> {
    let folder = Folder::make(ground.dir, contestant.name())?;
    let server = contestant.start(&folder.path)?;
    let warm_up = Volume {
        files: WARM_UP_FILES * volume.in_flight as u64,
        bytes_each: volume.bytes_each.min(3 * MIB),
        ..volume
    };
    let uploader = server.uploader.as_ref();
    load::send(server.address, uploader, ground.payload, warm_up)?;
    server.process.reset_peak()?;
    let before = CpuTimes::now(server.process.cpu_seconds());
    let elapsed = load::send(server.address, uploader, ground.payload, volume)?;
    let cores = CpuTimes::now(server.process.cpu_seconds()).since(&before, elapsed);
    let loaded = server.process.memory();
    let (stored, sent) = (server.stored_count()?, warm_up.files + volume.files);
    if stored != sent {
        return Err(format!("{sent} files were sent and answered, {stored} are there").into());
    }
    server.process.stop()?;
    folder.remove()?;
    Ok(cores.into_round(volume, elapsed, Some(loaded)))
}

/// Processor times at one moment, or their differences as cores.
struct CpuTimes {
    client: f64,
    server: f64,
    machine: MachineTimes,
}

impl CpuTimes {
    fn now(server: f64) -> Self {
        Self { client: process::own_cpu_seconds(), server, machine: process::machine_times() }
    }

    fn since(&self, before: &Self, elapsed: Duration) -> Self {
        let cores = |now: f64, then: f64| (now - then) / elapsed.as_secs_f64();
        Self {
            client: cores(self.client, before.client),
            server: cores(self.server, before.server),
            machine: MachineTimes {
                busy: cores(self.machine.busy, before.machine.busy),
                stolen: cores(self.machine.stolen, before.machine.stolen),
            },
        }
    }

    fn into_round(self, volume: Volume, elapsed: Duration, memory: Option<Memory>) -> Round {
        Round {
            files_per_second: volume.files as f64 / elapsed.as_secs_f64(),
            client_cores: self.client,
            server_cores: self.server,
            other_cores: (self.machine.busy - self.client - self.server).max(0.0),
            stolen_cores: self.machine.stolen,
            memory,
        }
    }
}

fn print_table(scenario: &Scenario, lanes: &[Lane], rounds: usize) {
    let volume = scenario.volume;
    let title = format!(
        "{}: {} x {} with {} in flight, {rounds} rounds in turn (cores: median use)",
        scenario.name,
        volume.files,
        size(volume.bytes_each),
        volume.in_flight
    );
    // The rate of one large file says more in bytes than in files.
    let (least, factor) = match volume.files {
        1 => ("MB/s min", volume.bytes_each as f64 / 1e6),
        _ => ("files/s min", 1.0),
    };
    let heading = [
        "contestant",
        "durable",
        least,
        "median",
        "max",
        "median MB/s",
        "x loop 1",
        "client cores",
        "server cores",
        "other cores",
    ];
    let mut table = Table::new(title, &heading);
    let single = lanes.first().and_then(Lane::median_rate);
    for lane in lanes {
        let Some(rates) = lane.rates() else { continue };
        table.row([
            lane.name.clone(),
            if lane.is_durable { "yes".into() } else { "no".into() },
            figure(rates.min() * factor),
            figure(rates.median() * factor),
            figure(rates.max() * factor),
            figure(rates.median() * volume.bytes_each as f64 / 1e6),
            single.map_or("-".into(), |single| format!("{:.2}", rates.median() / single)),
            format!("{:.2}", lane.median_of(|round| round.client_cores)),
            format!("{:.2}", lane.median_of(|round| round.server_cores)),
            format!("{:.2}", lane.median_of(|round| round.other_cores)),
        ]);
    }
    table.print();
    let median_of = |figure: fn(&Round) -> f64| {
        Spread::of(lanes.iter().map(|lane| lane.median_of(figure))).map_or(0.0, |all| all.median())
    };
    let (others, stolen) =
        (median_of(|round| round.other_cores), median_of(|round| round.stolen_cores));
    if others > BUSY_CORES {
        println!(
            "  others used {others:.2} cores meanwhile (kernel threads included): mind the spread"
        );
    }
    if stolen > STOLEN_CORES {
        println!("  the host kept {stolen:.2} cores for other machines meanwhile: mind the spread");
    }
    for lane in lanes {
        if let Some(failure) = &lane.failure {
            println!("  {} dropped out after {} rounds: {failure}", lane.name, lane.rounds.len());
        }
    }
}

/// Goals of the 3 MiB scenario.
pub fn judge_photos(goals: &mut Goals, lanes: &[Lane]) {
    let ours = rate_of(lanes, OURS);
    let single = rate_of(lanes, &loop_name(1));
    goals.judge(
        "3 MiB files, share of loop, 1 writer",
        Direction::AtLeast,
        0.85,
        "",
        over(ours, single),
    );
    let rivals = lanes.iter().filter(|lane| !lane.is_durable);
    let fastest = rivals
        .filter_map(|lane| Some((lane.median_rate()?, lane.name.as_str())))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let name = fastest.map_or("none ran", |(_, name)| name);
    goals.judge(
        format!("stretch: 3 MiB files, share of fastest non-durable ({name})"),
        Direction::AtLeast,
        1.0,
        "",
        over(ours, fastest.map(|(rate, _)| rate)),
    );
}

/// Goals of the 20 KB scenario.
pub fn judge_small(goals: &mut Goals, lanes: &[Lane], in_flight: usize) {
    let ours = rate_of(lanes, OURS);
    let name = loop_name(in_flight);
    let many = rate_of(lanes, &name);
    goals.judge(
        format!("20 KB files, share of {name}"),
        Direction::AtLeast,
        0.85,
        "",
        over(ours, many),
    );
    goals.judge("20 KB files per second", Direction::AtLeast, 3000.0, "/s", ours);
}

/// How many times as fast as `theirs` `ours` was in each round, where both were measured one after the other; none
/// when one of them did not run.
pub fn ratios(lanes: &[Lane], ours: &str, theirs: &str) -> Option<Spread> {
    let rounds = |name: &str| lanes.iter().find(|lane| lane.name == name).map(|lane| &lane.rounds);
    let pairs = rounds(ours)?.iter().zip(rounds(theirs)?);
    Spread::of(pairs.map(|(ours, theirs)| ours.files_per_second / theirs.files_per_second))
}

/// Files per second of a contestant, by the median; none when it did not run.
pub fn rate_of(lanes: &[Lane], name: &str) -> Option<f64> {
    lanes.iter().find(|lane| lane.name == name)?.median_rate()
}

fn over(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    Some(part? / whole?)
}

/// A contestant's folder. `remove` also waits until the disk has caught up; dropping it, as after
/// an error, only removes it.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    parent: PathBuf,
}

impl Folder {
    /// Makes a fresh, empty folder.
    pub fn make(parent: &Path, name: &str) -> Result<Self, Failure> {
        let path = parent.join(name);
        fs::create_dir(&path)
            .map_err(|error| format!("could not make {}: {error}", path.display()))?;
        Ok(Self { path, parent: parent.to_owned() })
    }

    /// Removes the folder and writes out everything the file system still holds back.
    pub fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.path)
            .map_err(|error| format!("could not remove {}: {error}", self.path.display()))?;
        File::open(&self.parent)
            .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
            .map_err(|error| format!("could not sync {}: {error}", self.parent.display()).into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After `remove` nothing is there; after an error the first error is the one to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str, rates: &[f64]) -> Lane {
        let round = |rate: &f64| Round {
            files_per_second: *rate,
            client_cores: 0.0,
            server_cores: 0.0,
            other_cores: 0.0,
            stolen_cores: 0.0,
            memory: None,
        };
        let rounds = rates.iter().map(round).collect();
        Lane { name: name.into(), is_durable: true, rounds, failure: None }
    }

    #[test]
    fn ratios_are_taken_within_each_round_as_far_as_both_ran() {
        // The machine was four times as fast in the last round: that is no merit of either.
        let lanes = [lane(OURS, &[20.0, 30.0, 80.0]), lane("rival", &[10.0, 10.0, 40.0])];
        let found = ratios(&lanes, OURS, "rival").unwrap();
        assert_eq!((found.min(), found.median(), found.max()), (2.0, 2.0, 3.0));
        let lanes = [lane(OURS, &[20.0, 30.0]), lane("rival", &[10.0]), lane("another", &[])];
        assert_eq!(ratios(&lanes, OURS, "rival").unwrap().max(), 2.0);
        assert!(ratios(&lanes, OURS, "another").is_none());
        assert!(ratios(&lanes, OURS, "nobody").is_none());
    }
}
