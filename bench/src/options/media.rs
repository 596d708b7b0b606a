//! Flags of the bench `media`.

use std::path::PathBuf;

use super::{UsageError, count, for_each_flag, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench media [flags]

  --quick              smaller, for a first look only
  --pictures N         files of 12 megapixels (default 12; a third as many HEIC)
  --rounds N           rounds in turn (default 7)
  --rivals DIR         where rivals were installed
  --server FILE        the photosync-server to measure
  --dir DIR            where to write; must exist
";

/// Settings of the `media` bench after defaults.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// Files.
    pub pictures: u64,
    /// Rounds in turn.
    pub rounds: usize,
    /// Where rivals were installed.
    pub rivals: Option<PathBuf>,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Reads the flags of this bench.
pub fn parse(mut arguments: Vec<String>) -> Result<MediaOptions, UsageError> {
    let is_quick = take_switch(&mut arguments, &["--quick"]);
    let (pictures, rounds) = if is_quick { (3, 2) } else { (12, 7) };
    let dir = PathBuf::from(".");
    let mut options = MediaOptions { pictures, rounds, rivals: None, server: None, dir };
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--pictures" => options.pictures = count(flag, &value)?.max(1),
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--rivals" => options.rivals = Some(PathBuf::from(value)),
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
        let words = ["--quick", "--pictures", "5"].map(str::to_owned).to_vec();
        let quick = parse(words).unwrap();
        assert_eq!((quick.pictures, quick.rounds), (5, 2));
        assert!(parse(Vec::new()).unwrap().rounds > 2);
        assert!(parse(vec!["--assets".into(), "1".into()]).is_err());
    }
}
