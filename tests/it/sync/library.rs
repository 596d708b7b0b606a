//! What is missing, what is settled, listings, changes, deleting and receipts, from outside.

use std::fs;

use photosync_tests::http::{Answer, Body};
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Native, code_of, json_of};
use crate::stand::Stand;

const NEGENTROPY: &str = "application/vnd.photosync.negentropy";

/// What a byte of `missing` says.
const HELD: u8 = 0;
const MISSING: u8 = 1;
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
    fn post_bytes(&self, path: &str, kind: &str, bytes: &[u8]) -> Answer {
        let request = self.request("POST", path).header("Content-Type", kind);
        self.send(request.body(Body::Bytes(bytes)))
    }

    fn post_json(&self, path: &str, json: &serde_json::Value) -> Answer {
        self.post_bytes(path, "application/json", json.to_string().as_bytes())
    }

    #[expect(dead_code, reason = "for the listings")]
    fn get(&self, path: &str) -> Answer {
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
    fn keep(&self, name: &str, bytes: &[u8]) {
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
