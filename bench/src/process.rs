//! Child processes of the bench: started in a clean environment, measured through /proc, always ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// A child that does not end on SIGTERM within this time is killed: 15 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks at a state that is waited for: 10 ms.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Memory counts as settled when it did not move for this long: 400 ms.
const SETTLED_FOR: Duration = Duration::from_millis(400);
/// Pause between two looks at the memory of a command that is run to its end: 2 ms.
const PEAK_PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for memory to settle: 5 s.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// A running child; dropping it ends it.
#[derive(Debug)]
pub struct Running {
    name: String,
    log: PathBuf,
    child: Child,
}

/// Resident memory of a process and its children, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now (`VmRSS`).
    pub resident_bytes: u64,
    /// Most that was resident since the start or the last reset (`VmHWM`).
    pub peak_bytes: u64,
}

/// The command with nothing of our environment but what programs cannot do without.
pub fn clean_command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("LANG", "C.UTF-8").current_dir(home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null());
    command
}

/// The program, if it lies in one of the folders of `PATH` or in an administrator's folder.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

impl Running {
    /// Starts the child with standard error going to a log file in `home`; standard output goes
    /// there too unless the command already says otherwise.
    pub fn start(name: &str, mut command: Command, home: &Path) -> Result<Self, Failure> {
        let log = home.join(format!("{name}.log"));
        let attempt = |source| format!("could not start {name}: {source}");
        command.stderr(File::create(&log).map_err(attempt)?);
        let child = command.spawn().map_err(attempt)?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard output, if it is piped and was not taken yet.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until `ready` says yes; an error when the child ends first or the limit passes.
    pub fn wait_until(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.complaint(&format!("ended with {status} before it was ready")));
            }
            if Instant::now() > deadline {
                return Err(self.complaint(&format!("was not ready within {limit:?}")));
            }
            thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// An error that names the child and ends with what it logged last.
    pub fn complaint(&self, what: &str) -> Failure {
        let mut log = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            // A log that cannot be read leaves the complaint without its tail.
            let _ = file.read_to_string(&mut log);
        }
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("{} {what}; last lines of its log:\n{}", self.name, tail.join("\n")).into()
    }

    /// Asks the child to stop and waits for its end; kills it when it does not.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.terminate();
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            thread::sleep(LOOK_PAUSE);
        }
        Err(self.complaint(&format!("did not stop within {STOP_LIMIT:?} of SIGTERM")))
    }

    fn terminate(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself; the caller waits either way.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Memory now, of the child and its children.
    pub fn memory(&self) -> Memory {
        family(self.child.id()).into_iter().map(memory_of).fold(Memory::default(), |sum, one| {
            Memory {
                resident_bytes: sum.resident_bytes + one.resident_bytes,
                peak_bytes: sum.peak_bytes + one.peak_bytes,
            }
        })
    }

    /// Memory once it has stopped moving.
    pub fn settled_memory(&self) -> Memory {
        let give_up = Instant::now() + SETTLE_LIMIT;
        let mut last = self.memory();
        let mut since = Instant::now();
        while since.elapsed() < SETTLED_FOR && Instant::now() < give_up {
            thread::sleep(LOOK_PAUSE);
            let now = self.memory();
            if now.resident_bytes.abs_diff(last.resident_bytes) > 64 * 1024 {
                since = Instant::now();
                last = now;
            }
        }
        self.memory()
    }

    /// Makes the peak start anew at what is resident now, so that sign-in (Argon2) does not show.
    pub fn reset_peak(&self) -> Result<(), Failure> {
        for pid in family(self.child.id()) {
            fs::write(format!("/proc/{pid}/clear_refs"), "5")
                .map_err(|error| self.complaint(&format!("kept its peak of memory: {error}")))?;
        }
        Ok(())
    }

    /// Processor time used so far by the child and its children, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        family(self.child.id()).into_iter().map(cpu_seconds_of).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.terminate();
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(LOOK_PAUSE);
            }
            // Both fail only when the child is already gone.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// From spawn to end.
    pub took: Duration,
    /// Most that was resident, looked at every [`PEAK_PAUSE`].
    pub peak_bytes: u64,
    /// Processor time it used.
    pub cpu_seconds: f64,
    /// What it wrote to standard output.
    pub output: String,
}

/// Runs a command to its end, with `input` on standard input; an error when it ends with another
/// code than 0. Both outputs go to files in `home`, so that no pipe slows it down. No other child
/// may end meanwhile: processor time is that of all children that ended.
pub fn run_to_end(
    name: &str,
    mut command: Command,
    input: &str,
    home: &Path,
) -> Result<Finished, Failure> {
    let shown = home.join(format!("{name}.out"));
    let attempt = |source| format!("could not run {name}: {source}");
    command.stdout(File::create(&shown).map_err(attempt)?).stdin(Stdio::piped());
    let cpu_before = ended_children_cpu_seconds();
    let begun = Instant::now();
    let mut running = Running::start(name, command, home)?;
    if let Some(mut pipe) = running.child.stdin.take() {
        // Who ends without reading says why by its code.
        let _ = pipe.write_all(input.as_bytes());
    }
    let (pid, ended) = (running.child.id(), AtomicBool::new(false));
    let (status, took, peak_bytes) = thread::scope(|scope| {
        let looking = scope.spawn(|| look_for_peak(pid, &ended));
        let status = running.child.wait();
        let took = begun.elapsed();
        ended.store(true, Ordering::Relaxed);
        (status, took, looking.join().unwrap_or(0))
    });
    let status = status.map_err(attempt)?;
    if !status.success() {
        return Err(running.complaint(&format!("ended with {status}")));
    }
    let output = fs::read_to_string(&shown).map_err(attempt)?;
    let cpu_seconds = ended_children_cpu_seconds() - cpu_before;
    Ok(Finished { took, peak_bytes, cpu_seconds, output })
}

/// The largest `VmHWM` seen until the process ends. What grows in its last moment is missed.
fn look_for_peak(pid: u32, ended: &AtomicBool) -> u64 {
    let mut peak_bytes = 0;
    while !ended.load(Ordering::Relaxed) {
        peak_bytes = memory_of(pid).peak_bytes.max(peak_bytes);
        thread::sleep(PEAK_PAUSE);
    }
    peak_bytes
}

/// Processor time of all children that ended and were waited for, in seconds.
pub fn ended_children_cpu_seconds() -> f64 {
    let fields = stat_fields(std::process::id());
    let ticks = |index: usize| fields.get(index).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    // cutime and cstime: fields 16 and 17 of proc(5), counted here from the state, field 3.
    seconds(ticks(13) + ticks(14))
}

/// Processor time of this process so far, in seconds.
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds_of(std::process::id())
}

/// Processor time of the whole machine so far, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct MachineTimes {
    /// Work, the kernel's included.
    pub busy: f64,
    /// Ready to work while the host gave the processor to another machine.
    pub stolen: f64,
}

/// Processor time of the whole machine so far.
pub fn machine_times() -> MachineTimes {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    // Fields of proc(5): user nice system idle iowait irq softirq steal, and two that are part of the first two.
    let sum = |fields: &[usize]| {
        seconds(fields.iter().filter_map(|field| ticks.get(*field)).sum::<u64>())
    };
    MachineTimes { busy: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
}

fn cpu_seconds_of(pid: u32) -> f64 {
    let fields = stat_fields(pid);
    let ticks = |index: usize| fields.get(index).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime: fields 14 and 15 of proc(5), counted here from the state, field 3.
    seconds(ticks(11) + ticks(12))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Fields of /proc/PID/stat behind the name, which may itself hold blanks and brackets.
fn stat_fields(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn memory_of(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bytes = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    };
    Memory { resident_bytes: bytes("VmRSS:"), peak_bytes: bytes("VmHWM:") }
}

/// A process and everything below it.
fn family(root: u32) -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat_fields(pid).get(1)?.parse().ok()?)))
        .collect();
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        let found = parents.iter().filter(|(_, parent)| family.contains(parent));
        let found: Vec<u32> = found.map(|(pid, _)| *pid).collect();
        family.extend(found);
        if family.len() == before {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_an_error_with_its_last_words_and_one_that_ends_is_measured() {
        let home = std::env::temp_dir();
        let run = |name: &str, script: &str| {
            let mut command = clean_command(Path::new("/bin/sh"), &home);
            command.args(["-c", script]);
            run_to_end(name, command, "hello\n", &home)
        };
        let finished = run("photosync-bench-ends", "read x; sleep 0.1; echo $x there").unwrap();
        assert_eq!(finished.output, "hello there\n");
        assert!(finished.took >= Duration::from_millis(100) && finished.peak_bytes > 0);
        let error = run("photosync-bench-fails", "echo no >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no"), "{error}");
        for name in ["photosync-bench-ends", "photosync-bench-fails"] {
            fs::remove_file(home.join(format!("{name}.out"))).unwrap();
            fs::remove_file(home.join(format!("{name}.log"))).unwrap();
        }
    }

    #[test]
    fn a_child_of_a_child_counts_and_both_are_gone_after_stop() {
        let home = std::env::temp_dir();
        let mut command = clean_command(Path::new("/bin/sh"), &home);
        command.args(["-c", "trap 'kill $!; exit' TERM; sleep 60 & wait"]);
        let mut running = Running::start("photosync-bench-test", command, &home).unwrap();
        let root = running.child.id();
        running.wait_until(Duration::from_secs(10), || family(root).len() == 2).unwrap();
        assert!(running.memory().resident_bytes > 0);
        let log = running.log.clone();
        running.stop().unwrap();
        fs::remove_file(log).unwrap();
        assert!(!Path::new(&format!("/proc/{root}")).exists());
    }
}
