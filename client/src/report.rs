//! What a run tells its watcher: a person at a terminal, a log, or a program.
//!
//! The library only makes [`Event`]s; how they look is decided in `terminal` and by whoever implements [`Report`].

use std::sync::Arc;

use serde::Serialize;

/// Takes events. Called from several tasks at once, often; must not block for long.
pub trait Report: Send + Sync {
    /// One event.
    fn event(&self, event: &Event);

    /// One event of a run that has two destinations. Whoever does not care takes it as any other.
    fn event_of(&self, _: Destination, event: &Event) {
        self.event(event);
    }
}

/// Where a run of two destinations sends files. As JSON: under `to` of every event that belongs to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// The server, which can read what it keeps.
    Server,
    /// A sealed backup.
    Relay,
}

/// Passes on the events of one destination.
pub struct To {
    destination: Destination,
    report: Arc<dyn Report>,
}

impl To {
    /// Events of that destination go to `report`.
    pub fn new(destination: Destination, report: Arc<dyn Report>) -> Arc<Self> {
        Arc::new(Self { destination, report })
    }
}

impl Report for To {
    fn event(&self, event: &Event) {
        self.report.event_of(self.destination, event);
    }
}

/// Something happened. As JSON: one object with its name under `event`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Files found so far while looking through the folders.
    Scanning {
        /// How many.
        files: u64,
        /// Their length.
        bytes: u64,
    },
    /// All folders were looked through.
    Scanned {
        /// Files to be kept safe.
        files: u64,
        /// Their length.
        bytes: u64,
        /// Hidden and excluded ones, which are not looked at.
        skipped: u64,
        /// Files without any bytes, which are not sent.
        empty: u64,
    },
    /// How far it is; at most ten times a second.
    Progress(Progress),
    /// One file is done.
    FileDone {
        /// Which, as the person named it.
        path: String,
        /// `sent`, `held` (the server had it), `deleted` (a person deleted it there), `restored`, `present`.
        how: &'static str,
        /// Its length.
        bytes: u64,
    },
    /// One file could not be done.
    FileFailed {
        /// Which.
        path: String,
        /// A stable code.
        code: &'static str,
        /// Why.
        reason: String,
    },
    /// Something stands in the way for now.
    Waiting {
        /// What.
        reason: String,
        /// Seconds until the next try.
        wait_s: f64,
    },
    /// A line for people.
    Note {
        /// The line.
        text: String,
    },
    /// A backup ended.
    BackupDone(BackupSummary),
    /// A restore ended.
    RestoreDone(RestoreSummary),
    /// Receipts were asked for.
    VerifyDone(VerifySummary),
    /// Equal files were looked for.
    DuplicatesDone {
        /// Groups of equal files.
        groups: u64,
        /// Files beside the oldest of each group.
        files: u64,
        /// Their length.
        bytes: u64,
    },
    /// The run ended with an error.
    Failed {
        /// A stable code.
        code: &'static str,
        /// What happened.
        reason: String,
        /// What to do.
        hint: String,
    },
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Files that need nothing more.
    pub files_done: u64,
    /// All files of this run, as far as known.
    pub files_total: u64,
    /// Bytes that need nothing more.
    pub bytes_done: u64,
    /// All bytes of this run, as far as known.
    pub bytes_total: u64,
    /// Bytes sent or received, over the last seconds.
    pub bytes_per_s: u64,
    /// Seconds left, if anything moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// What is on its way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current: String,
}

/// What a backup did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    /// Files looked at.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Files that were sent.
    pub sent_files: u64,
    /// Bytes that went over the network, with those sent twice.
    pub sent_bytes: u64,
    /// Files read to compute their digest.
    pub hashed_files: u64,
    /// Files the server had already.
    pub held_files: u64,
    /// Files that a person deleted on the server and that were not sent again.
    pub deleted_files: u64,
    /// Files that could not be backed up.
    pub failed_files: u64,
    /// Hidden and excluded entries.
    pub skipped_files: u64,
    /// Files without any bytes.
    pub empty_files: u64,
    /// Whether everything this device wants safe now is.
    pub complete: bool,
    /// Whether it went into a sealed backup.
    pub sealed: bool,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// Files of the library: a photo that lay in several places counts once for each.
    pub files: u64,
    /// Files that were written.
    pub restored_files: u64,
    /// Files that were there already, byte for byte.
    pub present_files: u64,
    /// Files that could not be restored.
    pub failed_files: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

/// What the server says of every file of this device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifySummary {
    /// Different files asked about.
    pub files: u64,
    /// Re-read from the server's disk, with a receipt whose signature is right.
    pub verified: u64,
    /// Of these, also found right in a backup of the server on another disk.
    pub second_copy: u64,
    /// Since when every one of them was last found there, Unix milliseconds; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_copy_since_ms: Option<i64>,
    /// Whole when they arrived, not yet re-read.
    pub received: u64,
    /// Missing, damaged, or deleted by a person.
    pub not_held: u64,
    /// Receipts whose signature, account or key is wrong.
    pub bad_receipts: u64,
    /// Waiting to be re-read; ask again later.
    pub queued: u64,
}

/// Keeps events for tests and for programs that want none.
#[derive(Debug, Default)]
pub struct Quiet;

impl Report for Quiet {
    fn event(&self, _: &Event) {}
}
