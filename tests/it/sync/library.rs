//! What is missing, what is settled, listings, changes, deleting and receipts, from outside.

use std::fs;

use photosync_tests::http::{Answer, Body};
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Native, code_of, json_of};
use crate::stand::{Person, Stand, text_of, wait_until};

const NEGENTROPY: &str = "application/vnd.photosync.negentropy";

/// What a byte of `missing` says.
const HELD: u8 = 0;
const MISSING: u8 = 1;
const DELETED: u8 = 2;
const WANTED: u8 = 3;

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Count and sum of these files, added up here a second time.
fn tally_of(files: &[&[u8]]) -> Value {
    let mut sum = [0_u8; 32];
    for file in files {
        let mut carry = 0;
        for (total, byte) in sum.iter_mut().zip(digest_of(file)).rev() {
            let added = u16::from(*total) + u16::from(byte) + carry;
            *total = added.to_be_bytes()[1];
            carry = added >> 8;
        }
    }
    json!({"count": files.len(), "sum": hex::encode(sum)})
}

impl Native {
    pub(super) fn post_bytes(&self, path: &str, kind: &str, bytes: &[u8]) -> Answer {
        let request = self.request("POST", path).header("Content-Type", kind);
        self.send(request.body(Body::Bytes(bytes)))
    }

    pub(super) fn post_json(&self, path: &str, json: &serde_json::Value) -> Answer {
        self.post_bytes(path, "application/json", json.to_string().as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path))
    }

    /// What the server says about these files.
    fn missing(&self, files: &[&[u8]]) -> Vec<u8> {
        let asked: Vec<u8> = files.iter().flat_map(|bytes| digest_of(bytes)).collect();
        let answer =
            self.post_bytes("/library/missing", "application/vnd.photosync.digests", &asked);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.body
    }

    /// Status of a sync by a client that has exactly these files.
    fn sync(&self, files: &[&[u8]]) -> u16 {
        self.post_json("/library/sync", &tally_of(files)).status()
    }

    /// Sends a file that is new.
    pub(super) fn keep(&self, name: &str, bytes: &[u8]) {
        let answer = self.put(name, &[], bytes);
        assert_eq!(answer.status(), 201, "{}", answer.text());
    }
}

#[test]
fn nothing_to_do_costs_one_question_of_one_kilobyte() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let laptop = Native::sign_in(&stand, &alice);
    let (a, b) = (opaque_bytes(9101, 3000), opaque_bytes(9102, 3000));
    phone.keep("a.jpg", &a);
    phone.keep("b.jpg", &b);
    assert_eq!(phone.sync(&[&a, &b]), 204, "what a device sent is settled for it");
    assert_eq!(phone.sync(&[&a]), 200, "a device that has less is told so");
    // Another device has its own set: nothing of the phone's counts for it.
    assert_eq!(laptop.sync(&[]), 204);
    assert_eq!(laptop.sync(&[&b]), 200);
    assert_eq!(laptop.missing(&[&b]), [HELD]);
    assert_eq!(laptop.sync(&[&b]), 204, "what was asked for and is held is settled");
    let body = tally_of(&[&a, &b]).to_string();
    let answer = phone.post_bytes("/library/sync", "application/json", body.as_bytes());
    let headers = answer.head.headers.iter();
    let head: usize = headers.map(|(name, value)| name.len() + value.len() + 4).sum();
    assert_eq!(answer.status(), 204);
    assert!(answer.body.is_empty());
    assert!(head + body.len() + 400 < 1024, "{head} bytes of answer, {} of body", body.len());
}

#[test]
fn what_is_missing_is_answered_in_the_order_of_the_question() {
    let stand = Stand::shared();
    let alice = stand.person();
    let bob = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let (held, other) = (opaque_bytes(9111, 3000), opaque_bytes(9112, 3000));
    phone.keep("a.jpg", &held);
    bob.keep("b.jpg", &other);
    let answers = phone.missing(&[&other, &held, &other]);
    assert_eq!(answers, [MISSING, HELD, MISSING], "nothing of somebody else's library shows");
    // More than one step of the database, with the one that is held at the end.
    let mut asked: Vec<u8> = (0..5000_u32).flat_map(|n| digest_of(&n.to_be_bytes())).collect();
    asked.extend(digest_of(&held));
    let answer = phone.post_bytes("/library/missing", "application/octet-stream", &asked);
    assert_eq!(answer.body.len(), 5001);
    assert_eq!(answer.body.iter().filter(|byte| **byte == MISSING).count(), 5000);
    assert_eq!(answer.body.last(), Some(&HELD));
    assert_eq!(phone.sync(&[&held]), 204, "what is missing settles nothing");
}

#[test]
fn a_question_that_is_no_list_of_digests_is_refused() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    for path in ["/library/missing", "/library/forget"] {
        let odd = phone.post_bytes(path, "application/octet-stream", &[0; 33]);
        assert_eq!((odd.status(), code_of(&odd).as_str()), (400, "bad_request"), "{path}");
        let long = phone.post_bytes(path, "application/octet-stream", &vec![0; 32 * 100_001]);
        assert_eq!((long.status(), code_of(&long).as_str()), (413, "too_large"), "{path}");
    }
    let empty = phone.post_bytes("/library/missing", "application/octet-stream", b"");
    assert_eq!((empty.status(), empty.body.len()), (200, 0));
    for message in
        [&b""[..], b"\x61\x00\x05\x01", b"\xffnonsense", &[0x61, 0, 0, 2, 0xff, 0xff, 0x7f]]
    {
        let answer = phone.post_bytes("/library/sync", NEGENTROPY, message);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (400, "bad_request"));
    }
    let nobody = stand.post_json("/api/v2/library/sync", &json!({}));
    assert_eq!((nobody.status(), code_of(&nobody).as_str()), (401, "unauthorised"));
}

#[test]
fn a_device_that_lost_its_files_learns_what_is_settled_and_can_forget_it() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let (a, b) = (opaque_bytes(9121, 3000), opaque_bytes(9122, 3000));
    phone.keep("a.jpg", &a);
    phone.keep("b.jpg", &b);
    // The first message of a client that has nothing: one range over everything, an empty list of ids.
    let answer = phone.post_bytes("/library/sync", NEGENTROPY, &[0x61, 0, 0, 2, 0]);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some(NEGENTROPY));
    let mut ids = [digest_of(&a), digest_of(&b)];
    ids.sort_unstable();
    assert_eq!(answer.body, [&[0x61, 0, 0, 2, 2][..], &ids.concat()].concat());
    let forgotten = phone.post_bytes("/library/forget", "application/octet-stream", &ids.concat());
    assert_eq!(forgotten.status(), 204);
    assert_eq!(phone.sync(&[]), 204);
    assert_eq!(phone.missing(&[&a, &b]), [HELD; 2], "nothing is deleted");
}

#[test]
fn after_an_old_client_emptied_the_library_no_device_believes_that_all_is_safe() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9131, 3000);
    phone.keep("a.jpg", &bytes);
    assert_eq!(phone.sync(&[&bytes]), 204);
    assert_eq!(alice.post("/api/files/purge").status(), 200);
    assert_eq!(phone.sync(&[&bytes]), 200);
    assert_eq!(phone.missing(&[&bytes]), [MISSING]);
    assert_eq!(phone.put("a.jpg", &[], &bytes).status(), 201);
    assert_eq!(phone.sync(&[&bytes]), 204);
    alice.require_library(&[("a.jpg", &bytes)]);
}

#[test]
fn a_lost_file_is_wanted_by_its_device_and_healed_by_sending_it_again() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9141, 3000);
    phone.keep("a.jpg", &bytes);
    fs::remove_file(alice.folder.join("a.jpg")).expect("a removed file");
    assert_eq!(alice.download("a.jpg").status(), 404, "somebody notices");
    assert_eq!(phone.sync(&[&bytes]), 200);
    assert_eq!(phone.missing(&[&bytes]), [WANTED]);
    assert_eq!(phone.put("a.jpg", &[], &bytes).status(), 201);
    assert_eq!(phone.sync(&[&bytes]), 204);
    assert_eq!(json_of(&phone.put("a.jpg", &[], &bytes))["name"], "a.jpg");
    alice.require_library(&[("a.jpg", &bytes)]);
}

#[test]
fn a_listing_shows_what_devices_claim_and_its_pages_meet_without_gap_or_overlap() {
    let stand = Stand::shared();
    let alice = stand.person();
    let (phone, laptop) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &alice));
    let files: Vec<Vec<u8>> = (0..5).map(|n| opaque_bytes(9150 + n, 3000)).collect();
    for (n, bytes) in files.iter().enumerate() {
        phone.keep(&format!("{n}.jpg"), bytes);
    }
    let said = [("PhotoSync-Folder", "DCIM"), ("PhotoSync-Captured", "2024-07-01T18:03:05")];
    assert_eq!(phone.put("0.jpg", &said, &files[0]).status(), 200);
    let more = [("PhotoSync-Folder", "Elsewhere"), ("PhotoSync-Favourite", "true")];
    assert_eq!(laptop.put("0.jpg", &more, &files[0]).status(), 200);
    let mut rows = Vec::new();
    let mut path = "/library/assets?limit=2".to_owned();
    loop {
        let page = json_of(&phone.get(&path));
        assert_eq!(page["total"], 5);
        rows.extend(page["assets"].as_array().expect("rows").clone());
        match page["next"].as_str() {
            Some(next) => path = format!("/library/assets?limit=2&after={next}"),
            None => break,
        }
    }
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]);
    assert_eq!(rows[0]["digest"], hex::encode(digest_of(&files[0])));
    assert_eq!(rows[0]["claims"]["folder"], "DCIM", "the first device to say a thing wins");
    assert_eq!(rows[0]["claims"]["favourite"], true, "another adds what it left out");
    assert_eq!(rows[0]["claims"]["captured"]["local"], "2024-07-01T18:03:05");
    let id = rows[3]["id"].as_str().expect("an id");
    assert_eq!(json_of(&laptop.get(&format!("/library/assets/{id}"))), rows[3]);
    for path in ["/library/assets?after=x", "/library/assets?limit=0", "/library/changes?since=x"] {
        assert_eq!(code_of(&phone.get(path)), "bad_request", "{path}");
    }
}

#[test]
fn an_original_comes_whole_or_in_ranges_and_only_to_its_owner() {
    let stand = Stand::shared();
    let (alice, bob) = (stand.person(), stand.person());
    let (phone, stranger) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &bob));
    let bytes = opaque_bytes(9160, 300_000);
    let id = text_of(&phone.put("a.jpg", &[], &bytes), "id");
    let path = format!("/library/assets/{id}/original");
    let whole = phone.get(&path);
    assert_eq!((whole.status(), &whole.body), (200, &bytes));
    let tag = format!("\"{}\"", hex::encode(digest_of(&bytes)));
    assert_eq!(whole.header("etag"), Some(tag.as_str()));
    let part = phone.send(phone.request("GET", &path).header("Range", "bytes=299990-"));
    assert_eq!((part.status(), &part.body[..]), (206, &bytes[299_990..]));
    let head = phone.send(phone.request("HEAD", &path));
    assert_eq!((head.status(), head.header("content-length")), (200, Some("300000")));
    let known = phone.send(phone.request("GET", &path).header("If-None-Match", &tag));
    assert_eq!(known.status(), 304);
    for path in [path, format!("/library/assets/{id}")] {
        let answer = stranger.get(&path);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (404, "not_found"));
    }
    assert_eq!(phone.get("/library/assets/nothing").status(), 404);
}

#[test]
fn a_person_deletes_by_command_and_devices_are_told_not_to_send_it_again() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let (a, b) = (opaque_bytes(9171, 3000), opaque_bytes(9172, 3000));
    phone.keep("a.jpg", &a);
    phone.keep("b.jpg", &b);
    let wrong = stand.command(&["trash", &alice.email, "a.jpg", "none.jpg"], "");
    assert_ne!(wrong.code, 0);
    alice.require_library(&[("a.jpg", &a), ("b.jpg", &b)]);
    let done = stand.command(&["trash", &alice.email, "a.jpg"], "");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(phone.missing(&[&a, &b]), [DELETED, HELD]);
    assert_eq!(phone.sync(&[&a, &b]), 204, "the phone has nothing more to do");
    let changes = json_of(&phone.get("/library/changes?since=0.0."));
    let kinds: Vec<&Value> = changes["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| &change["kind"])
        .collect();
    assert_eq!(kinds, ["held", "trashed"]);
    wait_until("its file is in the trash", || !alice.folder.join("a.jpg").exists());
    assert_eq!(stand.command(&["trash-restore", &alice.email], "").code, 0);
    alice.require_library(&[("a.jpg", &a), ("b.jpg", &b)]);
    assert_eq!(phone.missing(&[&a]), [HELD]);
    // What arrives all the same is held.
    assert_eq!(stand.command(&["trash", &alice.email, "a.jpg"], "").code, 0);
    assert_eq!(phone.put("a.jpg", &[], &a).status(), 201);
    alice.require_library(&[("a.jpg", &a), ("b.jpg", &b)]);
    assert_eq!(phone.missing(&[&a]), [HELD]);
}

/// The receipts of these files.
fn receipts(device: &Native, files: &[&[u8]]) -> Value {
    let digests: Vec<String> = files.iter().map(|bytes| hex::encode(digest_of(bytes))).collect();
    let answer = device.post_json("/library/receipts", &json!({"digests": digests}));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    json_of(&answer)
}

/// Checks a receipt as a client would that knows the server's fingerprint, from the text of the format alone.
fn require_receipt(receipt: &Value, alice: &Person, bytes: &[u8], fingerprint: &str) {
    let text = |key: &str| receipt[key].as_str().expect("a text").to_owned();
    let number = |key: &str| receipt[key].as_u64().expect("a number");
    let decode = |key: &str| URL_SAFE_NO_PAD.decode(text(key)).expect("base64url");
    let account = alice.folder.file_name().expect("a folder").to_string_lossy().into_owned();
    assert_eq!(text("fingerprint"), fingerprint);
    assert_eq!(text("account_uuid"), account);
    assert_eq!(text("digest"), hex::encode(digest_of(bytes)));
    assert_eq!(number("size_bytes"), bytes.len() as u64);
    assert!(number("verified_at_ms") <= number("issued_at_ms"));
    let public_key = decode("public_key");
    let hash = Sha256::digest(&public_key);
    assert_eq!(base32(&hash), fingerprint, "the key is the one that was pinned");
    let mut signed = b"photosync-receipt-v1\0".to_vec();
    for part in [fingerprint, &account] {
        signed.extend((part.len() as u32).to_be_bytes());
        signed.extend(part.as_bytes());
    }
    signed.extend(digest_of(bytes));
    for key in ["size_bytes", "verified_at_ms", "issued_at_ms"] {
        signed.extend(number(key).to_be_bytes());
    }
    let key = UnparsedPublicKey::new(&ED25519, &public_key);
    key.verify(&signed, &decode("signature")).expect("a right signature");
    signed[30] ^= 1;
    assert!(key.verify(&signed, &decode("signature")).is_err());
}

/// RFC 4648 base32 in lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |five: &[u8]| {
        let text = format!("{:0<5}", String::from_utf8_lossy(five));
        char::from(alphabet[usize::from_str_radix(&text, 2).expect("bits")])
    };
    bits.as_bytes().chunks(5).map(digit).collect()
}

#[test]
fn a_receipt_proves_that_the_bytes_were_read_back() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let (a, b) = (opaque_bytes(9181, 300_000), opaque_bytes(9182, 3000));
    phone.keep("a.jpg", &a);
    let fingerprint = phone.fingerprint.clone();
    let mut told = Value::Null;
    wait_until("the file was read back", || {
        told = receipts(&phone, &[&b, &a]);
        told["queued"] == 0
    });
    let told = told["receipts"].as_array().expect("receipts");
    assert_eq!(told[0], json!({"digest": hex::encode(digest_of(&b)), "state": "known"}));
    assert_eq!(told[1]["state"], "verified");
    require_receipt(&told[1]["receipt"], &alice, &a, &fingerprint);
    let rows = json_of(&phone.get("/library/assets"));
    assert_eq!(rows["assets"][0]["verified_at_ms"], told[1]["receipt"]["verified_at_ms"]);
}

#[test]
fn a_flipped_bit_is_found_wanted_by_its_device_and_healed_by_sending_it_again() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9191, 300_000);
    phone.keep("a.jpg", &bytes);
    assert_eq!(phone.sync(&[&bytes]), 204);
    let mut damaged = bytes.clone();
    damaged[150_000] ^= 1;
    fs::write(alice.folder.join("a.jpg"), &damaged).expect("a damaged file");
    // Nobody can see that from outside, until the bytes are read.
    wait_until("the damage was found", || {
        receipts(&phone, &[&bytes])["receipts"][0]["state"] == "known"
    });
    assert_eq!(phone.sync(&[&bytes]), 200);
    assert_eq!(phone.missing(&[&bytes]), [WANTED]);
    assert_eq!(phone.put("a.jpg", &[], &bytes).status(), 201);
    assert_eq!(phone.missing(&[&bytes]), [HELD]);
    assert_eq!(phone.sync(&[&bytes]), 204);
    wait_until("the healed bytes were read back", || {
        receipts(&phone, &[&bytes])["receipts"][0]["state"] == "verified"
    });
    alice.require_library(&[("a.jpg", &bytes)]);
    stand.require_agreement();
}

#[test]
fn the_worker_reads_back_what_is_too_much_for_one_answer() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let files: Vec<Vec<u8>> = (0..30).map(|n| opaque_bytes(9200 + n, 5 << 20)).collect();
    for (n, bytes) in files.iter().enumerate() {
        phone.keep(&format!("{n}.jpg"), bytes);
    }
    let asked: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let first = receipts(&phone, &asked);
    assert!(
        first["queued"].as_u64().expect("a number") >= 17,
        "64 MiB at most: {}",
        first["queued"]
    );
    // Nobody asks for receipts again; the listing shows that the work is done.
    wait_until("every file was read back", || {
        let rows = json_of(&phone.get("/library/assets"));
        let rows = rows["assets"].as_array().expect("rows").clone();
        rows.len() == 30 && rows.iter().all(|row| row["verified_at_ms"].is_i64())
    });
    assert_eq!(receipts(&phone, &asked)["queued"], 0);
}

#[test]
fn a_request_for_receipts_is_bounded() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let many = vec!["0".repeat(64); 100_001];
    let answer = phone.post_json("/library/receipts", &json!({"digests": many}));
    assert_eq!((answer.status(), code_of(&answer).as_str()), (413, "too_large"));
    let answer = phone.post_json("/library/receipts", &json!({"digests": many[1..]}));
    assert_eq!(answer.status(), 200);
    assert_eq!(json_of(&answer)["receipts"].as_array().map(Vec::len), Some(100_000));
    let long = vec![b' '; 8 * 1024 * 1024 + 1];
    let answer = phone.post_bytes("/library/receipts", "application/json", &long);
    assert_eq!((answer.status(), code_of(&answer).as_str()), (413, "too_large"));
}
