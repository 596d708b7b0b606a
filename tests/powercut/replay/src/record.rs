//! The log format the recorder writes and the replayer reads: one record per disk operation or
//! answer, in the one order in which they happened.
//!
//! A record is `head length (u32) · data length (u32) · head · data`, little endian. The head names
//! the operation; the data are the bytes written (or sent, or the target of a symbolic link), kept
//! apart so that the recorder can append them without a copy and the replayer can leave them in the
//! log. The rule of this file: what [`Record::to_head`] writes, [`Record::from_head`] reads back.

/// The first bytes of every log: name and version of the format.
pub const MAGIC: &[u8; 8] = b"PSCUT\0\0\x01";

/// Bytes before the head of a record: its two lengths.
pub const LENGTHS_BYTES: usize = 8;

/// The largest head a log may hold, in bytes: two names of 255 bytes and a few numbers fit easily.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What a directory entry can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target is the data of the record.
    Symlink,
}

/// One recorded event. Files and directories are named by inode number; a number seen again in a
/// [`Record::Create`] is a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The recorded root folder. Always the first record.
    Root {
        /// Inode number of the root.
        ino: u64,
    },
    /// Recording begins: all that was described before this record was on the disk already.
    Started,
    /// A new file, directory or symbolic link.
    Create {
        /// Inode number of the new object.
        ino: u64,
        /// Inode number of the directory it was made in.
        dir: u64,
        /// Its name there.
        name: Vec<u8>,
        /// What it is.
        kind: Kind,
        /// Permission bits.
        mode: u32,
    },
    /// A new file without a name (`O_TMPFILE`).
    CreateUnnamed {
        /// Inode number of the new file.
        ino: u64,
        /// Permission bits.
        mode: u32,
    },
    /// Bytes written; the data of the record.
    Write {
        /// Inode number of the file.
        ino: u64,
        /// First byte written.
        offset: u64,
    },
    /// Bytes made zero inside the present size (`FALLOC_FL_PUNCH_HOLE`, `FALLOC_FL_ZERO_RANGE`).
    Zero {
        /// Inode number of the file.
        ino: u64,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// The size was set.
    Resize {
        /// Inode number of the file.
        ino: u64,
        /// New size in bytes.
        size: u64,
    },
    /// A name moved, replacing what was there.
    Rename {
        /// Directory of the old name.
        from_dir: u64,
        /// Old name.
        from: Vec<u8>,
        /// Directory of the new name.
        to_dir: u64,
        /// New name.
        to: Vec<u8>,
    },
    /// Two names changed places (`RENAME_EXCHANGE`).
    Exchange {
        /// Directory of the first name.
        from_dir: u64,
        /// First name.
        from: Vec<u8>,
        /// Directory of the second name.
        to_dir: u64,
        /// Second name.
        to: Vec<u8>,
    },
    /// A second name for a file.
    Link {
        /// Inode number of the file.
        ino: u64,
        /// Directory of the new name.
        dir: u64,
        /// New name.
        name: Vec<u8>,
    },
    /// A name removed (file or empty directory).
    Unlink {
        /// Directory of the name.
        dir: u64,
        /// The name.
        name: Vec<u8>,
    },
    /// Permission bits set. Taken as durable at once: modes are not what is under test.
    Mode {
        /// Inode number.
        ino: u64,
        /// Permission bits.
        mode: u32,
    },
    /// A flush of one inode begins; what was recorded before is what it covers.
    SyncStart {
        /// Number of this flush, unique in the log.
        sync: u64,
        /// Inode number, or 0 for everything below the root (`sync`, `syncfs`).
        ino: u64,
    },
    /// The flush with this number succeeded.
    SyncEnd {
        /// Number given at its start.
        sync: u64,
    },
    /// Bytes are about to be sent on a socket; the data are the first of them.
    Answer,
}

/// Writes the fields of a head one after the other.
struct Head(Vec<u8>);

impl Head {
    fn new(tag: u8) -> Self {
        Self(vec![tag])
    }
    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }
    fn name(mut self, name: &[u8]) -> Self {
        self.0.extend_from_slice(&(name.len() as u64).to_le_bytes());
        self.0.extend_from_slice(name);
        self
    }
}

/// Takes the fields of a head in the same order; `None` when it is too short.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }
    fn mode(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }
    fn name(&mut self) -> Option<Vec<u8>> {
        let count = usize::try_from(self.number()?).ok()?;
        self.bytes(count).map(<[u8]>::to_vec)
    }
}

impl Kind {
    fn number(self) -> u64 {
        match self {
            Self::File => 0,
            Self::Directory => 1,
            Self::Symlink => 2,
        }
    }
    fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::File),
            1 => Some(Self::Directory),
            2 => Some(Self::Symlink),
            _ => None,
        }
    }
}

impl Record {
    /// The lengths and the head as they stand in the log, ready to be followed by `data_bytes`
    /// bytes of data.
    pub fn to_head(&self, data_bytes: u32) -> Vec<u8> {
        let Head(head) = self.head();
        let mut framed = Vec::with_capacity(LENGTHS_BYTES + head.len());
        framed.extend_from_slice(&(head.len() as u32).to_le_bytes());
        framed.extend_from_slice(&data_bytes.to_le_bytes());
        framed.extend_from_slice(&head);
        framed
    }

    fn head(&self) -> Head {
        match self {
            Self::Root { ino } => Head::new(1).number(*ino),
            Self::Started => Head::new(2),
            Self::Create { ino, dir, name, kind, mode } => Head::new(3)
                .number(*ino)
                .number(*dir)
                .name(name)
                .number(kind.number())
                .number(u64::from(*mode)),
            Self::CreateUnnamed { ino, mode } => Head::new(4).number(*ino).number(u64::from(*mode)),
            Self::Write { ino, offset } => Head::new(5).number(*ino).number(*offset),
            Self::Zero { ino, offset, len } => {
                Head::new(6).number(*ino).number(*offset).number(*len)
            }
            Self::Resize { ino, size } => Head::new(7).number(*ino).number(*size),
            Self::Rename { from_dir, from, to_dir, to } => {
                Head::new(8).number(*from_dir).name(from).number(*to_dir).name(to)
            }
            Self::Exchange { from_dir, from, to_dir, to } => {
                Head::new(9).number(*from_dir).name(from).number(*to_dir).name(to)
            }
            Self::Link { ino, dir, name } => Head::new(10).number(*ino).number(*dir).name(name),
            Self::Unlink { dir, name } => Head::new(11).number(*dir).name(name),
            Self::Mode { ino, mode } => Head::new(12).number(*ino).number(u64::from(*mode)),
            Self::SyncStart { sync, ino } => Head::new(13).number(*sync).number(*ino),
            Self::SyncEnd { sync } => Head::new(14).number(*sync),
            Self::Answer => Head::new(15),
        }
    }

    /// The record a head stands for; `None` when it is none this version knows.
    pub fn from_head(head: &[u8]) -> Option<Self> {
        let (tag, rest) = head.split_first()?;
        let mut fields = Fields(rest);
        let f = &mut fields;
        let record = match tag {
            1 => Self::Root { ino: f.number()? },
            2 => Self::Started,
            3 => Self::Create {
                ino: f.number()?,
                dir: f.number()?,
                name: f.name()?,
                kind: Kind::from_number(f.number()?)?,
                mode: f.mode()?,
            },
            4 => Self::CreateUnnamed { ino: f.number()?, mode: f.mode()? },
            5 => Self::Write { ino: f.number()?, offset: f.number()? },
            6 => Self::Zero { ino: f.number()?, offset: f.number()?, len: f.number()? },
            7 => Self::Resize { ino: f.number()?, size: f.number()? },
            8 => Self::Rename {
                from_dir: f.number()?,
                from: f.name()?,
                to_dir: f.number()?,
                to: f.name()?,
            },
            9 => Self::Exchange {
                from_dir: f.number()?,
                from: f.name()?,
                to_dir: f.number()?,
                to: f.name()?,
            },
            10 => Self::Link { ino: f.number()?, dir: f.number()?, name: f.name()? },
            11 => Self::Unlink { dir: f.number()?, name: f.name()? },
            12 => Self::Mode { ino: f.number()?, mode: f.mode()? },
            13 => Self::SyncStart { sync: f.number()?, ino: f.number()? },
            14 => Self::SyncEnd { sync: f.number()? },
            15 => Self::Answer,
            _ => return None,
        };
        fields.0.is_empty().then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_reads_back_as_it_was_written() {
        let name = || b"IMG_0001 (2).jpg".to_vec();
        let records = [
            Record::Root { ino: 1 },
            Record::Started,
            Record::Create { ino: 2, dir: 1, name: name(), kind: Kind::Symlink, mode: 0o600 },
            Record::CreateUnnamed { ino: 3, mode: 0o644 },
            Record::Write { ino: 2, offset: u64::MAX },
            Record::Zero { ino: 2, offset: 1, len: 2 },
            Record::Resize { ino: 2, size: 7 },
            Record::Rename { from_dir: 1, from: name(), to_dir: 2, to: vec![0xff] },
            Record::Exchange { from_dir: 1, from: name(), to_dir: 2, to: vec![] },
            Record::Link { ino: 2, dir: 1, name: name() },
            Record::Unlink { dir: 1, name: name() },
            Record::Mode { ino: 2, mode: 0o700 },
            Record::SyncStart { sync: 9, ino: 0 },
            Record::SyncEnd { sync: 9 },
            Record::Answer,
        ];
        for record in records {
            let framed = record.to_head(5);
            let head = &framed[LENGTHS_BYTES..];
            assert_eq!(framed[..4], (head.len() as u32).to_le_bytes());
            assert_eq!(framed[4..8], 5_u32.to_le_bytes());
            assert_eq!(Record::from_head(head).as_ref(), Some(&record));
            assert_eq!(Record::from_head(&head[..head.len() - 1]), None, "{record:?} cut short");
        }
    }
}
