//! The blind relay on the native wire: what is kept, what is refused, who may do what. Sealed bytes are opaque to the
//! server, so random ones behind a clear head stand in for them.

mod chains;
mod harm;
mod sweeps;

use std::collections::BTreeMap;
use std::path::PathBuf;

use photosync_tests::http::{Answer, Body, Request};
use photosync_tests::relay::{chunk_id, opaque_bytes};
use serde_json::json;

use super::{Native, code_of, json_of};
use crate::stand::{Person, Stand, account_uuid, files_below, text_of};

/// An object of version 2 as it looks from outside.
fn object(kind: char, seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = format!("PSYNC2{kind}\n").into_bytes();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend(opaque_bytes(seed, length));
    bytes
}

/// A keyring that says its number.
fn keyring(sequence: u64, seed: u64) -> Vec<u8> {
    let mut bytes = object('K', seed, 300);
    bytes[12..20].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

fn raw_id(object: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(object).into()
}

/// Each object after its length.
fn framed<'a>(objects: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut body = Vec::new();
    for object in objects {
        body.extend_from_slice(&u32::try_from(object.len()).expect("short").to_le_bytes());
        body.extend_from_slice(object);
    }
    body
}

/// What an answer in the same form holds; `None` for an object that is not there.
fn unframed(mut body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut objects = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        match u32::from_le_bytes(*length) {
            u32::MAX => (objects.push(None), body = rest).1,
            length => {
                let (object, rest) = rest.split_at(length as usize);
                objects.push(Some(object.to_vec()));
                body = rest;
            }
        }
    }
    objects
}

/// One account with one device, and where its sealed objects lie.
struct Owner {
    person: Person,
    phone: Native,
    folder: PathBuf,
}

impl Owner {
    fn of(stand: &Stand) -> Owner {
        let person = stand.person();
        let phone = Native::sign_in(stand, &person);
        let folder = stand.data().join("relay").join(account_uuid(&person.email, 1));
        Owner { person, phone, folder }
    }

    /// The same device with nothing but an upload-only token.
    fn uploader(&self) -> Native {
        let path = format!("/devices/{}/upload-token", self.phone.device_id);
        let answer = self.phone.send(self.phone.request("POST", &path).body(Body::Bytes(b"")));
        Native { access: text_of(&answer, "upload_token"), ..self.phone.clone() }
    }

    fn path_of(&self, id: &str) -> PathBuf {
        self.folder.join("chunks").join(&id[..2]).join(id)
    }

    /// Files of sealed objects, whole or arriving.
    fn files(&self) -> usize {
        let is_object = |path: &&PathBuf| !path.ends_with(".chains.jsonl");
        files_below(&self.folder).iter().filter(is_object).count()
    }

    fn used_bytes(&self) -> u64 {
        json_of(&self.person.get("/api/cloud/usage"))["usedBytes"].as_u64().expect("a number")
    }
}

impl Native {
    fn send_bytes(&self, method: &str, path: &str, bytes: &[u8]) -> Answer {
        self.send(self.request(method, path).body(Body::Bytes(bytes)))
    }

    fn put_object(&self, object: &[u8]) -> Answer {
        self.send_bytes("PUT", &format!("/relay/objects/{}", chunk_id(object)), object)
    }

    fn get_object(&self, id: &str) -> Answer {
        self.send(self.request("GET", &format!("/relay/objects/{id}")))
    }

    fn put_batch<'a>(&self, objects: impl IntoIterator<Item = &'a Vec<u8>>) -> Answer {
        self.send_bytes("POST", "/relay/objects", &framed(objects))
    }

    /// One byte for each object: 0 held, 1 missing.
    fn have<'a>(&self, objects: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
        let ids: Vec<u8> = objects.into_iter().flat_map(|object| raw_id(object)).collect();
        let answer = self.send_bytes("POST", "/relay/have", &ids);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.body
    }
}

#[test]
fn an_object_is_kept_once_and_comes_back_whole_or_in_part() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let object = object('C', 1, 100_000);
    let id = chunk_id(&object);
    assert_eq!(owner.phone.have([&object]), [1]);
    let new = owner.phone.put_object(&object);
    assert_eq!(new.status(), 201, "{}", new.text());
    assert_eq!(json_of(&new), json!({"ids": [id], "known": 0}));
    let again = owner.phone.put_object(&object);
    assert_eq!((again.status(), json_of(&again)), (200, json!({"ids": [id], "known": 1})));
    assert_eq!(owner.phone.have([&object]), [0]);
    assert_eq!((owner.files(), owner.used_bytes()), (1, object.len() as u64));
    let whole = owner.phone.get_object(&id);
    assert_eq!((whole.status(), &whole.body), (200, &object));
    assert_eq!(whole.header("cache-control"), Some("no-store"));
    assert_eq!(whole.header("etag"), Some(format!("\"{id}\"").as_str()));
    let path = format!("/relay/objects/{}", id.to_uppercase());
    let part = owner.phone.send(owner.phone.request("GET", &path).header("Range", "bytes=10-19"));
    assert_eq!((part.status(), part.body.as_slice()), (206, &object[10..20]));
    let head = owner.phone.send(owner.phone.request("HEAD", &path));
    assert_eq!((head.status(), head.body.len()), (200, 0));
    // The old clients' store is the same one: what one wire brought, the other reads.
    assert_eq!(owner.person.get(&format!("/api/cloud/chunks/{id}")).body, object);
    stand.require_agreement();
}

#[test]
fn a_batch_is_kept_in_order_with_what_was_there_already() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let mut objects: Vec<Vec<u8>> =
        (0..40).map(|seed| object(['C', 'M'][seed % 2], seed as u64, 50 + seed)).collect();
    objects.push(object('C', 99, 3 << 20));
    objects.push(objects[0].clone());
    assert_eq!(owner.phone.put_object(&objects[7]).status(), 201);
    let stored = owner.phone.put_batch(&objects);
    assert_eq!(stored.status(), 200, "{}", stored.text());
    let ids: Vec<String> = objects.iter().map(|object| chunk_id(object)).collect();
    assert_eq!(json_of(&stored), json!({"ids": ids, "known": 2}));
    assert_eq!(owner.phone.have(&objects), vec![0; objects.len()]);
    assert_eq!(owner.files(), 41, "each object once, and nothing that is still arriving");
    let asked: Vec<u8> = objects.iter().flat_map(|object| raw_id(object)).chain([7; 32]).collect();
    let fetched = owner.phone.send_bytes("POST", "/relay/fetch", &asked);
    assert_eq!(fetched.status(), 200);
    assert_eq!(fetched.header("cache-control"), Some("no-store"));
    let expected: Vec<_> = objects.iter().cloned().map(Some).chain([None]).collect();
    assert!(unframed(&fetched.body) == expected, "other bytes, or another order");
    let sum: usize = objects[..41].iter().map(Vec::len).sum();
    assert_eq!(owner.used_bytes(), sum as u64);
    stand.require_agreement();
}

#[test]
fn the_list_names_every_object_once_in_order_of_ids() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let old = opaque_bytes(5, 70);
    assert_eq!(owner.person.put_chunk(&chunk_id(&old), &old).status(), 200);
    let objects: Vec<Vec<u8>> = (0..25).map(|seed| object('C', 500 + seed, 60)).collect();
    assert_eq!(owner.phone.put_batch(&objects).status(), 200);
    let mut expected: BTreeMap<String, (u64, Option<&str>)> = BTreeMap::new();
    expected.extend(objects.iter().map(|o| (chunk_id(o), (o.len() as u64, Some("C")))));
    expected.insert(chunk_id(&old), (70, None));
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/relay/objects?limit=10&after={after}");
        let answer = owner.phone.send(owner.phone.request("GET", &path));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let page = json_of(&answer)["objects"].as_array().expect("a list").clone();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = last["id"].as_str().expect("an id").to_owned();
        listed.extend(page);
    }
    let listed: Vec<_> = listed
        .iter()
        .map(|row| {
            (row["id"].as_str().expect("an id"), row["size_bytes"].as_u64(), row["kind"].as_str())
        })
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(id, (size, kind))| (id.as_str(), Some(*size), *kind)).collect();
    assert_eq!(listed, expected);
    for wrong in ["?limit=0", "?limit=x", "?after=xyz"] {
        let answer =
            owner.phone.send(owner.phone.request("GET", &format!("/relay/objects{wrong}")));
        assert_eq!(answer.status(), 400, "{wrong}");
    }
}

#[test]
fn bytes_that_are_not_what_they_are_called_or_not_sealed_leave_nothing() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let sealed = object('C', 11, 1000);
    let other = chunk_id(&object('C', 12, 1000));
    let wrong = owner.phone.send_bytes("PUT", &format!("/relay/objects/{other}"), &sealed);
    assert_eq!((wrong.status(), code_of(&wrong).as_str()), (400, "digest_mismatch"));
    assert_eq!(text_of(&wrong, "received"), chunk_id(&sealed));
    let photo = b"\xff\xd8\xff\xe0 a photo in clear".to_vec();
    assert_eq!(owner.phone.put_object(&photo).status(), 400);
    assert_eq!(owner.phone.put_object(b"").status(), 400);
    assert_eq!(owner.phone.send_bytes("PUT", "/relay/objects/xyz", &sealed).status(), 400);
    let large = 24 * 1024 * 1024 + 1;
    let path = format!("/relay/objects/{other}");
    let mut reader = std::io::Read::take(std::io::repeat(1), large);
    let body = Body::Sized { length_bytes: large, reader: &mut reader };
    let answer = owner.phone.send(owner.phone.request("PUT", &path).body(body));
    assert_eq!((answer.status(), code_of(&answer).as_str()), (413, "too_large"));
    let mixed = owner.phone.put_batch([&sealed, &photo]);
    assert_eq!((mixed.status(), json_of(&mixed)["index"].as_u64()), (400, Some(1)));
    assert_eq!(owner.phone.have([&sealed]), [1]);
    owner.require_nothing();
}

impl Owner {
    /// Nothing is kept, counted or half-done; the last may take a moment to be removed.
    fn require_nothing(&self) {
        crate::stand::wait_until("no file is left", || self.files() == 0);
        assert_eq!(self.used_bytes(), 0);
        let listed = self.phone.send(self.phone.request("GET", "/relay/objects"));
        assert_eq!(json_of(&listed), json!({"objects": []}));
    }
}

#[test]
fn a_batch_that_breaks_off_or_lies_about_lengths_stores_nothing() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let objects: Vec<Vec<u8>> = (0..5).map(|seed| object('C', 700 + seed, 5000)).collect();
    let whole = framed(&objects);
    for cut in [2, 4, 3000, whole.len() - 1] {
        let answer = owner.phone.send_bytes("POST", "/relay/objects", &whole[..cut]);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (400, "body_incomplete"), "{cut}");
    }
    for length in [0, 24 * 1024 * 1024 + 1, u32::MAX] {
        let lie = [whole.as_slice(), &length.to_le_bytes(), b"PSYNC2C\n"].concat();
        let answer = owner.phone.send_bytes("POST", "/relay/objects", &lie);
        assert_eq!((answer.status(), json_of(&answer)["index"].as_u64()), (400, Some(5)));
    }
    let many: Vec<Vec<u8>> = (0..1001).map(|seed| object('C', 9000 + seed, 20)).collect();
    assert_eq!(owner.phone.put_batch(&many).status(), 400);
    // The client goes away in the middle.
    let head = format!(
        "POST /api/v2/relay/objects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        owner.phone.access,
        whole.len()
    );
    let mut stream = std::net::TcpStream::connect(stand.address()).expect("a connection");
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("a sent head");
    std::io::Write::write_all(&mut stream, &whole[..12_000]).expect("a sent beginning");
    drop(stream);
    owner.require_nothing();
    let answer = owner.phone.put_batch([]);
    assert_eq!(json_of(&answer), json!({"ids": [], "known": 0}), "an empty batch is one");
}

#[test]
fn asking_in_odd_ways_is_refused() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    for route in ["/relay/have", "/relay/fetch"] {
        assert_eq!(owner.phone.send_bytes("POST", route, &[0; 33]).status(), 400, "{route}");
        let empty = owner.phone.send_bytes("POST", route, b"");
        assert_eq!((empty.status(), empty.body.len()), (200, 0), "{route}");
    }
    assert_eq!(owner.phone.send_bytes("POST", "/relay/fetch", &vec![0; 32 * 1001]).status(), 413);
    let most = vec![0; 32 * 100_000];
    assert_eq!(owner.phone.send_bytes("POST", "/relay/have", &most).body, vec![1; 100_000]);
    assert_eq!(owner.phone.send_bytes("POST", "/relay/have", &vec![0; 32 * 100_001]).status(), 413);
    let nobody = Request::new("POST", "/api/v2/relay/have").body(Body::Bytes(&[0; 32]));
    assert_eq!(stand.send(nobody).status(), 401);
}
