//! The largest JPEG that a raw picture carries: TIFF directories (DNG, NEF, ARW, CR2, RW2 …), Fujifilm's head, Canon's boxes.
//! Reads bounded parts of directories only; every offset is one into the file, or there is no preview.

use super::sniff::HEAD_BYTES;

const SUB_DIRECTORIES: u16 = 0x014a;
const COMPRESSION: u16 = 0x0103;
const STRIP_OFFSETS: u16 = 0x0111;
const STRIP_LENGTHS: u16 = 0x0117;
const JPEG_OFFSET: u16 = 0x0201;
const JPEG_LENGTH: u16 = 0x0202;
const JPEG_OF_PANASONIC: u16 = 0x002e;
const MAKE: u16 = 0x010f;
const DNG_VERSION: u16 = 0xc612;

/// Directories that are looked at, and entries of each.
const MAX_DIRECTORIES: usize = 32;
const MAX_ENTRIES: usize = 512;
/// A preview of so many pixels on its long side is taken without a search for a larger one.
const ENOUGH_PIXELS: u16 = 900;
/// Beginnings of pictures that a search looks at.
const MAX_SEARCHED: usize = 64;

struct Tiff<'a> {
    bytes: &'a [u8],
    big_end_first: bool,
}

/// An entry of a directory: tag, width of a value, number of values, and where they stand.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    width: usize,
    count: usize,
    at: usize,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.get(..2)? {
            b"II" => Some(Self { bytes, big_end_first: false }),
            b"MM" => Some(Self { bytes, big_end_first: true }),
            _ => None,
        }
    }

    /// A number of two or four bytes.
    fn number(&self, at: usize, width: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let sum = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        Some(match self.big_end_first {
            true => bytes.iter().fold(0, sum),
            false => bytes.iter().rev().fold(0, sum),
        })
    }

    fn first_directory(&self) -> Option<usize> {
        self.number(4, 4)
    }

    /// The entries of a directory, and where the next one stands.
    fn directory(&self, at: usize) -> Option<(Vec<Entry>, usize)> {
        let count = self.number(at, 2)?;
        if count > MAX_ENTRIES {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        for entry in (0..count).map(|index| at + 2 + index * 12) {
            let width = match self.number(entry + 2, 2)? {
                3 => 2,
                4 | 13 => 4,
                _ => 1,
            };
            let count = self.number(entry + 4, 4)?;
            let is_inside = width * count <= 4;
            let at = if is_inside { entry + 8 } else { self.number(entry + 8, 4)? };
            let tag = u16::try_from(self.number(entry, 2)?).ok()?;
            entries.push(Entry { tag, width, count, at });
        }
        Some((entries, self.number(at + 2 + count * 12, 4).unwrap_or(0)))
    }

    fn value(&self, entries: &[Entry], tag: u16) -> Option<usize> {
        let entry = entries.iter().find(|entry| entry.tag == tag && entry.count == 1)?;
        self.number(entry.at, entry.width)
    }

    /// The JPEG that a directory speaks of.
    fn jpeg(&self, entries: &[Entry]) -> Option<&'a [u8]> {
        let own = entries.iter().find(|entry| entry.tag == JPEG_OF_PANASONIC && entry.width == 1);
        let (at, length) = match own {
            Some(own) => (own.at, own.count),
            None => match self.value(entries, JPEG_OFFSET) {
                Some(at) => (at, self.value(entries, JPEG_LENGTH)?),
                None => {
                    let compression = self.value(entries, COMPRESSION)?;
                    let (at, length) =
                        (self.value(entries, STRIP_OFFSETS)?, self.value(entries, STRIP_LENGTHS)?);
                    matches!(compression, 6 | 7).then_some((at, length))?
                }
            },
        };
        let jpeg = self.bytes.get(at..at.checked_add(length)?)?;
        is_picture(jpeg).then_some(jpeg)
    }

    fn largest_jpeg(&self) -> Option<&'a [u8]> {
        let mut waiting = vec![self.first_directory()?];
        let mut seen = Vec::new();
        let mut largest: Option<&[u8]> = None;
        while let Some(at) = waiting.pop() {
            if at == 0 || seen.contains(&at) || seen.len() >= MAX_DIRECTORIES {
                continue;
            }
            seen.push(at);
            let Some((entries, next)) = self.directory(at) else { continue };
            waiting.push(next);
            let below = entries.iter().filter(|entry| entry.tag == SUB_DIRECTORIES);
            for entry in below {
                let each = (0..entry.count.min(MAX_DIRECTORIES)).map(|index| entry.at + 4 * index);
                waiting.extend(each.filter_map(|at| self.number(at, 4)));
            }
            let found = self.jpeg(&entries);
            if found.map_or(0, <[u8]>::len) > largest.map_or(0, <[u8]>::len) {
                largest = found;
            }
        }
        largest
    }
}

/// Whether a TIFF is what a camera's sensor saw: it says so, or it has a maker and pictures beside its first one.
pub fn is_raw(head: &[u8]) -> bool {
    if head.get(8..10) == Some(b"CR") {
        return true;
    }
    let first = Tiff::new(head).and_then(|tiff| tiff.directory(tiff.first_directory()?));
    let Some((entries, _)) = first else { return false };
    let has = |tag| entries.iter().any(|entry| entry.tag == tag);
    has(DNG_VERSION) || (has(MAKE) && has(SUB_DIRECTORIES))
}

/// The preview of a raw picture: where the file says that it is, else the largest JPEG anywhere in it. Some cameras say it only
/// in notes of their own, and name a stamp-sized one where everybody looks.
pub fn find(bytes: &[u8]) -> Option<&[u8]> {
    let named = named(bytes);
    let long_side = |jpeg| size_of(jpeg).map_or(0, |(width, height)| width.max(height));
    if named.is_some_and(|jpeg| long_side(jpeg) >= ENOUGH_PIXELS) {
        return named;
    }
    let searched = search(bytes);
    match (named, searched) {
        (Some(named), Some(searched)) if long_side(searched) <= long_side(named) => Some(named),
        (named, searched) => searched.or(named),
    }
}

/// The largest of the first pictures that begin anywhere.
fn search(bytes: &[u8]) -> Option<&[u8]> {
    let mut largest = None;
    let mut from = 0;
    for _ in 0..MAX_SEARCHED {
        let rest = bytes.get(from..)?;
        let Some(at) = rest.windows(3).position(|window| window == b"\xff\xd8\xff") else { break };
        let jpeg = &rest[at..];
        from += at + 3;
        if !is_picture(jpeg) {
            continue;
        }
        let Some((width, height)) = size_of(jpeg) else { continue };
        let pixels = u32::from(width) * u32::from(height);
        if largest.is_none_or(|(most, _)| pixels > most) {
            largest = Some((pixels, jpeg));
        }
    }
    largest.map(|(_, jpeg)| jpeg)
}

/// Width and height as its frame says.
fn size_of(jpeg: &[u8]) -> Option<(u16, u16)> {
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        if matches!(marker, 0xc0..=0xc2) {
            let [a, b, c, d] = *jpeg.get(at + 5..at + 9)?.first_chunk::<4>()?;
            return Some((u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b])));
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    None
}

fn named(bytes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    if bytes.starts_with(b"FUJIFILMCCD-RAW") {
        let (at, length) = (number(84)?, number(88)?);
        return bytes.get(at..at.checked_add(length)?).filter(|jpeg| is_picture(jpeg));
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        // Canon keeps it in a box of its own near the beginning.
        let near = &bytes[..bytes.len().min(4 * 1024 * 1024)];
        let kind = near.windows(4).position(|window| window == b"PRVW")?;
        let start = kind.checked_sub(4)?;
        let content = bytes.get(start..start.checked_add(number(start)?)?)?;
        let head = &content[..content.len().min(HEAD_BYTES as usize)];
        let begins = head.windows(3).position(|window| window == b"\xff\xd8\xff")?;
        return Some(&content[begins..]).filter(|jpeg| is_picture(jpeg));
    }
    Tiff::new(bytes)?.largest_jpeg()
}

/// Whether it is a JPEG for the eye: sensors are compressed with a lossless kind that nothing shows.
fn is_picture(jpeg: &[u8]) -> bool {
    if !jpeg.starts_with(b"\xff\xd8\xff") {
        return false;
    }
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            0xc0..=0xc2 => return true,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xda => return false,
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF whose first directory says where a JPEG of 8 bytes stands, and whose next directory is `next`.
    fn tiff(next: u32, length: u32) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend(2u16.to_le_bytes());
        for (tag, value) in [(JPEG_OFFSET, 38u32), (JPEG_LENGTH, length)] {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(4u16.to_le_bytes());
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(next.to_le_bytes());
        assert_eq!(bytes.len(), 38);
        bytes.extend(b"\xff\xd8\xff\xc0\0\x04\0\0");
        bytes
    }

    #[test]
    fn a_preview_is_found_and_circles_and_lengths_beyond_the_end_end_the_search() {
        assert_eq!(find(&tiff(0, 8)).map(<[u8]>::len), Some(8));
        assert_eq!(find(&tiff(8, 8)).map(<[u8]>::len), Some(8));
        assert_eq!(find(&tiff(u32::MAX, 8)).map(<[u8]>::len), Some(8));
        assert_eq!(find(&tiff(0, 9)), None);
        assert_eq!(find(&tiff(0, u32::MAX)), None);
        let whole = tiff(0, 8);
        for length in 0..whole.len() {
            assert_eq!(find(&whole[..length]), None, "{length}");
        }
    }
}
