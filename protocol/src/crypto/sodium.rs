//! The seam over libsodium, through sodiumoxide.

use std::sync::Once;

use sodiumoxide::crypto::generichash::State;
use sodiumoxide::crypto::kdf::blake2b as kdf;
use sodiumoxide::crypto::pwhash::argon2id13 as pwhash;
use sodiumoxide::crypto::secretbox::xsalsa20poly1305 as secretbox;

use super::{Cost, Forged, KEY_BYTES, NONCE_BYTES, NoMemory, Nonce, SALT_BYTES, TAG_BYTES};

// Windows gives libsodium its random bytes from this library, and nobody else says so to the linker: the crate does not,
// and the standard library needs it no longer.
#[cfg(windows)]
#[expect(unsafe_code, reason = "a block that declares nothing can do no harm")]
#[link(name = "advapi32")]
unsafe extern "system" {}

/// Behind the tag: libsodium writes the tag where it is told to.
pub const PLAIN_AT: usize = TAG_BYTES;

/// libsodium looks once which instructions the processor has; without it everything is several times slower.
fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| assert!(sodiumoxide::init().is_ok(), "libsodium cannot start"));
}

/// See [`super::seal_in_place`].
pub fn seal_in_place(boxed: &mut [u8], nonce: &Nonce, key: &[u8; KEY_BYTES]) {
    init();
    let (tag, text) = boxed.split_at_mut(TAG_BYTES);
    let sealed = secretbox::seal_detached(text, &secretbox::Nonce(*nonce), &secretbox::Key(*key));
    tag.copy_from_slice(&sealed.0);
}

/// See [`super::open_in_place`]; the caller has looked at the length.
pub fn open_in_place(boxed: &mut [u8], nonce: &Nonce, key: &[u8; KEY_BYTES]) -> Result<(), Forged> {
    init();
    let (tag, text) = boxed.split_first_chunk_mut::<TAG_BYTES>().ok_or(Forged)?;
    let (tag, nonce, key) = (secretbox::Tag(*tag), secretbox::Nonce(*nonce), secretbox::Key(*key));
    secretbox::open_detached(text, &tag, &nonce, &key).map_err(|()| Forged)
}

/// See [`super::keyed_hash`].
pub fn keyed_hash(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Nonce {
    init();
    // Lengths of key and output are constants that BLAKE2b takes, and updates of it never fail.
    let hash = || {
        let mut state = State::new(Some(NONCE_BYTES), Some(key))?;
        parts.iter().try_for_each(|part| state.update(part))?;
        state.finalize()
    };
    let mut out = [0; NONCE_BYTES];
    out.copy_from_slice(hash().expect("BLAKE2b takes these lengths").as_ref());
    out
}

/// See [`super::derive`].
pub fn derive(out: &mut [u8; KEY_BYTES], key: &[u8; KEY_BYTES], context: &[u8; 8], id: u64) {
    init();
    kdf::derive_from_key(out, id, *context, &kdf::Key(*key)).expect("32 bytes are a length of it");
}

/// See [`super::stretch`].
pub fn stretch(
    out: &mut [u8; KEY_BYTES],
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    cost: Cost,
) -> Result<(), NoMemory> {
    init();
    let (passes, bytes) = (cost.passes as usize, cost.memory_kib as usize * 1024);
    let (passes, memory) = (pwhash::OpsLimit(passes), pwhash::MemLimit(bytes));
    pwhash::derive_key(out, password, &pwhash::Salt(*salt), passes, memory)
        .map(|_| ())
        .map_err(|()| NoMemory)
}
