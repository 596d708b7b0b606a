//! Keyrings: opened by a password or by words, each field changed, each kind of contradiction.

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use serde_json::{Value, json};

use super::keys::words_of;
use super::{
    account, alice, case, digest, flipped, id_of, right as right_object, swapped, then_zeros,
};
use crate::cases::{Bytes, Case, File, Input, base64, refused};
use crate::third::{KeyringClear, bucket, fixed, head, plain, seal, seal_with_nonce, stretch};

const PASSWORD: &str = "Zo\u{eb}'s password";
const TWO_EPOCHS: &str = r#"{"epochs":[{"epoch":1,"began_at_ms":1700000000000},{"epoch":2,"began_at_ms":1700000000001,"closed":[{"writer":"08080808080808080808080808080808","sequence":3,"id":"0606060606060606060606060606060606060606060606060606060606060606"}]}]}"#;

/// Numbers are below 2^53.
const MOST: u64 = (1 << 53) - 1;

/// Where the fields stand.
const SEQUENCE_AT: usize = 12;
const COST_AT: usize = 20;
const SALT_AT: usize = 28;
const PASSWORD_WRAP_AT: usize = 44;
const RECOVERY_WRAP_AT: usize = 116;
const NONCE_AT: usize = 188;

fn clear() -> KeyringClear {
    let salt = fixed("salt of the keyring");
    let key = stretch(PASSWORD, &salt, 3, 65_536);
    KeyringClear {
        epoch: 2,
        sequence: 7,
        passes: 3,
        memory_kib: 65_536,
        salt,
        password_wrap: alice().wrap(&key, &fixed("nonce of the password wrap")),
        recovery_wrap: alice().recovery_wrap(),
    }
}

/// A right one, byte for byte as the writers write it.
pub(super) fn right() -> Vec<u8> {
    clear().seal(&alice(), TWO_EPOCHS)
}

fn expected(sequence: u64, contents: &str) -> Value {
    let contents: Value = serde_json::from_str(contents).expect("contents");
    json!({
        "sequence": sequence,
        "master": hex::encode(alice().master),
        "recovery_wrap": hex::encode(alice().recovery_wrap()),
        "epochs": contents["epochs"],
    })
}

fn by_password(object: &[u8], password: &str) -> Input {
    let password = Some(password.to_owned());
    Input::OpenKeyring { object: base64(object), id: id_of(object), password, words: None }
}

fn by_words_as(object: Bytes, id: Digest) -> Input {
    Input::OpenKeyring { object, id, password: None, words: Some(words_of(alice().recovery)) }
}

fn by_words(object: &[u8]) -> Input {
    by_words_as(base64(object), id_of(object))
}

pub(super) fn file() -> File {
    let mut cases = good();
    cases.extend(wrong_secrets());
    cases.extend(damaged());
    cases.extend(bad_costs());
    cases.extend(bad_contents());
    let about = "Keyrings of version 2, opened by the password or by the words. Which of several is the newest is a \
                 matter of their numbers.";
    File { about: about.into(), cases }
}

fn good() -> Vec<Case> {
    let object = right();
    let expect = || expected(7, TWO_EPOCHS);
    let one = r#"{"epochs":[{"epoch":1,"began_at_ms":0}]}"#;
    let first = KeyringClear { epoch: 1, sequence: 1, ..clear() };
    let last = KeyringClear { sequence: MOST, ..clear() };
    let dear = KeyringClear { passes: u32::MAX, memory_kib: u32::MAX, ..clear() };
    let unknown = TWO_EPOCHS.replacen('{', r#"{"later":1,"#, 1);
    vec![
        case("by the password", by_password(&object, PASSWORD), expect()),
        case(
            "by the password, decomposed",
            by_password(&object, "Zoe\u{308}'s password"),
            expect(),
        ),
        case("by the words", by_words(&object), expect()),
        case("the first of an account", by_words(&first.seal(&alice(), one)), expected(1, one)),
        case(
            "the largest number of all: 2^53 - 1",
            by_words(&last.seal(&alice(), TWO_EPOCHS)),
            expected(MOST, TWO_EPOCHS),
        ),
        case(
            "by the words, whatever the password costs",
            by_words(&dear.seal(&alice(), TWO_EPOCHS)),
            expect(),
        ),
        case(
            "keys that this version does not know",
            by_words(&clear().seal(&alice(), &unknown)),
            expect(),
        ),
    ]
}

fn wrong_secrets() -> Vec<Case> {
    let object = right();
    let wrong = |name: &str, password: &str| {
        case(name, by_password(&object, password), refused(Bad::WrongSecret))
    };
    let words = |name: &str, words: String| {
        let input = Input::OpenKeyring {
            object: base64(&object),
            id: id_of(&object),
            password: None,
            words: Some(words),
        };
        case(name, input, refused(Bad::WrongSecret))
    };
    let wraps_swapped = swapped(&object, PASSWORD_WRAP_AT, RECOVERY_WRAP_AT, 72);
    let salt = flipped(&object, SALT_AT * 8);
    let cost = flipped(&object, COST_AT * 8 + 2);
    let wrap = flipped(&object, PASSWORD_WRAP_AT * 8 + 500);
    vec![
        wrong("wrong password: another letter case", "zo\u{eb}'s password"),
        wrong("wrong password: empty", ""),
        wrong("wrong password: a blank at its end", "Zo\u{eb}'s password "),
        words("wrong account: the words of another", words_of(account("bob").recovery)),
        words(
            "words: one dropped",
            words_of(alice().recovery).rsplit_once(' ').expect("words").0.into(),
        ),
        case(
            "wraps swapped, by the password",
            by_password(&wraps_swapped, PASSWORD),
            refused(Bad::WrongSecret),
        ),
        case("wraps swapped, by the words", by_words(&wraps_swapped), refused(Bad::WrongSecret)),
        case(
            "bit flipped in the salt, by the password",
            by_password(&salt, PASSWORD),
            refused(Bad::WrongSecret),
        ),
        case(
            "bit flipped in the passes, by the password",
            by_password(&cost, PASSWORD),
            refused(Bad::WrongSecret),
        ),
        case(
            "bit flipped in the password's wrap, by the password",
            by_password(&wrap, PASSWORD),
            refused(Bad::WrongSecret),
        ),
    ]
}

fn damaged() -> Vec<Case> {
    let object = right();
    let end = object.len();
    let made = |name: &str, object: Vec<u8>, why: Bad| case(name, by_words(&object), refused(why));
    let flip = |name: &str, at: usize, why: Bad| {
        made(&format!("bit flipped in {name}"), flipped(&object, at * 8), why)
    };
    let cut =
        |to: usize, why: Bad| made(&format!("truncated to {to} bytes"), object[..to].to_vec(), why);
    let as_other = |name: &str, object: &[u8], id: Digest| {
        case(name, by_words_as(base64(object), id), refused(Bad::WrongId))
    };
    let padded = |document: &str| plain(document.as_bytes(), bucket(document.len()));
    let keys = alice().pair(b'K', 0);
    let bytes = clear().bytes();
    let largest = then_zeros(&head(b'K', 2), 4 << 20);
    let too_long = then_zeros(&head(b'K', 2), (4 << 20) + 1);
    let other = KeyringClear { sequence: 8, ..clear() }.seal(&alice(), TWO_EPOCHS);
    let mut cases = vec![
        cut(0, Bad::Truncated),
        cut(7, Bad::Truncated),
        cut(8, Bad::Truncated),
        cut(11, Bad::Truncated),
        cut(SEQUENCE_AT, Bad::Truncated),
        cut(COST_AT, Bad::Truncated),
        cut(SALT_AT, Bad::Truncated),
        cut(PASSWORD_WRAP_AT, Bad::Truncated),
        cut(RECOVERY_WRAP_AT, Bad::Truncated),
        cut(NONCE_AT - 1, Bad::Truncated),
        cut(NONCE_AT, Bad::Truncated),
        cut(NONCE_AT + 43, Bad::Truncated),
        cut(NONCE_AT + 44, Bad::Forged),
        cut(end - 1, Bad::Forged),
        flip("the magic", 0, Bad::Unknown),
        flip("the line break", 7, Bad::Unknown),
        flip("the epoch", 8, Bad::Forged),
        flip("the number: rolled back", SEQUENCE_AT, Bad::Forged),
        flip("the number: far ahead", SEQUENCE_AT + 7, Bad::Forged),
        flip("the passes, by the words", COST_AT, Bad::Forged),
        flip("the memory, by the words", COST_AT + 4, Bad::Forged),
        flip("the salt, by the words", SALT_AT, Bad::Forged),
        flip("the password's wrap, by the words", PASSWORD_WRAP_AT, Bad::Forged),
        flip("the recovery wrap, by the words", RECOVERY_WRAP_AT, Bad::WrongSecret),
        flip("the nonce", NONCE_AT, Bad::Forged),
        flip("the tag", NONCE_AT + 24, Bad::Forged),
        flip("the text", NONCE_AT + 40, Bad::Forged),
        flip("the last byte", end - 1, Bad::Forged),
        made("one byte appended", [&object[..], &[0]].concat(), Bad::Forged),
        made("wrong kind: a manifest", right_object(b'M', 1), Bad::WrongKind),
        made("wrong kind: a chunk", right_object(b'C', 1), Bad::WrongKind),
        made("wrong kind: a segment", right_object(b'S', 1), Bad::WrongKind),
        made(
            "wrong account: contents sealed by another",
            clear().seal(&account("bob"), TWO_EPOCHS),
            Bad::Forged,
        ),
        made(
            "contents swapped with those of another number",
            [&object[..NONCE_AT], &other[NONCE_AT..]].concat(),
            Bad::Forged,
        ),
        made(
            "sealed with the keys of a segment",
            seal(&bytes, &padded(TWO_EPOCHS), alice().pair(b'S', 2)),
            Bad::Forged,
        ),
        made(
            "a nonce that is not the hash of the contents",
            seal_with_nonce(&bytes, &padded(TWO_EPOCHS), keys, &[7; 24]),
            Bad::Forged,
        ),
        made(
            "bad padding: a byte short",
            seal(&bytes, &padded(TWO_EPOCHS)[..1027], keys),
            Bad::BadPadding,
        ),
        made(
            "bad padding: its last byte is not zero",
            {
                let mut plain = padded(TWO_EPOCHS);
                *plain.last_mut().expect("bytes") = 1;
                seal(&bytes, &plain, keys)
            },
            Bad::BadPadding,
        ),
        made(
            "length overflow: the largest number",
            {
                let mut plain = padded(TWO_EPOCHS);
                plain[..4].fill(255);
                seal(&bytes, &plain, keys)
            },
            Bad::BadPadding,
        ),
        as_other("wrong id", &object, digest("another id")),
        as_other("swapped with another keyring", &other, id_of(&object)),
        as_other("truncated under its own id", &object[..end - 1], id_of(&object)),
    ];
    // Zeros where the recovery wrap should be open with no words.
    let zeros = by_words_as(largest.0, largest.1);
    cases.push(case("as long as can be, of zeros", zeros, refused(Bad::WrongSecret)));
    let too_long = by_words_as(too_long.0, too_long.1);
    cases.push(case("too long by a byte", too_long, refused(Bad::TooLong)));
    cases
}

fn bad_costs() -> Vec<Case> {
    let made = |name: &str, passes: u32, memory_kib: u32| {
        let object = KeyringClear { passes, memory_kib, ..clear() }.seal(&alice(), TWO_EPOCHS);
        case(&format!("bad cost: {name}"), by_password(&object, PASSWORD), refused(Bad::BadCost))
    };
    vec![
        made("no pass", 0, 65_536),
        made("a pass too few", 2, 65_536),
        made("a pass too many", 33, 65_536),
        made("passes overflow", u32::MAX, 65_536),
        made("no memory", 3, 0),
        made("a KiB too little", 3, 65_535),
        made("a KiB too much", 3, 4_194_305),
        made("memory overflow", 3, u32::MAX),
    ]
}

fn bad_contents() -> Vec<Case> {
    let made = |name: &str, epoch: u32, document: &str| {
        let object = KeyringClear { epoch, ..clear() }.seal(&alice(), document);
        case(&format!("bad contents: {name}"), by_words(&object), refused(Bad::BadContents))
    };
    let epochs = |numbers: &[i64]| {
        let list: Vec<String> =
            numbers.iter().map(|n| format!(r#"{{"epoch":{n},"began_at_ms":0}}"#)).collect();
        format!(r#"{{"epochs":[{}]}}"#, list.join(","))
    };
    vec![
        made("nothing", 2, ""),
        made("an empty object", 2, "{}"),
        made("cut off", 2, &TWO_EPOCHS[..TWO_EPOCHS.len() - 1]),
        made("no epoch", 0, &epochs(&[])),
        made("an epoch in clear before the last", 1, TWO_EPOCHS),
        made("an epoch in clear behind the last", 3, TWO_EPOCHS),
        made("epochs from 0", 2, &epochs(&[0, 1])),
        made("epochs from 2", 2, &epochs(&[2, 3])),
        made("epochs with one dropped", 2, &epochs(&[1, 3])),
        made("epochs reordered", 2, &epochs(&[2, 1])),
        made("an epoch twice", 2, &epochs(&[1, 1])),
        made("a negative epoch", 2, &epochs(&[1, -2])),
        made("epoch overflow: 2^32", 2, &epochs(&[1, 1 << 32])),
        made("epochs that are null", 2, r#"{"epochs":null}"#),
        made("an epoch without its beginning", 1, r#"{"epochs":[{"epoch":1}]}"#),
        made("a closed head without an id", 2, &TWO_EPOCHS.replace(r#""id""#, r#""it""#)),
    ]
}
