//! Uploads at the same time, and uploads whose client goes away or falls silent.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Barrier;
use std::thread;

use photosync_tests::relay::opaque_bytes;

use crate::stand::{
    FORM_TYPE, Person, Stand, form, is_duplicate, read_answer, text_of, wait_until,
};

#[test]
fn the_same_bytes_from_eight_clients_at_once_become_one_file() {
    let stand = Stand::shared();
    let alice = stand.person();
    let bytes = opaque_bytes(80, 400_000);
    let start = Barrier::new(8);
    let names: BTreeSet<(String, bool)> = thread::scope(|scope| {
        let uploads: Vec<_> = (0..8)
            .map(|number| {
                let (alice, bytes, start) = (&alice, &bytes, &start);
                scope.spawn(move || {
                    start.wait();
                    let name = format!("copy {number}.jpg");
                    let answer = match number % 2 {
                        0 => alice.put_raw(name, bytes),
                        _ => alice.put_form(name, bytes),
                    };
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    (text_of(&answer, "filename"), is_duplicate(&answer))
                })
            })
            .collect();
        uploads.into_iter().map(|upload| upload.join().expect("an upload")).collect()
    });
    let listed = alice.names();
    assert_eq!(listed.len(), 1);
    let expected = BTreeSet::from([(listed[0].clone(), false), (listed[0].clone(), true)]);
    assert_eq!(names, expected, "one stored it, the others are told under which name");
    alice.require_library(&[(&listed[0], &bytes)]);
    assert_eq!(alice.staged(), 0);
    stand.require_agreement();
}

#[test]
fn fifty_different_photos_of_one_name_at_once_are_fifty_photos() {
    let stand = Stand::shared();
    let alice = stand.person();
    let start = Barrier::new(50);
    thread::scope(|scope| {
        for number in 0..50 {
            let (alice, start) = (&alice, &start);
            scope.spawn(move || {
                let bytes = opaque_bytes(8100 + number, 20_000);
                start.wait();
                let answer = match number % 2 {
                    0 => alice.put_raw("IMG_0001.jpg", &bytes),
                    _ => alice.put_form("img_0001.JPG", &bytes),
                };
                assert_eq!(answer.status(), 200, "{}", answer.text());
                assert!(!is_duplicate(&answer));
                assert!(alice.download(&text_of(&answer, "filename")).body == bytes);
            });
        }
    });
    let held: BTreeSet<Vec<u8>> = alice.library().into_values().collect();
    let sent: BTreeSet<Vec<u8>> =
        (0..50).map(|number| opaque_bytes(8100 + number, 20_000)).collect();
    assert!(held == sent);
    let folded: BTreeSet<String> = alice.names().iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(folded.len(), 50, "no two names are one on a disk that ignores letter case");
    stand.require_agreement();
}

/// Opens uploads of every kind that stop in the middle, after enough bytes to be on disk.
fn begin_all_kinds(person: &Person) -> Vec<TcpStream> {
    let part = opaque_bytes(82, 1_500_000);
    let whole_form = form("file", b"b.jpg", &part);
    let form_type = format!("Content-Type: {FORM_TYPE}\r\n");
    let raw = person.begin_raw("a.jpg", 3_000_000, &part);
    let by_form =
        person.begin("/api/upload", &form_type, whole_form.len(), &whole_form[..1_400_000]);
    let mut chunked = TcpStream::connect(person.address).expect("a connection");
    let head = format!(
        "POST /api/upload/raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         X-Device-UUID: {}\r\nX-Filename: c.jpg\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        person.token,
        person.device_uuid,
        part.len()
    );
    chunked.write_all(head.as_bytes()).expect("a sent head");
    chunked.write_all(&part).expect("a sent part");
    vec![raw, by_form, chunked]
}

#[test]
fn a_client_that_closes_in_the_middle_leaves_nothing() {
    let stand = Stand::shared();
    let alice = stand.person();
    for how in [Some(Shutdown::Write), Some(Shutdown::Both), None] {
        let streams = begin_all_kinds(&alice);
        wait_until("all are being received", || alice.staged() == 3);
        for stream in &streams {
            if let Some(how) = how {
                stream.shutdown(how).expect("a closed connection");
            }
        }
        if how.is_none() {
            drop(streams);
            wait_until("nothing is left", || alice.staged() == 0);
        } else {
            wait_until("nothing is left", || alice.staged() == 0);
            drop(streams);
        }
        alice.require_library(&[]);
    }
    stand.require_agreement();
}

#[test]
fn a_client_that_is_gone_after_its_last_byte_leaves_a_whole_file_or_nothing() {
    let stand = Stand::shared();
    let alice = stand.person();
    let photos: Vec<Vec<u8>> = (0..16).map(|seed| opaque_bytes(8300 + seed, 700_000)).collect();
    for (number, photo) in photos.iter().enumerate() {
        // Closed at once: the server may be reading, syncing, naming or committing.
        drop(alice.begin_raw(&format!("{number}.jpg"), photo.len(), photo));
    }
    wait_until("nothing is staged any more", || alice.staged() == 0);
    stand.require_agreement();
    for (name, bytes) in alice.library() {
        assert!(photos.contains(&bytes), "{name} is whole");
    }
    for photo in &photos {
        assert_eq!(alice.put_raw("again.jpg", photo).status(), 200);
    }
    let held: BTreeSet<Vec<u8>> = alice.library().into_values().collect();
    assert!(held == photos.into_iter().collect(), "sent again, each is held once");
    assert_eq!(alice.names().len(), 16);
}

#[test]
fn a_silent_upload_is_answered_408_and_keeps_nobody_waiting() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_BODY_IDLE_MS", "300")]);
    let (silent, other) = (stand.person(), stand.person());
    let mut streams = begin_all_kinds(&silent);
    let chunk_head = "Content-Type: application/octet-stream\r\nX-Chunk-Id: ".to_owned()
        + &"0".repeat(64)
        + "\r\n";
    streams.push(silent.begin("/api/cloud/chunks", &chunk_head, 5_000, b"beginning"));
    let json_head = "Content-Type: application/json\r\n";
    streams.push(silent.begin("/api/cloud/manifests", json_head, 5_000, b"{\"manifestId\""));
    other.keep("a.jpg", b"photo");
    for stream in &mut streams {
        let answer = read_answer(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("\"code\":\"timeout\""), "{answer}");
    }
    wait_until("nothing is left", || silent.staged() == 0);
    silent.require_library(&[]);
    other.require_library(&[("a.jpg", b"photo")]);
    stand.require_agreement();
}
