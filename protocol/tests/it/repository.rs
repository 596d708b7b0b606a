//! A small repository as two devices and a person with 24 words have it, and the plainest reader there is: it takes
//! what a relay gives, refuses what the formats refuse, and says which originals it could not read.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use photosync_protocol::crypto::{Key, NONCE_BYTES};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::chunk::{self, CHUNK_BYTES};
use photosync_protocol::format::keyring::{
    Contents, Epoch, Keyring, PasswordLock, password_lock, recovery_lock,
};
use photosync_protocol::format::keys::{DeviceKeys, LEAST_COST, MasterKey, RecoveryKey};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of, peek};
use photosync_protocol::format::segment::{Chains, Entry, Segment, Writer};
use photosync_protocol::v2::claims::Claims;

use crate::cases::seal_chunk;
use crate::third::{fixed, sha256, stream};

/// What a relay gives: objects under names, and lists of names. It can lie about all of it.
#[derive(Clone)]
pub(crate) struct Relay {
    pub objects: BTreeMap<Digest, Rc<Vec<u8>>>,
    pub keyring: Digest,
    /// In the order they were written.
    pub segments: Vec<Digest>,
}

/// What a client remembers between two looks at a relay.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub keyring_sequence: u64,
    pub chains: Chains,
}

/// Why something was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Missing,
    Refused(Bad),
    /// A chunk of another length, or a file with another digest, than the manifest says.
    NotTheFile,
}

/// What a reader made of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// By id of the manifest: digest of what was restored, or the object that could not be read, and why.
    pub assets: BTreeMap<Digest, Result<Digest, (Digest, Why)>>,
    /// Keyring and segments that were not taken.
    pub refused: Vec<(Digest, Why)>,
    /// The chains end before where they ended once.
    pub rolled_back: bool,
}

pub(crate) struct Repository {
    pub relay: Relay,
    pub keys: DeviceKeys,
    /// What whoever wrote it last remembers.
    pub memory: Memory,
    /// By manifest id.
    pub names: BTreeMap<Digest, String>,
    /// The objects without which an original cannot be read.
    pub uses: BTreeMap<Digest, BTreeSet<Digest>>,
    /// Assets whose reading is known, because none of their objects was touched.
    untouched: BTreeMap<Digest, Digest>,
    /// A keyring from before the second epoch.
    pub old_keyring: Digest,
}

pub(crate) fn recovery() -> RecoveryKey {
    RecoveryKey(Key::new(fixed("recovery key of the repository")))
}

fn master() -> MasterKey {
    MasterKey(Key::new(fixed("master key of the repository")))
}

fn device(epochs: u32) -> DeviceKeys {
    let nonce: [u8; NONCE_BYTES] = fixed("nonce of its recovery wrap");
    DeviceKeys::unlock(&master(), epochs, recovery_lock(&master(), &recovery(), &nonce))
}

fn keyring_object(epochs: u32) -> Vec<u8> {
    let epoch = |epoch| Epoch { epoch, began_at_ms: 0, closed: vec![] };
    let keyring = Keyring {
        sequence: epochs.into(),
        master: master(),
        recovery_wrap: device(1).recovery_wrap,
        contents: Contents { epochs: (1..=epochs).map(epoch).collect() },
    };
    // Stretched once for all repositories: nothing here opens it with the password.
    thread_local! {
        static LOCK: PasswordLock =
            PasswordLock::new(&master(), "a password", LEAST_COST, fixed("salt"), &fixed("nonce")).expect("it can be sealed");
    }
    LOCK.with(|lock| keyring.seal(lock)).expect("it can be sealed").1
}

impl Repository {
    /// About 40 objects that follow from a seed: two epochs, two writers who take turns, originals of one chunk and
    /// (if asked for) one of two, a chunk that two originals share, and manifests that a segment only names.
    pub(crate) fn new(seed: &str, with_a_large_file: bool) -> Repository {
        let (old, current) = (keyring_object(1), keyring_object(2));
        let (old_keyring, keyring) = (id_of(&old), id_of(&current));
        let relay = Relay { objects: BTreeMap::new(), keyring, segments: vec![] };
        let mut repository = Repository {
            relay,
            keys: device(1),
            memory: Memory { keyring_sequence: 2, ..Memory::default() },
            names: BTreeMap::new(),
            uses: BTreeMap::new(),
            untouched: BTreeMap::new(),
            old_keyring,
        };
        repository.store(old);
        repository.store(current);
        let writers = [Writer([1; 16]), Writer([2; 16])];
        for turn in 0..6_usize {
            if turn == 3 {
                repository.keys = device(2);
            }
            let mut entries = Vec::new();
            for at in 0..3_usize {
                let label = format!("{seed} {turn} {at}");
                let length = usize::from(u16::from_le_bytes(fixed(&label))) % 3000 + 1;
                // The first of the second turn is the first of the first, under another name.
                let data = if (turn, at) == (1, 0) { format!("{seed} 0 0") } else { label.clone() };
                let length = if (turn, at) == (1, 0) {
                    usize::from(u16::from_le_bytes(fixed(&data))) % 3000 + 1
                } else {
                    length
                };
                let large = with_a_large_file && (turn, at) == (4, 1);
                let length = if large { CHUNK_BYTES + 100 } else { length };
                let is_named_only = at == 2 && turn % 2 == 0;
                let name = format!("📷 {label}.jpg");
                entries.push(repository.back_up(&name, &stream(&data, length), is_named_only));
            }
            repository.write_segment(writers[turn % 2], entries);
        }
        repository.untouched = repository
            .read(&repository.relay, &Memory::default())
            .assets
            .into_iter()
            .map(|(id, read)| (id, read.expect("an untouched original")))
            .collect();
        repository
    }

    fn store(&mut self, object: Vec<u8>) -> Digest {
        let id = id_of(&object);
        self.relay.objects.insert(id, Rc::new(object));
        id
    }

    fn back_up(&mut self, name: &str, data: &[u8], is_named_only: bool) -> Entry {
        let epoch = self.keys.current().0;
        let pieces = data.chunks(CHUNK_BYTES).map(|piece| seal_chunk(piece, epoch, &self.keys));
        let pieces: Vec<Vec<u8>> = pieces.collect();
        let chunks: Vec<Digest> = pieces.into_iter().map(|piece| self.store(piece)).collect();
        let manifest = Manifest {
            digest: Digest(sha256(data)),
            size_bytes: data.len() as u64,
            name: name.into(),
            claims: Claims::default(),
            chunks: chunks.clone(),
        };
        let id = self.store(manifest.seal(&self.keys).expect("it can be sealed").1);
        let needed: BTreeSet<Digest> =
            chunks.into_iter().chain(is_named_only.then_some(id)).collect();
        self.uses.insert(id, needed);
        self.names.insert(id, name.into());
        Entry { id, manifest: (!is_named_only).then_some(manifest) }
    }

    fn write_segment(&mut self, writer: Writer, entries: Vec<Entry>) {
        let named = entries.iter().filter(|entry| entry.manifest.is_none());
        let chunks: Vec<Digest> = named.flat_map(|entry| self.uses[&entry.id].clone()).collect();
        let previous = self.memory.chains.head(writer).copied();
        let others = self.memory.chains.heads().iter().filter(|head| head.writer != writer);
        let segment = Segment {
            writer,
            sequence: previous.map_or(1, |head| head.sequence + 1),
            previous: previous.map(|head| head.id),
            written_at_ms: 0,
            seen: others.copied().collect(),
            live: Segment::live_digest(&Segment::live_ids(&entries, &chunks)),
            entries,
        };
        let id = self.store(segment.seal(&self.keys).expect("it can be sealed").1);
        self.memory.chains.extend(&segment, id).expect("the next");
        self.relay.segments.push(id);
    }

    /// Reads everything a relay gives.
    pub(crate) fn read(&self, relay: &Relay, memory: &Memory) -> Outcome {
        let mut outcome = Outcome::default();
        let keys = match open_keyring(relay, memory) {
            Ok(keys) => keys,
            Err(why) => {
                outcome.refused.push((relay.keyring, why));
                return outcome;
            }
        };
        let (mut chains, mut seen) = (Chains::default(), Vec::new());
        for id in &relay.segments {
            let opened = get(relay, id).and_then(|object| {
                let segment = Segment::open(object, id, &keys).map_err(Why::Refused)?;
                chains.extend(&segment, *id).map_err(Why::Refused)?;
                Ok(segment)
            });
            match opened {
                Ok(segment) => {
                    seen.extend(segment.seen.iter().copied());
                    for entry in segment.entries {
                        let read = self.read_asset(relay, &keys, entry.id, entry.manifest);
                        outcome.assets.insert(entry.id, read);
                    }
                }
                Err(why) => outcome.refused.push((*id, why)),
            }
        }
        let is_behind = |known: &Chains| known.require_not_behind(chains.heads()).is_err();
        outcome.rolled_back = is_behind(&memory.chains)
            || seen.iter().any(|head| {
                let told = serde_json::to_value([head]).expect("JSON");
                is_behind(&serde_json::from_value(told).expect("heads"))
            });
        outcome
    }

    fn read_asset(
        &self,
        relay: &Relay,
        keys: &DeviceKeys,
        id: Digest,
        inline: Option<Manifest>,
    ) -> Result<Digest, (Digest, Why)> {
        // What is opened depends on nothing but the bytes: untouched ones need not be opened a thousand times.
        let is_same = |needed: &Digest| {
            matches!((relay.objects.get(needed), self.relay.objects.get(needed)),
                (Some(given), Some(stored)) if Rc::ptr_eq(given, stored))
        };
        if let Some(digest) = self.untouched.get(&id)
            && self.uses[&id].iter().all(is_same)
        {
            return Ok(*digest);
        }
        let manifest = match inline {
            Some(manifest) => manifest,
            None => get(relay, &id)
                .and_then(|object| Manifest::open(object, &id, keys).map_err(Why::Refused))
                .map_err(|why| (id, why))?,
        };
        let mut data = Vec::new();
        for (at, chunk) in manifest.chunks.iter().enumerate() {
            let piece = get(relay, chunk).and_then(|object| {
                let mut buffer = object.to_vec();
                let piece = chunk::open(&mut buffer, chunk, keys).map_err(Why::Refused)?;
                let is_right = piece.len() as u64 == manifest.chunk_bytes(at);
                if is_right { Ok(piece.to_vec()) } else { Err(Why::NotTheFile) }
            });
            data.extend(piece.map_err(|why| (*chunk, why))?);
        }
        let digest = Digest(sha256(&data));
        if digest == manifest.digest { Ok(digest) } else { Err((id, Why::NotTheFile)) }
    }

    /// The manifests of the segments from this one on, in the chain it belongs to.
    pub(crate) fn listed_from(&self, segment: &Digest) -> BTreeSet<Digest> {
        let keys = device(2);
        let open = |id: &Digest| {
            Segment::open(&self.relay.objects[id], id, &keys).expect("an untouched one")
        };
        let first = open(segment);
        let segments = self.relay.segments.iter().map(open);
        let later = segments
            .filter(|other| other.writer == first.writer && other.sequence >= first.sequence);
        later.flat_map(|segment| segment.entries).map(|entry| entry.id).collect()
    }

    /// What is lost with an object, by manifest.
    pub(crate) fn lost_with(&self, object: &Digest) -> BTreeSet<Digest> {
        match peek(&self.relay.objects[object]).expect("a kind") {
            Kind::Keyring if *object == self.relay.keyring => self.names.keys().copied().collect(),
            Kind::Keyring => BTreeSet::new(),
            Kind::Segment => self.listed_from(object),
            Kind::Chunk | Kind::Manifest => {
                let users = self.uses.iter().filter(|(_, needed)| needed.contains(object));
                users.map(|(id, _)| *id).collect()
            }
        }
    }
}

fn get<'a>(relay: &'a Relay, id: &Digest) -> Result<&'a [u8], Why> {
    relay.objects.get(id).map(|object| object.as_slice()).ok_or(Why::Missing)
}

fn open_keyring(relay: &Relay, memory: &Memory) -> Result<DeviceKeys, Why> {
    let object = get(relay, &relay.keyring)?;
    let opened = Keyring::recover(object, &relay.keyring, &recovery()).map_err(Why::Refused)?;
    if opened.sequence < memory.keyring_sequence {
        return Err(Why::Refused(Bad::RolledBack));
    }
    assert!(password_lock(object, &relay.keyring).is_ok());
    opened.device_keys().map_err(Why::Refused)
}
