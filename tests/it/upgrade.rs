//! Data folders as older servers left them: this one opens each, keeps all of it and goes on from there.
//!
//! `tests/fixtures/data-folders/schema-N.tar.gz` was written by the last server of schema N. How to make the next one, before
//! a migration is added: `PHOTOSYNC_SERVER_BIN=that-server PHOTOSYNC_FIXTURE=schema-N.tar.gz cargo test -p
//! photosync-tests --test it -- --ignored upgrade::writes`.

use std::fs;
use std::path::Path;
use std::process::Command;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::{Body, Request};
use photosync_tests::relay::{chunk_id, opaque_bytes};
use sha2::{Digest, Sha256};

use crate::stand::{PASSWORD, Person, Stand, account_uuid, is_duplicate};
use crate::sync::{Native, json_of};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/data-folders");
const ADA: &str = "ada@example.org";
/// Disabled by the operator.
const BEN: &str = "ben@example.org";
/// Listed name, name it was sent with, seed and length of its bytes.
const ORIGINALS: [(&str, &str, u64, usize); 4] = [
    ("IMG_0001.jpg", "IMG_0001.jpg", 1, 3000),
    ("IMG_0001 (2).jpg", "IMG_0001.jpg", 2, 3000),
    ("🏖 Strand.jpg", "🏖 Strand.jpg", 3, 1),
    // No disk keeps this name as it is.
    ("CON: 1?.jpg", "CON: 1?.jpg", 4, 70_000),
];
/// What a device says of one more file, on the native wire.
const CLAIMED: (&str, &str, u64) = ("claimed.jpg", "Urlaub/Süden", 5);
/// Stands in for a sealed chunk of version 1, and of version 2.
const CHUNKS: (u64, u64) = (6, 7);
const SEALED_MANIFEST: &str = "sealed by a phone";

/// Runs `tar WORDS`, relative to `folder`.
fn tar(words: &[&str], folder: &Path) {
    let status = Command::new("tar").arg("-C").arg(folder).args(words).status();
    assert!(status.expect("tar").success(), "tar {words:?}");
}

fn encoded(name: &str) -> String {
    photosync_tests::names::encode_uri_component(name)
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn sealed_object() -> Vec<u8> {
    let mut object = b"PSYNC2C\n\x01\0\0\0".to_vec();
    object.extend(opaque_bytes(CHUNKS.1, 5000));
    object
}

/// What a server knows of the wires.
fn has_route(stand: &Stand, path: &str) -> bool {
    stand.send(Request::new("GET", path)).status() != 404
}

#[test]
#[ignore = "run by hand with an older server, see above"]
fn writes_what_an_older_server_leaves() {
    let archive = std::env::var("PHOTOSYNC_FIXTURE").expect("PHOTOSYNC_FIXTURE");
    let archive = Path::new(FIXTURES).join(archive);
    let stand = Stand::new(&[("PHOTOSYNC_RELAY_ENABLED", "true")]);
    let ada = stand.person_called(ADA);
    for (listed, sent, seed, length) in ORIGINALS {
        let answer = ada.put_raw(encoded(sent), &opaque_bytes(seed, length));
        assert_eq!((answer.status(), json_of(&answer)["filename"].as_str()), (200, Some(listed)));
    }
    let chunk = opaque_bytes(CHUNKS.0, 4000);
    assert_eq!(ada.put_chunk(&chunk_id(&chunk), &chunk).status(), 200);
    assert_eq!(ada.put_manifest("manifest-1", SEALED_MANIFEST).status(), 200);
    let ben = stand.person_called(BEN);
    ben.keep("bens.jpg", &opaque_bytes(8, 200));
    if has_route(&stand, "/api/v2/server") {
        let device = Native::sign_in(&stand, &ada);
        let (name, folder, seed) = CLAIMED;
        let headers = [("PhotoSync-Folder", encoded(folder)), ("PhotoSync-Favourite", "1".into())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = device.put(name, &headers, &opaque_bytes(seed, 600));
        assert_eq!(answer.status(), 201, "{}", answer.text());
        if has_route(&stand, "/api/v2/relay/heads") {
            let object = sealed_object();
            let path = format!("/relay/objects/{}", digest(&object));
            let answer = device.send(device.request("PUT", &path).body(Body::Bytes(&object)));
            assert_eq!(answer.status(), 201, "{}", answer.text());
        }
    }
    assert_eq!(stand.command(&["user", "disable", BEN], "").code, 0);
    stand.stop();
    let without = ["--exclude=secrets", "--exclude=run.json"];
    let same = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner"];
    let made = ["-czf", archive.to_str().expect("UTF-8"), "."];
    tar(&[&without[..], &same, &made].concat(), stand.data());
}

#[test]
fn a_data_folder_of_every_older_schema_starts_and_has_lost_nothing() {
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/src/db/migrations");
    let newest = fs::read_dir(migrations).expect("the migrations").count();
    for schema in 1..newest {
        let archive = format!("{FIXTURES}/schema-{schema}.tar.gz");
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a data folder");
        tar(&["-xzf", &archive], &data);
        let stand = Stand::start_in(folder, data, &[]);
        println!("upgrade: from schema {schema} to {newest}");
        require_everything(&stand, schema);
        stand.stop();
        stand.start();
        require_everything(&stand, schema);
        let copies = fs::read_dir(stand.data()).expect("the data folder");
        let copies = copies.filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with(&format!("photosync.before-{newest}-"))
        });
        assert_eq!(copies.count(), 1, "one copy of the database from before, for the way back");
    }
}

/// Everything that the older server had acknowledged, over the wires it was given by and those that came later.
fn require_everything(stand: &Stand, schema: usize) {
    let check = stand.command(&["check", "--read"], "");
    assert_eq!(check.code, 0, "schema {schema}: {}{}", check.stdout, check.stderr);
    let ada = signed_in(stand, ADA);
    let (claimed_name, folder, claimed_seed) = CLAIMED;
    let mut expected: Vec<(String, Vec<u8>)> = ORIGINALS
        .map(|(listed, _, seed, length)| (listed.to_owned(), opaque_bytes(seed, length)))
        .to_vec();
    if schema >= 2 {
        expected.push((claimed_name.to_owned(), opaque_bytes(claimed_seed, 600)));
    }
    let library = ada.library();
    assert_eq!(library.len(), expected.len(), "schema {schema}");
    for (name, bytes) in &expected {
        assert_eq!(library.get(name), Some(bytes), "schema {schema}: {name}");
    }
    let again = ada.put_raw("again.jpg", &expected[0].1);
    assert!(is_duplicate(&again), "schema {schema}: {}", again.text());
    let chunk = opaque_bytes(CHUNKS.0, 4000);
    let answer = ada.get(&format!("/api/cloud/chunks/{}", chunk_id(&chunk)));
    assert_eq!((answer.status(), answer.body), (200, chunk), "schema {schema}");
    let answer = ada.get("/api/cloud/manifests/manifest-1");
    assert!(answer.text().contains(SEALED_MANIFEST), "schema {schema}: {}", answer.text());

    let device = Native::sign_in(stand, &ada);
    let assets = json_of(&device.get("/library/assets?limit=100"));
    assert_eq!(assets["total"], expected.len(), "schema {schema}");
    if schema >= 2 {
        let assets = assets["assets"].as_array().expect("assets");
        let claimed = assets.iter().find(|asset| asset["name"] == claimed_name);
        let claims = &claimed.expect("the file with claims")["claims"];
        assert_eq!((claims["folder"].as_str(), &claims["favourite"]), (Some(folder), &true.into()));
    }
    if schema >= 3 {
        let object = sealed_object();
        let answer = device.get(&format!("/relay/objects/{}", digest(&object)));
        assert_eq!((answer.status(), answer.body), (200, object), "schema {schema}");
    }

    let ben = stand.login(BEN, PASSWORD, &phone_device_uuid(BEN, PASSWORD));
    assert!(ben.status() >= 400, "schema {schema}: disabled before, disabled now");
}

fn signed_in(stand: &Stand, email: &str) -> Person {
    let device_uuid = phone_device_uuid(email, PASSWORD);
    let answer = stand.login(email, PASSWORD, &device_uuid);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let token = crate::stand::text_of(&answer, "token");
    let folder = stand.uploads().join(account_uuid(email, 1));
    Person { address: stand.address(), email: email.to_owned(), device_uuid, token, folder }
}
