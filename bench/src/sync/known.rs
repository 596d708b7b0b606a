//! A backup on which nothing changed, by the real client against the real server, beside `restic backup`
//! of the same tree into a repository on the same disk.
//!
//! A counting proxy lies between client and server in every run, also in the first one. Both read a
//! warm cache: the tree was just written and both have read all of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::proxy::{Proxy, Wire};
use super::{in_mib, tree};
use crate::Failure;
use crate::contestant::OURS;
use crate::goals::{Direction, Goals};
use crate::options::SyncOptions;
use crate::photosync::{self, PhotoSync, Ready};
use crate::process::{Finished, Memory, clean_command, find_program, run_to_end};
use crate::spread::Spread;
use crate::table::{Table, mib};
use crate::uploads::Folder;

/// The repository is thrown away after the run.
const RESTIC_PASSWORD: &str = "bench";

/// The client, signed in on a server behind a counting proxy.
struct Ours {
    program: PathBuf,
    home: PathBuf,
    server: Ready,
    proxy: Proxy,
}

/// One backup by the client.
struct OurRun {
    finished: Finished,
    wire: Wire,
    server: Memory,
}

struct Restic {
    program: PathBuf,
    home: PathBuf,
}

/// Everything measured when nothing changed.
#[derive(Default)]
struct Unchanged {
    ours: Vec<OurRun>,
    restic: Vec<Finished>,
    /// What restic needs to open its repository, without looking at any file.
    opening: Vec<Finished>,
}

/// Makes the tree, backs it up with both, then again and again, and prints what that took.
pub fn compare(
    server: &PhotoSync,
    options: &SyncOptions,
    goals: &mut Goals,
) -> Result<(), Failure> {
    let client = options.client.as_deref().and_then(|client| client.canonicalize().ok());
    let client = client.ok_or("the client photosync was not found; name it with --client")?;
    let folder = Folder::make(&options.dir, "known")?;
    eprintln!("bench: making a tree of {} files", options.known_count);
    let files = folder.path.join("tree");
    let bytes = tree::make(&files, options.known_count)?;
    let ours = Ours::start(server, client, &folder.path)?;
    let restic = Restic::find(&folder.path)?;
    if restic.is_none() {
        println!("restic is not installed and left out (scripts/bench sync --install)");
    }

    eprintln!("bench: first backups");
    let first = ours.back_up_first(&files, options)?;
    let restic_first = match &restic {
        Some(restic) => Some(restic.back_up_first(&files)?),
        None => None,
    };
    print_first(options, bytes, &first, restic_first.as_ref());

    let mut unchanged = Unchanged::default();
    // The first one of each warms the caches and is judged by its bytes only.
    let mut most_wire = Wire::default();
    for number in 0..=options.repeats {
        eprintln!("bench: nothing changed: {number} of {}", options.repeats);
        let run = ours.back_up_unchanged(&files, options)?;
        most_wire = most_wire.max(run.wire);
        let theirs = restic.as_ref().map(|restic| restic.back_up_unchanged(&files, options));
        let opening = restic.as_ref().map(Restic::open);
        if number > 0 {
            unchanged.ours.push(run);
            unchanged.restic.extend(theirs.transpose()?);
            unchanged.opening.extend(opening.transpose()?);
        }
    }
    print_unchanged(options, &unchanged, most_wire);
    judge(goals, options, &first, &unchanged, most_wire);
    ours.server.process.stop()?;
    folder.remove()
}

impl Ours {
    fn start(server: &PhotoSync, program: PathBuf, parent: &Path) -> Result<Self, Failure> {
        let home = make_home(parent, OURS)?;
        let server = server.start_bare(&home)?;
        photosync::register(server.address)?;
        let proxy = Proxy::start(server.address)?;
        let ours = Self { program, home, server, proxy };
        let url = format!("http://{}", ours.proxy.address());
        let mut login = ours.command();
        login.args(["login", &url, photosync::EMAIL]);
        let password = format!("{}\n", photosync::PASSWORD);
        run_to_end("login", login, &password, &ours.home)?;
        Ok(ours)
    }

    fn command(&self) -> Command {
        let mut command = clean_command(&self.program, &self.home);
        command.env("PHOTOSYNC_CLIENT_DIR", self.home.join("profile"));
        command.envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_CLIENT_KEYSTORE", "off")]);
        command
    }

    fn back_up_first(&self, files: &Path, options: &SyncOptions) -> Result<OurRun, Failure> {
        let (run, _) = self.back_up(files, options)?;
        Ok(run)
    }

    fn back_up_unchanged(&self, files: &Path, options: &SyncOptions) -> Result<OurRun, Failure> {
        let (run, summary) = self.back_up(files, options)?;
        let is_zero = |key: &str| summary.get(key).and_then(Value::as_u64) == Some(0);
        if !is_zero("sent_files") || !is_zero("hashed_files") {
            return Err(format!("the client found changes: {summary}").into());
        }
        Ok(run)
    }

    /// Backs the tree up; answers also what the client said of it. A file that is not safe afterwards is an error.
    fn back_up(&self, files: &Path, options: &SyncOptions) -> Result<(OurRun, Value), Failure> {
        let mut command = self.command();
        command.arg("--json").arg("backup").arg(files);
        self.server.process.reset_peak()?;
        self.proxy.take();
        let finished = run_to_end("backup", command, "", &self.home)?;
        let wire = self.proxy.take();
        let server = self.server.process.memory();
        let summary = summary_of(&finished.output)
            .ok_or_else(|| format!("the client did not say how it ended: {}", finished.output))?;
        let is_complete = summary.get("complete").and_then(Value::as_bool) == Some(true);
        if !is_complete || summary.get("files").and_then(Value::as_u64) != Some(options.known_count)
        {
            return Err(format!("the backup ended otherwise: {summary}").into());
        }
        Ok((OurRun { finished, wire, server }, summary))
    }
}

/// The event `backup_done` among the client's lines.
fn summary_of(output: &str) -> Option<Value> {
    let mut events = output.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    events.find(|event: &Value| event.get("event").and_then(Value::as_str) == Some("backup_done"))
}

impl Restic {
    fn find(parent: &Path) -> Result<Option<Self>, Failure> {
        let Some(program) = find_program("restic") else { return Ok(None) };
        let restic = Self { program, home: make_home(parent, "restic")? };
        let mut init = restic.command();
        init.arg("init");
        run_to_end("restic", init, "", &restic.home)?;
        Ok(Some(restic))
    }

    fn command(&self) -> Command {
        let mut command = clean_command(&self.program, &self.home);
        command.env("RESTIC_PASSWORD", RESTIC_PASSWORD);
        command.arg("--repo").arg(self.home.join("repository"));
        command.arg("--cache-dir").arg(self.home.join("cache"));
        command
    }

    fn back_up_first(&self, files: &Path) -> Result<Finished, Failure> {
        let mut command = self.command();
        command.arg("backup").arg(files);
        run_to_end("restic", command, "", &self.home)
    }

    fn back_up_unchanged(&self, files: &Path, options: &SyncOptions) -> Result<Finished, Failure> {
        let finished = self.back_up_first(files)?;
        if !finished.output.contains(&format!("{} unmodified", options.known_count)) {
            return Err(format!("restic found changes: {}", finished.output).into());
        }
        Ok(finished)
    }

    fn open(&self) -> Result<Finished, Failure> {
        let mut command = self.command();
        command.args(["cat", "config"]);
        run_to_end("restic", command, "", &self.home)
    }
}

fn make_home(parent: &Path, name: &str) -> Result<PathBuf, Failure> {
    let home = parent.join(name);
    std::fs::create_dir(&home)
        .map_err(|error| format!("could not make {}: {error}", home.display()))?;
    Ok(home)
}

fn print_first(options: &SyncOptions, bytes: u64, ours: &OurRun, restic: Option<&Finished>) {
    let title = format!(
        "First backup of {} files, {:.0} MB (once, for information)",
        options.known_count,
        bytes as f64 / 1e6
    );
    let heading =
        ["contestant", "s", "files/s", "client CPU s", "client peak", "server peak", "wire MB"];
    let mut table = Table::new(title, &heading);
    let mut row = |name: &str, run: &Finished, server: String, wire: String| {
        let seconds = run.took.as_secs_f64();
        table.row([
            name.to_owned(),
            format!("{seconds:.1}"),
            format!("{:.0}", options.known_count as f64 / seconds),
            format!("{:.1}", run.cpu_seconds),
            mib(run.peak_bytes),
            server,
            wire,
        ]);
    };
    let wire = format!("{:.0}", ours.wire.bytes() as f64 / 1e6);
    row("photosync, over HTTP", &ours.finished, mib(ours.server.peak_bytes), wire);
    if let Some(restic) = restic {
        row("restic, to a local folder", restic, "-".into(), "-".into());
    }
    table.print();
}

fn print_unchanged(options: &SyncOptions, unchanged: &Unchanged, most: Wire) {
    let title = format!(
        "Nothing changed, {} files: {} runs in turn, warm cache (s)",
        options.known_count, options.repeats
    );
    let heading = ["contestant", "min", "median", "max", "client CPU s", "client peak"];
    let mut table = Table::new(title, &heading);
    let mut row = |name: &str, runs: &[&Finished]| {
        let Some(seconds) = seconds_of(runs) else { return };
        let cpu = Spread::of(runs.iter().map(|run| run.cpu_seconds));
        let peak = runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0);
        let figures = [seconds.min(), seconds.median(), seconds.max()];
        let mut cells = vec![name.to_owned()];
        cells.extend(figures.map(|figure| format!("{figure:.3}")));
        cells.push(cpu.map_or("-".into(), |cpu| format!("{:.2}", cpu.median())));
        cells.push(mib(peak));
        table.row(cells);
    };
    let ours: Vec<_> = unchanged.ours.iter().map(|run| &run.finished).collect();
    row(OURS, &ours);
    row("restic", &unchanged.restic.iter().collect::<Vec<_>>());
    row("restic, opening its repository", &unchanged.opening.iter().collect::<Vec<_>>());
    table.print();
    let medians = [&unchanged.restic, &unchanged.opening]
        .map(|runs| seconds_of(&runs.iter().collect::<Vec<_>>()).map(|seconds| seconds.median()));
    if let ([Some(whole), Some(opening)], Some(ours)) = (medians, seconds_of(&ours)) {
        println!(
            "  photosync over restic: {:.2}; without the opening of restic's repository: {:.2}",
            ours.median() / whole,
            ours.median() / (whole - opening)
        );
    }
    println!(
        "  on the wire, most of {} runs: {} B sent, {} B received, {} round trips on {} connections",
        options.repeats + 1,
        most.sent_bytes,
        most.received_bytes,
        most.round_trips,
        most.connections
    );
    let server = unchanged.ours.iter().map(|run| run.server);
    let peak = server.clone().map(|memory| memory.peak_bytes).max().unwrap_or(0);
    let now = server.map(|memory| memory.resident_bytes).next_back().unwrap_or(0);
    println!("  memory of the server: {} at most, {} at the end", mib(peak), mib(now));
}

fn judge(
    goals: &mut Goals,
    options: &SyncOptions,
    first: &OurRun,
    unchanged: &Unchanged,
    most: Wire,
) {
    let runs: Vec<_> = unchanged.ours.iter().map(|run| &run.finished).collect();
    let name = format!("no change, {} files", options.known_count);
    let bytes = Some(most.bytes() as f64);
    goals.judge(format!("{name}: bytes on the wire"), Direction::AtMost, 1000.0, " B", bytes);
    let trips = Some(most.round_trips as f64);
    goals.judge(format!("{name}: round trips"), Direction::AtMost, 1.0, "", trips);
    let theirs = seconds_of(&unchanged.restic.iter().collect::<Vec<_>>());
    let ratio = seconds_of(&runs).zip(theirs).map(|(ours, theirs)| ours.median() / theirs.median());
    goals.judge(format!("{name}: time over restic's"), Direction::AtMost, 0.25, "", ratio);
    let peak = runs.iter().map(|run| run.peak_bytes).max().map(in_mib);
    goals.judge(format!("{name}: client memory"), Direction::AtMost, 64.0, " MiB", peak);
    let peak = Some(in_mib(first.finished.peak_bytes));
    goals.judge("first backup: client memory", Direction::AtMost, 64.0, " MiB", peak);
}

fn seconds_of(runs: &[&Finished]) -> Option<Spread> {
    Spread::of(runs.iter().map(|run| run.took.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_found_among_other_events() {
        let output = "{\"event\":\"scanned\"}\n{\"event\":\"backup_done\",\"files\":3}\nnot json\n";
        assert_eq!(summary_of(output).unwrap()["files"], 3);
        assert!(summary_of("{\"event\":\"failed\"}").is_none());
    }
}
