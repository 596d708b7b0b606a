//! Cloud backups of the published desktop and phone clients (version 1): read, checked and restored; never written.
//!
//! Their key follows from e-mail and password of the account (desktop) or lies in the phone. They are on a server of ours or
//! of theirs ([`Source::sign_in`]), or in a folder that somebody copied from one ([`Source::folder`]).

mod restoring;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::account::legacy_device_uuids;
use photosync_protocol::crypto::{KEY_BYTES, Key, TAG_BYTES};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::v1::{MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES, desktop_master_key};
use photosync_protocol::v1;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::io;
use super::remote::call;
use crate::backup::blocking;
use crate::connection::Connection;
use crate::error::{Error, Kind, Result};

pub use restoring::restore;

/// Rows of one page of manifests, as the desktop client asks for them.
const PAGE: usize = 500;

/// Where a version 1 backup lies.
pub enum Source {
    /// A folder with its files, in whatever folders below it: chunks are named by their id, manifests end with `.json`.
    Folder {
        /// For people.
        path: PathBuf,
        /// Every chunk.
        chunks: HashMap<Digest, PathBuf>,
        /// Every file that may be a manifest.
        manifests: Vec<PathBuf>,
    },
    /// A server, with a session as those clients have it.
    Server(Box<Old>),
}

/// A version 1 session.
pub struct Old {
    connection: Connection,
    token: Zeroizing<String>,
    device: String,
}

/// A manifest's place: a path or an id of the server.
#[derive(Debug, Clone)]
enum Listed {
    Path(PathBuf),
    Id(String),
}

impl Listed {
    /// For people.
    fn shown(&self) -> String {
        match self {
            Self::Path(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Id(id) => id.clone(),
        }
    }
}

/// Keys that may open it: the one that follows from e-mail and password; and, if the password is one in Base64, that of a phone.
pub fn keys_of(email: &str, password: &str) -> Vec<Key> {
    let exact = STANDARD.decode(password.trim()).map(Zeroizing::new).ok();
    let exact = exact.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
    let derived = desktop_master_key(email, password);
    std::iter::once(derived).chain(exact.map(Key::new)).collect()
}

impl Source {
    /// Looks through a folder. Links are not followed. Blocks.
    pub fn folder(path: &Path) -> Result<Self> {
        let (mut chunks, mut manifests) = (HashMap::new(), Vec::new());
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in io("look into", &folder, std::fs::read_dir(&folder))? {
                let entry = io("look into", &folder, entry)?;
                let path = entry.path();
                let kind = io("look at", &path, entry.file_type())?;
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && path.extension().is_some_and(|it| it == "json") {
                    manifests.push(path);
                } else if let Some(id) = Digest::from_hex(stem).filter(|_| kind.is_file()) {
                    chunks.insert(id, path);
                }
            }
        }
        manifests.sort();
        Ok(Self::Folder { path: path.to_owned(), chunks, manifests })
    }

    /// Signs in as the old clients do. `connection` says which server and which key of it is trusted.
    pub async fn sign_in(connection: &Connection, email: &str, password: &str) -> Result<Self> {
        let [_, device] = legacy_device_uuids(email, password).map(|uuid| uuid.to_string());
        let body = serde_json::json!({
            "email": email, "password": password, "device_uuid": device, "device_name": "photosync",
        });
        let connection = connection.without_session();
        let sent = call(&connection, 0, |connection| {
            connection.request_old(Method::POST, "/login").json(&body)
        });
        let answer = sent.await.map_err(|failure| failure.error)?;
        let token = read::<v1::LoginAnswer>("/login", &answer)?.token.into();
        Ok(Self::Server(Box::new(Old { connection, token, device })))
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { path, .. } => path.display().to_string(),
            Self::Server(old) => old.connection.base(),
        }
    }

    /// Every manifest.
    async fn list(&self) -> Result<Vec<Listed>> {
        let old = match self {
            Self::Folder { manifests, .. } => {
                return Ok(manifests.iter().cloned().map(Listed::Path).collect());
            }
            Self::Server(old) => old,
        };
        let (mut listed, mut known) = (Vec::new(), HashSet::new());
        loop {
            let route = format!("/cloud/manifests?offset={}&limit={PAGE}", listed.len());
            let page: v1::ManifestList = read(&route, &old.get(&route, 0).await?)?;
            let is_empty = page.manifests.is_empty();
            let ids = page.manifests.into_iter().map(|one| one.manifest_id);
            let new: Vec<_> = ids.filter(|id| known.insert(id.clone())).collect();
            // A page that does not go on would be asked for for ever.
            if new.is_empty() {
                let total = u64::try_from(page.total).unwrap_or(0);
                return match is_empty || listed.len() as u64 >= total {
                    true => Ok(listed),
                    false => Err(does_not_go_on(listed.len(), total)),
                };
            }
            listed.extend(new.into_iter().map(Listed::Id));
        }
    }

    /// The sealed text of a manifest; `None` for a file that is none. An error of the kind [`Kind::File`] is one of this manifest
    /// alone.
    async fn manifest(&self, listed: &Listed) -> Result<Option<String>> {
        let bytes = match (self, listed) {
            (Self::Server(old), Listed::Id(id)) => {
                match old.ask(&format!("/cloud/manifests/{id}"), MAX_MANIFEST_BYTES).await {
                    Ok(body) => body,
                    Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => {
                        let text = "its manifest is missing";
                        return Err(Error::new(Kind::File, text).coded("missing"));
                    }
                    Err(failure) => return Err(failure.error),
                }
            }
            (_, Listed::Path(path)) => {
                let path = path.clone();
                blocking(move || read_file(&path)).await?.into()
            }
            (Self::Folder { .. }, Listed::Id(_)) => return Ok(None),
        };
        // Of the file only this key counts: folders copied from other servers have other ones beside it.
        let text: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let sealed = text.as_ref().and_then(|text| text.get("encryptedManifest"));
        Ok(sealed.and_then(|sealed| sealed.as_str()).map(str::to_owned))
    }

    /// A boxed chunk as it lies there; `None` if it is not there.
    async fn chunk(&self, id: &Digest) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Folder { chunks, .. } => {
                let Some(path) = chunks.get(id).cloned() else { return Ok(None) };
                blocking(move || read_file(&path)).await.map(Some)
            }
            Self::Server(old) => {
                let route = format!("/cloud/chunks/{id}");
                match old.ask(&route, MAX_CHUNK_BYTES + TAG_BYTES).await {
                    Ok(body) => Ok(Some(body.into())),
                    Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(None),
                    Err(failure) => Err(failure.error),
                }
            }
        }
    }
}

impl Old {
    async fn ask(
        &self,
        route: &str,
        bytes: usize,
    ) -> std::result::Result<bytes::Bytes, crate::connection::Failure> {
        let build = |connection: &Connection| {
            let request =
                connection.request_old(Method::GET, route).bearer_auth(self.token.as_str());
            request.header(v1::DEVICE_UUID_HEADER, &self.device)
        };
        call(&self.connection, bytes as u64, build).await
    }

    async fn get(&self, route: &str, bytes: usize) -> Result<bytes::Bytes> {
        self.ask(route, bytes).await.map_err(|failure| failure.error)
    }
}

fn does_not_go_on(count: usize, total: u64) -> Error {
    Error::unexpected(format!(
        "the server says that it has {total} manifests, and lists the same {count} again and again"
    ))
}

/// Blocks.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| Error::file("read", path, &cause))
}

fn read<T: DeserializeOwned>(route: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|cause| {
        Error::unexpected(format!(
            "the answer to {route} is not what a PhotoSync server says: {cause}"
        ))
    })
}

/// Nothing of what is there opens.
fn wrong_secret(count: usize, source: &Source) -> Error {
    let text = format!(
        "none of the {count} photos in {} opens with this e-mail and password",
        source.shown()
    );
    Error::new(Kind::SignIn, text).coded("wrong_secret").hint(
        "it has to be the password that the account had when they were backed up (--old-password asks for it); what a phone \
         sealed opens with the key in that phone alone",
    )
}
