//! What stands in the files of `protocol/vectors`, and what this crate answers to each case.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::crypto::{Cost, Key};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk::{self, Sealer};
use photosync_protocol::format::keyring::{Failed, Keyring};
use photosync_protocol::format::keys::{
    DeviceKeys, MasterKey, RecoveryKey, SealingKeys, WRAP_BYTES, Wrap, password_key,
};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::segment::{Chains, Head, Segment, Writer};
use photosync_protocol::format::{Bad, v1};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::third::stream;

/// A file of vectors.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct File {
    /// What it is about, for whoever opens it.
    pub about: String,
    pub cases: Vec<Case>,
}

/// One case: its name says the defect, or what is good about it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub name: String,
    #[serde(flatten)]
    pub input: Input,
    /// The contents, or `{"refused": WHY}`.
    pub expect: Value,
}

/// Bytes, in full or by a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bytes {
    /// In full.
    Base64(String),
    /// The beginning in full, then so many zeros.
    ThenZeros { base64: String, zeros: usize },
    /// The chunk of these data, changed.
    ChunkOf {
        seed: String,
        bytes: usize,
        epoch: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flip_bit: Option<usize>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut_to: Option<usize>,
    },
}

/// What is done, named by the key of the object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// Every key that follows from a master key in an epoch.
    Derive { master: String, epoch: u32 },
    /// Words that were typed.
    Words(String),
    /// The key of a password.
    Password { text: String, salt: String, passes: u32, memory_kib: u32 },
    /// A wrapped master key.
    Unwrap { wrap: String, under: String },
    /// A sealed object; `master` and `epochs` are what the device has.
    Open { kind: String, object: Bytes, id: Digest, master: String, epochs: u32 },
    /// A keyring, with a password or with words.
    OpenKeyring {
        object: Bytes,
        id: Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
    /// The next segment of a chain, as its number and predecessor say.
    Extend { known: Value, writer: Writer, sequence: u64, previous: Option<Digest>, id: Digest },
    /// The heads a relay shows.
    Show { known: Value, shown: Vec<Head> },
    /// Version 1: the desktop client's master key.
    DesktopMasterKey { email: String, password: String },
    /// Version 1: ids of manifests.
    PhoneManifestId { asset_id: String },
    /// Version 1: ids of manifests.
    DesktopManifestId { path: String, name: String, size_bytes: u64 },
    /// Version 1: a chunk at its place in a file.
    OpenVersion1Chunk { boxed: Bytes, id: Digest, file_key: String, base_nonce: String, index: u64 },
    /// Version 1: the text of `encryptedManifest`.
    OpenVersion1Manifest { text: String, master: String },
}

pub(crate) fn base64(bytes: &[u8]) -> Bytes {
    Bytes::Base64(STANDARD.encode(bytes))
}

pub(crate) fn refused(why: Bad) -> Value {
    json!({ "refused": format!("{why:?}") })
}

/// What a chunk holds, as the files say it.
pub(crate) fn contents(data: &[u8]) -> Value {
    json!({ "bytes": data.len(), "sha256": id_of(data) })
}

fn fixed<const N: usize>(hex_digits: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(hex_digits, &mut bytes).expect("hexadecimal digits");
    bytes
}

fn key(hex_digits: &str) -> Key {
    Key::new(fixed(hex_digits))
}

fn hex_of(key: &Key) -> String {
    hex::encode(key.expose())
}

/// Keys of a device; what it only needs for sealing is nothing.
fn device(master: &str, epochs: u32) -> DeviceKeys {
    DeviceKeys::unlock(&MasterKey(key(master)), epochs, [0; WRAP_BYTES])
}

/// The object of this crate's own sealing.
pub(crate) fn seal_chunk(data: &[u8], epoch: u32, keys: &DeviceKeys) -> Vec<u8> {
    // One buffer for all: erasing 4 MiB takes longer in a debug build than sealing what the tests seal.
    thread_local! {
        static SEALER: RefCell<Sealer> = RefCell::default();
    }
    SEALER.with_borrow_mut(|sealer| {
        sealer.data_mut()[..data.len()].copy_from_slice(data);
        sealer.seal(data.len(), epoch, keys.of(epoch).expect("an epoch")).bytes.to_vec()
    })
}

impl Bytes {
    fn get(&self, master: &str) -> Vec<u8> {
        let decode = |text: &str| STANDARD.decode(text).expect("base64");
        match self {
            Self::Base64(text) => decode(text),
            Self::ThenZeros { base64, zeros } => {
                let mut bytes = decode(base64);
                bytes.resize(bytes.len() + zeros, 0);
                bytes
            }
            Self::ChunkOf { seed, bytes, epoch, flip_bit, cut_to } => {
                let keys = device(master, *epoch);
                let mut object = seal_chunk(&stream(seed, *bytes), *epoch, &keys);
                if let Some(bit) = flip_bit {
                    object[bit / 8] ^= 1 << (bit % 8);
                }
                object.truncate(cut_to.unwrap_or(usize::MAX));
                object
            }
        }
    }
}

impl Input {
    /// What this crate says to it.
    pub(crate) fn answer(&self) -> Value {
        self.result().unwrap_or_else(refused)
    }

    fn result(&self) -> Result<Value, Bad> {
        Ok(match self {
            Self::Derive { master, epoch } => derived(&MasterKey(key(master)), *epoch),
            Self::Words(words) => {
                let recovery = RecoveryKey::from_words(words)?;
                let wrapping = hex_of(&recovery.wrapping_key());
                json!({ "recovery_key": hex_of(&recovery.0), "wrapping_key": wrapping,
                        "words": *recovery.words() })
            }
            Self::Password { text, salt, passes, memory_kib } => {
                let cost = Cost { passes: *passes, memory_kib: *memory_kib };
                let stretched = password_key(text, &fixed(salt), cost).expect("enough memory");
                json!({ "key": hex_of(&stretched) })
            }
            Self::Unwrap { wrap, under } => {
                let wrap: Wrap = fixed(wrap);
                json!({ "master": hex_of(&MasterKey::unwrap(&wrap, &key(under))?.0) })
            }
            Self::Open { kind, object, id, master, epochs } => {
                let (mut object, keys) = (object.get(master), device(master, *epochs));
                match kind.as_str() {
                    "chunk" => contents(chunk::open(&mut object, id, &keys)?),
                    "manifest" => json!(Manifest::open(&object, id, &keys)?),
                    "segment" => json!(Segment::open(&object, id, &keys)?),
                    other => panic!("no kind: {other}"),
                }
            }
            Self::OpenKeyring { object, id, password, words } => {
                let object = object.get("");
                let opened = match (password, words) {
                    (Some(password), None) => Keyring::open(&object, id, password),
                    (None, Some(words)) => RecoveryKey::from_words(words)
                        .and_then(|recovery| Keyring::recover(&object, id, &recovery))
                        .map_err(Failed::from),
                    _ => panic!("a password or words"),
                };
                let opened = opened.map_err(|failed| match failed {
                    Failed::Bad(bad) => bad,
                    Failed::NoMemory => panic!("there is not enough memory for the test"),
                })?;
                json!({
                    "sequence": opened.sequence,
                    "master": hex_of(&opened.master.0),
                    "recovery_wrap": hex::encode(opened.recovery_wrap),
                    "epochs": opened.contents.epochs,
                })
            }
            Self::Extend { known, writer, sequence, previous, id } => {
                let mut chains: Chains = serde_json::from_value(known.clone()).expect("heads");
                let (sequence, previous) = (*sequence, *previous);
                let live = Digest([0; 32]);
                let (seen, entries, written_at_ms) = (vec![], vec![], 0);
                let segment = Segment {
                    writer: *writer,
                    sequence,
                    previous,
                    written_at_ms,
                    seen,
                    live,
                    entries,
                };
                chains.extend(&segment, *id)?;
                json!({ "heads": chains.heads() })
            }
            Self::Show { known, shown } => {
                let chains: Chains = serde_json::from_value(known.clone()).expect("heads");
                chains.require_not_behind(shown)?;
                json!({ "taken": true })
            }
            Self::DesktopMasterKey { email, password } => {
                json!({ "key": hex_of(&v1::desktop_master_key(email, password)) })
            }
            Self::PhoneManifestId { asset_id } => json!({ "id": v1::phone_manifest_id(asset_id) }),
            Self::DesktopManifestId { path, name, size_bytes } => {
                json!({ "id": v1::desktop_manifest_id(path, name, *size_bytes) })
            }
            Self::OpenVersion1Chunk { boxed, id, file_key, base_nonce, index } => {
                let (boxed, base) = (boxed.get(""), fixed(base_nonce));
                contents(&v1::open_chunk(&boxed, id, &key(file_key), &base, *index)?)
            }
            Self::OpenVersion1Manifest { text, master } => {
                let master = key(master);
                let manifest = v1::Manifest::open(text, &master)?;
                let keys = manifest.file_keys(&master)?;
                json!({ "manifest": manifest, "file_key": hex_of(&keys.key),
                        "base_nonce": hex::encode(keys.base) })
            }
        })
    }
}

fn derived(master: &MasterKey, epoch: u32) -> Value {
    let keys = DeviceKeys::unlock(master, epoch, [0; WRAP_BYTES]);
    let of_epoch = keys.of(epoch).expect("its epoch");
    let pair = |keys: &SealingKeys| [hex_of(&keys.box_key), hex_of(&keys.nonce_key)];
    json!({
        "epoch": hex_of(of_epoch.key()),
        "chunk": pair(&of_epoch.chunk),
        "manifest": pair(&of_epoch.manifest),
        "segment": pair(&of_epoch.segment),
        "keyring": pair(&master.keyring_keys()),
    })
}
