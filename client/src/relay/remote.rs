//! A server that keeps sealed objects and can open none of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use photosync_protocol::digest::Digest;
use photosync_protocol::error::RetryClass;
use photosync_protocol::format::keyring::sequence_of;
use photosync_protocol::format::object::{Kind, id_of};
use photosync_protocol::format::segment::{Chains, Head, Writer};
use photosync_protocol::v2::MAX_DIGESTS;
use photosync_protocol::v2::relay::{
    HELD, MAX_BATCH_OBJECTS, RelayHeads, RelayObjects, RelaySegments, SEQUENCE_HEADER,
    WRITER_HEADER,
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, StatusCode};

use super::refused;
use super::store::Object;
use crate::connection::{Connection, Failure, SMALL_REQUEST, read_json};
use crate::error::{Error, Kind as ErrorKind, Result, chain};
use crate::pause::Pauses;

/// A line slower than this is given up: 16 KiB a second.
const SLOWEST_BYTES_PER_S: u64 = 16 << 10;
/// Bytes of one batch of objects: two chunks and a little.
pub const BATCH_BYTES: usize = 9 << 20;
/// Bytes of the length before each object of a batch.
pub const LENGTH_BYTES: usize = 4;
const OCTETS: &str = "application/octet-stream";

/// The relay of the account that is signed in.
pub struct Remote {
    connection: Arc<Connection>,
    account: String,
}

impl Remote {
    /// The relay of whoever is signed in.
    pub async fn new(connection: Arc<Connection>) -> Result<Self> {
        let account = connection.credentials().await?.account_uuid.to_string();
        Ok(Self { connection, account })
    }

    /// What this device files its keys under.
    pub fn name(&self) -> String {
        format!("account:{}", self.account)
    }

    /// For people.
    pub fn shown(&self) -> String {
        self.connection.base()
    }

    /// Whose relay it is.
    pub async fn email(&self) -> Result<String> {
        self.connection.credentials().await.map(|credentials| credentials.email)
    }

    async fn call(
        &self,
        bytes: u64,
        build: impl Fn(&Connection) -> RequestBuilder,
    ) -> std::result::Result<Bytes, Failure> {
        call(&self.connection, bytes, build).await
    }

    /// Which of these are not there, in order.
    pub async fn missing(&self, ids: Vec<(Kind, Digest)>) -> Result<Vec<(Kind, Digest)>> {
        let mut missing = Vec::new();
        for some in ids.chunks(MAX_DIGESTS) {
            let body: Vec<u8> = some.iter().flat_map(|(_, id)| id.0).collect();
            let body = Bytes::from(body);
            let size = body.len() as u64;
            let answer = self
                .call(size, |connection| octets(connection, Method::POST, "/relay/have", &body));
            let states = answer.await.map_err(|failure| failure.error)?;
            if states.len() != some.len() {
                return Err(unreadable("have"));
            }
            let is_missing = some.iter().zip(&states).filter(|(_, state)| **state != HELD);
            missing.extend(is_missing.map(|(object, _)| *object));
        }
        Ok(missing)
    }

    /// Keeps objects; all are durable when it returns. They are sent from where they lie: no copy is made.
    pub async fn put(&self, objects: Vec<Object>) -> Result<()> {
        let mut waiting = objects.into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut pieces, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
            while let Some((_, id, bytes)) = waiting.next_if(|(.., bytes)| {
                batch.is_empty()
                    || batch.len() < MAX_BATCH_OBJECTS && size + bytes.len() < BATCH_BYTES
            }) {
                let length = u32::try_from(bytes.len()).map_err(|_| unreadable("objects"))?;
                let (length, bytes) =
                    (Bytes::copy_from_slice(&length.to_le_bytes()), Bytes::from(bytes));
                size += length.len() + bytes.len();
                pieces.extend([length, bytes.clone()]);
                batch.push((id, bytes));
            }
            let sent = self.call(size as u64, |connection| {
                let pieces = pieces.clone().into_iter().map(Ok::<_, Infallible>);
                octets_of(connection, Method::POST, "/relay/objects")
                    .header(CONTENT_LENGTH, size)
                    .body(reqwest::Body::wrap_stream(stream::iter(pieces)))
            });
            match sent.await {
                Ok(_) => {}
                // A proxy in between takes only smaller bodies.
                Err(failure)
                    if failure.status == Some(StatusCode::PAYLOAD_TOO_LARGE) && batch.len() > 1 =>
                {
                    for (id, bytes) in batch {
                        self.put_one(id, bytes).await?;
                    }
                }
                Err(failure) => return Err(failure.error),
            }
        }
        Ok(())
    }

    async fn put_one(&self, id: Digest, body: Bytes) -> Result<()> {
        let (size, route) = (body.len() as u64, format!("/relay/objects/{id}"));
        let sent = self.call(size, |connection| octets(connection, Method::PUT, &route, &body));
        sent.await.map(|_| ()).map_err(|failure| failure.error)
    }

    /// An object as it lies there; `None` if it is not there whole.
    pub async fn get(&self, kind: Kind, id: &Digest) -> Result<Option<Vec<u8>>> {
        let (size, route) = (kind.max_bytes() as u64, format!("/relay/objects/{id}"));
        match self.call(size, |connection| connection.request(Method::GET, &route)).await {
            Ok(body) => Ok(Some(body.into())),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }

    /// Ids of all objects of a kind.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Digest>> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let route = match after {
                None => "/relay/objects".to_owned(),
                Some(id) => format!("/relay/objects?after={id}"),
            };
            let page: RelayObjects = self.json(&route).await?;
            let Some(last) = page.objects.last() else { return Ok(ids) };
            // A page that does not go on would be asked for for ever.
            if after.is_some_and(|after| last.id <= after) {
                return Err(unreadable("objects"));
            }
            after = Some(last.id);
            let letter = char::from(kind.letter());
            let wanted = page.objects.iter().filter(|object| object.kind == Some(letter));
            ids.extend(wanted.map(|object| object.id));
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, route: &str) -> Result<T> {
        read_json(self.connection.call(|connection| connection.request(Method::GET, route)).await?)
            .await
    }

    /// The newest segments and the newest keyring, as the server tells them.
    pub async fn heads(&self) -> Result<RelayHeads> {
        self.json("/relay/heads").await
    }

    /// Segments that are new to somebody who knows these chains. Refused if what is known is not there any more.
    pub async fn news(&self, heads: &RelayHeads, chains: &Chains) -> Result<Vec<Digest>> {
        let head = |head: &photosync_protocol::v2::relay::RelayHead| {
            let mut writer = [0; 16];
            hex::decode_to_slice(&head.writer, &mut writer).ok()?;
            Some(Head { writer: Writer(writer), sequence: head.sequence, id: head.id })
        };
        let shown: Option<Vec<Head>> = heads.heads.iter().map(head).collect();
        let shown = shown.ok_or_else(|| unreadable("heads"))?;
        chains.require_not_behind(&shown).map_err(|bad| refused(self.shown(), bad))?;
        let mut ids = Vec::new();
        for head in shown {
            let mut known = chains.head(head.writer).map_or(0, |known| known.sequence);
            while known < head.sequence {
                let route = format!("/relay/segments?writer={}&after={known}", head.writer);
                let page: RelaySegments = self.json(&route).await?;
                let last = page.segments.last().map(|segment| segment.sequence);
                // A page that does not go on would be asked for for ever.
                known = last.filter(|last| *last > known).ok_or_else(|| unreadable("segments"))?;
                ids.extend(page.segments.iter().map(|segment| segment.id));
            }
        }
        Ok(ids)
    }

    /// Adds a segment to its chain.
    pub async fn append(
        &self,
        writer: Writer,
        sequence: u64,
        object: &[u8],
        live: &[Digest],
    ) -> Result<()> {
        let count = u32::try_from(live.len()).map_err(|_| unreadable("segments"))?;
        let mut body = Vec::with_capacity(4 + 32 * live.len() + object.len());
        body.extend(count.to_le_bytes());
        live.iter().for_each(|id| body.extend(id.0));
        body.extend(object);
        let body = Bytes::from(body);
        let sent = self.call(body.len() as u64, |connection| {
            octets(connection, Method::POST, "/relay/segments", &body)
                .header(WRITER_HEADER, writer.to_string())
                .header(SEQUENCE_HEADER, sequence)
        });
        sent.await.map(|_| ()).map_err(|failure| failure.error)
    }

    /// The newest keyring.
    pub async fn keyring(&self) -> Result<Option<(Digest, Vec<u8>)>> {
        let size = Kind::Keyring.max_bytes() as u64;
        match self.call(size, |connection| connection.request(Method::GET, "/relay/keyring")).await
        {
            Ok(body) => Ok(Some((id_of(&body), body.into()))),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }

    /// Makes a keyring the newest one, unless another device was faster.
    pub async fn put_keyring(&self, object: Vec<u8>) -> Result<()> {
        let sequence = sequence_of(&object).map_err(|bad| refused("the keyring", bad))?;
        let body = Bytes::from(object);
        let sent = self.call(body.len() as u64, |connection| {
            octets(connection, Method::PUT, "/relay/keyring", &body)
                .header(SEQUENCE_HEADER, sequence)
        });
        sent.await.map(|_| ()).map_err(|failure| failure.error)
    }
}

/// As [`Connection::call`], for bodies or answers of up to `bytes`.
pub(super) async fn call(
    connection: &Connection,
    bytes: u64,
    build: impl Fn(&Connection) -> RequestBuilder,
) -> std::result::Result<Bytes, Failure> {
    let timeout = SMALL_REQUEST + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
    let mut pauses = Pauses::default();
    loop {
        let failure = match connection.attempt(build(connection).timeout(timeout)).await {
            Ok(answer) => {
                let body = connection.unless_stopped(answer.bytes()).await;
                match body.map_err(Failure::of)? {
                    Ok(body) => return Ok(body),
                    Err(cause) => broken(&cause),
                }
            }
            Err(failure) => failure,
        };
        if failure.retry != RetryClass::AfterPause {
            return Err(failure);
        }
        connection.wait_or_fail(failure, &mut pauses).await.map_err(Failure::of)?;
    }
}

fn octets(connection: &Connection, method: Method, route: &str, body: &Bytes) -> RequestBuilder {
    octets_of(connection, method, route).body(body.clone())
}

fn octets_of(connection: &Connection, method: Method, route: &str) -> RequestBuilder {
    connection.request(method, route).header(CONTENT_TYPE, OCTETS)
}

fn broken(cause: &reqwest::Error) -> Failure {
    let text = format!("the answer broke off: {}", chain(cause));
    Failure {
        retry: RetryClass::AfterPause,
        ..Failure::of(Error::new(ErrorKind::Unreachable, text))
    }
}

fn unreadable(route: &str) -> Error {
    Error::unexpected(format!("the server's answer about {route} cannot be understood"))
}
