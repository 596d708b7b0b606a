//! The bytes of one file as a map of extents that point into the log: no byte is held in memory,
//! and a copy costs as many words as the file has extents.
//!
//! Used by `model` for what is durable and by `cut` for what a cut leaves. The rule: extents never
//! overlap, and bytes that no extent covers are zero.

use std::collections::BTreeMap;

/// Where the bytes of an extent come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This byte of the log, and the ones after it.
    Log(u64),
    /// Zeros.
    Zero,
}

impl Source {
    /// The source of the bytes `count` bytes further on.
    pub fn skip(self, count: u64) -> Self {
        match self {
            Self::Log(at) => Self::Log(at + count),
            Self::Zero => Self::Zero,
        }
    }
}

/// The content of one file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Size in bytes; independent of the extents.
    size: u64,
    /// First byte → (length, position in the log).
    extents: BTreeMap<u64, (u64, u64)>,
}

impl Content {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Puts `len` bytes at `offset`, without touching the size.
    pub fn put(&mut self, offset: u64, len: u64, source: Source) {
        if len == 0 {
            return;
        }
        self.clear(offset, offset.saturating_add(len));
        if let Source::Log(from) = source {
            self.extents.insert(offset, (len, from));
        }
    }

    /// Forgets the bytes of `[start, end)`, splitting the extents at the borders.
    fn clear(&mut self, start: u64, end: u64) {
        if let Some((&at, &(len, from))) = self.extents.range(..start).next_back()
            && at + len > start
        {
            self.extents.insert(at, (start - at, from));
            if at + len > end {
                self.extents.insert(end, (at + len - end, from + end - at));
            }
        }
        let inside: Vec<u64> = self.extents.range(start..end).map(|(&at, _)| at).collect();
        for at in inside {
            if let Some((len, from)) = self.extents.remove(&at)
                && at + len > end
            {
                self.extents.insert(end, (at + len - end, from + end - at));
            }
        }
    }

    /// Sets the size; bytes beyond it are gone for good, new ones are zero.
    pub fn resize(&mut self, size: u64) {
        self.clear(size, u64::MAX);
        self.size = size;
    }

    /// Makes the file at least `size` bytes long.
    pub fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// The extents in order: (first byte, length, position in the log). All else up to
    /// [`Content::size`] is zero.
    pub fn extents(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.extents.iter().map(|(&at, &(len, from))| (at, len, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the same random writes on a byte vector and on the extents.
    #[test]
    fn extents_agree_with_plain_bytes() {
        let log: Vec<u8> = (0..255_u8).cycle().skip(1).take(4096).collect();
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = crate::cut::mix(seed, 1);
            seed % below
        };
        let mut plain: Vec<u8> = Vec::new();
        let mut content = Content::default();
        for step in 0..5_000 {
            let (offset, len, from) = (next(300), next(60), next(3_000));
            match next(8) {
                0 => {
                    plain.resize(offset as usize, 0);
                    content.resize(offset);
                }
                1 => {
                    let end = (offset + len).min(plain.len() as u64);
                    if offset < end {
                        plain[offset as usize..end as usize].fill(0);
                        content.put(offset, end - offset, Source::Zero);
                    }
                }
                _ => {
                    let end = (offset + len) as usize;
                    plain.resize(plain.len().max(end), 0);
                    plain[offset as usize..end]
                        .copy_from_slice(&log[from as usize..(from + len) as usize]);
                    content.put(offset, len, Source::Log(from));
                    content.grow(offset + len);
                }
            }
            let mut built = vec![0; content.size() as usize];
            for (at, len, from) in content.extents() {
                built[at as usize..(at + len) as usize]
                    .copy_from_slice(&log[from as usize..(from + len) as usize]);
            }
            assert_eq!(built, plain, "after step {step}");
        }
    }
}
