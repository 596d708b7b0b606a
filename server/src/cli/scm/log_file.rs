//! The log of a service, which has nobody who would keep its output: `<data>/logs/server.log`, the one before it beside
//! it as `server.log.1`. The tray keeps the log of its server in the same place.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes after which the log begins anew: 4 MiB, some 30,000 lines.
const MOST_BYTES: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    most_bytes: u64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Opens the log of a data folder, which is made if it is not there.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        Self::open_for(data_dir, MOST_BYTES)
    }

    fn open_for(data_dir: &Path, most_bytes: u64) -> io::Result<Self> {
        let folder = data_dir.join("logs");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("server.log");
        let open = Mutex::new(append(&path)?);
        Ok(Self { path, most_bytes, open })
    }
}

fn append(path: &Path) -> io::Result<Open> {
    let file = File::options().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file, bytes })
}

impl Write for &LogFile {
    /// Takes whole lines: each event of the log is one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= self.most_bytes {
            // A reader that is in the way keeps the log growing, and the service running.
            let aside = self.path.with_extension("log.1");
            if std::fs::rename(&self.path, aside).is_ok() {
                *open = append(&self.path)?;
            }
        }
        let written = open.file.write(line)?;
        open.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_after_a_restart_and_never_takes_more_than_twice_its_room() {
        let dir = tempfile::tempdir().unwrap();
        for start in 0..3 {
            let log = LogFile::open_for(dir.path(), 100).unwrap();
            for line in 0..7 {
                writeln!(&log, "start {start}, line {line}").unwrap();
            }
        }
        let (now, before) =
            (dir.path().join("logs/server.log"), dir.path().join("logs/server.log.1"));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert!(read(&now).ends_with("start 2, line 6\n"), "{}", read(&now));
        assert!(read(&now).len() <= 120 && read(&before).len() <= 120);
        assert!(read(&before).lines().chain(read(&now).lines()).count() >= 8, "lines were lost");
        assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 2);
    }
}
