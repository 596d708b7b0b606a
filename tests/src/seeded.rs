//! Bytes that follow from a seed: files of any length that are never stored. Every position can be read without
//! reading what is before it.

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

/// A file that exists only as a seed and a length.
#[derive(Clone, Debug)]
pub struct SeededFile {
    seed: u64,
    length_bytes: u64,
    position: u64,
}

impl SeededFile {
    /// The same bytes for the same seed; a shorter file is the beginning of a longer one.
    pub fn new(seed: u64, length_bytes: u64) -> SeededFile {
        SeededFile { seed, length_bytes, position: 0 }
    }

    /// Its length.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// SHA-256 of all its bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut file = SeededFile { position: 0, ..self.clone() };
        let mut piece = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = file.read(&mut piece) {
            hasher.update(&piece[..count]);
        }
        hasher.finalize().into()
    }

    /// All its bytes in memory, for small files.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Reading from memory does not fail.
        let _ = SeededFile { position: 0, ..self.clone() }.read_to_end(&mut bytes);
        bytes
    }
}

/// Eight bytes at a multiple of eight (SplitMix64).
fn word_at(seed: u64, index: u64) -> [u8; 8] {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))).to_le_bytes()
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Read for SeededFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length_bytes.saturating_sub(self.position));
        let count = buffer.len().min(left.unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < count {
            let word = word_at(self.seed, self.position / 8);
            let from = usize::try_from(self.position % 8).unwrap_or(0);
            let take = (8 - from).min(count - filled);
            buffer[filled..filled + take].copy_from_slice(&word[from..from + take]);
            filled += take;
            self.position += take as u64;
        }
        Ok(count)
    }
}

impl Seek for SeededFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Numbers that follow from a seed, for choosing in tests.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same throws for the same seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `limit`; 0 if there is none.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.throw()) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_reads_as_it_does_in_the_whole() {
        let file = SeededFile::new(7, 1003);
        let whole = file.to_vec();
        assert_eq!(whole.len(), 1003);
        for (from, length) in [(0, 1003), (1, 9), (7, 1), (8, 8), (500, 503), (1003, 0)] {
            let mut part = vec![0; length];
            let mut file = file.clone();
            file.seek(SeekFrom::Start(from as u64)).unwrap();
            file.read_exact(&mut part).unwrap();
            assert_eq!(part, whole[from..from + length], "{from} + {length}");
        }
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&whole)), file.digest());
        assert_ne!(SeededFile::new(8, 1003).to_vec(), whole);
    }

    #[test]
    fn dice_stay_below_their_limit_and_reach_it() {
        let mut dice = Dice::new(1);
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[usize::try_from(dice.below(6)).unwrap()] = true;
        }
        assert_eq!((seen, dice.below(0)), ([true; 6], 0));
    }
}
