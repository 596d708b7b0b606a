//! The items that a HEIF or AVIF file holds: which of them are the picture and the EXIF, and where their bytes are
//! (ISO/IEC 23008-12, and the boxes of ISO/IEC 14496-12, 8.11).

use super::bmff::{children, find, number};

/// The coded bytes of the main picture, in order: its own, and those of the tiles that it is put together from. Everything else
/// (EXIF, XMP, thumbnails, depth and gain maps) is left out. `None` for a file that lies about where they are.
pub fn picture(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let places = Places::of(bytes)?;
    let meta = places.meta;
    let (version, pitm) = full(find(meta, &[b"pitm"])?)?;
    let main = number(pitm, 0, if version == 0 { 2 } else { 4 })?;
    let mut parts = places.item(main)?;
    for tile in tiles(meta, main) {
        parts.extend(places.item(tile)?);
    }
    // Extents may overlap: no more is read than a file can honestly hold.
    let total: usize = parts.iter().map(|part| part.len()).sum();
    (0 < total && total <= bytes.len()).then_some(parts)
}

/// The TIFF that is the EXIF of the file. It says where it begins (ISO/IEC 23008-12, A.2.1).
pub fn exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let places = Places::of(bytes)?;
    let (version, infos) = full(find(places.meta, &[b"iinf"])?)?;
    let infos = infos.get(if version == 0 { 2 } else { 4 }..)?;
    let id = children(infos).into_iter().find_map(|(_, info)| {
        let (version, info) = full(info)?;
        let width = if version == 2 { 2 } else { 4 };
        (version >= 2 && info.get(width + 2..width + 6)? == b"Exif")
            .then(|| number(info, 0, width))?
    })?;
    let parts = places.item(id)?;
    let total: usize = parts.iter().map(|part| part.len()).sum();
    if total > bytes.len() {
        return None;
    }
    let item = parts.concat();
    let start = usize::try_from(number(&item, 0, 4)?).ok()?.checked_add(4)?;
    item.get(start..).map(<[u8]>::to_vec)
}

/// Version and content of a box that has one.
fn full(bytes: &[u8]) -> Option<(u8, &[u8])> {
    Some((*bytes.first()?, bytes.get(4..)?))
}

/// The items that this one is derived from; none if it is coded itself.
fn tiles(meta: &[u8], main: u64) -> Vec<u64> {
    let Some((version, references)) = find(meta, &[b"iref"]).and_then(full) else {
        return Vec::new();
    };
    let width = if version == 0 { 2 } else { 4 };
    let of_main = children(references)
        .into_iter()
        .find(|(kind, content)| kind == b"dimg" && number(content, 0, width) == Some(main));
    let Some((_, content)) = of_main else { return Vec::new() };
    let count = number(content, width, 2).unwrap_or(0);
    let first = width + 2;
    (0..count)
        .map_while(|nth| number(content, first + usize::try_from(nth).ok()? * width, width))
        .collect()
}

/// Where items lie.
struct Places<'a> {
    file: &'a [u8],
    meta: &'a [u8],
    iloc: &'a [u8],
}

impl<'a> Places<'a> {
    fn of(file: &'a [u8]) -> Option<Self> {
        let meta = find(file, &[b"meta"])?.get(4..)?;
        Some(Self { file, meta, iloc: find(meta, &[b"iloc"])? })
    }

    /// The parts of one item; `None` if it has no place, or one outside of the file.
    fn item(&self, wanted: u64) -> Option<Vec<&'a [u8]>> {
        let mut at = Cursor { bytes: self.iloc, at: 0 };
        let version = at.take(1)?;
        at.take(3)?;
        let sizes = at.take(2)?;
        let width = |nibble: u32| usize::try_from(sizes >> (nibble * 4) & 15).unwrap_or(0);
        let (offset_width, length_width, base_width) = (width(3), width(2), width(1));
        let index_width = if version == 0 { 0 } else { width(0) };
        let id_width = if version < 2 { 2 } else { 4 };
        for _ in 0..at.take(id_width)? {
            let id = at.take(id_width)?;
            let method = if version == 0 { 0 } else { at.take(2)? & 15 };
            at.take(2)?;
            let base = at.take(base_width)?;
            let mut parts = Vec::new();
            for _ in 0..at.take(2)? {
                at.take(index_width)?;
                let (offset, length) = (at.take(offset_width)?, at.take(length_width)?);
                if id == wanted {
                    parts.push(self.part(method, base.checked_add(offset)?, length)?);
                }
            }
            if id == wanted {
                return Some(parts);
            }
        }
        None
    }

    fn part(&self, method: u64, offset: u64, length: u64) -> Option<&'a [u8]> {
        let inside = match method {
            0 => self.file,
            1 => find(self.meta, &[b"idat"])?,
            _ => return None,
        };
        let start = usize::try_from(offset).ok()?;
        match length {
            // The rest of it.
            0 => inside.get(start..),
            _ => inside.get(start..start.checked_add(usize::try_from(length).ok()?)?),
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next number of so many bytes; 0 for none.
    fn take(&mut self, width: usize) -> Option<u64> {
        let found = number(self.bytes, self.at, width)?;
        self.at += width;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length[..], kind, content].concat()
    }

    /// A picture of two tiles (items 2 and 3) with its layout in item 1 and EXIF in item 4, which stands before or after the tiles.
    fn file(layout: &[u8], tiles: [&[u8]; 2], exif: &[u8], exif_first: bool) -> Vec<u8> {
        let make = |first: usize| {
            let [one, two] = tiles.map(<[u8]>::len);
            let start = if exif_first { first + exif.len() } else { first };
            let places = [(1, 1, 0, layout.len()), (2, 0, start, one), (3, 0, start + one, two)];
            let last = if exif_first { first } else { start + one + two };
            let mut iloc = vec![1, 0, 0, 0, 0x44, 0, 0, 4];
            for (id, method, offset, length) in [&places[..], &[(4, 0, last, exif.len())]].concat()
            {
                iloc.extend([0, id, 0, method, 0, 0, 0, 1]);
                iloc.extend(u32::try_from(offset).unwrap().to_be_bytes());
                iloc.extend(u32::try_from(length).unwrap().to_be_bytes());
            }
            let dimg = boxed(b"dimg", &[0, 1, 0, 2, 0, 2, 0, 3]);
            let info = boxed(b"infe", b"\x02\0\0\0\0\x04\0\0Exif\0");
            let meta = [
                vec![0; 4],
                boxed(b"iinf", &[&[0, 0, 0, 0, 0, 1][..], &info].concat()),
                boxed(b"pitm", &[0, 0, 0, 0, 0, 1]),
                boxed(b"iloc", &iloc),
                boxed(b"iref", &[&[0; 4][..], &dimg].concat()),
                boxed(b"idat", layout),
            ];
            [boxed(b"ftyp", b"heic\0\0\0\0"), boxed(b"meta", &meta.concat())].concat()
        };
        let first = make(0).len() + 8;
        let content = match exif_first {
            true => [exif, tiles[0], tiles[1]].concat(),
            false => [tiles[0], tiles[1], exif].concat(),
        };
        [make(first), boxed(b"mdat", &content)].concat()
    }

    #[test]
    fn the_picture_is_its_layout_and_its_tiles_wherever_they_lie() {
        let wanted = Some(vec![&b"layout"[..], b"first", b"second"]);
        let plain = file(b"layout", [b"first", b"second"], b"Exif", false);
        assert_eq!(picture(&plain), wanted);
        let moved = file(b"layout", [b"first", b"second"], b"a longer Exif", true);
        assert_eq!(picture(&moved), wanted);
    }

    #[test]
    fn the_exif_begins_where_it_says() {
        let told = b"\0\0\0\x06Exif\0\0II*\0";
        assert_eq!(exif(&file(b"l", [b"a", b"b"], told, true)).as_deref(), Some(&b"II*\0"[..]));
        assert_eq!(exif(&file(b"l", [b"a", b"b"], b"\xff\xff\xff\xff", false)), None);
    }

    #[test]
    fn a_file_that_ends_early_or_points_outside_has_no_picture() {
        let plain = file(b"layout", [b"first", b"second"], b"", false);
        for length in 0..plain.len() {
            assert_eq!(picture(&plain[..length]), None, "{length}");
        }
        let mut loops = file(b"layout", [b"first", b"second"], b"", false);
        // The two tiles are the whole file, twice: more than it holds.
        let at = loops.windows(4).position(|four| four == b"iloc").unwrap() + 12;
        for item in [at + 16, at + 32] {
            loops[item + 8..item + 16].fill(0);
        }
        assert_eq!(picture(&loops), None);
    }
}
