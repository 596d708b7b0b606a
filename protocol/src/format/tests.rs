//! The whole of version 2: what is sealed comes back, what was touched does not.

use proptest::prelude::*;

use super::chunk::{self, CHUNK_BYTES, Sealer};
use super::keyring::{Contents, Epoch, Keyring, PasswordLock, recovery_lock, sequence_of};
use super::keys::{DeviceKeys, LEAST_COST, MasterKey, RecoveryKey};
use super::manifest::Manifest;
use super::object::{Kind, id_of, peek, recovery_wrap};
use super::segment::{Chains, Entry, Head, Segment, Writer};
use super::*;
use crate::crypto::{Cost, KEY_BYTES, Key, NONCE_BYTES, SALT_BYTES};
use crate::digest::Digest;
use crate::v2::claims::Claims;

fn master(byte: u8) -> MasterKey {
    MasterKey(Key::new([byte; KEY_BYTES]))
}

fn recovery() -> RecoveryKey {
    RecoveryKey(Key::new([0x77; KEY_BYTES]))
}

fn keys_of(byte: u8, epoch: u32) -> DeviceKeys {
    let wrap = recovery_lock(&master(byte), &recovery(), &[1; NONCE_BYTES]);
    DeviceKeys::unlock(&master(byte), epoch, wrap)
}

fn keys() -> DeviceKeys {
    keys_of(1, 1)
}

fn seal_chunk(data: &[u8], keys: &DeviceKeys) -> (Digest, Vec<u8>) {
    let mut sealer = Sealer::default();
    sealer.data_mut()[..data.len()].copy_from_slice(data);
    let (epoch, epoch_keys) = keys.current();
    let sealed = sealer.seal(data.len(), epoch, epoch_keys);
    (sealed.id, sealed.bytes.to_vec())
}

fn open_chunk(object: &[u8], id: &Digest, keys: &DeviceKeys) -> Result<Vec<u8>, Bad> {
    chunk::open(&mut object.to_vec(), id, keys).map(<[u8]>::to_vec)
}

fn manifest(name: &str) -> Manifest {
    Manifest {
        digest: Digest([3; 32]),
        size_bytes: CHUNK_BYTES as u64 + 1,
        name: name.into(),
        claims: Claims { folder: Some("2024/Été".into()), ..Claims::default() },
        chunks: vec![Digest([4; 32]), Digest([5; 32])],
    }
}

fn segment(sequence: u64, previous: Option<Digest>) -> Segment {
    let entries = vec![Entry { id: Digest([6; 32]), manifest: Some(manifest("a.jpg")) }];
    let live = Segment::live_digest(&Segment::live_ids(&entries, &[]));
    Segment {
        writer: Writer([8; 16]),
        sequence,
        previous,
        written_at_ms: 1_700_000_000_000,
        seen: vec![],
        live,
        entries,
    }
}

fn keyring(epochs: u32) -> Keyring {
    let epoch = |epoch| Epoch { epoch, began_at_ms: i64::from(epoch) * 1000, closed: vec![] };
    Keyring {
        sequence: 7,
        master: master(1),
        recovery_wrap: recovery_lock(&master(1), &recovery(), &[2; NONCE_BYTES]),
        contents: Contents { epochs: (1..=epochs).map(epoch).collect() },
    }
}

fn lock(password: &str) -> PasswordLock {
    PasswordLock::new(&master(1), password, LEAST_COST, [3; SALT_BYTES], &[4; NONCE_BYTES]).unwrap()
}

#[test]
fn a_chunk_comes_back_whatever_its_length() {
    for length in [1, 2, 1023, 1024, 1025, 100_000, CHUNK_BYTES - 1, CHUNK_BYTES] {
        let data: Vec<u8> = (0..length).map(|i| (i % 253) as u8).collect();
        let (id, object) = seal_chunk(&data, &keys());
        assert_eq!(open_chunk(&object, &id, &keys()), Ok(data));
        assert_eq!(peek(&object), Ok(Kind::Chunk));
        assert!(object.len() <= Kind::Chunk.max_bytes());
    }
}

#[test]
fn the_same_piece_is_one_object_in_an_account_and_another_one_elsewhere() {
    let (id, _) = seal_chunk(b"piece", &keys());
    assert_eq!(seal_chunk(b"piece", &keys()).0, id);
    assert_ne!(seal_chunk(b"Piece", &keys()).0, id, "other bytes");
    assert_ne!(seal_chunk(b"piece", &keys_of(2, 1)).0, id, "another account");
    assert_ne!(seal_chunk(b"piece", &keys_of(1, 2)).0, id, "a later epoch");
}

#[test]
fn what_a_buffer_held_before_is_not_in_the_next_chunk() {
    let mut sealer = Sealer::default();
    let keys = keys();
    let (epoch, epoch_keys) = keys.current();
    sealer.data_mut().fill(0xff);
    sealer.seal(CHUNK_BYTES, epoch, epoch_keys);
    sealer.data_mut()[..3].copy_from_slice(b"abc");
    let again = sealer.seal(3, epoch, epoch_keys).id;
    assert_eq!(again, seal_chunk(b"abc", &keys).0);
}

#[test]
fn an_object_opens_only_under_its_own_id_kind_account_and_epoch() {
    let (id, object) = seal_chunk(b"piece", &keys());
    assert_eq!(open_chunk(&object, &Digest([0; 32]), &keys()), Err(Bad::WrongId));
    assert_eq!(open_chunk(&object, &id, &keys_of(2, 1)), Err(Bad::Forged));
    let (newer_id, newer) = seal_chunk(b"piece", &keys_of(1, 2));
    assert_eq!(open_chunk(&newer, &newer_id, &keys()), Err(Bad::UnknownEpoch));
    assert_eq!(open_chunk(&object, &id, &keys_of(1, 2)), Ok(b"piece".to_vec()), "an old one");
    assert_eq!(Manifest::open(&object, &id, &keys()), Err(Bad::WrongKind));
    let (id, object) = manifest("a.jpg").seal(&keys()).unwrap();
    assert_eq!(open_chunk(&object, &id, &keys()), Err(Bad::WrongKind));
    assert_eq!(Segment::open(&object, &id, &keys()), Err(Bad::WrongKind));
    // Relabelled, and given its right new id: the kinds have different keys.
    let mut relabelled = object;
    relabelled[6] = b'S';
    assert_eq!(Segment::open(&relabelled, &id_of(&relabelled), &keys()), Err(Bad::Forged));
}

/// Every single flipped bit is refused, also by a relay that gives the changed object its right new id.
fn require_no_flip_is_taken(object: &[u8], open: impl Fn(&[u8], &Digest) -> Result<(), Bad>) {
    let id = id_of(object);
    assert_eq!(open(object, &id), Ok(()));
    let mut changed = object.to_vec();
    for bit in 0..object.len() * 8 {
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&changed, &id), Err(Bad::WrongId), "bit {bit}");
        assert!(open(&changed, &id_of(&changed)).is_err(), "bit {bit} under its new id");
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..object.len() {
        let cut = &object[..length];
        assert!(open(cut, &id_of(cut)).is_err(), "cut to {length}");
    }
}

#[test]
fn no_flipped_bit_and_no_truncation_of_any_object_is_taken() {
    let keys = keys();
    let (_, object) = seal_chunk(&[9; 700], &keys);
    require_no_flip_is_taken(&object, |object, id| open_chunk(object, id, &keys).map(|_| ()));
    let (_, object) = manifest("a.jpg").seal(&keys).unwrap();
    require_no_flip_is_taken(&object, |object, id| Manifest::open(object, id, &keys).map(|_| ()));
    let (_, object) = segment(1, None).seal(&keys).unwrap();
    require_no_flip_is_taken(&object, |object, id| Segment::open(object, id, &keys).map(|_| ()));
    // By the words: stretching a password 10,000 times would take an hour.
    let (_, object) = keyring(1).seal(&lock("password")).unwrap();
    require_no_flip_is_taken(&object, |object, id| {
        Keyring::recover(object, id, &recovery()).map(|_| ())
    });
}

#[test]
fn a_chunk_with_another_padding_is_refused() {
    // Sealed by somebody who has the keys and does not follow the format.
    let (epoch, keys) = (1, keys());
    let sealing = &keys.of(epoch).unwrap().chunk;
    let seal = |plain: &[u8]| {
        let head = object::head(Kind::Chunk, epoch);
        let nonce = crate::crypto::keyed_hash(&sealing.nonce_key, &[&head, plain]);
        let boxed = crate::crypto::seal(plain, &nonce, &sealing.box_key);
        [&head[..], &nonce, &boxed].concat()
    };
    let plain = |length: u32, bytes: usize| [&length.to_le_bytes()[..], &vec![0; bytes]].concat();
    let open = |plain: Vec<u8>| {
        let object = seal(&plain);
        open_chunk(&object, &id_of(&object), &keys)
    };
    assert_eq!(open(plain(5, 1024)), Ok(vec![0; 5]));
    assert_eq!(open(plain(5, 1023)), Err(Bad::BadPadding), "too short a bucket");
    assert_eq!(open(plain(5, 1088)), Err(Bad::BadPadding), "too long a bucket");
    assert_eq!(open(plain(1025, 1024)), Err(Bad::BadPadding), "longer than what is there");
    assert_eq!(open(plain(u32::MAX, 1024)), Err(Bad::BadPadding), "a length that overflows");
    assert_eq!(open(plain(0, 1024)), Err(Bad::BadContents), "a chunk of nothing");
    let mut dirty = plain(5, 1024);
    dirty[4 + 1023] = 1;
    assert_eq!(open(dirty), Err(Bad::BadPadding), "padding that is not zero");
}

#[test]
fn a_manifest_that_contradicts_itself_is_neither_written_nor_read() {
    let keys = keys();
    let broken = [
        Manifest { name: String::new(), ..manifest("a") },
        Manifest { name: "x".repeat(1025), ..manifest("a") },
        Manifest { size_bytes: CHUNK_BYTES as u64, ..manifest("a") },
        Manifest { size_bytes: u64::MAX, ..manifest("a") },
        Manifest { chunks: vec![], ..manifest("a") },
    ];
    for manifest in broken {
        assert_eq!(manifest.seal(&keys).err(), Some(Bad::BadContents));
        let document = serde_json::to_vec(&manifest).unwrap();
        let object = object::seal_document(Kind::Manifest, &document, &keys);
        assert_eq!(Manifest::open(&object, &id_of(&object), &keys), Err(Bad::BadContents));
    }
    for document in [&b"{}"[..], b"", b"null", b"{\"digest\":1}", b"\xff"] {
        let object = object::seal_document(Kind::Manifest, document, &keys);
        assert_eq!(Manifest::open(&object, &id_of(&object), &keys), Err(Bad::BadContents));
    }
}

#[test]
fn a_claim_that_a_newer_writer_makes_in_a_new_way_does_not_cost_the_photo() {
    let mut json = serde_json::to_value(manifest("a.jpg")).unwrap();
    json["claims"]["captured"] =
        serde_json::json!({"local": "2024-01-01T00:00:00", "source": "satellite"});
    json["claims"]["pair"] = serde_json::json!({"id": "1", "role": "sound"});
    json["claims"]["mood"] = "happy".into();
    let object = object::seal_document(Kind::Manifest, json.to_string().as_bytes(), &keys());
    assert_eq!(Manifest::open(&object, &id_of(&object), &keys()), Ok(manifest("a.jpg")));
}

#[test]
fn a_chain_takes_only_its_next_segment() {
    let keys = keys();
    let (first_id, _) = segment(1, None).seal(&keys).unwrap();
    let (first, second) = (segment(1, None), segment(2, Some(first_id)));
    let (second_id, object) = second.seal(&keys).unwrap();
    assert_eq!(Segment::open(&object, &second_id, &keys).as_ref(), Ok(&second));
    let mut chains = Chains::default();
    assert_eq!(chains.extend(&second, second_id), Err(Bad::RolledBack), "its beginning is hidden");
    chains.extend(&first, first_id).unwrap();
    assert_eq!(chains.extend(&first, first_id), Err(Bad::RolledBack), "shown twice");
    let forked = segment(2, Some(Digest([9; 32])));
    assert_eq!(chains.extend(&forked, second_id), Err(Bad::RolledBack), "of another history");
    assert_eq!(chains.extend(&segment(3, Some(first_id)), second_id), Err(Bad::RolledBack));
    chains.extend(&second, second_id).unwrap();

    let known = second.head(second_id);
    assert_eq!(chains.heads(), &[known]);
    assert_eq!(chains.require_not_behind(&[known]), Ok(()));
    let newer = Head { sequence: 3, id: Digest([1; 32]), ..known };
    let other = Head { writer: Writer([1; 16]), ..known };
    assert_eq!(chains.require_not_behind(&[other, newer]), Ok(()));
    let behind = first.head(first_id);
    let rewritten = Head { id: Digest([1; 32]), ..known };
    for shown in [&[behind][..], &[rewritten], &[other], &[]] {
        assert_eq!(chains.require_not_behind(shown), Err(Bad::RolledBack), "{shown:?}");
    }
}

#[test]
fn nothing_follows_the_largest_number_of_a_chain() {
    let known = Head { writer: Writer([8; 16]), sequence: u64::MAX, id: Digest([1; 32]) };
    let told = serde_json::to_value([known]).unwrap();
    let mut chains: Chains = serde_json::from_value(told).unwrap();
    let next = segment(u64::MAX, Some(known.id));
    assert_eq!(chains.extend(&next, Digest([2; 32])), Err(Bad::RolledBack));
    assert_eq!(chains.heads(), &[known]);
}

#[test]
fn a_segment_that_cannot_be_in_a_chain_is_neither_written_nor_read() {
    let keys = keys();
    let previous = Some(Digest([1; 32]));
    for broken in [segment(0, None), segment(1, previous), segment(2, None)] {
        assert_eq!(broken.seal(&keys).err(), Some(Bad::BadContents));
    }
}

#[test]
fn live_ids_are_sorted_and_each_there_once() {
    let entry = |id: u8| Entry { id: Digest([id; 32]), manifest: Some(manifest("a")) };
    let ids = Segment::live_ids(&[entry(9), entry(1), entry(9)], &[Digest([2; 32])]);
    let bytes: Vec<u8> = ids.iter().map(|id| id.0[0]).collect();
    assert_eq!(bytes, [1, 2, 4, 5, 9]);
    assert_ne!(Segment::live_digest(&ids), Segment::live_digest(&ids[1..]));
}

#[test]
fn the_password_and_the_words_open_the_same_keyring_and_nothing_else_does() {
    let sealed = keyring(2);
    let (id, object) = sealed.seal(&lock("Zoë's password")).unwrap();
    assert_eq!(sequence_of(&object), Ok(7));
    // Typed on a system that decomposes letters.
    assert_eq!(Keyring::open(&object, &id, "Zoe\u{308}'s password").as_ref(), Ok(&sealed));
    let wrong = Keyring::open(&object, &id, "zoë's password");
    assert_eq!(wrong, Err(keyring::Failed::Bad(Bad::WrongSecret)));
    let words = recovery().words();
    assert_eq!(words.split(' ').count(), keys::WORDS);
    let typed = RecoveryKey::from_words(&words.to_uppercase().replace(' ', "\n  ")).unwrap();
    assert_eq!(Keyring::recover(&object, &id, &typed).as_ref(), Ok(&sealed));
    let other = RecoveryKey(Key::new([0x78; KEY_BYTES]));
    assert_eq!(Keyring::recover(&object, &id, &other), Err(Bad::WrongSecret));
    assert_eq!(sealed.device_keys().unwrap().current().0, 2);
}

#[test]
fn mistyped_words_are_refused_before_anything_is_tried() {
    let words = recovery().words().to_string();
    let mut swapped: Vec<&str> = words.split(' ').collect();
    let last = swapped.len() - 1;
    let broken = [
        words.rsplit_once(' ').unwrap().0.to_owned(),
        words.clone() + " abandon",
        words.replacen(words.split(' ').next().unwrap(), "fotograf", 1),
        {
            // The last word carries the checksum.
            swapped[last] = if swapped[last] == "zoo" { "abandon" } else { "zoo" };
            swapped.join(" ")
        },
        String::new(),
    ];
    for words in broken {
        assert_eq!(RecoveryKey::from_words(&words), Err(Bad::WrongSecret), "{words}");
    }
}

#[test]
fn a_new_password_changes_a_few_hundred_bytes_and_no_key() {
    let (id, object) = keyring(1).seal(&lock("old password")).unwrap();
    let opened = Keyring::open(&object, &id, "old password").unwrap();
    let renewed = Keyring { sequence: 8, ..opened.clone() };
    let (new_id, new) = renewed.seal(&lock("new password")).unwrap();
    assert!(new.len() < 2048, "{}", new.len());
    let reopened = Keyring::open(&new, &new_id, "new password").unwrap();
    assert_eq!(reopened.master, opened.master);
    assert!(Keyring::open(&new, &new_id, "old password").is_err());
}

#[test]
fn a_keyring_of_absurd_cost_is_refused_before_anything_is_computed() {
    let (_, object) = keyring(1).seal(&lock("password")).unwrap();
    for cost in [
        Cost { passes: 1, memory_kib: LEAST_COST.memory_kib },
        Cost { passes: 3, memory_kib: 1024 },
        Cost { passes: u32::MAX, memory_kib: LEAST_COST.memory_kib },
        Cost { passes: 3, memory_kib: u32::MAX },
    ] {
        let mut changed = object.clone();
        changed[20..24].copy_from_slice(&cost.passes.to_le_bytes());
        changed[24..28].copy_from_slice(&cost.memory_kib.to_le_bytes());
        let opened = Keyring::open(&changed, &id_of(&changed), "password");
        assert_eq!(opened, Err(keyring::Failed::Bad(Bad::BadCost)), "{cost:?}");
        let made = PasswordLock::new(&master(1), "p", cost, [0; 16], &[0; 24]);
        assert_eq!(made, Err(keyring::Failed::Bad(Bad::BadCost)), "{cost:?}");
    }
}

#[test]
fn with_the_words_any_manifest_or_segment_opens_the_master_key_without_a_keyring() {
    let (_, manifest) = manifest("a.jpg").seal(&keys()).unwrap();
    let (_, segment) = segment(1, None).seal(&keys()).unwrap();
    for object in [manifest, segment] {
        let wrap = recovery_wrap(&object).unwrap();
        let opened = MasterKey::unwrap(&wrap, &recovery().wrapping_key()).unwrap();
        assert_eq!(opened, master(1));
    }
    let (_, chunk) = seal_chunk(b"piece", &keys());
    assert_eq!(recovery_wrap(&chunk), Err(Bad::WrongKind));
}

#[test]
fn a_stolen_device_reads_nothing_of_a_later_epoch() {
    let stolen = keys_of(1, 1);
    let (id, object) = manifest("after.jpg").seal(&keys_of(1, 2)).unwrap();
    assert_eq!(Manifest::open(&object, &id, &stolen), Err(Bad::UnknownEpoch));
    // It has every key of its epoch and cannot compute the next one from them.
    let stored: Vec<Key> = stolen.epochs().map(|(_, keys)| keys.key().clone()).collect();
    let guessed = MasterKey(stored[0].clone()).epoch_key(2);
    let forged = DeviceKeys::from_stored(vec![stored[0].clone(), guessed], stolen.recovery_wrap);
    assert_eq!(Manifest::open(&object, &id, &forged.unwrap()), Err(Bad::Forged));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn different_pieces_have_different_nonces_and_equal_ones_the_same(
        one in proptest::collection::vec(any::<u8>(), 1..200),
        other in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let nonce = |data: &[u8]| seal_chunk(data, &keys()).1[12..36].to_vec();
        prop_assert_eq!(nonce(&one) == nonce(&other), one == other);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for letter in [b'C', b'M', b'S', b'K'] {
            let object = [&b"PSYNC2"[..], &[letter, b'\n', 1, 0, 0, 0], &bytes].concat();
            let id = id_of(&object);
            prop_assert!(open_chunk(&object, &id, &keys()).is_err());
            prop_assert!(Manifest::open(&object, &id, &keys()).is_err());
            prop_assert!(Segment::open(&object, &id, &keys()).is_err());
            prop_assert!(Keyring::recover(&object, &id, &recovery()).is_err());
        }
    }
}
