//! What one original is called, and which chunks it is made of, in order.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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

/// The claims that can be read: what a newer writer says in a new way must not cost the photo.
fn readable_claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
    let Value::Object(said) = Value::deserialize(deserializer)? else {
        return Ok(Claims::default());
    };
    let read = |key: &str, value: &Value| {
        serde_json::from_value::<Claims>(Value::Object(
            [(key.to_owned(), value.clone())].into_iter().collect(),
        ))
    };
    let readable = said.into_iter().filter(|(key, value)| read(key, value).is_ok());
    Ok(serde_json::from_value(Value::Object(readable.collect())).unwrap_or_default())
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
