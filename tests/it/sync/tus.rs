//! Resumable uploads: cuts at any byte, restarts in the middle, two connections at once; and what is left behind.

mod edges;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_tests::http::{Answer, Body, Request};
use sha1::{Digest as _, Sha1};
use sha2::{Digest as _, Sha256};

use crate::stand::{Person, SOON, Stand, account_uuid, wait_until};

const BASE: &str = "/api/v2/tus";
const PATCH_TYPE: &str = "application/offset+octet-stream";

/// Bytes that look like nothing, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn metadata(name: &str, bytes: Option<&[u8]>) -> String {
    let mut field = format!("filename {}", base64(name.as_bytes()));
    if let Some(bytes) = bytes {
        field += &format!(",digest {}", base64(hex::encode(Sha256::digest(bytes)).as_bytes()));
    }
    field
}

/// One person's view of tus.
struct Tus<'a> {
    person: &'a Person,
}

impl Tus<'_> {
    fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = self.person.request(method, path).header("Tus-Resumable", "1.0.0");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        self.person.send(request.body(Body::Bytes(body)))
    }

    fn create(&self, length: usize, fields: &[(&str, &str)]) -> Answer {
        let length = length.to_string();
        let mut all = vec![("Upload-Length", length.as_str())];
        all.extend_from_slice(fields);
        self.send("POST", BASE, &all, b"")
    }

    /// Begins an upload of these bytes with a name and, if asked for, their digest.
    fn begin(&self, name: &str, bytes: &[u8], with_digest: bool) -> String {
        let metadata = metadata(name, with_digest.then_some(bytes));
        let answer = self.create(bytes.len(), &[("Upload-Metadata", &metadata)]);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        field(&answer, "Location")
    }

    fn patch(&self, path: &str, offset: usize, bytes: &[u8], more: &[(&str, &str)]) -> Answer {
        let offset = offset.to_string();
        let mut fields = vec![("Content-Type", PATCH_TYPE), ("Upload-Offset", offset.as_str())];
        fields.extend_from_slice(more);
        self.send("PATCH", path, &fields, bytes)
    }

    fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], b"")
    }

    fn offset(&self, path: &str) -> usize {
        let answer = self.head(path);
        assert_eq!(answer.status(), 200, "HEAD {path}");
        field(&answer, "Upload-Offset").parse().expect("a number")
    }

    /// A PATCH that announces everything up to `whole` and stops after `sent`.
    fn begin_patch(&self, path: &str, offset: usize, whole: usize, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.person.address).expect("a connection");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-Device-UUID: {}\r\n\
             Tus-Resumable: 1.0.0\r\nContent-Type: {PATCH_TYPE}\r\nUpload-Offset: {offset}\r\n\
             Content-Length: {}\r\n\r\n",
            self.person.token,
            self.person.device_uuid,
            whole - offset
        );
        stream.write_all(head.as_bytes()).expect("a sent head");
        stream.write_all(sent).expect("a sent beginning");
        stream
    }

    /// The rest in one request, which must complete the upload. Returns the asset's id.
    fn complete(&self, path: &str, bytes: &[u8]) -> String {
        let offset = self.offset(path);
        let answer = self.patch(path, offset, &bytes[offset..], &[]);
        assert_eq!(answer.status(), 204, "{}", answer.text());
        assert_eq!(field(&answer, "Upload-Offset"), bytes.len().to_string());
        field(&answer, "PhotoSync-Asset")
    }
}

fn field(answer: &Answer, name: &str) -> String {
    let found = answer.header(name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", answer.head)).to_owned()
}

fn code(answer: &Answer) -> String {
    crate::stand::text_of(answer, "code")
}

#[test]
fn options_tell_what_is_spoken_and_every_other_version_is_refused() {
    let stand = Stand::shared();
    let person = stand.person();
    let options = stand.send(Request::new("OPTIONS", BASE));
    assert_eq!(options.status(), 204);
    assert_eq!(options.header("Tus-Version"), Some("1.0.0"));
    assert_eq!(options.header("Tus-Resumable"), Some("1.0.0"));
    assert_eq!(options.header("Tus-Checksum-Algorithm"), Some("sha1,sha256"));
    assert_eq!(options.header("Tus-Max-Size"), None, "no file is too large");
    let extensions = field(&options, "Tus-Extension");
    for extension in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
    ] {
        assert!(extensions.split(',').any(|known| known == extension), "{extension}");
    }
    for version in [None, Some("0.2.2")] {
        let mut request = person.request("POST", BASE).header("Upload-Length", "5");
        if let Some(version) = version {
            request = request.header("Tus-Resumable", version);
        }
        let answer = person.send(request.body(Body::Bytes(b"")));
        assert_eq!((answer.status(), code(&answer).as_str()), (412, "unsupported_version"));
        assert_eq!(answer.header("Tus-Version"), Some("1.0.0"));
    }
    let unknown = stand.send(
        Request::new("POST", BASE).header("Tus-Resumable", "1.0.0").header("Upload-Length", "5"),
    );
    assert_eq!(unknown.status(), 401);
    assert_eq!(person.staged(), 0);
}

#[test]
fn an_upload_cut_at_any_byte_goes_on_where_it_ended_and_loses_nothing() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(1, 3 * 1024 * 1024 + 17);
    let path = tus.begin("cut.jpg", &bytes, true);
    let cuts = [1, 2, 511, 4096, 65_537, 262_144, 262_145, 300_001, 700_003, 1_000_000];
    let mut offset = 0;
    for (number, cut) in cuts.into_iter().enumerate() {
        let end = (offset + cut).min(bytes.len());
        let mut stream = tus.begin_patch(&path, offset, bytes.len(), &bytes[offset..end]);
        if number % 2 == 0 {
            // Half closed: everything is delivered, then the end. Otherwise it stays open and silent.
            stream.shutdown(std::net::Shutdown::Write).expect("a half-closed connection");
        }
        let asks_at_once = number % 3 == 2;
        if !asks_at_once {
            wait_until("every byte that was sent is kept", || staged_bytes(&person) == end as u64);
        }
        let found = tus.offset(&path);
        let least = if asks_at_once { offset } else { end };
        assert!((least..=end).contains(&found), "{found} of {offset} to {end}");
        // The old request may only have begun after the question: it is over when its connection is.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.set_read_timeout(Some(SOON));
        let _ = stream.read_to_end(&mut Vec::new());
        let found = tus.offset(&path);
        assert!((least..=end).contains(&found), "{found} of {offset} to {end}");
        offset = found;
    }
    let asset = tus.complete(&path, &bytes);
    assert_eq!(field(&tus.head(&path), "PhotoSync-Asset"), asset);
    person.require_library(&[("cut.jpg", &bytes)]);
    assert_eq!(person.staged(), 0);
}

#[test]
fn a_killed_server_goes_on_with_what_it_had() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(2, 5_000_000);
    let path = tus.begin("restart.mov", &bytes, false);
    assert_eq!(tus.patch(&path, 0, &bytes[..2_000_000], &[]).status(), 204);
    let stream = tus.begin_patch(&path, 2_000_000, bytes.len(), &bytes[2_000_000..3_500_000]);
    wait_until("bytes of the stalled request are in the file", || {
        staged_bytes(&person) > 3_000_000
    });
    stand.kill();
    drop(stream);
    stand.start();
    let person = person.at(&stand);
    let tus = Tus { person: &person };
    let offset = tus.offset(&path);
    assert!((3_000_000..=3_500_000).contains(&offset), "{offset}");
    let asset = tus.complete(&path, &bytes);
    person.require_library(&[("restart.mov", &bytes)]);
    assert_eq!(person.staged(), 0);
    // Completion can be asked again, also after another restart.
    stand.kill();
    stand.start();
    let person = person.at(&stand);
    let tus = Tus { person: &person };
    let answer = tus.head(&path);
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "PhotoSync-Asset"), asset);
    assert_eq!(field(&answer, "Upload-Offset"), field(&answer, "Upload-Length"));
    stand.stop();
    stand.require_agreement();
}

fn staged_bytes(person: &Person) -> u64 {
    let files = crate::stand::files_below(&person.folder.join(".staging"));
    files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn creating_the_same_upload_again_finds_the_one_begun() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(3, 900_000);
    let path = tus.begin("again.jpg", &bytes, true);
    assert_eq!(tus.patch(&path, 0, &bytes[..400_000], &[]).status(), 204);
    let fields = metadata("again.jpg", Some(&bytes));
    let again = tus.create(bytes.len(), &[("Upload-Metadata", &fields)]);
    assert_eq!((again.status(), field(&again, "Location")), (201, path.clone()));
    assert_eq!(field(&again, "Upload-Offset"), "400000");
    // With the body: it is thrown away, the offset is the real one.
    let length = bytes.len().to_string();
    let with_body = tus.send(
        "POST",
        BASE,
        &[("Upload-Length", &length), ("Upload-Metadata", &fields), ("Content-Type", PATCH_TYPE)],
        &bytes,
    );
    assert_eq!((with_body.status(), field(&with_body, "Location")), (201, path.clone()));
    assert_eq!(field(&with_body, "Upload-Offset"), "400000");
    let asset = tus.complete(&path, &bytes);
    // And once it is held, a creation is finished at once, under whatever name.
    let fields = metadata("other.jpg", Some(&bytes));
    let held = tus.create(bytes.len(), &[("Upload-Metadata", &fields)]);
    assert_eq!((held.status(), field(&held, "PhotoSync-Asset")), (201, asset.clone()));
    assert_eq!(field(&held, "Upload-Offset"), length);
    assert_eq!(field(&tus.head(&field(&held, "Location")), "PhotoSync-Asset"), asset);
    person.require_library(&[("again.jpg", &bytes)]);
    assert_eq!(person.staged(), 0);
    // Somebody else begins anew and finds nothing of it.
    let other = stand.person();
    let theirs = Tus { person: &other };
    assert_eq!(theirs.head(&path).status(), 404);
    assert_eq!(theirs.patch(&path, 0, b"x", &[]).status(), 404);
    assert_eq!(theirs.send("DELETE", &path, &[], b"").status(), 404);
    assert_eq!(theirs.offset(&theirs.begin("again.jpg", &bytes, true)), 0);
}

#[test]
fn a_whole_file_can_come_with_its_creation() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(4, 20_000);
    let fields = metadata("small.jpg", None);
    let answer = tus.send(
        "POST",
        BASE,
        &[("Upload-Length", "20000"), ("Upload-Metadata", &fields), ("Content-Type", PATCH_TYPE)],
        &bytes,
    );
    assert_eq!(answer.status(), 201, "{}", answer.text());
    assert_eq!(field(&answer, "Upload-Offset"), "20000");
    assert_eq!(field(&tus.head(&field(&answer, "Location")), "Upload-Metadata"), fields);
    assert!(answer.header("PhotoSync-Asset").is_some());
    // Other bytes than were announced leave nothing.
    let announced = metadata("wrong.jpg", Some(b"something else"));
    let wrong = tus.send(
        "POST",
        BASE,
        &[
            ("Upload-Length", "20000"),
            ("Upload-Metadata", &announced),
            ("Content-Type", PATCH_TYPE),
        ],
        &noise(17, 20_000),
    );
    assert_eq!((wrong.status(), code(&wrong).as_str()), (400, "digest_mismatch"));
    person.require_library(&[("small.jpg", &bytes)]);
    assert_eq!(person.staged(), 0);
}

#[test]
fn a_deferred_length_comes_later_once() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(5, 100_000);
    let fields = metadata("later.jpg", None);
    let deferred = [("Upload-Defer-Length", "1"), ("Upload-Metadata", fields.as_str())];
    let answer = tus.send("POST", BASE, &deferred, b"");
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let path = field(&answer, "Location");
    assert_eq!(tus.patch(&path, 0, &bytes[..60_000], &[]).status(), 204);
    let head = tus.head(&path);
    assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
    assert_eq!(head.header("Upload-Length"), None);
    assert_eq!(tus.patch(&path, 60_000, b"", &[("Upload-Length", "50000")]).status(), 400);
    assert_eq!(tus.patch(&path, 60_000, b"", &[("Upload-Length", "100000")]).status(), 204);
    assert_eq!(tus.patch(&path, 60_000, b"", &[("Upload-Length", "100001")]).status(), 400);
    assert_eq!(tus.head(&path).header("Upload-Length"), Some("100000"));
    tus.complete(&path, &bytes);
    person.require_library(&[("later.jpg", &bytes)]);
}

#[test]
fn a_piece_with_a_wrong_checksum_leaves_nothing_of_itself() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(6, 1_200_000);
    let path = tus.begin("sum.jpg", &bytes, false);
    let sha256 = format!("sha256 {}", base64(&Sha256::digest(&bytes[..600_000])));
    let sha1 = format!("sha1 {}", base64(&Sha1::digest(&bytes[600_000..])));
    let wrong = tus.patch(&path, 0, &bytes[1..600_001], &[("Upload-Checksum", &sha256)]);
    assert_eq!((wrong.status(), code(&wrong).as_str()), (460, "checksum_mismatch"));
    assert_eq!(tus.offset(&path), 0);
    let right = tus.patch(&path, 0, &bytes[..600_000], &[("Upload-Checksum", &sha256)]);
    assert_eq!(right.status(), 204, "{}", right.text());
    let wrong = tus.patch(&path, 600_000, &bytes[..600_000], &[("Upload-Checksum", &sha1)]);
    assert_eq!(wrong.status(), 460, "the last piece too");
    assert_eq!(tus.offset(&path), 600_000);
    let odd = tus.patch(&path, 600_000, b"x", &[("Upload-Checksum", "md5 AAAA")]);
    assert_eq!(odd.status(), 400);
    let right = tus.patch(&path, 600_000, &bytes[600_000..], &[("Upload-Checksum", &sha1)]);
    assert_eq!(right.status(), 204, "{}", right.text());
    person.require_library(&[("sum.jpg", &bytes)]);
}

#[test]
fn partial_uploads_become_one_file_in_the_order_of_the_final() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(7, 1_000_000);
    let halves = [&bytes[..300_000], &bytes[300_000..]];
    let parts: Vec<String> = halves
        .iter()
        .map(|half| {
            let answer = tus.create(half.len(), &[("Upload-Concat", "partial")]);
            assert_eq!(answer.status(), 201, "{}", answer.text());
            field(&answer, "Location")
        })
        .collect();
    let address = person.address;
    let concat = format!("final;{} http://{address}{}", parts[0], parts[1]);
    let fields = metadata("joined.mov", Some(&bytes));
    let join =
        || tus.send("POST", BASE, &[("Upload-Concat", &concat), ("Upload-Metadata", &fields)], b"");
    assert_eq!(tus.patch(&parts[1], 0, halves[1], &[]).status(), 204);
    assert_eq!(join().status(), 400, "one part is not complete");
    assert_eq!(tus.patch(&parts[0], 0, halves[0], &[]).status(), 204);
    assert_eq!(tus.head(&parts[0]).header("Upload-Concat"), Some("partial"));
    let answer = join();
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let path = field(&answer, "Location");
    let again = join();
    assert_eq!((again.status(), field(&again, "Location")), (201, path.clone()));
    let head = tus.head(&path);
    assert_eq!(field(&head, "Upload-Concat"), format!("final;{} {}", parts[0], parts[1]));
    assert_eq!(field(&head, "Upload-Length"), "1000000");
    assert_eq!(field(&head, "PhotoSync-Asset"), field(&answer, "PhotoSync-Asset"));
    assert_eq!(tus.patch(&path, 1_000_000, b"", &[]).status(), 403);
    person.require_library(&[("joined.mov", &bytes)]);
    assert_eq!(person.staged(), 0);
}

#[test]
fn an_ended_upload_is_gone_with_its_bytes_and_an_asset_stays() {
    let stand = Stand::shared();
    let person = stand.person();
    let tus = Tus { person: &person };
    let bytes = noise(8, 50_000);
    let path = tus.begin("ended.jpg", &bytes, true);
    assert_eq!(tus.patch(&path, 0, &bytes[..20_000], &[]).status(), 204);
    assert_eq!(person.staged(), 1);
    assert_eq!(tus.send("DELETE", &path, &[], b"").status(), 204);
    assert_eq!(tus.head(&path).status(), 404);
    assert_eq!(person.staged(), 0);
    let path = tus.begin("kept.jpg", &bytes, true);
    tus.complete(&path, &bytes);
    // By the name of another method, as some networks need it.
    let ended = tus.send("POST", &path, &[("X-HTTP-Method-Override", "DELETE")], b"");
    assert_eq!(ended.status(), 204);
    person.require_library(&[("kept.jpg", &bytes)]);
}
