//! The seam to the cryptographic library: everything the formats need of one, and nothing else.
//!
//! Two libraries stand behind it, byte for byte alike: `sodium` (libsodium through sodiumoxide, the default) and
//! `pure` (dryoc, for targets without a C toolchain). No other file names either of them. Both compute
//! XSalsa20-Poly1305 (`crypto_secretbox`), keyed BLAKE2b (`crypto_generichash`), `crypto_kdf` and Argon2id
//! (`crypto_pwhash`), as libsodium's documentation defines them.

#[cfg(feature = "pure-rust")]
pub mod pure;
#[cfg(feature = "sodium")]
pub mod sodium;

#[cfg(all(feature = "pure-rust", not(feature = "sodium")))]
use pure as library;
#[cfg(feature = "sodium")]
use sodium as library;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce of XSalsa20.
pub const NONCE_BYTES: usize = 24;
/// Bytes of a Poly1305 tag: a box is its plaintext and this much.
pub const TAG_BYTES: usize = 16;
/// Bytes of an Argon2id salt.
pub const SALT_BYTES: usize = 16;
/// Where in a box's buffer the plaintext lies before sealing and after opening. The libraries differ, and copying
/// 4 MiB to make them agree would cost a tenth of the sealing.
pub const PLAIN_AT: usize = library::PLAIN_AT;

/// Never the same twice with one key, unless the plaintext is the same.
pub type Nonce = [u8; NONCE_BYTES];

/// A secret of 32 bytes: erased when dropped, never printed, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// Takes the bytes over; the caller's copy is the caller's to erase.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// A new key from the operating system.
    pub fn random() -> Result<Self, NoRandomness> {
        random().map(Self)
    }

    /// The bytes, for whoever has to store them.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A box that was not sealed with this key and nonce, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

impl std::fmt::Display for Forged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it was changed, or sealed with another key")
    }
}

impl std::error::Error for Forged {}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

impl std::fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the operating system gave no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// What stretching a password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Passes over the memory.
    pub passes: u32,
    /// Memory in KiB.
    pub memory_kib: u32,
}

/// There is not enough memory to stretch a password at this cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory;

impl std::fmt::Display for NoMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is not enough memory to turn the password into a key")
    }
}

impl std::error::Error for NoMemory {}

/// Random bytes: the only door to them.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// `crypto_secretbox` in place: `boxed` holds the plaintext at [`PLAIN_AT`] and [`TAG_BYTES`] more; afterwards it is
/// the tag and the ciphertext.
///
/// # Panics
/// If `boxed` is shorter than a tag.
pub fn seal_in_place(boxed: &mut [u8], nonce: &Nonce, key: &Key) {
    library::seal_in_place(boxed, nonce, &key.0);
}

/// Opens tag and ciphertext in place: the plaintext then lies at [`PLAIN_AT`], [`TAG_BYTES`] shorter than the box. If
/// it fails, nothing of the buffer is plaintext.
pub fn open_in_place(boxed: &mut [u8], nonce: &Nonce, key: &Key) -> Result<(), Forged> {
    if boxed.len() < TAG_BYTES {
        return Err(Forged);
    }
    library::open_in_place(boxed, nonce, &key.0)
}

/// [`seal_in_place`] of a copy: tag and ciphertext.
pub fn seal(plain: &[u8], nonce: &Nonce, key: &Key) -> Vec<u8> {
    let mut boxed = vec![0; plain.len() + TAG_BYTES];
    boxed[PLAIN_AT..PLAIN_AT + plain.len()].copy_from_slice(plain);
    seal_in_place(&mut boxed, nonce, key);
    boxed
}

/// [`open_in_place`] of a copy: the plaintext.
pub fn open(boxed: &[u8], nonce: &Nonce, key: &Key) -> Result<Vec<u8>, Forged> {
    let mut buffer = boxed.to_vec();
    open_in_place(&mut buffer, nonce, key)?;
    let length = buffer.len() - TAG_BYTES;
    buffer.copy_within(PLAIN_AT..PLAIN_AT + length, 0);
    buffer.truncate(length);
    Ok(buffer)
}

/// Keyed BLAKE2b of the parts, one after the other, with an output of the length of a nonce.
pub fn keyed_hash(key: &Key, parts: &[&[u8]]) -> Nonce {
    library::keyed_hash(&key.0, parts)
}

/// `crypto_kdf`: key number `id` of the purpose `context`.
pub fn derive(key: &Key, context: &[u8; 8], id: u64) -> Key {
    let mut derived = Key([0; KEY_BYTES]);
    library::derive(&mut derived.0, &key.0, context, id);
    derived
}

/// `crypto_pwhash` with Argon2id version 1.3 and one lane: a key from a password. Takes the memory it says for about a
/// second.
pub fn stretch(password: &[u8], salt: &[u8; SALT_BYTES], cost: Cost) -> Result<Key, NoMemory> {
    let mut key = Key([0; KEY_BYTES]);
    library::stretch(&mut key.0, password, salt, cost)?;
    Ok(key)
}

#[cfg(test)]
mod tests;
