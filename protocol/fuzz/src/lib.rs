//! What the fuzz targets share: one account's keys, and sealing of anything at all with them.
//!
//! A box hides its contents from a fuzzer: no input it invents is ever authentic. So the first byte of an input says
//! where the rest enters: `o` is a whole object, `p` a plaintext and `d` a document, both sealed here with the right
//! keys, so that what stands behind the authentication is reached.

use std::sync::OnceLock;

use photosync_protocol::crypto::{self, Key, NONCE_BYTES};
use photosync_protocol::format::keyring::recovery_lock;
use photosync_protocol::format::keys::{DeviceKeys, MasterKey, RecoveryKey, SealingKeys};
use photosync_protocol::format::padding::bucket;

/// The epoch the targets seal in; one more is open.
pub const EPOCH: u32 = 1;

/// The account.
pub fn master() -> MasterKey {
    MasterKey(Key::new([1; 32]))
}

/// Its words.
pub fn recovery() -> RecoveryKey {
    RecoveryKey(Key::new([2; 32]))
}

/// An unlocked device with two epochs.
pub fn keys() -> &'static DeviceKeys {
    static KEYS: OnceLock<DeviceKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let wrap = recovery_lock(&master(), &recovery(), &[3; NONCE_BYTES]);
        DeviceKeys::unlock(&master(), 2, wrap)
    })
}

/// Magic, kind, line break and epoch.
pub fn head(letter: u8, epoch: u32) -> Vec<u8> {
    [&b"PSYNC2"[..], &[letter, b'\n'], &epoch.to_le_bytes()].concat()
}

/// A plaintext with the length and the padding that its document demands.
pub fn padded(document: &[u8]) -> Vec<u8> {
    let mut plain = (document.len() as u32).to_le_bytes().to_vec();
    plain.extend(document);
    plain.resize(4 + bucket(document.len()), 0);
    plain
}

/// An authentic object of any plaintext.
pub fn sealed(clear: &[u8], plain: &[u8], keys: &SealingKeys) -> Vec<u8> {
    let nonce = crypto::keyed_hash(&keys.nonce_key, &[clear, plain]);
    [clear, &nonce, &crypto::seal(plain, &nonce, &keys.box_key)].concat()
}
