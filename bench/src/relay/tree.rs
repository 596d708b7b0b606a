//! Trees that are backed up: made once, kept for the next run, incompressible, and no two pieces of them alike.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::payload::split_mix;

/// Files in one folder.
const FOLDER_FILES: u64 = 100;
/// Bytes read or written at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a photo: 1 to 6 MB, 3.5 MB on average.
const PHOTO_BYTES: std::ops::RangeInclusive<u64> = 1_000_000..=6_000_000;
/// Bytes of a picture of the other tree.
const PICTURE_BYTES: u64 = 20_000;

/// A tree that lies on the disk.
#[derive(Debug)]
pub struct Tree {
    /// For titles: "570 photos, 2000 MB".
    pub title: String,
    /// Its folder.
    pub path: PathBuf,
    /// How many files.
    pub files: u64,
    /// The sum of their lengths.
    pub bytes: u64,
}

/// Photos of a few MB that are together at least `bytes` long.
pub fn photos(trees: &Path, bytes: u64) -> Result<Tree, Failure> {
    let mut random = 11;
    let (mut lengths, mut sum) = (Vec::new(), 0);
    while sum < bytes {
        let span = PHOTO_BYTES.end() - PHOTO_BYTES.start() + 1;
        let length = PHOTO_BYTES.start() + split_mix(&mut random) % span;
        lengths.push(length);
        sum += length;
    }
    find_or_make(trees, "photos", &lengths)
}

/// So many pictures of 20 KB.
pub fn pictures(trees: &Path, files: u64) -> Result<Tree, Failure> {
    find_or_make(trees, "pictures", &vec![PICTURE_BYTES; usize::try_from(files)?])
}

fn find_or_make(trees: &Path, kind: &str, lengths: &[u64]) -> Result<Tree, Failure> {
    let (files, bytes) = (lengths.len() as u64, lengths.iter().sum::<u64>());
    let path = trees.join(format!("{kind}-{files}-{bytes}"));
    if !path.is_dir() {
        eprintln!("bench: making a tree of {files} {kind}, {} MB", bytes / 1_000_000);
        make(&path, lengths)
            .map_err(|error| format!("could not make a tree in {}: {error}", path.display()))?;
    }
    let title = format!("{files} {kind}, {:.0} MB", bytes as f64 / 1e6);
    Ok(Tree { title, path, files, bytes })
}

/// Under its name lies a whole tree or nothing.
fn make(path: &Path, lengths: &[u64]) -> io::Result<()> {
    let making = path.with_extension("making");
    if making.exists() {
        fs::remove_dir_all(&making)?;
    }
    let mut random = 12;
    for (number, length) in (0..).zip(lengths) {
        let folder = making.join(format!("{:04}", number / FOLDER_FILES));
        if number % FOLDER_FILES == 0 {
            fs::create_dir_all(&folder)?;
        }
        let file = File::create_new(folder.join(format!("IMG_{number:06}.jpg")))?;
        let mut file = BufWriter::with_capacity(PIECE_BYTES, file);
        let mut left = *length;
        while left > 0 {
            let word = split_mix(&mut random).to_le_bytes();
            let some = word.len().min(usize::try_from(left).unwrap_or(word.len()));
            file.write_all(&word[..some])?;
            left -= some as u64;
        }
        file.flush()?;
    }
    rustix::fs::syncfs(File::open(&making)?)?;
    fs::rename(making, path)
}

/// Reads every file below a folder, so that the next reader finds it in memory.
pub fn warm(path: &Path) -> Result<(), Failure> {
    let mut buffer = vec![0; PIECE_BYTES];
    for file in files_below(path)?.values() {
        let mut open = File::open(file).map_err(|error| unreadable(file, &error))?;
        while open.read(&mut buffer).map_err(|error| unreadable(file, &error))? > 0 {}
    }
    Ok(())
}

/// Refuses unless every file of the tree is somewhere below `other`, with the same bytes, and nothing else is.
pub fn require_restored(tree: &Tree, other: &Path) -> Result<(), Failure> {
    let (wanted, found) = (files_below(&tree.path)?, files_below(other)?);
    if found.len() != wanted.len() {
        let (found, wanted) = (found.len(), wanted.len());
        return Err(format!("{found} files were restored, not {wanted}").into());
    }
    for (name, original) in wanted {
        let restored = found.get(&name).ok_or_else(|| format!("{name} was not restored"))?;
        let same = is_same(&original, restored).map_err(|error| unreadable(restored, &error))?;
        if !same {
            return Err(format!("{name} came back with other bytes").into());
        }
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

/// Files at any depth, by their paths' last parts, which no two files of a tree share. Of equal ones one is shown.
fn files_below(path: &Path) -> Result<HashMap<String, PathBuf>, Failure> {
    let (mut files, mut folders) = (HashMap::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let kind = entry.file_type().map_err(|error| unreadable(&folder, &error))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
            }
        }
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("could not read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_made_once_and_only_its_own_bytes_count_as_restored() {
        let folder = std::env::temp_dir().join(format!("photosync-trees-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let tree = pictures(&folder, 120).unwrap();
        assert_eq!((tree.files, tree.bytes), (120, 2_400_000));
        let first = tree.path.join("0000/IMG_000000.jpg");
        let made = fs::metadata(&first).unwrap().modified().unwrap();
        pictures(&folder, 120).unwrap();
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), made);
        require_restored(&tree, &tree.path).unwrap();

        let copy = folder.join("copy");
        fs::create_dir(&copy).unwrap();
        for path in files_below(&tree.path).unwrap().values() {
            fs::copy(path, copy.join(path.file_name().unwrap())).unwrap();
        }
        require_restored(&tree, &copy).unwrap();
        let changed = copy.join("IMG_000119.jpg");
        let mut bytes = fs::read(&changed).unwrap();
        bytes[19_999] ^= 1;
        fs::write(&changed, bytes).unwrap();
        assert!(require_restored(&tree, &copy).unwrap_err().to_string().contains("IMG_000119"));
        fs::remove_file(&changed).unwrap();
        assert!(require_restored(&tree, &copy).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
