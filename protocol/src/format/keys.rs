//! The hierarchy of keys: a password or 24 words open the master key, the master key makes one key for each epoch, and
//! an epoch's key makes the keys that seal.
//!
//! A device keeps epoch keys only. Who steals one reads what was sealed up to then, and nothing of a later epoch.

use std::collections::BTreeMap;

use bip39::{Language, Mnemonic};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::Bad;
use crate::crypto::{self, Cost, Key, NONCE_BYTES, NoMemory, Nonce, SALT_BYTES, TAG_BYTES};

/// Words of a recovery key: 256 bits and a checksum of 8.
pub const WORDS: usize = 24;
/// A wrapped key: nonce, tag, 32 bytes.
pub const WRAP_BYTES: usize = NONCE_BYTES + TAG_BYTES + crypto::KEY_BYTES;
/// What a new password key costs: 256 MiB, and about half a second of one core (measured: a whole `relay init` takes 0.42 s).
pub const DEFAULT_COST: Cost = Cost { passes: 3, memory_kib: 256 * 1024 };
/// Keyrings that cost less are neither written nor read: 64 MiB is what RFC 9106 (§4) asks of the weakest machines.
pub const LEAST_COST: Cost = Cost { passes: 3, memory_kib: 64 * 1024 };
/// Keyrings that cost more are not read: a stranger's keyring must not take the machine down.
pub const MOST_COST: Cost = Cost { passes: 32, memory_kib: 4 * 1024 * 1024 };

const EPOCH_CONTEXT: &[u8; 8] = b"psync2ep";
const OBJECT_CONTEXT: &[u8; 8] = b"psync2ob";
const RECOVERY_CONTEXT: &[u8; 8] = b"psync2rw";
const KEYRING_CONTEXT: &[u8; 8] = b"psync2kr";

/// A secret wrapped under another: random nonce, then the box.
pub type Wrap = [u8; WRAP_BYTES];

/// The two keys that seal one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingKeys {
    /// Seals.
    pub box_key: Key,
    /// Makes the nonce from what is sealed.
    pub nonce_key: Key,
}

impl SealingKeys {
    fn derive(from: &Key, context: &[u8; 8], kind: u64) -> Self {
        Self {
            box_key: crypto::derive(from, context, 2 * kind),
            nonce_key: crypto::derive(from, context, 2 * kind + 1),
        }
    }
}

/// The root of an account's relay space: 32 random bytes, made once. Never stored unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKey(pub Key);

impl MasterKey {
    /// The key of an epoch, from 1.
    pub fn epoch_key(&self, epoch: u32) -> Key {
        crypto::derive(&self.0, EPOCH_CONTEXT, u64::from(epoch))
    }

    /// What seals the keyring's own contents.
    pub fn keyring_keys(&self) -> SealingKeys {
        SealingKeys::derive(&self.0, KEYRING_CONTEXT, 1)
    }

    /// Wraps it under a key; `nonce` is random.
    pub fn wrap(&self, under: &Key, nonce: &Nonce) -> Wrap {
        let mut wrap = [0; WRAP_BYTES];
        wrap[..NONCE_BYTES].copy_from_slice(nonce);
        wrap[NONCE_BYTES..].copy_from_slice(&crypto::seal(self.0.expose(), nonce, under));
        wrap
    }

    /// Opens a wrap. [`Bad::WrongSecret`] if the key is not the one.
    pub fn unwrap(wrap: &Wrap, under: &Key) -> Result<Self, Bad> {
        let (nonce, boxed) = wrap.split_at(NONCE_BYTES);
        let nonce: &Nonce = nonce.try_into().map_err(|_| Bad::Truncated)?;
        let plain = crypto::open(boxed, nonce, under).map_err(|_| Bad::WrongSecret)?;
        let plain = Zeroizing::new(plain);
        let bytes: [u8; crypto::KEY_BYTES] =
            plain.as_slice().try_into().map_err(|_| Bad::WrongSecret)?;
        Ok(Self(Key::new(bytes)))
    }
}

/// 32 random bytes that a person keeps on paper, as 24 words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryKey(pub Key);

impl RecoveryKey {
    /// The words, of the English list of BIP-39.
    pub fn words(&self) -> Zeroizing<String> {
        let words = Mnemonic::from_entropy_in(Language::English, self.0.expose());
        let words = words.expect("32 bytes are a length of BIP-39");
        Zeroizing::new(words.words().collect::<Vec<_>>().join(" "))
    }

    /// Reads words back: any letter case, any blanks between them. [`Bad::WrongSecret`] for anything that no recovery
    /// key prints, such as a mistyped word or two in the wrong order.
    pub fn from_words(words: &str) -> Result<Self, Bad> {
        let text: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let text = Zeroizing::new(text.join(" "));
        let read = Mnemonic::parse_in_normalized(Language::English, &text);
        let (mut bytes, length) = read.map_err(|_| Bad::WrongSecret)?.to_entropy_array();
        let key: Result<[u8; crypto::KEY_BYTES], _> = bytes[..length].try_into();
        let key = key.map(|key| Self(Key::new(key))).map_err(|_| Bad::WrongSecret);
        bytes.zeroize();
        key
    }

    /// What wraps the master key.
    pub fn wrapping_key(&self) -> Key {
        crypto::derive(&self.0, RECOVERY_CONTEXT, 1)
    }
}

/// The key of a password. It is normalised (NFC) first: the same letters typed on another system are the same password.
pub fn password_key(password: &str, salt: &[u8; SALT_BYTES], cost: Cost) -> Result<Key, NoMemory> {
    let normal = Zeroizing::new(password.nfc().collect::<String>());
    crypto::stretch(normal.as_bytes(), salt, cost)
}

/// What an unlocked device keeps: the keys of all epochs so far, and the wrap it writes into what it seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    epochs: BTreeMap<u32, EpochKeys>,
    /// The master key under the recovery key, as manifests and segments carry it.
    pub recovery_wrap: Wrap,
}

/// The keys of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochKeys {
    key: Key,
    /// For chunks.
    pub chunk: SealingKeys,
    /// For manifests.
    pub manifest: SealingKeys,
    /// For index segments.
    pub segment: SealingKeys,
}

impl EpochKeys {
    /// Everything that follows from an epoch's key.
    pub fn new(key: Key) -> Self {
        let keys = |kind| SealingKeys::derive(&key, OBJECT_CONTEXT, kind);
        Self { chunk: keys(1), manifest: keys(2), segment: keys(3), key }
    }

    /// The key everything follows from, for whoever has to store it.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl DeviceKeys {
    /// The keys of the epochs 1 to `epoch`.
    pub fn unlock(master: &MasterKey, epoch: u32, recovery_wrap: Wrap) -> Self {
        let keys = (1..=epoch).map(|epoch| (epoch, EpochKeys::new(master.epoch_key(epoch))));
        Self { epochs: keys.collect(), recovery_wrap }
    }

    /// What a device stored: epochs from 1 without a gap, at least one.
    pub fn from_stored(keys: Vec<Key>, recovery_wrap: Wrap) -> Option<Self> {
        let epochs: BTreeMap<u32, EpochKeys> =
            (1..).zip(keys.into_iter().map(EpochKeys::new)).collect();
        (!epochs.is_empty()).then_some(Self { epochs, recovery_wrap })
    }

    /// The epoch that new data is sealed in, and its keys.
    pub fn current(&self) -> (u32, &EpochKeys) {
        let (epoch, keys) = self.epochs.last_key_value().expect("there is at least one epoch");
        (*epoch, keys)
    }

    /// The keys of an epoch.
    pub fn of(&self, epoch: u32) -> Result<&EpochKeys, Bad> {
        self.epochs.get(&epoch).ok_or(Bad::UnknownEpoch)
    }

    /// All epochs, oldest first.
    pub fn epochs(&self) -> impl Iterator<Item = (u32, &EpochKeys)> {
        self.epochs.iter().map(|(epoch, keys)| (*epoch, keys))
    }
}
