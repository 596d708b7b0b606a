//! How large a request comes through: something between this computer and the server may cap bodies and say so nowhere.
//!
//! A request of zeros is sent with a digest that they do not have. The server reads it to its end, refuses it, and keeps
//! nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::{NAME_HEADER, REPR_DIGEST_HEADER};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method, StatusCode};

use super::{Finding, of};
use crate::connection::{Connection, Failure, SMALL_REQUEST};
use crate::error::{Error, Kind};
use photosync_protocol::findings::size_for_people as for_people;

const CHECK: &str = "upload";
/// Sizes that are tried when a larger one does not come through: those of pieces, and what anything takes.
const SMALLER: [u64; 6] = [95 << 20, 45 << 20, 9 << 20, 3 << 19, 900 << 10, 256 << 10];
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// A line slower than this is not waited for: 64 KiB a second.
const SLOWEST_BYTES_PER_S: u64 = 64 * 1024;

/// Tries a request of `most` bytes, and smaller ones until one comes through.
pub(super) async fn largest_body(connection: &Connection, most: u64) -> Finding {
    let smaller = SMALLER.into_iter().filter(|bytes| *bytes < most);
    let mut too_large: Option<String> = None;
    for bytes in std::iter::once(most).chain(smaller) {
        let tried = match try_body(connection, bytes).await {
            // The connection may have been one that the refusal before had ended.
            Tried::HungUp(_) => try_body(connection, bytes).await,
            tried => tried,
        };
        match tried {
            Tried::Passed => return passed(bytes, too_large),
            Tried::TooLarge(why) | Tried::HungUp(why) => {
                too_large.get_or_insert(format!("one of {} does not: {why}", for_people(bytes)));
            }
            Tried::Failed(error) => return of(CHECK, error),
        }
    }
    Finding::broken(
        CHECK,
        format!("no upload comes through; {}", too_large.unwrap_or_default()),
        "look at what is between this computer and the server: a proxy, a firewall, a virus scanner",
    )
}

fn passed(bytes: u64, too_large: Option<String>) -> Finding {
    let seen = format!("an upload of {} comes through", for_people(bytes));
    match too_large {
        None => Finding::fine(CHECK, seen),
        Some(why) => Finding::warning(
            CHECK,
            format!("{seen}, {why}"),
            "raise the limit for bodies at the proxy before the server (nginx: client_max_body_size 0); until then \
             large files go in small pieces",
        ),
    }
}

enum Tried {
    /// The server read all of it.
    Passed,
    /// It did not get there, and a smaller one may.
    TooLarge(String),
    /// The connection ended in the middle.
    HungUp(String),
    /// It failed for a reason that has nothing to do with its size.
    Failed(Error),
}

async fn try_body(connection: &Connection, bytes: u64) -> Tried {
    let mut digest = [0; 32];
    if let Err(cause) = getrandom::fill(&mut digest) {
        return Tried::Failed(Error::unexpected(format!("could not make a digest: {cause}")));
    }
    let pieces = stream::unfold(bytes, async |left| {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        let piece = ZEROS.get(..count).filter(|piece| !piece.is_empty())?;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(piece)), left - count as u64))
    });
    let request = connection
        .request(Method::PUT, "/library/assets")
        .header(REPR_DIGEST_HEADER, Digest(digest).to_repr_digest())
        .header(NAME_HEADER, "photosync-doctor")
        .header(CONTENT_LENGTH, bytes)
        .timeout(SMALL_REQUEST + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S))
        .body(Body::wrap_stream(pieces));
    match connection.attempt(request).await {
        Ok(_) => Tried::Failed(Error::unexpected(
            "the server took bytes with a wrong digest; it does not check what it keeps",
        )),
        Err(failure) => read(failure),
    }
}

fn read(failure: Failure) -> Tried {
    if failure.error.code == ErrorCode::DigestMismatch.as_str() {
        return Tried::Passed;
    }
    match failure.status {
        Some(StatusCode::PAYLOAD_TOO_LARGE) => {
            Tried::TooLarge("it is refused as too large (413)".to_owned())
        }
        None if failure.error.kind == Kind::Unreachable => Tried::HungUp(failure.error.message),
        _ => Tried::Failed(failure.error),
    }
}
