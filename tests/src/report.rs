//! What a transfer of many files came to. Filled in by the clients, printed by the demo, asserted by tests.

/// One file that was not transferred, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Local path or listed name.
    pub name: String,
    /// For people.
    pub reason: String,
}

/// One file the server took, as its answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The local path.
    pub path: std::path::PathBuf,
    /// `filename` of the answer.
    pub listed_name: String,
    /// `duplicate` of the answer.
    pub duplicate: bool,
}

/// The outcome of one backup or restore run.
#[derive(Clone, Debug, Default)]
pub struct TransferReport {
    /// Files the server stored now, or files restored.
    pub stored: u64,
    /// Uploads answered with `duplicate`.
    pub duplicates: u64,
    /// Files never sent, because the client believes by their name that the other side has them.
    pub skipped: u64,
    /// Files the client gave up.
    pub failed: Vec<Failure>,
    /// Body bytes of files transferred with success, duplicates included.
    pub bytes: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Every upload answered with success, in the order of the answers.
    pub accepted: Vec<Accepted>,
}

impl TransferReport {
    /// Counts an upload that was answered with success.
    pub(crate) fn accept(&mut self, accepted: Accepted, bytes: u64) {
        match accepted.duplicate {
            true => self.duplicates += 1,
            false => self.stored += 1,
        }
        self.bytes += bytes;
        self.accepted.push(accepted);
    }

    /// Counts a file that was given up.
    pub(crate) fn fail(&mut self, name: impl Into<String>, reason: impl ToString) {
        self.failed.push(Failure { name: name.into(), reason: reason.to_string() });
    }

    /// Files sent or received with success.
    pub fn transferred(&self) -> u64 {
        self.stored + self.duplicates
    }

    /// Million bytes per second over the whole run.
    pub fn megabytes_per_second(&self) -> f64 {
        match self.seconds > 0.0 {
            true => self.bytes as f64 / 1e6 / self.seconds,
            false => 0.0,
        }
    }
}
