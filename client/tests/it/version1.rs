//! A cloud backup as the published desktop client makes it, through the real server and from a copy of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use photosync_client::connection::Connection;
use photosync_client::profile::Profile;
use photosync_client::report::Quiet;
use photosync_protocol::account::legacy_device_uuids;
use photosync_protocol::crypto::Key;
use photosync_protocol::digest::Digest;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::v1::{
    CHUNK_BYTES, Manifest, desktop_manifest_id, desktop_master_key, seal_chunk, wrap_file_key,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::real::{EMAIL, PASSWORD, Server, binary, last_event, login, spawn, start};
use crate::relay::{noise, read_tree};

/// One photo, boxed as the desktop client does it.
struct Boxed {
    manifest_id: String,
    sealed: String,
    chunks: Vec<(Digest, Vec<u8>)>,
}

fn boxed(name: &str, bytes: &[u8], is_hashed: bool, master: &Key, seed: u8) -> Boxed {
    let (key, base, nonce) = (Key::new([seed; 32]), [seed; 16], [seed; 24]);
    let sealed = |(index, part): (usize, &[u8])| {
        let chunk = seal_chunk(part, &key, &base, index as u64);
        (id_of(&chunk), chunk)
    };
    let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES).enumerate().map(sealed).collect();
    use base64::Engine;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let manifest = Manifest {
        v: 1,
        asset_id: format!("desktop:/home/ada/{name}"),
        filename: Some(name.to_owned()),
        media_type: Some("photo".to_owned()),
        original_size: Some(bytes.len() as u64),
        creation_time: Some(1_500_000_000_000.0),
        exif_capture_time: None,
        exif_make: None,
        exif_model: None,
        base_nonce16: base64(&base),
        wrap_nonce: base64(&nonce),
        wrapped_file_key: wrap_file_key(&key, master, &nonce),
        chunk_ids: chunks.iter().map(|(id, _)| *id).collect(),
        chunk_sizes: bytes.chunks(CHUNK_BYTES).map(|part| part.len() as u64).collect(),
        file_hash: is_hashed.then(|| id_of(bytes)),
        perceptual_hash: None,
    };
    Boxed {
        manifest_id: desktop_manifest_id(name, name, bytes.len() as u64),
        sealed: manifest.seal(master, &[seed ^ 0xff; 24]).unwrap(),
        chunks,
    }
}

/// What lay on the old computer. Names are text from it: some lead nowhere good.
fn photos() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("IMG_0001.JPG", noise(1, 300_000)),
        ("film.mp4", noise(2, 2 * CHUNK_BYTES + 17)),
        ("../../escape.jpg", noise(3, 5000)),
    ])
}

fn old_backup(master: &Key) -> Vec<Boxed> {
    let numbered = photos().into_iter().zip(1u8..);
    numbered.map(|((name, bytes), seed)| boxed(name, &bytes, seed != 2, master, seed)).collect()
}

/// Posts a backup as the old client does: signs in, sends chunks, then manifests.
async fn send(profile: &Path, backup: &[Boxed]) {
    let (report, stop) = (Arc::new(Quiet), CancellationToken::new());
    let native = Connection::signed_in(&Profile::at(profile), report, stop).unwrap();
    let old = native.without_session();
    let device = legacy_device_uuids(EMAIL, PASSWORD)[1].to_string();
    let body = json!({"email": EMAIL, "password": PASSWORD, "device_uuid": device});
    let answer = old.call(|old| old.request_old(Method::POST, "/login").json(&body)).await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    let request = |old: &Connection, route: &str| {
        old.request_old(Method::POST, route).bearer_auth(token).header("X-Device-UUID", &device)
    };
    for one in backup {
        for (id, chunk) in &one.chunks {
            let sent = old.call(|old| {
                let request = request(old, "/cloud/chunks").header("X-Chunk-Id", id.to_string());
                request.header("Content-Type", "application/octet-stream").body(chunk.clone())
            });
            sent.await.unwrap();
        }
        let body = json!({"manifestId": one.manifest_id, "encryptedManifest": one.sealed, "chunkCount": one.chunks.len()});
        old.call(|old| request(old, "/cloud/manifests").json(&body)).await.unwrap();
    }
}

/// Writes a backup into a folder, as somebody copies it from a server: the files of the manifests, and of the chunks of each.
fn write_copy(copy: &Path, backup: &[Boxed]) -> (Vec<PathBuf>, Vec<Vec<PathBuf>>) {
    fs::create_dir_all(copy.join("chunks")).unwrap();
    fs::create_dir_all(copy.join("manifests")).unwrap();
    let write = |one: &Boxed| {
        let text = json!({"manifestId": one.manifest_id, "encryptedManifest": one.sealed});
        let file = copy.join("manifests").join(format!("{}.json", one.manifest_id));
        fs::write(&file, text.to_string()).unwrap();
        let chunk = |(id, chunk): &(Digest, Vec<u8>)| {
            let path = copy.join("chunks").join(id.to_string());
            fs::write(&path, chunk).unwrap();
            path
        };
        (file, one.chunks.iter().map(chunk).collect())
    };
    backup.iter().map(write).unzip()
}

/// Three photos as the desktop client keeps them, in a folder; the files of their manifests, and of the chunks of each.
pub fn write_old_backup(copy: &Path, master: &Key) -> (Vec<PathBuf>, Vec<Vec<PathBuf>>) {
    write_copy(copy, &old_backup(master))
}

fn serve(disk: &Path) -> Server {
    let server = start(&binary(), &disk.join("data"));
    login(&server, &disk.join("profile"));
    server
}

/// Runs it with these lines on standard input; the exit code, the summary or error, and the files that failed.
fn restore(profile: &Path, typed: &str, arguments: &[&str]) -> (Option<i32>, Value, Vec<Value>) {
    use std::io::Write;
    let arguments = [&["relay", "restore", "--v1", "--json"], arguments].concat();
    let mut child = spawn(profile, &arguments);
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = lines.filter(|line| line["event"] == "file_failed").collect();
    (output.status.code(), last_event(&output), failed)
}

/// Everything as it was; the name that led out of the folder is one in it.
fn expected() -> BTreeMap<String, Vec<u8>> {
    let name = |name: &str| name.replace("../../", "_.._").replace("_.._escape", "_.._.._escape");
    photos().into_iter().map(|(at, bytes)| (name(at), bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_backup_of_the_old_desktop_client_comes_back_from_the_real_server() {
    let disk = tempfile::tempdir().unwrap();
    let (profile, back) = (disk.path().join("profile"), disk.path().join("deep/back"));
    let _server = serve(disk.path());
    send(&profile, &old_backup(&desktop_master_key(EMAIL, PASSWORD))).await;
    let to = back.to_str().unwrap();
    let typed = format!("{PASSWORD}\n");

    let (code, error, _) = restore(&profile, "not the password\n", &[to]);
    assert_eq!(code, Some(77), "{error}");
    // Signed in, but with another password than the backup was made with.
    let two = format!("{PASSWORD}\nan older one\n");
    let (code, error, _) = restore(&profile, &two, &[to, "--old-password"]);
    assert_eq!((code, error["code"].as_str()), (Some(77), Some("wrong_secret")), "{error}");
    assert!(error["reason"].as_str().unwrap().contains("none of the 3 photos"), "{error}");
    assert!(!back.exists(), "nothing is made before anything opens");

    let (code, summary, failed) = restore(&profile, &typed, &[to]);
    assert_eq!((code, &summary["restored_files"]), (Some(0), &json!(3)), "{summary} {failed:?}");
    let restored = read_tree(&back);
    assert_eq!(restored.keys().collect::<Vec<_>>(), expected().keys().collect::<Vec<_>>());
    assert!(restored == expected(), "other bytes");
    let changed = fs::metadata(back.join("film.mp4")).unwrap().modified().unwrap();
    let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_millis(), 1_500_000_000_000);
    // Again: nothing is written twice, also the one whose manifest has no digest.
    let (code, summary, _) = restore(&profile, &typed, &[to]);
    assert_eq!((code, &summary["present_files"]), (Some(0), &json!(3)), "{summary}");
    assert_eq!(read_tree(&back).len(), 3);
}

#[test]
fn from_a_copy_of_its_files_a_damaged_or_missing_piece_costs_its_photo_and_is_named() {
    let disk = tempfile::tempdir().unwrap();
    let (copy, back) = (disk.path().join("copy"), disk.path().join("back"));
    let profile = disk.path().join("nobody signed in");
    let backup = old_backup(&desktop_master_key(EMAIL, "an old password"));
    write_copy(&copy, &backup);
    fs::write(copy.join("quota.json"), "{}").unwrap();
    let (from, to) = (copy.to_str().unwrap(), back.to_str().unwrap());
    let arguments = ["--dir", from, "--email", " ADA@example.org", to];

    let (code, error, _) = restore(&profile, "an old password\n", &["--dir", from, to]);
    assert_eq!(code, Some(64), "whose it is has to be said: {error}");
    let (code, error, _) = restore(&profile, "another one\n", &arguments);
    assert_eq!((code, error["code"].as_str()), (Some(77), Some("wrong_secret")), "{error}");
    assert!(!back.exists());

    // One bit of the film's second piece; and the other photo's manifest.
    let film = backup.iter().find(|one| one.chunks.len() == 3).unwrap();
    let (bad, piece) = &film.chunks[1];
    let mut flipped = piece.clone();
    flipped[1000] ^= 1;
    fs::write(copy.join("chunks").join(bad.to_string()), flipped).unwrap();
    let lost = backup.iter().find(|one| one.chunks[0].1.len() == 5016).unwrap();
    let file = copy.join("manifests").join(format!("{}.json", lost.manifest_id));
    fs::write(
        &file,
        json!({"encryptedManifest": lost.sealed.replace("Box\":\"", "Box\":\"AAAA")}).to_string(),
    )
    .unwrap();
    let (code, summary, failed) = restore(&profile, "an old password\n", &arguments);
    assert_eq!((code, &summary["restored_files"]), (Some(4), &json!(1)), "{summary}");
    assert_eq!((&summary["failed_files"], failed.len()), (&json!(2), 2), "{failed:?}");
    let said =
        |path: &str| failed.iter().find(|line| line["path"] == path).unwrap()["reason"].to_string();
    assert!(said("film.mp4").contains(&bad.to_string()), "{failed:?}");
    assert!(said(&format!("photo {}", lost.manifest_id)).contains("manifest"), "{failed:?}");
    assert_eq!(read_tree(&back).keys().collect::<Vec<_>>(), ["IMG_0001.JPG"]);

    fs::remove_file(copy.join("chunks").join(bad.to_string())).unwrap();
    let (_, _, failed) = restore(&profile, "an old password\n", &arguments);
    assert!(
        failed.iter().any(|line| line["reason"].to_string().contains("is missing")),
        "{failed:?}"
    );

    // A folder that holds none is no wrong password.
    fs::remove_dir_all(copy.join("manifests")).unwrap();
    let (code, error, _) = restore(&profile, "an old password\n", &arguments);
    assert_eq!((code, error["code"].as_str()), (Some(64), Some("nothing")), "{error}");
}
