//! One tray at a time for each data folder: a lock that ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Held for as long as the tray runs.
#[derive(Debug)]
pub struct Instance {
    _lock: File,
}

impl Instance {
    /// `None` if another tray runs on this data.
    pub fn take(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = data_dir.join("tray.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time_and_another_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Instance::take(dir.path()).unwrap();
        assert!(first.is_some());
        assert!(Instance::take(dir.path()).unwrap().is_none());
        drop(first);
        assert!(Instance::take(dir.path()).unwrap().is_some());
    }
}
