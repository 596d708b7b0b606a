//! The film inside a picture: Google's and Samsung's Motion Photos. Where it begins and how long it is; it stays where it is.

use std::ops::Range;

use super::bmff::children;
use super::sniff::Format;

/// Where XMP begins, if it is there at all: within the first 256 KiB.
const XMP_WITHIN_BYTES: usize = 256 * 1024;
/// What Samsung calls the film in its trailer.
const SAMSUNG_NAME: &[u8] = b"MotionPhoto_Data";

/// The bytes of the film, if there is one.
pub fn find(bytes: &[u8], format: Format) -> Option<Range<usize>> {
    let found = match format {
        Format::Jpeg => by_xmp(bytes)
            .or_else(|| by_trailer(bytes))
            .filter(|range| is_film(&bytes[range.clone()]))
            .or_else(|| says_so(bytes).then(|| by_search(bytes)).flatten()),
        Format::Heif => by_box(bytes),
        _ => None,
    };
    found.filter(|range| is_film(&bytes[range.clone()]))
}

fn is_film(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

fn xmp_of(bytes: &[u8]) -> &[u8] {
    let head = &bytes[..bytes.len().min(XMP_WITHIN_BYTES)];
    let begins = head.windows(10).position(|window| window == b"<x:xmpmeta");
    let Some(begins) = begins else { return &[] };
    let end = head[begins..].windows(11).position(|window| window == b"</x:xmpmeta");
    &head[begins..end.map_or(head.len(), |end| begins + end)]
}

fn says_so(bytes: &[u8]) -> bool {
    let xmp = String::from_utf8_lossy(xmp_of(bytes));
    ["MotionPhoto", "MicroVideo"].iter().any(|name| attribute(&xmp, name) == Some("1"))
}

/// The value of an attribute or element, whatever its prefix: `GCamera:MotionPhoto="1"`, `<Item:Length>12</Item:Length>`.
fn attribute<'a>(xmp: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = xmp.get(from..)?.find(name) {
        let (before, after) = (&xmp[..from + at], &xmp[from + at + name.len()..]);
        from += at + name.len();
        if !before.ends_with(':') {
            continue;
        }
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let value = value.trim_start();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            return value[1..].split(quote).next();
        }
        if let Some(value) = after.strip_prefix('>') {
            return value.split('<').next().map(str::trim);
        }
    }
    None
}

/// Google counts from the end of the file: the older way has one offset, the newer one a list of what follows the picture.
fn by_xmp(bytes: &[u8]) -> Option<Range<usize>> {
    let xmp = String::from_utf8_lossy(xmp_of(bytes));
    if let Some(offset) = attribute(&xmp, "MicroVideoOffset").and_then(|text| text.parse().ok()) {
        return Some(bytes.len().checked_sub(offset)?..bytes.len());
    }
    // Each item says its meaning and its length; those after the film lie behind it.
    let mut behind = 0usize;
    for item in xmp.split("<rdf:li").skip(1).collect::<Vec<_>>().into_iter().rev() {
        let number = |name| attribute(item, name).and_then(|text| text.parse::<usize>().ok());
        let length = number("Length").unwrap_or(0);
        let end = bytes.len().checked_sub(behind)?;
        if attribute(item, "Semantic") == Some("MotionPhoto") {
            return Some(end.checked_sub(length)?..end);
        }
        behind = behind.checked_add(length)?.checked_add(number("Padding").unwrap_or(0))?;
    }
    None
}

/// Samsung's trailer: blocks, then a directory that counts back to them, then how long it is.
fn by_trailer(bytes: &[u8]) -> Option<Range<usize>> {
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let rest = bytes.strip_suffix(b"SEFT")?;
    let at = rest.len().checked_sub(4)?;
    let directory = at.checked_sub(number(at)?)?;
    if bytes.get(directory..directory + 4)? != b"SEFH" {
        return None;
    }
    let count = number(directory + 8)?;
    for entry in (0..count.min(64)).map(|index| directory + 12 + index * 12) {
        let (back, length) = (number(entry + 4)?, number(entry + 8)?);
        let block = directory.checked_sub(back)?;
        let name_bytes = number(block + 4)?;
        let name = block + 8;
        let data = name.checked_add(name_bytes)?;
        if bytes.get(name..data) == Some(SAMSUNG_NAME) {
            return Some(data..block.checked_add(length)?.min(directory))
                .filter(|r| r.start < r.end);
        }
    }
    None
}

/// HEIC has a box for it at the top.
fn by_box(bytes: &[u8]) -> Option<Range<usize>> {
    let (_, content) = children(bytes).into_iter().find(|(kind, _)| kind == b"mpvd")?;
    // It is a part of `bytes`: how far into it, its place says.
    let start = content.as_ptr().addr() - bytes.as_ptr().addr();
    Some(start..start + content.len())
}

/// After an editor the offset is wrong, and the film is there all the same: the first thing that begins as one does.
fn by_search(bytes: &[u8]) -> Option<Range<usize>> {
    let at = bytes.windows(4).position(|window| window == b"ftyp")?.checked_sub(4)?;
    let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    (8..=256).contains(&length).then_some(at..bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILM: &[u8] = b"\0\0\0\x10ftypmp42\0\0\0\0 and so on";

    fn with_xmp(inside: &str, after: &[u8]) -> Vec<u8> {
        let head = format!("\u{fffd}<x:xmpmeta xmlns:x='adobe:ns:meta/'>{inside}</x:xmpmeta>");
        [head.as_bytes(), b" the picture \xff\xd9", after].concat()
    }

    fn found(bytes: &[u8]) -> Option<&[u8]> {
        find(bytes, Format::Jpeg).map(|range| &bytes[range])
    }

    #[test]
    fn googles_films_are_found_by_either_way_of_counting_and_by_search_if_the_count_is_wrong() {
        let old = format!("GCamera:MicroVideo=\"1\" GCamera:MicroVideoOffset=\"{}\"", FILM.len());
        assert_eq!(found(&with_xmp(&old, FILM)), Some(FILM));
        let list = |length: usize| {
            format!(
                "<r GCamera:MotionPhoto='1'><rdf:li><Container:Item Item:Semantic=\"Primary\" Item:Length=\"0\" \
                 Item:Padding=\"0\"/></rdf:li><rdf:li><Container:Item Item:Mime=\"video/mp4\" Item:Length=\"{length}\" \
                 Item:Semantic=\"MotionPhoto\"/></rdf:li><rdf:li><Container:Item Item:Semantic=\"GainMap\" \
                 Item:Length=\"3\"/></rdf:li></r>"
            )
        };
        let behind = [FILM, b"map"].concat();
        assert_eq!(found(&with_xmp(&list(FILM.len()), &behind)), Some(FILM));
        assert_eq!(found(&with_xmp(&list(FILM.len() + 5), &behind)), Some(&behind[..]));
        assert_eq!(found(&with_xmp(&list(usize::MAX), &behind)), Some(&behind[..]));
        assert_eq!(found(&with_xmp("", FILM)), None, "nothing says that there is one");
    }

    #[test]
    fn samsungs_trailer_is_read_and_cut_off_it_is_none() {
        let block = [&b"\0\0\x30\x0a\x10\0\0\0"[..], SAMSUNG_NAME, FILM].concat();
        let length = u32::try_from(block.len()).unwrap().to_le_bytes();
        let directory = [&b"SEFH\x6b\0\0\0\x01\0\0\0\0\0\x30\x0a"[..], &length, &length].concat();
        let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
        let whole =
            [b"\xff\xd8 a picture \xff\xd9", &block[..], &directory, &size, b"SEFT"].concat();
        assert_eq!(found(&whole), Some(FILM));
        for length in 0..whole.len() {
            assert_eq!(found(&whole[..length]), None, "{length}");
        }
        let boxed =
            [&b"\0\0\0\x0cftypheic"[..], &(8 + FILM.len() as u32).to_be_bytes(), b"mpvd", FILM];
        let boxed = boxed.concat();
        assert_eq!(find(&boxed, Format::Heif).map(|range| &boxed[range]), Some(FILM));
    }
}
