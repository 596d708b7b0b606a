//! Reads the command line once into plain structs; nothing below `main` reads arguments.

use std::path::PathBuf;

use crate::tray::{self, TrayOptions};

/// Text of `--help`.
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

photosync-bench relay [flags]

  --small              a tenth of the tree and of the calls; a first look in about a minute
  --rounds N           rounds of backups and restores, contestants in turn (default 3, at least 1)
  --repeats N          backups on which nothing changed, in each round (default 3, at least 1)
  --only PARTS         comma-separated: box,pipeline,node,photos,pictures
  --tree-bytes SIZE    bytes of the tree of photos (default 2000MB)
  --pictures N         files of 20 KB of the other tree (default 10000)
  --trees DIR          where trees lie and stay; made when they are not there (default: below --dir)
  --server FILE        the photosync-server to measure
  --client FILE        the photosync to measure
  --reader DIR         where node_modules/tweetnacl lies
  --dir DIR            where to write; must exist, on the disk to be measured

photosync-bench tray [flags]

  --rounds N           starts, and deaths of the server, in turn with the bare program (default 7)
  --tray FILE          the photosync-tray to measure
  --server FILE        the photosync-server that it keeps running
  --bare FILE          the program with an icon and nothing else (examples/bare-tray.rs)
  --dir DIR            where to write; must exist
";

/// One MiB in bytes.
pub const MIB: u64 = 1024 * 1024;

/// Which bench to run.
#[derive(Debug)]
pub enum Bench {
    /// Uploads, listings, memory and start-up beside other servers on loopback.
    Lan(LanOptions),
    /// Uploads by tus, and backups on which nothing changed.
    Sync(SyncOptions),
    /// Sealing, and sealed backups.
    Relay(RelayOptions),
    /// The icon of a desktop.
    Tray(TrayOptions),
}

/// Why no bench was chosen.
#[derive(Debug)]
pub enum UsageError {
    /// Help was asked for.
    Help,
    /// The arguments make no sense; the text says which.
    Wrong(String),
}

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

const SYNC_PARTS: [(&str, SyncPart); 4] = [
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

/// Parts of the `relay` bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayPart {
    /// The box beside the raw calls of its libraries.
    Box,
    /// Sealing beside the sum of its parts.
    Pipeline,
    /// The box beside `tweetnacl`.
    Node,
    /// Sealed backup and restore of a tree of photos.
    Photos,
    /// The same of many small pictures.
    Pictures,
}

const RELAY_PARTS: [(&str, RelayPart); 5] = [
    ("box", RelayPart::Box),
    ("pipeline", RelayPart::Pipeline),
    ("node", RelayPart::Node),
    ("photos", RelayPart::Photos),
    ("pictures", RelayPart::Pictures),
];

/// Settings of the `relay` bench after defaults.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Smaller counts were asked for.
    pub small: bool,
    /// Rounds of backups and restores.
    pub rounds: usize,
    /// Backups on which nothing changed, per contestant and round.
    pub repeats: usize,
    /// Parts to run.
    pub parts: Vec<RelayPart>,
    /// Calls of every function measured by itself.
    pub calls: usize,
    /// Bytes of the tree of photos.
    pub tree_bytes: u64,
    /// Files of the tree of pictures.
    pub picture_count: u64,
    /// Where trees lie.
    pub trees: Option<PathBuf>,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// The client binary.
    pub client: Option<PathBuf>,
    /// Folder with `node_modules/tweetnacl`.
    pub reader: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

impl RelayOptions {
    /// Whether a part was asked for.
    pub fn wants(&self, part: RelayPart) -> bool {
        self.parts.contains(&part)
    }
}

/// Parses arguments without the program name.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Bench, UsageError> {
    let arguments: Vec<String> = arguments.collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Err(UsageError::Help);
    }
    let mut arguments = arguments.into_iter();
    match arguments.next().as_deref() {
        Some("lan") => parse_lan(arguments.collect()).map(Bench::Lan),
        Some("sync") => parse_sync(arguments.collect()).map(Bench::Sync),
        Some("relay") => parse_relay(arguments.collect()).map(Bench::Relay),
        Some("tray") => tray::parse(arguments.collect()).map(Bench::Tray),
        Some(other) => Err(UsageError::Wrong(format!("there is no bench named {other}"))),
        None => Err(UsageError::Wrong("name a bench: lan, sync, relay or tray".into())),
    }
}

fn parse_lan(arguments: Vec<String>) -> Result<LanOptions, UsageError> {
    let mut options = lan_defaults(arguments.iter().any(|argument| argument == "--quick"));
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

fn parse_sync(arguments: Vec<String>) -> Result<SyncOptions, UsageError> {
    let mut options = sync_defaults(arguments.iter().any(|argument| argument == "--quick"));
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--repeats" => options.repeats = count(flag, &value)?.max(1) as usize,
            "--only" => options.parts = parts(&SYNC_PARTS, &value)?,
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

fn parse_relay(mut arguments: Vec<String>) -> Result<RelayOptions, UsageError> {
    let before = arguments.len();
    arguments.retain(|argument| argument != "--small");
    let mut options = relay_defaults(arguments.len() < before);
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--repeats" => options.repeats = count(flag, &value)?.max(1) as usize,
            "--only" => options.parts = parts(&RELAY_PARTS, &value)?,
            "--tree-bytes" => options.tree_bytes = size(flag, &value)?.max(MIB),
            "--pictures" => options.picture_count = count(flag, &value)?.max(1),
            "--trees" => options.trees = Some(PathBuf::from(value)),
            "--server" => options.server = Some(PathBuf::from(value)),
            "--client" => options.client = Some(PathBuf::from(value)),
            "--reader" => options.reader = Some(PathBuf::from(value)),
            "--dir" => options.dir = PathBuf::from(value),
            _ => return Err(UsageError::Wrong(format!("there is no flag {flag}"))),
        }
        Ok(())
    })?;
    Ok(options)
}

/// Hands every flag with its value to `set`; `--quick`, which has none, is left out.
pub fn for_each_flag(
    arguments: Vec<String>,
    mut set: impl FnMut(&str, String) -> Result<(), UsageError>,
) -> Result<(), UsageError> {
    let mut arguments = arguments.into_iter();
    while let Some(flag) = arguments.next() {
        if flag == "--quick" {
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| UsageError::Wrong(format!("{flag} is unknown or wants a value")))?;
        set(&flag, value)?;
    }
    Ok(())
}

fn sync_defaults(quick: bool) -> SyncOptions {
    let full = SyncOptions {
        quick,
        rounds: 3,
        repeats: 7,
        parts: SYNC_PARTS.iter().map(|(_, part)| *part).collect(),
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

fn relay_defaults(small: bool) -> RelayOptions {
    let full = RelayOptions {
        small,
        rounds: 3,
        repeats: 3,
        parts: RELAY_PARTS.iter().map(|(_, part)| *part).collect(),
        calls: 150,
        tree_bytes: 2_000_000_000,
        picture_count: 10_000,
        trees: None,
        server: None,
        client: None,
        reader: None,
        dir: PathBuf::from("."),
    };
    if !small {
        return full;
    }
    RelayOptions {
        rounds: 1,
        calls: 30,
        tree_bytes: full.tree_bytes / 10,
        picture_count: full.picture_count / 10,
        ..full
    }
}

fn lan_defaults(quick: bool) -> LanOptions {
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

fn parts<P: Copy>(known: &[(&str, P)], value: &str) -> Result<Vec<P>, UsageError> {
    value
        .split(',')
        .map(|name| {
            known
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, part)| *part)
                .ok_or_else(|| UsageError::Wrong(format!("there is no part named {name}")))
        })
        .collect()
}

/// A number, as a flag wants it.
pub fn count(flag: &str, value: &str) -> Result<u64, UsageError> {
    value.parse().map_err(|_| UsageError::Wrong(format!("{flag} wants a number, not {value}")))
}

fn size(flag: &str, value: &str) -> Result<u64, UsageError> {
    let units = [("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", 1024), ("MB", 1_000_000), ("", 1)];
    for (unit, factor) in units {
        if let Some(number) = value.strip_suffix(unit) {
            return count(flag, number)?
                .checked_mul(factor)
                .ok_or_else(|| UsageError::Wrong(format!("{flag}: {value} is too large")));
        }
    }
    Err(UsageError::Wrong(format!("{flag} wants a size, not {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan(line: &str) -> Result<LanOptions, UsageError> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Bench::Lan(options) => Ok(options),
            _ => Err(UsageError::Wrong("not lan".into())),
        }
    }

    #[test]
    fn sync_has_flags_of_its_own_and_parts_of_its_own() {
        let parsed = |line: &str| parse(line.split_whitespace().map(str::to_owned));
        let Ok(Bench::Sync(options)) = parsed("sync --only known,small --known 5 --quick") else {
            panic!("the line is refused");
        };
        assert_eq!(options.parts, [SyncPart::Known, SyncPart::Small]);
        assert_eq!((options.known_count, options.quick), (5, true));
        for line in ["sync --only photos", "sync --assets 3", "lan --known 3"] {
            assert!(matches!(parsed(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }

    #[test]
    fn a_small_relay_bench_keeps_what_was_set_by_hand() {
        let parsed = parse("relay --tree-bytes 300MB --small".split(' ').map(str::to_owned));
        let Ok(Bench::Relay(options)) = parsed else { panic!("the line is refused") };
        assert_eq!((options.tree_bytes, options.picture_count), (300_000_000, 1_000));
        let refused = parse("relay --known 3".split(' ').map(str::to_owned));
        assert!(matches!(refused, Err(UsageError::Wrong(_))));
    }

    #[test]
    fn quick_only_lowers_what_was_not_set_by_hand() {
        let options = lan("lan --stream-bytes 2GiB --quick").unwrap();
        assert_eq!(options.stream_bytes, 2048 * MIB);
        assert!(options.photo_count < lan("lan").unwrap().photo_count);
    }

    #[test]
    fn unknown_parts_flags_and_sizes_are_refused() {
        for line in ["lan --only nonsense", "lan --nonsense 1", "lan --stream-bytes 3x", "sun"] {
            assert!(matches!(lan(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }
}
