//! Uploads that expire, meet each other, lie, or stand behind a limit.

use super::*;

#[test]
fn an_upload_expires_with_its_bytes() {
    let stand = Stand::new(&[("PHOTOSYNC_UPLOADS_EXPIRES_DAYS", "0")]);
    let person = stand.person();
    let tus = Tus { person: &person };
    let path = tus.begin("old.jpg", &noise(9, 50_000), true);
    let answer = tus.patch(&path, 0, b"abc", &[]);
    assert_eq!((answer.status(), code(&answer).as_str()), (410, "gone"));
    assert_eq!(tus.head(&path).status(), 410);
    stand.kill();
    stand.start();
    wait_until("the expired upload is swept", || person.staged() == 0);
    let person = person.at(&stand);
    assert_eq!(Tus { person: &person }.head(&path).status(), 404);
    stand.stop();
    stand.require_agreement();
}

#[test]
fn a_silent_request_is_taken_over_within_half_a_second() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(10, 2_000_000);
    let path = tus.begin("stall.mov", &bytes, false);
    let mut stalled = tus.begin_patch(&path, 0, bytes.len(), &bytes[..700_000]);
    wait_until("bytes of the stalled request arrive", || staged_bytes(&person) >= 700_000);
    let began = Instant::now();
    let answer = tus.patch(&path, 700_000, &bytes[700_000..], &[]);
    let took = began.elapsed();
    assert_eq!(answer.status(), 204, "{}", answer.text());
    assert!(took < Duration::from_millis(1500), "{took:?} with writing and completing");
    // The old one hears of it, and whatever it says then is too late.
    stalled.set_read_timeout(Some(SOON)).expect("a time-out");
    let mut received = [0; 12];
    stalled.read_exact(&mut received).expect("an answer");
    assert_eq!(&received, b"HTTP/1.1 409");
    let _ = stalled.write_all(&bytes[700_000..800_000]);
    person.require_library(&[("stall.mov", &bytes)]);
}

#[test]
fn two_requests_at_once_never_mix_their_bytes() {
    let stand = Stand::shared();
    let person = stand.person();
    let bytes = noise(11, 4_000_000);
    for round in 0..5 {
        let name = format!("two-{round}.jpg");
        let tus = Tus { person: &person };
        let fresh: Vec<u8> = [&[round][..], &bytes].concat();
        let path = tus.begin(&name, &fresh, true);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let send = || Tus { person: &person }.patch(&path, 0, &fresh, &[]).status();
            let both = [scope.spawn(send), scope.spawn(send)];
            both.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        assert!(statuses.iter().all(|status| matches!(status, 204 | 409)), "{statuses:?}");
        if !statuses.contains(&204) {
            tus.complete(&path, &fresh);
        }
        assert_eq!(person.download(&name).body, fresh);
    }
    assert_eq!(person.names().len(), 5);
    assert_eq!(person.staged(), 0);
}

#[test]
fn bytes_that_are_not_what_was_announced_leave_nothing() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(12, 80_000);
    let path = tus.begin("wrong.jpg", &bytes, true);
    let mut other = bytes.clone();
    other[40_000] ^= 1;
    let answer = tus.patch(&path, 0, &other, &[]);
    assert_eq!((answer.status(), code(&answer).as_str()), (400, "digest_mismatch"));
    assert_eq!(tus.head(&path).status(), 404, "a client may begin again");
    assert_eq!(person.staged(), 0);
    person.require_library(&[]);
    let path = tus.begin("right.jpg", &bytes, true);
    tus.complete(&path, &bytes);
    person.require_library(&[("right.jpg", &bytes)]);
}

#[test]
fn a_wrong_offset_is_a_conflict_and_the_finished_state_can_be_asked_again() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(13, 200_000);
    let path = tus.begin("offset.jpg", &bytes, false);
    let ahead = tus.patch(&path, 1, &bytes[1..], &[]);
    assert_eq!((ahead.status(), code(&ahead).as_str()), (409, "offset_mismatch"));
    assert_eq!(tus.patch(&path, 0, &bytes[..100_000], &[]).status(), 204);
    assert_eq!(tus.patch(&path, 0, &bytes[..100_000], &[]).status(), 409);
    let too_long = tus.patch(&path, 100_000, &bytes, &[]);
    assert_eq!((too_long.status(), code(&too_long).as_str()), (413, "too_large"));
    let untyped = tus.send("PATCH", &path, &[("Upload-Offset", "100000")], &bytes[100_000..]);
    assert_eq!(untyped.status(), 415);
    assert_eq!(tus.offset(&path), 100_000);
    let asset = tus.complete(&path, &bytes);
    // The last answer was lost: the request comes again, or somebody asks.
    assert_eq!(tus.patch(&path, 100_000, &bytes[100_000..], &[]).status(), 409);
    let empty = tus.patch(&path, 200_000, b"", &[]);
    assert_eq!((empty.status(), field(&empty, "PhotoSync-Asset")), (204, asset.clone()));
    let head = tus.head(&path);
    assert_eq!(head.header("Cache-Control"), Some("no-store"));
    assert_eq!(field(&head, "PhotoSync-Asset"), asset);
    assert!(head.header("Upload-Expires").is_some_and(|date| date.ends_with(" GMT")));
    person.require_library(&[("offset.jpg", &bytes)]);
}

#[test]
fn every_way_in_ends_in_the_same_asset() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(14, 120_000);
    let path = tus.begin("one.jpg", &bytes, false);
    assert_eq!(tus.patch(&path, 0, &bytes[..60_000], &[]).status(), 204);
    // Meanwhile the same file comes the old way.
    person.keep("one.jpg", &bytes);
    let asset = tus.complete(&path, &bytes);
    let raw = person
        .request("PUT", "/api/v2/library/assets")
        .header("PhotoSync-Name", "two.jpg")
        .body(Body::Bytes(&bytes));
    let raw = person.send(raw);
    assert_eq!((raw.status(), crate::stand::text_of(&raw, "id")), (200, asset));
    assert!(crate::stand::is_duplicate(&person.put_raw("three.jpg", &bytes)));
    person.require_library(&[("one.jpg", &bytes)]);
    assert_eq!(person.staged(), 0);
}

#[test]
fn nonsense_begins_nothing() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let named = metadata("a.jpg", None);
    let named = ("Upload-Metadata", named.as_str());
    for (fields, status) in [
        (vec![named], 400),
        (vec![("Upload-Length", "-1"), named], 400),
        (vec![("Upload-Length", "5"), ("Upload-Defer-Length", "1"), named], 400),
        (vec![("Upload-Defer-Length", "2"), named], 400),
        (vec![("Upload-Length", "0"), named], 400),
        (vec![("Upload-Length", "5")], 400),
        (vec![("Upload-Length", "5"), ("Upload-Metadata", "filename !")], 400),
        (vec![("Upload-Length", "5"), ("Upload-Concat", "final;/nowhere"), named], 400),
        (vec![("Upload-Length", "9000000000000000000"), named], 507),
    ] {
        let answer = tus.send("POST", BASE, &fields, b"");
        assert_eq!(answer.status(), status, "{fields:?}: {}", answer.text());
    }
    assert_eq!(tus.head(&format!("{BASE}/{}", "0".repeat(32))).status(), 404);
    assert_eq!(tus.head(&format!("{BASE}/..%2f..%2fx")).status(), 404);
    assert_eq!(person.staged(), 0);
}

#[test]
fn a_client_behind_a_capped_proxy_is_told_the_size_that_fits() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_BODY_BYTES", "100000")]);
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(15, 250_000);
    let path = tus.begin("capped.jpg", &bytes, true);
    let answer = tus.patch(&path, 0, &bytes, &[]);
    assert_eq!((answer.status(), code(&answer).as_str()), (413, "too_large"));
    assert_eq!(answer.header("Upload-Limit"), Some("max-append-size=100000"));
    assert_eq!(tus.offset(&path), 0);
    for piece in bytes.chunks(100_000) {
        let offset = tus.offset(&path);
        assert_eq!(tus.patch(&path, offset, piece, &[]).status(), 204);
    }
    person.require_library(&[("capped.jpg", &bytes)]);
}

#[test]
fn uploads_of_one_account_are_in_its_own_folder() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let path = tus.begin("place.jpg", &noise(16, 10), false);
    let id = path.rsplit('/').next().expect("an id");
    let folder = stand.uploads().join(account_uuid(&person.email, 1));
    assert!(folder.join(".staging").join(format!("tus-{id}")).is_file());
}
