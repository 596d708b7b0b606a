//! Which browsers play a film: what its codecs are, by the heads that decoders are set up with.

use super::bmff::{children, find, number};
use crate::media::facts::{Film, Plays, Transfer};

/// What the streams of a film are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MP4 and QuickTime.
    Boxes,
    /// WebM.
    WebM,
    /// Matroska, which browsers do not open, or not by that name.
    Matroska,
}

/// A stream: its name for people, its name for browsers, and whether it is of the kind that everybody decodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// `h264`.
    pub name: String,
    /// `avc1.640028`; empty: there is none, or nobody knows.
    pub codec: String,
    /// 8 bits a colour, and a quarter of the colours, where that matters.
    pub is_common: bool,
}

impl Stream {
    /// A codec of which the name says everything.
    pub fn plain(name: &str, codec: &str) -> Self {
        Self { name: name.to_owned(), codec: codec.to_owned(), is_common: true }
    }
}

/// What these streams in this container make of a film.
pub fn film(
    container: Container,
    video: Option<&Stream>,
    audio: Option<&Stream>,
    transfer: Option<Transfer>,
) -> Film {
    let codecs = [video, audio].into_iter().flatten().map(|stream| stream.codec.as_str());
    let codecs: Vec<&str> = codecs.collect();
    let are_known = !codecs.is_empty() && codecs.iter().all(|codec| !codec.is_empty());
    let is_h264 = video.is_some_and(|video| video.name == "h264" && video.is_common);
    let copies = is_h264 && container != Container::WebM;
    Film {
        plays: plays(container, video, audio),
        codecs: are_known.then(|| codecs.join(", ")),
        transfer,
        copies,
    }
}

fn plays(container: Container, video: Option<&Stream>, audio: Option<&Stream>) -> Plays {
    let Some(video) = video else { return Plays::Nowhere };
    let sound = audio.map_or("", |audio| audio.name.as_str());
    match container {
        // Sound of cameras and of cinemas is not played: the film would be silent, and nobody would know why.
        Container::Boxes => match (video.name.as_str(), video.is_common, sound) {
            ("h264", true, "" | "aac" | "mp3") => Plays::Everywhere,
            ("h264", true, "opus" | "flac") => Plays::Some,
            ("hevc" | "av1" | "vp9", _, "" | "aac" | "mp3" | "opus" | "flac") => Plays::Some,
            _ => Plays::Nowhere,
        },
        Container::WebM => match (video.name.as_str(), sound) {
            ("vp8" | "vp9", "" | "opus" | "vorbis") => Plays::Everywhere,
            ("av1", "" | "opus" | "vorbis") => Plays::Some,
            _ => Plays::Nowhere,
        },
        Container::Matroska => Plays::Nowhere,
    }
}

/// Bytes of a picture's sample entry before its boxes.
const PICTURE_ENTRY_BYTES: usize = 78;
/// Bytes of a sound's sample entry before its boxes, in QuickTime's first version; later ones add to it.
const SOUND_ENTRY_BYTES: usize = 28;

/// The stream of a picture's sample entry, and how its light is meant.
pub fn of_picture_entry(kind: [u8; 4], entry: &[u8]) -> (Stream, Option<Transfer>) {
    let boxes = entry.get(PICTURE_ENTRY_BYTES..).unwrap_or_default();
    let inside = |kind: &[u8; 4]| find(boxes, &[kind]).unwrap_or_default();
    let stream = match &kind {
        b"avc1" | b"avc3" => h264(inside(b"avcC")),
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => hevc(inside(b"hvcC")),
        b"av01" => av1(inside(b"av1C")),
        b"vp09" => vp9(inside(b"vpcC")),
        b"mp4v" => Stream::plain("mpeg4", ""),
        b"ap4h" | b"ap4x" | b"apch" | b"apcn" | b"apcs" | b"apco" => Stream::plain("prores", ""),
        other => Stream::plain(String::from_utf8_lossy(other).trim(), ""),
    };
    let colour = inside(b"colr");
    let transfer = matches!(colour.get(..4), Some(b"nclx" | b"nclc"))
        .then(|| number(colour, 6, 2))
        .flatten()
        .and_then(transfer_of);
    (stream, transfer)
}

/// The transfer function of a number of ITU-T H.273, if it is one that screens without much light do not show as it is.
pub fn transfer_of(number: u64) -> Option<Transfer> {
    match number {
        16 => Some(Transfer::Pq),
        18 => Some(Transfer::Hlg),
        _ => None,
    }
}

/// H.264, by its decoder's configuration.
pub fn h264(config: &[u8]) -> Stream {
    let Some([_, profile, compatible, level]) = config.first_chunk::<4>() else {
        return Stream::plain("h264", "");
    };
    Stream {
        name: "h264".into(),
        codec: format!("avc1.{profile:02x}{compatible:02x}{level:02x}"),
        // Baseline, main, extended and high have 8 bits; the later ones have more bits or more colours.
        is_common: matches!(profile, 66 | 77 | 88 | 100),
    }
}

/// H.265, by its decoder's configuration: ISO/IEC 14496-15, annex E.
pub fn hevc(config: &[u8]) -> Stream {
    let mut stream = Stream::plain("hevc", "");
    let Some(head) = config.first_chunk::<13>() else { return stream };
    let (space, high, profile) = (head[1] >> 6, head[1] >> 5 & 1, head[1] & 31);
    let compatible = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
    let space = ["", "A", "B", "C"][usize::from(space)];
    let tier = if high == 1 { 'H' } else { 'L' };
    stream.codec = format!("hvc1.{space}{profile}.{compatible:x}.{tier}{}", head[12]);
    let last = head[6..12].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    for byte in &head[6..6 + last] {
        stream.codec += &format!(".{byte:x}");
    }
    stream
}

/// AV1, by its decoder's configuration.
pub fn av1(config: &[u8]) -> Stream {
    let mut stream = Stream::plain("av1", "");
    let Some([_, second, third, _]) = config.first_chunk::<4>() else { return stream };
    let (profile, level) = (second >> 5, second & 31);
    let tier = if third >> 7 == 1 { 'H' } else { 'M' };
    let bits = if third >> 6 & 1 == 0 { 8 } else { 10 + 2 * (third >> 5 & 1) };
    stream.codec = format!("av01.{profile}.{level:02}{tier}.{bits:02}");
    stream
}

fn vp9(config: &[u8]) -> Stream {
    let mut stream = Stream::plain("vp9", "");
    if let Some([profile, level, bits]) = config.get(4..7) {
        stream.codec = format!("vp09.{profile:02}.{level:02}.{:02}", bits >> 4);
    }
    stream
}

/// The stream of a sound's sample entry.
pub fn of_sound_entry(kind: [u8; 4], entry: &[u8]) -> Stream {
    match &kind {
        b"mp4a" => of_mp4a(entry),
        b".mp3" => Stream::plain("mp3", "mp3"),
        b"Opus" => Stream::plain("opus", "opus"),
        b"fLaC" => Stream::plain("flac", "flac"),
        b"ac-3" => Stream::plain("ac3", "ac-3"),
        b"ec-3" => Stream::plain("eac3", "ec-3"),
        b"samr" | b"sawb" => Stream::plain("amr", ""),
        b"sowt" | b"twos" | b"lpcm" | b"raw " | b"in24" | b"fl32" => Stream::plain("pcm", ""),
        other => Stream::plain(String::from_utf8_lossy(other).trim(), ""),
    }
}

fn of_mp4a(entry: &[u8]) -> Stream {
    let longer = match number(entry, 8, 2) {
        Some(1) => 16,
        Some(2) => 36,
        _ => 0,
    };
    let boxes = entry.get(SOUND_ENTRY_BYTES + longer..).unwrap_or_default();
    // QuickTime wraps it once more.
    let config = find(boxes, &[b"esds"]).or_else(|| find(boxes, &[b"wave", b"esds"]));
    let Some((object, own)) = config.and_then(sound_object) else {
        return Stream::plain("aac", "mp4a.40.2");
    };
    match object {
        0x40 => Stream::plain("aac", &format!("mp4a.40.{}", own.unwrap_or(2))),
        0x66..=0x68 => Stream::plain("aac", &format!("mp4a.{object:x}")),
        0x69 | 0x6b => Stream::plain("mp3", &format!("mp4a.{object:x}")),
        _ => Stream::plain("other", &format!("mp4a.{object:x}")),
    }
}

/// Object type, and of MPEG-4 sound its own type: ISO/IEC 14496-1, 7.2.6.
fn sound_object(config: &[u8]) -> Option<(u8, Option<u8>)> {
    let (tag, stream) = descriptor(config.get(4..)?)?;
    if tag != 3 {
        return None;
    }
    let flags = *stream.get(2)?;
    let more = [(0x80u8, 2usize), (0x20, 2)].iter().filter(|(bit, _)| flags & bit != 0);
    let at = 3 + more.map(|(_, bytes)| bytes).sum::<usize>();
    let (tag, decoder) = descriptor(stream.get(at..)?)?;
    let object = *decoder.first().filter(|_| tag == 4)?;
    let own = decoder.get(13..).and_then(descriptor).filter(|(tag, _)| *tag == 5);
    let own = own.and_then(|(_, bytes)| bytes.first()).map(|byte| byte >> 3);
    Some((object, own.filter(|own| (1..31).contains(own))))
}

/// Tag and content of a descriptor, whose length is written in groups of seven bits.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut length = 0usize;
    for _ in 0..4 {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((*tag, rest.get(..length).unwrap_or(rest)))
}

/// The first sample entry of a track's description: its kind and content.
pub fn first_entry(samples: &[u8]) -> Option<([u8; 4], &[u8])> {
    children(samples.get(8..)?).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_named_as_browsers_ask_for_them() {
        assert_eq!(h264(&[1, 0x64, 0, 0x28]).codec, "avc1.640028");
        assert!(!h264(&[1, 110, 0, 0x28]).is_common, "10 bits");
        let main10 = [1, 2, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 120];
        assert_eq!(hevc(&main10).codec, "hvc1.2.4.L120.90");
        assert_eq!(av1(&[0x81, 0x08, 0x40, 0]).codec, "av01.0.08M.10");
        for short in 0..13 {
            assert_eq!(hevc(&main10[..short]).codec, "");
        }
        let esds = [
            0, 0, 0, 0, 3, 22, 0, 1, 0, 4, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2,
            0x12, 0x10,
        ];
        assert_eq!(sound_object(&esds), Some((0x40, Some(2))));
        for length in 0..12 {
            assert_eq!(sound_object(&esds[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_film_plays_everywhere_only_with_a_sound_that_plays_too() {
        let h264 = Stream::plain("h264", "avc1.640028");
        let of = |container, video: &Stream, sound: &str| {
            plays(container, Some(video), Some(&Stream::plain(sound, "")))
        };
        assert_eq!(of(Container::Boxes, &h264, "aac"), Plays::Everywhere);
        assert_eq!(of(Container::Boxes, &h264, "pcm"), Plays::Nowhere);
        assert_eq!(of(Container::Matroska, &h264, "aac"), Plays::Nowhere);
        let deep = Stream { is_common: false, ..h264 };
        assert_eq!(of(Container::Boxes, &deep, "aac"), Plays::Nowhere);
        assert_eq!(of(Container::Boxes, &Stream::plain("hevc", ""), "aac"), Plays::Some);
        assert_eq!(of(Container::WebM, &Stream::plain("vp9", ""), "opus"), Plays::Everywhere);
        assert_eq!(plays(Container::Boxes, None, None), Plays::Nowhere);
    }
}
