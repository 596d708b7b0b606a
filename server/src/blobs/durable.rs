//! What it takes, on each system, until a file's bytes or a name survive a power cut.
//!
//! On Linux and the Unixes: `fsync` of the file, `rename`, `fsync` of the folder. On Windows (decision 0026):
//! `FlushFileBuffers` wants a handle that may write; renames are written through (`publish.rs`), and folders are flushed
//! too wherever the file system lets them be.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the bytes of a file durable that somebody else may have written. Changes nothing in it.
pub fn sync_file(path: &Path) -> io::Result<()> {
    #[cfg(windows)]
    return windows::sync_file(path);
    #[cfg(not(windows))]
    File::open(path)?.sync_all()
}

/// Makes the names in a folder durable.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    #[cfg(windows)]
    return windows::sync_dir(folder);
    #[cfg(not(windows))]
    File::open(folder)?.sync_all()
}

/// Does what another program may be in the way of for a moment: virus scanners and indexers hold a file that is new.
/// Tries for up to about a second; on other systems once.
pub fn in_the_end<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    #[cfg(windows)]
    return windows::in_the_end(work);
    #[cfg(not(windows))]
    {
        let mut work = work;
        work()
    }
}

#[cfg(windows)]
mod windows {
    use super::*;
    use std::os::windows::fs::OpenOptionsExt;
    use std::time::Duration;

    /// `FILE_FLAG_BACKUP_SEMANTICS`: without it a folder cannot be opened.
    const BACKUP_SEMANTICS: u32 = 0x0200_0000;
    /// `ERROR_INVALID_FUNCTION`, `_ACCESS_DENIED`, `_INVALID_HANDLE`, `_NOT_SUPPORTED`, `_INVALID_PARAMETER`: what file
    /// systems answer that flush no folders (FAT, exFAT, shares on other systems).
    const NOT_FOR_FOLDERS: [i32; 5] = [1, 5, 6, 50, 87];
    /// `ERROR_ACCESS_DENIED`, `_SHARING_VIOLATION`, `_LOCK_VIOLATION`: somebody has the file open.
    const IN_USE: [i32; 3] = [5, 32, 33];
    /// Doubled after each try: 1, 2, 4 … 512 ms.
    const FIRST_PAUSE: Duration = Duration::from_millis(1);
    const TRIES: u32 = 11;

    pub(super) fn sync_file(path: &Path) -> io::Result<()> {
        let flush = || File::options().write(true).open(path)?.sync_all();
        let before = path.metadata()?.permissions();
        if !before.readonly() {
            return in_the_end(flush);
        }
        // A photo that a person made read-only stays so, but for the moment of the flush.
        let mut writable = before.clone();
        writable.set_readonly(false);
        std::fs::set_permissions(path, writable)?;
        let flushed = in_the_end(flush);
        std::fs::set_permissions(path, before).and(flushed)
    }

    pub(super) fn sync_dir(folder: &Path) -> io::Result<()> {
        let opened = File::options().write(true).custom_flags(BACKUP_SEMANTICS).open(folder);
        match opened.and_then(|folder| folder.sync_all()) {
            Err(error) if error.raw_os_error().is_some_and(|it| NOT_FOR_FOLDERS.contains(&it)) => {
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn in_the_end<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match work() {
                Err(error) if error.raw_os_error().is_some_and(|it| IN_USE.contains(&it)) => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                other => return other,
            }
        }
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_photo_is_made_durable_and_stays_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let photo = dir.path().join("photo.jpg");
        std::fs::write(&photo, "bytes").unwrap();
        let mut permissions = photo.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&photo, permissions).unwrap();
        sync_file(&photo).unwrap();
        assert!(photo.metadata().unwrap().permissions().readonly());
        assert_eq!(std::fs::read(&photo).unwrap(), b"bytes");
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_durable() {
        let dir = tempfile::tempdir().unwrap();
        sync_dir(dir.path()).unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(sync_dir(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(sync_file(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
