//! Large files that are sent while they are read for several.
//!
//! Which upload was begun for which file is noted, so that the next run goes on where a stopped one ended: the server
//! cannot find it by a digest that nobody knows yet. What it says it holds in the end is compared with what was read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Run;
use super::pipeline::name_of;
use super::reading::now_ns;
use crate::cache::path_bytes;
use crate::delivery::Part;
use crate::error::{Error, Kind, Result};
use crate::scan::Found;
use crate::sending::{Coming, Sender};
use crate::settling;

/// Fact in the cache: the upload that was begun last and not ended.
const BEGUN: &str = "begun_upload";

/// A file that was changed so shortly before may have been changed again in the same tick of its clock: 2 s, as file
/// systems that keep whole seconds have it.
const TICK_NS: i64 = 2_000_000_000;

/// An upload, and what the file system said of the file.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Noted {
    location: String,
    path: String,
    size_bytes: u64,
    mtime_ns: i64,
    inode: u64,
}

impl Noted {
    fn of(file: &Found, location: String) -> Self {
        let path = hex::encode(path_bytes(&file.path));
        let Found { size_bytes, mtime_ns, inode, .. } = *file;
        Self { location, path, size_bytes, mtime_ns, inode }
    }
}

impl Run {
    /// Sends a large file while it is read; whether it is done. One that changed comes again.
    pub(super) async fn send_parts(
        self: &Arc<Self>,
        sender: &Sender,
        file: Found,
        parts: mpsc::Receiver<Part>,
    ) -> Result<bool> {
        let claims = self.claims_of(&file).await?;
        let coming = Coming { name: name_of(&file.path), file, claims };
        let sent = self.send_noted(sender, &coming, parts).await;
        if sent.as_ref().is_err_and(|error| error.kind == Kind::File) {
            self.cache.forget_file(&coming.file.path)?;
        }
        sent
    }

    async fn send_noted(
        &self,
        sender: &Sender,
        coming: &Coming,
        parts: mpsc::Receiver<Part>,
    ) -> Result<bool> {
        let begun = sender.begin(coming, self.find_begun(&coming.file)?).await?;
        if now_ns().saturating_sub(coming.file.mtime_ns) >= TICK_NS {
            let noted = Noted::of(&coming.file, begun.location.clone());
            let text = serde_json::to_string(&noted);
            let text = text.map_err(|cause| Error::unexpected(cause.to_string()))?;
            self.cache.put_fact(BEGUN, &text)?;
        }
        let sent = sender.send_parts(coming, &begun, parts).await;
        // Whatever else went wrong, the upload is still there, and the next run goes on with it.
        if sent.is_ok() || sent.as_ref().is_err_and(|error| error.kind == Kind::File) {
            self.forget_begun(&coming.file, &begun.location)?;
        }
        let Some(hashed) = sent? else { return Ok(false) };
        let (file, digest) = self.note(hashed)?;
        let presences = settling::missing(&self.connection, &[digest]).await?;
        if !presences.iter().all(|presence| presence.is_settled()) {
            let text = format!("{} arrived with other bytes than were read", file.path.display());
            return Err(Error::new(Kind::File, text)
                .coded("digest_mismatch")
                .hint("it is sent again at the next backup"));
        }
        self.cache.settle(&[digest])?;
        Ok(true)
    }

    /// Where an earlier run began to send this very file.
    fn find_begun(&self, file: &Found) -> Result<Option<String>> {
        let text = self.cache.find_fact(BEGUN)?.unwrap_or_default();
        let noted: Option<Noted> = serde_json::from_str(&text).ok();
        let is_same = |noted: &Noted| *noted == Noted::of(file, noted.location.clone());
        Ok(noted.filter(is_same).map(|noted| noted.location))
    }

    /// Unless another one was begun meanwhile.
    fn forget_begun(&self, file: &Found, location: &str) -> Result<()> {
        match self.find_begun(file)? {
            Some(noted) if noted == location => self.cache.put_fact(BEGUN, ""),
            _ => Ok(()),
        }
    }
}
