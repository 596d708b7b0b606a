//! Manifests: every field at its edges, and JSON that is not what it should be.

use photosync_protocol::format::Bad;
use serde_json::{Value, json};

use super::{account, alice, bad_padding, case, damage, open, right, too_long, with_nonce};
use crate::cases::{Case, File, refused};

/// A right one, byte for byte as the writers write it.
pub(super) const RIGHT: &str = concat!(
    r#"{"digest":"0303030303030303030303030303030303030303030303030303030303030303","size_bytes":4194305,"#,
    r#""name":"IMG_0001.jpg","claims":{"folder":"2024/Été"},"#,
    r#""chunks":["0404040404040404040404040404040404040404040404040404040404040404","#,
    r#""0505050505050505050505050505050505050505050505050505050505050505"]}"#
);
const DIGEST: &str = "0303030303030303030303030303030303030303030303030303030303030303";
const CHUNK: &str = "0404040404040404040404040404040404040404040404040404040404040404";

pub(super) fn file() -> File {
    let mut cases = good();
    cases.extend(damage("manifest", b'M', 84));
    cases.extend(bad_padding("manifest", b'M'));
    cases.extend(too_long("manifest", b'M', 24 << 20));
    cases.extend(bad_wraps("manifest", b'M'));
    cases.extend(bad());
    File { about: "Manifests of version 2.".into(), cases }
}

fn document(size_bytes: u64, name: &str, chunks: &[&str]) -> Value {
    json!({ "digest": DIGEST, "size_bytes": size_bytes, "name": name, "claims": null, "chunks": chunks })
}

/// What is expected of a reader: as written, without what says nothing.
fn expected(mut document: Value) -> Value {
    let map = document.as_object_mut().expect("an object");
    map.retain(|_, value| !value.is_null());
    document
}

fn good() -> Vec<Case> {
    let two = "0505050505050505050505050505050505050505050505050505050505050505";
    let made = |name: &str, text: &str, expect: Value| {
        case(name, open("manifest", &alice().document(b'M', 1, text.as_bytes())), expect)
    };
    let parsed = |text: &str| -> Value { serde_json::from_str(text).expect("a manifest") };
    let plain = |name: &str, size_bytes: u64, file_name: &str, chunks: &[&str]| {
        let list: Vec<String> = chunks.iter().map(|id| format!("\"{id}\"")).collect();
        let text = format!(
            r#"{{"digest":"{DIGEST}","size_bytes":{size_bytes},"name":"{file_name}","chunks":[{}]}}"#,
            list.join(",")
        );
        made(name, &text, expected(document(size_bytes, file_name, chunks)))
    };
    let claims = concat!(
        r#"{"captured":{"local":"2024-07-01T12:30:00.5","offset_minutes":-210,"source":"library"},"#,
        r#""device_asset_id":"A/L0/001","folder":"DCIM/100","favourite":true,"albums":["Été","🏔"],"#,
        r#""pair":{"id":"p1","role":"motion","source":"name"},"modified_ms":-1,"#,
        r#""copies":[{"device_asset_id":"path:b/x","folder":"b","modified_ms":2},{}]}"#
    );
    let full = format!(
        r#"{{"digest":"{DIGEST}","size_bytes":1,"name":"x","claims":{claims},"chunks":["{CHUNK}"]}}"#
    );
    let unknown = RIGHT.replacen('{', r#"{"later":{"deep":[1,2.5,null,true,"x"]},"#, 1);
    let blanks = RIGHT.replace(':', " :\t").replace(',', "\r\n,") + " \n";
    let escaped = RIGHT.replace("IMG_0001.jpg", r"\ud83d\udcf7\u0041\n\/.jpg");
    let mut escaped_expect = parsed(RIGHT);
    escaped_expect["name"] = json!("📷A\n/.jpg");
    vec![
        made("two chunks and a folder", RIGHT, parsed(RIGHT)),
        made("everything that can be claimed", &full, parsed(&full)),
        case("in the current epoch", open("manifest", &right(b'M', 2)), parsed(RIGHT)),
        plain("an empty file", 0, "empty.txt", &[]),
        plain("one byte", 1, "x", &[CHUNK]),
        plain("exactly one chunk", 4_194_304, "IMG.HEIC", &[CHUNK]),
        plain("one byte more than a chunk", 4_194_305, "IMG.HEIC", &[CHUNK, two]),
        plain("the same chunk twice", 8_388_608, "zeros.bin", &[CHUNK, CHUNK]),
        plain("a name of pictures", 1, "📷 👨‍👩‍👧 ümläut.jpg", &[CHUNK]),
        plain("a name like a path", 1, "../../etc/passwd", &[CHUNK]),
        plain("a name of 1024 bytes", 1, &"é".repeat(512), &[CHUNK]),
        made("keys that this version does not know", &unknown, parsed(RIGHT)),
        made("blanks wherever JSON has room for them", &blanks, parsed(RIGHT)),
        made("escapes of JSON in the name", &escaped, escaped_expect),
        made("digits in capitals", &RIGHT.replace(DIGEST, &"AB".repeat(32)), {
            let mut expect = parsed(RIGHT);
            expect["digest"] = json!("ab".repeat(32));
            expect
        }),
    ]
}

/// The recovery wrap in clear is proved too.
pub(super) fn bad_wraps(kind: &str, letter: u8) -> Vec<Case> {
    let object = right(letter, 1);
    let with = |wrap: &[u8]| [&object[..12], wrap, &object[84..]].concat();
    let made = |name: &str, object: Vec<u8>| case(name, open(kind, &object), refused(Bad::Forged));
    vec![
        made("recovery wrap: bit flipped in the nonce", super::flipped(&object, 12 * 8)),
        made("recovery wrap: last bit flipped", super::flipped(&object, 84 * 8 - 1)),
        made("recovery wrap: of another account", with(&account("bob").recovery_wrap())),
        made("recovery wrap: zeros", with(&[0; 72])),
        made(
            "recovery wrap: wrapped again",
            with(&alice().wrap(&alice().wrapping_key(), &[9; 24])),
        ),
        made("a nonce that is not the hash of the contents", with_nonce(letter, [7; 24])),
    ]
}

fn bad() -> Vec<Case> {
    let made = |name: &str, document: &[u8]| {
        let object = alice().document(b'M', 1, document);
        case(&format!("bad contents: {name}"), open("manifest", &object), refused(Bad::BadContents))
    };
    let with = |name: &str, from: &str, to: &str| {
        assert!(RIGHT.contains(from), "{from}");
        made(name, RIGHT.replacen(from, to, 1).as_bytes())
    };
    let mut not_text = RIGHT.as_bytes().to_vec();
    let at = RIGHT.find("IMG").expect("the name");
    not_text[at] = 0xff;
    let mut cases = vec![
        made("nothing", b""),
        made("an empty object", b"{}"),
        made("null", b"null"),
        made("a number", b"7"),
        made("a text", b"\"x\""),
        made("cut off", &RIGHT.as_bytes()[..RIGHT.len() - 1]),
        made("something behind it", format!("{RIGHT}x").as_bytes()),
        made("twice", format!("{RIGHT}{RIGHT}").as_bytes()),
        made("a byte-order mark", format!("\u{feff}{RIGHT}").as_bytes()),
        made("a name that is not UTF-8", &not_text),
        made("a comment", format!("/* */{RIGHT}").as_bytes()),
    ];
    cases.extend(
        [
            ("half of a surrogate pair", "IMG_0001", r"\ud83d"),
            ("a line break inside the name", "IMG_0001", "IMG\n0001"),
            ("an unknown escape", "IMG_0001", r"\x41"),
            ("single quotes", r#""IMG_0001.jpg""#, "'IMG_0001.jpg'"),
            ("a comma at the end", "]}", "],}"),
            ("the digest is missing", r#""digest""#, r#""digust""#),
            ("the size is missing", r#""size_bytes""#, r#""size""#),
            ("the name is missing", r#""name""#, r#""Name""#),
            ("the chunks are missing", r#""chunks""#, r#""chunk""#),
            ("the name stands twice", r#""name""#, r#""name":"y","name""#),
            (
                "the size stands twice, alike",
                r#""size_bytes""#,
                r#""size_bytes":4194305,"size_bytes""#,
            ),
            ("a digest of 31 bytes", r#""0303"#, r#""03"#),
            ("a digest of 33 bytes", r#""0303"#, r#""030303"#),
            ("a digest that is not hexadecimal", r#""0303"#, r#""0x03"#),
            ("a digest that is a number", &format!("\"{DIGEST}\""), "3"),
            ("an id of a chunk cut by a digit", r#"["04"#, r#"["4"#),
            ("an id of a chunk that is null", &format!("\"{CHUNK}\""), "null"),
            ("size overflow: 2^64", "4194305", "18446744073709551616"),
            ("size overflow: 2^64 - 1", "4194305", "18446744073709551615"),
            ("size overflow: more than 1 TiB", "4194305", "1099511627777"),
            ("a negative size", "4194305", "-4194305"),
            ("a size with a fraction", "4194305", "4194305.0"),
            ("a size with an exponent", "4194305", "4194305e0"),
            ("a size with a leading zero", "4194305", "04194305"),
            ("a size that is a text", "4194305", r#""4194305""#),
            ("a size that is null", "4194305", "null"),
            ("a chunk too many", "4194305", "4194304"),
            ("a chunk too few", "4194305", "8388609"),
            ("chunks of an empty file", "4194305", "0"),
            ("an empty name", "IMG_0001.jpg", ""),
            ("a name of 1025 bytes", "IMG_0001.jpg", &format!("x{}", "é".repeat(512))),
            ("a name that is null", r#""IMG_0001.jpg""#, "null"),
            ("a name that is a number", r#""IMG_0001.jpg""#, "1"),
            ("claims that are a text", r#"{"folder":"2024/Été"}"#, r#""2024""#),
            ("a folder that is a number", r#""2024/Été""#, "2024"),
            ("not a number", "4194305", "NaN"),
        ]
        .map(|(name, from, to)| with(name, from, to)),
    );
    cases
}
