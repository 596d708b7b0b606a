//! EXIF: times, camera, place, orientation, and what Apple writes beside it.

use std::io::Cursor;

use exif::{Context, Exif, Field, In, Reader, Tag, Value};

use super::bmff::{children, find};
use super::sniff::Format;
use super::{items, preview};
use crate::media::facts::{ExifTimes, Facts};

/// The directories of a raw picture stand within its first 8 MiB.
const MAX_TIFF_BYTES: usize = 8 * 1024 * 1024;

/// Adds what EXIF says.
pub fn read(bytes: &[u8], format: Format, facts: &mut Facts) {
    let found = parse(bytes);
    let found = found.or_else(|| match format {
        Format::Raw => parse_raw(bytes),
        // The reader above takes no more than 64 KiB; Xiaomi writes three times as much.
        Format::Heif => items::exif(bytes).and_then(parse_tiff).map(Found::of),
        _ => None,
    });
    let Some(exif) = found else { return };
    facts.orientation = orientation_of(&exif).unwrap_or(1);
    facts.exif = times(&exif);
    facts.make = text(&exif, Tag::Make);
    facts.model = text(&exif, Tag::Model);
    facts.lens = text(&exif, Tag::LensModel);
    facts.latitude_e7 = degrees(&exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S');
    facts.longitude_e7 = degrees(&exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W');
    let size = |tag| exif.field(tag).and_then(|field| field.value.get_uint(0));
    if let (Some(width), Some(height)) = (size(Tag::PixelXDimension), size(Tag::PixelYDimension)) {
        let is_turned = facts.orientation >= 5 && format != Format::Heif;
        (facts.width, facts.height) = if is_turned { (height, width) } else { (width, height) };
    }
    for (name, tag, before, after) in [
        ("aperture", Tag::FNumber, "f/", ""),
        ("exposure", Tag::ExposureTime, "", " s"),
        ("iso", Tag::PhotographicSensitivity, "", ""),
        ("focal_length", Tag::FocalLength, "", " mm"),
    ] {
        if let Some(field) = exif.field(tag) {
            let shown = format!("{before}{}{after}", field.display_value());
            facts.shown.insert(name.into(), shown);
        }
    }
    let note = exif.field(Tag::MakerNote);
    if let Some(Value::Undefined(note, _)) = note.map(|field| &field.value) {
        facts.content_id = apple_content_id(note);
    }
}

/// The orientation alone.
pub fn orientation(bytes: &[u8]) -> Option<u8> {
    parse(bytes).as_ref().and_then(orientation_of)
}

/// What was read, wherever it stood.
struct Found {
    main: Exif,
    /// Directories that stand alone, as Canon keeps them: what they are about is known by their numbers only.
    alone: Vec<Exif>,
}

impl Found {
    fn of(main: Exif) -> Self {
        Self { main, alone: Vec::new() }
    }

    fn field(&self, tag: Tag) -> Option<&Field> {
        let alone = Tag(Context::Tiff, tag.number());
        self.main
            .get_field(tag, In::PRIMARY)
            .or_else(|| self.alone.iter().find_map(|exif| exif.get_field(alone, In::PRIMARY)))
    }
}

fn parse(bytes: &[u8]) -> Option<Found> {
    let mut reader = Reader::new();
    reader.continue_on_error(true);
    let found = reader.read_from_container(&mut Cursor::new(bytes));
    found.or_else(|error| error.distill_partial_result(|_| {})).ok().map(Found::of)
}

/// A TIFF without anything around it.
fn parse_tiff(bytes: Vec<u8>) -> Option<Exif> {
    let mut reader = Reader::new();
    reader.continue_on_error(true);
    let found = reader.read_raw(bytes);
    found.or_else(|error| error.distill_partial_result(|_| {})).ok()
}

/// The EXIF of raw pictures that are no plain TIFF.
fn parse_raw(bytes: &[u8]) -> Option<Found> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return parse_canon(bytes);
    }
    // Olympus and Panasonic write TIFF with another number; it stands near the beginning.
    let mut head = bytes[..bytes.len().min(MAX_TIFF_BYTES)].to_vec();
    let plain: Option<&[u8; 2]> = match head.get(..2)? {
        b"II" => Some(b"*\0"),
        b"MM" => Some(b"\0*"),
        _ => None,
    };
    if let Some(plain) = plain {
        head.get_mut(2..4)?.copy_from_slice(plain);
        if let Some(found) = parse(&head) {
            return Some(found);
        }
    }
    preview::find(bytes).and_then(parse)
}

/// Canon's boxes: each directory is a TIFF of its own.
fn parse_canon(bytes: &[u8]) -> Option<Found> {
    let movie = find(bytes, &[b"moov"])?;
    let own = children(movie).into_iter().filter(|(kind, _)| kind == b"uuid");
    for (_, own) in own {
        let parts = children(own.get(16..).unwrap_or_default());
        let read = |wanted: &[u8; 4]| {
            parse_tiff(parts.iter().find(|(kind, _)| kind == wanted)?.1.to_vec())
        };
        if let Some(main) = read(b"CMT1") {
            let alone = [b"CMT2", b"CMT4"].into_iter().filter_map(read).collect();
            return Some(Found { main, alone });
        }
    }
    None
}

fn orientation_of(exif: &Found) -> Option<u8> {
    let value = exif.field(Tag::Orientation)?.value.get_uint(0)?;
    u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

fn text(exif: &Found, tag: Tag) -> Option<String> {
    let Value::Ascii(lines) = &exif.field(tag)?.value else { return None };
    let text = String::from_utf8_lossy(lines.first()?).trim_matches(['\0', ' ']).to_owned();
    (!text.is_empty()).then_some(text)
}

fn times(exif: &Found) -> ExifTimes {
    ExifTimes {
        original: text(exif, Tag::DateTimeOriginal),
        original_offset: text(exif, Tag::OffsetTimeOriginal),
        original_subsec: text(exif, Tag::SubSecTimeOriginal),
        digitized: text(exif, Tag::DateTimeDigitized),
        digitized_offset: text(exif, Tag::OffsetTimeDigitized),
        digitized_subsec: text(exif, Tag::SubSecTimeDigitized),
        changed: text(exif, Tag::DateTime),
        changed_offset: text(exif, Tag::OffsetTime),
        gps_date: text(exif, Tag::GPSDateStamp),
        gps_time: gps_time(exif),
    }
}

fn gps_time(exif: &Found) -> Option<String> {
    let parts = rationals(exif, Tag::GPSTimeStamp)?;
    if parts.iter().any(|part| !part.is_finite()) {
        return None;
    }
    let [hour, minute, second] = parts.map(|part| part as u32);
    Some(format!("{hour:02}:{minute:02}:{second:02}"))
}

/// Three numbers; one that is missing, or nought over nought, is none.
fn rationals(exif: &Found, tag: Tag) -> Option<[f64; 3]> {
    let Value::Rational(parts) = &exif.field(tag)?.value else { return None };
    Some([0, 1, 2].map(|index| parts.get(index).map_or(f64::NAN, exif::Rational::to_f64)))
}

fn degrees(exif: &Found, tag: Tag, side: Tag, negative: u8) -> Option<i64> {
    let [degrees, minutes, seconds] = rationals(exif, tag)?;
    // Some cameras leave out what they have no use for: all of it is in the degrees, or in the minutes.
    let rest = |part: f64| if part.is_finite() { part } else { 0.0 };
    let value = degrees + rest(minutes) / 60.0 + rest(seconds) / 3600.0;
    let is_negative = text(exif, side).is_some_and(|side| side.as_bytes()[0] == negative);
    let signed = if is_negative { -value } else { value };
    (signed.abs() <= 180.0).then(|| (signed * 1e7).round() as i64)
}

/// What both halves of a Live Photo carry: tag 0x11 of Apple's own directory, which begins after 14 bytes, big end first.
fn apple_content_id(note: &[u8]) -> Option<String> {
    const CONTENT_ID: u16 = 0x11;
    const ASCII: u16 = 2;
    let rest = note.strip_prefix(b"Apple iOS\0")?;
    if rest.get(2..4)? != b"MM" {
        return None;
    }
    let u16_at = |at: usize| Some(u16::from_be_bytes(note.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = note.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let count = usize::from(u16_at(14)?);
    for entry in (0..count.min(200)).map(|index| 16 + index * 12) {
        if (u16_at(entry)?, u16_at(entry + 2)?) != (CONTENT_ID, ASCII) {
            continue;
        }
        let (length, at) = (u32_at(entry + 4)?, u32_at(entry + 8)?);
        let bytes = note.get(at..at.checked_add(length.min(100))?)?;
        let text = String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
        return (!text.is_empty()).then_some(text);
    }
    None
}
