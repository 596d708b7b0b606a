//! Words by which a picture is found: folded, so that `Ärger`, `ARGER` and `arger` are one. Pure.

use std::collections::BTreeSet;

use photosync_protocol::v2::claims::{Claims, PATH_PREFIX};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Raised when the same text folds to other words: then upkeep makes all of them again.
pub const WORDS_VERSION: i64 = 1;
/// Longest word in characters; what is longer is found by its beginning.
const MAX_WORD_CHARS: usize = 32;
/// Most words of one text.
const MAX_WORDS: usize = 64;

/// The words of a text, each once.
pub fn fold(text: &str) -> Vec<String> {
    let mut words: BTreeSet<String> = BTreeSet::new();
    let mut word = String::new();
    // Upper case first: it knows that `ß` is two letters.
    let upper: String = text.chars().flat_map(char::to_uppercase).collect();
    let letters = upper.chars().flat_map(char::to_lowercase).nfkd();
    for c in letters.filter(|c| !is_combining_mark(*c)) {
        if c.is_alphanumeric() {
            push_plain(&mut word, c);
            continue;
        }
        take(&mut words, &mut word);
        if is_picture(c) {
            words.insert(c.to_string());
        }
    }
    take(&mut words, &mut word);
    words.into_iter().take(MAX_WORDS).collect()
}

/// Letters that no normalisation takes apart, though people type them without.
fn push_plain(word: &mut String, c: char) {
    match c {
        'ø' => word.push('o'),
        'ł' => word.push('l'),
        'đ' | 'ð' => word.push('d'),
        'ı' => word.push('i'),
        'æ' => word.push_str("ae"),
        'œ' => word.push_str("oe"),
        'þ' => word.push_str("th"),
        other => word.push(other),
    }
}

fn take(words: &mut BTreeSet<String>, word: &mut String) {
    let whole: Vec<char> = word.chars().take(MAX_WORD_CHARS).collect();
    word.clear();
    if whole.is_empty() {
        return;
    }
    // Scripts without blanks: every end of the run is a word, so that its middle is found too.
    if whole.iter().any(|c| is_unspaced(*c)) {
        words.extend((1..whole.len()).map(|from| whole[from..].iter().collect()));
    }
    words.insert(whole.into_iter().collect());
}

/// Chinese characters, kana, hangul, Thai, Lao, Khmer and Burmese. Hangul is taken apart by the normalisation.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32, 0x0E00..=0x0EFF | 0x1000..=0x11FF | 0x1780..=0x17FF | 0x3040..=0x30FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// Emoji and other signs that stand for something; not the ones that only change the sign before.
fn is_picture(c: char) -> bool {
    matches!(c as u32, 0x2190..=0x2BFF | 0x1_F000..=0x1_FAFF)
        && !matches!(c as u32, 0x1_F3FB..=0x1_F3FF)
}

/// The words of a file's name, without those of its ending: those would be of half the library.
pub fn of_name(name: &str) -> Vec<String> {
    let stem = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 5 => stem,
        _ => name,
    };
    fold(stem)
}

/// The words of what a device says of a picture: its folder and its albums.
pub fn of_claims(claims: &Claims) -> Vec<String> {
    let folder = claims.folder.as_deref().unwrap_or_default();
    let folder = folder.strip_prefix(PATH_PREFIX).unwrap_or(folder);
    let copies = claims.copies.iter().filter_map(|place| place.folder.as_deref());
    let mut text = folder.to_owned();
    for more in claims.albums.iter().map(String::as_str).chain(copies.take(16)) {
        text.push(' ');
        text.push_str(more.strip_prefix(PATH_PREFIX).unwrap_or(more));
    }
    fold(&text)
}

/// First text that begins with no word of this prefix, for a range.
pub fn end_of(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        fold(text)
    }

    #[test]
    fn letters_with_and_without_marks_and_case_are_one_word() {
        for text in ["Ärger", "ARGER", "a\u{308}rger", "ärger"] {
            assert_eq!(words(text), ["arger"], "{text}");
        }
        assert_eq!(words("Straße"), words("STRASSE"));
        assert_eq!(words("Łódź Tromsø"), ["lodz", "tromso"]);
        assert_eq!(words("ﬁn Ⅳ"), ["fin", "iv"]);
    }

    #[test]
    fn emoji_are_words_and_what_only_changes_them_is_not() {
        assert_eq!(words("party🎉🎉 👍🏽"), ["party", "🎉", "👍"]);
        assert_eq!(words("❤\u{fe0f}"), ["❤"]);
    }

    #[test]
    fn the_middle_of_a_run_without_blanks_is_found() {
        assert!(words("東京タワー").contains(&"タワー".to_owned()));
        assert!(words("東京タワー").contains(&"東京タワー".to_owned()));
    }

    #[test]
    fn a_name_is_found_by_its_parts_and_not_by_its_ending() {
        assert_eq!(of_name("IMG_20240512-1830.HEIC"), ["1830", "20240512", "img"]);
        assert_eq!(of_name(".hidden"), ["hidden"]);
        assert_eq!(of_name("jpg"), ["jpg"]);
        assert!(words(&"long ".repeat(1000)).len() == 1 && fold(&"x".repeat(500))[0].len() == 32);
    }

    #[test]
    fn folders_and_albums_are_words_without_the_mark_of_a_path() {
        let claims = Claims {
            folder: Some("path:Reisen/Côte d'Azur".into()),
            albums: vec!["Été".into()],
            ..Claims::default()
        };
        assert_eq!(of_claims(&claims), ["azur", "cote", "d", "ete", "reisen"]);
    }
}
