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
