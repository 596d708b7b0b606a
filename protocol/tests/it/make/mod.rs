//! Makes the files of `protocol/vectors`, always the same: sealed by [`crate::third`], expected by hand. A name says
//! the defect. Nothing here asks the crate what it answers.

mod chains;
mod chunks;
mod keyrings;
mod keys;
mod manifests;
mod segments;
mod version1;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use serde_json::Value;

use crate::cases::{Bytes, Case, File, Input, base64, refused};
use crate::third::{Account, account, bucket, fixed, plain, seal, seal_with_nonce, sha256};

/// Every file with its name.
pub(crate) fn files() -> Vec<(&'static str, File)> {
    vec![
        ("keys.json", keys::file()),
        ("chunks.json", chunks::file()),
        ("manifests.json", manifests::file()),
        ("segments.json", segments::file()),
        ("keyrings.json", keyrings::file()),
        ("chains.json", chains::file()),
        ("version1.json", version1::file()),
    ]
}

fn id_of(bytes: &[u8]) -> Digest {
    Digest(sha256(bytes))
}

fn digest(label: &str) -> Digest {
    Digest(fixed(label))
}

fn case(name: &str, input: Input, expect: Value) -> Case {
    Case { name: name.into(), input, expect }
}

/// What a device of alice with two epochs is given.
fn open_as(kind: &str, object: &[u8], id: Digest) -> Input {
    Input::Open {
        kind: kind.into(),
        object: base64(object),
        id,
        master: hex::encode(account("alice").master),
        epochs: 2,
    }
}

fn open(kind: &str, object: &[u8]) -> Input {
    open_as(kind, object, id_of(object))
}

/// Object of a kind that is right in every way.
fn right(letter: u8, epoch: u32) -> Vec<u8> {
    let alice = account("alice");
    match letter {
        b'C' => alice.chunk(epoch, b"hello photosync"),
        b'M' => alice.document(b'M', epoch, manifests::RIGHT.as_bytes()),
        b'S' => alice.document(b'S', epoch, segments::right().as_bytes()),
        _ => keyrings::right(),
    }
}

/// Changes one bit.
fn flipped(object: &[u8], bit: usize) -> Vec<u8> {
    let mut object = object.to_vec();
    object[bit / 8] ^= 1 << (bit % 8);
    object
}

/// Two stretches of the same length change places.
fn swapped(object: &[u8], one: usize, other: usize, length: usize) -> Vec<u8> {
    let mut object = object.to_vec();
    let (first, second) = object.split_at_mut(other);
    first[one..one + length].swap_with_slice(&mut second[..length]);
    object
}

/// What may happen to a chunk, a manifest or a segment on its way, and what somebody with other keys may make of it.
/// Byte `nonce_at` of the object is the first of its nonce.
fn damage(kind: &str, letter: u8, nonce_at: usize) -> Vec<Case> {
    let (alice, bob) = (account("alice"), account("bob"));
    let object = right(letter, 1);
    let (box_at, end) = (nonce_at + 24, object.len());
    let changed =
        |name: &str, object: Vec<u8>, why: Bad| case(name, open(kind, &object), refused(why));
    let cut = |to: usize, why: Bad| {
        changed(&format!("truncated to {to} bytes"), object[..to].to_vec(), why)
    };
    let mut cases = vec![
        cut(0, Bad::Truncated),
        cut(7, Bad::Truncated),
        cut(8, Bad::Truncated),
        cut(11, Bad::Truncated),
        cut(nonce_at, Bad::Truncated),
        cut(box_at, Bad::Truncated),
        cut(box_at + 16, Bad::Truncated),
        cut(box_at + 19, Bad::Truncated),
        cut(box_at + 20, Bad::Forged),
        cut(end - 1, Bad::Forged),
        changed("one byte appended", [&object[..], &[0]].concat(), Bad::Forged),
        changed("first byte dropped", object[1..].to_vec(), Bad::Unknown),
        changed(
            "a byte dropped from the middle",
            [&object[..500], &object[501..]].concat(),
            Bad::Forged,
        ),
        changed("bit flipped in the magic", flipped(&object, 8), Bad::Unknown),
        changed("bit flipped in the line break", flipped(&object, 56), Bad::Unknown),
        changed("letter of no kind", [&object[..6], b"X", &object[7..]].concat(), Bad::Unknown),
        changed("version 1 in the magic", [b"PSYNC1", &object[6..]].concat(), Bad::Unknown),
        changed("version 3 in the magic", [b"PSYNC3", &object[6..]].concat(), Bad::Unknown),
        changed("bit flipped in the epoch: an open one", swap_epoch(&object, 2), Bad::Forged),
        changed("bit flipped in the epoch: one to come", flipped(&object, 65), Bad::UnknownEpoch),
        changed("bit flipped in the nonce", flipped(&object, nonce_at * 8), Bad::Forged),
        changed("bit flipped in the tag", flipped(&object, box_at * 8 + 7), Bad::Forged),
        changed("bit flipped in the text", flipped(&object, (box_at + 16) * 8), Bad::Forged),
        changed("last bit flipped", flipped(&object, end * 8 - 1), Bad::Forged),
        changed(
            "halves of the text reordered",
            swapped(&object, box_at + 16, box_at + 528, 512),
            Bad::Forged,
        ),
        changed(
            "nonce swapped with that of another epoch",
            {
                let other = right(letter, 2);
                [&object[..nonce_at], &other[nonce_at..box_at], &object[box_at..]].concat()
            },
            Bad::Forged,
        ),
        changed(
            "box swapped with that of another epoch",
            {
                let other = right(letter, 2);
                [&object[..nonce_at], &other[nonce_at..]].concat()
            },
            Bad::Forged,
        ),
        changed("rolled back into an earlier epoch", swap_epoch(&right(letter, 2), 1), Bad::Forged),
        changed("wrong epoch: not begun", right(letter, 3), Bad::UnknownEpoch),
        changed("wrong epoch: none is 0", right(letter, 0), Bad::UnknownEpoch),
        changed("wrong epoch: the largest number", right(letter, u32::MAX), Bad::UnknownEpoch),
        changed(
            "wrong account",
            {
                let plain = plain_of(letter);
                seal(&alice.clear(letter, 1), &plain, bob.pair(letter, 1))
            },
            Bad::Forged,
        ),
        changed(
            "right box key, nonce of another account",
            {
                let plain = plain_of(letter);
                let mut keys = alice.pair(letter, 1);
                keys.nonce_key = bob.pair(letter, 1).nonce_key;
                seal(&alice.clear(letter, 1), &plain, keys)
            },
            Bad::Forged,
        ),
        case("wrong id", open_as(kind, &object, digest("another id")), refused(Bad::WrongId)),
        case(
            "swapped with the object of a later epoch",
            open_as(kind, &right(letter, 2), id_of(&object)),
            refused(Bad::WrongId),
        ),
        case(
            "truncated under its own id",
            open_as(kind, &object[..end - 1], id_of(&object)),
            refused(Bad::WrongId),
        ),
        case(
            "nothing at all under its own id",
            open_as(kind, b"", id_of(&object)),
            refused(Bad::WrongId),
        ),
        case(
            "bit flipped under its own id",
            open_as(kind, &flipped(&object, end * 4), id_of(&object)),
            refused(Bad::WrongId),
        ),
    ];
    if letter == b'C' {
        // Readers of chunks do not compute the nonce again: it costs as much as opening, and a chunk has no clear
        // fields that the choice of the key does not prove already.
        cases.retain(|case| case.name != "right box key, nonce of another account");
    }
    for (other, name) in [(b'C', "chunk"), (b'M', "manifest"), (b'S', "segment"), (b'K', "keyring")]
    {
        if other != letter {
            cases.push(changed(&format!("wrong kind: a {name}"), right(other, 1), Bad::WrongKind));
        }
        if other != letter && other != b'K' {
            let sealed = seal(&alice.clear(letter, 1), &plain_of(letter), alice.pair(other, 1));
            cases.push(changed(&format!("sealed with the keys of a {name}"), sealed, Bad::Forged));
        }
    }
    cases
}

fn plain_of(letter: u8) -> Vec<u8> {
    let document = match letter {
        b'C' => "hello photosync".to_owned(),
        b'M' => manifests::RIGHT.to_owned(),
        _ => segments::right(),
    };
    plain(document.as_bytes(), bucket(document.len()))
}

fn swap_epoch(object: &[u8], epoch: u32) -> Vec<u8> {
    [&object[..8], &epoch.to_le_bytes(), &object[12..]].concat()
}

/// Every way to pad wrongly that somebody with the keys has.
fn bad_padding(kind: &str, letter: u8) -> Vec<Case> {
    let alice = account("alice");
    let right = plain_of(letter);
    let length = u32::from_le_bytes(right[..4].try_into().expect("four bytes"));
    let made = |name: &str, plain: Vec<u8>| {
        let object = seal(&alice.clear(letter, 1), &plain, alice.pair(letter, 1));
        case(name, open(kind, &object), refused(Bad::BadPadding))
    };
    let says = |length: u32| [&length.to_le_bytes()[..], &right[4..]].concat();
    let dirty = |at: usize| {
        let mut plain = right.clone();
        plain[at] = 1;
        plain
    };
    let end = right.len();
    vec![
        made("bad padding: a byte short", right[..end - 1].to_vec()),
        made("bad padding: a byte long", [&right[..], &[0]].concat()),
        made("bad padding: the next bucket", [&right[..], &[0; 64]].concat()),
        made("bad padding: none", right[..4 + length as usize].to_vec()),
        made("bad padding: its first byte is not zero", dirty(4 + length as usize)),
        made("bad padding: its last byte is not zero", dirty(end - 1)),
        made("bad padding: nothing but a length", 0_u32.to_le_bytes().to_vec()),
        made("length overflow: one more than is there", says(end as u32 - 4 + 1)),
        made("length overflow: the largest number", says(u32::MAX)),
        made("length overflow: negative as a signed number", says(1 << 31)),
        made("length overflow: written big-endian", says(length.swap_bytes())),
        made("length one short of its contents", says(length - 1)),
    ]
}

/// A nonce that is not the hash of what is sealed.
fn with_nonce(letter: u8, nonce: [u8; 24]) -> Vec<u8> {
    let alice = account("alice");
    seal_with_nonce(&alice.clear(letter, 1), &plain_of(letter), alice.pair(letter, 1), &nonce)
}

/// A beginning, and zeros up to a length.
fn then_zeros(beginning: &[u8], length: usize) -> (Bytes, Digest) {
    let Bytes::Base64(text) = base64(beginning) else { unreachable!("in full") };
    let mut bytes = beginning.to_vec();
    bytes.resize(length, 0);
    (Bytes::ThenZeros { base64: text, zeros: length - beginning.len() }, id_of(&bytes))
}

/// `damage` and what else befalls a kind, with objects of the largest length and one more.
fn too_long(kind: &str, letter: u8, most_bytes: usize) -> Vec<Case> {
    let made = |name: &str, length: usize, why: Bad| {
        let (object, id) = then_zeros(&crate::third::head(letter, 1), length);
        let master = hex::encode(account("alice").master);
        let input = Input::Open { kind: kind.into(), object, id, master, epochs: 2 };
        case(name, input, refused(why))
    };
    vec![
        made("as long as can be, of zeros", most_bytes, Bad::Forged),
        made("too long by a byte", most_bytes + 1, Bad::TooLong),
    ]
}

/// Alice, for whoever has no need of another.
fn alice() -> Account {
    account("alice")
}
