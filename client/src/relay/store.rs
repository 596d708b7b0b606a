//! Where sealed objects lie: a folder, or a server.

use std::path::Path;
use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::keyring::sequence_of;
use photosync_protocol::format::object::{Kind, id_of};
use photosync_protocol::format::segment::{Chains, Segment};
use photosync_protocol::v2::relay::RelayHeads;

use super::folder::Folder;
use super::remote::Remote;
use super::{absolute, refused};
use crate::backup::blocking;
use crate::connection::Connection;
use crate::error::Result;

/// A sealed object with its name.
pub type Object = (Kind, Digest, Vec<u8>);

/// A place with sealed objects.
pub enum Store {
    /// A folder.
    Folder(Arc<Folder>),
    /// A server.
    Remote(Remote),
}

/// What a place says of itself: whether anything is new is known from it. Of a server it is one request.
pub enum Look {
    /// Ids of all segments, sorted, and the number of the newest keyring.
    Folder(Vec<Digest>, Option<u64>),
    /// As the server tells it.
    Remote(RelayHeads),
}

impl Look {
    /// Number of the newest keyring.
    pub fn keyring_sequence(&self) -> Option<u64> {
        match self {
            Self::Folder(_, sequence) => *sequence,
            Self::Remote(heads) => heads.keyring.as_ref().map(|keyring| keyring.sequence),
        }
    }
}

impl Store {
    /// The objects below a folder.
    pub fn folder(path: &Path) -> Self {
        Self::Folder(Arc::new(Folder::new(absolute(path))))
    }

    /// The relay of whoever is signed in.
    pub async fn remote(connection: Arc<Connection>) -> Result<Self> {
        Remote::new(connection).await.map(Self::Remote)
    }

    /// What this device files its keys under.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => format!("folder:{}", folder.path().to_string_lossy()),
            Self::Remote(remote) => remote.name(),
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.path().display().to_string(),
            Self::Remote(remote) => remote.shown(),
        }
    }

    /// Which of these are not there, in order.
    pub async fn missing(&self, ids: Vec<(Kind, Digest)>) -> Result<Vec<(Kind, Digest)>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || {
                    let mut missing = Vec::new();
                    for (kind, id) in ids {
                        if !folder.has(kind, &id)? {
                            missing.push((kind, id));
                        }
                    }
                    Ok(missing)
                })
                .await
            }
            Self::Remote(remote) => remote.missing(ids).await,
        }
    }

    /// Keeps objects; all are durable when it returns. Those that are there already cost little.
    pub async fn put(&self, objects: Vec<Object>) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.put(&objects)).await
            }
            Self::Remote(remote) => remote.put(objects).await,
        }
    }

    /// An object as it lies there, neither compared nor opened; `None` if it is not there.
    pub async fn get(&self, kind: Kind, id: Digest) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.get(kind, &id)).await
            }
            Self::Remote(remote) => remote.get(kind, &id).await,
        }
    }

    /// Makes a damaged object count as missing. A server does so by itself when it reads one.
    pub async fn set_aside(&self, kind: Kind, id: Digest) -> Result<()> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let folder = folder.clone();
        blocking(move || folder.set_aside(kind, &id)).await
    }

    /// Ids of all objects of a kind, sorted.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Digest>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.list(kind)).await
            }
            Self::Remote(remote) => remote.list(kind).await,
        }
    }

    /// Asks what there is.
    pub async fn look(&self) -> Result<Look> {
        match self {
            Self::Folder(_) => {
                let keyring = self.keyring().await?;
                let sequence = keyring.and_then(|(_, object)| sequence_of(&object).ok());
                Ok(Look::Folder(self.list(Kind::Segment).await?, sequence))
            }
            Self::Remote(remote) => remote.heads().await.map(Look::Remote),
        }
    }

    /// Segments that may be new to somebody who knows these chains, in any order. Refused if what is known is not there
    /// any more.
    pub async fn news(&self, look: Look, chains: &Chains) -> Result<Vec<Digest>> {
        match (self, look) {
            (Self::Remote(remote), Look::Remote(heads)) => remote.news(&heads, chains).await,
            (_, Look::Folder(there, _)) => {
                let is_gone = |id: &Digest| there.binary_search(id).is_err();
                match chains.heads().iter().find(|head| is_gone(&head.id)) {
                    Some(_) => Err(refused(self.shown(), Bad::RolledBack)),
                    None => Ok(there),
                }
            }
            (Self::Folder(_), Look::Remote(_)) => Ok(Vec::new()),
        }
    }

    /// Adds a segment to its chain. `live` are the ids it makes live, sorted.
    pub async fn append(
        &self,
        segment: &Segment,
        id: Digest,
        object: Vec<u8>,
        live: &[Digest],
    ) -> Result<()> {
        match self {
            // In a folder nobody collects what is not live.
            Self::Folder(_) => self.put(vec![(Kind::Segment, id, object)]).await,
            Self::Remote(remote) => {
                remote.append(segment.writer, segment.sequence, &object, live).await
            }
        }
    }

    /// The newest keyring.
    pub async fn keyring(&self) -> Result<Option<(Digest, Vec<u8>)>> {
        let Self::Remote(remote) = self else { return self.newest_keyring().await };
        remote.keyring().await
    }

    async fn newest_keyring(&self) -> Result<Option<(Digest, Vec<u8>)>> {
        let mut newest: Option<(u64, Digest, Vec<u8>)> = None;
        for id in self.list(Kind::Keyring).await? {
            let Some(object) = self.get(Kind::Keyring, id).await? else { continue };
            let sequence = sequence_of(&object).ok().filter(|_| id_of(&object) == id);
            let Some(sequence) = sequence else { continue };
            if newest.as_ref().is_none_or(|(known, ..)| sequence > *known) {
                newest = Some((sequence, id, object));
            }
        }
        Ok(newest.map(|(_, id, object)| (id, object)))
    }

    /// Makes a keyring the newest one.
    pub async fn put_keyring(&self, id: Digest, object: Vec<u8>) -> Result<()> {
        match self {
            Self::Folder(_) => self.put(vec![(Kind::Keyring, id, object)]).await,
            Self::Remote(remote) => remote.put_keyring(object).await,
        }
    }
}
