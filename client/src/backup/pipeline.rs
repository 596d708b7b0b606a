//! Reading, asking and sending beside each other, with bounded channels between them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::settled::Presence;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::reading::{Hashed, changing, hash};
use super::{Run, blocking};
use crate::cache::Pending;
use crate::delivery::{Deliveries, Delivery, Part};
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
struct Ready {
    file: Found,
    digest: Digest,
    /// Its bytes, if somebody read them for several.
    bytes: Option<Bytes>,
}

/// What is to be sent next.
enum Next {
    Ready(Ready),
    /// One that is being read right now.
    Parts(Found, mpsc::Receiver<Part>),
}

/// What became of a file that was sent.
struct Sent {
    /// Known of those that were read before.
    digest: Option<Digest>,
    file: Found,
    /// Whether nothing more is to be done; a file that changed comes again.
    sent: Result<bool>,
}

impl Run {
    /// Reads, asks about and sends everything, in that order for each file. Answers an error only if it would be
    /// the same for every other file.
    pub(super) async fn send_all(self: Arc<Self>, pending: Vec<Pending>) -> Result<()> {
        let (next, waiting) = mpsc::channel(WAITING);
        let reader = self.clone();
        let reading = tokio::task::spawn_blocking(move || reader.read_all(pending, &next));
        self.send_each(waiting).await?;
        reading
            .await
            .map_err(|cause| Error::unexpected(format!("reading ended unexpectedly: {cause}")))?
    }

    /// The same for files that somebody reads for several.
    pub(super) async fn send_shared(self: Arc<Self>, deliveries: Deliveries) -> Result<()> {
        let (next, waiting) = mpsc::channel(WAITING);
        let taker = self.clone();
        let taking = tokio::spawn(async move { taker.take_all(deliveries, &next).await });
        self.send_each(waiting).await?;
        taking
            .await
            .map_err(|cause| Error::unexpected(format!("reading ended unexpectedly: {cause}")))?
    }

    async fn send_each(self: &Arc<Self>, mut waiting: mpsc::Receiver<Next>) -> Result<()> {
        let sender = Arc::new(Sender::new(self.connection.clone(), self.meter.clone()));
        let mut sending: JoinSet<Sent> = JoinSet::new();
        // Files with the same bytes as one on its way wait for its fate.
        let mut twins: HashMap<Digest, Vec<Found>> = HashMap::new();
        while let Some(first) = waiting.recv().await {
            let (mut batch, mut next) = (Vec::new(), Some(first));
            let parts = loop {
                match next {
                    Some(Next::Ready(ready)) => batch.push(ready),
                    Some(Next::Parts(file, parts)) => break Some((file, parts)),
                    None => break None,
                }
                next = if batch.len() < BATCH { waiting.try_recv().ok() } else { None };
            };
            for ready in self.ask(batch).await? {
                match twins.entry(ready.digest) {
                    Entry::Occupied(mut twins) => {
                        twins.get_mut().push(ready.file);
                        continue;
                    }
                    Entry::Vacant(slot) => slot.insert(Vec::new()),
                };
                while sending.len() >= self.parallel {
                    self.join_one(&mut sending, &mut twins).await?;
                }
                let (run, sender) = (self.clone(), sender.clone());
                sending.spawn(async move {
                    let (file, digest) = (ready.file.clone(), Some(ready.digest));
                    let sent = run.send_one(&sender, ready).await.map(|()| true);
                    Sent { digest, file, sent }
                });
            }
            if let Some((file, parts)) = parts {
                while sending.len() >= self.parallel {
                    self.join_one(&mut sending, &mut twins).await?;
                }
                let (run, sender) = (self.clone(), sender.clone());
                sending.spawn(async move {
                    let sent = run.send_parts(&sender, file.clone(), parts).await;
                    Sent { digest: None, file, sent }
                });
            }
        }
        while !sending.is_empty() {
            self.join_one(&mut sending, &mut twins).await?;
        }
        Ok(())
    }

    /// Passes on what others read too.
    async fn take_all(&self, mut deliveries: Deliveries, next: &mpsc::Sender<Next>) -> Result<()> {
        while let Some(delivery) = deliveries.recv().await {
            let passed = match delivery {
                Delivery::Whole(hashed, bytes) => {
                    let (file, digest) = self.note(hashed)?;
                    Next::Ready(Ready { file, digest, bytes: Some(bytes) })
                }
                Delivery::Parts(file, parts) => Next::Parts(file, parts),
                Delivery::Failed(file, error) => {
                    self.cache.forget_file(&file.path)?;
                    self.fail(&file.path.to_string_lossy(), &error, None);
                    continue;
                }
            };
            // Nobody listens any more after an error that ends the run.
            if next.send(passed).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Computes the digests that are not known and passes all on, in order. Blocks.
    fn read_all(&self, pending: Vec<Pending>, next: &mpsc::Sender<Next>) -> Result<()> {
        for Pending { file, digest } in pending {
            let (file, digest) = match digest {
                Some(digest) => (file, digest),
                None => match self.read(&file.path) {
                    Ok(read) => read,
                    Err(error) if error.kind == Kind::File => {
                        self.cache.forget_file(&file.path)?;
                        self.fail(&file.path.to_string_lossy(), &error, None);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            // Nobody listens any more after an error that ends the run.
            let ready = Ready { file, digest, bytes: None };
            if next.blocking_send(Next::Ready(ready)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<(Found, Digest)> {
        self.note(hash(path, self.connection.stop())?)
    }

    /// A file was read.
    pub(super) fn note(&self, hashed: Hashed) -> Result<(Found, Digest)> {
        self.count(|counts| counts.hashed_files += 1);
        self.cache.record(&hashed.file, hashed.digest, hashed.read_at_ns)?;
        Ok((hashed.file, hashed.digest))
    }

    /// Asks about a batch; answers what is to be sent, in order.
    async fn ask(&self, batch: Vec<Ready>) -> Result<Vec<Ready>> {
        if batch.is_empty() {
            return Ok(batch);
        }
        let digests: Vec<Digest> = batch.iter().map(|ready| ready.digest).collect();
        let presences = settling::missing(&self.connection, &digests).await?;
        let mut wanted = Vec::new();
        let mut settled = Vec::new();
        for (ready, presence) in batch.into_iter().zip(presences) {
            if !presence.is_settled() {
                wanted.push(ready);
                continue;
            }
            settled.push(ready.digest);
            self.done(&ready.file, if presence == Presence::Held { "held" } else { "deleted" });
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
        let Sent { digest, file, sent } = joined
            .map_err(|cause| Error::unexpected(format!("sending ended unexpectedly: {cause}")))?;
        let waiting = digest.and_then(|digest| twins.remove(&digest)).unwrap_or_default();
        match sent {
            Ok(false) => {}
            Ok(true) => {
                self.done(&file, "sent");
                waiting.iter().for_each(|twin| self.done(twin, "held"));
            }
            Err(error) if error.kind == Kind::File => {
                for failed in std::iter::once(&file).chain(&waiting) {
                    self.fail(&failed.path.to_string_lossy(), &error, digest);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends one file; reads it again and sends it once more if it changed meanwhile.
    async fn send_one(self: &Arc<Self>, sender: &Sender, ready: Ready) -> Result<()> {
        let path = ready.file.path.clone();
        let Ready { mut file, mut digest, mut bytes } = ready;
        for is_last in [false, true] {
            let outgoing = Outgoing {
                name: name_of(&file.path),
                claims: self.claims_of(&file).await?,
                file: file.clone(),
                digest,
                bytes: bytes.take(),
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

    pub(super) async fn claims_of(self: &Arc<Self>, file: &Found) -> Result<Claims> {
        let (run, file) = (self.clone(), file.clone());
        blocking(move || Ok(run.sidecars.claims(&run.all_roots, &file))).await
    }
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
