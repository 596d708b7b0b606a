//! The boxes of MP4 and QuickTime files.

use std::io::{self, Read, Seek, SeekFrom};

/// Largest index of a video that is read: an hour at 60 pictures a second takes about 5 MiB.
const MAX_INDEX_BYTES: u64 = 48 * 1024 * 1024;
/// Most boxes at one place.
const MAX_BOXES: usize = 4096;

/// The content of the first box `kind` at the top of a file; `None` if there is none, or it is too long.
pub fn find_at_top(
    input: &mut (impl Read + Seek),
    length: u64,
    kind: &[u8; 4],
) -> io::Result<Option<Vec<u8>>> {
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        if at + 8 > length {
            break;
        }
        input.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        input.read_exact(&mut head[..8])?;
        let short = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let (content, size) = match short {
            0 => (8, length - at),
            1 => {
                input.read_exact(&mut head[8..])?;
                let long = head[8..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                (16, long)
            }
            _ => (8, short),
        };
        if size < content || size > length - at {
            break;
        }
        if head[4..8] == kind[..] {
            if size > MAX_INDEX_BYTES {
                return Ok(None);
            }
            input.seek(SeekFrom::Start(at + content))?;
            let mut bytes = Vec::new();
            Read::by_ref(input).take(size - content).read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
        at += size;
    }
    Ok(None)
}

/// The boxes in the content of another one: kind and content. Ends where it stops being boxes.
pub fn children(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while found.len() < MAX_BOXES {
        let Some((head, _)) = bytes.split_first_chunk::<8>() else { break };
        let [a, b, c, d, kind @ ..] = *head;
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let size = if size == 0 { bytes.len() } else { size };
        let Some(content) = bytes.get(8..size) else { break };
        found.push((kind, content));
        bytes = &bytes[size..];
    }
    found
}

/// The content of the first box along a path.
pub fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    let Some((first, rest)) = path.split_first() else { return Some(bytes) };
    let inner = children(bytes).into_iter().find(|(kind, _)| kind == *first)?.1;
    find(inner, rest)
}

/// A number, big end first, of at most eight bytes.
pub fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_found_along_a_path_and_lies_about_lengths_end_the_search() {
        let inner = [&12u32.to_be_bytes()[..], b"tkhd", b"abcd"].concat();
        let outer = [&20u32.to_be_bytes()[..], b"trak", &inner].concat();
        assert_eq!(find(&outer, &[b"trak", b"tkhd"]), Some(&b"abcd"[..]));
        assert_eq!(find(&outer, &[b"trak", b"mdia"]), None);
        for length in 0..outer.len() {
            assert_eq!(find(&outer[..length], &[b"trak", b"tkhd"]), None, "{length}");
        }
        let lie = [&3u32.to_be_bytes()[..], b"trak", &inner].concat();
        assert!(children(&lie).is_empty());
    }
}
