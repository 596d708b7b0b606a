//! What one original is called, and which chunks it is made of, in order.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::keys::DeviceKeys;
use super::object::{Kind, id_of, open_document, seal_document};
use super::{Bad, chunk};
use crate::digest::Digest;
use crate::v2::claims::Claims;

/// Longest name in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// Largest original: 1 TiB. Its manifest names 262,144 chunks.
pub const MAX_SIZE_BYTES: u64 = 1 << 40;

/// The contents of a manifest. Readers ignore keys they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// SHA-256 of the original.
    pub digest: Digest,
    /// Length of the original.
    pub size_bytes: u64,
    /// What it is called.
    pub name: String,
    /// What the device said about it.
    #[serde(default, skip_serializing_if = "is_silent", deserialize_with = "readable_claims")]
    pub claims: Claims,
    /// Ids of its chunks, in order. All hold [`chunk::CHUNK_BYTES`] but the last.
    pub chunks: Vec<Digest>,
}

/// Claims, without those made in words that this version does not know: a newer writer must not cost a photo.
fn readable_claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
    let mut said = Value::deserialize(deserializer)?;
    if let Some(object) = said.as_object_mut() {
        let is_known = |value: Value, key: &str| {
            serde_json::from_value::<Claims>(json!({ key: value })).is_ok()
        };
        for key in ["captured", "pair"] {
            if object.get(key).is_some_and(|value| !is_known(value.clone(), key)) {
                object.remove(key);
            }
        }
    }
    serde_json::from_value(said).map_err(D::Error::custom)
}

fn is_silent(claims: &Claims) -> bool {
    *claims == Claims::default()
}

impl Manifest {
    /// Seals it in the current epoch; its id and the object. [`Bad::BadContents`] for a manifest that no reader takes.
    pub fn seal(&self, keys: &DeviceKeys) -> Result<(Digest, Vec<u8>), Bad> {
        self.check()?;
        let document = serde_json::to_vec(self).map_err(|_| Bad::BadContents)?;
        let object = seal_document(Kind::Manifest, &document, keys);
        Ok((id_of(&object), object))
    }

    /// Opens the manifest of this id.
    pub fn open(object: &[u8], id: &Digest, keys: &DeviceKeys) -> Result<Self, Bad> {
        let document = open_document(Kind::Manifest, object, id, keys)?;
        let manifest: Self = serde_json::from_slice(&document).map_err(|_| Bad::BadContents)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether it can be true at all.
    pub fn check(&self) -> Result<(), Bad> {
        let named = !self.name.is_empty() && self.name.len() <= MAX_NAME_BYTES;
        let complete = chunk::count(self.size_bytes) == self.chunks.len() as u64;
        if named && complete && self.size_bytes <= MAX_SIZE_BYTES {
            Ok(())
        } else {
            Err(Bad::BadContents)
        }
    }

    /// Data bytes that the chunk at `index` must hold.
    pub fn chunk_bytes(&self, index: usize) -> u64 {
        let before = index as u64 * chunk::CHUNK_BYTES as u64;
        self.size_bytes.saturating_sub(before).min(chunk::CHUNK_BYTES as u64)
    }
}
