//! How file names travel: what the old clients put on the wire, what the server should list for it, and which
//! numbered form it may choose when two different files carry names that fold alike.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

/// Longest name in bytes that a server keeps.
const MAX_NAME_BYTES: usize = 255;

/// JavaScript's `encodeURIComponent`.
pub fn encode_uri_component(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => escaped.push(byte as char),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
                escaped.push(byte as char);
            }
            _ => push_escaped(&mut escaped, byte),
        }
    }
    escaped
}

/// The `filename` parameter of the phone's upload part.
pub fn phone_part_filename(name: &str) -> String {
    encode_uri_component(&name.replace('/', "_"))
}

/// The `X-Filename` bytes of the desktop client: Latin-1 when every character fits, otherwise UTF-8. (The
/// original fails before it sends a name with a character above U+00FF; we send what a repaired one would.)
pub fn desktop_header_filename(name: &str) -> Vec<u8> {
    let latin_1: Option<Vec<u8>> =
        name.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    latin_1.unwrap_or_else(|| name.as_bytes().to_vec())
}

/// A listed name as a URL segment, the way the phone asks for it: pasted in as it is, then escaped only where
/// its HTTP stack must. Percent signs stay, even where no two hex digits follow; `#` and `?` end the path.
pub fn phone_url_segment(listed_name: &str) -> String {
    let mut segment = String::with_capacity(listed_name.len());
    for character in listed_name.chars() {
        match character {
            '#' | '?' => break,
            '\t' | '\n' | '\r' | '\u{c}' => {}
            '\0'..='\x1f' | ' ' | '"' | '<' | '>' | '^' | '`' | '{' | '}' | '|' | '\x7f' => {
                push_escaped(&mut segment, character as u8);
            }
            '\\' => segment.push('/'),
            _ if character.is_ascii() => segment.push(character),
            _ => {
                let mut utf_8 = [0; 4];
                for byte in character.encode_utf8(&mut utf_8).bytes() {
                    push_escaped(&mut segment, byte);
                }
            }
        }
    }
    segment
}

fn push_escaped(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "%{byte:02X}");
}

/// The name a server should list for what the phone sends: the original one.
pub fn listed_for_phone(name: &str) -> String {
    name.replace('/', "_")
}

/// The name a server should list for what the desktop client sends. Its header says nothing of its encoding,
/// so one rule reads it: percent-escapes are decoded once if all of them are whole and the result is UTF-8.
pub fn listed_for_desktop(name: &str) -> String {
    decode_percent_once(name).unwrap_or_else(|| name.to_owned())
}

fn decode_percent_once(name: &str) -> Option<String> {
    if !name.is_ascii() {
        return None;
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok())?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(decoded).ok()
}

/// Names with the same fold are one name to a server: composed (NFC), then lower case.
pub fn fold(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// Whether a server that was given `wanted` may list `listed`: the same name, or the same with ` (2)`, ` (3)` …
/// before the extension, its stem shortened only when it would not fit otherwise.
pub fn is_rightly_listed(wanted: &str, listed: &str) -> bool {
    if wanted == listed {
        return true;
    }
    let (wanted_stem, wanted_extension) = split_extension(wanted);
    let (listed_stem, listed_extension) = split_extension(listed);
    let Some((kept_stem, number)) =
        listed_stem.strip_suffix(')').and_then(|open| open.rsplit_once(" ("))
    else {
        return false;
    };
    let numbered = number.parse::<u32>().is_ok_and(|number| number >= 2);
    let longest_unshortened = wanted.len() + number.len() + 3;
    let stem_fits = match longest_unshortened <= MAX_NAME_BYTES {
        true => kept_stem == wanted_stem,
        false => wanted_stem.starts_with(kept_stem) && listed.len() + 4 > MAX_NAME_BYTES,
    };
    numbered && stem_fits && wanted_extension == listed_extension
}

/// Stem and extension; the extension keeps its dot and is empty when there is none.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phone_escapes_as_javascript_does() {
        assert_eq!(phone_part_filename("My Photo.jpg"), "My%20Photo.jpg");
        assert_eq!(phone_part_filename("a/b (1)!~*'.jpg"), "a_b%20(1)!~*'.jpg");
        assert_eq!(phone_part_filename("Zoë 🏖 50%.jpg"), "Zo%C3%AB%20%F0%9F%8F%96%2050%25.jpg");
    }

    #[test]
    fn the_desktop_sends_latin_1_where_it_can() {
        assert_eq!(desktop_header_filename("é.jpg"), b"\xe9.jpg");
        assert_eq!(desktop_header_filename("ø€.jpg"), "ø€.jpg".as_bytes());
    }

    #[test]
    fn the_phone_asks_for_a_listed_name_almost_as_it_is() {
        assert_eq!(phone_url_segment("100% sure é.jpg"), "100%%20sure%20%C3%A9.jpg");
        assert_eq!(phone_url_segment("50%20off.jpg"), "50%20off.jpg");
        assert_eq!(phone_url_segment("track #1.jpg"), "track%20");
    }

    #[test]
    fn only_whole_escapes_are_decoded() {
        assert_eq!(listed_for_desktop("50%20off.jpg"), "50 off.jpg");
        assert_eq!(listed_for_desktop("100% sure.jpg"), "100% sure.jpg");
        assert_eq!(listed_for_desktop("%FF.jpg"), "%FF.jpg");
    }

    #[test]
    fn composed_and_decomposed_names_fold_alike() {
        assert_eq!(fold("Café.JPG"), fold("cafe\u{301}.jpg"));
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        assert!(is_rightly_listed("IMG_0001.jpg", "IMG_0001.jpg"));
        assert!(is_rightly_listed("IMG_0001.jpg", "IMG_0001 (2).jpg"));
        assert!(is_rightly_listed("noext", "noext (3)"));
        assert!(!is_rightly_listed("IMG_0001.jpg", "IMG_0001.jpg (2)"));
        assert!(!is_rightly_listed("IMG_0001.jpg", "IMG_0001 (1).jpg"));
        assert!(!is_rightly_listed("IMG_0001.jpg", "IMG (2).jpg"));
        assert!(!is_rightly_listed("IMG_0001.jpg", "img_0001.jpg"));
    }

    #[test]
    fn a_long_stem_gives_way_to_the_number() {
        let long = format!("{}.jpg", "x".repeat(251));
        let shortened = format!("{} (2).jpg", "x".repeat(247));
        assert!(is_rightly_listed(&long, &shortened));
        assert!(!is_rightly_listed(&long, "x (2).jpg"));
    }
}
