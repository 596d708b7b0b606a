//! The old clients against scripted answers: what they send is compared byte for byte.

use std::fs;

use crate::desktop::Desktop;
use crate::http::tests::serve;
use crate::phone::Phone;

const LOGIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nConnection: close\r\n\r\n\
    {\"token\":\"T\",\"userId\":42}";
const EMPTY_LIST: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"files\":[],\"total\":0}";
const STORED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n\
    {\"message\":\"stored\",\"filename\":\"x.y\"}";

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[test]
fn the_phone_sends_one_part_with_an_escaped_name_and_a_false_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("Zoë 1.HEIC");
    fs::write(&photo, b"heic bytes").expect("a photo");
    let (address, server) = serve(vec![vec![LOGIN], vec![EMPTY_LIST], vec![STORED]]);
    let mut phone = Phone::new(address, "A@b.c", "pw");
    phone.login().expect("signed in");
    let report = phone.back_up(&[photo]).expect("a report");
    assert_eq!((report.stored, report.bytes, report.failed.len()), (1, 10, 0));
    let received = server.join().expect("the server");
    let upload = text(&received[2]);
    assert!(upload.starts_with("POST /api/upload HTTP/1.1\r\n"), "{upload}");
    assert!(upload.contains("\r\nAuthorization: Bearer T\r\nX-Device-UUID: "), "{upload}");
    assert!(upload.contains("\r\nX-Client-Build: "), "{upload}");
    let part = "content-disposition: form-data; name=\"file\"; filename=\"Zo%C3%AB%201.HEIC\"\r\n\
        content-type: image/jpeg\r\n\r\nheic bytes\r\n------photosync-boundary-";
    assert!(upload.contains(part), "{upload}");
}

#[test]
fn the_phone_keeps_nothing_of_an_answer_other_than_200() {
    const LISTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 56\r\n\r\n\
        {\"files\":[{\"filename\":\"100% a.jpg\",\"size\":3}],\"total\":1}";
    const PARTIAL: &[u8] = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc";
    let folder = tempfile::tempdir().expect("a folder");
    let (address, server) = serve(vec![vec![LOGIN], vec![LISTED], vec![PARTIAL]]);
    let mut phone = Phone::new(address, "a@b.c", "pw");
    phone.login().expect("signed in");
    let report = phone.restore(folder.path()).expect("a report");
    assert_eq!((report.stored, report.failed.len()), (0, 1));
    assert!(report.failed[0].reason.contains("206"), "{:?}", report.failed);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    let received = server.join().expect("the server");
    assert!(text(&received[2]).starts_with("GET /api/files/100%%20a.jpg HTTP/1.1\r\n"));
}

#[test]
fn the_desktop_tries_three_times_and_sends_latin_1_in_chunks() {
    const BROKEN: &[u8] = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("é.jpg");
    fs::write(&photo, b"jpeg").expect("a photo");
    let scripts = vec![vec![LOGIN], vec![EMPTY_LIST], vec![BROKEN], vec![BROKEN], vec![STORED]];
    let (address, server) = serve(scripts);
    let mut desktop = Desktop::new(address, " A@b.c ", "pw").without_retry_pauses();
    desktop.login().expect("signed in");
    let report = desktop.back_up(&[photo]).expect("a report");
    assert_eq!((report.stored, report.failed.len()), (1, 0), "{:?}", report.failed);
    let received = server.join().expect("the server");
    assert!(text(&received[0]).contains("\"email\":\" A@b.c \""), "sent as typed");
    assert!(text(&received[1]).starts_with("GET /api/files?offset=0&limit=500 HTTP/1.1\r\n"));
    for upload in &received[2..] {
        let upload = text(upload);
        assert!(upload.contains("\r\nX-Filename: \u{e9}.jpg\r\n"), "{upload}");
        let chunked = "\r\nTransfer-Encoding: chunked\r\n\r\n4\r\njpeg\r\n0\r\n\r\n";
        assert!(upload.ends_with(chunked), "{upload}");
    }
}

#[test]
fn a_refusal_is_final_for_the_desktop() {
    const REFUSED: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("a.jpg");
    fs::write(&photo, b"jpeg").expect("a photo");
    let (address, server) = serve(vec![vec![LOGIN], vec![EMPTY_LIST], vec![REFUSED]]);
    let mut desktop = Desktop::new(address, "a@b.c", "pw").without_retry_pauses();
    desktop.login().expect("signed in");
    let report = desktop.back_up(&[photo]).expect("a report");
    assert_eq!((report.stored, report.failed.len()), (0, 1));
    assert_eq!(server.join().expect("the server").len(), 3);
}
