//! The keyring: the master key under the password and under the 24 words, and which epoch is the current one.
//!
//! A change of the password writes a new one of the same few hundred bytes; no photo is touched.

use serde::{Deserialize, Serialize};

use super::Bad;
use super::keys::{
    DeviceKeys, LEAST_COST, MOST_COST, MasterKey, RecoveryKey, WRAP_BYTES, Wrap, password_key,
};
use super::object::{
    HEAD_BYTES, Kind, epoch_of, head, id_of, open_behind, require_id, seal_behind,
};
use super::segment::Head;
use crate::crypto::{Cost, Key, NoMemory, Nonce, SALT_BYTES};
use crate::digest::Digest;

/// Bytes of the largest keyring: a thousand epochs, each with the heads of ten devices.
pub const MAX_OBJECT_BYTES: usize = 4 << 20;

const SEQUENCE_AT: usize = HEAD_BYTES;
const COST_AT: usize = SEQUENCE_AT + 8;
const SALT_AT: usize = COST_AT + 8;
const PASSWORD_WRAP_AT: usize = SALT_AT + SALT_BYTES;
/// Where the wrap under the recovery key stands.
pub(super) const RECOVERY_WRAP_AT: usize = PASSWORD_WRAP_AT + WRAP_BYTES;
const CLEAR_BYTES: usize = RECOVERY_WRAP_AT + WRAP_BYTES;

/// When an epoch began, and what was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// When it began, Unix milliseconds.
    pub began_at_ms: i64,
    /// The heads of all chains at that moment: a segment of an earlier epoch that is not in one of these chains was
    /// written by somebody who should no longer write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Head>,
}

/// The sealed part of a keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// All epochs, oldest first; the last one is the current one.
    pub epochs: Vec<Epoch>,
}

/// An opened keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Rises by one with every change.
    pub sequence: u64,
    /// The account's master key.
    pub master: MasterKey,
    /// It under the recovery key.
    pub recovery_wrap: Wrap,
    /// The sealed part.
    pub contents: Contents,
}

/// The password's half of a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLock {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    wrap: Wrap,
}

/// Why a keyring could not be opened or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It is refused.
    Bad(Bad),
    /// There is not enough memory for the password's key.
    NoMemory,
}

impl From<Bad> for Failed {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<NoMemory> for Failed {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(bad) => bad.fmt(f),
            Self::NoMemory => NoMemory.fmt(f),
        }
    }
}

impl std::error::Error for Failed {}

impl PasswordLock {
    /// What one try of a password costs here: passes over memory, in KiB. `None` if it is outside the limits.
    pub fn price_kib(&self) -> Option<u64> {
        let price = u64::from(self.cost.passes) * u64::from(self.cost.memory_kib);
        require_cost(self.cost).ok().map(|()| price)
    }

    /// Locks a master key with a password. `salt` and `nonce` are random. Takes about half a second of one core.
    pub fn new(
        master: &MasterKey,
        password: &str,
        cost: Cost,
        salt: [u8; SALT_BYTES],
        nonce: &Nonce,
    ) -> Result<Self, Failed> {
        require_cost(cost)?;
        let key = password_key(password, &salt, cost)?;
        Ok(Self { cost, salt, wrap: master.wrap(&key, nonce) })
    }
}

/// Wraps a master key for the 24 words; `nonce` is random.
pub fn recovery_lock(master: &MasterKey, recovery: &RecoveryKey, nonce: &Nonce) -> Wrap {
    master.wrap(&recovery.wrapping_key(), nonce)
}

impl Keyring {
    /// Seals it; its id and the object.
    pub fn seal(&self, password: &PasswordLock) -> Result<(Digest, Vec<u8>), Bad> {
        let mut clear = Vec::with_capacity(CLEAR_BYTES);
        clear.extend(head(Kind::Keyring, self.current_epoch()?));
        clear.extend(self.sequence.to_le_bytes());
        clear.extend(password.cost.passes.to_le_bytes());
        clear.extend(password.cost.memory_kib.to_le_bytes());
        clear.extend(password.salt);
        clear.extend(password.wrap);
        clear.extend(self.recovery_wrap);
        let document = serde_json::to_vec(&self.contents).map_err(|_| Bad::BadContents)?;
        let object = seal_behind(&clear, &document, &self.master.keyring_keys());
        if object.len() > MAX_OBJECT_BYTES {
            return Err(Bad::TooLong);
        }
        Ok((id_of(&object), object))
    }

    /// Opens it with the password. Takes about half a second of one core.
    pub fn open(object: &[u8], id: &Digest, password: &str) -> Result<Self, Failed> {
        let lock = password_lock(object, id)?;
        require_cost(lock.cost)?;
        let key = password_key(password, &lock.salt, lock.cost)?;
        Ok(Self::open_wrapped(object, &lock.wrap, &key)?)
    }

    /// Opens it with the 24 words.
    pub fn recover(object: &[u8], id: &Digest, recovery: &RecoveryKey) -> Result<Self, Bad> {
        require_clear(object, id)?;
        let wrap = super::object::recovery_wrap(object)?;
        Self::open_wrapped(object, &wrap, &recovery.wrapping_key())
    }

    /// Opens it with the master key, whatever password and words lock it: whether it belongs to the same sealed backup as
    /// another that was opened.
    pub fn open_with(object: &[u8], id: &Digest, master: &MasterKey) -> Result<Self, Bad> {
        require_clear(object, id)?;
        Self::open_boxed(object, master.clone())
    }

    fn open_wrapped(object: &[u8], wrap: &Wrap, key: &Key) -> Result<Self, Bad> {
        Self::open_boxed(object, MasterKey::unwrap(wrap, key)?)
    }

    fn open_boxed(object: &[u8], master: MasterKey) -> Result<Self, Bad> {
        let document = open_behind(object, CLEAR_BYTES, &master.keyring_keys())?;
        let contents = serde_json::from_slice(&document).map_err(|_| Bad::BadContents)?;
        let keyring = Self {
            sequence: sequence_of(object)?,
            master,
            recovery_wrap: super::object::recovery_wrap(object)?,
            contents,
        };
        if keyring.current_epoch()? != epoch_of(object, Kind::Keyring)? {
            return Err(Bad::BadContents);
        }
        Ok(keyring)
    }

    /// Number of the current epoch; epochs are numbered from 1 without a gap.
    pub fn current_epoch(&self) -> Result<u32, Bad> {
        let numbered = self.contents.epochs.iter().map(|epoch| epoch.epoch);
        if !numbered.eq(1..=self.contents.epochs.len() as u32) || self.contents.epochs.is_empty() {
            return Err(Bad::BadContents);
        }
        Ok(self.contents.epochs.len() as u32)
    }

    /// What a device keeps of it.
    pub fn device_keys(&self) -> Result<DeviceKeys, Bad> {
        Ok(DeviceKeys::unlock(&self.master, self.current_epoch()?, self.recovery_wrap))
    }
}

/// The number a keyring says it has, in clear: which of several is the newest.
pub fn sequence_of(object: &[u8]) -> Result<u64, Bad> {
    epoch_of(object, Kind::Keyring)?;
    let bytes = object.get(SEQUENCE_AT..COST_AT).ok_or(Bad::Truncated)?;
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Bad::Truncated)?))
}

/// The password's half of a keyring, to be carried over when something else changes.
pub fn password_lock(object: &[u8], id: &Digest) -> Result<PasswordLock, Bad> {
    require_clear(object, id)?;
    let number = |at: usize| {
        let bytes = object[at..at + 4].try_into().map_err(|_| Bad::Truncated)?;
        Ok::<_, Bad>(u32::from_le_bytes(bytes))
    };
    let cost = Cost { passes: number(COST_AT)?, memory_kib: number(COST_AT + 4)? };
    let salt = object[SALT_AT..PASSWORD_WRAP_AT].try_into().map_err(|_| Bad::Truncated)?;
    let wrap = object[PASSWORD_WRAP_AT..RECOVERY_WRAP_AT].try_into();
    Ok(PasswordLock { cost, salt, wrap: wrap.map_err(|_| Bad::Truncated)? })
}

fn require_clear(object: &[u8], id: &Digest) -> Result<(), Bad> {
    require_id(object, id)?;
    epoch_of(object, Kind::Keyring)?;
    if object.len() < CLEAR_BYTES { Err(Bad::Truncated) } else { Ok(()) }
}

fn require_cost(cost: Cost) -> Result<(), Bad> {
    let passes = LEAST_COST.passes..=MOST_COST.passes;
    let memory = LEAST_COST.memory_kib..=MOST_COST.memory_kib;
    if passes.contains(&cost.passes) && memory.contains(&cost.memory_kib) {
        Ok(())
    } else {
        Err(Bad::BadCost)
    }
}
