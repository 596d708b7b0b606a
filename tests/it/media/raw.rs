//! The smallest files that are laid out as the raw pictures of cameras are: a preview, where each maker keeps it, and no sensor.

use super::files::{Exif, directory};

/// A value of four bytes.
fn long(tag: u16, value: usize) -> (u16, u16, Vec<u8>) {
    (tag, 4, u32::try_from(value).expect("short").to_le_bytes().to_vec())
}

fn text(tag: u16, text: &str) -> (u16, u16, Vec<u8>) {
    (tag, 2, [text.as_bytes(), b"\0"].concat())
}

const DIRECTORIES: u16 = 0x014a;
const JPEG: u16 = 0x0201;
const JPEG_LENGTH: u16 = 0x0202;

/// A TIFF with one directory and what follows it; `entries` get the place where that begins.
fn tiff(head: &[u8], entries: impl Fn(usize) -> Vec<(u16, u16, Vec<u8>)>, after: &[u8]) -> Vec<u8> {
    let sorted = |at| {
        let mut entries = entries(at);
        entries.sort_by_key(|(tag, _, _)| *tag);
        entries
    };
    let length = directory(&sorted(0), head.len()).len();
    let first = directory(&sorted(head.len() + length), head.len());
    [head, &first, after].concat()
}

const PLAIN: &[u8] = b"II*\0\x08\0\0\0";

pub(super) fn dng(preview: &[u8], more: &[(u16, u16, Vec<u8>)]) -> Vec<u8> {
    let entries = |at| {
        let own = [(0xc612, 1, vec![1, 4, 0, 0]), long(JPEG, at), long(JPEG_LENGTH, preview.len())];
        [&own[..], more].concat()
    };
    tiff(PLAIN, entries, preview)
}

/// One whose only picture is that of the sensor.
pub(super) fn bare_dng() -> Vec<u8> {
    tiff(PLAIN, |_| vec![(0xc612, 1, vec![1, 4, 0, 0]), text(0x010f, "Acme")], &[7; 200])
}

pub(super) fn cr2(preview: &[u8]) -> Vec<u8> {
    let head = b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0";
    let entries = |at| {
        vec![text(0x010f, "Canon"), long(0x0103, 6), long(0x0111, at), long(0x0117, preview.len())]
    };
    tiff(head, entries, preview)
}

/// In a directory below the first, as Nikon has it.
pub(super) fn nef(preview: &[u8]) -> Vec<u8> {
    let below = |at| directory(&[long(JPEG, at), long(JPEG_LENGTH, preview.len())], 0);
    let length = below(0).len();
    let first = tiff(PLAIN, |at| vec![text(0x010f, "NIKON"), long(DIRECTORIES, at)], &[]);
    let begins = first.len();
    [first, below(begins + length), preview.to_vec()].concat()
}

pub(super) fn arw(preview: &[u8]) -> Vec<u8> {
    let entries = |at| {
        let sensor = at + preview.len();
        let own = [text(0x010f, "SONY"), long(DIRECTORIES, sensor), long(JPEG, at)];
        [&own[..], &[long(JPEG_LENGTH, preview.len())]].concat()
    };
    let sensor = directory(&[long(0x0103, 32767)], 0);
    tiff(PLAIN, entries, &[preview, &sensor].concat())
}

/// Olympus says only in its own notes where the preview is, and writes another number in front.
pub(super) fn orf(preview: &[u8]) -> Vec<u8> {
    let entries = |_| vec![text(0x010f, "OLYMPUS"), text(0x0132, "2024:05:12 18:30:05")];
    tiff(b"IIRO\x08\0\0\0", entries, &[b"notes".as_slice(), preview].concat())
}

pub(super) fn rw2(preview: &[u8]) -> Vec<u8> {
    let head = b"IIU\0\x08\0\0\0";
    tiff(head, |_| vec![text(0x010f, "Panasonic"), (0x002e, 7, preview.to_vec())], &[])
}

pub(super) fn raf(preview: &[u8]) -> Vec<u8> {
    let mut head = b"FUJIFILMCCD-RAW 0201FF129502".to_vec();
    head.resize(84, 0);
    head.extend(92u32.to_be_bytes());
    head.extend(u32::try_from(preview.len()).expect("short").to_be_bytes());
    [&head, preview].concat()
}

fn in_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).expect("short").to_be_bytes();
    [&length, &kind[..], content].concat()
}

/// Canon's boxes: two directories that stand alone, and a preview further on.
pub(super) fn cr3(preview: &[u8]) -> Vec<u8> {
    let main = Exif::new().text(0x010f, "Canon").text(0x0110, "Canon EOS R5").orientation(6).tiff();
    let camera = Exif::new().text(0x9003, "2024:05:12 18:30:05").text(0x9011, "+02:00").tiff();
    let own = [&[0x85; 16][..], &in_box(b"CMT1", &main), &in_box(b"CMT2", &camera)].concat();
    let picture = in_box(b"PRVW", &[&[0; 16][..], preview].concat());
    let beside = [&[0xea; 16][..], &[0; 8], &picture].concat();
    [
        in_box(b"ftyp", b"crx \0\0\0\x01crx isom"),
        in_box(b"moov", &in_box(b"uuid", &own)),
        in_box(b"uuid", &beside),
        in_box(b"mdat", &[7; 100]),
    ]
    .concat()
}
