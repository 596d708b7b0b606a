//! Chains of segments and keyrings: they grow at their end only, whoever sends what.

use photosync_tests::http::{Answer, Body};
use photosync_tests::relay::chunk_id;
use serde_json::{Value, json};

use super::{Owner, keyring, object, raw_id};
use crate::stand::Stand;
use crate::sync::{Native, code_of, json_of};

/// The writer of most chains here.
const WRITER: &str = "0123456789abcdef0123456789abcdef";

impl Native {
    pub(super) fn post_segment(
        &self,
        writer: &str,
        sequence: &str,
        live: &[[u8; 32]],
        segment: &[u8],
    ) -> Answer {
        let mut body = u32::try_from(live.len()).expect("few").to_le_bytes().to_vec();
        body.extend(live.iter().flatten());
        body.extend_from_slice(segment);
        let request = self
            .request("POST", "/relay/segments")
            .header("PhotoSync-Writer", writer)
            .header("PhotoSync-Sequence", sequence);
        self.send(request.body(Body::Bytes(&body)))
    }

    pub(super) fn put_keyring(&self, sequence: u64, object: &[u8]) -> Answer {
        let request = self.request("PUT", "/relay/keyring");
        let request = request.header("PhotoSync-Sequence", sequence.to_string());
        self.send(request.body(Body::Bytes(object)))
    }

    pub(super) fn heads(&self) -> Value {
        let answer = self.send(self.request("GET", "/relay/heads"));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        json_of(&answer)
    }

    pub(super) fn segments(&self, query: &str) -> Value {
        let answer = self.send(self.request("GET", &format!("/relay/segments?{query}")));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)["segments"].clone()
    }
}

fn head(writer: &str, sequence: u64, segment: &[u8]) -> Value {
    json!({"writer": writer, "sequence": sequence, "id": chunk_id(segment)})
}

/// Ids in the order a list of live ids has.
pub(super) fn sorted(objects: &[Vec<u8>]) -> Vec<[u8; 32]> {
    let mut ids: Vec<[u8; 32]> = objects.iter().map(|object| raw_id(object)).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_backup_from_first_keyring_to_second_segment_can_be_read_back() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let (phone, uploader) = (&owner.phone, owner.uploader());
    assert_eq!(phone.heads(), json!({"heads": []}));
    assert_eq!(phone.send(phone.request("GET", "/relay/keyring")).status(), 404);
    let ring = keyring(1, 1);
    let made = phone.put_keyring(1, &ring);
    assert_eq!(made.status(), 201, "{}", made.text());
    assert_eq!(json_of(&made), json!({"sequence": 1, "id": chunk_id(&ring)}));
    // Everything of a backup works with the token that can do nothing else.
    let objects: Vec<Vec<u8>> = (0..30).map(|seed| object('C', seed, 400)).collect();
    assert_eq!(uploader.put_batch(&objects).status(), 200);
    let segments = [object('S', 100, 900), object('S', 101, 900)];
    let first = uploader.post_segment(WRITER, "1", &sorted(&objects), &segments[0]);
    assert_eq!(first.status(), 201, "{}", first.text());
    assert_eq!(json_of(&first), head(WRITER, 1, &segments[0]));
    let second = uploader.post_segment(&WRITER.to_uppercase(), "2", &[], &segments[1]);
    assert_eq!(second.status(), 201, "{}", second.text());
    let heads = json!({
        "heads": [head(WRITER, 2, &segments[1])],
        "keyring": {"sequence": 1, "id": chunk_id(&ring)},
    });
    assert_eq!((phone.heads(), uploader.heads()), (heads.clone(), heads));
    let chain = json!([head(WRITER, 1, &segments[0]), head(WRITER, 2, &segments[1])]);
    assert_eq!(phone.segments(&format!("writer={WRITER}")), chain);
    assert_eq!(phone.segments(&format!("writer={WRITER}&limit=1")), json!([chain[0]]));
    assert_eq!(phone.segments(&format!("writer={WRITER}&after=1")), json!([chain[1]]));
    assert_eq!(phone.segments(&format!("writer={WRITER}&after=2")), json!([]));
    assert_eq!(phone.segments("writer=ffffffffffffffffffffffffffffffff"), json!([]));
    assert_eq!(phone.get_object(&chunk_id(&segments[0])).body, segments[0]);
    let got = phone.send(phone.request("GET", "/relay/keyring"));
    assert_eq!((got.status(), &got.body), (200, &ring));
    assert_eq!(got.header("photosync-sequence"), Some("1"));
    assert_eq!(got.header("etag"), Some(format!("\"{}\"", chunk_id(&ring)).as_str()));
    stand.require_agreement();
}

#[test]
fn of_two_that_continue_a_chain_one_wins_and_the_other_is_told() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let tablet = Native::sign_in(&stand, &owner.person);
    let (one, two) = (object('S', 1, 100), object('S', 2, 100));
    assert_eq!(owner.phone.post_segment(WRITER, "1", &[], &one).status(), 201);
    let lost = tablet.post_segment(WRITER, "1", &[], &two);
    assert_eq!((lost.status(), code_of(&lost).as_str()), (409, "conflict"));
    assert_eq!(json_of(&lost)["details"], json!({"sequence": 1, "id": chunk_id(&one)}));
    // The one that won may not have heard of it: the same again is no mistake, now or later.
    assert_eq!(owner.phone.post_segment(WRITER, "1", &[], &one).status(), 200);
    assert_eq!(tablet.post_segment(WRITER, "3", &[], &two).status(), 409);
    assert_eq!(tablet.post_segment(WRITER, "2", &[], &two).status(), 201);
    assert_eq!(owner.phone.post_segment(WRITER, "1", &[], &one).status(), 200);
    let chain = json!([head(WRITER, 1, &one), head(WRITER, 2, &two)]);
    assert_eq!(owner.phone.segments(&format!("writer={WRITER}")), chain);
    // At the same moment.
    let rivals: Vec<Vec<u8>> = (10..18).map(|seed| object('S', seed, 100)).collect();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = rivals
            .iter()
            .map(|rival| scope.spawn(|| tablet.post_segment(WRITER, "3", &[], rival).status()))
            .collect();
        posts.into_iter().map(|post| post.join().expect("an answer")).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 7, "{answers:?}");
    assert_eq!(
        owner.phone.segments(&format!("writer={WRITER}&after=2")).as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_segment_that_names_what_is_not_held_gets_no_place() {
    let stand = Stand::shared();
    let (owner, other) = (Owner::of(&stand), Owner::of(&stand));
    let objects: Vec<Vec<u8>> = (0..60).map(|seed| object('C', 3000 + seed, 40)).collect();
    assert_eq!(owner.phone.put_batch(&objects[..30]).status(), 200);
    // Somebody else's objects are not hers.
    assert_eq!(other.phone.put_batch(&objects[30..]).status(), 200);
    let segment = object('S', 1, 100);
    let refused = owner.phone.post_segment(WRITER, "1", &sorted(&objects), &segment);
    assert_eq!((refused.status(), code_of(&refused).as_str()), (409, "missing"));
    let named = json_of(&refused)["details"]["missing"].as_array().expect("a list").clone();
    let missing: Vec<String> = objects[30..].iter().map(|object| chunk_id(object)).collect();
    assert_eq!(named.len(), 20);
    assert!(named.iter().all(|id| missing.iter().any(|missing| id == missing)), "{named:?}");
    assert_eq!(owner.phone.heads(), json!({"heads": []}));
    assert_eq!(owner.phone.have([&segment]), [1]);
    assert_eq!(owner.phone.put_batch(&objects[30..]).status(), 200);
    let accepted = owner.phone.post_segment(WRITER, "1", &sorted(&objects), &segment);
    assert_eq!(accepted.status(), 201, "{}", accepted.text());
}

#[test]
fn a_segment_in_the_wrong_form_gets_no_place() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let (phone, segment) = (&owner.phone, object('S', 1, 100));
    let (a, b) = ([1; 32], [2; 32]);
    for live in [&[b, a][..], &[a, a]] {
        assert_eq!(phone.post_segment(WRITER, "1", live, &segment).status(), 400, "{live:?}");
    }
    for (writer, sequence) in [("", "1"), ("xyz", "1"), (WRITER, ""), (WRITER, "0"), (WRITER, "-1")]
    {
        let answer = phone.post_segment(writer, sequence, &[], &segment);
        assert_eq!(answer.status(), 400, "{writer} {sequence}");
    }
    assert_eq!(phone.post_segment(WRITER, "1", &[], b"").status(), 400);
    assert_eq!(phone.post_segment(WRITER, "1", &[], &object('C', 1, 100)).status(), 400);
    let cut = phone.request("POST", "/relay/segments").header("PhotoSync-Writer", WRITER);
    let cut = cut.header("PhotoSync-Sequence", "1");
    let body = [&3_u32.to_le_bytes()[..], &a, &b[..10]].concat();
    let cut = phone.send(cut.body(Body::Bytes(&body)));
    assert_eq!((cut.status(), code_of(&cut).as_str()), (400, "body_incomplete"));
    let many = phone.request("POST", "/relay/segments").header("PhotoSync-Writer", WRITER);
    let many = many.header("PhotoSync-Sequence", "1");
    let many = phone.send(many.body(Body::Bytes(&1_000_001_u32.to_le_bytes())));
    assert_eq!(many.status(), 413);
    assert_eq!(phone.heads(), json!({"heads": []}));
    owner.require_nothing();
}

#[test]
fn a_chain_of_which_nothing_is_held_may_begin_anywhere() {
    // A server that lost its index gets it back from its clients, which cannot change sealed numbers.
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let (seventh, eighth) = (object('S', 7, 100), object('S', 8, 100));
    assert_eq!(owner.phone.post_segment(WRITER, "7", &[], &seventh).status(), 201);
    assert_eq!(owner.phone.post_segment(WRITER, "6", &[], &eighth).status(), 409);
    assert_eq!(owner.phone.post_segment(WRITER, "8", &[], &eighth).status(), 201);
    assert_eq!(owner.phone.put_keyring(4, &keyring(4, 1)).status(), 201);
    assert_eq!(owner.phone.put_keyring(6, &keyring(6, 1)).status(), 409);
    assert_eq!(owner.phone.put_keyring(5, &keyring(5, 1)).status(), 201);
}

#[test]
fn a_newer_keyring_replaces_none_and_a_stale_one_is_refused() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let phone = &owner.phone;
    let (first, second) = (keyring(1, 1), keyring(2, 2));
    assert_eq!(phone.put_keyring(1, &first).status(), 201);
    assert_eq!(phone.put_keyring(1, &first).status(), 200);
    assert_eq!(phone.put_keyring(1, &keyring(1, 9)).status(), 409);
    assert_eq!(phone.put_keyring(2, &second).status(), 201);
    let stale = phone.put_keyring(1, &first);
    assert_eq!((stale.status(), code_of(&stale).as_str()), (409, "conflict"));
    assert_eq!(json_of(&stale)["details"], json!({"sequence": 2, "id": chunk_id(&second)}));
    assert_eq!(phone.heads()["keyring"], json!({"sequence": 2, "id": chunk_id(&second)}));
    // The one before can still be read: without its keyring nothing could ever be opened again.
    assert_eq!(phone.get_object(&chunk_id(&first)).body, first);
    assert_eq!(phone.put_keyring(3, &keyring(4, 1)).status(), 400, "it says another number inside");
    assert_eq!(phone.put_keyring(3, &object('C', 1, 100)).status(), 400);
    let huge = object('K', 1, 4 << 20);
    assert_eq!(phone.put_keyring(3, &huge).status(), 413);
    assert_eq!(phone.heads()["keyring"]["sequence"], 2);
}

#[test]
fn a_stolen_upload_token_can_only_add() {
    let stand = Stand::shared();
    let owner = Owner::of(&stand);
    let thief = owner.uploader();
    let (chunk, segment, ring) = (object('C', 1, 100), object('S', 2, 100), keyring(1, 3));
    assert_eq!(owner.phone.put_keyring(1, &ring).status(), 201);
    assert_eq!(owner.phone.put_object(&chunk).status(), 201);
    assert_eq!(
        owner
            .phone
            .post_segment(WRITER, "1", &sorted(std::slice::from_ref(&chunk)), &segment)
            .status(),
        201
    );
    let before = (owner.phone.heads(), owner.files());
    let refused = [
        thief.get_object(&chunk_id(&chunk)),
        thief.send(thief.request("HEAD", &format!("/relay/objects/{}", chunk_id(&chunk)))),
        thief.send_bytes("POST", "/relay/fetch", &raw_id(&chunk)),
        thief.send(thief.request("GET", "/relay/objects")),
        thief.send(thief.request("GET", &format!("/relay/segments?writer={WRITER}"))),
        thief.send(thief.request("GET", "/relay/keyring")),
        thief.put_keyring(2, &keyring(2, 4)),
    ];
    for (number, answer) in refused.iter().enumerate() {
        assert_eq!(answer.status(), 403, "{number}: {}", answer.text());
    }
    assert_eq!(thief.post_segment(WRITER, "1", &[], &object('S', 9, 100)).status(), 409);
    // Nothing but keeping: there is no way to remove at all, for nobody.
    for path in [
        format!("/relay/objects/{}", chunk_id(&chunk)),
        "/relay/keyring".into(),
        "/relay/segments".into(),
    ] {
        assert_eq!(owner.phone.send(owner.phone.request("DELETE", &path)).status(), 405, "{path}");
    }
    assert_eq!((owner.phone.heads(), owner.files()), before);
    assert_eq!(owner.phone.get_object(&chunk_id(&chunk)).body, chunk);
}

#[test]
fn another_account_sees_and_changes_nothing() {
    let stand = Stand::shared();
    let (owner, other) = (Owner::of(&stand), Owner::of(&stand));
    let (chunk, ring) = (object('C', 1, 100), keyring(1, 3));
    assert_eq!(owner.phone.put_keyring(1, &ring).status(), 201);
    assert_eq!(owner.phone.put_object(&chunk).status(), 201);
    assert_eq!(
        owner
            .phone
            .post_segment(WRITER, "1", &sorted(std::slice::from_ref(&chunk)), &object('S', 2, 9))
            .status(),
        201
    );
    assert_eq!(other.phone.have([&chunk]), [1]);
    assert_eq!(other.phone.get_object(&chunk_id(&chunk)).status(), 404);
    assert_eq!(other.phone.send_bytes("POST", "/relay/fetch", &raw_id(&chunk)).body, [0xff; 4]);
    assert_eq!(other.phone.heads(), json!({"heads": []}));
    assert_eq!(other.phone.segments(&format!("writer={WRITER}")), json!([]));
    // The same writer and the same bytes under another account are that account's own.
    assert_eq!(other.phone.post_segment(WRITER, "1", &[], &object('S', 3, 9)).status(), 201);
    assert_eq!(other.phone.put_object(&chunk).status(), 201);
    assert_eq!(owner.phone.heads()["heads"][0]["id"], chunk_id(&object('S', 2, 9)));
}
