//! Flags of the bench `sync`.

use std::path::PathBuf;

use super::{MIB, UsageError, count, for_each_flag, parts, size, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench sync [flags]

  --quick              smaller counts and sizes; a first look in about a minute
  --rounds N           rounds of the tus parts, contestants in turn (default 3, at least 1)
  --repeats N          backups on which nothing changed, in turn with restic (default 7, at least 1)
  --only PARTS         comma-separated: stream,streams,small,known
  --small N            number of 20 KB files per round
  --stream-bytes SIZE  bytes of the tus stream, and of the four together (1GiB, 256MiB, ...)
  --piece-bytes SIZE   bytes of one PATCH (default 8MiB)
  --known N            number of files in the tree that is known already (default 100000)
  --server FILE        the photosync-server to measure
  --client FILE        the photosync to measure
  --foreign DIR        where tus_server.mjs and node_modules/@tus/server lie
  --dir DIR            where to write; must exist, on the disk to be measured
";

/// Parts of the `sync` bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPart {
    /// One tus upload in pieces.
    Stream,
    /// Four at once.
    Streams,
    /// 20 KB files with their creation.
    Small,
    /// A backup on which nothing changed.
    Known,
}

const PARTS: [(&str, SyncPart); 4] = [
    ("stream", SyncPart::Stream),
    ("streams", SyncPart::Streams),
    ("small", SyncPart::Small),
    ("known", SyncPart::Known),
];

/// Settings of the `sync` bench after defaults.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Smaller counts were asked for.
    pub quick: bool,
    /// Rounds per tus scenario.
    pub rounds: usize,
    /// Backups on which nothing changed, per contestant.
    pub repeats: usize,
    /// Parts to run.
    pub parts: Vec<SyncPart>,
    /// 20 KB files per round.
    pub small_count: u64,
    /// Bytes of a stream, or of four together.
    pub stream_bytes: u64,
    /// Bytes of one PATCH.
    pub piece_bytes: u64,
    /// Files of the tree.
    pub known_count: u64,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// The client binary.
    pub client: Option<PathBuf>,
    /// Folder of the foreign programs that the tests run.
    pub foreign: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Reads the flags behind the bench's name.
pub fn parse(mut arguments: Vec<String>) -> Result<SyncOptions, UsageError> {
    let quick = take_switch(&mut arguments, &["--quick"]);
    let mut options = defaults(quick);
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--repeats" => options.repeats = count(flag, &value)?.max(1) as usize,
            "--only" => options.parts = parts(&PARTS, &value)?,
            "--small" => options.small_count = count(flag, &value)?.max(1),
            "--stream-bytes" => options.stream_bytes = size(flag, &value)?.max(MIB),
            "--piece-bytes" => options.piece_bytes = size(flag, &value)?.max(1),
            "--known" => options.known_count = count(flag, &value)?.max(1),
            "--server" => options.server = Some(PathBuf::from(value)),
            "--client" => options.client = Some(PathBuf::from(value)),
            "--foreign" => options.foreign = Some(PathBuf::from(value)),
            "--dir" => options.dir = PathBuf::from(value),
            _ => return Err(UsageError::Wrong(format!("there is no flag {flag}"))),
        }
        Ok(())
    })?;
    Ok(options)
}

fn defaults(quick: bool) -> SyncOptions {
    let full = SyncOptions {
        quick,
        rounds: 3,
        repeats: 7,
        parts: PARTS.iter().map(|(_, part)| *part).collect(),
        small_count: 6_000,
        stream_bytes: 1024 * MIB,
        piece_bytes: 8 * MIB,
        known_count: 100_000,
        server: None,
        client: None,
        foreign: None,
        dir: PathBuf::from("."),
    };
    if !quick {
        return full;
    }
    SyncOptions {
        repeats: 3,
        small_count: 600,
        stream_bytes: 128 * MIB,
        known_count: 3_000,
        ..full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_has_flags_of_its_own_and_parts_of_its_own() {
        let parsed = |line: &str| parse(line.split_whitespace().map(str::to_owned).collect());
        let options = parsed("--only known,small --known 5 --quick").unwrap();
        assert_eq!(options.parts, [SyncPart::Known, SyncPart::Small]);
        assert_eq!((options.known_count, options.quick), (5, true));
        for line in ["--only photos", "--assets 3"] {
            assert!(matches!(parsed(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }
}
