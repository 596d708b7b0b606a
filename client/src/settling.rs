//! What does the server still need from this device? One small question if nothing, a few more if something.

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::MAX_DIGESTS;
use photosync_protocol::v2::places::{
    DigestClaims, Move, MovesRequest, TellAnswer, TellRequest, Told,
};
use photosync_protocol::v2::settled::{
    DIGESTS_TYPE, MAX_NEGENTROPY_BYTES, NEGENTROPY_TYPE, Presence, Tally,
};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};

use crate::connection::{Connection, read_json};
use crate::error::{Error, Result, chain};

/// Rounds after which a reconciliation that does not end is given up: each round settles at least thousands.
const MAX_ROUNDS: usize = 1000;

/// Where two sets differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Here, and not settled there.
    pub only_here: Vec<Digest>,
    /// Settled there, and not here any more.
    pub only_there: Vec<Digest>,
}

/// Compares counts and sums. `None` if they are equal: everything is settled, and the server has noted that this device
/// asked. Otherwise the server's tally.
pub async fn compare(connection: &Connection, ours: &Tally) -> Result<Option<Tally>> {
    let answer = connection
        .call(|connection| connection.request(Method::POST, "/library/sync").json(ours))
        .await?;
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    read_json(answer).await.map(Some)
}

/// Finds the difference between `ours` and what the server has settled for this device.
pub async fn reconcile(connection: &Connection, ours: &[Digest]) -> Result<Difference> {
    let broken = |cause: negentropy::Error| {
        Error::unexpected(format!("could not compare with the server: {cause}"))
    };
    let mut storage = NegentropyStorageVector::with_capacity(ours.len());
    for digest in ours {
        storage.insert(0, Id::from_byte_array(digest.0)).map_err(broken)?;
    }
    storage.seal().map_err(broken)?;
    let mut ours = Negentropy::owned(storage, MAX_NEGENTROPY_BYTES as u64).map_err(broken)?;
    let mut message = ours.initiate().map_err(broken)?;
    let (mut have, mut need) = (Vec::new(), Vec::new());
    for _ in 0..MAX_ROUNDS {
        let build = |connection: &Connection| {
            connection
                .request(Method::POST, "/library/sync")
                .header(CONTENT_TYPE, NEGENTROPY_TYPE)
                .body(message.clone())
        };
        let answer = read_bytes(connection.call(build).await?).await?;
        match ours.reconcile_with_ids(&answer, &mut have, &mut need).map_err(broken)? {
            Some(next) => message = next,
            None => {
                let digests =
                    |ids: Vec<Id>| ids.into_iter().map(|id| Digest(id.to_bytes())).collect();
                return Ok(Difference { only_here: digests(have), only_there: digests(need) });
            }
        }
    }
    Err(Error::unexpected("comparing with the server did not end"))
}

/// Asks of each digest what the server wants, in the same order. Held and deleted ones are settled by asking.
pub async fn missing(connection: &Connection, digests: &[Digest]) -> Result<Vec<Presence>> {
    let mut presences = Vec::with_capacity(digests.len());
    for part in digests.chunks(MAX_DIGESTS) {
        let answer = post_digests(connection, "/library/missing", part).await?;
        let read: Option<Vec<Presence>> = answer.iter().map(|b| Presence::from_byte(*b)).collect();
        match read.filter(|read| read.len() == part.len()) {
            Some(read) => presences.extend(read),
            None => return Err(Error::unexpected("the server's list of missing files is damaged")),
        }
    }
    Ok(presences)
}

/// Tells the server that this device does not have these any more. Nothing is deleted there.
pub async fn forget(connection: &Connection, digests: &[Digest]) -> Result<()> {
    for part in digests.chunks(MAX_DIGESTS) {
        post_digests(connection, "/library/forget", part).await?;
    }
    Ok(())
}

/// Tells what this device says of files that the server holds already; what became of each, in the same order. Doing
/// it twice changes nothing.
pub async fn tell(connection: &Connection, claims: Vec<DigestClaims>) -> Result<Vec<Told>> {
    let count = claims.len();
    let body = TellRequest { claims };
    let build =
        |connection: &Connection| connection.request(Method::POST, "/library/claims").json(&body);
    let answer: TellAnswer = read_json(connection.call(build).await?).await?;
    if answer.told.len() != count {
        return Err(Error::unexpected("the server's answer to what it was told is damaged"));
    }
    Ok(answer.told)
}

/// Tells which files lie in another place by now. Doing it twice changes nothing.
pub async fn tell_moves(connection: &Connection, moves: Vec<Move>) -> Result<()> {
    let body = MovesRequest { moves };
    let build =
        |connection: &Connection| connection.request(Method::POST, "/library/moves").json(&body);
    connection.call(build).await.map(|_| ())
}

async fn post_digests(
    connection: &Connection,
    route: &str,
    part: &[Digest],
) -> Result<bytes::Bytes> {
    let body: bytes::Bytes = part.iter().flat_map(|digest| digest.0).collect();
    let build = |connection: &Connection| {
        connection
            .request(Method::POST, route)
            .header(CONTENT_TYPE, DIGESTS_TYPE)
            .body(body.clone())
    };
    read_bytes(connection.call(build).await?).await
}

async fn read_bytes(answer: reqwest::Response) -> Result<bytes::Bytes> {
    answer.bytes().await.map_err(|cause| {
        Error::new(
            crate::error::Kind::Unreachable,
            format!("the answer broke off: {}", chain(&cause)),
        )
    })
}
