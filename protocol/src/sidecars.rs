//! Sidecars: what Google Takeout and iCloud exports say about photos in files beside them.
//!
//! Pure text in, [`Claims`] out; who reads the files is the client (`backup`) and the server (`import`). A sidecar that
//! cannot be understood says nothing, which is never an error: the photo counts, and is kept without it.

use serde::Deserialize;

use crate::calendar::{MONTHS, civil_from_days};
use crate::v2::claims::{CaptureSource, Captured, Claims};

/// Larger files are no sidecars: 256 KiB for one photo's JSON.
pub const MAX_TAKEOUT_BYTES: u64 = 256 * 1024;
/// Largest list of an iCloud export that is read: 16 MiB, about 100,000 photos.
pub const MAX_ICLOUD_BYTES: u64 = 16 * 1024 * 1024;

/// Takeout cuts the name before `.json` to so many characters.
const TAKEOUT_NAME_CHARS: usize = 46;
/// Ending that Takeout puts between a photo's name and `.json` since 2024, itself cut.
const TAKEOUT_ENDING: &str = ".supplemental-metadata";
/// Ends the name of an edited copy, which has no sidecar of its own.
const EDITED: &str = "-edited";

/// Names under which Takeout may have put the sidecar of a photo, most likely first, all in the photo's folder.
pub fn takeout_names(photo: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (stem, extension) = match photo.rfind('.').filter(|at| *at > 0) {
        Some(at) => photo.split_at(at),
        None => (photo, ""),
    };
    add_takeout_names(stem, extension, &mut names);
    if let Some(original) = stem.strip_suffix(EDITED) {
        add_takeout_names(original, extension, &mut names);
    }
    names
}

fn add_takeout_names(stem: &str, extension: &str, names: &mut Vec<String>) {
    let mut add = |photo: &str, number: &str| {
        for base in [format!("{photo}{TAKEOUT_ENDING}"), photo.to_owned()] {
            let cut: String = base.chars().take(TAKEOUT_NAME_CHARS).collect();
            let name = format!("{cut}{number}.json");
            if !names.contains(&name) {
                names.push(name);
            }
        }
    };
    add(&format!("{stem}{extension}"), "");
    // `IMG_1(2).jpg` belongs to `IMG_1.jpg.supplemental-metadata(2).json`.
    if let Some((bare, number)) = split_number(stem) {
        add(&format!("{bare}{extension}"), number);
    }
}

/// `IMG_1(2)` → `IMG_1` and `(2)`.
fn split_number(stem: &str) -> Option<(&str, &str)> {
    let (bare, number) = stem.split_at(stem.rfind('(')?);
    let digits = number.strip_prefix('(')?.strip_suffix(')')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !bare.is_empty()).then_some((bare, number))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Takeout {
    photo_taken_time: Option<TakeoutTime>,
    #[serde(default)]
    favorited: bool,
}

#[derive(Deserialize)]
struct TakeoutTime {
    timestamp: String,
}

/// What a Takeout sidecar says. `None` if it is some other JSON.
pub fn read_takeout(json: &[u8]) -> Option<Claims> {
    let read: Takeout = serde_json::from_slice(json).ok()?;
    let taken = read.photo_taken_time?;
    let seconds: i64 = taken.timestamp.parse().ok()?;
    // Zero is what Takeout writes when it does not know.
    let captured = (seconds != 0).then(|| captured_at(seconds)).flatten();
    Some(Claims { captured, favourite: read.favorited.then_some(true), ..Claims::default() })
}

/// An instant. Takeout keeps no offset, so the wall clock is the one of UTC, and says so.
fn captured_at(unix_s: i64) -> Option<Captured> {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    Captured::read(&text, CaptureSource::Sidecar).ok()
}

/// Whether a file of an iCloud export lists its photos: `Photo Details.csv`, `Photo Details-1.csv`, …
pub fn is_icloud_list(name: &str) -> bool {
    name.starts_with("Photo Details") && name.to_ascii_lowercase().ends_with(".csv")
}

/// What an iCloud list says, as (name of the photo, claims). Rows that cannot be read are left out; empty if it is some
/// other table.
pub fn read_icloud(csv: &str) -> Vec<(String, Claims)> {
    let mut rows = read_csv(csv.trim_start_matches('\u{FEFF}')).into_iter();
    let Some(head) = rows.next() else { return Vec::new() };
    let column = |name: &str| head.iter().position(|cell| cell.trim() == name);
    let Some(names) = column("imgName") else { return Vec::new() };
    let (favourites, times) = (column("favorite"), column("originalCreationDate"));
    let read = |row: Vec<String>| {
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).map(|cell| cell.trim());
        let name = cell(Some(names)).filter(|name| !name.is_empty())?.to_owned();
        let claims = Claims {
            captured: cell(times).and_then(read_icloud_time),
            favourite: (cell(favourites) == Some("yes")).then_some(true),
            ..Claims::default()
        };
        Some((name, claims))
    };
    rows.filter_map(read).collect()
}

/// `Saturday July 13,2019 5:54 PM GMT`
fn read_icloud_time(text: &str) -> Option<Captured> {
    let text = text.replace(',', " ");
    let mut parts = text.split_whitespace();
    let _weekday = parts.next()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = parts.next()?.parse().ok()?;
    let year: u16 = parts.next()?.parse().ok()?;
    let (hour, minute) = parts.next()?.split_once(':')?;
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    let hour = match (parts.next()?, hour) {
        ("AM", 12) => 0,
        ("PM", 12) => 12,
        ("AM", hour @ 1..12) => hour,
        ("PM", hour @ 1..12) => hour + 12,
        _ => return None,
    };
    if parts.next() != Some("GMT") {
        return None;
    }
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z");
    Captured::read(&text, CaptureSource::Sidecar).ok()
}

/// RFC 4180: cells may be quoted, quotes are doubled.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(claims: &Claims) -> Option<String> {
        claims.captured.as_ref().map(Captured::to_text)
    }

    #[test]
    fn takeout_sidecars_are_found_under_every_name_takeout_gives_them() {
        for (photo, sidecar) in [
            ("IMG_1.jpg", "IMG_1.jpg.json"),
            ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
            ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
            ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
            ("IMG_1-edited.jpg", "IMG_1.jpg.supplemental-metadata.json"),
            ("IMG_1-edited(2).jpg", "IMG_1-edited.jpg(2).json"),
            // 46 characters before `.json`.
            (
                "Screenshot_20240101-120000_Gallery.png",
                "Screenshot_20240101-120000_Gallery.png.supplem.json",
            ),
            (
                "a_very_long_name_that_google_will_have_to_cut_somewhere.jpg",
                "a_very_long_name_that_google_will_have_to_cut_.json",
            ),
        ] {
            let names = takeout_names(photo);
            assert!(names.iter().any(|name| name == sidecar), "{photo}: {names:?}");
        }
    }

    #[test]
    fn a_takeout_sidecar_says_when_in_utc_and_never_more_than_it_knows() {
        let json = br#"{"title":"IMG_1.jpg","photoTakenTime":{"timestamp":"1563040440",
            "formatted":"13.07.2019"},"favorited":true,"geoData":{"latitude":0.0}}"#;
        let claims = read_takeout(json).unwrap();
        assert_eq!(text_of(&claims).as_deref(), Some("2019-07-13T17:54:00Z"));
        assert_eq!(claims.captured.unwrap().source, CaptureSource::Sidecar);
        assert_eq!(claims.favourite, Some(true));
        let old = read_takeout(br#"{"photoTakenTime":{"timestamp":"-86400"}}"#).unwrap();
        assert_eq!(text_of(&old).as_deref(), Some("1969-12-31T00:00:00Z"));
        assert_eq!(old.favourite, None);
        let unknown = read_takeout(br#"{"photoTakenTime":{"timestamp":"0"}}"#).unwrap();
        assert_eq!(unknown.captured, None);
        for other in [&b"{}"[..], b"[]", b"", br#"{"photoTakenTime":{"timestamp":"soon"}}"#] {
            assert_eq!(read_takeout(other), None);
        }
    }

    #[test]
    fn an_icloud_list_is_read_and_odd_rows_are_left_out() {
        let csv = "imgName,fileChecksum,favorite,hidden,deleted,originalCreationDate,viewCount\r\n\
                   IMG_1.HEIC,AbC=,yes,no,no,\"Saturday July 13,2019 5:54 PM GMT\",3\r\n\
                   \"a, \"\"b\"\".jpg\",AbC=,no,no,no,\"Monday January 1,2024 12:05 AM GMT\",0\r\n\
                   IMG_3.HEIC,AbC=,no,no,no,some day,0\r\n\
                   ,x,no,no,no,,0\r\n";
        let rows = read_icloud(csv);
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["IMG_1.HEIC", "a, \"b\".jpg", "IMG_3.HEIC"]);
        assert_eq!(text_of(&rows[0].1).as_deref(), Some("2019-07-13T17:54:00Z"));
        assert_eq!(rows[0].1.favourite, Some(true));
        assert_eq!(text_of(&rows[1].1).as_deref(), Some("2024-01-01T00:05:00Z"));
        assert_eq!(rows[2].1, Claims::default());
        assert!(read_icloud("a,b\n1,2\n").is_empty() && read_icloud("").is_empty());
        assert!(is_icloud_list("Photo Details-12.csv") && !is_icloud_list("Albums.csv"));
    }

    proptest! {
        #[test]
        fn no_sidecar_makes_the_reader_fall_over(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            read_icloud(&text);
            read_icloud(&format!("imgName,favorite,originalCreationDate\n{text}"));
            read_icloud_time(&text);
            read_takeout(&bytes);
            takeout_names(&text);
        }

        #[test]
        fn every_second_of_four_digit_years_is_a_capture_time(seconds in -62_167_219_200_i64..253_402_300_800) {
            prop_assert!(captured_at(seconds).is_some());
        }
    }
}
