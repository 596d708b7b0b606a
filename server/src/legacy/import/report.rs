//! What an import did, for people.

use std::collections::BTreeMap;

use uuid::Uuid;

/// What became of one account's data.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// E-mail.
    pub email: String,
    /// The account did not exist here before.
    pub is_new: bool,
    /// Originals that are new here.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Originals whose bytes the account had already.
    pub duplicates: u64,
    /// Sealed chunks that are new here.
    pub chunks: u64,
    /// Sealed manifests that are new here.
    pub manifests: u64,
    /// Chunks and manifests the account had already.
    pub known_sealed: u64,
    /// Originals, chunks and manifests that are in the trash here, and stay there.
    pub trashed: u64,
    /// Device states that are new here.
    pub device_states: u64,
}

impl Tally {
    fn has_news(&self) -> bool {
        self.is_new || self.files + self.chunks + self.manifests + self.device_states > 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let account = if self.is_new { "new account" } else { "had an account here" };
        write!(
            f,
            "{} ({account}): {} files ({} bytes) imported, {} duplicates; {} chunks and {} manifests imported, {} \
             known",
            self.email,
            self.files,
            self.file_bytes,
            self.duplicates,
            self.chunks,
            self.manifests,
            self.known_sealed
        )?;
        if self.device_states > 0 {
            write!(f, "; {} device states", self.device_states)?;
        }
        if self.trashed > 0 {
            write!(f, "; {} in the trash here stay there", self.trashed)?;
        }
        Ok(())
    }
}

/// What an import did and what it left where it was.
#[derive(Debug, Default)]
pub struct Imported {
    /// By account.
    pub accounts: BTreeMap<Uuid, Tally>,
    /// One sentence each: left for a reason that needs the operator.
    pub left: Vec<String>,
    /// One sentence each: left because there is nothing in it to keep.
    pub notes: Vec<String>,
}

impl Imported {
    /// The counters of an account.
    pub(super) fn tally(&mut self, account: Uuid, email: &str) -> &mut Tally {
        let new = || Tally { email: email.to_owned(), ..Tally::default() };
        self.accounts.entry(account).or_insert_with(new)
    }

    pub(super) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// Whether this run brought anything that was not there before.
    pub fn has_news(&self) -> bool {
        self.accounts.values().any(Tally::has_news)
    }
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for tally in self.accounts.values() {
            writeln!(f, "{tally}")?;
        }
        if !self.has_news() {
            writeln!(f, "nothing new: everything that can be imported is here already")?;
        }
        for note in &self.notes {
            writeln!(f, "not imported, nothing to keep: {note}")?;
        }
        for left in &self.left {
            writeln!(f, "left alone: {left}")?;
        }
        if !self.left.is_empty() {
            writeln!(
                f,
                "{} things need you; nothing of the old server was changed, so import again when they are settled",
                self.left.len()
            )?;
        }
        Ok(())
    }
}
