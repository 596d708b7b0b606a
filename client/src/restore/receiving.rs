//! Receives one original into a partial file, going on where an earlier try stopped, until its digest is right.

use std::path::Path;
use std::time::Duration;

use photosync_protocol::digest::Digest;
use photosync_protocol::error::RetryClass;
use photosync_protocol::v2::AssetRow;
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use sha2::Digest as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::connection::{Connection, Failure};
use crate::error::{Error, Kind, Result, chain};
use crate::meter::{Flight, Meter};
use crate::pause::Pauses;

/// An answer from which nothing came for so long is given up: 60 s.
const STALLED: Duration = Duration::from_secs(60);

/// Makes `partial` hold exactly the bytes of the asset.
pub async fn receive(
    connection: &Connection,
    meter: &Meter,
    row: &AssetRow,
    partial: &Path,
) -> Result<()> {
    let flight = meter.flight(&row.name);
    let mut pauses = Pauses::default();
    let mut was_wrong = false;
    loop {
        let (mut file, mut hasher, at) = resume(partial, row.size_bytes).await?;
        flight.move_to(at);
        let received = if at == row.size_bytes {
            Ok(())
        } else {
            let mut into = Target { file: &mut file, hasher: &mut hasher, at };
            continue_from(connection, meter, row, partial, &mut into, &flight).await
        };
        match received {
            Ok(()) => {
                let wrong = Digest(hasher.finalize().into()) != row.digest;
                if !wrong {
                    return Ok(());
                }
                drop(file);
                let failed = |cause| Error::file("remove", partial, &cause);
                tokio::fs::remove_file(partial).await.map_err(failed)?;
                if was_wrong {
                    return Err(damaged(row));
                }
                was_wrong = true;
            }
            Err(failure) => {
                if tokio::fs::metadata(partial).await.is_ok_and(|now| now.len() > at) {
                    pauses.reset();
                }
                connection.wait_or_fail(failure, &mut pauses).await?;
            }
        }
    }
}

fn damaged(row: &AssetRow) -> Error {
    let text = format!("what the server sends for {} is not what was backed up", row.name);
    Error::new(Kind::File, text).coded("digest_mismatch")
}

struct Target<'a> {
    file: &'a mut File,
    hasher: &'a mut sha2::Sha256,
    at: u64,
}

/// Opens the partial file and hashes what it holds already.
async fn resume(partial: &Path, size_bytes: u64) -> Result<(File, sha2::Sha256, u64)> {
    let failed = |cause: std::io::Error| Error::file("write", partial, &cause).coded("unwritable");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(partial).await.map_err(failed)?;
    if file.metadata().await.map_err(failed)?.len() > size_bytes {
        file.set_len(0).await.map_err(failed)?;
    }
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    let mut at = 0;
    loop {
        let count = file.read(&mut piece).await.map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
        at += count as u64;
    }
    Ok((file, hasher, at))
}

async fn continue_from(
    connection: &Connection,
    meter: &Meter,
    row: &AssetRow,
    partial: &Path,
    into: &mut Target<'_>,
    flight: &Flight<'_>,
) -> std::result::Result<(), Failure> {
    let route = format!("/library/assets/{}/original", row.id);
    let mut request = connection.request(Method::GET, &route);
    if into.at > 0 {
        request = request.header(RANGE, format!("bytes={}-", into.at));
    }
    let mut answer = connection.attempt(request).await?;
    let unwritable = |cause: std::io::Error| {
        Failure::of(Error::file("write", partial, &cause).coded("unwritable"))
    };
    if into.at > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
        // The whole file came: begin it anew.
        into.file.set_len(0).await.map_err(unwritable)?;
        into.file.rewind().await.map_err(unwritable)?;
        *into.hasher = sha2::Sha256::new();
        into.at = 0;
        flight.move_to(0);
    }
    while into.at < row.size_bytes {
        let next = tokio::time::timeout(STALLED, answer.chunk());
        let next = connection.unless_stopped(next).await.map_err(Failure::of)?;
        let piece = match next {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Err(broken("the file ended early")),
            Ok(Err(cause)) => return Err(broken(&chain(&cause))),
            Err(_) => return Err(broken("nothing came for 60 s")),
        };
        meter.pass(piece.len() as u64).await;
        into.file.write_all(&piece).await.map_err(unwritable)?;
        into.hasher.update(&piece);
        into.at += piece.len() as u64;
        flight.advance(piece.len() as u64);
    }
    into.file.flush().await.map_err(unwritable)
}

fn broken(why: &str) -> Failure {
    let error = Error::new(Kind::Unreachable, format!("receiving broke off: {why}"));
    Failure { retry: RetryClass::AfterPause, ..Failure::of(error) }
}
