//! Beginning a relay, and everything about its keys: the password, the 24 words, epochs.

use photosync_protocol::crypto::{Cost, Key};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::keyring::{Contents, Epoch, Keyring, PasswordLock, recovery_lock};
use photosync_protocol::format::keys::{MasterKey, RecoveryKey};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, claimed_epoch, id_of, recovery_wrap};
use zeroize::Zeroizing;

use super::keyrings::{Secret, There, choose, is_of, none_there, read_words};
use super::kit::Kit;
use super::space::{Seen, random};
use super::store::Look;
use super::{Held, Relay, Space, Store, failed, hold, refused};
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

/// Begins a relay in an empty place. `make_known` gets the 24 words, alone and on their sheet, and keeps them somewhere before
/// anything is there that they open: nobody can ever get them again. If it fails nothing was begun.
pub async fn begin(
    store: &Store,
    profile: &Profile,
    password: Zeroizing<String>,
    cost: Cost,
    make_known: impl FnOnce(&str, &Kit) -> Result<()>,
) -> Result<Begun> {
    let held = hold(store, profile).await?;
    if !store.likely_keyrings(None).await?.is_empty()
        || !store.list(Kind::Segment).await?.is_empty()
    {
        let text = format!("{} has been begun already", store.shown());
        return Err(Error::new(ErrorKind::Usage, text).coded("exists").hint(
            "open it with photosync relay unlock, or with the 24 words: photosync relay recover",
        ));
    }
    if let Some(known) = find_seen(store, profile).await? {
        let text = format!(
            "this computer has keys to a sealed backup in {}, and nothing of it is there",
            store.shown()
        );
        return Err(Error::new(ErrorKind::Usage, text).coded("emptied").hint(format!(
            "is the right disk there? To begin anew all the same, move {} away",
            known.folder.display()
        )));
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
    let (id, object) = seal(&keyring, Lock::New(password, cost)).await?;
    let words = recovery.words();
    make_known(&words, &Kit::new(store, words.clone()).await?)?;
    store.put_keyring(id, object.clone()).await.map_err(words_may_count)?;
    let space = keep(store, profile, &held, keyring, (id, object), vec![]).await?;
    Ok(Begun { words, space })
}

/// The keyring may have arrived although the answer did not.
fn words_may_count(error: Error) -> Error {
    let advice = "type photosync relay init again: if it says that this has been begun already, the 24 words that were just \
                  made count; if it makes new ones, throw these away";
    let hint = match error.hint.as_str() {
        "" => advice.to_owned(),
        known => format!("{known}; then {advice}"),
    };
    error.hint(hint)
}

/// Gives this device the keys, by the password. The newest keyring of this sealed backup counts; those of others that
/// lie beside it are named in [`Space::foreign`].
pub async fn unlock(
    store: &Store,
    profile: &Profile,
    password: Zeroizing<String>,
) -> Result<Space> {
    let held = hold(store, profile).await?;
    let known = find_seen(store, profile).await?;
    let chosen = choose(store, Secret::Password(password), known.as_ref()).await?;
    keep(store, profile, &held, chosen.keyring, chosen.there, chosen.foreign).await
}

/// What this device saw of the place. Asking a key store may take as long as a person needs to unlock it.
pub(super) async fn find_seen(store: &Store, profile: &Profile) -> Result<Option<Seen>> {
    let (profile, name) = (profile.clone(), store.name());
    blocking(move || Space::find_seen(&profile, &name)).await
}

/// Keeps what an opened keyring says. What this device wrote with old keys after they were changed, without knowing, does
/// not count: the next backup seals it again, however the new keys were got. Asks the place for nothing that has to be there:
/// the new keyring counts already, and an error would say that it does not.
async fn keep(
    store: &Store,
    profile: &Profile,
    held: &Held,
    keyring: Keyring,
    (id, object): There,
    foreign: Vec<Digest>,
) -> Result<Space> {
    let (profile, name, held) = (profile.clone(), store.name(), held.clone());
    let kept = move || Space::keep(&profile, &name, &held, &keyring, id, foreign);
    let space = blocking(kept).await?;
    if id_of(&object) == id {
        // A full disk here changes nothing there; verify makes up for a copy that is missing.
        let _ = space.keep_keyring(&object);
    }
    let (segments, _) = space.segments()?;
    let own = segments.iter().filter(|one| !one.counts && one.segment.writer == space.writer);
    let mut digests = Vec::new();
    for entry in own.flat_map(|one| one.segment.entries.iter()) {
        let digest = match &entry.manifest {
            Some(manifest) => Some(manifest.digest),
            None => {
                let got = store.get(Kind::Manifest, entry.id).await;
                let object = got.ok().flatten().unwrap_or_default();
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
    let recovery = read_words(words)?;
    let held = hold(store, profile).await?;
    let known = find_seen(store, profile).await?;
    let (keyring, foreign) =
        match choose(store, Secret::Words(recovery.clone()), known.as_ref()).await {
            Ok(chosen) => {
                (Keyring { sequence: chosen.next_sequence, ..chosen.keyring }, chosen.foreign)
            }
            // All that is there may be keyrings of others, or damaged ones.
            Err(error) if matches!(error.code, "no_keyring" | "unreadable") => {
                (rebuild(store, &recovery, known.as_ref()).await?, vec![])
            }
            Err(error) if matches!(error.code, "wrong_secret" | "damaged" | "gone") => {
                let rebuilt = rebuild(store, &recovery, known.as_ref()).await.map_err(|_| error)?;
                (rebuilt, store.keyrings().await?.into_iter().map(|(id, _)| id).collect())
            }
            Err(error) => return Err(error),
        };
    let there = put(store, &keyring, Lock::New(password, cost)).await?;
    keep(store, profile, &held, keyring, there, foreign).await
}

/// The keyring from what other objects carry. When its epochs began, and what was closed then, is known only if this device
/// knew it before.
async fn rebuild(store: &Store, recovery: &RecoveryKey, known: Option<&Seen>) -> Result<Keyring> {
    let mut found: Option<(MasterKey, _)> = None;
    let mut newest = 1;
    for kind in [Kind::Segment, Kind::Manifest] {
        for id in store.list(kind).await? {
            let object = if_readable(store.get(kind, id).await)?;
            let Some(object) = object.filter(|object| id_of(object) == id) else { continue };
            let Ok(wrap) = recovery_wrap(&object) else { continue };
            if found.is_none() {
                let opened = MasterKey::unwrap(&wrap, &recovery.wrapping_key());
                found = opened.ok().map(|master| (master, wrap));
            }
            // A stranger's object says what it likes.
            let is_ours = found.as_ref().is_some_and(|(_, ours)| *ours == wrap);
            newest = newest.max(claimed_epoch(&object).ok().filter(|_| is_ours).unwrap_or(1));
        }
        // An index tells the epochs as well as 10,000 manifests.
        if found.is_some() {
            break;
        }
    }
    let (master, recovery_wrap) = found.ok_or_else(|| {
        refused(store.shown(), Bad::WrongSecret).hint("no object there was sealed for these words")
    })?;
    let known = known.filter(|known| is_of(&master, known.first.as_ref()));
    let mut epochs = known.map(|known| known.epochs.clone()).unwrap_or_default();
    let epoch = |epoch| Epoch { epoch, began_at_ms: 0, closed: vec![] };
    // An epoch that nobody wrote down cannot be told from a stranger's claim: a keyring of a million epochs is none.
    let from = u32::try_from(epochs.len()).unwrap_or(u32::MAX).saturating_add(1);
    epochs.extend((from..=newest.min(1000)).map(epoch));
    // A server takes only the successor of the one it shows; this device none that is older than one it saw.
    let last = match store {
        Store::Folder(_) => known.map_or(0, |known| known.keyring_sequence),
        Store::Remote(_) => {
            // Told also when the bytes behind it are lost.
            let told = store.look().await?.keyrings();
            told.into_iter().map(|(_, sequence)| sequence).max().unwrap_or(0)
        }
    };
    let sequence = last.checked_add(1).ok_or_else(|| refused("the keyring", Bad::BadContents))?;
    Ok(Keyring { sequence, master, recovery_wrap, contents: Contents { epochs } })
}

/// An object that cannot be read is as good as none where any other will do.
fn if_readable(got: Result<Option<Vec<u8>>>) -> Result<Option<Vec<u8>>> {
    match got {
        Err(error) if error.kind == ErrorKind::File => Ok(None),
        got => got,
    }
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
        let held = self.hold().await?;
        let chosen = choose(&self.store, Secret::Password(old), Some(&self.space.seen())).await?;
        let keyring = Keyring { sequence: chosen.next_sequence, ..chosen.keyring };
        let there = put(&self.store, &keyring, Lock::New(new, cost)).await?;
        self.space = keep(&self.store, profile, &held, keyring, there, chosen.foreign).await?;
        Ok(())
    }

    /// Begins a new epoch: what is sealed from now on, a lost device cannot read, and what it still writes does not
    /// count. Answers the epoch's number.
    pub async fn rotate(&mut self, password: Zeroizing<String>, profile: &Profile) -> Result<u32> {
        let held = self.hold().await?;
        self.learn(Some(&held)).await?;
        let chosen =
            choose(&self.store, Secret::Password(password), Some(&self.space.seen())).await?;
        let mut keyring = chosen.keyring;
        let epoch = keyring.current_epoch().map_err(|bad| refused("the keyring", bad))? + 1;
        keyring.sequence = chosen.next_sequence;
        let closed = self.space.chains.heads().to_vec();
        keyring.contents.epochs.push(Epoch { epoch, began_at_ms: now_ms(), closed });
        let there = put(&self.store, &keyring, Lock::Kept(chosen.lock)).await?;
        self.space = keep(&self.store, profile, &held, keyring, there, chosen.foreign).await?;
        Ok(epoch)
    }

    /// Notices that the keys were changed elsewhere, before anything is sealed with old ones.
    pub(super) async fn require_newest_keyring(&self, look: &Look) -> Result<()> {
        let (known, there) = (self.space.keyring_sequence, look.keyrings());
        let ours = there.iter().filter(|(id, _)| !self.space.foreign.contains(id));
        match ours.max_by_key(|(_, sequence)| *sequence) {
            Some((_, sequence)) if *sequence == known => Ok(()),
            Some((id, sequence)) if *sequence > known => {
                // A new password alone changes no key.
                let object = self.store.get(Kind::Keyring, *id).await?.unwrap_or_default();
                let is_same = claimed_epoch(&object) == Ok(self.space.keys.current().0);
                if is_same { Ok(()) } else { Err(refused("an old key", Bad::UnknownEpoch)) }
            }
            Some(_) => Err(refused("the keyring", Bad::RolledBack)),
            None if there.is_empty() => Err(none_there(&self.store)),
            // A server that shows somebody else's has to have ours behind it.
            None => {
                let ours = self.space.keyring.map(|id| (Kind::Keyring, id)).into_iter().collect();
                match self.store.missing(ours).await?.is_empty() && self.space.keyring.is_some() {
                    true => Ok(()),
                    false => Err(refused("the keyring", Bad::RolledBack)),
                }
            }
        }
    }
}

/// How a keyring is locked.
enum Lock {
    New(Zeroizing<String>, Cost),
    Kept(PasswordLock),
}

async fn put(store: &Store, keyring: &Keyring, lock: Lock) -> Result<There> {
    let (id, object) = seal(keyring, lock).await?;
    store.put_keyring(id, object.clone()).await?;
    Ok((id, object))
}

/// A keyring as it lies there, and its id. Stretching a password takes a second of one core.
async fn seal(keyring: &Keyring, lock: Lock) -> Result<There> {
    let (salt, nonce) = (random()?, random()?);
    let keyring = keyring.clone();
    blocking(move || {
        let lock = match lock {
            Lock::Kept(lock) => lock,
            Lock::New(password, cost) => {
                PasswordLock::new(&keyring.master, &password, cost, salt, &nonce)
                    .map_err(|cause| failed("the keyring", cause))?
            }
        };
        keyring.seal(&lock).map_err(|bad| refused("the keyring", bad))
    })
    .await
}
