//! What a file is, by its first bytes.

use image::ImageFormat;

use crate::media::facts::Kind;

/// Bytes at the beginning that are looked at.
pub const HEAD_BYTES: u64 = 4096;

/// A format, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// What `image` decodes.
    Image(ImageFormat),
    /// HEIC, HEIF and AVIF.
    Heif,
    /// The raw pictures of cameras, with a preview inside.
    Raw,
    /// A video; whether it consists of boxes as MP4 does.
    Video {
        /// ISO base media format.
        boxes: bool,
    },
    /// Anything else.
    Other,
}

impl Format {
    /// What that makes of an asset.
    pub fn kind(self) -> Kind {
        match self {
            Self::Video { .. } => Kind::Video,
            Self::Other => Kind::File,
            _ => Kind::Photo,
        }
    }

    /// Short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Image(ImageFormat::Png) => "png",
            Self::Image(ImageFormat::Gif) => "gif",
            Self::Image(ImageFormat::WebP) => "webp",
            Self::Image(ImageFormat::Tiff) => "tiff",
            Self::Image(ImageFormat::Bmp) => "bmp",
            Self::Image(_) => "image",
            Self::Heif => "heif",
            Self::Raw => "raw",
            Self::Video { .. } => "video",
            Self::Other => "",
        }
    }
}

/// Recognises a format.
pub fn sniff(head: &[u8]) -> Format {
    let at = |from: usize, bytes: &[u8]| head.get(from..from + bytes.len()) == Some(bytes);
    if at(0, b"\xff\xd8\xff") {
        return Format::Jpeg;
    }
    if at(4, b"ftyp") {
        return of_brands(head);
    }
    if at(0, b"FUJIFILMCCD-RAW") {
        return Format::Raw;
    }
    if at(0, b"II*\0") || at(0, b"MM\0*") {
        return if super::preview::is_raw(head) {
            Format::Raw
        } else {
            Format::Image(ImageFormat::Tiff)
        };
    }
    // Panasonic and Olympus write TIFF with another number.
    if at(0, b"IIU\0") || at(0, b"IIRO") || at(0, b"IIRS") || at(0, b"MMOR") {
        return Format::Raw;
    }
    let simple = [
        (&b"\x89PNG\r\n\x1a\n"[..], Format::Image(ImageFormat::Png)),
        (b"GIF8", Format::Image(ImageFormat::Gif)),
        (b"BM", Format::Image(ImageFormat::Bmp)),
        // Matroska and WebM, MPEG programs, Windows Media, Flash.
        (b"\x1a\x45\xdf\xa3", Format::Video { boxes: false }),
        (b"\0\0\x01\xba", Format::Video { boxes: false }),
        (b"\0\0\x01\xb3", Format::Video { boxes: false }),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format::Video { boxes: false }),
        (b"FLV\x01", Format::Video { boxes: false }),
    ];
    if let Some((_, format)) = simple.iter().find(|(magic, _)| at(0, magic)) {
        return *format;
    }
    if at(0, b"RIFF") {
        return match head.get(8..12) {
            Some(b"WEBP") => Format::Image(ImageFormat::WebP),
            Some(b"AVI ") => Format::Video { boxes: false },
            _ => Format::Other,
        };
    }
    // QuickTime before it had brands.
    let is_old_movie = [&b"moov"[..], b"mdat", b"wide", b"pnot"].iter().any(|kind| at(4, kind));
    if is_old_movie {
        return Format::Video { boxes: true };
    }
    // Packets of MPEG transport streams begin every 188 bytes, on cameras every 192 from the fourth on.
    let in_step =
        |from: usize, step: usize| (0..4).all(|index| head.get(from + index * step) == Some(&0x47));
    if in_step(0, 188) || in_step(4, 192) {
        return Format::Video { boxes: false };
    }
    Format::Other
}

fn of_brands(head: &[u8]) -> Format {
    let length = head
        .get(..4)
        .map_or(0, |bytes| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)));
    let brands = head.get(8..length.max(12).min(head.len())).unwrap_or_default();
    let mut brands = brands.as_chunks::<4>().0.iter();
    let still: [&[u8; 4]; 8] =
        [b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"];
    // The first is the major one; then comes a version, then those it is compatible with.
    match brands.next() {
        Some(b"crx ") => Format::Raw,
        Some(major) if still.contains(&major) => Format::Heif,
        Some(_) => Format::Video { boxes: true },
        None => Format::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        let mov = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
        for (head, expected) in [
            (&b"\xff\xd8\xff\xe1"[..], Format::Jpeg),
            (b"\x89PNG\r\n\x1a\n", Format::Image(ImageFormat::Png)),
            (heic, Format::Heif),
            (mov, Format::Video { boxes: true }),
            (b"RIFF\0\0\0\0WEBPVP8 ", Format::Image(ImageFormat::WebP)),
            (b"RIFF\0\0\0\0AVI LIST", Format::Video { boxes: false }),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01", Format::Raw),
            (b"%PDF-1.7", Format::Other),
            (b"", Format::Other),
            (b"\0\0\0\0ftyp", Format::Other),
        ] {
            assert_eq!(sniff(head), expected, "{head:?}");
        }
    }
}
