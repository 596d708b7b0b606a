//! The log of the server that the tray starts, and of the tray: `<data>/logs/server.log`, the one before it beside it.
//!
//! The server writes into the file itself, so that it goes on when the tray ends. Both append; when the file has grown,
//! its content moves aside and both go on at its beginning.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes after which the log begins anew: 4 MiB, some 30,000 lines.
const MOST_BYTES: u64 = 4 << 20;
/// Bytes looked at for the last words.
const TAIL_BYTES: u64 = 16 * 1024;

/// See the module.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Opens the log of a data folder.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("logs");
        std::fs::create_dir_all(&folder)?;
        let log = Self { path: folder.join("server.log") };
        log.file()?;
        Ok(log)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that appends.
    pub fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Names of files and people are in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    /// Adds a line of the tray's own. A log that cannot be written stops nothing.
    pub fn note(&self, text: &str) {
        if let Ok(mut file) = self.file() {
            let _ = writeln!(file, "tray: {text}");
        }
    }

    /// Bytes in it.
    pub fn length_bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Moves the content aside if there is much of it.
    pub fn turn(&self) -> io::Result<()> {
        if self.length_bytes() < MOST_BYTES {
            return Ok(());
        }
        std::fs::copy(&self.path, self.path.with_extension("log.1"))?;
        OpenOptions::new().write(true).open(&self.path)?.set_len(0)
    }

    /// The last line written after `from_bytes` that says something; empty if there is none.
    pub fn last_words(&self, from_bytes: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            // A log that began anew has nothing old in it.
            let from = if from_bytes <= length { from_bytes } else { 0 };
            file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        text.lines().rev().map(words).find(|line| !line.is_empty()).unwrap_or_default()
    }
}

/// What a line says: the message of a JSON line, the line itself otherwise.
fn words(line: &str) -> String {
    let message = serde_json::from_str::<serde_json::Value>(line)
        .ok()
        .and_then(|value| value.get("message")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_those_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        log.note("of an earlier run");
        let from = log.length_bytes();
        assert_eq!(log.last_words(from), "");
        let mut file = log.file().unwrap();
        file.write_all(b"{\"level\":\"ERROR\",\"message\":\"no disk\"}\n\n").unwrap();
        assert_eq!(log.last_words(from), "no disk");
        file.write_all(b"error: the settings are wrong\n").unwrap();
        assert_eq!(log.last_words(from), "error: the settings are wrong");
    }

    #[test]
    fn a_large_log_begins_anew_under_the_hands_of_the_server_and_loses_nothing_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        let mut servers = log.file().unwrap();
        servers.write_all(&vec![b'x'; MOST_BYTES as usize]).unwrap();
        log.turn().unwrap();
        servers.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read(log.path()).unwrap(), b"after\n");
        assert_eq!(log.path().with_extension("log.1").metadata().unwrap().len(), MOST_BYTES);
        // What was measured before it began anew is more than there is now.
        assert_eq!(log.last_words(MOST_BYTES), "after");
    }
}
