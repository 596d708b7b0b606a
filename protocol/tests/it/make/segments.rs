//! Segments: what can be in a chain at all, and JSON that is not what it should be.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use serde_json::Value;

use super::manifests::{RIGHT as MANIFEST, bad_wraps};
use super::{
    alice, bad_padding, case, damage, digest, id_of, open, right as right_object, too_long,
};
use crate::cases::{Case, File, refused};

const WRITER: &str = "08080808080808080808080808080808";

/// SHA-256 of the sorted ids.
fn live(mut ids: Vec<Digest>) -> Digest {
    ids.sort_unstable();
    id_of(&ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
}

/// A right one, byte for byte as the writers write it: the first of its chain.
pub(super) fn right() -> String {
    let (id, chunks) = (digest("a manifest"), [Digest([4; 32]), Digest([5; 32])]);
    let live = live([&[id], &chunks[..]].concat());
    format!(
        r#"{{"writer":"{WRITER}","sequence":1,"written_at_ms":1700000000000,"live":"{live}","entries":[{{"id":"{id}","manifest":{MANIFEST}}}]}}"#
    )
}

/// A later one, which repeats no manifest and knows of another chain.
fn second() -> String {
    let (previous, id) = (id_of(&right_object(b'S', 1)), digest("a long manifest"));
    let (seen, live) = (digest("head of another chain"), live(vec![id]));
    format!(
        r#"{{"writer":"{WRITER}","sequence":2,"previous":"{previous}","written_at_ms":1700000000001,"seen":[{{"writer":"09090909090909090909090909090909","sequence":7,"id":"{seen}"}}],"live":"{live}","entries":[{{"id":"{id}"}}]}}"#
    )
}

pub(super) fn file() -> File {
    let mut cases = good();
    cases.extend(damage("segment", b'S', 84));
    cases.extend(bad_padding("segment", b'S'));
    cases.extend(too_long("segment", b'S', 24 << 20));
    cases.extend(bad_wraps("segment", b'S'));
    cases.extend(bad());
    File {
        about: "Segments of version 2; whether one is the next of its chain is in chains.json."
            .into(),
        cases,
    }
}

fn good() -> Vec<Case> {
    let made = |name: &str, text: &str, expect: &str| {
        let expect: Value = serde_json::from_str(expect).expect("a segment");
        case(name, open("segment", &alice().document(b'S', 1, text.as_bytes())), expect)
    };
    let (first, second) = (right(), second());
    let empty = format!(
        r#"{{"writer":"{WRITER}","sequence":1,"written_at_ms":-1,"live":"{}","entries":[]}}"#,
        live(vec![])
    );
    let unknown = second.replace(r#","seen""#, r#","device":"Zoë's phone","seen""#);
    let last = second.replace(r#""sequence":2"#, r#""sequence":9007199254740991"#);
    let nothing_said = first.replace(r#","written_at_ms""#, r#","previous":null,"written_at_ms""#);
    vec![
        made("the first of a chain", &first, &first),
        made("the second, which names a manifest and has seen another chain", &second, &second),
        made("without entries", &empty, &empty),
        made("keys that this version does not know", &unknown, &second),
        made("the largest number of all: 2^53 - 1", &last, &last),
        made("a predecessor of null is none", &nothing_said, &first),
        case(
            "in the current epoch",
            open("segment", &right_object(b'S', 2)),
            serde_json::from_str(&first).expect("a segment"),
        ),
    ]
}

fn bad() -> Vec<Case> {
    let made = |name: &str, document: &str| {
        let object = alice().document(b'S', 1, document.as_bytes());
        case(&format!("bad contents: {name}"), open("segment", &object), refused(Bad::BadContents))
    };
    let with = |name: &str, right: &str, from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        made(name, &right.replacen(from, to, 1))
    };
    let (first, second) = (right(), second());
    let previous = format!(r#""previous":"{}","written_at_ms""#, digest("another"));
    let mut cases = vec![
        made("nothing", ""),
        made("an empty object", "{}"),
        made("null", "null"),
        made("a manifest", MANIFEST),
        made("cut off", &first[..first.len() - 1]),
        made("something behind it", &format!("{first}{first}")),
    ];
    cases.extend(
        [
            ("number 0", r#""sequence":1"#, r#""sequence":0"#),
            ("number 2 without a predecessor", r#""sequence":1"#, r#""sequence":2"#),
            ("number 1 with a predecessor", r#""written_at_ms""#, &previous),
            ("number overflow: 2^64", r#""sequence":1"#, r#""sequence":18446744073709551616"#),
            ("a negative number", r#""sequence":1"#, r#""sequence":-1"#),
            ("a number with a fraction", r#""sequence":1"#, r#""sequence":1.0"#),
            ("the number is missing", r#""sequence":1,"#, ""),
            ("the number stands twice", r#""sequence":1"#, r#""sequence":1,"sequence":1"#),
            ("the writer is missing", &format!(r#""writer":"{WRITER}","#), ""),
            ("a writer of 15 bytes", WRITER, &WRITER[2..]),
            ("a writer of 17 bytes", WRITER, &format!("{WRITER}08")),
            ("a writer that is not hexadecimal", WRITER, "0808080808080808080808080808080g"),
            ("the time is missing", r#""written_at_ms":1700000000000,"#, ""),
            ("time overflow: 2^63", "1700000000000", "9223372036854775808"),
            ("the live digest is missing", r#""live":"#, r#""alive":"#),
            ("the live digest is null", r#""live":"#, r#""live":null,"was":"#),
            ("the entries are missing", r#""entries":"#, r#""entry":"#),
            ("the entries are null", r#""entries":["#, r#""entries":null,"was":["#),
            ("an entry without an id", r#"{"id":"#, r#"{"it":"#),
            ("an entry whose manifest has a chunk too few", "4194305", "8388609"),
            ("an entry whose manifest has no name", "IMG_0001.jpg", ""),
            ("an entry whose manifest is a text", r#""manifest":{"#, r#""manifest":"x","was":{"#),
        ]
        .map(|(name, from, to)| with(name, &first, from, to)),
    );
    cases.extend(
        [
            ("a predecessor of 31 bytes", r#""previous":""#, r#""previous":"0"#),
            ("a seen head without a number", r#","sequence":7"#, ""),
            ("a seen head without an id", r#","sequence":7,"id""#, r#","sequence":7,"it""#),
            ("a seen head that is null", r#""seen":[{"#, r#""seen":[null,{"#),
            ("seen heads that are a text", r#""seen":["#, r#""seen":"x","was":["#),
        ]
        .map(|(name, from, to)| with(name, &second, from, to)),
    );
    cases
}
