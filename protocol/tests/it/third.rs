//! The format a second time, over a third library (RustCrypto) and without a line of the crate: what the vectors are
//! made with. It seals anything, also what no writer may seal.

use blake2::digest::Mac;
use blake2::digest::consts::{U24, U32};
use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use sha2::{Digest as _, Sha256};

pub(crate) type Bytes32 = [u8; 32];
pub(crate) type Nonce = [u8; 24];

pub(crate) fn sha256(bytes: &[u8]) -> Bytes32 {
    Sha256::digest(bytes).into()
}

/// Bytes that follow from a text: keys, salts and ids of the vectors.
pub(crate) fn fixed<const N: usize>(label: &str) -> [u8; N] {
    sha256(label.as_bytes())[..N].try_into().expect("at most 32 bytes")
}

/// Any number of bytes that follow from a text: SHA-256 of the text and a counter of eight little-endian bytes, one
/// after the other.
pub(crate) fn stream(seed: &str, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32) as u64)
        .flat_map(|counter| sha256(&[seed.as_bytes(), &counter.to_le_bytes()].concat()));
    blocks.take(length).collect()
}

/// `crypto_secretbox`: tag, then ciphertext.
pub(crate) fn secretbox(plain: &[u8], nonce: &Nonce, key: &Bytes32) -> Vec<u8> {
    let mut text = plain.to_vec();
    let cipher = XSalsa20Poly1305::new(key.into());
    let tag = cipher.encrypt_in_place_detached(nonce.into(), b"", &mut text);
    [tag.expect("a short text").as_slice(), &text].concat()
}

/// `crypto_generichash` with a key and 24 bytes of output.
pub(crate) fn keyed_hash(key: &Bytes32, parts: &[&[u8]]) -> Nonce {
    let mut hash = blake2::Blake2bMac::<U24>::new_with_salt_and_personal(Some(key), &[], &[])
        .expect("a key of 32 bytes");
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into_bytes().into()
}

/// `crypto_kdf`.
pub(crate) fn derive(key: &Bytes32, context: &[u8; 8], id: u64) -> Bytes32 {
    let salt = id.to_le_bytes();
    blake2::Blake2bMac::<U32>::new_with_salt_and_personal(Some(key), &salt, context)
        .expect("short parameters")
        .finalize()
        .into_bytes()
        .into()
}

/// `crypto_pwhash` with Argon2id 1.3; the password is normalised already.
pub(crate) fn stretch(password: &str, salt: &[u8; 16], passes: u32, memory_kib: u32) -> Bytes32 {
    let params = argon2::Params::new(memory_kib, passes, 1, Some(32)).expect("a cost");
    let hash = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; 32];
    hash.hash_password_into(password.as_bytes(), salt, &mut key).expect("memory");
    key
}

/// The smallest length that hides `length` (Padmé from 1 KiB on).
pub(crate) fn bucket(length: usize) -> usize {
    let length = length.max(1024);
    let log = usize::BITS - 1 - length.leading_zeros();
    let log_of_log = u32::BITS - 1 - log.leading_zeros();
    length.next_multiple_of(1 << (log - log_of_log - 1))
}

/// Box key and nonce key.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub box_key: Bytes32,
    pub nonce_key: Bytes32,
}

fn pair(key: &Bytes32, context: &[u8; 8], kind: u64) -> Pair {
    Pair { box_key: derive(key, context, 2 * kind), nonce_key: derive(key, context, 2 * kind + 1) }
}

/// An account of the vectors.
#[derive(Clone)]
pub(crate) struct Account {
    pub master: Bytes32,
    pub recovery: Bytes32,
}

pub(crate) fn account(name: &str) -> Account {
    Account {
        master: fixed(&format!("{name}'s master key")),
        recovery: fixed(&format!("{name}'s recovery key")),
    }
}

impl Account {
    pub(crate) fn epoch_key(&self, epoch: u32) -> Bytes32 {
        derive(&self.master, b"psync2ep", epoch.into())
    }

    /// The keys of a kind of object, by its letter.
    pub(crate) fn pair(&self, letter: u8, epoch: u32) -> Pair {
        let kind = match letter {
            b'C' => 1,
            b'M' => 2,
            b'S' => 3,
            _ => return pair(&self.master, b"psync2kr", 1),
        };
        pair(&self.epoch_key(epoch), b"psync2ob", kind)
    }

    pub(crate) fn wrapping_key(&self) -> Bytes32 {
        derive(&self.recovery, b"psync2rw", 1)
    }

    pub(crate) fn wrap(&self, under: &Bytes32, nonce: &Nonce) -> Vec<u8> {
        [&nonce[..], &secretbox(&self.master, nonce, under)].concat()
    }

    pub(crate) fn recovery_wrap(&self) -> Vec<u8> {
        self.wrap(&self.wrapping_key(), &fixed("nonce of the recovery wrap"))
    }

    /// What stands in clear before the nonce of a chunk, a manifest or a segment.
    pub(crate) fn clear(&self, letter: u8, epoch: u32) -> Vec<u8> {
        let wrap = if letter == b'C' { Vec::new() } else { self.recovery_wrap() };
        [head(letter, epoch), wrap].concat()
    }

    pub(crate) fn chunk(&self, epoch: u32, data: &[u8]) -> Vec<u8> {
        let padded = bucket(data.len()).min(4 << 20);
        seal(&self.clear(b'C', epoch), &plain(data, padded), self.pair(b'C', epoch))
    }

    /// A manifest or a segment.
    pub(crate) fn document(&self, letter: u8, epoch: u32, document: &[u8]) -> Vec<u8> {
        let padded = plain(document, bucket(document.len()));
        seal(&self.clear(letter, epoch), &padded, self.pair(letter, epoch))
    }
}

pub(crate) fn head(letter: u8, epoch: u32) -> Vec<u8> {
    [&b"PSYNC2"[..], &[letter, b'\n'], &epoch.to_le_bytes()].concat()
}

/// A length, then the bytes, then zeros up to `padded` of them.
pub(crate) fn plain(bytes: &[u8], padded: usize) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short document");
    let mut plain = [&length.to_le_bytes()[..], bytes].concat();
    plain.resize(4 + padded, 0);
    plain
}

pub(crate) fn seal(clear: &[u8], plain: &[u8], keys: Pair) -> Vec<u8> {
    seal_with_nonce(clear, plain, keys, &keyed_hash(&keys.nonce_key, &[clear, plain]))
}

pub(crate) fn seal_with_nonce(clear: &[u8], plain: &[u8], keys: Pair, nonce: &Nonce) -> Vec<u8> {
    [clear, nonce, &secretbox(plain, nonce, &keys.box_key)].concat()
}

/// The clear part of a keyring, with whatever is to be wrong in it.
#[derive(Clone)]
pub(crate) struct KeyringClear {
    pub epoch: u32,
    pub sequence: u64,
    pub passes: u32,
    pub memory_kib: u32,
    pub salt: [u8; 16],
    pub password_wrap: Vec<u8>,
    pub recovery_wrap: Vec<u8>,
}

impl KeyringClear {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [
            &head(b'K', self.epoch)[..],
            &self.sequence.to_le_bytes(),
            &self.passes.to_le_bytes(),
            &self.memory_kib.to_le_bytes(),
            &self.salt,
            &self.password_wrap,
            &self.recovery_wrap,
        ]
        .concat()
    }

    pub(crate) fn seal(&self, account: &Account, document: &str) -> Vec<u8> {
        let padded = plain(document.as_bytes(), bucket(document.len()));
        seal(&self.bytes(), &padded, account.pair(b'K', 0))
    }
}
