//! What a file is called: on the wire, in a listing, on a disk.
//!
//! A *listed* name is what a person sees and what clients compare; it is kept exactly. A *stored* name is the
//! listed name made safe for every operating system; the rule is pure and the same everywhere, so that a library
//! can be moved from one machine to another. Two names that fold to the same key never share a folder.

use unicode_normalization::UnicodeNormalization;

/// Longest name on disk, in bytes and in UTF-16 units (ext4, APFS and NTFS limits).
pub const MAX_STORED_NAME_BYTES: usize = 255;

/// Longest listed name, in bytes. Far above what any file system allows, so that nothing real is refused.
pub const MAX_LISTED_NAME_BYTES: usize = 1024;

/// Why a name on the wire names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Empty, `.` or `..` after the folder part was cut off.
    Empty,
    /// Longer than [`MAX_LISTED_NAME_BYTES`].
    TooLong,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the file has no name",
            Self::TooLong => "the file name is longer than 1024 bytes",
        })
    }
}

impl std::error::Error for NameError {}

/// The text of a name as it came by multipart `filename` or `X-Filename`.
///
/// Percent-escapes are decoded once, and only if every `%` is followed by two hex digits and the result is
/// UTF-8; otherwise the bytes are UTF-8, otherwise Latin-1. So a phone's `My%20Photo.jpg` is `My Photo.jpg`, and
/// a file really called `100%.jpg` stays that.
pub fn decode_wire_text(bytes: &[u8]) -> String {
    if let Some(text) = decode_percent(bytes).and_then(|decoded| String::from_utf8(decoded).ok()) {
        return text;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// The listed name in a wire name: decoded, without any folder part.
pub fn parse_wire_name(bytes: &[u8]) -> Result<String, NameError> {
    let text = decode_wire_text(bytes);
    let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(name.trim(), "" | "." | "..") {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_LISTED_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    Ok(name.to_owned())
}

/// Percent-decoding that refuses anything but two hex digits after a `%`; `None` if there is nothing to decode.
fn decode_percent(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'%') {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        let (high, low) = (hex_digit(*after.first()?)?, hex_digit(*after.get(1)?)?);
        decoded.push(high << 4 | low);
        rest = &after[2..];
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The name on disk for a listed name: the same on every operating system, never empty, never hidden, never a
/// path, at most [`MAX_STORED_NAME_BYTES`]. Most names are their own stored name.
pub fn stored_name(listed: &str) -> String {
    let mut safe: String = listed
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    if safe.is_empty() || safe.starts_with('.') || is_dos_device(&safe) {
        safe.insert(0, '_');
    }
    let mut safe = shorten_stem(&safe, "");
    if safe.ends_with(['.', ' ']) {
        safe.pop();
        safe.push('_');
    }
    safe
}

/// `CON`, `NUL.txt`, `com1.jpg` …: names Windows reserves, whatever the extension.
fn is_dos_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    matches!(numbered, Some(digit) if matches!(digit, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"))
}

/// The key under which names collide: NFC, then Unicode lower case, then NFC again. Names with equal keys may be
/// one file on a case-insensitive or normalising disk, so a folder never holds two of them.
pub fn fold_key(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase().nfc().collect()
}

/// The `number`th name of its kind: `IMG_0001.jpg`, `IMG_0001 (2).jpg`, … The number stands before the
/// extension, and the stem is shortened so that the name stays within [`MAX_STORED_NAME_BYTES`] (a longer listed
/// name is shortened only when a number must be added).
pub fn numbered_name(name: &str, number: u64) -> String {
    if number <= 1 {
        return name.to_owned();
    }
    shorten_stem(name, &format!(" ({number})"))
}

/// `stem + suffix + extension` with the stem cut at a character boundary until the whole fits on any disk.
fn shorten_stem(name: &str, suffix: &str) -> String {
    // An extension longer than this is part of the name, not a type.
    const MAX_EXTENSION_BYTES: usize = 32;
    let split = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION_BYTES => dot,
        _ => name.len(),
    };
    let (stem, extension) = name.split_at(split);
    let fixed_bytes = suffix.len() + extension.len();
    let fixed_units = suffix.len() + extension.encode_utf16().count();
    let (mut bytes, mut units, mut end) = (fixed_bytes, fixed_units, 0);
    for (at, c) in stem.char_indices() {
        bytes += c.len_utf8();
        units += c.len_utf16();
        if bytes > MAX_STORED_NAME_BYTES || units > MAX_STORED_NAME_BYTES {
            break;
        }
        end = at + c.len_utf8();
    }
    format!("{}{suffix}{extension}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wire_names_decode_once_and_never_twice() {
        let of = |bytes: &[u8]| parse_wire_name(bytes).unwrap();
        assert_eq!(of(b"My%20Photo.jpg"), "My Photo.jpg");
        assert_eq!(of(b"%2541.jpg"), "%41.jpg");
        assert_eq!(of(b"100%.jpg"), "100%.jpg");
        assert_eq!(of(b"50%25 off%.jpg"), "50%25 off%.jpg");
        assert_eq!(of("caf%C3%A9.jpg".as_bytes()), "café.jpg");
        assert_eq!(of(b"caf%E9.jpg"), "caf%E9.jpg");
        assert_eq!(of(b"caf\xE9.jpg"), "café.jpg");
        assert_eq!(of("café 😀.jpg".as_bytes()), "café 😀.jpg");
    }

    #[test]
    fn wire_names_lose_every_folder() {
        let of = |bytes: &[u8]| parse_wire_name(bytes);
        assert_eq!(of(b"../../etc/passwd").unwrap(), "passwd");
        assert_eq!(of(b"..%2F..%2Fphotosync.db").unwrap(), "photosync.db");
        assert_eq!(of(b"C:\\fakepath\\a.jpg").unwrap(), "a.jpg");
        for nothing in [&b""[..], b"..", b"a/..", b".", b"/", b"   ", b"%2e%2e"] {
            assert_eq!(of(nothing), Err(NameError::Empty), "{nothing:?}");
        }
        assert_eq!(of(&[b'a'; 1025]), Err(NameError::TooLong));
    }

    #[test]
    fn stored_names_are_safe_on_every_system() {
        for (listed, stored) in [
            ("IMG_0001.jpg", "IMG_0001.jpg"),
            (".hidden", "_.hidden"),
            ("..", "_._"),
            ("a:b?.jpg", "a_b_.jpg"),
            ("con", "_con"),
            ("COM1.jpg", "_COM1.jpg"),
            ("com10.jpg", "com10.jpg"),
            ("NUL", "_NUL"),
            ("nul.tar.gz", "_nul.tar.gz"),
            ("Aux.JPG", "_Aux.JPG"),
            ("prn", "_prn"),
            ("con .txt", "_con .txt"),
            ("LPT9", "_LPT9"),
            ("lpt¹.jpg", "_lpt¹.jpg"),
            ("CONIN$", "_CONIN$"),
            ("console.jpg", "console.jpg"),
            ("nul:", "nul_"),
            ("IMG.jpg.", "IMG.jpg_"),
            ("IMG.jpg ", "IMG.jpg_"),
            ("photo.jpg:stream", "photo.jpg_stream"),
            ("trailing. ", "trailing._"),
            ("tab\there.jpg", "tab_here.jpg"),
            ("", "_"),
        ] {
            assert_eq!(stored_name(listed), stored, "{listed:?}");
        }
    }

    #[test]
    fn a_name_of_255_bytes_is_its_own_stored_name_and_can_be_numbered() {
        let name = format!("{}.jpg", "é".repeat(125) + "x");
        assert_eq!(name.len(), 255);
        assert_eq!(stored_name(&name), name);
        let second = numbered_name(&name, 2);
        assert!(second.len() <= 255 && second.ends_with(" (2).jpg"), "{second}");
    }

    #[test]
    fn the_number_goes_before_the_extension() {
        assert_eq!(numbered_name("IMG_0001.jpg", 1), "IMG_0001.jpg");
        assert_eq!(numbered_name("IMG_0001.jpg", 2), "IMG_0001 (2).jpg");
        assert_eq!(numbered_name("no extension", 3), "no extension (3)");
        assert_eq!(numbered_name(".hidden", 2), ".hidden (2)");
    }

    #[test]
    fn names_that_differ_only_in_case_or_form_fold_together() {
        assert_eq!(fold_key("Été.JPG"), fold_key("e\u{301}te\u{301}.jpg"));
        assert_ne!(fold_key("a.jpg"), fold_key("b.jpg"));
    }

    proptest! {
        #[test]
        fn a_stored_name_is_its_own_stored_name(listed in "\\PC{1,300}") {
            let stored = stored_name(&listed);
            prop_assert_eq!(stored_name(&stored), stored);
        }

        #[test]
        fn a_stored_name_always_fits_and_stays_in_its_folder(listed in any::<String>(), number in 1u64..2000) {
            let stored = stored_name(&numbered_name(&listed, number));
            prop_assert!(!stored.is_empty() && stored.len() <= 255 && stored.encode_utf16().count() <= 255);
            prop_assert!(!stored.starts_with('.') && !stored.contains(['/', '\\', '\0']));
            prop_assert!(!stored.ends_with(['.', ' ']));
        }

        #[test]
        fn any_bytes_are_a_name_or_an_error_but_never_a_path(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(name) = parse_wire_name(&bytes) {
                prop_assert!(!name.contains(['/', '\\']) && name != "." && name != "..");
            }
        }
    }
}
