//! `photosync-corpus DIR [--small] [--list]`: makes the test corpus in DIR.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use photosync_tests::corpus::{self, Scale};

const USAGE: &str = "usage: photosync-corpus DIR [--small] [--list]
  makes a corpus of photographs and videos in DIR (about 400 MB)
  --small   at most 40 MB
  --list    print [{path, size, sha256}, …] as JSON
  PHOTOSYNC_CORPUS_CACHE names the folder for fetched files (default: beside the build output)";

fn main() -> ExitCode {
    let mut folder: Option<PathBuf> = None;
    let mut scale = Scale::Full;
    let mut prints_list = false;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--small") => scale = Scale::Small,
            Some("--list") => prints_list = true,
            Some("--help" | "-h") => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Some(option) if option.starts_with('-') => return refuse(),
            _ if folder.is_none() => folder = Some(argument.into()),
            _ => return refuse(),
        }
    }
    let Some(folder) = folder else { return refuse() };
    match make(&folder, scale, prints_list) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("photosync-corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(folder: &Path, scale: Scale, prints_list: bool) -> Result<(), corpus::CorpusError> {
    let corpus = corpus::make(folder, scale, &corpus::default_cache())?;
    if prints_list {
        print!("{}", corpus.to_json());
    } else {
        let megabytes = corpus.total_bytes() as f64 / 1e6;
        println!("{} files, {megabytes:.1} MB in {}", corpus.files.len(), folder.display());
    }
    Ok(())
}

fn refuse() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
