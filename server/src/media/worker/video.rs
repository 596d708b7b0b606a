//! What MP4 and QuickTime files say of themselves: length, size, codec, time, place, and the other half of a Live Photo.

use std::io::{Read, Seek};

use super::bmff::{children, find, find_at_top, number};
use super::film::{self, Container, Stream};
use crate::media::facts::{Facts, Transfer};

/// Seconds between 1904, where these files begin to count, and 1970.
const EPOCH_1904_S: i64 = 2_082_844_800;

/// Adds what the file says. What cannot be read is left out.
pub fn read(input: &mut (impl Read + Seek), length: u64, facts: &mut Facts) {
    let Ok(Some(movie)) = find_at_top(input, length, b"moov") else { return };
    if let Some(head) = find(&movie, &[b"mvhd"]) {
        read_head(head, facts);
    }
    let mut streams = Streams::default();
    let tracks = children(&movie).into_iter().filter(|(kind, _)| kind == b"trak");
    for (_, track) in tracks {
        streams.read_track(track, facts);
    }
    let Streams { video, audio, transfer } = &streams;
    for (name, stream) in [("codec", video), ("audio_codec", audio)] {
        if let Some(stream) = stream {
            facts.shown.insert(name.into(), stream.name.clone());
        }
    }
    facts.film = Some(film::film(Container::Boxes, video.as_ref(), audio.as_ref(), *transfer));
    if let Some(user) = find(&movie, &[b"udta"]) {
        read_user(user, facts);
    }
    for path in [&[b"meta"][..], &[b"udta", b"meta"]] {
        if let Some(meta) = find(&movie, path) {
            read_meta(meta, facts);
        }
    }
}

/// Time and length. The numbers are wider from version 1 on.
fn read_head(head: &[u8], facts: &mut Facts) {
    let is_wide = head.first() == Some(&1);
    let (created, scale, duration) = match is_wide {
        true => (number(head, 4, 8), number(head, 20, 4), number(head, 24, 8)),
        false => (number(head, 4, 4), number(head, 12, 4), number(head, 16, 4)),
    };
    let created = created.and_then(|created| i64::try_from(created).ok());
    facts.container_utc_ms = created
        .filter(|created| *created > EPOCH_1904_S)
        .and_then(|created| (created - EPOCH_1904_S).checked_mul(1000));
    if let (Some(scale @ 1..), Some(duration)) = (scale, duration) {
        let ms = u128::from(duration) * 1000 / u128::from(scale);
        facts.duration_ms = i64::try_from(ms).ok().filter(|ms| *ms > 0);
    }
}

/// The first stream of each kind.
#[derive(Default)]
struct Streams {
    video: Option<Stream>,
    audio: Option<Stream>,
    transfer: Option<Transfer>,
}

impl Streams {
    fn read_track(&mut self, track: &[u8], facts: &mut Facts) {
        let handler = find(track, &[b"mdia", b"hdlr"]).and_then(|handler| handler.get(8..12));
        let samples = find(track, &[b"mdia", b"minf", b"stbl", b"stsd"]);
        let Some((kind, entry)) = samples.and_then(film::first_entry) else { return };
        match handler {
            Some(b"vide") if self.video.is_none() => {
                let (stream, transfer) = film::of_picture_entry(kind, entry);
                (self.video, self.transfer) = (Some(stream), transfer);
                read_size(track, facts);
            }
            Some(b"soun") if self.audio.is_none() => {
                self.audio = Some(film::of_sound_entry(kind, entry));
            }
            _ => {}
        }
    }
}

fn read_size(track: &[u8], facts: &mut Facts) {
    let Some(head) = find(track, &[b"tkhd"]) else { return };
    let matrix = if head.first() == Some(&1) { 52 } else { 40 };
    let fixed = |index: usize| number(head, matrix + 4 * index, 4).map(|part| part as u32 as i32);
    let side = |index: usize| number(head, matrix + 36 + 4 * index, 4).map(|side| side >> 16);
    let (Some(width), Some(height)) = (side(0), side(1)) else { return };
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else { return };
    let degrees = match [0, 1, 3, 4].map(|index| fixed(index).unwrap_or(0).signum()) {
        [0, 1, -1, 0] => 90,
        [-1, 0, 0, -1] => 180,
        [0, -1, 1, 0] => 270,
        _ => 0,
    };
    if degrees != 0 {
        facts.shown.insert("rotation".into(), degrees.to_string());
    }
    (facts.width, facts.height) =
        if degrees % 180 == 90 { (height, width) } else { (width, height) };
}

/// `©xyz`, where Android writes the place.
fn read_user(user: &[u8], facts: &mut Facts) {
    for (kind, content) in children(user) {
        if kind == *b"\xa9xyz"
            && let Some(text) = content.get(4..)
        {
            read_place(&String::from_utf8_lossy(text), facts);
        }
    }
}

/// Apple's list of keys and values.
fn read_meta(meta: &[u8], facts: &mut Facts) {
    // QuickTime has no version in front of the boxes, MP4 has.
    let inner = if meta.get(4..8) == Some(b"hdlr") { Some(meta) } else { meta.get(4..) };
    let Some(inner) = inner else { return };
    let (Some(keys), Some(list)) = (find(inner, &[b"keys"]), find(inner, &[b"ilst"])) else {
        return;
    };
    let keys: Vec<&[u8]> =
        children(keys.get(8..).unwrap_or_default()).into_iter().map(|(_, key)| key).collect();
    for (index, item) in children(list) {
        let index = u32::from_be_bytes(index) as usize;
        let key = index.checked_sub(1).and_then(|index| keys.get(index));
        let value = find(item, &[b"data"]).and_then(|data| data.get(8..));
        let (Some(key), Some(value)) = (key, value) else { continue };
        let text = String::from_utf8_lossy(&value[..value.len().min(200)]).into_owned();
        match *key {
            b"com.apple.quicktime.content.identifier" => facts.content_id = Some(text),
            b"com.apple.quicktime.creationdate" => facts.container_local = Some(text),
            b"com.apple.quicktime.make" => facts.make = Some(text),
            b"com.apple.quicktime.model" => facts.model = Some(text),
            b"com.apple.quicktime.location.ISO6709" => read_place(&text, facts),
            _ => {}
        }
    }
}

/// ISO 6709 in degrees: `+48.2082+016.3738+171.000/`.
fn read_place(text: &str, facts: &mut Facts) {
    let signs = text.char_indices().filter(|(_, c)| matches!(c, '+' | '-'));
    let starts: Vec<usize> = signs.map(|(at, _)| at).collect();
    let [first, second, rest @ ..] = starts.as_slice() else { return };
    let end = rest.first().copied().or_else(|| text.find('/')).unwrap_or(text.len());
    let degrees = |part: Option<&str>| -> Option<i64> {
        let value: f64 = part?.trim_end_matches(['\0', '/']).parse().ok()?;
        (value.abs() <= 180.0).then(|| (value * 1e7).round() as i64)
    };
    let place = (degrees(text.get(*first..*second)), degrees(text.get(*second..end)));
    if let (Some(latitude), Some(longitude)) = place {
        (facts.latitude_e7, facts.longitude_e7) = (Some(latitude), Some(longitude));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_with_and_without_a_height() {
        let of = |text: &str| {
            let mut facts = Facts::default();
            read_place(text, &mut facts);
            facts.latitude_e7.zip(facts.longitude_e7)
        };
        assert_eq!(of("+48.2082+016.3738/"), Some((482_082_000, 163_738_000)));
        assert_eq!(of("-33.8568+151.2153+012.000/"), Some((-338_568_000, 1_512_153_000)));
        for text in ["", "+", "48 16", "+abc+def/", "+999.0+1.0/"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
