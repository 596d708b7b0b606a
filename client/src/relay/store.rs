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
use crate::error::{Kind as ErrorKind, Result};

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
    /// Ids of all segments, sorted, and every keyring: id and the number it says it has.
    Folder(Vec<Digest>, Vec<(Digest, u64)>),
    /// As the server tells it.
    Remote(RelayHeads),
}

impl Look {
    /// Keyrings, each with the number it says it has; a server tells of its newest one.
    pub fn keyrings(&self) -> Vec<(Digest, u64)> {
        match self {
            Self::Folder(_, keyrings) => keyrings.clone(),
            Self::Remote(heads) => {
                heads.keyring.iter().map(|keyring| (keyring.id, keyring.sequence)).collect()
            }
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

    /// E-mail of the account on a server; a folder has none.
    pub async fn account(&self) -> Result<Option<String>> {
        match self {
            Self::Folder(_) => Ok(None),
            Self::Remote(remote) => remote.email().await.map(Some),
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

    /// An object as it lies there, neither compared nor opened; `None` if it is not there. An error of the kind
    /// [`ErrorKind::File`] is one of this object alone.
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
                let keyrings = self.keyrings().await?;
                let numbered =
                    |(id, object): &(Digest, Vec<u8>)| Some((*id, sequence_of(object).ok()?));
                let numbered = keyrings.iter().filter_map(numbered).collect();
                Ok(Look::Folder(self.list(Kind::Segment).await?, numbered))
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

    /// Every keyring that is whole, whoever wrote it; an error if all that are there cannot be read. A server is asked for the ids of all its objects.
    pub async fn keyrings(&self) -> Result<Vec<(Digest, Vec<u8>)>> {
        let (mut found, mut unreadable) = (Vec::new(), None);
        for id in self.list(Kind::Keyring).await? {
            let object = match self.get(Kind::Keyring, id).await {
                Err(error) if error.kind == ErrorKind::File => {
                    unreadable = Some(error);
                    continue;
                }
                got => got?,
            };
            // Of a server it is compared here too: nobody's word counts for an id.
            let whole = object.filter(|object| id_of(object) == id && sequence_of(object).is_ok());
            found.extend(whole.map(|object| (id, object)));
        }
        match unreadable {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The keyrings to try first: all of a folder; of a server its newest one and the one this device knows.
    pub async fn likely_keyrings(&self, known: Option<Digest>) -> Result<Vec<(Digest, Vec<u8>)>> {
        let Self::Remote(remote) = self else { return self.keyrings().await };
        let mut found: Vec<_> = remote.keyring().await?.into_iter().collect();
        if let Some(id) = known.filter(|id| found.first().is_some_and(|(newest, _)| newest != id)) {
            let object = self.get(Kind::Keyring, id).await?;
            found.extend(object.filter(|object| id_of(object) == id).map(|object| (id, object)));
        }
        Ok(found)
    }

    /// Makes a keyring the newest one.
    pub async fn put_keyring(&self, id: Digest, object: Vec<u8>) -> Result<()> {
        match self {
            Self::Folder(_) => self.put(vec![(Kind::Keyring, id, object)]).await,
            Self::Remote(remote) => remote.put_keyring(object).await,
        }
    }
}
