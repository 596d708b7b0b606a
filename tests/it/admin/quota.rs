//! Quotas and accounts that only look: every way in ends in the same decision, to the byte.

use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_tests::http::{Answer, Body};
use photosync_tests::tus_client::path_of as upload_path;
use serde_json::json;

use super::{Office, set, user_of};
use crate::stand::Person;
use crate::sync::{Native, code_of, json_of, repr_digest};

/// A way to send a file.
type Way = (&'static str, fn(&Person, &Native, &str, &[u8]) -> Answer);

fn tus_begin(phone: &Native, name: &str, length: usize, first: &[u8]) -> Answer {
    let request = phone
        .request("POST", "/tus")
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", length.to_string())
        .header("Upload-Metadata", format!("filename {}", STANDARD.encode(name)));
    match first {
        [] => phone.send(request.body(Body::Bytes(b""))),
        first => {
            let request = request.header("Content-Type", "application/offset+octet-stream");
            phone.send(request.body(Body::Bytes(first)))
        }
    }
}

/// Begins an upload and sends all of it in a second request.
fn tus_in_two(_: &Person, phone: &Native, name: &str, bytes: &[u8]) -> Answer {
    let begun = tus_begin(phone, name, bytes.len(), &[]);
    if begun.status() != 201 {
        return begun;
    }
    let path = upload_path(begun.header("location").expect("a place")).to_owned();
    let request = phone
        .request("PATCH", path.strip_prefix("/api/v2").expect("a native path"))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Offset", "0")
        .header("Content-Type", "application/offset+octet-stream");
    phone.send(request.body(Body::Bytes(bytes)))
}

const WAYS: [Way; 5] = [
    ("old raw", |old, _, name, bytes| old.put_raw(name, bytes)),
    ("old form", |old, _, name, bytes| old.put_form(name, bytes)),
    ("raw", |_, phone, name, bytes| phone.put(name, &[], bytes)),
    ("tus at once", |_, phone, name, bytes| tus_begin(phone, name, bytes.len(), bytes)),
    ("tus in two", tus_in_two),
];

fn is_stored(answer: &Answer) -> bool {
    matches!(answer.status(), 200 | 201 | 204)
}

#[test]
fn the_last_byte_of_a_quota_is_taken_and_the_next_is_refused_by_every_way_in() {
    let office = Office::new(&[]);
    let (admin, ben) = (office.sign_in(&office.ada), &office.ben);
    let phone = Native::sign_in(&office.stand, ben);
    let mut used = 0_i64;
    for (at, (way, send)) in WAYS.into_iter().enumerate() {
        // 100 bytes more than there is.
        set(&admin, &ben.email, json!({ "quota_bytes": used + 100 }));
        let name = format!("{at}.jpg");
        let too_much = vec![b'a' + at as u8; 101];
        let refused = send(ben, &phone, &name, &too_much);
        assert_eq!(
            (refused.status(), code_of(&refused).as_str()),
            (413, "QUOTA_EXCEEDED"),
            "{way}"
        );
        let told = json_of(&refused);
        assert_eq!(
            (&told["usedBytes"], &told["quotaBytes"], &told["remainingBytes"]),
            (&json!(used), &json!(used + 100), &json!(100)),
            "{way}"
        );
        // So large that nobody needs to read it.
        let refused = send(ben, &phone, &name, &vec![b'x'; 20_000]);
        assert_eq!(
            (refused.status(), code_of(&refused).as_str()),
            (413, "QUOTA_EXCEEDED"),
            "{way}"
        );
        assert_eq!((ben.on_disk().len(), ben.staged()), (at, 0), "{way} leaves nothing");
        let fits = send(ben, &phone, &name, &too_much[..100]);
        assert!(is_stored(&fits), "{way}: {} {}", fits.status(), fits.text());
        used += 100;
        let full = send(ben, &phone, "more.jpg", b"!");
        assert_eq!((full.status(), code_of(&full).as_str()), (413, "QUOTA_EXCEEDED"), "{way}");
        assert_eq!(user_of(&admin, &ben.email)["held_bytes"], json!(used), "{way}");
    }
    // What is held costs nothing, and is answered before the quota is asked for.
    let known = vec![b'a'; 100];
    let again = phone.put("again.jpg", &[("Repr-Digest", &repr_digest(&known))], &known);
    assert_eq!(again.status(), 200, "{}", again.text());
    assert_eq!((ben.on_disk().len(), ben.staged()), (WAYS.len(), 0));
    set(&admin, &ben.email, json!({ "quota_bytes": null }));
    assert_eq!(ben.put_raw("more.jpg", b"!").status(), 200);
    office.stand.require_agreement();
}

#[test]
fn many_at_once_fill_a_quota_and_never_more() {
    let office = Office::new(&[]);
    let (admin, ben) = (office.sign_in(&office.ada), &office.ben);
    set(&admin, &ben.email, json!({ "quota_bytes": 350 }));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let sent: Vec<_> = (0..12_u8)
            .map(|at| scope.spawn(move || ben.put_raw(format!("{at}.jpg"), &[at; 100]).status()))
            .collect();
        sent.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 413)), "{statuses:?}");
    assert_eq!((ben.on_disk().len(), ben.names().len(), ben.staged()), (3, 3, 0));
    assert_eq!(user_of(&admin, &ben.email)["held_bytes"], 300);
    office.stand.require_agreement();
}

#[test]
fn who_only_looks_adds_nothing_by_any_way_and_reads_everything() {
    let office = Office::new(&[]);
    let (admin, ben) = (office.sign_in(&office.ada), &office.ben);
    let phone = Native::sign_in(&office.stand, ben);
    ben.keep("a.jpg", b"a picture");
    set(&admin, &ben.email, json!({ "role": "viewer" }));
    for (way, send) in WAYS {
        let refused = send(ben, &phone, "b.jpg", b"another");
        assert_eq!((refused.status(), code_of(&refused).as_str()), (403, "out_of_scope"), "{way}");
    }
    assert_eq!(ben.staged(), 0);
    ben.require_library(&[("a.jpg", b"a picture")]);
    assert_eq!(phone.send(phone.request("GET", "/library/timeline")).status(), 200);
    set(&admin, &ben.email, json!({ "role": "member" }));
    ben.keep("b.jpg", b"another");
}

#[test]
fn a_full_quota_lets_a_person_take_a_deletion_back_and_a_device_not_send_it_again() {
    let office = Office::new(&[]);
    let (admin, ben) = (office.sign_in(&office.ada), &office.ben);
    let (browser, phone) = (office.sign_in(ben), Native::sign_in(&office.stand, ben));
    let put = phone.put("a.jpg", &[], &[1; 100]);
    let ids = json!({ "ids": [json_of(&put)["id"]] });
    assert_eq!(browser.send_json("POST", "/api/v2/library/trash", &ids).status(), 200);
    set(&admin, &ben.email, json!({ "quota_bytes": 100 }));
    assert_eq!(phone.put("b.jpg", &[], &[2; 100]).status(), 201);
    assert_eq!(phone.put("a.jpg", &[], &[1; 100]).status(), 413);
    assert_eq!(ben.names(), ["b.jpg"]);
    let back = browser.send_json("POST", "/api/v2/library/restore", &ids);
    assert_eq!((back.status(), &json_of(&back)["changed"]), (200, &json!(1)));
    ben.require_library(&[("a.jpg", &[1; 100]), ("b.jpg", &[2; 100])]);
    assert_eq!(phone.put("c.jpg", &[], b"!").status(), 413);
}
