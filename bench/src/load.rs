//! The load client: a number of connections that send a number of files, each counted and checked.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::http::{Answer, Connection, HttpError};
use crate::payload::{Content, Payload};

/// What is sent in one measurement.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// Number of files.
    pub files: u64,
    /// Bytes of each file.
    pub bytes_each: u64,
    /// Connections, or writers of the loop, at once.
    pub in_flight: usize,
}

/// How one file is handed to a server.
pub trait Uploader: Sync {
    /// Sends the file and returns the answer.
    fn upload(&self, connection: &mut Connection, file: &Content) -> Result<Answer, HttpError>;

    /// Why a 2xx answer is still not a stored file; none when it is.
    fn objection(&self, _answer: &Answer) -> Option<String> {
        None
    }
}

/// Sends the files and returns the time from the first request to the last answer.
///
/// Connections are open before the clock starts. Any answer that is not a success ends the
/// measurement with an error: a rate with failures in it means nothing.
pub fn send(
    address: SocketAddr,
    uploader: &dyn Uploader,
    payload: &Payload,
    volume: Volume,
) -> Result<Duration, Failure> {
    let next = AtomicU64::new(0);
    let start_line = Barrier::new(volume.in_flight + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..volume.in_flight)
            .map(|_| scope.spawn(|| work(address, uploader, payload, volume, &next, &start_line)))
            .collect();
        start_line.wait();
        let begun = Instant::now();
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        let elapsed = begun.elapsed();
        for outcome in outcomes {
            outcome.map_err(|_| Failure::from("a load thread panicked"))??;
        }
        Ok(elapsed)
    })
}

fn work(
    address: SocketAddr,
    uploader: &dyn Uploader,
    payload: &Payload,
    volume: Volume,
    next: &AtomicU64,
    start_line: &Barrier,
) -> Result<(), Failure> {
    let mut connection = Connection::new(address);
    let opened = connection.open();
    // Everybody reaches the line, also after a failure: the others wait there.
    start_line.wait();
    opened?;
    while next.fetch_add(1, Ordering::Relaxed) < volume.files {
        let file = payload.content(volume.bytes_each);
        let answer = uploader.upload(&mut connection, &file)?;
        if let Some(reason) = refusal(uploader, &answer) {
            // No further file is begun by anybody.
            next.store(volume.files, Ordering::Relaxed);
            return Err(format!("{} was not stored: {reason}", file.name()).into());
        }
    }
    Ok(())
}

fn refusal(uploader: &dyn Uploader, answer: &Answer) -> Option<String> {
    if answer.is_success() {
        return uploader.objection(answer);
    }
    let shown = String::from_utf8_lossy(&answer.body);
    let shown: String = shown.chars().take(200).collect();
    Some(format!("status {} {shown}", answer.status))
}
