//! Flags of the bench `library`.

use std::path::PathBuf;

use super::{UsageError, count, for_each_flag, take_switch};

/// What `--help` says of it.
pub const HELP: &str = "\
photosync-bench library [flags]

  --quick              smaller, for a first look only
  --assets N           pictures of the library (default 1000000)
  --pages N            pages and searches of each kind (default 1000)
  --server FILE        the photosync-server to measure
  --dir DIR            where to write; must exist
";

/// Settings of the `library` bench after defaults.
#[derive(Debug, Clone)]
pub struct LibraryOptions {
    /// Pictures.
    pub assets: u64,
    /// Requests of each kind.
    pub pages: u64,
    /// The server binary.
    pub server: Option<PathBuf>,
    /// Folder to write in.
    pub dir: PathBuf,
}

/// Reads the flags of this bench.
pub fn parse(mut arguments: Vec<String>) -> Result<LibraryOptions, UsageError> {
    let is_quick = take_switch(&mut arguments, &["--quick"]);
    let (assets, pages) = if is_quick { (50_000, 100) } else { (1_000_000, 1000) };
    let mut options = LibraryOptions { assets, pages, server: None, dir: PathBuf::from(".") };
    for_each_flag(arguments, |flag, value| {
        match flag {
            "--assets" => options.assets = count(flag, &value)?.max(1),
            "--pages" => options.pages = count(flag, &value)?.max(1),
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
        let words = ["--quick", "--pages", "3"].map(str::to_owned).to_vec();
        let quick = parse(words).unwrap();
        assert_eq!((quick.assets, quick.pages), (50_000, 3));
        assert_eq!(parse(Vec::new()).unwrap().assets, 1_000_000);
        assert!(parse(vec!["--rival".into(), "x".into()]).is_err());
    }
}
