//! Makes the version of a film that every browser plays: `ffmpeg` in the jail of the tools, as long as the film takes. H.264
//! and AAC in MP4, at most 1080p, 8 bits, the index in front. Everything here blocks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use super::facts::{Class, Motion, Transfer};
use super::process::{Ended, Failure, LOOK_EVERY, Workshop, end};
use super::worker::Bounds;
use crate::clock::Stopwatch;

/// A film that gets no further for so long is given up: 10 min. Moving the index to the front says nothing meanwhile.
const STALL_MS: u64 = 10 * 60 * 1000;
/// Processor time for each second of film: 4K at 60 pictures a second with its light converted takes about 20.
const CPU_S_PER_S: u64 = 40;
/// Least and most processor time: 10 min, 12 h. Of a film whose length nobody knows it is the most.
const CPU_S: (u64, u64) = (600, 12 * 60 * 60);
/// Bytes for each second of a film whose pictures are copied as they are: 20 Mbit/s. What needs more is made anew.
const COPIED_BYTES_PER_S: u64 = 2_500_000;
/// Address space: 4K with 10 bits keeps a dozen pictures of 25 MB in every thread.
const MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// What is kept of complaints.
const COMPLAINT_BYTES: usize = 4096;

/// What is to be made of an original.
#[derive(Debug, Clone)]
pub struct Order {
    /// Length of the film, if somebody knows.
    pub duration_ms: Option<i64>,
    /// How its light is meant.
    pub transfer: Option<Transfer>,
    /// Its pictures can stay as they are.
    pub copies: bool,
    /// The film is only this part of the original.
    pub motion: Option<Motion>,
    /// Threads that ffmpeg may use.
    pub threads: usize,
    /// Longest file that is made.
    pub most_bytes: u64,
}

impl Order {
    fn seconds(&self) -> Option<u64> {
        self.duration_ms.and_then(|ms| u64::try_from(ms / 1000 + 1).ok())
    }

    /// Bytes that are probably needed: 8 Mbit/s of pictures at most, and the sound.
    pub fn expected_bytes(&self, original_bytes: u64) -> u64 {
        let by_length = self.seconds().map(|seconds| seconds.saturating_mul(1_050_000));
        by_length.unwrap_or(original_bytes).min(self.most_bytes)
    }
}

/// How the pictures get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copied,
    /// Bright and wide colours are brought down to what screens show.
    ToneMapped,
    Encoded,
}

/// Filters that bring the light of a film to what every screen shows; empty for films that are so already. The source is
/// named, because not every film says it in every picture.
pub fn to_screen(transfer: Option<Transfer>) -> &'static str {
    match transfer {
        None => "",
        Some(Transfer::Pq) => {
            ",zscale=tin=smpte2084:min=bt2020nc:pin=bt2020:rin=tv:t=linear:npl=203,format=gbrpf32le,\
             zscale=p=bt709,tonemap=tonemap=mobius:desat=0,zscale=t=bt709:m=bt709:r=tv"
        }
        Some(Transfer::Hlg) => {
            ",zscale=tin=arib-std-b67:min=bt2020nc:pin=bt2020:rin=tv:t=linear:npl=203,format=gbrpf32le,\
             zscale=p=bt709,tonemap=tonemap=mobius:desat=0,zscale=t=bt709:m=bt709:r=tv"
        }
    }
}

impl Workshop {
    /// Makes the playable version below the workshop's folder, which the caller removes. `tell` hears how many milliseconds
    /// of the film are done; `is_stopping` is asked several times a second.
    pub fn make_playable(
        &self,
        original: File,
        order: &Order,
        tell: &dyn Fn(i64),
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<PathBuf, Failure> {
        std::fs::create_dir_all(&self.folder).map_err(Failure::NotStarted)?;
        let copied = order.copies.then_some(Way::Copied);
        let mapped = order.transfer.map(|_| Way::ToneMapped);
        let mut last = Failure::Ended(Class::Corrupt, "nothing was tried".into());
        // A way that fails leaves the next one: not every film says the truth, and not every ffmpeg has every filter.
        for way in copied.into_iter().chain(mapped).chain([Way::Encoded]) {
            let input = original.try_clone().map_err(Failure::NotStarted)?;
            match self.transcode(input, order, way, tell, is_stopping) {
                Ok(made) => return Ok(made),
                Err(Failure::Ended(class, why)) => last = Failure::Ended(class, why),
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    fn transcode(
        &self,
        original: File,
        order: &Order,
        way: Way,
        tell: &dyn Fn(i64),
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<PathBuf, Failure> {
        let missing = || Failure::Ended(Class::MissingTool, "there is no ffmpeg".into());
        let program = self.tools.program(super::facts::Tool::Ffmpeg).ok_or_else(missing)?;
        let output = self.folder.join("playable.mp4");
        let seconds = order.seconds();
        let file_bytes = match (way, seconds) {
            (Way::Copied, Some(seconds)) => {
                order.most_bytes.min((seconds + 8).saturating_mul(COPIED_BYTES_PER_S))
            }
            _ => order.most_bytes,
        };
        let cpu_s = seconds.map_or(CPU_S.1, |s| s.saturating_mul(CPU_S_PER_S));
        let cpu_s = cpu_s.clamp(CPU_S.0, CPU_S.1);
        let bounds = Bounds { memory_bytes: MEMORY_BYTES, cpu_s, file_bytes };
        let mut command = self.tool(program, Some(&self.folder), Some(bounds));
        command.args(arguments(order, way)).arg(&output);
        command.stdin(original).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::NotStarted)?;
        let complaint = read_last(child.stderr.take());
        let progress = read_progress(child.stdout.take());
        if let Err(failure) = watch(&mut child, &progress, tell, is_stopping) {
            end(&mut child);
            return Err(failure);
        }
        let status = child.wait().map_err(Failure::NotStarted)?;
        let complaint = complaint.recv_timeout(LOOK_EVERY).unwrap_or_default();
        let ended = Ended { status, output: Vec::new(), complaint };
        // ffmpeg ends by itself when its time is over, and says so by this code.
        if ended.status.code() == Some(255) {
            return Err(Failure::Ended(Class::Timeout, ended.complaint));
        }
        if !ended.status.success() {
            let lacks = ended.complaint.contains("Unknown encoder");
            return Err(ended.failure(if lacks { Class::MissingTool } else { Class::Corrupt }));
        }
        match is_film(&output) {
            true => Ok(output),
            false => Err(ended.failure(Class::Corrupt)),
        }
    }
}

/// Whether it is what was asked for: nobody believes a program that has read a hostile file.
fn is_film(path: &std::path::Path) -> bool {
    let mut head = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head[4..] == *b"ftyp"
}

fn arguments(order: &Order, way: Way) -> Vec<String> {
    let threads = order.threads.max(1).to_string();
    let mut words: Vec<String> = [
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        "-y",
        "-progress",
        "pipe:1",
        "-stats_period",
        "1",
        "-protocol_whitelist",
        "file,pipe,fd,subfile",
        "-filter_threads",
        &threads,
        "-threads",
        &threads,
        "-i",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(match order.motion {
        None => "file:/proc/self/fd/0".into(),
        Some(Motion { at, length }) => {
            format!("subfile,,start,{at},end,{},,:/proc/self/fd/0", at + length)
        }
    });
    // The first film that is no cover, and the first sound if there is one.
    let fixed = "-map 0:V:0 -map 0:a:0? -sn -dn -map_metadata -1 -map_chapters -1 -movflags +faststart \
                 -c:a aac -b:a 160k -ac 2 -f mp4";
    words.extend(fixed.split_whitespace().map(str::to_owned));
    if way == Way::Copied {
        words.extend(["-c:v", "copy"].map(str::to_owned));
        return words;
    }
    let mapped = if way == Way::ToneMapped { to_screen(order.transfer) } else { "" };
    // Half pictures of old cameras become whole ones; a slow-motion film is played at the speed of screens.
    let filters = format!(
        "yadif=deint=interlaced,scale=w='min(iw,if(gte(iw,ih),1920,1080))':h='min(ih,if(gte(iw,ih),1080,1920))':\
         force_original_aspect_ratio=decrease:force_divisible_by=2{mapped},format=yuv420p"
    );
    let encoder =
        "-fpsmax 60 -c:v libx264 -preset veryfast -crf 23 -maxrate 8M -bufsize 16M -profile:v high";
    words.extend(["-vf".to_owned(), filters]);
    words.extend(encoder.split_whitespace().map(str::to_owned));
    words.extend(["-threads".to_owned(), threads]);
    words
}

/// Until the process says no more. What it says is how far it is.
fn watch(
    child: &mut Child,
    progress: &mpsc::Receiver<i64>,
    tell: &dyn Fn(i64),
    is_stopping: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let began = Stopwatch::start();
    let (mut furthest, mut moved_at_ms) = (0, 0);
    let mut is_silent = false;
    loop {
        if is_silent {
            thread::sleep(LOOK_EVERY);
        } else {
            match progress.recv_timeout(LOOK_EVERY) {
                Ok(done_ms) if done_ms > furthest => {
                    (furthest, moved_at_ms) = (done_ms, began.elapsed_ms());
                    tell(done_ms);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_silent = true,
            }
        }
        if is_silent && child.try_wait().map_err(Failure::NotStarted)?.is_some() {
            return Ok(());
        }
        if is_stopping() {
            return Err(Failure::Stopped);
        }
        if began.elapsed_ms() - moved_at_ms > STALL_MS {
            return Err(Failure::Ended(Class::Timeout, "it got no further for 10 min".into()));
        }
    }
}

/// Milliseconds of the film that are done, line by line.
fn read_progress<R: Read + Send + 'static>(pipe: Option<R>) -> mpsc::Receiver<i64> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = pipe {
        thread::spawn(move || {
            // Bounded lines: the program may have been taken over.
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(reader.by_ref().take(512).read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line);
                let us = text.strip_prefix("out_time_us=").and_then(|us| us.trim().parse().ok());
                if us.is_some_and(|us: i64| sender.send(us / 1000).is_err()) {
                    break;
                }
                line.clear();
            }
        });
    }
    receiver
}

/// The end of what a process says, however much that is.
fn read_last<R: Read + Send + 'static>(pipe: Option<R>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                kept.extend_from_slice(&piece[..read]);
                let surplus = kept.len().saturating_sub(COMPLAINT_BYTES);
                kept.drain(..surplus);
            }
            let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
        });
    }
    receiver
}
