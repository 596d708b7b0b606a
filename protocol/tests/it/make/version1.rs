//! Version 1, as the published clients write it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use serde_json::{Value, json};

use super::{case, digest, fixed, flipped, id_of, swapped, then_zeros};
use crate::cases::{Bytes, Case, File, Input, base64, contents, refused};
use crate::third::{Bytes32, Nonce, secretbox};

const DATA: &[u8] = b"hello photosync";

fn master() -> Bytes32 {
    fixed("master key of version 1")
}

fn file_key() -> Bytes32 {
    fixed("key of a file of version 1")
}

fn base() -> [u8; 16] {
    fixed("base nonce of a file of version 1")
}

pub(super) fn file() -> File {
    let mut cases = keys_and_ids();
    cases.extend(chunks());
    cases.extend(good_manifests());
    cases.extend(bad_manifests());
    let about = "Version 1, the format of the published phone and desktop clients.";
    File { about: about.into(), cases }
}

/// Keys and ids that the published desktop client computed.
fn keys_and_ids() -> Vec<Case> {
    let key = |email: &str, password: &str, key: &str| {
        let input = Input::DesktopMasterKey { email: email.into(), password: password.into() };
        case(&format!("master key of {:?}", email), input, json!({ "key": key }))
    };
    let desktop = |name: &str, path: &str, file_name: &str, size_bytes: u64, hashed: String| {
        let input =
            Input::DesktopManifestId { path: path.into(), name: file_name.into(), size_bytes };
        case(name, input, json!({ "id": id_of(hashed.as_bytes()) }))
    };
    let phone = Input::PhoneManifestId { asset_id: "ABC".into() };
    vec![
        key(
            "alice@example.com",
            "CorrectHorse9!",
            "dcffa0b862bb94d1c9a6d288eecf546be6a47202d532944626fb4726a63e2d53",
        ),
        key(
            "bob@example.com",
            "пароль",
            "0817eda68fb180088fa714a8b2f37df4c82767bfb99999cf4d024d2c01dfcdd3",
        ),
        key(" SP@x.org ", "pw", "b3e7245b839cd3d0552fb985ee646aa87252f04acb702e1645e3733157f1f6a1"),
        case("id of a phone's manifest", phone, json!({ "id": id_of(b"asset:ABC") })),
        desktop(
            "id of a desktop's manifest",
            "/a/IMG_0001.JPG",
            " IMG_0001.JPG",
            12345,
            "file:img_0001.jpg:12345".into(),
        ),
        desktop("id of a desktop's manifest without a name", "/a/x", " ", 1, "desktop:/a/x".into()),
    ]
}

fn boxed(index: u64, data: &[u8]) -> Vec<u8> {
    let nonce: Nonce = [&base()[..], &index.to_le_bytes()].concat().try_into().expect("24 bytes");
    secretbox(data, &nonce, &file_key())
}

fn open_as(boxed: Bytes, id: Digest, index: u64) -> Input {
    let (file_key, base_nonce) = (hex::encode(file_key()), hex::encode(base()));
    Input::OpenVersion1Chunk { boxed, id, file_key, base_nonce, index }
}

fn open(boxed: &[u8], index: u64) -> Input {
    open_as(base64(boxed), id_of(boxed), index)
}

fn chunks() -> Vec<Case> {
    let good =
        |name: &str, index, data| case(name, open(&boxed(index, data), index), contents(data));
    let first = boxed(0, DATA);
    let bad =
        |name: &str, boxed: &[u8], index: u64| case(name, open(boxed, index), refused(Bad::Forged));
    let with = |name: &str, file_key: Bytes32, base: [u8; 16]| {
        let (file_key, base_nonce) = (hex::encode(file_key), hex::encode(base));
        let input = Input::OpenVersion1Chunk {
            boxed: base64(&first),
            id: id_of(&first),
            file_key,
            base_nonce,
            index: 0,
        };
        case(name, input, refused(Bad::Forged))
    };
    let other = |name: &str, bytes: &[u8], id: Digest| {
        case(name, open_as(base64(bytes), id, 0), refused(Bad::WrongId))
    };
    let (longest, longest_id) = then_zeros(&first, (4 << 20) + 16);
    let (too_long, too_long_id) = then_zeros(&first, (4 << 20) + 17);
    vec![
        good("chunk at place 0", 0, DATA),
        good("chunk at place 1", 1, DATA),
        good("chunk at place 258", 258, DATA),
        good("chunk at the last place there is", u64::MAX, DATA),
        good("chunk of nothing", 0, b""),
        bad("chunk: wrong place", &first, 1),
        bad("chunk: swapped with the next", &boxed(1, DATA), 0),
        bad("chunk: its place written big-endian", &boxed(1 << 56, DATA), 1),
        bad("chunk: truncated to nothing", b"", 0),
        bad("chunk: truncated inside the tag", &first[..15], 0),
        bad("chunk: truncated to the tag", &first[..16], 0),
        bad("chunk: truncated by a byte", &first[..first.len() - 1], 0),
        bad("chunk: one byte appended", &[&first[..], &[0]].concat(), 0),
        bad("chunk: bit flipped in the tag", &flipped(&first, 0), 0),
        bad("chunk: bit flipped in the text", &flipped(&first, 16 * 8), 0),
        bad("chunk: tag and text swapped", &swapped(&boxed(0, &[7; 16]), 0, 16, 16), 0),
        with("chunk: the key of another file", fixed("another file"), base()),
        with("chunk: the nonce of another file", file_key(), fixed("another file")),
        with("chunk: the master key", master(), base()),
        other("chunk: wrong id", &first, digest("another id")),
        other("chunk: bit flipped under its own id", &flipped(&first, 99), id_of(&first)),
        case(
            "chunk: as long as can be, of zeros",
            open_as(longest, longest_id, 0),
            refused(Bad::Forged),
        ),
        case("chunk: too long by a byte", open_as(too_long, too_long_id, 0), refused(Bad::TooLong)),
    ]
}

const WRAP_NONCE: Nonce = [5; 24];

fn phone() -> String {
    format!(
        r#"{{"v":1,"assetId":"ABC","filename":"IMG_0001.JPG","mediaType":"photo","originalSize":15,"baseNonce16":"{}","wrapNonce":"{}","wrappedFileKey":"{}","chunkIds":["{}"],"chunkSizes":[15]}}"#,
        STANDARD.encode(base()),
        STANDARD.encode(WRAP_NONCE),
        STANDARD.encode(secretbox(&file_key(), &WRAP_NONCE, &master())),
        digest("a chunk"),
    )
}

fn sealed(json: &str) -> String {
    let nonce: Nonce = [6; 24];
    let boxed = STANDARD.encode(secretbox(json.as_bytes(), &nonce, &master()));
    format!(r#"{{"manifestNonce":"{}","manifestBox":"{boxed}"}}"#, STANDARD.encode(nonce))
}

fn manifest(name: &str, text: String, expect: Value) -> Case {
    case(name, Input::OpenVersion1Manifest { text, master: hex::encode(master()) }, expect)
}

fn good_manifests() -> Vec<Case> {
    let good = |name: &str, json: &str, expect: &str| {
        let opened: Value = serde_json::from_str(expect).expect("a manifest");
        let expect = json!({
            "manifest": opened,
            "file_key": hex::encode(file_key()),
            "base_nonce": hex::encode(base()),
        });
        manifest(name, sealed(json), expect)
    };
    let phone = phone();
    let desktop = phone
        .replace(r#""baseNonce16""#, r#""creationTime":1700000000000.5,"exifCaptureTime":"2024-07-01T12:30:00","exifMake":"canon","exifModel":"eos r5","baseNonce16""#)
        .replace(r#"[15]}"#, &format!(r#"[15],"fileHash":"{}","perceptualHash":"0123456789abcdef"}}"#, digest("a file")));
    let unknown = phone.replacen('{', r#"{"later":{},"#, 1);
    let silent = phone
        .replace(r#""IMG_0001.JPG""#, "null")
        .replace(r#""photo""#, "null")
        .replace(r#""originalSize":15"#, r#""originalSize":null"#);
    vec![
        good("manifest of a phone", &phone, &phone),
        good("manifest of a desktop", &desktop, &desktop),
        good("manifest with keys that this version does not know", &unknown, &phone),
        good("manifest that says nothing of its file", &silent, &silent),
    ]
}

fn bad_manifests() -> Vec<Case> {
    let right = phone();
    let bad = |name: &str, text: String, why: Bad| {
        manifest(&format!("manifest: {name}"), text, refused(why))
    };
    let with = |name: &str, from: &str, to: &str, why: Bad| {
        assert!(right.contains(from), "{from}");
        bad(name, sealed(&right.replacen(from, to, 1)), why)
    };
    let of_size = |file: &str, chunk: &str| {
        let right = right.replace(r#""originalSize":15"#, &format!(r#""originalSize":{file}"#));
        right.replace("[15]", &format!("[{chunk}]"))
    };
    let text = sealed(&right);
    let changed = |at: &str| {
        let place = text.find(at).expect("a key") + at.len() + 4;
        let mut text = text.clone();
        let other = if &text[place..=place] == "A" { "B" } else { "A" };
        text.replace_range(place..=place, other);
        text
    };
    let wrapped = STANDARD.encode(secretbox(&file_key(), &WRAP_NONCE, &master()));
    let by_other = STANDARD.encode(secretbox(&file_key(), &WRAP_NONCE, &fixed("another master")));
    let other_master =
        Input::OpenVersion1Manifest { text: text.clone(), master: hex::encode(file_key()) };
    let id = digest("a chunk").to_string();
    vec![
        case("manifest: wrong account", other_master, refused(Bad::Forged)),
        bad("nothing", String::new(), Bad::Unknown),
        bad("truncated", text[..text.len() - 1].into(), Bad::Unknown),
        bad("something behind it", format!("{text}x"), Bad::Unknown),
        bad("not boxed", right.clone(), Bad::Unknown),
        bad("the nonce is missing", text.replace("manifestNonce", "nonce"), Bad::Unknown),
        bad("the box is missing", text.replace("manifestBox", "box"), Bad::Unknown),
        bad(
            "a box that is not base64",
            text.replace(r#""manifestBox":""#, r#""manifestBox":"*"#),
            Bad::Unknown,
        ),
        bad("bit flipped in the nonce", changed(r#""manifestNonce":""#), Bad::Forged),
        bad("bit flipped in the box", changed(r#""manifestBox":""#), Bad::Forged),
        bad(
            "box truncated",
            text.replace(r#""manifestBox":""#, r#""manifestBox":"","was":""#),
            Bad::Forged,
        ),
        with("wrong version", r#""v":1"#, r#""v":2"#, Bad::BadContents),
        with("a size is missing", "[15]", "[]", Bad::BadContents),
        with("a size too many", "[15]", "[15,0]", Bad::BadContents),
        with("sizes that are not those of the file", "[15]", "[16]", Bad::BadContents),
        bad(
            "size overflow: a chunk of 2^64 - 1",
            sealed(&of_size("null", "18446744073709551615")),
            Bad::BadContents,
        ),
        with("size overflow: 2^64", "[15]", "[18446744073709551616]", Bad::BadContents),
        with("a negative size", "[15]", "[-15]", Bad::BadContents),
        bad("a chunk longer than any", sealed(&of_size("4194305", "4194305")), Bad::BadContents),
        with("an id that is not hexadecimal", &id, &format!("x{}", &id[1..]), Bad::BadContents),
        with("an id of 31 bytes", &id, &id[2..], Bad::BadContents),
        with("the chunks are missing", "chunkIds", "chunks", Bad::BadContents),
        with("the wrapped key is missing", "wrappedFileKey", "fileKey", Bad::BadContents),
        with(
            "the base nonce is too short",
            &STANDARD.encode(base()),
            &STANDARD.encode(&base()[1..]),
            Bad::BadContents,
        ),
        with("the base nonce is not base64", &STANDARD.encode(base()), "*", Bad::BadContents),
        with(
            "the wrap's nonce is too long",
            &STANDARD.encode(WRAP_NONCE),
            &STANDARD.encode([5; 25]),
            Bad::BadContents,
        ),
        with(
            "the wrap's nonce is another",
            &STANDARD.encode(WRAP_NONCE),
            &STANDARD.encode([4; 24]),
            Bad::Forged,
        ),
        with("the wrapped key is cut", &wrapped, &wrapped[..60], Bad::BadContents),
        with("the file key is wrapped by another account", &wrapped, &by_other, Bad::Forged),
        with(
            "the file key is not wrapped",
            &wrapped,
            &STANDARD.encode(file_key()),
            Bad::BadContents,
        ),
        with("the asset id is missing", "assetId", "id", Bad::BadContents),
    ]
}
