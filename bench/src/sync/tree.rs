//! A tree of many small files, the same in every run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::Failure;
use crate::payload::{Payload, split_mix};

/// Files in one folder.
const FOLDER_FILES: u64 = 1_000;
/// Smallest file in bytes.
const LEAST_BYTES: u64 = 2_000;
/// Largest file in bytes.
const MOST_BYTES: u64 = 20_000;

/// Writes `files` files of 2 to 20 KB below `path`, a thousand in a folder, no two alike; returns
/// the sum of their lengths. They are on the disk when this returns.
pub fn make(path: &Path, files: u64) -> Result<u64, Failure> {
    write(path, files)
        .map_err(|error| format!("could not make a tree in {}: {error}", path.display()).into())
}

fn write(path: &Path, files: u64) -> io::Result<u64> {
    let payload = Payload::seeded(1);
    let (mut random, mut sum_bytes) = (2, 0);
    for number in 0..files {
        let folder = path.join(format!("{:04}", number / FOLDER_FILES));
        if number % FOLDER_FILES == 0 {
            fs::create_dir_all(&folder)?;
        }
        let bytes = LEAST_BYTES + split_mix(&mut random) % (MOST_BYTES - LEAST_BYTES + 1);
        let content = payload.content(bytes);
        let mut file = File::create_new(folder.join(format!("IMG_{number:06}.jpg")))?;
        let head = content.piece(0, usize::MAX);
        file.write_all(head)?;
        file.write_all(content.piece(head.len() as u64, usize::MAX))?;
        sum_bytes += bytes;
    }
    rustix::fs::syncfs(File::open(path)?)?;
    Ok(sum_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_its_files_its_bytes_and_is_the_same_each_time() {
        let path = std::env::temp_dir().join(format!("photosync-tree-{}", std::process::id()));
        let mut made = [(); 2].map(|()| {
            fs::create_dir(&path).unwrap();
            let bytes = make(&path, 1_001).unwrap();
            let folders = fs::read_dir(&path).unwrap().map(|folder| folder.unwrap().path());
            let entries = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
            let lengths: Vec<u64> =
                entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
            let last = fs::read(path.join("0001/IMG_001000.jpg")).unwrap();
            fs::remove_dir_all(&path).unwrap();
            assert_eq!((lengths.len(), lengths.iter().sum()), (1_001, bytes));
            (bytes, last)
        });
        let [first, second] = &mut made;
        assert_eq!(first, second);
    }
}
