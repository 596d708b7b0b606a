//! Flags of the bench `tray`.

use std::path::PathBuf;

use super::{UsageError, count, for_each_flag};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench tray [flags]

  --rounds N           starts, and deaths of the server, in turn with the bare program (default 7)
  --tray FILE          the photosync-tray to measure
  --server FILE        the photosync-server that it keeps running
  --bare FILE          the program with an icon and nothing else (examples/bare-tray.rs)
  --dir DIR            where to write; must exist
";

/// Settings of the `tray` bench after defaults.
#[derive(Debug, Clone)]
pub struct TrayOptions {
    /// Starts and deaths that are measured.
    pub rounds: usize,
    /// The tray binary.
    pub tray: Option<PathBuf>,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// The program with an icon and nothing else.
    pub bare: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Parses the arguments after `tray`.
pub fn parse(arguments: Vec<String>) -> Result<TrayOptions, UsageError> {
    let dir = PathBuf::from(".");
    let mut options = TrayOptions { rounds: 7, tray: None, server: None, bare: None, dir };
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--rounds" => options.rounds = count(flag, &value)?.max(1) as usize,
            "--tray" => options.tray = Some(PathBuf::from(value)),
            "--server" => options.server = Some(PathBuf::from(value)),
            "--bare" => options.bare = Some(PathBuf::from(value)),
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
    fn flags_of_other_benches_are_refused() {
        assert!(parse(vec!["--photos".into(), "3".into()]).is_err());
        assert_eq!(parse(vec!["--rounds".into(), "0".into()]).unwrap().rounds, 1);
    }
}
