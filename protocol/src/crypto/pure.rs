//! The seam over dryoc: the same bytes without a C library.

use dryoc::classic::crypto_generichash as hash;
use dryoc::classic::crypto_kdf::crypto_kdf_derive_from_key;
use dryoc::classic::crypto_pwhash::{PasswordHashAlgorithm, crypto_pwhash};
use dryoc::classic::crypto_secretbox as secretbox;

use super::{Cost, Forged, KEY_BYTES, NONCE_BYTES, NoMemory, Nonce, SALT_BYTES};

/// At the front: dryoc moves the ciphertext behind the tag itself.
pub const PLAIN_AT: usize = 0;

/// See [`super::seal_in_place`].
pub fn seal_in_place(boxed: &mut [u8], nonce: &Nonce, key: &[u8; KEY_BYTES]) {
    secretbox::crypto_secretbox_easy_inplace(boxed, nonce, key).expect("it has room for a tag");
}

/// See [`super::open_in_place`]; the caller has looked at the length.
pub fn open_in_place(boxed: &mut [u8], nonce: &Nonce, key: &[u8; KEY_BYTES]) -> Result<(), Forged> {
    secretbox::crypto_secretbox_open_easy_inplace(boxed, nonce, key).map_err(|_| Forged)
}

/// See [`super::keyed_hash`].
pub fn keyed_hash(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Nonce {
    let mut state =
        hash::crypto_generichash_init(Some(key), NONCE_BYTES).expect("BLAKE2b takes these lengths");
    for part in parts {
        hash::crypto_generichash_update(&mut state, part);
    }
    let mut out = [0; NONCE_BYTES];
    hash::crypto_generichash_final(state, &mut out).expect("BLAKE2b takes these lengths");
    out
}

/// See [`super::derive`].
pub fn derive(out: &mut [u8; KEY_BYTES], key: &[u8; KEY_BYTES], context: &[u8; 8], id: u64) {
    crypto_kdf_derive_from_key(out, id, context, key).expect("32 bytes are a length of it");
}

/// See [`super::stretch`].
pub fn stretch(
    out: &mut [u8; KEY_BYTES],
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    cost: Cost,
) -> Result<(), NoMemory> {
    let (passes, bytes) = (u64::from(cost.passes), cost.memory_kib as usize * 1024);
    crypto_pwhash(out, password, salt, passes, bytes, PasswordHashAlgorithm::Argon2id13)
        .map_err(|_| NoMemory)
}
