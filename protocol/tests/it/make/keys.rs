//! The hierarchy of keys, words and wraps.

use photosync_protocol::format::Bad;
use photosync_protocol::format::keys::RecoveryKey;
use serde_json::{Value, json};

use super::{case, flipped, swapped};
use crate::cases::{Case, File, Input, refused};
use crate::third::{Bytes32, Pair, account, derive, fixed, stretch};

pub(super) fn file() -> File {
    let mut cases = derivations();
    cases.extend(words());
    cases.extend(passwords());
    cases.extend(wraps());
    let about = "Keys of version 2: what follows from a master key (pairs are box key and nonce key), recovery words, \
                 keys of passwords, and the wrapped master key.";
    File { about: about.into(), cases }
}

fn derivations() -> Vec<Case> {
    let pair = |pair: Pair| [hex::encode(pair.box_key), hex::encode(pair.nonce_key)];
    let mut cases = Vec::new();
    for (who, epoch) in [("alice", 1), ("alice", 2), ("alice", 1000), ("bob", 1)] {
        let account = account(who);
        let expect = json!({
            "epoch": hex::encode(account.epoch_key(epoch)),
            "chunk": pair(account.pair(b'C', epoch)),
            "manifest": pair(account.pair(b'M', epoch)),
            "segment": pair(account.pair(b'S', epoch)),
            "keyring": pair(account.pair(b'K', epoch)),
        });
        let input = Input::Derive { master: hex::encode(account.master), epoch };
        cases.push(case(&format!("{who}, epoch {epoch}"), input, expect));
    }
    cases
}

/// The words of a key; the list itself is what the TypeScript reader checks with another library.
pub(super) fn words_of(key: Bytes32) -> String {
    RecoveryKey(photosync_protocol::crypto::Key::new(key)).words().to_string()
}

fn words() -> Vec<Case> {
    let key = account("alice").recovery;
    let text = words_of(key);
    let expect = |key: Bytes32| -> Value {
        let wrapping = hex::encode(derive(&key, b"psync2rw", 1));
        json!({ "recovery_key": hex::encode(key), "wrapping_key": wrapping, "words": words_of(key) })
    };
    let list: Vec<&str> = text.split(' ').collect();
    let with = |at: usize, word: &str| {
        let mut list = list.clone();
        list[at] = word;
        list.join(" ")
    };
    let repeated = |word: &str, times: usize, last: &str| {
        format!("{}{last}", format!("{word} ").repeat(times))
    };
    let good = [
        ("words of alice", text.clone(), key),
        ("words of 32 zeros", repeated("abandon", 23, "art"), [0; 32]),
        ("words of 32 bytes 255", repeated("zoo", 23, "vote"), [255; 32]),
        ("words in capitals", text.to_uppercase(), key),
        ("words in lines", format!("\r\n  {}\n", text.replace(' ', " \t\n")), key),
        ("words with no-break spaces between", text.replace(' ', "\u{a0}"), key),
    ];
    let mut cases: Vec<Case> = good
        .into_iter()
        .map(|(name, words, key)| case(name, Input::Words(words), expect(key)))
        .collect();
    let mut reversed = list.clone();
    reversed.reverse();
    let exchanged = {
        let mut list = list.clone();
        list.swap(3, 4);
        list.join(" ")
    };
    let bad = [
        ("words: none", String::new()),
        ("words: only blanks", "  \n".into()),
        ("words: one dropped from the end", list[..23].join(" ")),
        ("words: one dropped from the beginning", list[1..].join(" ")),
        ("words: one too many", format!("{text} abandon")),
        ("words: twice the same 24", format!("{text} {text}")),
        ("words: 12, with their right checksum", repeated("abandon", 11, "about")),
        ("words: 15, with their right checksum", repeated("abandon", 14, "address")),
        ("words: 18, with their right checksum", repeated("abandon", 17, "agent")),
        ("words: 21, with their right checksum", repeated("abandon", 20, "admit")),
        ("words: wrong checksum", repeated("abandon", 23, "abandon")),
        ("words: swapped", exchanged),
        ("words: reordered from last to first", reversed.join(" ")),
        ("words: one that is in no list", with(5, "fotograf")),
        ("words: one shortened to four letters", with(5, &list[5][..3])),
        ("words: one of the Spanish list", with(5, "ábaco")),
        ("words: commas between", list.join(", ")),
        ("words: zero-width spaces between", list.join("\u{200b}")),
        (
            "words: numbered",
            list.iter().enumerate().map(|(at, word)| format!("{at} {word} ")).collect(),
        ),
        (
            "words: letters of full width",
            text.chars()
                .map(|c| {
                    if c == ' ' { c } else { char::from_u32(c as u32 + 0xfee0).expect("a letter") }
                })
                .collect(),
        ),
    ];
    cases.extend(
        bad.map(|(name, words)| case(name, Input::Words(words), refused(Bad::WrongSecret))),
    );
    cases
}

fn passwords() -> Vec<Case> {
    let salt: [u8; 16] = fixed("salt of a password");
    // Composed as it is hashed.
    let normal = "Zo\u{eb}'s password";
    let made = |name: &str, text: &str, normal: &str| {
        let expect = json!({ "key": hex::encode(stretch(normal, &salt, 3, 65_536)) });
        let (text, salt) = (text.into(), hex::encode(salt));
        case(name, Input::Password { text, salt, passes: 3, memory_kib: 65_536 }, expect)
    };
    vec![
        made("password, composed", normal, normal),
        made("password, decomposed", "Zoe\u{308}'s password", normal),
        made("password with blanks around it", " pass word ", " pass word "),
        made("password of ligatures, which stay", "\u{fb01}le", "\u{fb01}le"),
    ]
}

fn wraps() -> Vec<Case> {
    let alice = account("alice");
    let under = alice.wrapping_key();
    let wrap = alice.recovery_wrap();
    let unwrap = |wrap: &[u8], under: &[u8]| Input::Unwrap {
        wrap: hex::encode(wrap),
        under: hex::encode(under),
    };
    let bad = |name: &str, wrap: Vec<u8>, under: Bytes32| {
        case(name, unwrap(&wrap, &under), refused(Bad::WrongSecret))
    };
    vec![
        case("wrap", unwrap(&wrap, &under), json!({ "master": hex::encode(alice.master) })),
        bad("wrap: the recovery key instead of what follows from it", wrap.clone(), alice.recovery),
        bad("wrap: wrong account", wrap.clone(), account("bob").wrapping_key()),
        bad("wrap: bit flipped in the nonce", flipped(&wrap, 0), under),
        bad("wrap: bit flipped in the tag", flipped(&wrap, 24 * 8), under),
        bad("wrap: bit flipped in the key", flipped(&wrap, 72 * 8 - 1), under),
        bad("wrap: halves of the key swapped", swapped(&wrap, 40, 56, 16), under),
        bad("wrap: zeros", vec![0; 72], under),
    ]
}
