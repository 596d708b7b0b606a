//! Makes a folder of real and camera-like media files with the names people and cameras give them, so that
//! every test and the demo work on the same bytes. No two files have the same content.
//!
//! What is fetched or expensive to make is cached; a second corpus needs no network. Nothing is installed and
//! nothing outside the two folders is written.

mod camera;
mod fetch;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use fetch::{HEIC_SPECIAL, Package};

/// Lists what a corpus folder holds; its presence says that the folder may be made anew.
const LIST_FILE: &str = ".corpus.json";

/// How much to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// At most 40 MB; for the test suite.
    Small,
    /// About 400 MB; for the demo and for measurements.
    Full,
}

/// Why there is no corpus.
#[derive(Debug)]
pub enum CorpusError {
    /// A program is not installed.
    MissingTool {
        /// The program.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program failed.
    Tool {
        /// What it was run for.
        what: String,
        /// The end of what it printed.
        output: String,
    },
    /// A file could not be read or written.
    Local(String, io::Error),
    /// The folder holds something else.
    NotACorpus(PathBuf),
    /// Two files turned out the same, or none was found where there should be some.
    Unexpected(String),
}

impl fmt::Display for CorpusError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CorpusError::MissingTool { tool, package } => {
                write!(out, "{tool} is needed: apt-get install {package}")
            }
            CorpusError::Tool { what, output } => write!(out, "could not {what}: {output}"),
            CorpusError::Local(what, source) => write!(out, "could not {what}: {source}"),
            CorpusError::NotACorpus(folder) => {
                write!(out, "{} holds other files: name an empty folder", folder.display())
            }
            CorpusError::Unexpected(what) => write!(out, "{what}"),
        }
    }
}

impl std::error::Error for CorpusError {}

/// Adds to an I/O error what was attempted on which path.
pub(crate) fn local<'a>(
    verb: &'a str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CorpusError + 'a {
    move |source| CorpusError::Local(format!("{verb} {}", path.display()), source)
}

/// One file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusFile {
    /// Relative to the corpus, with `/` between folders.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// A corpus on disk.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The folder that holds it.
    pub root: PathBuf,
    /// Sorted by path.
    pub files: Vec<CorpusFile>,
}

impl Corpus {
    /// Where each file lies.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| self.root.join(&file.path)).collect()
    }

    /// The sum of all sizes.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// `[{"path": …, "size": …, "sha256": …}, …]`, one file a line.
    pub fn to_json(&self) -> String {
        let lines: Vec<String> = self.files.iter().map(json_line).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }
}

fn json_line(file: &CorpusFile) -> String {
    json!({"path": file.path, "size": file.size_bytes, "sha256": file.sha256}).to_string()
}

/// The cache beside the build's output: `PHOTOSYNC_CORPUS_CACHE`, else `<target folder>/corpus-cache`.
pub fn default_cache() -> PathBuf {
    if let Some(folder) = std::env::var_os("PHOTOSYNC_CORPUS_CACHE") {
        return PathBuf::from(folder);
    }
    let program = std::env::current_exe().unwrap_or_default();
    let profiles = ["debug", "release"];
    let profile_folder = program
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| profiles.iter().any(|p| name == *p)));
    let target = profile_folder.and_then(Path::parent).map(Path::to_path_buf);
    target.unwrap_or_else(std::env::temp_dir).join("corpus-cache")
}

/// Makes a corpus in `root`, which is absent, empty, or an earlier corpus (which is replaced).
///
/// Two calls may run at once with the same cache; one waits for the other.
pub fn make(root: &Path, scale: Scale, cache: &Path) -> Result<Corpus, CorpusError> {
    fs::create_dir_all(cache).map_err(local("create", cache))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(local("create", &lock_path))?;
    // Held until the function returns: another process must not see a half-filled cache.
    lock.lock().map_err(local("lock", &lock_path))?;
    clear(root)?;
    let mut builder = Builder { root, by_digest: HashMap::new(), files: Vec::new() };
    builder.add_wallpapers(scale, cache)?;
    builder.add_heic(scale, cache)?;
    builder.add_camera_roll(scale, cache)?;
    builder.add_awkward_names(cache)?;
    let mut files = builder.files;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let corpus = Corpus { root: root.to_owned(), files };
    let list = root.join(LIST_FILE);
    fs::write(&list, corpus.to_json()).map_err(local("write", &list))?;
    Ok(corpus)
}

/// Removes an earlier corpus; refuses a folder that holds anything else.
fn clear(root: &Path) -> Result<(), CorpusError> {
    fs::create_dir_all(root).map_err(local("create", root))?;
    let is_empty = fs::read_dir(root).map_err(local("list", root))?.next().is_none();
    let list = root.join(LIST_FILE);
    if is_empty {
        return fs::write(&list, "[]").map_err(local("write", &list));
    }
    if !list.is_file() {
        return Err(CorpusError::NotACorpus(root.to_owned()));
    }
    for folder in ["DCIM", "HEIC", "Pictures"].map(|name| root.join(name)) {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(local("remove", &folder))?;
        }
    }
    Ok(())
}

/// The SHA-256 of a file as lower-case hex, and its size in bytes.
pub fn digest_of_file(path: &Path) -> Result<(String, u64), CorpusError> {
    let mut file = File::open(path).map_err(local("open", path))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    let mut size_bytes = 0;
    loop {
        let count = file.read(&mut piece).map_err(local("read", path))?;
        if count == 0 {
            return Ok((hex::encode(hasher.finalize()), size_bytes));
        }
        hasher.update(&piece[..count]);
        size_bytes += count as u64;
    }
}

struct Builder<'a> {
    root: &'a Path,
    by_digest: HashMap<String, String>,
    files: Vec<CorpusFile>,
}

impl Builder<'_> {
    /// Copies a file into the corpus. A content that is there already is left out.
    fn add_file(&mut self, source: &Path, path: &str) -> Result<(), CorpusError> {
        let content = fs::read(source).map_err(local("read", source))?;
        self.add_content(&content, path).map(|_| ())
    }

    /// Returns false when another file has this content already.
    fn add_content(&mut self, content: &[u8], path: &str) -> Result<bool, CorpusError> {
        let sha256 = hex::encode(Sha256::digest(content));
        if self.by_digest.contains_key(&sha256) || content.is_empty() {
            return Ok(false);
        }
        let target = self.root.join(path);
        let folder = target.parent().unwrap_or(self.root);
        fs::create_dir_all(folder).map_err(local("create", folder))?;
        if target.exists() {
            return Err(CorpusError::Unexpected(format!("two files are to be called {path}")));
        }
        fs::write(&target, content).map_err(local("write", &target))?;
        self.by_digest.insert(sha256.clone(), path.to_owned());
        let size_bytes = content.len() as u64;
        self.files.push(CorpusFile { path: path.to_owned(), size_bytes, sha256 });
        Ok(true)
    }

    /// Photographs that Debian distributes as desktop backgrounds.
    fn add_wallpapers(&mut self, scale: Scale, cache: &Path) -> Result<(), CorpusError> {
        let (packages, max_bytes): (&[Package], u64) = match scale {
            Scale::Small => (&fetch::WALLPAPERS[..1], 1_400_000),
            Scale::Full => (fetch::WALLPAPERS, u64::MAX),
        };
        for package in packages {
            for photo in fetch::wallpapers(package, cache)? {
                let size_bytes = photo.metadata().map_err(local("look at", &photo))?.len();
                if size_bytes <= max_bytes {
                    self.add_file(&photo, &format!("Pictures/{}", file_name(&photo)))?;
                }
            }
        }
        Ok(())
    }

    /// HEIC files of several cameras and encoders, broken ones included: a backup keeps what it is given.
    fn add_heic(&mut self, scale: Scale, cache: &Path) -> Result<(), CorpusError> {
        for file in fetch::heic_files(cache)? {
            let name = file_name(&file);
            let is_large = name == HEIC_SPECIAL;
            if scale == Scale::Full || !is_large {
                self.add_file(&file, &format!("HEIC/{name}"))?;
            }
        }
        Ok(())
    }

    /// What a phone keeps under `DCIM`: twelve-megapixel photographs, a video of each container, and names that
    /// start again at 1 in the second folder.
    fn add_camera_roll(&mut self, scale: Scale, cache: &Path) -> Result<(), CorpusError> {
        let photo_count = match scale {
            Scale::Small => 2,
            Scale::Full => 40,
        };
        for index in 0..photo_count {
            let photo = camera::cached_photo(index, cache)?;
            let (folder, number) = (100 + index % 2, 1 + index / 2);
            self.add_file(&photo, &format!("DCIM/{folder}APPLE/IMG_{number:04}.jpg"))?;
        }
        let seconds = match scale {
            Scale::Small => 2,
            Scale::Full => 25,
        };
        let mp4 = fetch::video("mp4", seconds, cache)?;
        self.add_file(&mp4, "DCIM/100APPLE/VID_20240501_101500.mp4")?;
        let mov = fetch::video("mov", seconds, cache)?;
        self.add_file(&mov, "DCIM/101APPLE/IMG_0099.MOV")
    }

    /// Names that have broken backups before. Each file is one of the small photographs with EXIF data of its
    /// own. Names that one file system may take for the same lie in different folders.
    fn add_awkward_names(&mut self, cache: &Path) -> Result<(), CorpusError> {
        let mut sources = fetch::wallpapers(&fetch::WALLPAPERS[0], cache)?;
        sources.sort_by_key(|path| (path.metadata().map_or(0, |about| about.len()), path.clone()));
        sources.truncate(4);
        for (index, name) in awkward_names().iter().enumerate() {
            let source = &sources[index % sources.len()];
            let plain = fs::read(source).map_err(local("read", source))?;
            let second = u32::try_from(index).unwrap_or_default() % 60;
            let taken = format!("2023:07:14 18:30:{second:02}");
            let photo = camera::with_exif(&plain, &taken)?;
            if !self.add_content(&photo, name)? {
                return Err(CorpusError::Unexpected(format!(
                    "{name} has the bytes of another file"
                )));
            }
        }
        Ok(())
    }
}

fn awkward_names() -> Vec<String> {
    // 83 × 3 + 2 + 4 = 255 bytes, the longest name common file systems take.
    let longest = format!("Pictures/{}ab.jpg", "長".repeat(83));
    let names = [
        "Pictures/Summer at the lake.jpg",
        "Pictures/Grüße von Zoë.jpg",
        "Pictures/composed/Caf\u{e9}.jpg",
        "Pictures/decomposed/Cafe\u{301}.jpg",
        "Pictures/東京 Żółw.jpg",
        "Pictures/Party 🎉🥳.jpg",
        "Pictures/100% sure.jpg",
        "Pictures/50%20off.jpg",
        "Pictures/Mum's \"best\" photo (1).jpg",
        "Pictures/a+b & c=d; e,f@g.jpg",
        "Pictures/upper/Beach.JPG",
        "Pictures/lower/beach.jpg",
        "Pictures/photo without extension",
        "DCIM/102APPLE/IMG_0001 (2).jpg",
    ];
    names.iter().map(|name| (*name).to_owned()).chain([longest]).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_has_255_bytes() {
        let names = awkward_names();
        let longest = names.iter().filter_map(|name| name.rsplit('/').next()).map(str::len).max();
        assert_eq!(longest, Some(255));
    }

    #[test]
    fn a_folder_with_other_files_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let precious = folder.path().join("DCIM");
        fs::write(&precious, b"mine").expect("a file");
        let error = clear(folder.path()).expect_err("a refusal");
        assert!(matches!(error, CorpusError::NotACorpus(_)), "{error}");
        assert_eq!(fs::read(&precious).expect("the file"), b"mine");
    }
}
