//! The bytes of a ZIP archive around stored files: so that its length is known before the first byte of any file is read, and
//! nothing has to be gone back to. APPNOTE 6.3, with the 64-bit records where numbers need them. Pure.
//!
//! Files are not compressed, because pictures are; each is followed by a descriptor with its checksum, which is only known
//! then. No crate of the field tells the exact length beforehand.

use photosync_protocol::calendar::civil_from_days;

use crate::clock::DAY_MS;

/// Numbers from here on stand in a 64-bit record.
const TOO_LARGE: u64 = 0xFFFF_FFFF;
/// Counts from here on stand in a 64-bit record.
const TOO_MANY: u64 = 0xFFFF;
/// The name is UTF-8, and the checksum follows the bytes.
const FLAGS: u16 = 1 << 11 | 1 << 3;
/// Made on Unix, by version 4.5 of the format.
const MADE_BY: u16 = 3 << 8 | 45;
/// A plain file that its owner may change and everybody may read, as Unix writes it.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its name; unique in the archive.
    pub name: Box<str>,
    /// Its length.
    pub size_bytes: u64,
    /// Its time by the clock on the wall, in milliseconds as if it had been UTC.
    pub wall_ms: i64,
}

/// What is known of a file after it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// CRC-32 of its bytes.
    pub crc: u32,
    /// Where its header begins in the archive.
    pub offset: u64,
}

/// Puts numbers behind each other, little-endian.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A number, or that it stands in the 64-bit record.
    fn u32_or_mark(&mut self, value: u64) -> &mut Self {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX))
    }

    fn u16_or_mark(&mut self, value: u64) -> &mut Self {
        self.u16(u16::try_from(value).unwrap_or(u16::MAX))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }
}

impl Packed {
    fn is_large(&self) -> bool {
        self.size_bytes >= TOO_LARGE
    }

    fn version(&self) -> u16 {
        if self.is_large() { 45 } else { 20 }
    }

    fn name_length(&self) -> u16 {
        u16::try_from(self.name.len()).unwrap_or(u16::MAX)
    }

    /// What stands before the bytes.
    pub fn header(&self) -> Vec<u8> {
        let (date, time) = dos_time(self.wall_ms);
        let mut record = Record::default();
        record.u32(0x0403_4B50).u16(self.version()).u16(FLAGS).u16(0).u16(time).u16(date).u32(0);
        let mark = if self.is_large() { u32::MAX } else { 0 };
        record.u32(mark).u32(mark).u16(self.name_length());
        record.u16(if self.is_large() { 20 } else { 0 }).bytes(self.name.as_bytes());
        if self.is_large() {
            // Says that the descriptor has numbers of 64 bits.
            record.u16(1).u16(16).u64(0).u64(0);
        }
        record.0
    }

    /// What stands after the bytes.
    pub fn descriptor(&self, crc: u32) -> Vec<u8> {
        let mut record = Record::default();
        record.u32(0x0807_4B50).u32(crc);
        if self.is_large() {
            record.u64(self.size_bytes).u64(self.size_bytes);
        } else {
            record.u32_or_mark(self.size_bytes).u32_or_mark(self.size_bytes);
        }
        record.0
    }

    /// What stands in the directory at the end of the archive.
    pub fn entry(&self, sent: Sent) -> Vec<u8> {
        let mut extra = Record::default();
        if self.is_large() {
            extra.u64(self.size_bytes).u64(self.size_bytes);
        }
        if sent.offset >= TOO_LARGE {
            extra.u64(sent.offset);
        }
        let extra = extra.0;
        let version = if extra.is_empty() { 20 } else { 45 };
        let extra_length = if extra.is_empty() { 0 } else { extra.len() + 4 };
        let (date, time) = dos_time(self.wall_ms);
        let mut record = Record::default();
        record.u32(0x0201_4B50).u16(MADE_BY).u16(version).u16(FLAGS).u16(0).u16(time).u16(date);
        record.u32(sent.crc).u32_or_mark(self.size_bytes).u32_or_mark(self.size_bytes);
        record.u16(self.name_length()).u16(u16::try_from(extra_length).unwrap_or(0));
        // No comment, the first disk, no text.
        record.u16(0).u16(0).u16(0).u32(ATTRIBUTES).u32_or_mark(sent.offset);
        record.bytes(self.name.as_bytes());
        if !extra.is_empty() {
            record.u16(1).u16(u16::try_from(extra.len()).unwrap_or(0)).bytes(&extra);
        }
        record.0
    }
}

/// What ends an archive whose directory of `count` entries takes `directory_bytes` from `offset` on.
pub fn end(count: u64, offset: u64, directory_bytes: u64) -> Vec<u8> {
    let mut record = Record::default();
    if count >= TOO_MANY || offset >= TOO_LARGE || directory_bytes >= TOO_LARGE {
        record.u32(0x0606_4B50).u64(44).u16(MADE_BY).u16(45).u32(0).u32(0);
        record.u64(count).u64(count).u64(directory_bytes).u64(offset);
        record.u32(0x0706_4B50).u32(0).u64(offset + directory_bytes).u32(1);
    }
    record.u32(0x0605_4B50).u16(0).u16(0).u16_or_mark(count).u16_or_mark(count);
    record.u32_or_mark(directory_bytes).u32_or_mark(offset).u16(0);
    record.0
}

/// Exact length of the archive of these files in this order.
pub fn length_of<'a>(files: impl IntoIterator<Item = &'a Packed>) -> u64 {
    let (mut count, mut offset, mut directory_bytes) = (0, 0_u64, 0_u64);
    for file in files {
        directory_bytes += file.entry(Sent { crc: 0, offset }).len() as u64;
        offset += file.header().len() as u64 + file.size_bytes + file.descriptor(0).len() as u64;
        count += 1;
    }
    offset + directory_bytes + end(count, offset, directory_bytes).len() as u64
}

/// Date and time as DOS kept them: a clock on the wall, by two seconds, from 1980 to 2107.
fn dos_time(wall_ms: i64) -> (u16, u16) {
    let (year, month, day) = civil_from_days(wall_ms.div_euclid(DAY_MS));
    if year < 1980 {
        return (1 << 5 | 1, 0);
    }
    let second = wall_ms.rem_euclid(DAY_MS) / 1000;
    let date = (year.min(2107) - 1980) << 9 | month << 5 | day;
    let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | second % 60 / 2;
    (u16::try_from(date).unwrap_or(0), u16::try_from(time).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size_bytes: u64) -> Packed {
        Packed { name: name.into(), size_bytes, wall_ms: 1_715_538_605_000 }
    }

    #[test]
    fn the_empty_archive_is_its_end() {
        assert_eq!(length_of([]), 22);
        assert_eq!(end(0, 0, 0)[..4], *b"PK\x05\x06");
    }

    #[test]
    fn numbers_beyond_32_bits_get_their_records_and_the_length_counts_them() {
        let small = file("a", 5);
        assert_eq!(length_of([&small]), 31 + 5 + 16 + 47 + 22);
        let large = file("b", TOO_LARGE);
        let after = file("c", 1);
        let wanted = (51 + TOO_LARGE + 24) + (31 + 1 + 16) + (47 + 20) + (47 + 12) + 98;
        assert_eq!(length_of([&large, &after]), wanted);
        let many = vec![small; 65_535];
        assert_eq!(length_of(&many), 65_535 * (31 + 5 + 16 + 47) + 98);
    }

    #[test]
    fn times_are_those_on_the_wall_and_stay_in_the_range_of_the_format() {
        assert_eq!(dos_time(1_715_538_605_000), (44 << 9 | 5 << 5 | 12, 18 << 11 | 30 << 5 | 2));
        assert_eq!(dos_time(-1), (33, 0));
        assert_eq!(dos_time(i64::from(i32::MAX) * 1_000_000).0 >> 9, 127);
    }
}
