//! Which of the keyrings in a place is the right one. Anybody who can write there can put a keyring beside it, with any
//! number: so the right one is the newest that *opens*, never the one with the highest number.
//!
//! The first that opens gives the master key, and that tells of every other keyring whether it belongs to the same sealed
//! backup, whatever password locks it. What does not is named to the person and left where it lies.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::keyring::{
    Failed, Keyring, PasswordLock, password_lock, sequence_of,
};
use photosync_protocol::format::keys::{EpochKeys, MasterKey, RecoveryKey, WORDS};
use zeroize::Zeroizing;

use super::space::Seen;
use super::{Store, failed, refused};
use crate::backup::blocking;
use crate::error::{Error, Kind as ErrorKind, Result};

/// What somebody typed.
#[derive(Clone)]
pub(super) enum Secret {
    Password(Zeroizing<String>),
    Words(RecoveryKey),
}

/// The keyring of this sealed backup.
pub(super) struct Chosen {
    pub keyring: Keyring,
    /// How the password opens it.
    pub lock: PasswordLock,
    pub there: There,
    /// Keyrings of others in the same place.
    pub foreign: Vec<Digest>,
    /// The number that the next keyring has to have there.
    pub next_sequence: u64,
}

/// A keyring as it lies there: its id and its bytes.
pub(super) type There = (Digest, Vec<u8>);

/// Chooses with a password or the words. `known` is what this device keeps of the place, if anything: then only a keyring of
/// the same sealed backup will do.
pub(super) async fn choose(store: &Store, secret: Secret, known: Option<&Seen>) -> Result<Chosen> {
    let known_id = known.and_then(|known| known.keyring);
    let likely = store.likely_keyrings(known_id).await?;
    if likely.is_empty() {
        return Err(none_there(store));
    }
    let held = known.and_then(|known| known.first.clone());
    let mut picked = pick_blocking(&likely, &secret, &held).await;
    let mut all = likely;
    // A server shows one keyring. If others came before it, one of those may be the right one.
    let has_others =
        all.iter().any(|(_, object)| sequence_of(object).is_ok_and(|number| number > 1));
    if picked.is_err() && has_others && matches!(store, Store::Remote(_)) {
        all = store.keyrings().await?;
        picked = pick_blocking(&all, &secret, &held).await;
    }
    let chosen = picked.map_err(|why| {
        // The right password would not help: what it opened is not there any more.
        let is_gone = known_id.filter(|id| all.iter().all(|(there, _)| there != id));
        match (is_gone, why) {
            (Some(_), Why::NoneOpens) => {
                let text = format!(
                    "the keyring that this computer knows is not in {} any more, and nothing there opens in its place",
                    store.shown()
                );
                Error::new(ErrorKind::WrongServer, text).coded("gone").hint(
                    "something was removed or exchanged; look for an older copy of the relay. Of what is there, the 24 words \
                     restore what they can: photosync relay recover",
                )
            }
            (_, why) => why.error(store, &all, &secret),
        }
    })?;
    if known.is_some_and(|known| known.keyring_sequence > chosen.keyring.sequence) {
        return Err(refused("the keyring", Bad::RolledBack));
    }
    let newest_there = all.iter().filter_map(|(_, object)| sequence_of(object).ok()).max();
    let last = match store {
        // A folder may hold any number of a stranger's; ours go on where ours were.
        Store::Folder(_) => chosen.keyring.sequence,
        // A server takes only the successor of what it shows.
        Store::Remote(_) => newest_there.unwrap_or(0).max(chosen.keyring.sequence),
    };
    let next_sequence =
        last.checked_add(1).ok_or_else(|| refused("the keyring", Bad::BadContents))?;
    Ok(Chosen { next_sequence, ..chosen })
}

/// Nothing was begun there, or what was begun is gone.
pub(super) fn none_there(store: &Store) -> Error {
    Error::new(ErrorKind::Usage, format!("there is no keyring in {}", store.shown()))
        .coded("no_keyring")
        .hint("begin with photosync relay init; with the 24 words of a lost one: photosync relay recover")
}

/// Reads what somebody typed for the 24 words; the error says what is wrong with them as words.
pub(super) fn read_words(typed: &str) -> Result<RecoveryKey> {
    let count = typed.split_whitespace().count();
    RecoveryKey::from_words(typed).map_err(|_| {
        let text = match count {
            WORDS => "these are not the 24 words of a kit: one is mistyped, or two changed places"
                .to_owned(),
            count => format!("these are {count} words, and a kit has {WORDS}"),
        };
        Error::new(ErrorKind::SignIn, text)
            .coded("wrong_secret")
            .hint("type them in the order of their numbers, with a blank between them")
    })
}

/// Why none was chosen.
#[derive(Debug)]
enum Why {
    /// The secret opens none, or none whole.
    NoneOpens,
    /// It opened one that a newer one of the same sealed backup has replaced.
    Replaced,
    /// It opened one of another sealed backup than the one this device knows in this place.
    Other,
    /// The machine.
    Failed(Failed),
}

impl Why {
    fn error(self, store: &Store, there: &[There], secret: &Secret) -> Error {
        let what = match secret {
            Secret::Password(_) => "password",
            Secret::Words(_) => "set of words",
        };
        let wrong = |text: String| Error::new(ErrorKind::SignIn, text).coded("wrong_secret");
        match self {
            Self::NoneOpens if there.len() > 1 => wrong(format!(
                "none of the {} keyrings in {} opens with this {what}",
                there.len(),
                store.shown()
            )),
            Self::NoneOpens => match there.first().map(|(id, object)| whole(id, object)) {
                Some(Err(bad)) => refused("the keyring", bad),
                _ => wrong(format!("this {what} does not open the sealed backup in {}", store.shown())),
            }
            .hint("type it again; the 24 words open it too: photosync relay recover"),
            Self::Replaced => wrong(format!("this {what} was replaced by a newer one"))
                .hint("type the newer one; if it is lost, the 24 words open it: photosync relay recover"),
            Self::Other => wrong(format!(
                "the keyring in {} opens, but it is not of the sealed backup that this computer knows there",
                store.shown()
            ))
            .coded("other_relay")
            .hint("look whether this is the right disk or account; photosync relay status names the folder with the keys of this computer, to be moved away if the old backup is gone for good"),
            Self::Failed(cause) => failed("the keyring", cause),
        }
    }
}

/// Whether it could be opened at all.
fn whole(id: &Digest, object: &[u8]) -> std::result::Result<PasswordLock, Bad> {
    let lock = password_lock(object, id)?;
    lock.price_kib().map(|_| lock).ok_or(Bad::BadCost)
}

async fn pick_blocking(
    there: &[There],
    secret: &Secret,
    held: &Option<EpochKeys>,
) -> std::result::Result<Chosen, Why> {
    let (there, secret, held) = (there.to_vec(), secret.clone(), held.clone());
    // Stretching a password takes a second of one core.
    let picked = blocking(move || Ok(pick(&there, &secret, held.as_ref()))).await;
    picked.unwrap_or(Err(Why::NoneOpens))
}

fn pick(
    there: &[There],
    secret: &Secret,
    held: Option<&EpochKeys>,
) -> std::result::Result<Chosen, Why> {
    let mut locked: Vec<(&There, PasswordLock, u64)> = there
        .iter()
        .filter_map(|one| {
            let lock = whole(&one.0, &one.1).ok()?;
            let price = lock.price_kib()?;
            Some((one, lock, price))
        })
        .collect();
    // Cheap ones first: a stranger's keyring that costs minutes is not even tried when the right one opens before it. Which
    // of them is opened first decides nothing.
    locked.sort_by_key(|(one, _, price)| (*price, std::cmp::Reverse(sequence_of(&one.1).ok())));
    let mut why = Why::NoneOpens;
    let mut tried: Vec<&PasswordLock> = Vec::new();
    let mut master = None;
    for (one, lock, _) in &locked {
        // The same lock on another keyring costs a second again and says the same.
        if matches!(secret, Secret::Password(_)) && tried.contains(&lock) {
            continue;
        }
        tried.push(lock);
        match open(one, secret) {
            Ok(keyring) if is_of(&keyring.master, held) => {
                master = Some((keyring.master, lock));
                break;
            }
            Ok(_) => why = Why::Other,
            Err(Failed::NoMemory) => why = Why::Failed(Failed::NoMemory),
            Err(Failed::Bad(_)) => {}
        }
    }
    let Some((master, opened_by)) = master else { return Err(why) };
    let (mut newest, mut foreign): (Option<(Keyring, &There, &PasswordLock)>, Vec<Digest>) =
        (None, there.iter().map(|(id, _)| *id).collect());
    for (one, lock, _) in &locked {
        let Ok(keyring) = Keyring::open_with(&one.1, &one.0, &master) else { continue };
        foreign.retain(|id| *id != one.0);
        if newest.as_ref().is_none_or(|(known, ..)| keyring.sequence > known.sequence) {
            newest = Some((keyring, one, lock));
        }
    }
    let (keyring, one, lock) = newest.ok_or(Why::NoneOpens)?;
    // A password that was changed opens the old keyring for ever; that does not make it the password.
    let is_current = match secret {
        Secret::Password(_) => lock == opened_by || open(one, secret).is_ok(),
        Secret::Words(_) => open(one, secret).is_ok(),
    };
    if !is_current {
        return Err(Why::Replaced);
    }
    Ok(Chosen { keyring, lock: lock.clone(), there: one.clone(), foreign, next_sequence: 0 })
}

fn open((id, object): &There, secret: &Secret) -> std::result::Result<Keyring, Failed> {
    match secret {
        Secret::Password(password) => Keyring::open(object, id, password),
        Secret::Words(words) => Keyring::recover(object, id, words).map_err(Failed::Bad),
    }
}

/// Whether it is the master key of the sealed backup that this device has keys to.
pub(super) fn is_of(master: &MasterKey, held: Option<&EpochKeys>) -> bool {
    held.is_none_or(|held| *held == EpochKeys::new(master.epoch_key(1)))
}
