//! Beginning a relay, and everything about its keys: the password, the 24 words, epochs.

use std::path::Path;

use photosync_protocol::crypto::{Cost, Key};
use photosync_protocol::format::Bad;
use photosync_protocol::format::keyring::{
    Contents, Epoch, Keyring, PasswordLock, password_lock, recovery_lock,
};
use photosync_protocol::format::keys::{MasterKey, RecoveryKey};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, claimed_epoch, id_of, recovery_wrap};
use zeroize::Zeroizing;

use super::space::random;
use super::store::Look;
use super::{Relay, Space, Store, failed, refused};
use crate::backup::blocking;
use crate::cache::Cache;
use crate::connection::now_ms;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::profile::Profile;

/// What a new relay's owner has to write down.
pub struct Begun {
    /// The 24 words.
    pub words: Zeroizing<String>,
    /// This device's keys.
    pub space: Space,
}

/// Begins a relay in an empty place.
pub async fn begin(
    store: &Store,
    profile: &Profile,
    password: Zeroizing<String>,
    cost: Cost,
) -> Result<Begun> {
    if store.keyring().await?.is_some() || !store.list(Kind::Segment).await?.is_empty() {
        let text = format!("{} has been begun already", store.shown());
        return Err(Error::new(ErrorKind::Usage, text).coded("exists").hint(
            "open it with photosync relay unlock, or with the 24 words: photosync relay recover",
        ));
    }
    let (master, recovery) = (MasterKey(Key::new(random()?)), RecoveryKey(Key::new(random()?)));
    let keyring = Keyring {
        sequence: 1,
        recovery_wrap: recovery_lock(&master, &recovery, &random()?),
        master,
        contents: Contents {
            epochs: vec![Epoch { epoch: 1, began_at_ms: now_ms(), closed: vec![] }],
        },
    };
    put(store, &keyring, Lock::New(password, cost)).await?;
    let space = Space::keep(profile, &store.name(), &keyring)?;
    Ok(Begun { words: recovery.words(), space })
}

/// Gives this device the keys, by the password.
pub async fn unlock(
    store: &Store,
    profile: &Profile,
    password: Zeroizing<String>,
) -> Result<Space> {
    let keyring = open(store, password).await?;
    keep(store, profile, &keyring).await
}

/// Keeps what an opened keyring says. What this device wrote with old keys after they were changed, without knowing, does
/// not count: the next backup seals it again, however the new keys were got.
async fn keep(store: &Store, profile: &Profile, keyring: &Keyring) -> Result<Space> {
    let space = Space::keep(profile, &store.name(), keyring)?;
    let (segments, _) = space.segments()?;
    let own = segments.iter().filter(|one| !one.counts && one.segment.writer == space.writer);
    let mut digests = Vec::new();
    for entry in own.flat_map(|one| one.segment.entries.iter()) {
        let digest = match &entry.manifest {
            Some(manifest) => Some(manifest.digest),
            None => {
                let object = store.get(Kind::Manifest, entry.id).await?.unwrap_or_default();
                Manifest::open(&object, &entry.id, &space.keys).ok().map(|one| one.digest)
            }
        };
        match digest {
            Some(digest) => digests.push(digest),
            // Which file it was is not known any more: all are looked at anew.
            None => space.forget_settled()?,
        }
    }
    if !digests.is_empty() {
        Cache::open(&space.cache_file())?.unsettle(&digests)?;
    }
    Ok(space)
}

/// Gives this device the keys, by the 24 words, and sets a new password. Needs no keyring: any manifest or segment will
/// do.
pub async fn recover(
    store: &Store,
    profile: &Profile,
    words: &str,
    password: Zeroizing<String>,
    cost: Cost,
) -> Result<Space> {
    let recovery = RecoveryKey::from_words(words).map_err(|bad| {
        refused("what was typed", bad).hint("24 words, in the order in which they were printed")
    })?;
    let keyring = match store.keyring().await? {
        Some((id, object)) => {
            let opened = Keyring::recover(&object, &id, &recovery);
            let opened = opened.map_err(|bad| refused("the keyring", bad))?;
            Keyring { sequence: opened.sequence + 1, ..opened }
        }
        None => {
            // A server that shows a number and has lost what was behind it takes only the one after.
            let last = store.look().await?.keyring_sequence().unwrap_or(0);
            Keyring { sequence: last.saturating_add(1), ..rebuild(store, &recovery).await? }
        }
    };
    put(store, &keyring, Lock::New(password, cost)).await?;
    keep(store, profile, &keyring).await
}

/// The keyring from what other objects carry. When its epochs began is lost with it, and so is what was closed.
async fn rebuild(store: &Store, recovery: &RecoveryKey) -> Result<Keyring> {
    let mut found: Option<(MasterKey, _)> = None;
    let mut newest = 1;
    for kind in [Kind::Segment, Kind::Manifest] {
        for id in store.list(kind).await? {
            let Some(object) = store.get(kind, id).await?.filter(|object| id_of(object) == id)
            else {
                continue;
            };
            let Ok(wrap) = recovery_wrap(&object) else { continue };
            if found.is_none() {
                let opened = MasterKey::unwrap(&wrap, &recovery.wrapping_key());
                found = opened.ok().map(|master| (master, wrap));
            }
            newest = newest.max(claimed_epoch(&object).unwrap_or(1));
        }
        // An index tells the epochs as well as 10,000 manifests.
        if found.is_some() {
            break;
        }
    }
    let (master, recovery_wrap) = found.ok_or_else(|| {
        refused(store.shown(), Bad::WrongSecret).hint("no object there was sealed for these words")
    })?;
    let epoch = |epoch| Epoch { epoch, began_at_ms: 0, closed: vec![] };
    // An epoch that nobody wrote down cannot be told from a stranger's claim: a keyring of a million epochs is none.
    let epochs = (1..=newest.min(1000)).map(epoch).collect();
    Ok(Keyring { sequence: 1, master, recovery_wrap, contents: Contents { epochs } })
}

impl Relay {
    /// A new password: a few hundred bytes are written again, no photo is.
    pub async fn change_password(
        &mut self,
        old: Zeroizing<String>,
        new: Zeroizing<String>,
        cost: Cost,
        profile: &Profile,
    ) -> Result<()> {
        let opened = open(&self.store, old).await?;
        let keyring = Keyring { sequence: opened.sequence + 1, ..opened };
        put(&self.store, &keyring, Lock::New(new, cost)).await?;
        self.space = keep(&self.store, profile, &keyring).await?;
        Ok(())
    }

    /// Begins a new epoch: what is sealed from now on, a lost device cannot read, and what it still writes does not
    /// count. Answers the epoch's number.
    pub async fn rotate(&mut self, password: Zeroizing<String>, profile: &Profile) -> Result<u32> {
        self.learn().await?;
        let (id, object) = newest(&self.store).await?;
        let lock = password_lock(&object, &id).map_err(|bad| refused("the keyring", bad))?;
        let mut keyring = open(&self.store, password).await?;
        let epoch = keyring.current_epoch().map_err(|bad| refused("the keyring", bad))? + 1;
        keyring.sequence += 1;
        let closed = self.space.chains.heads().to_vec();
        keyring.contents.epochs.push(Epoch { epoch, began_at_ms: now_ms(), closed });
        put(&self.store, &keyring, Lock::Kept(lock)).await?;
        self.space = keep(&self.store, profile, &keyring).await?;
        Ok(epoch)
    }

    /// Notices that the keys were changed elsewhere, before anything is sealed with old ones.
    pub(super) async fn require_newest_keyring(&self, look: &Look) -> Result<()> {
        let known = self.space.keyring_sequence;
        match look.keyring_sequence() {
            Some(sequence) if sequence == known => Ok(()),
            Some(sequence) if sequence > known => {
                // A new password alone changes no key.
                let (_, object) = newest(&self.store).await?;
                let is_same = claimed_epoch(&object) == Ok(self.space.keys.current().0);
                if is_same { Ok(()) } else { Err(refused("an old key", Bad::UnknownEpoch)) }
            }
            Some(_) => Err(refused("the keyring", Bad::RolledBack)),
            None => newest(&self.store).await.map(|_| ()),
        }
    }
}

async fn newest(store: &Store) -> Result<(photosync_protocol::digest::Digest, Vec<u8>)> {
    store.keyring().await?.ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("there is no keyring in {}", store.shown()))
            .coded("no_keyring")
            .hint("begin with photosync relay init; with the 24 words of a lost one: photosync relay recover")
    })
}

async fn open(store: &Store, password: Zeroizing<String>) -> Result<Keyring> {
    let (id, object) = newest(store).await?;
    // Stretching a password takes a second of one core.
    blocking(move || {
        Keyring::open(&object, &id, &password).map_err(|cause| failed("the keyring", cause))
    })
    .await
}

/// How a keyring is locked.
enum Lock {
    New(Zeroizing<String>, Cost),
    Kept(PasswordLock),
}

async fn put(store: &Store, keyring: &Keyring, lock: Lock) -> Result<()> {
    let (salt, nonce) = (random()?, random()?);
    let keyring = keyring.clone();
    let (id, object) = blocking(move || {
        let lock = match lock {
            Lock::Kept(lock) => lock,
            Lock::New(password, cost) => {
                PasswordLock::new(&keyring.master, &password, cost, salt, &nonce)
                    .map_err(|cause| failed("the keyring", cause))?
            }
        };
        keyring.seal(&lock).map_err(|bad| refused("the keyring", bad))
    })
    .await?;
    store.put_keyring(id, object).await
}

/// The sheet to print: everything somebody needs who has only it and the sealed objects.
pub fn kit(store: &Store, words: &str) -> Zeroizing<String> {
    let list: Vec<&str> = words.split(' ').collect();
    let rows = list.len().div_ceil(4);
    let mut text = String::from(
        "PhotoSync recovery kit\n\nWhoever has these 24 words and the sealed backup can read every photo in it.\n\
         Keep this sheet where you keep your passport. It is the only way back if the password is lost.\n\n",
    );
    for row in 0..rows {
        for column in 0..4 {
            let number = column * rows + row;
            if let Some(word) = list.get(number) {
                text.push_str(&format!("{:>2}. {word:<12}", number + 1));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let before = match store {
        Store::Folder(_) => "photosync relay --dir FOLDER recover",
        Store::Remote(_) => "photosync login ADDRESS E-MAIL\n  photosync relay recover",
    };
    let place = store.shown();
    text.push_str(&format!("\nThe sealed backup: {place}\n\nOn a new computer:\n  {before}\n"));
    Zeroizing::new(text)
}

/// Writes a kit for its owner alone; an existing file is not replaced.
pub fn write_kit(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    super::io("write", path, written)
}
