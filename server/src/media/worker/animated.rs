//! Whether a picture moves. Of one that does, the first picture is drawn, and the original shows the rest.

use image::ImageFormat;

use super::sniff::Format;

/// Whether it has more than one picture that is shown after another.
pub fn is_animated(bytes: &[u8], format: Format) -> bool {
    match format {
        Format::Image(ImageFormat::Gif) => count_gif(bytes).unwrap_or(0) > 1,
        // Extended WebP has flags, and the second bit says so.
        Format::Image(ImageFormat::WebP) => {
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)
        }
        Format::Image(ImageFormat::Png) => png_moves(bytes).unwrap_or(false),
        Format::Heif => matches!(bytes.get(8..12), Some(b"avis" | b"hevc" | b"msf1")),
        _ => false,
    }
}

/// Pictures of a GIF, at most two: nobody wants to know how many.
fn count_gif(bytes: &[u8]) -> Option<usize> {
    let table = |flags: u8| if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(*bytes.get(10)?);
    let mut pictures = 0;
    while pictures < 2 {
        match *bytes.get(at)? {
            0x21 => at += 2,
            0x2c => {
                pictures += 1;
                at += 11 + table(*bytes.get(at + 9)?);
            }
            _ => break,
        }
        // Blocks with their length in front, until one has none.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
    Some(pictures)
}

/// A chunk about frames comes before the first pixels.
fn png_moves(bytes: &[u8]) -> Option<bool> {
    let mut at = 8;
    loop {
        let length: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        match bytes.get(at + 4..at + 8)? {
            b"acTL" => return Some(true),
            b"IDAT" | b"IEND" => return Some(false),
            _ => {}
        }
        at = at.checked_add(12)?.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gif_moves_with_its_second_picture_and_not_with_a_comment() {
        let head = b"GIF89a\x01\0\x01\0\0\0\0";
        let picture = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
        let comment = b"\x21\xfe\x02hi\0";
        let moves = |parts: &[&[u8]]| is_animated(&parts.concat(), Format::Image(ImageFormat::Gif));
        assert!(!moves(&[head, comment, picture, b";"]));
        assert!(moves(&[head, picture, comment, picture, b";"]));
        let whole = [&head[..], picture, picture].concat();
        for length in 0..whole.len() - 1 {
            // It must end, whatever it says.
            let _ = is_animated(&whole[..length], Format::Image(ImageFormat::Gif));
        }
    }
}
