//! Matroska and WebM: length, size and codecs, by the elements before the first picture. A film that was written while it was
//! recorded does not say its length; then it is that of its last block.

use std::io::{self, Read, Seek, SeekFrom};

use super::film::{self, Container, Stream};
use crate::media::facts::{Facts, Transfer};

const HEAD: u32 = 0x1a45_dfa3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const SCALE: u32 = 0x002a_d7b1;
const DURATION: u32 = 0x4489;
const DATE: u32 = 0x4461;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const TRACK_TYPE: u32 = 0x83;
const CODEC: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const VIDEO: u32 = 0xe0;
const WIDTH: u32 = 0xb0;
const HEIGHT: u32 = 0xba;
const COLOUR: u32 = 0x55b0;
const BITS: u32 = 0x55b2;
const TRANSFER: u32 = 0x55ba;
const CLUSTER: u32 = 0x1f43_b675;
const CLUSTER_TIME: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;

/// Longest element that is read whole: tracks with their codecs' heads.
const MAX_ELEMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Most elements that are stepped over: some hours of a film that does not say its length.
const MAX_ELEMENTS: usize = 2_000_000;
/// Milliseconds from 1970 to 2001, where dates in these files begin to count.
const EPOCH_2001_MS: i64 = 978_307_200_000;

/// Adds what the file says. What cannot be read is left out.
pub fn read(input: &mut (impl Read + Seek), length: u64, facts: &mut Facts) {
    let mut found = Found { scale_ns: 1_000_000, ..Found::default() };
    // A file that ends early has said what it could.
    let _ = found.walk(input, length);
    let ns = match found.duration {
        Some(duration) if duration > 0.0 => duration * found.scale_ns as f64,
        _ => found.last_time as f64 * found.scale_ns as f64,
    };
    if ns.is_finite() && ns >= 1e6 {
        facts.duration_ms = Some((ns / 1e6).round() as i64);
    }
    facts.container_utc_ms = found.date_ms;
    if let Some((width, height)) = found.size {
        (facts.width, facts.height) = (width, height);
    }
    let container = if found.is_webm { Container::WebM } else { Container::Matroska };
    let (video, audio) = (found.video.as_ref(), found.audio.as_ref());
    for (name, stream) in [("codec", video), ("audio_codec", audio)] {
        if let Some(stream) = stream {
            facts.shown.insert(name.into(), stream.name.clone());
        }
    }
    facts.film = Some(film::film(container, video, audio, found.transfer));
}

#[derive(Default)]
struct Found {
    is_webm: bool,
    scale_ns: u64,
    duration: Option<f64>,
    date_ms: Option<i64>,
    size: Option<(u32, u32)>,
    video: Option<Stream>,
    audio: Option<Stream>,
    transfer: Option<Transfer>,
    cluster_time: u64,
    last_time: u64,
}

impl Found {
    fn walk(&mut self, input: &mut (impl Read + Seek), length: u64) -> io::Result<()> {
        let mut at = 0;
        for _ in 0..MAX_ELEMENTS {
            if at + 2 > length {
                break;
            }
            input.seek(SeekFrom::Start(at))?;
            let mut head = [0; 12];
            let read = read_some(input, &mut head)?;
            let Some((id, size, head_bytes)) = element(&head[..read]) else { break };
            let content = at + head_bytes;
            // What does not know how long it is has no end of its own.
            let end = size.and_then(|size| content.checked_add(size)).unwrap_or(length);
            match id {
                SEGMENT | BLOCK_GROUP => at = content,
                CLUSTER if self.duration.is_some() => break,
                CLUSTER => at = content,
                SIMPLE_BLOCK | BLOCK => {
                    input.seek(SeekFrom::Start(content))?;
                    let mut block = [0; 12];
                    let read = read_some(input, &mut block)?;
                    self.read_block(&block[..read]);
                    at = end;
                }
                HEAD | INFO | TRACKS | CLUSTER_TIME => {
                    if end - content > MAX_ELEMENT_BYTES || end > length {
                        break;
                    }
                    input.seek(SeekFrom::Start(content))?;
                    let mut bytes = Vec::new();
                    Read::by_ref(input).take(end - content).read_to_end(&mut bytes)?;
                    self.read_element(id, &bytes);
                    at = end;
                }
                _ if size.is_none() => break,
                _ => at = end,
            }
        }
        Ok(())
    }

    fn read_block(&mut self, block: &[u8]) {
        let Some((_, track_bytes)) = number(block) else { return };
        let Some([high, low]) = block.get(track_bytes..track_bytes + 2) else { return };
        let relative = i64::from(i16::from_be_bytes([*high, *low]));
        let time = self.cluster_time.saturating_add_signed(relative);
        self.last_time = self.last_time.max(time);
    }

    fn read_element(&mut self, id: u32, bytes: &[u8]) {
        match id {
            HEAD => {
                let kind = children(bytes).find(|(id, _)| *id == DOC_TYPE);
                self.is_webm = kind.is_some_and(|(_, text)| text.trim_ascii_end() == b"webm");
            }
            CLUSTER_TIME => self.cluster_time = unsigned(bytes),
            INFO => {
                for (id, content) in children(bytes) {
                    match id {
                        SCALE => self.scale_ns = unsigned(content).clamp(1, 1_000_000_000),
                        DURATION => self.duration = float(content),
                        DATE => {
                            let ns = unsigned(content) as i64;
                            self.date_ms = (ns / 1_000_000).checked_add(EPOCH_2001_MS);
                        }
                        _ => {}
                    }
                }
            }
            _ => {
                let tracks = children(bytes).filter(|(id, _)| *id == TRACK);
                tracks.for_each(|(_, track)| self.read_track(track));
            }
        }
    }

    fn read_track(&mut self, track: &[u8]) {
        let first = |wanted: u32| children(track).find(|(id, _)| *id == wanted).map(|(_, c)| c);
        let codec = first(CODEC).unwrap_or_default().trim_ascii_end();
        let head = first(CODEC_PRIVATE).unwrap_or_default();
        let picture = first(VIDEO).unwrap_or_default();
        let inside = |of: &'_ [u8], wanted: u32| {
            children(of).find(|(id, _)| *id == wanted).map(|(_, content)| unsigned(content))
        };
        match first(TRACK_TYPE).map(unsigned) {
            Some(1) if self.video.is_none() => {
                let side = |id| inside(picture, id).and_then(|side| u32::try_from(side).ok());
                self.size = side(WIDTH).zip(side(HEIGHT));
                let colour = children(picture).find(|(id, _)| *id == COLOUR).map(|(_, c)| c);
                let colour = colour.unwrap_or_default();
                self.transfer = inside(colour, TRANSFER).and_then(film::transfer_of);
                let mut stream = picture_stream(codec, head);
                stream.is_common &= inside(colour, BITS).is_none_or(|bits| bits <= 8);
                self.video = Some(stream);
            }
            Some(2) if self.audio.is_none() => self.audio = Some(sound_stream(codec)),
            _ => {}
        }
    }
}

fn picture_stream(codec: &[u8], head: &[u8]) -> Stream {
    match codec {
        b"V_VP8" => Stream::plain("vp8", "vp8"),
        b"V_VP9" => Stream::plain("vp9", "vp9"),
        b"V_AV1" => film::av1(head),
        b"V_MPEG4/ISO/AVC" => film::h264(head),
        b"V_MPEGH/ISO/HEVC" => film::hevc(head),
        other => Stream::plain(&plain_name(other), ""),
    }
}

fn sound_stream(codec: &[u8]) -> Stream {
    match codec {
        b"A_OPUS" => Stream::plain("opus", "opus"),
        b"A_VORBIS" => Stream::plain("vorbis", "vorbis"),
        b"A_FLAC" => Stream::plain("flac", "flac"),
        b"A_MPEG/L3" => Stream::plain("mp3", "mp3"),
        aac if aac.starts_with(b"A_AAC") => Stream::plain("aac", "mp4a.40.2"),
        other => Stream::plain(&plain_name(other), ""),
    }
}

fn plain_name(codec: &[u8]) -> String {
    String::from_utf8_lossy(codec.get(2..).unwrap_or_default()).to_lowercase()
}

/// Fills as much as there is.
fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// A number with its length in front of it, in bytes: the marker bit is taken off.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = first.leading_zeros() as usize + 1;
    let bytes = bytes.get(..width).filter(|_| width <= 8)?;
    let marked = bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Some((marked & !(1 << (7 * width)), width))
}

/// Id, length (`None`: unknown) and the bytes that say so.
fn element(bytes: &[u8]) -> Option<(u32, Option<u64>, u64)> {
    let width = bytes.first()?.leading_zeros() as usize + 1;
    let id = bytes.get(..width).filter(|_| width <= 4)?;
    let id = id.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    let (size, size_width) = number(&bytes[width..])?;
    let is_known = size != (1 << (7 * size_width)) - 1;
    Some((id, is_known.then_some(size), (width + size_width) as u64))
}

/// The elements in the content of another one. Ends where it stops being elements.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, size, head) = element(bytes)?;
        let rest = &bytes[usize::try_from(head).ok()?..];
        let content = rest.get(..usize::try_from(size?).ok()?)?;
        bytes = &rest[content.len()..];
        Some((id, content))
    })
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => bytes.try_into().ok().map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        8 => bytes.try_into().ok().map(f64::from_be_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::media::facts::Plays;

    fn of(id: u32, content: &[u8]) -> Vec<u8> {
        let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        let length = u32::try_from(content.len()).unwrap() | 0x1000_0000;
        [&id[..], &length.to_be_bytes(), content].concat()
    }

    fn film(duration: Option<f64>) -> Vec<u8> {
        let duration = duration.map_or_else(Vec::new, |ms| of(DURATION, &ms.to_be_bytes()));
        let info = of(INFO, &[of(SCALE, &[0x0f, 0x42, 0x40]), duration].concat());
        let picture = of(VIDEO, &[of(WIDTH, &[2, 0x80]), of(HEIGHT, &[1, 0x68])].concat());
        let track = of(TRACK, &[of(TRACK_TYPE, &[1]), of(CODEC, b"V_VP9"), picture].concat());
        let blocks: Vec<u8> = [0u16, 500, 900]
            .iter()
            .flat_map(|time| {
                of(SIMPLE_BLOCK, &[&[0x81][..], &time.to_be_bytes(), &[0; 20]].concat())
            })
            .collect();
        let cluster = [of(CLUSTER_TIME, &[3, 0xe8]), blocks].concat();
        // As browsers record: neither the segment nor the cluster knows its end.
        let endless = |id: u32, content: &[u8]| {
            [&id.to_be_bytes()[..], &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], content]
                .concat()
        };
        let inside = [info, of(TRACKS, &track), endless(CLUSTER, &cluster)].concat();
        [of(HEAD, &of(DOC_TYPE, b"webm")), endless(SEGMENT, &inside)].concat()
    }

    fn facts(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        read(&mut Cursor::new(bytes), bytes.len() as u64, &mut facts);
        facts
    }

    #[test]
    fn the_length_is_said_or_that_of_the_last_block_and_a_film_cut_anywhere_is_read_so_far() {
        let said = facts(&film(Some(2000.0)));
        assert_eq!((said.duration_ms, said.width, said.height), (Some(2000), 640, 360));
        assert_eq!(said.film.map(|film| film.plays), Some(Plays::Everywhere));
        let whole = film(None);
        assert_eq!(facts(&whole).duration_ms, Some(1900));
        for length in 0..whole.len() {
            assert!(facts(&whole[..length]).duration_ms.unwrap_or(0) <= 1900);
        }
        // An element that leads back to its own beginning ends too.
        assert_eq!(facts(&[0xa0, 0x80].repeat(1000)).duration_ms, None);
    }
}
