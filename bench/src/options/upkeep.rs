//! Flags of the bench `upkeep`.

use std::path::PathBuf;

use super::{UsageError, count, for_each_flag, size, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench upkeep [flags]

  --quick              smaller, for a first look only
  --bytes SIZE         photos that are stored, 3 MiB each (default 2GiB)
  --rounds N           scrubs and pairs of backups (default 5)
  --pairs N            uploads with and without a scrub, in turn (default 12)
  --uploads N          uploads in each half of a pair (default 200)
  --server FILE        the photosync-server to measure
  --dir DIR            where to write; must exist
";

/// Settings of the `upkeep` bench after defaults.
#[derive(Debug, Clone)]
pub struct UpkeepOptions {
    /// Bytes stored.
    pub bytes: u64,
    /// Scrubs and pairs of backups.
    pub rounds: usize,
    /// Pairs of uploads with and without a scrub.
    pub pairs: usize,
    /// Uploads in each half.
    pub uploads: u64,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Reads the flags of this bench.
pub fn parse(mut arguments: Vec<String>) -> Result<UpkeepOptions, UsageError> {
    let is_quick = take_switch(&mut arguments, &["--quick"]);
    let dir = PathBuf::from(".");
    let mut options = match is_quick {
        true => {
            UpkeepOptions { bytes: 60_000_000, rounds: 2, pairs: 2, uploads: 20, server: None, dir }
        }
        false => {
            UpkeepOptions { bytes: 2 << 30, rounds: 5, pairs: 12, uploads: 200, server: None, dir }
        }
    };
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--bytes" => options.bytes = size(flag, &value)?,
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--pairs" => options.pairs = count(flag, &value)?.max(1) as usize,
            "--uploads" => options.uploads = count(flag, &value)?.max(1),
            "--server" => options.server = Some(PathBuf::from(value)),
            "--dir" => options.dir = PathBuf::from(value),
            _ => return Err(UsageError::Wrong(format!("there is no flag {flag}"))),
        }
        Ok(())
    })?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_is_smaller_and_a_flag_after_it_counts() {
        let words = ["--quick", "--pairs", "3"].map(str::to_owned).to_vec();
        let quick = parse(words).unwrap();
        assert_eq!((quick.pairs, quick.rounds), (3, 2));
        assert!(parse(Vec::new()).unwrap().pairs >= 10);
        assert!(parse(vec!["--rival".into(), "x".into()]).is_err());
    }
}
