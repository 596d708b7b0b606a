//! Flags of the bench `web`.

use std::path::PathBuf;

use super::{UsageError, count, for_each_flag, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench web [flags]

  --quick              smaller, for a first look only
  --assets N           pictures of the library (default 100000)
  --web DIR            the folder web with its browser scripts and node_modules
  --profile FILE       where to write a profile of the page's processor time
  --server FILE        the photosync-server to measure; it must carry the web app
  --dir DIR            where to write; must exist
";

/// Settings of the `web` bench after defaults.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Pictures.
    pub assets: u64,
    /// Folder of the web app.
    pub web: Option<PathBuf>,
    /// File for a profile.
    pub profile: Option<PathBuf>,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Reads the flags of this bench.
pub fn parse(mut arguments: Vec<String>) -> Result<WebOptions, UsageError> {
    let is_quick = take_switch(&mut arguments, &["--quick"]);
    let assets = if is_quick { 10_000 } else { 100_000 };
    let dir = PathBuf::from(".");
    let mut options = WebOptions { assets, web: None, profile: None, server: None, dir };
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--assets" => options.assets = count(flag, &value)?.max(1000),
            "--web" => options.web = Some(PathBuf::from(value)),
            "--profile" => options.profile = Some(PathBuf::from(value)),
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
    fn quick_is_smaller_and_a_library_has_enough_to_scroll() {
        let words = ["--quick", "--web", "web"].map(str::to_owned).to_vec();
        let quick = parse(words).unwrap();
        assert_eq!((quick.assets, quick.web), (10_000, Some("web".into())));
        let few = parse(["--assets", "3"].map(str::to_owned).to_vec()).unwrap();
        assert_eq!(few.assets, 1000);
        assert!(parse(vec!["--rival".into(), "x".into()]).is_err());
    }
}
