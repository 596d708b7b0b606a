//! Rebuilds what a disk may hold after the power fails, from the log of the power-cut recorder
//! (`photosync-powercut`, a library that is loaded into the process under test).
//!
//! Killing a process proves nothing about `fsync`: the page cache outlives it. Here every write,
//! rename and flush of the *whole* process, SQLite included, is in the log, in one order with every
//! answer it gave; and [`Recording::materialise`] builds the folder a power cut at any point of
//! that order may leave.
//!
//! # How a test uses it
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use photosync_powercut_replay::{Cut, Recording, launch};
//!
//! // 1. Start the server under the recorder; `data` may be empty or hold an older library.
//! let (data, log) = (Path::new("data"), Path::new("run.powercut"));
//! let mut server = std::process::Command::new("photosync-server");
//! server.arg("serve").arg("--data").arg(data);
//! launch::record(&mut server, data, log)?;
//! let mut server = server.spawn()?;
//! // 2. Upload over plain HTTP/1.1, each request with its own `X-Request-Id`; stop the server.
//! # server.wait()?;
//! // 3. Cut the power wherever it may hurt.
//! let mut recording = Recording::open(log)?;
//! for position in 0..=recording.len() {
//!     for cut in [Cut::Strict, Cut::Random(1), Cut::Random(2)] {
//!         let left = Path::new("left");
//!         recording.materialise(position, &cut, left)?;
//!         // 4. Open `left` with the real server, without the recorder. Every upload with
//!         //    `find_answers_with_status_2xx(id)` at or before `position` must be there, whole.
//!         std::fs::remove_dir_all(left)?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * The shared library must be built before: `cargo build -p photosync-powercut` (same profile as
//!   the tests). [`launch::find_recorder_library`] looks beside the running test.
//! * To prove that the recorder saw everything, materialise [`Cut::KeepEverything`] at
//!   [`Recording::len`] and compare it with the real folder after a clean stop. SQLite's `-shm` is
//!   written through a memory map and differs; SQLite rebuilds it.
//! * The process must reach the kernel through the C library. `rustix` must be built with its
//!   feature `use-libc`; a file made behind the recorder's back stops the process with a message.
//!   A rename behind its back shows as a lost file, and in the comparison above.
//! * Answers must be plain HTTP/1.1: under TLS or HTTP/2 they are recorded but cannot be read.
//! * [`Recording`] is cheap to clone: give each thread its own. Going forward through the positions
//!   costs nothing but the writing of the folder; going back replays the log from its beginning,
//!   without its data.
//!
//! # What is durable
//!
//! * Bytes and size of a file: what was written before the *start* of an `fsync`/`fdatasync` of
//!   that file which *ended* well before the cut.
//! * Names: what was done in a directory before the start of an `fsync` of that directory which
//!   ended well. Flushing a file does not save its name. SQLite keeps to this: it flushes the
//!   directory itself after it has made a journal, so no leniency is needed.
//! * One leniency: a rename into another directory never loses the file. Its old name disappears
//!   only when its new name is there, even if only the old directory was flushed. Until both are
//!   flushed, both names may be there.
//! * Permission bits are durable at once; times and extended attributes are not modelled; a write
//!   through a descriptor opened with `O_SYNC` counts as not flushed.

mod answer;
mod content;
mod cut;
pub mod launch;
mod materialise;
mod model;
pub mod record;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use answer::Answer;
pub use cut::Cut;
use model::State;
use record::{LENGTHS_BYTES, MAGIC, MAX_HEAD_BYTES, Record};

/// Why a log cannot be replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// The log could not be read.
    Read {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a log, or it does not hold the start of a recording.
    NotALog {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record contradicts what came before: the recorder missed an operation.
    Inconsistent {
        /// Number of the record, as in [`Recording::describe`]; 0 while describing the start.
        position: usize,
        /// The contradiction.
        problem: String,
    },
    /// The position lies beyond the end of the recording.
    NoSuchPosition {
        /// The position asked for.
        position: usize,
        /// The last one there is.
        last: usize,
    },
    /// The folder to be filled is not empty.
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "could not read the log {}", path.display()),
            Self::NotALog { path, problem } => {
                write!(f, "{} is no complete power-cut log: {problem}", path.display())
            }
            Self::Inconsistent { position, problem } => {
                write!(f, "record {position} cannot have happened: {problem}")
            }
            Self::NoSuchPosition { position, last } => {
                write!(f, "there is no position {position}; the last one is {last}")
            }
            Self::NotEmpty { path } => write!(f, "the folder {} is not empty", path.display()),
            Self::Write { path, .. } => write!(f, "could not write {}", path.display()),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => Some(source),
            Self::NotALog { .. }
            | Self::Inconsistent { .. }
            | Self::NoSuchPosition { .. }
            | Self::NotEmpty { .. } => None,
        }
    }
}

/// A record and where its data stand in the log.
#[derive(Debug)]
struct Entry {
    record: Record,
    data_at: u64,
    data_len: u64,
}

/// What is read once and shared by all clones.
#[derive(Debug)]
struct Log {
    file: File,
    entries: Vec<Entry>,
    answers: Vec<Answer>,
}

/// A recorded run. A *position* is a number of records: at position 0 nothing has happened yet, at
/// position `n` the first `n` operations and answers have, and at [`Recording::len`] all have.
#[derive(Debug, Clone)]
pub struct Recording {
    log: Arc<Log>,
    /// The model before anything happened.
    start: State,
    /// Number of entries that describe the start.
    start_entries: usize,
    /// The model at `position`.
    state: State,
    position: usize,
}

impl Recording {
    /// Reads the index of a log; the recorded bytes stay in it. A last record that a killed process
    /// could not finish is left out.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Read { path: path.to_owned(), source };
        let not_a_log = |problem| ReplayError::NotALog { path: path.to_owned(), problem };
        let file = File::open(path).map_err(failed)?;
        let entries = read_entries(&file).map_err(failed)?;
        let entries = entries.ok_or(not_a_log("it does not begin like one, or is damaged"))?;
        let started = entries.iter().position(|entry| entry.record == Record::Started);
        let start_entries = started.ok_or(not_a_log("the recording never began"))? + 1;
        let mut answers = Vec::new();
        for (index, entry) in entries.iter().enumerate().skip(start_entries) {
            if entry.record == Record::Answer {
                let mut bytes = vec![0; usize::try_from(entry.data_len).unwrap_or_default()];
                file.read_exact_at(&mut bytes, entry.data_at).map_err(failed)?;
                answers.push(Answer { position: index + 1 - start_entries, bytes });
            }
        }
        let mut start = State::default();
        for (index, entry) in entries.iter().enumerate().take(start_entries) {
            start
                .apply(index as u64, &entry.record, entry.data_at, entry.data_len)
                .map_err(|problem| ReplayError::Inconsistent { position: 0, problem })?;
        }
        let state = start.clone();
        let log = Arc::new(Log { file, entries, answers });
        Ok(Self { log, start, start_entries, state, position: 0 })
    }

    /// Number of operations and answers recorded: the last position.
    pub fn len(&self) -> usize {
        self.log.entries.len() - self.start_entries
    }

    /// Whether nothing happened after the recording began.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything the process said on its sockets, in order.
    pub fn answers(&self) -> Vec<Answer> {
        self.log.answers.clone()
    }

    /// The answers with a status of 200 to 299 to the request with this `X-Request-Id`, in order.
    /// Empty when the request was never answered well.
    pub fn find_answers_with_status_2xx(&self, request_id: &str) -> Vec<Answer> {
        let is_wanted = |answer: &&Answer| {
            answer.status().is_some_and(|status| (200..300).contains(&status))
                && answer.header("x-request-id") == Some(request_id)
        };
        self.log.answers.iter().filter(is_wanted).cloned().collect()
    }

    /// Whether the process had promised this request's success at `position`.
    pub fn is_acknowledged(&self, request_id: &str, position: usize) -> bool {
        let answers = self.find_answers_with_status_2xx(request_id);
        answers.first().is_some_and(|answer| answer.position <= position)
    }

    /// Fills `dir`, made if missing and empty otherwise, with what the disk may hold when the
    /// power fails at `position`. The same cut gives the same folder again. After an error `dir`
    /// holds a part of it.
    pub fn materialise(
        &mut self,
        position: usize,
        cut: &Cut,
        dir: &Path,
    ) -> Result<(), ReplayError> {
        self.go_to(position)?;
        let failed = |source| ReplayError::Write { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(ReplayError::NotEmpty { path: dir.to_owned() });
        }
        materialise::write_tree(&self.state, *cut, &self.log.file, dir)
    }

    /// The last record before `position` in words, for the message of a failing test.
    pub fn describe(&self, position: usize) -> String {
        let Some(index) = position.checked_sub(1) else {
            return "0: the recording begins".to_owned();
        };
        let Some(entry) = self.log.entries.get(self.start_entries + index) else {
            return format!("{position}: beyond the end");
        };
        let mut there = self.clone();
        if let Err(error) = there.go_to(position) {
            return format!("{position}: {error}");
        }
        let path = |ino: u64| match ino {
            0 => "everything".to_owned(),
            _ => there.state.find_path(ino).unwrap_or_else(|| format!("inode {ino} (no name)")),
        };
        let name = String::from_utf8_lossy;
        let count = entry.data_len;
        let what = match &entry.record {
            Record::Root { .. } | Record::Started => "the recording begins".to_owned(),
            Record::Create { dir, name: made, kind, .. } => {
                format!("make {kind:?} {} in {}", name(made), path(*dir))
            }
            Record::CreateUnnamed { ino, .. } => format!("make {}", path(*ino)),
            Record::Write { ino, offset } => {
                format!("write {count} bytes at {offset} of {}", path(*ino))
            }
            Record::Zero { ino, offset, len } => {
                format!("clear {len} bytes at {offset} of {}", path(*ino))
            }
            Record::Resize { ino, size } => format!("set the size of {} to {size}", path(*ino)),
            Record::Rename { from_dir, from, to_dir, to } => format!(
                "rename {} in {} to {} in {}",
                name(from),
                path(*from_dir),
                name(to),
                path(*to_dir)
            ),
            Record::Exchange { from_dir, from, to_dir, to } => format!(
                "exchange {} in {} and {} in {}",
                name(from),
                path(*from_dir),
                name(to),
                path(*to_dir)
            ),
            Record::Link { dir, name: new, .. } => format!("link {} in {}", name(new), path(*dir)),
            Record::Unlink { dir, name: old } => format!("remove {} in {}", name(old), path(*dir)),
            Record::Mode { ino, mode } => format!("set the mode of {} to {mode:o}", path(*ino)),
            Record::SyncStart { sync, ino } => format!("flush {sync} of {} begins", path(*ino)),
            Record::SyncEnd { sync } => format!("flush {sync} ends"),
            Record::Answer => self.describe_answer(position),
        };
        format!("{position}: {what}")
    }

    fn describe_answer(&self, position: usize) -> String {
        let said = self.log.answers.iter().find(|answer| answer.position == position);
        let bytes = said.map_or(&[][..], |answer| &answer.bytes);
        let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
        format!("say {:?}", String::from_utf8_lossy(line))
    }

    /// Moves the model to a position, backwards by beginning anew.
    fn go_to(&mut self, position: usize) -> Result<(), ReplayError> {
        if position > self.len() {
            return Err(ReplayError::NoSuchPosition { position, last: self.len() });
        }
        if position < self.position {
            self.state = self.start.clone();
            self.position = 0;
        }
        while self.position < position {
            let index = self.start_entries + self.position;
            let entry = &self.log.entries[index];
            self.position += 1;
            self.state.apply(index as u64, &entry.record, entry.data_at, entry.data_len).map_err(
                |problem| ReplayError::Inconsistent { position: self.position, problem },
            )?;
        }
        Ok(())
    }
}

/// Reads all records of a log; `None` when it is none.
fn read_entries(file: &File) -> io::Result<Option<Vec<Entry>>> {
    let end = file.metadata()?.len();
    let mut log = BufReader::new(file);
    log.seek(SeekFrom::Start(0))?;
    let mut magic = [0; MAGIC.len()];
    if end < MAGIC.len() as u64 {
        return Ok(None);
    }
    log.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut entries = Vec::new();
    let mut at = MAGIC.len() as u64;
    while end - at >= LENGTHS_BYTES as u64 {
        let mut length = [0; 4];
        log.read_exact(&mut length)?;
        let head_len = u32::from_le_bytes(length);
        log.read_exact(&mut length)?;
        let data_len = u32::from_le_bytes(length);
        let data_at = at + LENGTHS_BYTES as u64 + u64::from(head_len);
        if head_len as usize > MAX_HEAD_BYTES {
            return Ok(None);
        }
        if data_at + u64::from(data_len) > end {
            break;
        }
        let mut head = vec![0; head_len as usize];
        log.read_exact(&mut head)?;
        let Some(record) = Record::from_head(&head) else { return Ok(None) };
        log.seek_relative(i64::from(data_len))?;
        entries.push(Entry { record, data_at, data_len: u64::from(data_len) });
        at = data_at + u64::from(data_len);
    }
    Ok(Some(entries))
}
