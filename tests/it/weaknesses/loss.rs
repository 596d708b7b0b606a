//! Weaknesses 15–21 and 23–28 of the old server: how a photo that was backed up was lost, changed or hidden.

use std::fs;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::Body;
use photosync_tests::phone::Phone;
use photosync_tests::relay::{chunk_id, opaque_bytes};

use crate::stand::{PASSWORD, Person, Stand, files_below, form, is_duplicate, text_of, wait_until};

#[test]
fn weakness_15_repeating_a_known_name_by_form_never_destroys_the_stored_file() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    let names = ["IMG_0001.jpg", "My%20Photo.jpg", "Zo%C3%AB%20%F0%9F%8F%96.jpg"];
    for (number, name) in names.iter().enumerate() {
        let first = alice.put_form(name, format!("first photo {number}").as_bytes());
        assert!(first.status() == 200 && !is_duplicate(&first), "{}", first.text());
        for _ in 0..3 {
            let again = alice.put_form(name, format!("first photo {number}").as_bytes());
            assert!(again.status() == 200 && is_duplicate(&again), "{}", again.text());
            assert_eq!(text_of(&again, "filename"), text_of(&first, "filename"));
        }
    }
    let other = alice.put_form("IMG_0001.jpg", b"another photo of that name");
    assert!(other.status() == 200 && !is_duplicate(&other), "{}", other.text());
    let expected: [(&str, &[u8]); 4] = [
        ("IMG_0001.jpg", b"first photo 0"),
        ("IMG_0001 (2).jpg", b"another photo of that name"),
        ("My Photo.jpg", b"first photo 1"),
        ("Zoë 🏖.jpg", b"first photo 2"),
    ];
    alice.require_library(&expected);
    stand.stop();
    stand.start();
    let alice = alice.at(&stand);
    assert!(is_duplicate(&alice.put_form("IMG_0001.jpg", b"first photo 0")));
    alice.require_library(&expected);
    stand.require_agreement();
}

#[test]
fn weakness_16_a_different_photo_of_a_known_name_is_never_dropped_as_a_duplicate() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("IMG_0001.jpg", b"from the first camera");
    for (bytes, name) in [
        (&b"from the second camera"[..], "IMG_0001 (2).jpg"),
        (b"from the third camera", "IMG_0001 (3).jpg"),
    ] {
        let answer = alice.put_raw("IMG_0001.jpg", bytes);
        assert!(answer.status() == 200 && !is_duplicate(&answer), "{}", answer.text());
        assert_eq!(text_of(&answer, "filename"), name);
    }
    // Another letter case is the same name on many disks, and so is another composition of é.
    let lower = alice.put_raw("img_0001.JPG", b"from a fourth");
    assert_eq!(text_of(&lower, "filename"), "img_0001 (4).JPG");
    alice.require_library(&[
        ("IMG_0001.jpg", b"from the first camera"),
        ("IMG_0001 (2).jpg", b"from the second camera"),
        ("IMG_0001 (3).jpg", b"from the third camera"),
        ("img_0001 (4).JPG", b"from a fourth"),
    ]);
    stand.require_agreement();
}

/// Posts a chunk as the part `chunk`.
fn put_chunk_by_form(person: &Person, id: &str, bytes: &[u8]) -> photosync_tests::http::Answer {
    let body = form("chunk", format!("{id}.bin").as_bytes(), bytes);
    let request = person
        .request("POST", "/api/cloud/chunks")
        .header("Content-Type", crate::stand::FORM_TYPE)
        .header("X-Chunk-Id", id);
    person.send(request.body(Body::Bytes(&body)))
}

#[test]
fn weakness_17_a_chunk_sent_by_form_is_kept_and_leaves_an_earlier_copy_alone() {
    let stand = Stand::shared();
    let alice = stand.person();
    let (by_form, by_both) = (opaque_bytes(1, 70_000), opaque_bytes(2, 70_000));
    for sealed in [&by_form, &by_both] {
        let id = chunk_id(sealed);
        if sealed == &by_both {
            assert_eq!(alice.put_chunk(&id, sealed).status(), 200);
        }
        for _ in 0..2 {
            let answer = put_chunk_by_form(&alice, &id, sealed);
            assert_eq!(answer.status(), 200, "{}", answer.text());
            assert_eq!(answer.json().expect("JSON")["stored"], true);
            let back = alice.get(&format!("/api/cloud/chunks/{id}"));
            assert!(back.status() == 200 && &back.body == sealed, "the chunk comes back");
        }
    }
    // Bytes that are not what their id says are refused and destroy nothing.
    let answer = put_chunk_by_form(&alice, &chunk_id(&by_form), b"something else");
    assert_eq!(answer.status(), 400, "{}", answer.text());
    let back = alice.get(&format!("/api/cloud/chunks/{}", chunk_id(&by_form)));
    assert_eq!(back.body, by_form);
    let used = alice.get("/api/cloud/usage").json().expect("JSON")["usedBytes"].as_u64();
    assert_eq!(used, Some(140_000), "each chunk counts once");
}

#[test]
fn weakness_18_the_phone_gets_names_with_blanks_and_accents_back() {
    let stand = Stand::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["My Photo.jpg", "Zoë 🏖.heic", "100% sure.jpg", "ünï (1).mov", "a+b&c=d.jpg"];
    let mut files = Vec::new();
    for name in names {
        let path = folder.path().join(name);
        fs::write(&path, format!("bytes of {name}")).expect("a photo");
        files.push(path);
    }
    let mut phone = Phone::new(stand.address(), "names@example.org", PASSWORD);
    phone.register(None).expect("an account");
    phone.login().expect("a session");
    let report = phone.back_up(&files).expect("a backup");
    assert_eq!((report.stored, report.failed.len()), (5, 0), "{:?}", report.failed);
    let again = phone.back_up(&files).expect("a second backup");
    assert_eq!(again.skipped, 5, "the phone knows its own names again");
    let restored = tempfile::tempdir().expect("a folder");
    let report = phone.restore(restored.path()).expect("a restore");
    assert_eq!((report.stored, report.failed.len()), (5, 0), "{:?}", report.failed);
    for name in names {
        let bytes = fs::read_to_string(restored.path().join(name)).expect("a restored photo");
        assert_eq!(bytes, format!("bytes of {name}"));
    }
}

#[test]
fn weakness_19_the_manifest_of_a_huge_file_is_accepted_and_comes_back_whole() {
    let stand = Stand::shared();
    let alice = stand.person();
    // 30,000 chunks at 100 bytes each: a file of 60 GiB.
    let sealed = format!("{{\"manifestBox\":\"{}\"}}", "Ab+/9\\\"".repeat(430_000));
    assert!(sealed.len() > 3_000_000);
    let answer = alice.put_manifest("huge", &sealed);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let back = alice.get("/api/cloud/manifests/huge");
    assert_eq!(back.status(), 200);
    assert!(text_of(&back, "encryptedManifest") == sealed, "the same text comes back");
}

#[test]
fn weakness_20_a_restart_between_two_device_uuids_overwrites_nothing() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("IMG_0001.jpg", b"with the first device");
    let second = "7d444840-9dc0-41d1-b245-5ffdce74fad2";
    let tablet = alice.with_login(&stand.login(&alice.email, PASSWORD, second), second);
    stand.stop();
    stand.start();
    let answer = tablet.at(&stand).put_raw("IMG_0001.jpg", b"with the second device");
    assert_eq!(text_of(&answer, "filename"), "IMG_0001 (2).jpg");
    let expected: [(&str, &[u8]); 2] = [
        ("IMG_0001.jpg", b"with the first device"),
        ("IMG_0001 (2).jpg", b"with the second device"),
    ];
    alice.at(&stand).require_library(&expected);
    tablet.at(&stand).require_library(&expected);
    stand.require_agreement();
}

#[test]
fn weakness_21_a_new_password_opens_the_same_library() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("a.jpg", b"before");
    let changed = stand.command(&["user", "passwd", &alice.email], "brand new 1\n");
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    assert_eq!(alice.get("/api/files").status(), 403, "old sessions have ended");
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 401);
    let uuid = phone_device_uuid(&alice.email, "brand new 1");
    assert_ne!(uuid, alice.device_uuid);
    let alice = alice.with_login(&stand.login(&alice.email, "brand new 1", &uuid), &uuid);
    alice.keep("b.jpg", b"after");
    alice.require_library(&[("a.jpg", b"before"), ("b.jpg", b"after")]);
}

/// The one file whose name begins with the chunk's id.
fn file_of_chunk(stand: &Stand, id: &str) -> std::path::PathBuf {
    let found = files_below(&stand.data().join("relay"));
    let is_it = |path: &&std::path::PathBuf| path.to_string_lossy().contains(id);
    found.iter().find(is_it).expect("the chunk's file").clone()
}

#[test]
fn weakness_23_a_damaged_chunk_is_never_served_and_is_healed_by_sending_it_again() {
    let stand = Stand::shared();
    let alice = stand.person();
    let sealed = opaque_bytes(23, 50_000);
    let id = chunk_id(&sealed);
    let path = format!("/api/cloud/chunks/{id}");
    assert_eq!(alice.put_chunk(&id, &sealed).status(), 200);
    let file = file_of_chunk(&stand, &id);
    let mut changed = sealed.clone();
    changed[25_000] ^= 1;
    for damage in [&b""[..], &sealed[..20_000], &changed] {
        fs::write(&file, damage).expect("a damaged file");
        let answer = alice.get(&path);
        assert_ne!(answer.status(), 200, "{} damaged bytes were served", answer.body.len());
        assert_eq!(alice.put_chunk(&id, &sealed).status(), 200);
        let answer = alice.get(&path);
        assert!(answer.status() == 200 && answer.body == sealed, "healed: {}", answer.status());
    }
    fs::remove_file(&file).expect("a removed file");
    assert_eq!(alice.get(&path).status(), 404);
    assert_eq!(alice.put_chunk(&id, &sealed).status(), 200);
    assert_eq!(alice.get(&path).body, sealed);
}

#[test]
fn weakness_23_an_original_that_was_cut_or_lost_on_disk_is_wanted_again_and_healed() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    for damage in [Some(&b"cut"[..]), Some(b""), None] {
        let name = format!("{}.jpg", damage.map_or(9, <[u8]>::len));
        let whole = format!("the whole photo {name}");
        alice.keep(&name, whole.as_bytes());
        let file = alice.folder.join(&name);
        match damage {
            Some(bytes) => fs::write(&file, bytes).expect("a damaged file"),
            None => fs::remove_file(&file).expect("a removed file"),
        }
        let answer = alice.download(&name);
        assert_eq!(answer.status(), 404, "{}", answer.text());
        assert!(!alice.names().contains(&name), "an old phone sends only what is not listed");
        let again = alice.put_form(&name, whole.as_bytes());
        assert!(again.status() == 200 && !is_duplicate(&again), "{}", again.text());
        assert_eq!(alice.download(&name).body, whole.as_bytes());
    }
    stand.require_agreement();
}

#[test]
fn weakness_24_a_json_label_does_not_swallow_the_body_of_an_upload() {
    let stand = Stand::shared();
    let alice = stand.person();
    for (name, kind, bytes) in [
        ("a.json", "application/json", &b"{\"not\": \"parsed\"}"[..]),
        ("b.jpg", "application/json; charset=utf-8", b"\xff\xd8\xff no JSON at all"),
        ("c.jpg", "application/x-www-form-urlencoded", b"a=b&c=d"),
        ("d.jpg", "text/plain", b"plain"),
    ] {
        let request = alice.request("POST", "/api/upload/raw").header("Content-Type", kind);
        let request = request.header("X-Filename", name).body(Body::Bytes(bytes));
        let answer = alice.send(request);
        assert!(answer.status() == 200 && !is_duplicate(&answer), "{kind}: {}", answer.text());
        assert_eq!(alice.download(name).body, bytes, "{kind}");
    }
    // An empty file is refused, never "stored" or "duplicate".
    for empty in [alice.put_raw("e.jpg", b""), alice.put_form("e.jpg", b"")] {
        assert_eq!(empty.status(), 400, "{}", empty.text());
        assert_eq!(text_of(&empty, "code"), "empty_file");
    }
    assert_eq!(alice.names(), ["a.json", "b.jpg", "c.jpg", "d.jpg"]);
    assert_eq!((alice.on_disk().len(), alice.staged()), (4, 0));
}

#[test]
fn weakness_25_metadata_survives_and_the_type_follows_the_bytes_not_the_label() {
    let stand = Stand::shared();
    let alice = stand.person();
    let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &opaque_bytes(25, 500)].concat();
    let exif = b"\xff\xd8\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x082024:05:01 10:11:12\0 the rest";
    alice.put_form("labelled-a-jpeg.png", &png);
    alice.put_form("camera.jpg", exif);
    let answer = alice.download("labelled-a-jpeg.png");
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.body, png);
    let answer = alice.download("camera.jpg");
    assert_eq!(answer.header("content-type"), Some("image/jpeg"));
    assert_eq!(answer.body, exif, "capture time and everything else in the file stay as they are");
    let listing = alice.get("/api/files").json().expect("JSON");
    let arrived = listing["files"][0]["created_at"].as_str().expect("a time").to_owned();
    assert!(arrived.len() == 24 && arrived.ends_with('Z') && &arrived[10..11] == "T", "{arrived}");
}

#[test]
fn weakness_26_what_is_purged_or_deleted_is_erased_everywhere_after_the_trash_period() {
    let chunks = tempfile::tempdir().expect("a second disk");
    let chunks_dir = chunks.path().to_string_lossy().into_owned();
    let stand = Stand::new(&[("PHOTOSYNC_STORAGE_TRASH_DAYS", "0"), ("CHUNKS_DIR", &chunks_dir)]);
    let (alice, bob) = (stand.person(), stand.person());
    let sealed = opaque_bytes(26, 10_000);
    let id = chunk_id(&sealed);
    for person in [&alice, &bob] {
        assert_eq!(person.put_chunk(&id, &sealed).status(), 200);
        assert_eq!(person.put_manifest("m", "sealed").status(), 200);
        person.keep("a.jpg", b"photo");
    }
    assert_eq!(chunk_files(chunks.path()), 2);
    // An orphan chunk counts until its owner empties the space, then no longer.
    assert_eq!(alice.post("/api/cloud/purge").status(), 200);
    let usage = alice.get("/api/cloud/usage").json().expect("JSON");
    assert_eq!(usage["usedBytes"], 0);
    assert_eq!(bob.send(bob.request("DELETE", "/api/account")).status(), 200);
    // What is over is erased when upkeep looks around, which it does at start.
    stand.stop();
    stand.start();
    wait_until("both chunks are erased", || chunk_files(chunks.path()) == 0);
    wait_until("bob's folder is erased", || !bob.folder.exists());
    alice.at(&stand).require_library(&[("a.jpg", b"photo")]);
    assert_eq!(alice.at(&stand).put_chunk(&id, &sealed).status(), 200);
    assert_eq!(alice.at(&stand).get(&format!("/api/cloud/chunks/{id}")).body, sealed);
    stand.require_agreement();
}

fn chunk_files(root: &std::path::Path) -> usize {
    let is_chunk =
        |path: &&std::path::PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    files_below(root).iter().filter(is_chunk).count()
}

#[test]
fn weakness_28_a_half_received_upload_is_never_seen_and_does_not_outlive_a_crash() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("whole.jpg", b"whole");
    // More than the server gathers before it writes.
    let part = opaque_bytes(28, 2_000_000);
    let begun = form("file", b"half-2.jpg", &part);
    let kind = format!("Content-Type: {}\r\n", crate::stand::FORM_TYPE);
    let _raw = alice.begin_raw("half-1.jpg", 3_000_000, &part);
    let _form = alice.begin("/api/upload", &kind, begun.len(), &begun[..begun.len() - 200]);
    wait_until("both uploads are being received", || alice.staged() == 2);
    assert_eq!(alice.names(), ["whole.jpg"]);
    for name in ["half-1.jpg", "half-2.jpg"] {
        assert_eq!(alice.download(name).status(), 404);
    }
    for staged in fs::read_dir(alice.folder.join(".staging")).expect("the folder") {
        let name = staged.expect("an entry").file_name().to_string_lossy().into_owned();
        assert_eq!(alice.download(&name).status(), 404);
        assert_eq!(alice.download(&format!(".staging/{name}")).status(), 404);
    }
    alice.require_library(&[("whole.jpg", b"whole")]);
    stand.kill();
    stand.start();
    let alice = alice.at(&stand);
    assert_eq!(alice.staged(), 0, "swept at start");
    alice.require_library(&[("whole.jpg", b"whole")]);
    alice.keep("half-1.jpg", &part);
    stand.require_agreement();
}
