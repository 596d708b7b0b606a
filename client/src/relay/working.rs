//! The threads that read and seal: first what is read for several, then this run's own files.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf, Bytes};
use photosync_protocol::format::chunk::Sealer;
use photosync_protocol::format::keys::DeviceKeys;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sealing::{Sealed, Source, seal_file};
use super::store::Object;
use crate::backup::{Hashed, Opened, Sidecars, changing};
use crate::cache::Pending;
use crate::delivery::{Deliveries, Delivery, Part};
use crate::error::{Error, Kind, Result};
use crate::scan::{Found, Root};

/// Code of a file that changed while it was read and comes once more.
const COMES_AGAIN: &str = "comes_again";

/// From the sealing threads.
pub(super) enum Made {
    Object(Object),
    File(Box<Sealed>),
    Failed(Found, Error),
}

/// Shared by the threads that read and seal.
pub(super) struct Work {
    pub keys: DeviceKeys,
    pub roots: Vec<Root>,
    pub sidecars: Sidecars,
    /// What is read for several.
    pub shared: Option<Mutex<Deliveries>>,
    pub queue: Mutex<VecDeque<Pending>>,
    pub stop: CancellationToken,
}

impl Work {
    /// Seals files until none is left. Blocks.
    pub fn seal_all(&self, give: &mpsc::Sender<Made>) -> Result<()> {
        let mut sealer = Sealer::default();
        while let Some(delivery) = self.next_delivery() {
            let (file, sealed) = match delivery {
                Delivery::Failed(file, error) => (file, Err(error)),
                Delivery::Whole(hashed, bytes) => {
                    let file = hashed.file.clone();
                    (file, self.seal(&mut sealer, Whole { hashed, bytes }, give))
                }
                Delivery::Parts(file, parts) => {
                    let source = Parts { file: file.clone(), parts, left: Bytes::new(), end: None };
                    (file, self.seal(&mut sealer, source, give))
                }
            };
            if sealed.as_ref().is_err_and(|error| error.code == COMES_AGAIN) {
                continue;
            }
            tell(file, sealed, give)?;
        }
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(pending) = next else { return Ok(()) };
            let sealed = self.seal_from_disk(&mut sealer, &pending.file, give);
            tell(pending.file, sealed, give)?;
        }
    }

    fn next_delivery(&self) -> Option<Delivery> {
        let shared = self.shared.as_ref()?;
        shared.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }

    /// Reads a file, and once more if it changes meanwhile.
    fn seal_from_disk(
        &self,
        sealer: &mut Sealer,
        file: &Found,
        give: &mpsc::Sender<Made>,
    ) -> Result<Sealed> {
        for _ in 0..2 {
            match self.seal(sealer, Opened::open(&file.path)?, give) {
                Err(error) if error.code == "changing" => {}
                other => return other,
            }
        }
        Err(changing(&file.path))
    }

    fn seal(
        &self,
        sealer: &mut Sealer,
        source: impl Source,
        give: &mpsc::Sender<Made>,
    ) -> Result<Sealed> {
        let mut give =
            |object| give.blocking_send(Made::Object(object)).map_err(|_| Error::interrupted());
        let claims = self.sidecars.claims(&self.roots, source.file());
        seal_file(sealer, &self.keys, source, claims, &self.stop, &mut give)
    }
}

/// Passes on what became of a file; an error that would be the same for every other file ends the thread.
fn tell(file: Found, sealed: Result<Sealed>, give: &mpsc::Sender<Made>) -> Result<()> {
    let made = match sealed {
        Ok(sealed) => Made::File(Box::new(sealed)),
        Err(error) if error.kind == Kind::File => Made::Failed(file, error),
        Err(error) => return Err(error),
    };
    // Nobody listens any more after an error that ends the run.
    give.blocking_send(made).map_err(|_| Error::interrupted())
}

/// A file that was read already.
struct Whole {
    hashed: Hashed,
    bytes: Bytes,
}

impl Source for Whole {
    fn file(&self) -> &Found {
        &self.hashed.file
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(take(&mut self.bytes, buffer))
    }

    fn finish(self) -> Result<Hashed> {
        Ok(self.hashed)
    }
}

/// A large file while it is read.
struct Parts {
    file: Found,
    parts: mpsc::Receiver<Part>,
    /// Of the part that came last.
    left: Bytes,
    end: Option<Hashed>,
}

impl Source for Parts {
    fn file(&self) -> &Found {
        &self.file
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() && self.end.is_none() {
            if self.left.is_empty() {
                match self.parts.blocking_recv() {
                    Some(Part::Bytes(bytes)) => self.left = bytes,
                    Some(Part::End(hashed)) => self.end = Some(hashed),
                    Some(Part::Again) => return Err(changing(&self.file.path).coded(COMES_AGAIN)),
                    Some(Part::Failed(error)) => return Err(error),
                    None => return Err(Error::interrupted()),
                }
            }
            count += take(&mut self.left, &mut buffer[count..]);
        }
        Ok(count)
    }

    /// A file of whole chunks has ended only when nothing more came.
    fn finish(mut self) -> Result<Hashed> {
        while self.end.is_none() {
            if self.fill(&mut [0; 1])? > 0 {
                return Err(changing(&self.file.path));
            }
        }
        self.end.ok_or_else(Error::interrupted)
    }
}

/// Moves bytes into a buffer, as many as fit. What is used up is let go at once, for others wait for the room.
fn take(bytes: &mut Bytes, buffer: &mut [u8]) -> usize {
    let count = bytes.len().min(buffer.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    bytes.advance(count);
    if bytes.is_empty() {
        *bytes = Bytes::new();
    }
    count
}
