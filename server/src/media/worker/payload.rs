//! The identity of a picture without its metadata: two files that differ in EXIF or captions only have the same.
//!
//! Only for formats whose metadata stands apart from the picture: JPEG, PNG, WebP, HEIF and AVIF.

use image::ImageFormat;
use sha2::{Digest, Sha256};

use super::items;
use super::sniff::Format;

/// SHA-256 of the picture; `None` where it cannot be told apart from the rest.
pub fn hash(bytes: &[u8], format: Format) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    match format {
        Format::Jpeg => hash_jpeg(bytes, &mut hash)?,
        Format::Image(ImageFormat::Png) => hash_png(bytes, &mut hash)?,
        Format::Image(ImageFormat::WebP) => hash_webp(bytes, &mut hash)?,
        Format::Heif => items::picture(bytes)?.into_iter().for_each(|part| hash.update(part)),
        _ => return None,
    }
    Some(hash.finalize().into())
}

/// Everything but the application segments and comments, up to the end of the picture: what follows that is somebody's
/// addition (a film, a second picture). Adobe's segment 14 says how colours are coded and stays.
fn hash_jpeg(bytes: &[u8], hash: &mut Sha256) -> Option<()> {
    let mut at = 2;
    loop {
        let (marker, segment, next) = segment(bytes, at)?;
        if marker == 0xda {
            let scans = &bytes[at..];
            hash.update(&scans[..end_of_picture(scans)]);
            return Some(());
        }
        let is_metadata = (0xe0..=0xef).contains(&marker) && marker != 0xee || marker == 0xfe;
        if !is_metadata {
            hash.update([0xff, marker]);
            hash.update(segment);
        }
        at = next;
    }
}

/// Marker, content and end of the segment at `at`. Fill bytes before a marker are passed over.
fn segment(bytes: &[u8], mut at: usize) -> Option<(u8, &[u8], usize)> {
    while bytes.get(at..at + 2)? == [0xff, 0xff] {
        at += 1;
    }
    let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
    if marker == 0xd9 || marker == 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
    let end = at + 2 + length;
    Some((marker, bytes.get(at + 4..end)?, end))
}

/// Where the end marker ends; the whole if there is none. Inside of scans 0xff is always followed by a zero or by
/// a marker of its own.
fn end_of_picture(scans: &[u8]) -> usize {
    let end = scans.windows(2).position(|pair| pair == [0xff, 0xd9]);
    end.map_or(scans.len(), |at| at + 2)
}

/// Whether a JPEG is of a kind that is only whole at its end.
pub fn is_progressive(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some((marker, _, next)) = segment(bytes, at) {
        match marker {
            0xc2 | 0xc6 | 0xca | 0xce => return true,
            0xda => return false,
            _ => at = next,
        }
    }
    false
}

/// The chunks that pixels and colours are made of.
fn hash_png(bytes: &[u8], hash: &mut Sha256) -> Option<()> {
    let picture: [&[u8]; 8] =
        [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"sRGB", b"gAMA", b"cHRM"];
    let mut at = 8;
    loop {
        let length = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        let length = usize::try_from(length).ok()?;
        let kind = bytes.get(at + 4..at + 8)?;
        if kind == b"IEND" {
            return Some(());
        }
        let content = bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        if picture.contains(&kind) {
            hash.update(kind);
            hash.update(content);
        }
        at += 12 + length;
    }
}

/// The chunks of the first picture, of the others of an animation, and the profile of their colours. `VP8X` stays out: it
/// says which metadata there is.
fn hash_webp(bytes: &[u8], hash: &mut Sha256) -> Option<()> {
    let picture: [&[u8]; 6] = [b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
    let mut at = 12;
    while at < bytes.len() {
        let kind = bytes.get(at..at + 4)?;
        let length = bytes.get(at + 4..at + 8)?.try_into().ok().map(u32::from_le_bytes)?;
        let length = usize::try_from(length).ok()?;
        let content = bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        if picture.contains(&kind) {
            hash.update(kind);
            hash.update(content);
        }
        at += 8 + length + length % 2;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment_of(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &length, content].concat()
    }

    #[test]
    fn a_jpeg_with_other_metadata_is_the_same_picture_and_with_other_pixels_is_not() {
        let jpeg = |segments: &[Vec<u8>], scan: &[u8], after: &[u8]| {
            let parts = [&[0xff, 0xd8][..], &segments.concat(), &segment_of(0xda, b"h"), scan];
            [&parts.concat()[..], &[0xff, 0xd9], after].concat()
        };
        let table = segment_of(0xdb, b"table");
        let plain = hash(&jpeg(std::slice::from_ref(&table), b"scan", b""), Format::Jpeg);
        assert!(plain.is_some());
        let exif = segment_of(0xe1, b"Exif");
        let comment = segment_of(0xfe, b"hello");
        let written = jpeg(&[exif, table.clone(), comment], b"scan", b"a film");
        assert_eq!(hash(&written, Format::Jpeg), plain);
        assert_ne!(hash(&jpeg(std::slice::from_ref(&table), b"scam", b""), Format::Jpeg), plain);
        assert_ne!(
            hash(&jpeg(&[table, segment_of(0xee, b"x")], b"scan", b""), Format::Jpeg),
            plain
        );
        assert_eq!(hash(b"\xff\xd8\xff\xe1\xff\xff", Format::Jpeg), None);
    }
    #[test]
    fn a_webp_with_other_metadata_is_the_same_picture_and_with_other_pixels_is_not() {
        let chunk = |kind: &[u8], content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap().to_le_bytes();
            [kind, &length, content, &[0; 1][..content.len() % 2]].concat()
        };
        let webp = |chunks: &[Vec<u8>]| [&b"RIFF....WEBP"[..], &chunks.concat()].concat();
        let format = Format::Image(ImageFormat::WebP);
        let plain = hash(&webp(&[chunk(b"VP8 ", b"scan")]), format);
        assert!(plain.is_some());
        let written = [chunk(b"VP8X", b"flags"), chunk(b"VP8 ", b"scan"), chunk(b"EXIF", b"odd")];
        assert_eq!(hash(&webp(&written), format), plain);
        assert_ne!(hash(&webp(&[chunk(b"VP8 ", b"scam")]), format), plain);
        assert_eq!(hash(&webp(&[chunk(b"VP8 ", b"scan")])[..20], format), None);
    }
}
