//! Starts workers and tools, one process for one file, and ends them when their time is over. Everything here blocks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::facts::{Answer, Class, Facts, Outcome, Rendition, Tool};
use super::tools::Tools;
use super::transcode::to_screen;
use super::worker::Bounds;
use crate::clock::Stopwatch;

/// How long a process may take, busy or not.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is looked whether the server is about to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest output of a process: two renditions, or one picture of a video without loss.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024 * 1024;

/// What is needed to look at originals.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// This program.
    pub program: PathBuf,
    /// What else there is.
    pub tools: Tools,
    /// A folder for what tools write, its own for every job.
    pub folder: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The server is stopping; the job is as it was.
    Stopped,
    /// The process could not be started at all.
    NotStarted(io::Error),
    /// It ended without an answer.
    Ended(Class, String),
}

impl Workshop {
    /// Facts and renditions of an original. `is_stopping` is asked several times a second.
    pub fn look(&self, original: File, is_stopping: &dyn Fn() -> bool) -> Result<Answer, Failure> {
        let again = original.try_clone().map_err(Failure::NotStarted)?;
        let answer = self.ask("look", original, is_stopping)?;
        let Outcome::Needs(tool) = answer.outcome else { return Ok(answer) };
        let facts = answer.facts;
        let Some(program) = self.tools.program(tool) else {
            let outcome = Outcome::Failed(Class::MissingTool);
            return Ok(Answer::without_pictures(outcome, facts));
        };
        match self.draw(tool, program, again, &facts, is_stopping) {
            Ok(drawn) => Ok(merge(facts, drawn)),
            Err(Failure::Ended(class, _)) if !class.is_worth_a_retry() => {
                Ok(Answer::without_pictures(Outcome::Failed(class), facts))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Has a tool make one picture of the original, and the worker renditions of that.
    fn draw(
        &self,
        tool: Tool,
        program: &Path,
        original: File,
        facts: &Facts,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        std::fs::create_dir_all(&self.folder).map_err(Failure::NotStarted)?;
        let picture = match tool {
            Tool::Heif => self.convert(program, original, is_stopping),
            Tool::Ffmpeg => self.poster(program, original, facts, is_stopping),
        };
        let (picture, told) = match picture {
            Ok((picture, told)) => (Ok(picture), told),
            Err(failure) => (Err(failure), Told::default()),
        };
        let drawn = picture.and_then(|picture| self.ask("draw", picture, is_stopping));
        let drawn = drawn.map(|mut drawn| {
            drawn.facts.duration_ms = told.duration_ms;
            drawn.facts.shown.extend(told.codec.map(|codec| ("codec".to_owned(), codec)));
            drawn
        });
        // What stays is swept at the next start.
        let _ = std::fs::remove_dir_all(&self.folder);
        drawn
    }

    /// libheif writes into a folder; of several pictures the first counts.
    fn convert(
        &self,
        program: &Path,
        original: File,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<(File, Told), Failure> {
        let mut command = self.tool(program, Some(&self.folder), None);
        let output = self.folder.join("picture.jpg");
        command.args(["-q", "92", "/proc/self/fd/0"]).arg(&output);
        let ended = run(command, original, is_stopping)?;
        let mut made: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .map_err(Failure::NotStarted)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        made.sort();
        // Whole if there is one alone, else they are numbered.
        let first = made.iter().find(|path| **path == output).or(made.first());
        match first.map(File::open) {
            Some(Ok(file)) if ended.status.success() => Ok((file, Told::default())),
            _ => Err(ended.failure(Class::Corrupt)),
        }
    }

    /// One picture of a video, from its first second.
    fn poster(
        &self,
        program: &Path,
        original: File,
        facts: &Facts,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<(File, Told), Failure> {
        let at_ms = facts.duration_ms.map_or(0, |length| (length / 3).min(1000));
        let mut ended = self.poster_at(program, original.try_clone(), facts, at_ms, is_stopping)?;
        if ended.output.is_empty() && at_ms > 0 && ended.status.success() {
            // Some films can be read, but not from the middle on.
            ended = self.poster_at(program, Ok(original), facts, 0, is_stopping)?;
        }
        if !ended.status.success() || ended.output.is_empty() {
            return Err(ended.failure(Class::Corrupt));
        }
        let path = self.folder.join("poster.jpg");
        std::fs::write(&path, &ended.output).map_err(Failure::NotStarted)?;
        let poster = File::open(&path).map_err(Failure::NotStarted)?;
        Ok((poster, Told::of(&ended.complaint)))
    }

    fn poster_at(
        &self,
        program: &Path,
        original: io::Result<File>,
        facts: &Facts,
        at_ms: i64,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<Ended, Failure> {
        let mut command = self.tool(program, None, None);
        // It tells the length of what the worker has no reader for.
        let level = if facts.duration_ms.is_some() { "error" } else { "info" };
        command.args(["-hide_banner", "-loglevel", level, "-nostats", "-nostdin"]);
        command.args(["-threads", "1"]);
        command.args(["-filter_threads", "1", "-protocol_whitelist", "file,pipe,fd"]);
        // Not even to the beginning: without an index that leads nowhere.
        if at_ms > 0 {
            command.args(["-ss", &format!("{}.{:03}", at_ms / 1000, at_ms % 1000)]);
        }
        command.args(["-i", "file:/proc/self/fd/0", "-map", "0:v:0", "-frames:v", "1"]);
        let transfer = facts.film.as_ref().and_then(|film| film.transfer);
        command.args([
            "-vf",
            &format!(
                "scale='min(2048,iw)':'min(2048,ih)':force_original_aspect_ratio=decrease:force_divisible_by={}{}",
                // Converting light wants whole pairs of pixels.
                if transfer.is_some() { 2 } else { 1 },
                to_screen(transfer)
            ),
        ]);
        command.args(["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "2"]);
        command.args(["-f", "image2pipe", "pipe:1"]);
        run(command, original.map_err(Failure::NotStarted)?, is_stopping)
    }

    fn worker(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("media-worker");
        // Settings and secrets of the server are none of its business. A test says there where it is to fail.
        if !cfg!(feature = "fault-points") {
            command.env_clear();
        }
        command
    }

    /// The worker that shuts itself in and becomes a tool; arguments of that follow.
    pub(super) fn tool(
        &self,
        program: &Path,
        folder: Option<&Path>,
        bounds: Option<Bounds>,
    ) -> Command {
        let mut command = self.worker();
        command.arg("become").arg("--program").arg(program);
        if let Some(Bounds { memory_bytes, cpu_s, file_bytes }) = bounds {
            let numbers = [memory_bytes, cpu_s, file_bytes].map(|number| number.to_string());
            command.arg("--bounds").args(numbers);
        }
        if let Some(folder) = folder {
            command.arg("--folder").arg(folder);
        }
        command.arg("--");
        command
    }

    fn ask(
        &self,
        task: &str,
        input: File,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let mut command = self.worker();
        command.arg(task);
        let ended = run(command, input, is_stopping)?;
        Answer::read(&mut &ended.output[..]).map_err(|_| ended.failure(Class::Crashed))
    }
}

/// What a tool has drawn, with what the worker read before.
fn merge(mut facts: Facts, drawn: Answer) -> Answer {
    let Answer { outcome, facts: pixels, renditions } = drawn;
    if pixels.width > 0 && facts.kind != super::facts::Kind::Video {
        (facts.width, facts.height) = (pixels.width, pixels.height);
    }
    if facts.width == 0 {
        (facts.width, facts.height) = (pixels.width, pixels.height);
    }
    (facts.dhash, facts.placeholder) = (pixels.dhash, pixels.placeholder);
    facts.duration_ms = facts.duration_ms.or(pixels.duration_ms);
    for (name, value) in pixels.shown {
        facts.shown.entry(name).or_insert(value);
    }
    let renditions: Vec<Rendition> = renditions;
    Answer { outcome, facts, renditions }
}

/// What a tool says of an original beside what it draws.
#[derive(Default)]
struct Told {
    duration_ms: Option<i64>,
    codec: Option<String>,
}

impl Told {
    /// Out of what ffmpeg says of its input. What the file says of itself stands further to the right there.
    fn of(said: &str) -> Self {
        let mut told = Self::default();
        for line in said.lines() {
            if let Some(rest) = line.strip_prefix("  Duration: ")
                && told.duration_ms.is_none()
            {
                told.duration_ms = rest.split(',').next().and_then(clock_ms);
            }
            let stream = line.strip_prefix("  Stream #0:").or(line.strip_prefix("    Stream #0:"));
            let video = stream.and_then(|stream| stream.split_once(": Video: "));
            if let Some((_, video)) = video
                && told.codec.is_none()
            {
                told.codec = video.split([' ', ',']).next().map(str::to_owned);
            }
        }
        told
    }
}

/// `00:01:02.50` in milliseconds.
fn clock_ms(text: &str) -> Option<i64> {
    let mut parts = text.trim().splitn(3, ':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    let fits = (0..10_000).contains(&hours)
        && (0..60).contains(&minutes)
        && (0.0..61.0).contains(&seconds);
    fits.then(|| (hours * 60 + minutes) * 60_000 + (seconds * 1000.0).round() as i64)
}

/// A process that is over.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    pub(super) complaint: String,
}

impl Ended {
    /// Why it gave no answer; `otherwise` if it ended by itself.
    pub(super) fn failure(&self, otherwise: Class) -> Failure {
        let class = match signal_of(self.status) {
            // SIGXFSZ: what it wrote became too long.
            Some(25) => Class::TooLarge,
            // SIGXCPU: its time on the processor was over.
            Some(24) => Class::Timeout,
            Some(_) if self.complaint.contains("memory allocation") => Class::OutOfMemory,
            Some(_) => Class::Crashed,
            None if self.complaint.contains("annot allocate memory") => Class::OutOfMemory,
            None => otherwise,
        };
        Failure::Ended(class, format!("{}: {}", self.status, self.complaint.trim()))
    }
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}

fn run(
    mut command: Command,
    input: File,
    is_stopping: &dyn Fn() -> bool,
) -> Result<Ended, Failure> {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::NotStarted)?;
    let (output, complaint) = (read_aside(child.stdout.take()), read_aside(child.stderr.take()));
    let (Some(output), Some(complaint)) = (output, complaint) else {
        end(&mut child);
        return Err(Failure::NotStarted(io::Error::other("the pipes of a media worker are gone")));
    };
    let began = Stopwatch::start();
    let output = loop {
        match output.recv_timeout(LOOK_EVERY) {
            Ok(output) => break output,
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if is_stopping() {
            end(&mut child);
            return Err(Failure::Stopped);
        }
        if u128::from(began.elapsed_ms()) > DEADLINE.as_millis() {
            end(&mut child);
            return Err(Failure::Ended(Class::Timeout, "it took more than 30 s".into()));
        }
    };
    // It has closed its output: it is about to end, or has no reason to live. The status of one that is ending stays.
    let _ = child.kill();
    let status = child.wait().map_err(Failure::NotStarted)?;
    let complaint = complaint.recv_timeout(LOOK_EVERY).unwrap_or_default();
    Ok(Ended { status, output, complaint: String::from_utf8_lossy(&complaint).into_owned() })
}

pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads a pipe to its end, or as far as anybody listens, in a thread of its own.
fn read_aside<R: Read + Send + 'static>(pipe: Option<R>) -> Option<mpsc::Receiver<Vec<u8>>> {
    let pipe = pipe?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    Some(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_of_its_input_is_read_and_what_the_file_says_of_itself_is_not() {
        let said = "Input #0, avi, from 'file:/proc/self/fd/0':\n  Metadata:\n    title           : a\n      Duration: 99:00:00\n  \
                    Duration: 00:01:02.50, start: 0.000000, bitrate: 300 kb/s\n  Stream #0:0: Video: mpeg4 (Simple Profile), yuv420p\n";
        let told = Told::of(said);
        assert_eq!((told.duration_ms, told.codec.as_deref()), (Some(62_500), Some("mpeg4")));
        assert_eq!(Told::of("  Duration: N/A, start").duration_ms, None);
        assert_eq!(clock_ms("00:99:00.00"), None);
    }
}
