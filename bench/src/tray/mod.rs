//! The bench `tray`: memory, wake-ups and delays of the icon of a desktop, beside the smallest program with an icon.
//!
//! On a message bus of its own, where this process plays the panel.

mod panel;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::machine;
use crate::options::{MIB, TrayOptions};
use crate::process::{Running, clean_command};
use crate::spread::Spread;
use crate::table::{Table, figure, mib};
use panel::{Bus, Panel};

/// Longest wait for a state: 30 s.
const LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at the menu while a delay is measured: 2 ms.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// How long wake-ups are counted: 10 s.
const COUNTED_FOR: Duration = Duration::from_secs(10);
/// Until a program that has nothing to do counts as at rest: 12 s. The tray looks 10 s after a stop whether it came.
const REST: Duration = Duration::from_secs(12);

/// What a program needs when it has nothing to do.
struct AtRest {
    resident_bytes: u64,
    anonymous_bytes: u64,
    wakeups_per_s: f64,
}

/// Measures everything and prints it.
pub fn run(options: &TrayOptions) -> Result<(), Failure> {
    let home = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    machine::print(&home, false)?;
    let tray = require("tray", options.tray.as_deref())?;
    let server = require("server", options.server.as_deref())?;
    let bare = require("bare", options.bare.as_deref())?;
    let bus = Bus::start(&home)?;
    let panel = bus.panel()?;
    let start_tray = || -> Result<Running, Failure> {
        let mut command = clean_command(&tray, &home);
        command.arg("--data").arg(home.join("data")).arg("--server").arg(&server);
        command.env("DBUS_SESSION_BUS_ADDRESS", bus.address()).envs([
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0"),
            ("PHOTOSYNC_DISCOVERY", "off"),
            ("PHOTOSYNC_UPDATE_CHECK", "off"),
        ]);
        command.stdout(Stdio::null());
        Running::start("tray", command, &home)
    };
    let start_bare = || -> Result<Running, Failure> {
        let mut command = clean_command(&bare, &home);
        command.env("DBUS_SESSION_BUS_ADDRESS", bus.address());
        command.stdout(Stdio::null());
        Running::start("bare", command, &home)
    };

    // The data folder is made once, so that every start that is measured finds it.
    let mut first = start_tray()?;
    panel.wait_for_line("● Running", &mut first)?;
    first.stop()?;

    let (mut launches, mut bare_launches, mut deaths) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (process, took) = until_registered(&panel, start_bare)?;
        bare_launches.push(took.as_secs_f64() * 1e3);
        process.stop()?;
        let (mut process, took) = until_registered(&panel, start_tray)?;
        launches.push(took.as_secs_f64() * 1e3);
        panel.wait_for_line("● Running", &mut process)?;
        deaths.push(until_shown_dead(&panel, &mut process, &home)?.as_secs_f64() * 1e3);
        process.stop()?;
    }

    let (bare_process, _) = until_registered(&panel, start_bare)?;
    let bare_rest = at_rest(&bare_process)?;
    bare_process.stop()?;
    let (mut process, _) = until_registered(&panel, start_tray)?;
    panel.wait_for_line("● Running", &mut process)?;
    let running = at_rest(&process)?;
    panel.click("Stop")?;
    panel.wait_for_line("○ Stopped", &mut process)?;
    let alone = at_rest(&process)?;
    process.stop()?;

    print(&running, &alone, &bare_rest);
    let launch = Spread::of(launches).ok_or("no start was measured")?;
    let bare_launch = Spread::of(bare_launches).ok_or("no start was measured")?;
    let death = Spread::of(deaths).ok_or("no death was measured")?;
    let mut table = Table::new("Delays, ms", &["what", "least", "median", "most"]);
    for (what, spread) in [
        ("launch until the icon is registered", &launch),
        ("the same, bare program", &bare_launch),
        ("server killed until the menu says so", &death),
    ] {
        let cells = [spread.min(), spread.median(), spread.max()].map(figure);
        table.row([what.to_owned()].into_iter().chain(cells));
    }
    table.print();
    let mut goals = Goals::default();
    let at_most = Direction::AtMost;
    let resident = running.resident_bytes as f64 / MIB as f64;
    goals.judge("resident memory, server running", at_most, 12.0, " MiB", Some(resident));
    goals.judge(
        "wake-ups of its own, server stopped",
        at_most,
        0.1,
        "/s",
        Some(alone.wakeups_per_s),
    );
    goals.judge(
        "launch over the bare program",
        at_most,
        2.0,
        " x",
        Some(launch.median() / bare_launch.median()),
    );
    goals.judge("a death is shown", at_most, 2_000.0, " ms", Some(death.max()));
    goals.print();
    Ok(())
}

fn require(what: &str, program: Option<&Path>) -> Result<PathBuf, Failure> {
    let program = program.ok_or_else(|| format!("name the program with --{what}"))?;
    program
        .canonicalize()
        .map_err(|error| format!("could not find {}: {error}", program.display()).into())
}

fn print(running: &AtRest, alone: &AtRest, bare: &AtRest) {
    let heading = ["program", "resident", "over bare", "anonymous", "wake-ups/s"];
    let mut table = Table::new("At rest", &heading);
    for (name, rest) in [
        ("photosync-tray, server running (status every second)", running),
        ("photosync-tray, server stopped", alone),
        ("bare program", bare),
    ] {
        let ratio = rest.resident_bytes as f64 / bare.resident_bytes as f64;
        table.row([
            name.to_owned(),
            mib(rest.resident_bytes),
            figure(ratio),
            mib(rest.anonymous_bytes),
            figure(rest.wakeups_per_s),
        ]);
    }
    table.print();
}

/// Starts a program, and says how long its icon took to come.
fn until_registered(
    panel: &Panel,
    start: impl FnOnce() -> Result<Running, Failure>,
) -> Result<(Running, Duration), Failure> {
    let begun = Instant::now();
    panel.forget();
    let process = start()?;
    let came = panel.wait_for_icon(LIMIT).ok_or_else(|| process.complaint("showed no icon"))?;
    Ok((process, came.saturating_duration_since(begun)))
}

/// Kills the server, and says how long the menu went on to call it running.
fn until_shown_dead(panel: &Panel, tray: &mut Running, home: &Path) -> Result<Duration, Failure> {
    let place = home.join("data/run.json");
    let read = std::fs::read(&place)
        .map_err(|error| format!("could not read {}: {error}", place.display()))?;
    let run: Value = serde_json::from_slice(&read)?;
    let pid = run.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).ok_or("run.json names no process")?;
    let begun = Instant::now();
    kill_process(pid, Signal::KILL)
        .map_err(|error| format!("could not kill the server: {error}"))?;
    while panel.lines()?.iter().any(|line| line.starts_with("● Running")) {
        if begun.elapsed() > LIMIT {
            return Err(tray.complaint("went on to call a dead server running"));
        }
        thread::sleep(LOOK_PAUSE);
    }
    Ok(begun.elapsed())
}

/// Lets a program rest, then counts. Without its children: the server is another program.
fn at_rest(process: &Running) -> Result<AtRest, Failure> {
    let pid = process.pid();
    thread::sleep(REST);
    let before = wakeups(pid)?;
    let begun = Instant::now();
    thread::sleep(COUNTED_FOR);
    let woken = wakeups(pid)?.saturating_sub(before);
    let wakeups_per_s = woken as f64 / begun.elapsed().as_secs_f64();
    let status = status(Path::new("/proc").join(pid.to_string()))?;
    let bytes = |key: &str| field(&status, key).unwrap_or(0) * 1024;
    Ok(AtRest {
        resident_bytes: bytes("VmRSS:"),
        anonymous_bytes: bytes("RssAnon:"),
        wakeups_per_s,
    })
}

/// Times that any thread of a process waited for something and went on.
fn wakeups(pid: u32) -> Result<u64, Failure> {
    let tasks = format!("/proc/{pid}/task");
    let folder =
        std::fs::read_dir(&tasks).map_err(|error| format!("could not read {tasks}: {error}"))?;
    let mut sum = 0;
    for task in folder.flatten() {
        sum += field(&status(task.path())?, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    Ok(sum)
}

fn status(folder: PathBuf) -> Result<String, Failure> {
    let place = folder.join("status");
    std::fs::read_to_string(&place)
        .map_err(|error| format!("could not read {}: {error}", place.display()).into())
}

/// The number of a line of /proc/PID/status.
fn field(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A command with its standard output as a line of text.
fn bus_command(home: &Path) -> Command {
    let mut command = clean_command(Path::new("dbus-daemon"), home);
    command.args(["--session", "--nofork", "--print-address=1"]).stdout(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_number_of_its_own_line() {
        let status =
            "RssAnon:\t   700 kB\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t5\n";
        assert_eq!(field(status, "RssAnon:"), Some(700));
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(5));
        assert_eq!(field(status, "VmRSS:"), None);
    }
}
