//! Reads each file once for several takers: a backup to a server and one into a relay need the same bytes at the same
//! time, and neither knows of the other.
//!
//! What was read and not yet used up by everybody is bounded ([`ROOM_BYTES`]): the slowest taker sets the pace. One that
//! went away holds nobody up.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::backup::{Hashed, Opened, changing};
use crate::error::{Error, Kind, Result};
use crate::scan::Found;

/// Bytes that were read and are still needed by somebody: 32 MiB, four of the largest files that are passed on whole.
const ROOM_BYTES: usize = 32 << 20;
/// Larger files come in parts: from 8 MiB on they are also sent in parts.
const WHOLE_BYTES: u64 = crate::sending::RESUMABLE_BYTES;
/// One part of a larger file: 4 MiB, the length of a sealed chunk.
const PART_BYTES: usize = 4 << 20;
/// Files that wait for a taker; small ones are bounded by this before they fill the room.
const WAITING: usize = 256;

/// A file on its way to a taker.
#[derive(Debug)]
pub enum Delivery {
    /// All of it, and its digest.
    Whole(Hashed, Bytes),
    /// One that is too large to be held: its parts come while it is read.
    Parts(Found, mpsc::Receiver<Part>),
    /// One that could not be read.
    Failed(Found, Error),
}

/// What comes of a large file.
#[derive(Debug, Clone)]
pub enum Part {
    /// The next bytes.
    Bytes(Bytes),
    /// These were all, and the file did not change while it was read.
    End(Hashed),
    /// It changed: what came so far is worth nothing. It comes once more as another delivery.
    Again,
    /// It cannot be done. This is also what a taker must assume when nothing more comes.
    Failed(Error),
}

/// Where deliveries come from.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// A buffer that takes up room until the last taker dropped it.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads files for `takers`.
pub struct Reader {
    takers: Vec<mpsc::Sender<Delivery>>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Reader {
    /// A reader for so many takers, and what each of them gets.
    pub fn new(takers: usize, stop: CancellationToken) -> (Self, Vec<Deliveries>) {
        let channels = (0..takers).map(|_| mpsc::channel(WAITING));
        let (takers, deliveries) = channels.unzip();
        (Self { takers, room: Arc::new(Semaphore::new(ROOM_BYTES)), stop }, deliveries)
    }

    /// Reads these files in order and gives each to every taker. Ends early when none is left. Blocks; must run on a
    /// thread of a runtime.
    pub fn read_all(mut self, files: Vec<Found>) -> Result<()> {
        for file in files {
            self.read(&file)?;
            if self.takers.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a file, and once more if it changes meanwhile.
    fn read(&mut self, file: &Found) -> Result<()> {
        for is_last in [false, true] {
            let given = Opened::open(&file.path).and_then(|opened| {
                match opened.file().size_bytes < WHOLE_BYTES {
                    true => self.give_whole(opened, is_last),
                    false => self.give_parts(opened, is_last),
                }
            });
            match given {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.kind == Kind::File => {
                    self.give(|| Delivery::Failed(file.clone(), error.clone()));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether nothing more is to be done for this file.
    fn give_whole(&mut self, mut opened: Opened, is_last: bool) -> Result<bool> {
        let path = opened.file().path.clone();
        let length = usize::try_from(opened.file().size_bytes).unwrap_or(usize::MAX);
        let bytes = self.fill(&mut opened, length)?;
        match opened.finish()? {
            Some(hashed) => self.give(|| Delivery::Whole(hashed.clone(), bytes.clone())),
            None if is_last => return Err(changing(&path)),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nothing more is to be done for this file. What goes wrong after the first part is told in a part.
    fn give_parts(&mut self, mut opened: Opened, is_last: bool) -> Result<bool> {
        let found = opened.file().clone();
        let mut takers = Vec::new();
        self.give(|| {
            let (parts, taken) = mpsc::channel(1);
            takers.push(parts);
            Delivery::Parts(found.clone(), taken)
        });
        let mut length = 0;
        let end = loop {
            if takers.is_empty() {
                return Ok(true);
            }
            match self.fill(&mut opened, PART_BYTES) {
                Ok(bytes) => {
                    length += bytes.len() as u64;
                    // One that grows for ever is not read for ever.
                    let is_end = bytes.is_empty() || length >= found.size_bytes;
                    give_part(&mut takers, &Part::Bytes(bytes));
                    if is_end {
                        break opened.finish();
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let (part, is_done) = match end {
            Ok(Some(hashed)) => (Part::End(hashed), true),
            Ok(None) if is_last => (Part::Failed(changing(&found.path)), true),
            Ok(None) => (Part::Again, false),
            Err(error) => (Part::Failed(error), true),
        };
        give_part(&mut takers, &part);
        if self.stop.is_cancelled() { Err(Error::interrupted()) } else { Ok(is_done) }
    }

    /// Reads the next bytes, when there is room for them.
    fn fill(&self, opened: &mut Opened, length: usize) -> Result<Bytes> {
        let room = u32::try_from(length).unwrap_or(u32::MAX);
        let waiting = self.room.clone().acquire_many_owned(room);
        let room = Handle::current().block_on(async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(Error::interrupted()),
                room = waiting => room.map_err(|_| Error::interrupted()),
            }
        })?;
        let mut bytes = vec![0; length];
        let count = opened.fill(&mut bytes)?;
        bytes.truncate(count);
        Ok(Bytes::from_owner(Held { bytes, _room: room }))
    }

    /// Gives everybody one delivery; forgets takers that went away.
    fn give(&mut self, mut make: impl FnMut() -> Delivery) {
        self.takers.retain(|taker| taker.blocking_send(make()).is_ok());
    }
}

fn give_part(takers: &mut Vec<mpsc::Sender<Part>>, part: &Part) {
    takers.retain(|taker| taker.blocking_send(part.clone()).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::digest::Digest;
    use sha2::Digest as _;
    use std::fs;
    use std::path::Path;

    fn found(path: &Path) -> Found {
        Found::of(path.to_owned(), &fs::metadata(path).unwrap())
    }

    fn write(path: &Path, length: usize) -> (Found, Digest) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        fs::write(path, &bytes).unwrap();
        (found(path), Digest(sha2::Sha256::digest(&bytes).into()))
    }

    /// What a delivery was: its digest as told, its digest as received, or why there is none.
    async fn receive(delivery: Delivery) -> std::result::Result<(Digest, Digest), &'static str> {
        let mut parts = match delivery {
            Delivery::Whole(hashed, bytes) => {
                return Ok((hashed.digest, Digest(sha2::Sha256::digest(&bytes).into())));
            }
            Delivery::Failed(_, error) => return Err(error.code),
            Delivery::Parts(_, parts) => parts,
        };
        let mut hasher = sha2::Sha256::new();
        while let Some(part) = parts.recv().await {
            match part {
                Part::Bytes(bytes) => hasher.update(&bytes),
                Part::End(hashed) => return Ok((hashed.digest, Digest(hasher.finalize().into()))),
                Part::Again => return Err("again"),
                Part::Failed(error) => return Err(error.code),
            }
        }
        Err("nothing more came")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_taker_gets_every_byte_and_the_room_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let lengths = [1, 5000, PART_BYTES, 8 << 20, (8 << 20) + 1, 12 << 20];
        let files: Vec<_> = lengths
            .into_iter()
            .map(|length| write(&folder.path().join(length.to_string()), length))
            .collect();
        let gone = folder.path().join("gone");
        let (lost, _) = write(&gone, 3);
        fs::remove_file(gone).unwrap();
        let (reader, deliveries) = Reader::new(2, CancellationToken::new());
        let room = reader.room.clone();
        let mut all: Vec<Found> = files.iter().map(|(file, _)| file.clone()).collect();
        all.push(lost);
        let reading = tokio::task::spawn_blocking(move || reader.read_all(all));
        let taking: Vec<_> = deliveries
            .into_iter()
            .map(|mut deliveries| {
                tokio::spawn(async move {
                    let mut got = Vec::new();
                    while let Some(delivery) = deliveries.recv().await {
                        got.push(receive(delivery).await);
                    }
                    got
                })
            })
            .collect();
        let mut wanted: Vec<_> = files.iter().map(|(_, digest)| Ok((*digest, *digest))).collect();
        wanted.push(Err("unreadable"));
        for taken in taking {
            assert!(taken.await.unwrap() == wanted);
        }
        reading.await.unwrap().unwrap();
        assert_eq!(room.available_permits(), ROOM_BYTES);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_taker_that_went_away_holds_nobody_up_also_in_the_middle_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (large, digest) = write(&folder.path().join("large"), 40 << 20);
        let (small, _) = write(&folder.path().join("small"), 10);
        let (reader, mut deliveries) = Reader::new(2, CancellationToken::new());
        let mut leaving = deliveries.pop().unwrap();
        let mut staying = deliveries.pop().unwrap();
        let reading = tokio::task::spawn_blocking(move || reader.read_all(vec![large, small]));
        match leaving.recv().await {
            Some(Delivery::Parts(_, mut parts)) => {
                assert!(matches!(parts.recv().await, Some(Part::Bytes(_))));
            }
            other => panic!("{other:?}"),
        }
        drop(leaving);
        assert_eq!(receive(staying.recv().await.unwrap()).await, Ok((digest, digest)));
        assert!(matches!(staying.recv().await, Some(Delivery::Whole(..))));
        assert!(staying.recv().await.is_none());
        reading.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_large_file_that_changes_while_it_is_read_comes_again_and_then_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let (before, _) = write(&path, 40 << 20);
        let (reader, mut deliveries) = Reader::new(1, CancellationToken::new());
        let mut deliveries = deliveries.pop().unwrap();
        let reading = tokio::task::spawn_blocking(move || reader.read_all(vec![before]));
        let first = deliveries.recv().await.unwrap();
        // The reader waits for this taker: most of the film is not read yet.
        let (_, digest) = write(&path, 9 << 20);
        assert_eq!(receive(first).await, Err("again"));
        assert_eq!(receive(deliveries.recv().await.unwrap()).await, Ok((digest, digest)));
        assert!(deliveries.recv().await.is_none());
        reading.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_reader_ends_though_nobody_takes_what_it_read() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<Found> = (0..8)
            .map(|number| write(&folder.path().join(number.to_string()), (8 << 20) - 1).0)
            .collect();
        let stop = CancellationToken::new();
        let (reader, deliveries) = Reader::new(1, stop.clone());
        let room = reader.room.clone();
        let reading = tokio::task::spawn_blocking(move || reader.read_all(files));
        let is_full = async {
            while room.available_permits() > 8 << 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), is_full).await.unwrap();
        stop.cancel();
        assert_eq!(reading.await.unwrap().unwrap_err().kind, Kind::Interrupted);
        drop(deliveries);
        assert_eq!(room.available_permits(), ROOM_BYTES);
    }
}
