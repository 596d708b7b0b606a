//! Decisions about sealed objects that need nothing but their arguments.

use photosync_protocol::digest::Digest;

/// What every object of version 2 begins with: these, the letter of its kind, a line break.
const MAGIC: &[u8] = b"PSYNC2";
/// Longest writer of a chain in hexadecimal digits; also the only length.
const WRITER_DIGITS: usize = 32;
/// Where a keyring says its number in clear, as an unsigned 64-bit little-endian number.
const KEYRING_SEQUENCE_AT: usize = 12;

/// The letter of an object's clear head: `C` chunk, `M` manifest, `S` segment, `K` keyring. `None` for bytes that do
/// not say that they are sealed by version 2. Nothing of it is proved: the server cannot open what follows.
pub fn kind_of(head: &[u8]) -> Option<char> {
    let rest = head.strip_prefix(MAGIC)?;
    let (kind, line_break) = (*rest.first()?, *rest.get(1)?);
    let is_known = matches!(kind, b'C' | b'M' | b'S' | b'K') && line_break == b'\n';
    is_known.then(|| char::from(kind))
}

/// The number that the clear part of a keyring says.
pub fn keyring_sequence(head: &[u8]) -> Option<i64> {
    let bytes = head.get(KEYRING_SEQUENCE_AT..KEYRING_SEQUENCE_AT + 8)?;
    let number = u64::from_le_bytes(bytes.try_into().ok()?);
    i64::try_from(number).ok().filter(|number| *number > 0)
}

/// A writer in lower case, if it is one.
pub fn parse_writer(text: &str) -> Option<String> {
    let is_writer = text.len() == WRITER_DIGITS && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_writer.then(|| text.to_ascii_lowercase())
}

/// A number in a chain: 1 and up.
pub fn parse_sequence(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number > 0)
}

/// Whether every id is greater than the one before.
pub fn is_ascending(ids: &[Digest]) -> bool {
    ids.windows(2).all(|pair| pair[0] < pair[1])
}

/// Where something that wants a number in a chain belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the next one.
    Next,
    /// It is there already.
    Known,
    /// Something else is there, or something is missing before it.
    Conflict,
}

/// Decides where `id` with number `sequence` belongs. `last`: the highest number that is held; `there`: what has this
/// number. A chain of which nothing is held may begin with any number: a server that lost its database gets it back
/// from its clients, which cannot change the numbers inside the sealed part.
pub fn place_of(last: Option<i64>, there: Option<&str>, sequence: i64, id: &str) -> Place {
    match (last, there) {
        (_, Some(there)) if there == id => Place::Known,
        (_, Some(_)) => Place::Conflict,
        (None, None) => Place::Next,
        (Some(last), None) if last.checked_add(1) == Some(sequence) => Place::Next,
        (Some(_), None) => Place::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_clear_head_has_a_kind() {
        assert_eq!(kind_of(b"PSYNC2C\n\x01\0\0\0 sealed"), Some('C'));
        assert_eq!(kind_of(b"PSYNC2K\n"), Some('K'));
        for other in [&b"PSYNC2X\n"[..], b"PSYNC2C ", b"PSYNC3C\n", b"PSYNC2", b"", b"\xff\xd8\xff"]
        {
            assert_eq!(kind_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_chain_grows_at_its_end_only() {
        assert_eq!(place_of(Some(3), None, 4, "new"), Place::Next);
        assert_eq!(place_of(Some(3), None, 5, "new"), Place::Conflict);
        assert_eq!(place_of(Some(3), Some("old"), 3, "old"), Place::Known);
        assert_eq!(place_of(Some(3), Some("first"), 1, "first"), Place::Known);
        assert_eq!(place_of(Some(3), Some("old"), 3, "new"), Place::Conflict);
        assert_eq!(place_of(None, None, 7, "new"), Place::Next);
        assert_eq!(place_of(Some(i64::MAX), None, 1, "new"), Place::Conflict);
    }

    #[test]
    fn writers_and_numbers_are_read_strictly() {
        assert_eq!(parse_writer(&"A".repeat(32)), Some("a".repeat(32)));
        assert_eq!(parse_writer(&"a".repeat(31)), None);
        assert_eq!(parse_writer(&"g".repeat(32)), None);
        assert_eq!(parse_sequence("12"), Some(12));
        for wrong in ["", "0", "-1", "+1", " 1", "1.0", "9223372036854775808"] {
            assert_eq!(parse_sequence(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_same_id_twice_is_not_in_order() {
        let id = |byte| Digest([byte; 32]);
        assert!(is_ascending(&[]));
        assert!(is_ascending(&[id(1), id(2)]));
        assert!(!is_ascending(&[id(1), id(1)]));
        assert!(!is_ascending(&[id(2), id(1)]));
    }
}
