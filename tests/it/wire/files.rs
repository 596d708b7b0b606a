//! Originals as old clients send, list and fetch them, and the trash behind a purge.

use std::io::Cursor;

use photosync_tests::http::{Body, Client};
use photosync_tests::names::listed_for_desktop;
use photosync_tests::relay::opaque_bytes;

use crate::stand::{FORM_TYPE, Stand, form, is_duplicate, listed_in, text_of};

#[test]
fn the_duplicate_key_exists_only_where_the_same_bytes_were_held_already() {
    let stand = Stand::shared();
    let alice = stand.person();
    let first = alice.put_raw("a.jpg", b"photo").json().expect("JSON");
    assert_eq!(first.get("duplicate"), None);
    assert_eq!(first["filename"], "a.jpg");
    assert!(first["message"].is_string());
    // Under whatever name they come: the answer names the file that holds them.
    for answer in [alice.put_raw("b.jpg", b"photo"), alice.put_form("c.jpg", b"photo")] {
        let answer = answer.json().expect("JSON");
        assert_eq!((&answer["duplicate"], &answer["filename"]), (&true.into(), &"a.jpg".into()));
    }
    alice.require_library(&[("a.jpg", b"photo")]);
    let bob = stand.person();
    assert!(!is_duplicate(&bob.put_raw("a.jpg", b"photo")), "nobody learns what others hold");
}

#[test]
fn a_download_is_whole_unless_a_range_was_asked_for() {
    let stand = Stand::shared();
    let alice = stand.person();
    let bytes = opaque_bytes(7, 100_000);
    alice.keep("a.jpg", &bytes);
    let whole = alice.get("/api/files/a.jpg");
    assert_eq!(whole.status(), 200);
    assert!(whole.body == bytes);
    assert_eq!(whole.header("content-length"), Some("100000"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("content-encoding"), None);
    let (tag, date) = (
        whole.header("etag").expect("a tag").to_owned(),
        whole.header("last-modified").expect("a date").to_owned(),
    );
    let get = |headers: &[(&str, &str)]| alice.get_with("/api/files/a.jpg", headers);
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=99990-", 99_990, 99_999),
        ("bytes=-10", 99_990, 99_999),
        ("bytes=99999-500000", 99_999, 99_999),
    ] {
        let part = get(&[("Range", range)]);
        assert_eq!(part.status(), 206, "{range}");
        assert!(part.body == bytes[from..=to], "{range}");
        assert_eq!(
            part.header("content-range"),
            Some(format!("bytes {from}-{to}/100000").as_str())
        );
    }
    let outside = get(&[("Range", "bytes=100000-")]);
    assert_eq!(outside.status(), 416, "{}", outside.text());
    assert_eq!(outside.header("content-range"), Some("bytes */100000"));
    for whole in [
        get(&[("Range", "bytes=0-1,5-6")]),
        get(&[("Range", "nonsense")]),
        get(&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]),
        get(&[("If-None-Match", "\"other\"")]),
        get(&[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")]),
        get(&[("Accept-Encoding", "gzip, br, zstd")]),
    ] {
        assert!(whole.status() == 200 && whole.body == bytes, "{}", whole.status());
        assert_eq!(whole.header("content-encoding"), None);
    }
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Range", &tag)]).status(), 206);
    for same in [get(&[("If-None-Match", &tag)]), get(&[("If-Modified-Since", &date)])] {
        assert_eq!((same.status(), same.body.len()), (304, 0));
    }
}

#[test]
fn strange_names_cannot_break_out_of_the_disposition_and_come_back_whole() {
    let stand = Stand::shared();
    let alice = stand.person();
    let long = format!("{}.jpg", "é".repeat(125));
    for (number, name) in [
        "plain.jpg",
        "a \"quoted\" name.jpg",
        "semi;colon=x.jpg",
        "Zoë 🏖.jpg",
        "100% sure.jpg",
        "a%41b%.jpg",
        "name.with.dots.",
        " leading blank.jpg",
        "tab\tin name.jpg",
        "?#&.jpg",
        &long,
        "CON.jpg",
        "purge",
        "日本語.heic",
        "e\u{301}.jpg",
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = format!("bytes of {number}");
        alice.keep(name, bytes.as_bytes());
        let answer = alice.download(name);
        assert_eq!(answer.body, bytes.as_bytes(), "{name:?}");
        let disposition = answer.header("content-disposition").expect("a disposition").to_owned();
        assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
        let quotes = disposition.matches('"').count();
        assert!(quotes == 2 && disposition.is_ascii(), "{disposition}");
        let is_plain = |c: char| (c == ' ' || c.is_ascii_graphic()) && !"\"\\%".contains(c);
        match disposition.split_once("; filename*=UTF-8''") {
            Some((_, escaped)) => assert_eq!(listed_for_desktop(escaped), name),
            None => assert!(name.chars().all(is_plain), "{name:?} became {disposition}"),
        }
    }
    assert_eq!(alice.names().len(), 15);
    stand.require_agreement();
}

#[test]
fn names_arrive_the_same_by_header_and_by_form() {
    let stand = Stand::shared();
    let (by_header, by_form) = (stand.person(), stand.person());
    let wire: [(&[u8], &str); 7] = [
        (b"My%20Photo.jpg", "My Photo.jpg"),
        (b"caf\xe9.jpg", "café.jpg"),
        ("ø€.jpg".as_bytes(), "ø€.jpg"),
        (b"100%.jpg", "100%.jpg"),
        (b"%2541.jpg", "%41.jpg"),
        (b"../../etc/passwd", "passwd"),
        (b"..%2F..%2Fphotosync.db", "photosync.db"),
    ];
    for (number, (sent, listed)) in wire.iter().enumerate() {
        for answer in [
            by_header.put_raw(sent, format!("bytes {number}").as_bytes()),
            by_form.put_form(sent, format!("bytes {number}").as_bytes()),
        ] {
            assert_eq!(answer.status(), 200, "{}", answer.text());
            assert_eq!(text_of(&answer, "filename"), *listed);
        }
    }
    for nameless in [&b""[..], b"..", b"/", b"%2e%2e", b"a/.."] {
        for answer in [by_header.put_raw(nameless, b"x"), by_form.put_form(nameless, b"x")] {
            assert_eq!(answer.status(), 400, "{nameless:?}: {}", answer.text());
        }
    }
    let request = by_header.request("POST", "/api/upload/raw").body(Body::Bytes(b"x"));
    assert_eq!(by_header.send(request).status(), 400, "no X-Filename");
    let request = by_header.request("POST", "/api/upload/raw").header("X-File-Name", "alias.jpg");
    assert_eq!(by_header.send(request.body(Body::Bytes(b"alias"))).status(), 200);
    assert_eq!((by_header.names().len(), by_form.names().len()), (8, 7));
    assert_eq!((by_header.on_disk().len(), by_header.staged()), (8, 0));
}

#[test]
fn bodies_may_be_chunked_and_may_wait_for_100_continue() {
    let stand = Stand::shared();
    let alice = stand.person();
    let bytes = opaque_bytes(8, 300_000);
    let raw = |name: &str| alice.request("POST", "/api/upload/raw").header("X-Filename", name);
    let mut reader = bytes.as_slice();
    let answer = alice.send(raw("chunked.jpg").body(Body::Chunked { reader: &mut reader }));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let waiting = raw("waited.jpg").body(Body::Bytes(&bytes[1..])).expect_continue();
    assert_eq!(alice.send(waiting).status(), 200);
    let whole = form("file", b"form.jpg", &bytes[2..]);
    let request = alice.request("POST", "/api/upload").header("Content-Type", FORM_TYPE);
    let answer = alice.send(request.body(Body::Chunked { reader: &mut Cursor::new(&whole) }));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    alice.require_library(&[
        ("chunked.jpg", &bytes),
        ("waited.jpg", &bytes[1..]),
        ("form.jpg", &bytes[2..]),
    ]);
    // Who may not upload is told so before the body is sent.
    let mut stranger = Client::new(alice.address);
    let request = photosync_tests::http::Request::new("POST", "/api/upload/raw")
        .body(Body::Bytes(&bytes))
        .expect_continue();
    assert_eq!(stranger.send(request).expect("an answer").status(), 401);
}

#[test]
fn a_form_may_hold_other_fields_but_exactly_one_file() {
    let stand = Stand::shared();
    let alice = stand.person();
    let send = |body: &[u8]| {
        let request = alice.request("POST", "/api/upload").header("Content-Type", FORM_TYPE);
        alice.send(request.body(Body::Bytes(body)))
    };
    let text =
        b"------a-boundary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n";
    let file = form("file", b"a.jpg", b"photo");
    let first = &file[..file.len() - "------a-boundary--\r\n".len()];
    assert_eq!(send(&[&text[..], &file].concat()).status(), 200);
    for (what, body) in [
        ("two files", [first, &form("file", b"b.jpg", b"another")].concat()),
        ("no file", form("photo", b"c.jpg", b"x")),
        ("no end", first.to_vec()),
        ("no form", b"photo".to_vec()),
        ("nothing", Vec::new()),
    ] {
        let answer = send(&body);
        assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
    }
    assert_eq!(alice.staged(), 0);
    alice.require_library(&[("a.jpg", b"photo")]);
}

#[test]
fn junk_in_offset_and_limit_counts_as_zero_and_zero_means_everything() {
    let stand = Stand::shared();
    let alice = stand.person();
    for number in 0..7 {
        alice.keep(&format!("{number}.jpg"), format!("photo {number}").as_bytes());
    }
    let page = |query: &str| {
        let answer = alice.get(&format!("/api/files{query}"));
        assert_eq!(answer.status(), 200, "{query}: {}", answer.text());
        assert_eq!(answer.json().expect("JSON")["total"], 7, "{query}");
        listed_in(&answer).into_iter().map(|file| file.filename).collect::<Vec<_>>()
    };
    let all: Vec<String> = (0..7).map(|number| format!("{number}.jpg")).collect();
    for everything in [
        "",
        "?limit=0",
        "?limit=0&offset=3",
        "?offset=3",
        "?limit=junk&offset=2",
        "?limit=-5",
        "?limit=7",
        "?limit=500&offset=-3",
        "?limit=500&offset=x",
        "?limit=",
        "?limit=99999999999999999999999",
    ] {
        assert_eq!(page(everything), all, "{everything}");
    }
    assert_eq!(page("?offset=2&limit=3"), all[2..5]);
    assert_eq!(page("?limit=3&offset=5"), all[5..]);
    assert_eq!(page("?limit=1"), all[..1]);
    for beyond in ["?offset=7&limit=5", "?offset=9223372036854775807&limit=9223372036854775807"] {
        assert!(page(beyond).is_empty(), "{beyond}");
    }
    assert_eq!(page("?offset=3&limit=9223372036854775807"), all[3..]);
    let empty = stand.person().get("/api/files").json().expect("JSON");
    assert_eq!(empty, serde_json::json!({"files": [], "total": 0}));
}

#[test]
fn a_purge_goes_to_the_trash_and_every_byte_comes_back_while_the_server_runs() {
    let stand = Stand::shared();
    let alice = stand.person();
    let photos: Vec<(String, Vec<u8>)> = (0..20_usize)
        .map(|number| (format!("IMG {number}.jpg"), opaque_bytes(number as u64, 5000 + number)))
        .collect();
    for (name, bytes) in &photos {
        alice.keep(name, bytes);
    }
    let before = alice.library();
    let answer = alice.post("/api/files/purge").json().expect("JSON");
    assert_eq!(answer, serde_json::json!({"ok": true, "deleted": {"files": 20}}));
    assert!(alice.names().is_empty());
    assert_eq!(alice.download("IMG 3.jpg").status(), 404);
    crate::stand::wait_until("the files are in the trash", || alice.on_disk().is_empty());
    stand.require_agreement();
    let none = alice.post("/api/files/purge").json().expect("JSON");
    assert_eq!(none["deleted"]["files"], 0);
    // One name is used again meanwhile, and one photo is sent again.
    alice.keep("IMG 3.jpg", b"a new photo");
    assert!(!is_duplicate(&alice.put_raw("IMG 4.jpg", &photos[4].1)), "it was not held");
    let restored = stand.command(&["trash-restore", &alice.email], "");
    assert_eq!(restored.code, 0, "{}{}", restored.stdout, restored.stderr);
    let mut expected = before;
    expected.insert("IMG 3 (2).jpg".to_owned(), photos[3].1.clone());
    expected.insert("IMG 3.jpg".to_owned(), b"a new photo".to_vec());
    assert!(alice.library() == expected, "{:?}", alice.names());
    stand.require_agreement();
    let unknown = stand.command(&["trash-restore", "nobody@example.org"], "");
    assert_ne!(unknown.code, 0);
}
