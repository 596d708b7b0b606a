//! Version 1: the format of the published phone and desktop clients, byte for byte. Read and written so that their
//! backups can be restored; new data uses version 2.
//!
//! Per file a random key and base nonce; chunk `i` is boxed with the nonce `base ‖ i` (little-endian); the file key is
//! boxed under the master key; the manifest is JSON, boxed under the master key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pbkdf2::pbkdf2_hmac_array;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Bad;
use crate::crypto::{self, KEY_BYTES, Key, NONCE_BYTES, Nonce, TAG_BYTES};
use crate::digest::Digest;

/// Rounds of the desktop client's PBKDF2.
const PBKDF2_ROUNDS: u32 = 30_000;
/// Bytes of a file in the chunks that the desktop client writes.
pub const CHUNK_BYTES: usize = 2 << 20;
/// Bytes of a file in the largest chunk of any published client.
pub const MAX_CHUNK_BYTES: usize = 4 << 20;
/// Bytes of a manifest's JSON that is read: chunks of a file of about 250 GB.
pub const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// The random part of a chunk's nonce.
pub type BaseNonce = [u8; 16];

/// The master key of the desktop client: it follows from e-mail and password.
pub fn desktop_master_key(email: &str, password: &str) -> Key {
    let salt = email.trim().to_lowercase();
    Key::new(pbkdf2_hmac_array::<Sha256, KEY_BYTES>(
        password.as_bytes(),
        salt.as_bytes(),
        PBKDF2_ROUNDS,
    ))
}

/// The nonce of chunk `index`, from 0.
pub fn chunk_nonce(base: &BaseNonce, index: u64) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..16].copy_from_slice(base);
    nonce[16..].copy_from_slice(&index.to_le_bytes());
    nonce
}

/// A boxed chunk; its id is the SHA-256 of these bytes.
pub fn seal_chunk(data: &[u8], file_key: &Key, base: &BaseNonce, index: u64) -> Vec<u8> {
    crypto::seal(data, &chunk_nonce(base, index), file_key)
}

/// Opens the chunk of this id at this place of its file.
pub fn open_chunk(
    boxed: &[u8],
    id: &Digest,
    file_key: &Key,
    base: &BaseNonce,
    index: u64,
) -> Result<Vec<u8>, Bad> {
    super::object::require_id(boxed, id)?;
    if boxed.len() > MAX_CHUNK_BYTES + TAG_BYTES {
        return Err(Bad::TooLong);
    }
    Ok(crypto::open(boxed, &chunk_nonce(base, index), file_key)?)
}

/// Id of a manifest as the phone names it.
pub fn phone_manifest_id(asset_id: &str) -> String {
    hex::encode(Sha256::digest(format!("asset:{asset_id}")))
}

/// Id of a manifest as the desktop client names it.
pub fn desktop_manifest_id(path: &str, name: &str, size_bytes: u64) -> String {
    let name = name.trim().to_lowercase();
    hex::encode(Sha256::digest(if name.is_empty() {
        format!("desktop:{path}")
    } else {
        format!("file:{name}:{size_bytes}")
    }))
}

/// The manifest before it is boxed: keys and their order are those of the desktop client; the phone leaves out those
/// from `creation_time` to `exif_model` and the last two. Readers ignore keys they do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 1.
    pub v: u32,
    /// The phone's id of the photo, or `desktop:` and the path.
    pub asset_id: String,
    /// Its name.
    pub filename: Option<String>,
    /// `photo` or `video`.
    pub media_type: Option<String>,
    /// Bytes of the file.
    pub original_size: Option<u64>,
    /// The file's time of change, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<f64>,
    /// `YYYY-MM-DDTHH:MM:SS`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exif_capture_time: Option<String>,
    /// Lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exif_make: Option<String>,
    /// Lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exif_model: Option<String>,
    /// Base64 of 16 bytes.
    pub base_nonce16: String,
    /// Base64 of 24 bytes.
    pub wrap_nonce: String,
    /// Base64 of 48 bytes: the file key, boxed.
    pub wrapped_file_key: String,
    /// In order.
    pub chunk_ids: Vec<Digest>,
    /// Bytes of each chunk before it was boxed.
    pub chunk_sizes: Vec<u64>,
    /// SHA-256 of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_hash: Option<Digest>,
    /// dHash of the picture, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perceptual_hash: Option<String>,
}

/// A boxed manifest, as it stands in `encryptedManifest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    manifest_nonce: String,
    manifest_box: String,
}

/// The secrets of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKeys {
    /// Boxes the chunks.
    pub key: Key,
    /// Begins their nonces.
    pub base: BaseNonce,
}

/// The file key, boxed for a manifest; `nonce` is random.
pub fn wrap_file_key(file_key: &Key, master: &Key, nonce: &Nonce) -> String {
    STANDARD.encode(crypto::seal(file_key.expose(), nonce, master))
}

impl Manifest {
    /// The text of `encryptedManifest`; `nonce` is random.
    pub fn seal(&self, master: &Key, nonce: &Nonce) -> Result<String, Bad> {
        let json = serde_json::to_vec(self).map_err(|_| Bad::BadContents)?;
        let envelope = Envelope {
            manifest_nonce: STANDARD.encode(nonce),
            manifest_box: STANDARD.encode(crypto::seal(&json, nonce, master)),
        };
        serde_json::to_string(&envelope).map_err(|_| Bad::BadContents)
    }

    /// Opens the text of `encryptedManifest`.
    pub fn open(text: &str, master: &Key) -> Result<Self, Bad> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(Bad::TooLong);
        }
        let envelope: Envelope = serde_json::from_str(text).map_err(|_| Bad::Unknown)?;
        let nonce: Nonce = decode(&envelope.manifest_nonce)?;
        let boxed = STANDARD.decode(&envelope.manifest_box).map_err(|_| Bad::Unknown)?;
        let json = crypto::open(&boxed, &nonce, master)?;
        let manifest: Self = serde_json::from_slice(&json).map_err(|_| Bad::BadContents)?;
        let sizes_fit = manifest.chunk_sizes.iter().all(|size| *size <= MAX_CHUNK_BYTES as u64);
        // Bounded above: 4 MiB for each of the ids that fit in a manifest is far below 2^64.
        let total: u64 = if sizes_fit { manifest.chunk_sizes.iter().sum() } else { 0 };
        let complete = manifest.chunk_ids.len() == manifest.chunk_sizes.len()
            && manifest.original_size.is_none_or(|size| size == total);
        if manifest.v == 1 && sizes_fit && complete { Ok(manifest) } else { Err(Bad::BadContents) }
    }

    /// What opens its chunks.
    pub fn file_keys(&self, master: &Key) -> Result<FileKeys, Bad> {
        let wrapped: [u8; KEY_BYTES + TAG_BYTES] = decode(&self.wrapped_file_key)?;
        let plain = crypto::open(&wrapped, &decode(&self.wrap_nonce)?, master)?;
        let plain = Zeroizing::new(plain);
        let key = plain.as_slice().try_into().map_err(|_| Bad::BadContents)?;
        Ok(FileKeys { key: Key::new(key), base: decode(&self.base_nonce16)? })
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], Bad> {
    let bytes = STANDARD.decode(text).map_err(|_| Bad::BadContents)?;
    bytes.try_into().map_err(|_| Bad::BadContents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Key {
        Key::new(std::array::from_fn(|i| i as u8))
    }

    fn base() -> BaseNonce {
        std::array::from_fn(|i| 0xa0 + i as u8)
    }

    // Keys that the published desktop client derives.
    #[test]
    fn the_desktops_master_key_follows_from_e_mail_and_password() {
        let of = |email, password| hex::encode(desktop_master_key(email, password).expose());
        assert_eq!(
            of("alice@example.com", "CorrectHorse9!"),
            "dcffa0b862bb94d1c9a6d288eecf546be6a47202d532944626fb4726a63e2d53"
        );
        assert_eq!(
            of("bob@example.com", "пароль"),
            "0817eda68fb180088fa714a8b2f37df4c82767bfb99999cf4d024d2c01dfcdd3"
        );
        assert_eq!(
            of(" SP@x.org ", "pw"),
            "b3e7245b839cd3d0552fb985ee646aa87252f04acb702e1645e3733157f1f6a1"
        );
    }

    // Chunks that the published clients make.
    #[test]
    fn chunks_are_those_of_the_published_clients() {
        for (index, boxed_hex, id_hex) in [
            (
                0,
                "041e3b3caa04661cea707e45fb14849ed928d4633582646675e8896ed2dcd4",
                "6895e1fa997f355672e7d9d49230dde15febbe80e359ebec2a3e09cc43d11ece",
            ),
            (
                1,
                "ddc55eddb010bb330d4cb87efa52b36c75af50316fce541f0dec1a6c35d854",
                "795956d7ff78609aa28bb9d2ea4b5352177190673f1c8606c4a1290c056a55a9",
            ),
            (
                258,
                "d61a3ced12dffcb14f1867833a6ddedbd5f1b5a9c184193dce17e957924b1c",
                "d11cd373b9a2ef37ff737ad2fc549fc87d1edcfdcc23cd70a9ad12f0508c6961",
            ),
        ] {
            let boxed = seal_chunk(b"hello photosync", &master(), &base(), index);
            assert_eq!(hex::encode(&boxed), boxed_hex);
            let id = Digest::from_hex(id_hex).unwrap();
            let opened = open_chunk(&boxed, &id, &master(), &base(), index);
            assert_eq!(opened.as_deref(), Ok(&b"hello photosync"[..]));
            // In another place of the file it is not the same chunk.
            assert_eq!(open_chunk(&boxed, &id, &master(), &base(), index + 1), Err(Bad::Forged));
            assert_eq!(open_chunk(&boxed[1..], &id, &master(), &base(), index), Err(Bad::WrongId));
        }
    }

    #[test]
    fn manifest_ids_are_those_of_the_published_clients() {
        assert_eq!(
            desktop_manifest_id("/home/a/IMG_0001.JPG", " IMG_0001.JPG", 12345),
            "1b615cbbe1d894af50b124f6565c7a6914905f22b87ecbb80b6671693dfb4941"
        );
        assert_eq!(
            phone_manifest_id("ABC"),
            "a20839526dbb9bf5adc414b588ba689883ee6dfa5bd099d946b95ab87f842ef6"
        );
    }

    fn manifest() -> Manifest {
        let wrap_nonce = [5; NONCE_BYTES];
        Manifest {
            v: 1,
            asset_id: "ABC".into(),
            filename: Some("IMG_0001.JPG".into()),
            media_type: Some("photo".into()),
            original_size: Some(15),
            creation_time: None,
            exif_capture_time: None,
            exif_make: None,
            exif_model: None,
            base_nonce16: STANDARD.encode(base()),
            wrap_nonce: STANDARD.encode(wrap_nonce),
            wrapped_file_key: wrap_file_key(&Key::new([9; KEY_BYTES]), &master(), &wrap_nonce),
            chunk_ids: vec![Digest([1; 32])],
            chunk_sizes: vec![15],
            file_hash: None,
            perceptual_hash: None,
        }
    }

    #[test]
    fn a_manifest_comes_back_with_the_keys_of_its_file_and_for_nobody_else() {
        let sealed = manifest().seal(&master(), &[6; NONCE_BYTES]).unwrap();
        let opened = Manifest::open(&sealed, &master()).unwrap();
        assert_eq!(opened, manifest());
        let keys = opened.file_keys(&master()).unwrap();
        assert_eq!(keys, FileKeys { key: Key::new([9; KEY_BYTES]), base: base() });
        assert_eq!(Manifest::open(&sealed, &Key::new([1; KEY_BYTES])), Err(Bad::Forged));
        assert_eq!(Manifest::open(&sealed.replace("Box", "Bix"), &master()), Err(Bad::Unknown));
    }

    // The phone leaves out what it does not know.
    #[test]
    fn the_keys_of_a_phones_manifest_stand_in_its_order() {
        let json = serde_json::to_string(&manifest()).unwrap();
        let keys = [
            "v",
            "assetId",
            "filename",
            "mediaType",
            "originalSize",
            "baseNonce16",
            "wrapNonce",
            "wrappedFileKey",
            "chunkIds",
            "chunkSizes",
        ];
        let places: Vec<_> = keys.map(|key| json.find(&format!("\"{key}\":")).unwrap()).into();
        assert!(places.is_sorted(), "{json}");
        assert_eq!(json.matches("\":").count(), keys.len(), "{json}");
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_refused() {
        for broken in [
            Manifest { v: 2, ..manifest() },
            Manifest { chunk_sizes: vec![], ..manifest() },
            Manifest { original_size: Some(16), ..manifest() },
            Manifest { chunk_sizes: vec![u64::MAX], original_size: None, ..manifest() },
        ] {
            let sealed = broken.seal(&master(), &[6; NONCE_BYTES]).unwrap();
            assert_eq!(Manifest::open(&sealed, &master()), Err(Bad::BadContents), "{broken:?}");
        }
    }
}
