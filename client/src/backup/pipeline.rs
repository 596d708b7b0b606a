//! Reading, asking and sending beside each other, with bounded channels between them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::settled::Presence;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::reading::{changing, hash};
use super::{Run, blocking};
use crate::cache::Pending;
use crate::error::{Error, Kind, Result};
use crate::report::Event;
use crate::scan::Found;
use crate::sending::{Outcome, Outgoing, Sender};
use crate::settling;

/// Digests asked about at once.
const BATCH: usize = 1000;
/// Files that were read and wait to be asked about.
const WAITING: usize = 256;

/// A file with its digest.
type Ready = (Found, Digest);
/// What became of a file that was sent.
type Sent = (Digest, Found, Result<()>);

impl Run {
    /// Reads, asks about and sends everything, in that order for each file. Answers an error only if it would be
    /// the same for every other file.
    pub(super) async fn send_all(self: Arc<Self>, pending: Vec<Pending>) -> Result<()> {
        let (ready, mut waiting) = mpsc::channel::<Ready>(WAITING);
        let reader = self.clone();
        let reading = tokio::task::spawn_blocking(move || reader.read_all(pending, &ready));
        let sender = Arc::new(Sender::new(self.connection.clone(), self.meter.clone()));
        let mut sending: JoinSet<Sent> = JoinSet::new();
        // Files with the same bytes as one on its way wait for its fate.
        let mut twins: HashMap<Digest, Vec<Found>> = HashMap::new();
        while let Some(first) = waiting.recv().await {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(next) = waiting.try_recv() else { break };
                batch.push(next);
            }
            for (file, digest) in self.ask(batch).await? {
                match twins.entry(digest) {
                    Entry::Occupied(mut twins) => {
                        twins.get_mut().push(file);
                        continue;
                    }
                    Entry::Vacant(slot) => slot.insert(Vec::new()),
                };
                while sending.len() >= self.parallel {
                    self.join_one(&mut sending, &mut twins).await?;
                }
                let (run, sender) = (self.clone(), sender.clone());
                sending.spawn(async move {
                    let sent = run.send_one(&sender, file.clone(), digest).await;
                    (digest, file, sent)
                });
            }
        }
        while !sending.is_empty() {
            self.join_one(&mut sending, &mut twins).await?;
        }
        reading
            .await
            .map_err(|cause| Error::unexpected(format!("reading ended unexpectedly: {cause}")))?
    }

    /// Computes the digests that are not known and passes all on, in order. Blocks.
    fn read_all(&self, pending: Vec<Pending>, ready: &mpsc::Sender<Ready>) -> Result<()> {
        for Pending { file, digest } in pending {
            let passed = match digest {
                Some(digest) => (file, digest),
                None => match self.read(&file.path) {
                    Ok(passed) => passed,
                    Err(error) if error.kind == Kind::File => {
                        self.cache.forget_file(&file.path)?;
                        self.fail(&file.path.to_string_lossy(), &error, None);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            // Nobody listens any more after an error that ends the run.
            if ready.blocking_send(passed).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Ready> {
        let hashed = hash(path, self.connection.stop())?;
        self.count(|counts| counts.hashed_files += 1);
        self.cache.record(&hashed.file, hashed.digest, hashed.read_at_ns)?;
        Ok((hashed.file, hashed.digest))
    }

    /// Asks about a batch; answers what is to be sent, in order.
    async fn ask(&self, batch: Vec<Ready>) -> Result<Vec<Ready>> {
        let digests: Vec<Digest> = batch.iter().map(|(_, digest)| *digest).collect();
        let presences = settling::missing(&self.connection, &digests).await?;
        let mut wanted = Vec::new();
        let mut settled = Vec::new();
        for ((file, digest), presence) in batch.into_iter().zip(presences) {
            if !presence.is_settled() {
                wanted.push((file, digest));
                continue;
            }
            settled.push(digest);
            self.done(&file, if presence == Presence::Held { "held" } else { "deleted" });
        }
        self.cache.settle(&settled)?;
        Ok(wanted)
    }

    fn done(&self, file: &Found, how: &'static str) {
        self.meter.finish(file.size_bytes);
        self.count(|counts| match how {
            "sent" => counts.sent_files += 1,
            "deleted" => counts.deleted_files += 1,
            _ => counts.held_files += 1,
        });
        let path = file.path.to_string_lossy().into_owned();
        self.event(&Event::FileDone { path, how, bytes: file.size_bytes });
    }

    async fn join_one(
        &self,
        sending: &mut JoinSet<Sent>,
        twins: &mut HashMap<Digest, Vec<Found>>,
    ) -> Result<()> {
        let Some(joined) = sending.join_next().await else { return Ok(()) };
        let (digest, file, sent) = joined
            .map_err(|cause| Error::unexpected(format!("sending ended unexpectedly: {cause}")))?;
        let waiting = twins.remove(&digest).unwrap_or_default();
        match sent {
            Ok(()) => {
                self.done(&file, "sent");
                waiting.iter().for_each(|twin| self.done(twin, "held"));
            }
            Err(error) if error.kind == Kind::File => {
                for failed in std::iter::once(&file).chain(&waiting) {
                    self.fail(&failed.path.to_string_lossy(), &error, Some(digest));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends one file; reads it again and sends it once more if it changed meanwhile.
    async fn send_one(
        self: &Arc<Self>,
        sender: &Sender,
        file: Found,
        digest: Digest,
    ) -> Result<()> {
        let path = file.path.clone();
        let (mut file, mut digest) = (file, digest);
        for is_last in [false, true] {
            let outgoing = Outgoing {
                name: name_of(&file.path),
                claims: self.claims_of(&file).await?,
                file: file.clone(),
                digest,
            };
            let outcome = sender.send(&outgoing).await?;
            if outcome != Outcome::Changed {
                self.cache.settle(&[digest])?;
                if outcome == Outcome::Held {
                    self.cache.set_told(&[(path, digest)])?;
                }
                return Ok(());
            }
            if is_last {
                break;
            }
            let run = self.clone();
            let again = path.clone();
            (file, digest) = blocking(move || run.read(&again)).await?;
        }
        self.cache.forget_file(&path)?;
        Err(changing(&path))
    }

    async fn claims_of(self: &Arc<Self>, file: &Found) -> Result<Claims> {
        let (run, file) = (self.clone(), file.clone());
        blocking(move || Ok(run.sidecars.claims(&run.all_roots, &file))).await
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
