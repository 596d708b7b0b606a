//! Makes names survive a power cut, on each system in its way.

use std::io;
use std::path::Path;

/// Makes the names in a folder durable. Blocks.
#[cfg(not(windows))]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Makes the names in a folder durable, where the file system flushes folders at all: FAT, exFAT and shares on other
/// systems refuse (decision 0026). Blocks.
#[cfg(windows)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    use std::os::windows::fs::OpenOptionsExt;
    /// `FILE_FLAG_BACKUP_SEMANTICS`: without it a folder cannot be opened.
    const BACKUP_SEMANTICS: u32 = 0x0200_0000;
    /// `ERROR_INVALID_FUNCTION`, `_ACCESS_DENIED`, `_INVALID_HANDLE`, `_NOT_SUPPORTED`, `_INVALID_PARAMETER`.
    const NOT_FOR_FOLDERS: [i32; 5] = [1, 5, 6, 50, 87];
    let opened = std::fs::File::options().write(true).custom_flags(BACKUP_SEMANTICS).open(folder);
    match opened.and_then(|folder| folder.sync_all()) {
        Err(error) if error.raw_os_error().is_some_and(|it| NOT_FOR_FOLDERS.contains(&it)) => {
            Ok(())
        }
        other => other,
    }
}
