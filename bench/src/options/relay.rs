//! Flags of the bench `relay`.

use std::path::PathBuf;

use super::{MIB, UsageError, count, for_each_flag, parts, size, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench relay [flags]

  --small, --quick     a tenth of the trees and a fifth of the calls; a first look in about a minute
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
";

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

const PARTS: [(&str, RelayPart); 5] = [
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

/// Reads the flags behind the bench's name.
pub fn parse(mut arguments: Vec<String>) -> Result<RelayOptions, UsageError> {
    let small = take_switch(&mut arguments, &["--small", "--quick"]);
    let mut options = defaults(small);
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--repeats" => options.repeats = count(flag, &value)?.max(1) as usize,
            "--only" => options.parts = parts(&PARTS, &value)?,
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

fn defaults(small: bool) -> RelayOptions {
    let full = RelayOptions {
        small,
        rounds: 3,
        repeats: 3,
        parts: PARTS.iter().map(|(_, part)| *part).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(line: &str) -> Result<RelayOptions, UsageError> {
        parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn a_small_or_quick_relay_bench_keeps_what_was_set_by_hand() {
        for line in ["--tree-bytes 300MB --small", "--quick --tree-bytes 300MB"] {
            let options = relay(line).unwrap();
            assert_eq!((options.tree_bytes, options.picture_count), (300_000_000, 1_000), "{line}");
            assert!(options.small && options.calls < relay("").unwrap().calls, "{line}");
        }
    }

    #[test]
    fn flags_of_other_benches_are_refused() {
        for line in ["--known 3", "--small 3", "--nonsense"] {
            assert!(matches!(relay(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }
}
