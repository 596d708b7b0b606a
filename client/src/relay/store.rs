//! Where sealed objects lie.

use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::keyring::sequence_of;
use photosync_protocol::format::object::Kind;
use photosync_protocol::format::segment::Chains;
use std::path::Path;

use super::folder::Folder;
use super::{absolute, refused};
use crate::backup::blocking;
use crate::error::Result;
use photosync_protocol::format::Bad;

/// A sealed object with its name.
pub type Object = (Kind, Digest, Vec<u8>);

/// A place with sealed objects.
pub enum Store {
    /// A folder.
    Folder(Arc<Folder>),
}

impl Store {
    /// The objects below a folder.
    pub fn folder(path: &Path) -> Self {
        Self::Folder(Arc::new(Folder::new(absolute(path))))
    }

    /// What this device files its keys under.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => format!("folder:{}", folder.path().to_string_lossy()),
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.path().display().to_string(),
        }
    }

    /// Which of these are not there, in order.
    pub async fn missing(&self, ids: Vec<(Kind, Digest)>) -> Result<Vec<(Kind, Digest)>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || {
                    Ok(ids.into_iter().filter(|(kind, id)| !folder.has(*kind, id)).collect())
                })
                .await
            }
        }
    }

    /// Keeps objects; all are durable when it returns. Those that are there already cost little.
    pub async fn put(&self, objects: Vec<Object>) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.put(&objects)).await
            }
        }
    }

    /// An object as it lies there, neither compared nor opened; `None` if it is not there.
    pub async fn get(&self, kind: Kind, id: Digest) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.get(kind, &id)).await
            }
        }
    }

    /// Ids of all objects of a kind.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Digest>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.list(kind)).await
            }
        }
    }

    /// Segments that may be new to somebody who knows these chains, in any order. Refused if what is known is not there
    /// any more.
    pub async fn news(&self, chains: &Chains) -> Result<Vec<Digest>> {
        match self {
            Self::Folder(_) => {
                let there = self.list(Kind::Segment).await?;
                let gone =
                    chains.heads().iter().find(|head| there.binary_search(&head.id).is_err());
                match gone {
                    Some(_) => Err(refused(self.shown(), Bad::RolledBack)),
                    None => Ok(there),
                }
            }
        }
    }

    /// Adds a segment to its chain. `live` are the ids it makes live, sorted.
    pub async fn append(&self, id: Digest, object: Vec<u8>, _live: &[Digest]) -> Result<()> {
        match self {
            // In a folder nobody collects what is not live.
            Self::Folder(_) => self.put(vec![(Kind::Segment, id, object)]).await,
        }
    }

    /// The newest keyring.
    pub async fn keyring(&self) -> Result<Option<(Digest, Vec<u8>)>> {
        match self {
            Self::Folder(_) => {
                let mut newest: Option<(u64, Digest, Vec<u8>)> = None;
                for id in self.list(Kind::Keyring).await? {
                    let Some(object) = self.get(Kind::Keyring, id).await? else { continue };
                    let Ok(sequence) = sequence_of(&object) else { continue };
                    if newest.as_ref().is_none_or(|(known, ..)| sequence > *known) {
                        newest = Some((sequence, id, object));
                    }
                }
                Ok(newest.map(|(_, id, object)| (id, object)))
            }
        }
    }

    /// Makes a keyring the newest one.
    pub async fn put_keyring(&self, id: Digest, object: Vec<u8>) -> Result<()> {
        match self {
            Self::Folder(_) => self.put(vec![(Kind::Keyring, id, object)]).await,
        }
    }
}
