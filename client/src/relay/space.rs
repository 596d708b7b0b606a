//! What this device keeps of a relay: the keys of the epochs, its own name as a writer, and the newest segment of every
//! chain it saw. Beside it a copy of every segment, sealed as it came.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use photosync_protocol::crypto::{self, Key};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::keyring::{Epoch, Keyring};
use photosync_protocol::format::keys::{DeviceKeys, EpochKeys, Wrap};
use photosync_protocol::format::object::{Kind, claimed_epoch, id_of};
use photosync_protocol::format::segment::{Chains, Segment, Writer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::hiding::KeyPlace;
use super::{io, refused};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::profile::Profile;

/// An unlocked relay, as this device knows it.
pub struct Space {
    profile: Profile,
    folder: PathBuf,
    /// Opens and seals.
    pub keys: DeviceKeys,
    /// Where these keys lie.
    pub key_place: KeyPlace,
    /// This device's chain.
    pub writer: Writer,
    /// Number of the newest keyring it saw.
    pub keyring_sequence: u64,
    /// Its id.
    pub keyring: Option<Digest>,
    /// Keyrings in the same place that are not of this sealed backup: kept there, and not looked at again.
    pub foreign: Vec<Digest>,
    /// When epochs began.
    pub epochs: Vec<Epoch>,
    /// The newest segments it saw.
    pub chains: Chains,
}

/// A segment as this device has it.
pub struct Mirrored {
    /// Its id.
    pub id: Digest,
    /// What it says.
    pub segment: Segment,
    /// Whether its entries count.
    pub counts: bool,
}

/// As it lies on disk, readable by its owner alone.
#[derive(Serialize, Deserialize)]
struct Stored {
    place: String,
    writer: Writer,
    keyring_sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyring: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    foreign: Vec<Digest>,
    epochs: Vec<Epoch>,
    recovery_wrap: String,
    /// The keys of the epochs, oldest first, in hexadecimal; none if they are sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Zeroizing<String>>,
    /// The same, sealed with what the key store has under the name that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_keys: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_store_entry: Option<String>,
    chains: Chains,
}

/// What this device saw of a place, for choosing among keyrings there.
pub struct Seen {
    /// Id of its keyring.
    pub keyring: Option<Digest>,
    /// Number of that.
    pub keyring_sequence: u64,
    /// When epochs began.
    pub epochs: Vec<Epoch>,
    /// The key of the first epoch, which tells one sealed backup from another. `None` if the key store holds it back.
    pub first: Option<EpochKeys>,
    /// Where it is written down.
    pub folder: PathBuf,
}

/// Lets no other run of this computer write into a sealed backup, until all copies of it are dropped. Two runs that go on from
/// the same segment would both write its successor: a forked chain, and every later run takes that for tampering.
#[derive(Clone)]
pub(crate) struct Held {
    _lock: Arc<File>,
}

impl Held {
    /// Holds that place; `None` if another run does. The system lets go of it when a process ends, however it ends.
    pub fn take(profile: &Profile, place: &str) -> Result<Option<Self>> {
        let folder = folder_of(profile, place);
        profile.create()?;
        io("make the folder", &folder, fs::create_dir_all(&folder))?;
        let path = folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = io("open", &path, file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _lock: Arc::new(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => io("lock", &path, Err(cause)),
        }
    }
}

impl Space {
    /// The space of that place, if this device has keys to it. Blocks, and may wait for a person who unlocks the key store.
    pub fn find(profile: &Profile, place: &str) -> Result<Option<Self>> {
        Self::find_with(profile, place, None)
    }

    /// As [`Self::find`]; the key store is asked only for keys that do not lie where `known` says.
    pub(super) fn find_with(
        profile: &Profile,
        place: &str,
        known: Option<&KeyPlace>,
    ) -> Result<Option<Self>> {
        let folder = folder_of(profile, place);
        let Some(stored) = Stored::find(&folder)? else { return Ok(None) };
        let (keys, key_place) = stored.open(profile, &folder, known)?;
        Ok(Some(Self {
            profile: profile.clone(),
            folder,
            keys,
            key_place,
            writer: stored.writer,
            keyring_sequence: stored.keyring_sequence,
            keyring: stored.keyring,
            foreign: stored.foreign,
            epochs: stored.epochs,
            chains: stored.chains,
        }))
    }

    /// What was seen of that place, also if its keys cannot be read. Blocks as [`Self::find`] does.
    pub fn find_seen(profile: &Profile, place: &str) -> Result<Option<Seen>> {
        let folder = folder_of(profile, place);
        let Some(stored) = Stored::find(&folder)? else { return Ok(None) };
        let opened = stored.open(profile, &folder, None).ok();
        Ok(Some(Seen {
            keyring: stored.keyring,
            keyring_sequence: stored.keyring_sequence,
            epochs: stored.epochs,
            first: opened.and_then(|(keys, _)| keys.of(1).ok().cloned()),
            folder,
        }))
    }

    /// What it saw.
    pub fn seen(&self) -> Seen {
        Seen {
            keyring: self.keyring,
            keyring_sequence: self.keyring_sequence,
            epochs: self.epochs.clone(),
            first: self.keys.of(1).ok().cloned(),
            folder: self.folder.clone(),
        }
    }

    /// Keeps what an opened keyring says. A device that had keys already stays the same writer and forgets nothing of
    /// what it saw. Blocks as [`Self::find`] does.
    pub(super) fn keep(
        profile: &Profile,
        place: &str,
        held: &Held,
        keyring: &Keyring,
        id: Digest,
        foreign: Vec<Digest>,
    ) -> Result<Self> {
        let wrong = |bad| refused("the keyring", bad);
        let keys = keyring.device_keys().map_err(wrong)?;
        let folder = folder_of(profile, place);
        let stored = Stored::find(&folder)?;
        if stored.as_ref().is_some_and(|stored| stored.keyring_sequence > keyring.sequence) {
            return Err(wrong(photosync_protocol::format::Bad::RolledBack));
        }
        let opened = stored.as_ref().and_then(|stored| stored.open(profile, &folder, None).ok());
        let (known, key_place) = opened.unzip();
        // The first epoch's key is that of the same master key, or this is another space. Of keys that cannot be read the wrap
        // beside them says so.
        let is_known = match (&known, &stored) {
            (Some(known), _) => known.of(1) == keys.of(1),
            (None, Some(stored)) => stored.recovery_wrap == hex::encode(keys.recovery_wrap),
            (None, None) => false,
        };
        let (writer, chains) = match stored.filter(|_| is_known) {
            Some(stored) => (stored.writer, stored.chains),
            None => (Writer(random()?), Chains::default()),
        };
        let key_place = match key_place.filter(|place| is_known && place.is_in_key_store()) {
            Some(place) => place,
            None => KeyPlace::choose(profile, format!("sealed backup {writer}"))?,
        };
        let space = Self {
            profile: profile.clone(),
            folder,
            keys,
            key_place,
            writer,
            keyring_sequence: keyring.sequence,
            keyring: Some(id),
            foreign,
            epochs: keyring.contents.epochs.clone(),
            chains,
        };
        space.save(place, held)?;
        Ok(space)
    }

    /// Writes it down; only who holds it may, or the note of another run would be lost. Blocks.
    pub(super) fn save(&self, place: &str, _: &Held) -> Result<()> {
        let keys: Vec<&Key> = self.keys.epochs().map(|(_, keys)| keys.key()).collect();
        let mut bytes = Zeroizing::new(Vec::with_capacity(keys.len() * crypto::KEY_BYTES));
        keys.iter().for_each(|key| bytes.extend_from_slice(key.expose()));
        let (key_store_entry, sealed_keys) = self.key_place.seal(&bytes)?.unzip();
        let is_sealed = sealed_keys.is_some();
        let plain = keys.iter().filter(|_| !is_sealed).map(|key| hex::encode(key.expose()));
        let stored = Stored {
            place: place.to_owned(),
            writer: self.writer,
            keyring_sequence: self.keyring_sequence,
            keyring: self.keyring,
            foreign: self.foreign.clone(),
            epochs: self.epochs.clone(),
            recovery_wrap: hex::encode(self.keys.recovery_wrap),
            keys: plain.map(Zeroizing::new).collect(),
            sealed_keys,
            key_store_entry,
            chains: self.chains.clone(),
        };
        let text = serde_json::to_string(&stored);
        let text = Zeroizing::new(text.map_err(|cause| Error::unexpected(cause.to_string()))?);
        let mirror = self.folder.join("segments");
        self.profile.create()?;
        io("make the folder", &mirror, fs::create_dir_all(&mirror))?;
        self.profile.write(&self.file(), text.as_bytes())
    }

    /// The file with all this but the segments.
    pub fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Which files were sealed already.
    pub fn cache_file(&self) -> PathBuf {
        self.folder.join("cache.db")
    }

    /// Takes nothing for sealed any more: the next backup reads every file again, and sends what is missing. Blocks.
    pub fn forget_settled(&self) -> Result<()> {
        Cache::open(&self.cache_file())?.belong_to("")
    }

    /// Keeps a copy of a segment. Blocks.
    pub fn mirror(&self, id: &Digest, object: &[u8]) -> Result<()> {
        self.profile.write(&self.mirror_path(id), object)
    }

    /// Where the copy of a segment lies.
    pub(super) fn mirror_path(&self, id: &Digest) -> PathBuf {
        self.folder.join("segments").join(id.to_string())
    }

    /// The profile it is part of.
    pub(super) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where all this lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes another file beside it. Blocks.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.profile.write(path, bytes)
    }

    /// Keeps a copy of the keyring: without one there, a password opens nothing. Blocks.
    pub(super) fn keep_keyring(&self, object: &[u8]) -> Result<()> {
        self.profile.write(&self.folder.join("keyring"), object)
    }

    /// This device's copy of a segment or of the keyring, if it has a whole one. Blocks.
    pub fn copy_of(&self, kind: Kind, id: &Digest) -> Result<Option<Vec<u8>>> {
        let path = match kind {
            Kind::Keyring => self.folder.join("keyring"),
            _ => self.mirror_path(id),
        };
        match fs::read(&path) {
            Ok(object) => Ok(Some(object).filter(|object| id_of(object) == *id)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => io("read", &path, Err(cause)),
        }
    }

    /// Every segment of every known chain, and the ids of those that are damaged here and have to be fetched again.
    /// Blocks.
    pub fn segments(&self) -> Result<(Vec<Mirrored>, Vec<Digest>)> {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for head in self.chains.heads() {
            let mut next = Some(head.id);
            while let Some(id) = next {
                let object =
                    fs::read(self.mirror_path(&id)).ok().filter(|object| id_of(object) == id);
                let Some(object) = object else {
                    lost.push(id);
                    break;
                };
                let segment = Segment::open(&object, &id, &self.keys)
                    .map_err(|bad| refused(format!("segment {id}"), bad))?;
                next = segment.previous;
                let epoch = claimed_epoch(&object).unwrap_or(0);
                let counts = self.counts(segment.writer, segment.sequence, epoch);
                found.push(Mirrored { id, counts, segment });
            }
        }
        Ok((found, lost))
    }

    /// Manifests that only segments list which do not count. Blocks.
    pub fn disowned(&self) -> Result<HashSet<Digest>> {
        let (segments, _) = self.segments()?;
        let listed = |counts| {
            let some = segments.iter().filter(move |one| one.counts == counts);
            some.flat_map(|one| one.segment.entries.iter().map(|entry| entry.id))
        };
        let counted: HashSet<Digest> = listed(true).collect();
        Ok(listed(false).filter(|id| !counted.contains(id)).collect())
    }

    /// Ids of the segments of all known chains. Opens none if nothing was interrupted. Blocks.
    pub fn segment_ids(&self) -> Result<HashSet<Digest>> {
        let mirror = self.folder.join("segments");
        let entries = io("look into", &mirror, fs::read_dir(&mirror))?;
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.ok().and_then(|entry| Digest::from_hex(entry.file_name().to_str()?))
        };
        let ids: HashSet<Digest> = entries.filter_map(name).collect();
        let length: u64 = self.chains.heads().iter().map(|head| head.sequence).sum();
        if ids.len() as u64 == length {
            return Ok(ids);
        }
        // A run ended between a copy and the note of it.
        let (segments, _) = self.segments()?;
        Ok(segments.into_iter().map(|mirrored| mirrored.id).collect())
    }

    /// Whether a segment was written while its epoch was open: what a stolen device writes afterwards does not count.
    pub(super) fn counts(&self, writer: Writer, sequence: u64, epoch: u32) -> bool {
        let Some(closing) = self.epochs.iter().find(|next| next.epoch == epoch.saturating_add(1))
        else {
            return true;
        };
        let head = closing.closed.iter().find(|head| head.writer == writer);
        head.is_some_and(|head| sequence <= head.sequence)
    }
}

/// Name of the file.
const FILE: &str = "space.json";

impl Stored {
    fn find(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return io("read", &path, Err(cause)),
        };
        serde_json::from_str(&text).map(Some).map_err(|_| damaged(&path))
    }

    fn open(
        &self,
        profile: &Profile,
        folder: &Path,
        known: Option<&KeyPlace>,
    ) -> Result<(DeviceKeys, KeyPlace)> {
        let damaged = || damaged(&folder.join(FILE));
        let (place, bytes) = match (&self.key_store_entry, &self.sealed_keys) {
            (Some(entry), Some(sealed)) => {
                let is_it = |place: &&KeyPlace| matches!(place, KeyPlace::KeyStore { entry: known, .. } if known == entry);
                let place = match known.filter(is_it) {
                    Some(place) => place.clone(),
                    None => KeyPlace::find(profile, entry.clone())?,
                };
                let bytes = place.open(sealed)?;
                (place, bytes)
            }
            _ => {
                let mut bytes = Zeroizing::new(vec![0; self.keys.len() * crypto::KEY_BYTES]);
                for (text, key) in self.keys.iter().zip(bytes.chunks_mut(crypto::KEY_BYTES)) {
                    hex::decode_to_slice(text.as_str(), key).map_err(|_| damaged())?;
                }
                let why = match profile.uses_key_store() {
                    true => "no key store when they were got; photosync relay unlock tries again",
                    false => "PHOTOSYNC_CLIENT_KEYSTORE is off",
                };
                (KeyPlace::File(why.to_owned()), bytes)
            }
        };
        let (whole, rest) = bytes.as_chunks::<{ crypto::KEY_BYTES }>();
        let keys: Vec<Key> = whole.iter().map(|key| Key::new(*key)).collect();
        let mut wrap: Wrap = [0; _];
        hex::decode_to_slice(&self.recovery_wrap, &mut wrap).map_err(|_| damaged())?;
        let keys = DeviceKeys::from_stored(keys, wrap).filter(|_| rest.is_empty());
        Ok((keys.ok_or_else(damaged)?, place))
    }
}

fn damaged(path: &Path) -> Error {
    Error::storage("read", path, &"it is damaged")
        .hint("move it away and type photosync relay unlock")
}

fn folder_of(profile: &Profile, place: &str) -> PathBuf {
    let name = id_of(place.as_bytes()).to_string();
    profile.folder().join("relay").join(&name[..16])
}

/// Random bytes, or an error for people.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    crypto::random().map_err(|cause| Error::unexpected(cause.to_string()))
}
