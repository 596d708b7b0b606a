//! First backup, backup on which nothing changed, and restore of a whole tree, contestants in turn.
//!
//! Before every measured command the file system has nothing left to write, and what will be read, the tree or the
//! repository, is in memory.

use std::path::{Path, PathBuf};

use super::borg::{BORG, Borg};
use super::contest::{Contestant, Keeper, Run};
use super::ours::Ours;
use super::restic::{RESTIC, Restic};
use super::tree::{self, Tree};
use crate::Failure;
use crate::contestant::OURS;
use crate::goals::{Direction, Goals};
use crate::options::{RelayOptions, RelayPart};
use crate::spread::Spread;
use crate::table::{Table, mib};
use crate::uploads::Folder;

/// What is measured of every contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    First,
    Unchanged,
    Restore,
}

const PHASES: [(Phase, &str); 3] = [
    (Phase::First, "First backup"),
    (Phase::Unchanged, "Backup, nothing changed"),
    (Phase::Restore, "Restore"),
];

/// Whose times the goals name: the faster of the two is only known when both ran.
const RIVALS: [&str; 2] = [RESTIC, BORG];

/// Everything measured of one contestant.
struct Lane {
    name: &'static str,
    runs: Vec<(Phase, Run)>,
    /// Each right after a backup on which nothing changed; none of who opens nothing.
    openings: Vec<Run>,
}

impl Lane {
    fn of(&self, phase: Phase) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |(of, _)| *of == phase).map(|(_, run)| run)
    }

    fn seconds(&self, phase: Phase) -> Option<Spread> {
        Spread::of(self.of(phase).map(|run| run.client.took.as_secs_f64()))
    }

    /// What a backup on which nothing changed takes, and what of that is the opening; medians in seconds.
    fn unchanged_and_opening(&self) -> Option<(f64, f64)> {
        let opening = Spread::of(self.openings.iter().map(|run| run.client.took.as_secs_f64()))?;
        Some((self.seconds(Phase::Unchanged)?.median(), opening.median()))
    }

    /// The most memory of client and server in any phase.
    fn peaks(&self) -> (Option<u64>, Option<u64>) {
        let client = self.runs.iter().map(|(_, run)| run.client.peak_bytes).max();
        let server = self.runs.iter().filter_map(|(_, run)| Some(run.server?.peak_bytes)).max();
        (client, server)
    }
}

/// Compares the trees that were asked for.
pub fn compare(options: &RelayOptions, goals: &mut Goals) -> Result<(), Failure> {
    let contestants = gather(options)?;
    println!();
    for contestant in &contestants {
        println!("{}: {}", contestant.name(), contestant.road());
    }
    println!("what is read is in memory before each command, and nothing is left to be written");
    let trees = match &options.trees {
        Some(trees) => trees.canonicalize().map_err(|error| {
            format!("could not find the folder of trees, {}: {error}", trees.display())
        })?,
        None => options.dir.clone(),
    };
    if options.wants(RelayPart::Photos) {
        let tree = tree::photos(&trees, options.tree_bytes)?;
        let lanes = measure(options, &contestants, &tree)?;
        print(&tree, &lanes);
        judge(goals, "photos", &lanes);
    }
    if options.wants(RelayPart::Pictures) {
        let tree = tree::pictures(&trees, options.picture_count)?;
        let lanes = measure(options, &contestants, &tree)?;
        print(&tree, &lanes);
        // No goal was set for these: what is durable file by file cannot be as fast as what is not.
        print_ratios(&lanes);
        judge_memory(goals, "pictures of 20 KB", &lanes);
    }
    Ok(())
}

fn gather(options: &RelayOptions) -> Result<Vec<Box<dyn Contestant>>, Failure> {
    let ours = Ours::find(options.server.as_deref(), options.client.as_deref())?;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(ours)];
    let left_out = "left out (scripts/bench relay --install)";
    match Restic::find() {
        Some(restic) => contestants.push(Box::new(restic)),
        None => println!("restic or rclone is not installed: {left_out}"),
    }
    match Borg::find() {
        Some(borg) => contestants.push(Box::new(borg)),
        None => println!("borg is not installed: {left_out}"),
    }
    Ok(contestants)
}

fn measure(
    options: &RelayOptions,
    contestants: &[Box<dyn Contestant>],
    tree: &Tree,
) -> Result<Vec<Lane>, Failure> {
    let lane =
        |one: &dyn Contestant| Lane { name: one.name(), runs: Vec::new(), openings: Vec::new() };
    let mut lanes: Vec<Lane> = contestants.iter().map(|one| lane(one.as_ref())).collect();
    for round in 0..options.rounds {
        eprintln!("bench: {}: round {} of {}", tree.title, round + 1, options.rounds);
        let folder = Folder::make(&options.dir, "round")?;
        let mut begun: Vec<(usize, Place)> = Vec::new();
        for step in 0..contestants.len() {
            let index = (round + step) % contestants.len();
            begun.push((index, Place::begin(contestants[index].as_ref(), &folder.path)?));
        }
        for (index, place) in &mut begun {
            ready(&options.dir, &tree.path)?;
            lanes[*index].runs.push((Phase::First, place.keeper.back_up(tree)?));
        }
        for _ in 0..options.repeats {
            for (index, place) in &mut begun {
                ready(&options.dir, &tree.path)?;
                lanes[*index].runs.push((Phase::Unchanged, place.keeper.back_up_unchanged(tree)?));
                settle(&options.dir)?;
                lanes[*index].openings.extend(place.keeper.open()?);
            }
        }
        for (index, place) in &mut begun {
            let to = Folder::make(&folder.path, "restored")?;
            ready(&options.dir, &place.home)?;
            let run = place.keeper.restore(tree, &to.path)?;
            tree::require_restored(tree, &to.path)
                .map_err(|error| format!("{}: {error}", lanes[*index].name))?;
            to.remove()?;
            lanes[*index].runs.push((Phase::Restore, run));
        }
        for (_, place) in begun {
            place.keeper.stop()?;
        }
        folder.remove()?;
    }
    Ok(lanes)
}

struct Place {
    keeper: Box<dyn Keeper>,
    home: PathBuf,
}

impl Place {
    fn begin(contestant: &dyn Contestant, parent: &Path) -> Result<Self, Failure> {
        let home = parent.join(contestant.name());
        std::fs::create_dir(&home)
            .map_err(|error| format!("could not make {}: {error}", home.display()))?;
        Ok(Self { keeper: contestant.begin(home.clone())?, home })
    }
}

/// Writes out what the file system holds back, then reads what will be read.
fn ready(dir: &Path, read: &Path) -> Result<(), Failure> {
    settle(dir)?;
    tree::warm(read)
}

/// Writes out what the file system holds back.
fn settle(dir: &Path) -> Result<(), Failure> {
    std::fs::File::open(dir)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(|error| format!("could not sync {}: {error}", dir.display()).into())
}

fn print(tree: &Tree, lanes: &[Lane]) {
    for (phase, name) in PHASES {
        let runs = lanes.first().map_or(0, |lane| lane.of(phase).count());
        let title = format!("{name}: {}, {runs} runs in turn (s)", tree.title);
        let heading =
            ["contestant", "min", "median", "max", "MB/s", "CPU s", "client peak", "server peak"];
        let mut table = Table::new(title, &heading);
        let bytes = (phase != Phase::Unchanged).then_some(tree.bytes);
        for lane in lanes {
            add_row(&mut table, lane.name, &lane.of(phase).collect::<Vec<_>>(), bytes);
        }
        if phase == Phase::Unchanged {
            for lane in lanes {
                let name = format!("{}, opening only", lane.name);
                add_row(&mut table, &name, &lane.openings.iter().collect::<Vec<_>>(), None);
            }
        }
        table.print();
        println!("  CPU s: client and server together, until the client ends");
        if phase == Phase::Unchanged {
            print_without_openings(lanes);
        }
    }
}

/// One row of what these runs took; none when there are none. The rate is left out without `bytes`.
fn add_row(table: &mut Table, name: &str, runs: &[&Run], bytes: Option<u64>) {
    let Some(seconds) = Spread::of(runs.iter().map(|run| run.client.took.as_secs_f64())) else {
        return;
    };
    let cpu = Spread::of(runs.iter().map(|run| run.cpu_seconds));
    let client = runs.iter().map(|run| run.client.peak_bytes).max();
    let server = runs.iter().filter_map(|run| Some(run.server?.peak_bytes)).max();
    let dash = || "-".to_owned();
    let rate = bytes.map(|bytes| bytes as f64 / 1e6 / seconds.median());
    table.row([
        name.to_owned(),
        format!("{:.2}", seconds.min()),
        format!("{:.2}", seconds.median()),
        format!("{:.2}", seconds.max()),
        rate.map_or_else(dash, |rate| format!("{rate:.0}")),
        cpu.map_or_else(dash, |cpu| format!("{:.2}", cpu.median())),
        client.map_or_else(dash, mib),
        server.map_or_else(dash, mib),
    ]);
}

/// For information: the goal is about whole commands. Ours still starts and connects, theirs then no longer does.
fn print_without_openings(lanes: &[Lane]) {
    for (rival, whole, rest) in without_openings(lanes) {
        let rest = rest.map_or_else(|| "no time is left".to_owned(), |rest| format!("{rest:.2}"));
        println!(
            "  photosync over {rival}: {whole:.2}; without {rival}'s opening (keys, start and connection): {rest}"
        );
    }
}

/// Our median over each rival's when nothing changed: of the whole command, and less the opening, if anything is left of it.
fn without_openings(lanes: &[Lane]) -> Vec<(&'static str, f64, Option<f64>)> {
    let ours = lanes.iter().find(|lane| lane.name == OURS);
    let Some(ours) = ours.and_then(|lane| lane.seconds(Phase::Unchanged)) else {
        return Vec::new();
    };
    let ours = ours.median();
    let ratios = lanes.iter().filter_map(|lane| {
        let (whole, opening) = lane.unchanged_and_opening()?;
        let rest = (whole > opening).then(|| ours / (whole - opening));
        Some((lane.name, ours / whole, rest))
    });
    ratios.collect()
}

fn judge(goals: &mut Goals, tree: &str, lanes: &[Lane]) {
    for (phase, name) in PHASES {
        let target = if phase == Phase::Unchanged { 0.25 } else { 1.0 };
        let what =
            format!("{tree}: {}: time over the faster of restic and borg", name.to_lowercase());
        let what = match missing(lanes) {
            missing if missing.is_empty() => what,
            missing => format!("{what} ({} missing)", missing.join(" and ")),
        };
        goals.judge(what, Direction::AtMost, target, "", over_the_faster(lanes, phase));
    }
    judge_memory(goals, tree, lanes);
}

fn print_ratios(lanes: &[Lane]) {
    let missing = missing(lanes);
    if !missing.is_empty() {
        println!("  no ratio to the faster of restic and borg: {} missing", missing.join(" and "));
    }
    for (phase, name) in PHASES {
        if let Some(ratio) = over_the_faster(lanes, phase) {
            let name = name.to_lowercase();
            println!("  {name}: {ratio:.2} of the time of the faster of restic and borg");
        }
    }
}

/// Rivals that did not take part.
fn missing(lanes: &[Lane]) -> Vec<&'static str> {
    let took_part = |name: &str| lanes.iter().any(|lane| lane.name == name);
    RIVALS.into_iter().filter(|name| !took_part(name)).collect()
}

fn judge_memory(goals: &mut Goals, tree: &str, lanes: &[Lane]) {
    let Some(ours) = lanes.iter().find(|lane| lane.name == OURS) else { return };
    let in_mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let (client, server) = ours.peaks();
    let what = format!("{tree}: memory of the client");
    goals.judge(what, Direction::AtMost, 128.0, " MiB", client.map(in_mib));
    let what = format!("{tree}: memory of the server");
    goals.judge(what, Direction::AtMost, 48.0, " MiB", server.map(in_mib));
}

/// Our median over the smaller median of the rivals; none unless all of them were measured.
fn over_the_faster(lanes: &[Lane], phase: Phase) -> Option<f64> {
    let median = |name: &str| {
        let lane = lanes.iter().find(|lane| lane.name == name)?;
        Some(lane.seconds(phase)?.median())
    };
    let rivals: Option<Vec<f64>> = RIVALS.into_iter().map(median).collect();
    Some(median(OURS)? / rivals?.into_iter().min_by(f64::total_cmp)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Finished;

    fn run(seconds: u64) -> Run {
        let took = Duration::from_secs(seconds);
        let client =
            Finished { took, peak_bytes: seconds, cpu_seconds: 0.0, output: String::new() };
        Run { client, server: None, cpu_seconds: 0.0 }
    }

    fn lane(name: &'static str, phase: Phase, seconds: &[u64]) -> Lane {
        let runs = seconds.iter().map(|seconds| (phase, run(*seconds))).collect();
        Lane { name, runs, openings: Vec::new() }
    }

    #[test]
    fn ours_is_judged_by_the_faster_rival() {
        let first = |name, seconds| lane(name, Phase::First, seconds);
        let lanes = [first(OURS, &[3, 9, 6]), first(RESTIC, &[30]), first(BORG, &[4])];
        assert_eq!(over_the_faster(&lanes, Phase::First), Some(1.5));
        assert_eq!(over_the_faster(&lanes, Phase::Restore), None);
        assert_eq!(lanes[0].peaks(), (Some(9), None));
        assert!(missing(&lanes).is_empty());
    }

    #[test]
    fn nobody_is_judged_by_the_only_rival_that_is_there() {
        let first = |name, seconds| lane(name, Phase::First, seconds);
        let lanes = [first(OURS, &[3]), first(RESTIC, &[30]), first("another", &[4])];
        assert_eq!(over_the_faster(&lanes, Phase::First), None);
        assert_eq!(missing(&lanes), [BORG]);
        assert_eq!(missing(&lanes[..1]), [RESTIC, BORG]);
    }

    #[test]
    fn the_opening_of_a_rival_is_taken_off_its_time_and_not_off_ours() {
        let unchanged = |name, seconds| lane(name, Phase::Unchanged, seconds);
        let mut lanes =
            [unchanged(OURS, &[1]), unchanged(RESTIC, &[10, 20, 30]), unchanged(BORG, &[4])];
        lanes[1].openings.extend([run(14), run(16), run(15)]);
        lanes[2].openings.push(run(4));
        let expected = [(RESTIC, 1.0 / 20.0, Some(1.0 / 5.0)), (BORG, 0.25, None)];
        assert_eq!(without_openings(&lanes), expected);
        assert_eq!(over_the_faster(&lanes, Phase::Unchanged), Some(0.25));
    }
}
