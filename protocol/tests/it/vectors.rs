//! Every case of `protocol/vectors`, answered by this crate over the library it is built with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use photosync_protocol::crypto::{Key, NONCE_BYTES};
use photosync_protocol::format::keyring::{Keyring, password_lock, recovery_lock};
use photosync_protocol::format::keys::{DeviceKeys, MasterKey, RecoveryKey};
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::segment::Segment;
use serde_json::Value;

use crate::cases::{Bytes, File, Input, seal_chunk};
use crate::third::{account, fixed, stream};
use crate::{make, third};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn read(name: &str) -> File {
    let text = std::fs::read(path(name)).expect("a file of vectors");
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const ALL: [&str; 7] = [
    "keys.json",
    "chunks.json",
    "manifests.json",
    "segments.json",
    "keyrings.json",
    "chains.json",
    "version1.json",
];

/// Answers every case of a file; all that differ are named.
fn require_answers(name: &str) {
    let cases = read(name).cases;
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let answer = case.input.answer();
            (answer != case.expect).then(|| format!("{}: {answer}, not {}", case.name, case.expect))
        })
        .collect();
    assert!(wrong.is_empty(), "{name}, {} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn keys_words_and_wraps_are_those_of_the_vectors() {
    require_answers("keys.json");
}

#[test]
fn chunks_open_or_are_refused_as_in_the_vectors() {
    require_answers("chunks.json");
}

#[test]
fn manifests_open_or_are_refused_as_in_the_vectors() {
    require_answers("manifests.json");
}

#[test]
fn segments_open_or_are_refused_as_in_the_vectors() {
    require_answers("segments.json");
}

#[test]
fn keyrings_open_or_are_refused_as_in_the_vectors() {
    require_answers("keyrings.json");
}

#[test]
fn chains_grow_or_are_refused_as_in_the_vectors() {
    require_answers("chains.json");
}

#[test]
fn version_1_opens_or_is_refused_as_in_the_vectors() {
    require_answers("version1.json");
}

#[test]
fn no_two_cases_of_a_file_have_one_name_and_most_are_bad() {
    let (mut bad, mut all) = (0, 0);
    for name in ALL {
        let cases = read(name).cases;
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "{name}");
        bad += cases.iter().filter(|case| case.expect.get("refused").is_some()).count();
        all += cases.len();
    }
    assert!(bad * 3 > all * 2, "{bad} of {all}");
    assert!(all > 300, "{all}");
}

// Whoever changes the format on one side only, or a file by hand, is told here.
#[test]
fn the_files_are_what_the_third_library_makes() {
    let made = make::files();
    assert_eq!(made.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ALL);
    for (name, file) in made {
        let (cases, stored) = (file.cases, read(name).cases);
        for (made, stored) in cases.iter().zip(&stored) {
            assert_eq!(made, stored, "{name}: {}", made.name);
        }
        assert_eq!(cases.len(), stored.len(), "{name}");
    }
}

#[test]
#[ignore = "writes protocol/vectors: run it after the format was changed on purpose"]
fn write_the_vectors() {
    for (name, file) in make::files() {
        // A case a line, so that a change of one is a change of one line.
        let lines: Vec<String> =
            file.cases.iter().map(|case| serde_json::to_string(case).expect("JSON")).collect();
        let about = serde_json::to_string(&file.about).expect("JSON");
        let text = format!("{{\"about\":{about},\"cases\":[\n{}\n]}}\n", lines.join(",\n"));
        std::fs::write(path(name), text).expect("a file that can be written");
    }
}

fn keys() -> (MasterKey, DeviceKeys) {
    let alice = account("alice");
    let master = MasterKey(Key::new(alice.master));
    let nonce: [u8; NONCE_BYTES] = fixed("nonce of the recovery wrap");
    let wrap = recovery_lock(&master, &RecoveryKey(Key::new(alice.recovery)), &nonce);
    assert_eq!(wrap[..], alice.recovery_wrap());
    let keys = DeviceKeys::unlock(&master, 2, wrap);
    (master, keys)
}

fn case_named(file: &str, name: &str) -> (Vec<u8>, Value) {
    let case = read(file).cases.into_iter().find(|case| case.name == name).expect(name);
    let (Input::Open { object: Bytes::Base64(text), .. }
    | Input::OpenKeyring { object: Bytes::Base64(text), .. }) = case.input
    else {
        panic!("{name} has no object in full");
    };
    let object = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
    (object.expect("base64"), case.expect)
}

#[test]
fn this_crate_seals_what_the_third_library_sealed() {
    let (_, keys) = keys();
    // In the current epoch, because that is the one it seals in.
    let (object, contents) = case_named("manifests.json", "in the current epoch");
    let manifest: Manifest = serde_json::from_value(contents).unwrap();
    assert_eq!(manifest.seal(&keys), Ok((id_of(&object), object)));

    let (object, contents) = case_named("segments.json", "in the current epoch");
    let segment: Segment = serde_json::from_value(contents).unwrap();
    assert_eq!(segment.seal(&keys), Ok((id_of(&object), object)));

    let (object, _) = case_named("keyrings.json", "by the words");
    let recovery = RecoveryKey(Key::new(account("alice").recovery));
    let keyring = Keyring::recover(&object, &id_of(&object), &recovery).unwrap();
    let lock = password_lock(&object, &id_of(&object)).unwrap();
    assert_eq!(keyring.seal(&lock), Ok((id_of(&object), object)));

    let (object, _) = case_named("chunks.json", "in the current epoch");
    assert_eq!(seal_chunk(b"hello photosync", 2, &keys), object);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn every_length_is_sealed_alike_by_both_libraries_and_comes_back(
        length in 1_usize..200_000, seed in "[a-z]{4}", epoch in 1_u32..=2,
    ) {
        let (_, keys) = keys();
        let data = stream(&seed, length);
        let object = seal_chunk(&data, epoch, &keys);
        proptest::prop_assert_eq!(&object, &account("alice").chunk(epoch, &data));
        let id = id_of(&object);
        let mut buffer = object;
        let opened = photosync_protocol::format::chunk::open(&mut buffer, &id, &keys);
        proptest::prop_assert_eq!(opened, Ok(&data[..]));
        proptest::prop_assert_eq!(third::sha256(&data), id_of(&data).0);
    }
}
