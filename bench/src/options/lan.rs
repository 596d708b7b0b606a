//! Flags of the bench `lan`.

use std::path::PathBuf;

use super::{MIB, UsageError, count, for_each_flag, parts, size, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench lan [flags]

  --quick              smaller counts and sizes; a first look in about a minute
  --rounds N           rounds, contestants in turn (default 3, at least 1)
  --only PARTS         comma-separated: photos,small,stream,flushes,listing,memory,start
  --contestants NAMES  comma-separated: photosync,rclone,nginx,copyparty,dufs (the loop always runs)
  --photos N           number of 3 MiB files per round
  --small N            number of 20 KB files per round
  --stream-bytes SIZE  size of the one stream and of the four uploads of `memory` (1GiB, 256MiB, ...)
  --assets N           size of the large listing (default 1000000)
  --server FILE        the photosync-server to measure
  --rivals DIR         where bin/dufs and venv/bin/copyparty may lie
  --dir DIR            where to write; must exist, on the disk to be measured
";

/// Parts of the `lan` bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 3 MiB files on four connections.
    Photos,
    /// 20 KB files on eight connections.
    Small,
    /// One large file.
    Stream,
    /// Cost of a flush and the bound it sets.
    Flushes,
    /// Pages of a small and of a large library.
    Listing,
    /// Resident memory.
    Memory,
    /// Spawn to ready line.
    Start,
}

const PARTS: [(&str, Part); 7] = [
    ("photos", Part::Photos),
    ("small", Part::Small),
    ("stream", Part::Stream),
    ("flushes", Part::Flushes),
    ("listing", Part::Listing),
    ("memory", Part::Memory),
    ("start", Part::Start),
];

/// Settings of the `lan` bench after defaults.
#[derive(Debug, Clone)]
pub struct LanOptions {
    /// Smaller counts were asked for; goals that need full size are then not judged.
    pub quick: bool,
    /// Rounds per scenario.
    pub rounds: usize,
    /// Parts to run, in the order of [`Part`].
    pub parts: Vec<Part>,
    /// Names of contestants to run; empty = all.
    pub contestants: Vec<String>,
    /// 3 MiB files per round.
    pub photo_count: u64,
    /// 20 KB files per round.
    pub small_count: u64,
    /// Bytes of the one stream, and of each of the four uploads of the memory part.
    pub stream_bytes: u64,
    /// Rows of the small listing.
    pub few_assets: u64,
    /// Rows of the large listing.
    pub many_assets: u64,
    /// Starts measured per kind of folder.
    pub start_count: usize,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// Folder with rivals that were not installed as packages.
    pub rivals: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

impl LanOptions {
    /// Whether a part was asked for.
    pub fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Whether a contestant was asked for.
    pub fn wants_contestant(&self, name: &str) -> bool {
        self.contestants.is_empty() || self.contestants.iter().any(|wanted| wanted == name)
    }
}

/// Reads the flags behind the bench's name.
pub fn parse(mut arguments: Vec<String>) -> Result<LanOptions, UsageError> {
    let quick = take_switch(&mut arguments, &["--quick"]);
    let mut options = defaults(quick);
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--only" => options.parts = parts(&PARTS, &value)?,
            "--contestants" => {
                options.contestants = value.split(',').map(str::to_owned).collect();
            }
            "--photos" => options.photo_count = count(flag, &value)?.max(1),
            "--small" => options.small_count = count(flag, &value)?.max(1),
            "--stream-bytes" => options.stream_bytes = size(flag, &value)?.max(MIB),
            "--assets" => options.many_assets = count(flag, &value)?.max(1),
            "--server" => options.server = Some(PathBuf::from(value)),
            "--rivals" => options.rivals = Some(PathBuf::from(value)),
            "--dir" => options.dir = PathBuf::from(value),
            _ => return Err(UsageError::Wrong(format!("there is no flag {flag}"))),
        }
        Ok(())
    })?;
    Ok(options)
}

fn defaults(quick: bool) -> LanOptions {
    let full = LanOptions {
        quick,
        rounds: 3,
        parts: PARTS.iter().map(|(_, part)| *part).collect(),
        contestants: Vec::new(),
        photo_count: 240,
        small_count: 6_000,
        stream_bytes: 1024 * MIB,
        few_assets: 10_000,
        many_assets: 1_000_000,
        start_count: 11,
        server: None,
        rivals: None,
        dir: PathBuf::from("."),
    };
    if !quick {
        return full;
    }
    LanOptions {
        photo_count: 32,
        small_count: 600,
        stream_bytes: 128 * MIB,
        many_assets: 100_000,
        start_count: 5,
        ..full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan(line: &str) -> Result<LanOptions, UsageError> {
        parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn quick_only_lowers_what_was_not_set_by_hand() {
        let options = lan("--stream-bytes 2GiB --quick").unwrap();
        assert_eq!((options.stream_bytes, options.quick), (2048 * MIB, true));
        assert!(options.photo_count < lan("").unwrap().photo_count);
    }

    #[test]
    fn unknown_parts_flags_and_sizes_are_refused() {
        for line in
            ["--only nonsense", "--nonsense 1", "--stream-bytes 3x", "--known 3", "--dir --quick"]
        {
            assert!(matches!(lan(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }
}
