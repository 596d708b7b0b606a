//! One file by one request: `PUT /api/v2/library/assets`.

use photosync_tests::http::Body;
use photosync_tests::relay::opaque_bytes;

use super::{Native, code_of, json_of, repr_digest};
use crate::stand::{Stand, is_duplicate, text_of};

#[test]
fn a_photo_sent_by_one_request_is_there_for_old_clients_too() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9001, 300_000);
    let first = phone.put("%C3%9Cber%20uns%20%F0%9F%8F%96.jpg", &[], &bytes);
    assert_eq!(first.status(), 201, "{}", first.text());
    alice.require_library(&[("Über uns 🏖.jpg", &bytes)]);
    // The same bytes by an old client, under another name, are the same asset.
    let again = alice.put_form("again.jpg", &bytes);
    assert!(is_duplicate(&again));
    assert_eq!(text_of(&again, "filename"), "Über uns 🏖.jpg");
    alice.require_library(&[("Über uns 🏖.jpg", &bytes)]);
    stand.require_agreement();
}

#[test]
fn repeating_a_request_answers_the_same_asset() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9002, 300_000);
    let digest = repr_digest(&bytes);
    let first = phone.put("a.jpg", &[("Repr-Digest", &digest)], &bytes);
    assert_eq!(first.status(), 201, "{}", first.text());
    for (name, headers) in [("a.jpg", vec![("Repr-Digest", digest.as_str())]), ("b.jpg", vec![])] {
        let again = phone.put(name, &headers, &bytes);
        assert_eq!(again.status(), 200, "{}", again.text());
        assert_eq!(json_of(&again), json_of(&first));
    }
    alice.require_library(&[("a.jpg", &bytes)]);
}

#[test]
fn a_client_that_waits_to_be_asked_for_held_bytes_never_sends_them() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9003, 300_000);
    assert_eq!(phone.put("a.jpg", &[], &bytes).status(), 201);
    // Not the bytes of the digest: would they be read, the answer would be a mismatch.
    let other = opaque_bytes(9004, 300_000);
    let request = phone
        .request("PUT", "/library/assets")
        .header("PhotoSync-Name", "a.jpg")
        .header("Repr-Digest", repr_digest(&bytes))
        .expect_continue()
        .body(Body::Bytes(&other));
    assert_eq!(phone.send(request).status(), 200);
    alice.require_library(&[("a.jpg", &bytes)]);
}

#[test]
fn a_wrong_digest_leaves_nothing_behind() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9005, 300_000);
    let wrong = phone.put("a.jpg", &[("Repr-Digest", &repr_digest(b"other"))], &bytes);
    assert_eq!((wrong.status(), code_of(&wrong).as_str()), (400, "digest_mismatch"));
    alice.require_library(&[]);
    assert_eq!(alice.staged(), 0);
}

#[test]
fn what_cannot_be_read_is_refused_before_a_byte_is_stored() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let bytes = opaque_bytes(9006, 5_000);
    let refused: &[(&str, &str, &str)] = &[
        ("Repr-Digest", "sha-256=nonsense", "bad_request"),
        ("PhotoSync-Captured", "yesterday", "bad_request"),
        ("PhotoSync-Pair", "x", "bad_request"),
        ("PhotoSync-Favourite", "perhaps", "bad_request"),
    ];
    for (header, value, code) in refused {
        let answer = phone.put("a.jpg", &[(header, value)], &bytes);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (400, *code), "{header}");
    }
    let no_name = phone.send(phone.request("PUT", "/library/assets").body(Body::Bytes(&bytes)));
    assert_eq!((no_name.status(), code_of(&no_name).as_str()), (400, "bad_name"));
    let empty = phone.put("a.jpg", &[], b"");
    assert_eq!((empty.status(), code_of(&empty).as_str()), (400, "empty_file"));
    alice.require_library(&[]);
    assert_eq!(alice.staged(), 0);
}
