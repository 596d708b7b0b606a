//! Tells the server where files lie that it did not get from here: copies of others in these folders, files another
//! device sent, and large ones that went on with an upload begun earlier. Without it a restore would bring equal bytes
//! back under one of their names. Where a file was only moved, its old place is taken back afterwards.
//!
//! What was told is noted after the answer: a run that ends in between tells it again, which changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::places::{DigestClaims, Move, Told};

use super::claiming::device_asset_id;
use super::{Run, blocking};
use crate::cache::Moved;
use crate::error::Result;
use crate::report::Event;
use crate::scan::Found;
use crate::settling;

/// Files looked up at once; not more than one request may tell.
const STEP: usize = 1000;
/// Length at which a request is full: 256 KiB, which any proxy lets pass and a slow line sends in its time.
const REQUEST_BYTES: usize = 256 * 1024;

/// Moves in one request: 250 KiB of usual paths.
const MOVES: usize = 500;

/// Files whose places are told in one request.
#[derive(Default)]
struct Batch {
    files: Vec<(PathBuf, Digest)>,
    claims: Vec<DigestClaims>,
}

impl Run {
    /// Tells every place that was not told yet.
    pub(super) async fn tell_places(self: &Arc<Self>) -> Result<()> {
        let (mut after, mut full) = (Vec::new(), 0);
        loop {
            let run = self.clone();
            let from = after;
            let (batches, last) = blocking(move || run.list_untold(&from)).await?;
            for batch in batches {
                match self.tell(batch).await {
                    Ok(more) => full += more,
                    // A server from before there were places: everything else works with it.
                    Err(error) if error.code == "not_found" => {
                        let text = "the server is too old to keep the places of equal files".into();
                        self.event(&Event::Note { text });
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        if full > 0 {
            let text = format!(
                "{full} copies of photos with more than 1,000 copies will not come back by a restore"
            );
            self.event(&Event::Note { text });
        }
        self.tell_moves().await
    }

    /// Tells which places were left, after the new ones are known there.
    async fn tell_moves(&self) -> Result<()> {
        loop {
            let moved = self.cache.list_moves(MOVES)?;
            if moved.is_empty() {
                return Ok(());
            }
            let id = |path: PathBuf| device_asset_id(&self.all_roots, &path);
            let said = |moved: &Moved| {
                let (from, to) = (id(moved.from_path())?, id(moved.to_path())?);
                Some(Move { digest: moved.digest, from, to })
            };
            let moves: Vec<Move> = moved.iter().filter_map(said).collect();
            match settling::tell_moves(&self.connection, moves).await {
                Ok(()) => self.cache.forget_moves(&moved)?,
                // A server from before there were moves: the files come back in both places.
                Err(error) if error.code == "not_found" => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells a batch; answers how many places the server does not keep.
    async fn tell(&self, batch: Batch) -> Result<usize> {
        let told = settling::tell(&self.connection, batch.claims).await?;
        // What the server does not have any more is found by comparing, and told when it was sent again.
        self.cache.set_told(&batch.files)?;
        Ok(told.into_iter().filter(|told| *told == Told::Full).count())
    }

    /// The next places to tell, and after which path there may be more. Blocks.
    fn list_untold(&self, after: &[u8]) -> Result<(Vec<Batch>, Option<Vec<u8>>)> {
        let step = self.cache.list_untold(after, STEP)?;
        let last = step.last().filter(|_| step.len() == STEP).map(|last| last.path.clone());
        let (mut batches, mut length) = (vec![Batch::default()], 0);
        for known in step {
            let path = known.path();
            // On a disk that is not plugged in nobody knows what folder it is told relative to.
            let has_root = self.all_roots.iter().any(|root| path.starts_with(&root.start));
            let metadata = std::fs::metadata(&path).ok().filter(|_| has_root);
            let now = metadata.map(|metadata| Found::of(path.clone(), &metadata));
            let (Some(file), Some(digest)) = (now.filter(|now| known.is_still(now)), known.digest)
            else {
                continue;
            };
            let told =
                DigestClaims { digest, claims: self.sidecars.claims(&self.all_roots, &file) };
            length += serde_json::to_string(&told).map_or(0, |json| json.len() + 1);
            if length > REQUEST_BYTES {
                batches.push(Batch::default());
                length = 0;
            }
            if let Some(batch) = batches.last_mut() {
                batch.files.push((path, digest));
                batch.claims.push(told);
            }
        }
        batches.retain(|batch| !batch.files.is_empty());
        Ok((batches, last))
    }
}
