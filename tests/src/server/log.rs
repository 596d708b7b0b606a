//! The end of what a child process says, kept while it runs.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How much is kept for messages.
const LOG_TAIL_BYTES: usize = 256 * 1024;

/// Reading what an ended process has left in its pipe takes moments; only another process that holds the pipe open
/// makes it longer.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// The end of a stream of lines, bounded.
#[derive(Debug, Default)]
pub(super) struct LogTail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl LogTail {
    /// Reads the pipe to its end in a thread.
    pub(super) fn follow(&mut self, mut pipe: impl Read + Send + 'static) {
        let kept = self.kept.clone();
        self.reader = Some(thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                push(&kept, &piece[..count]);
            }
        }));
    }

    /// Waits until everything an ended process has said is here: its last words tell why it ended.
    pub(super) fn finish(&mut self) {
        let end = Instant::now() + REST_WITHIN;
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
            if Instant::now() >= end {
                return;
            }
            thread::sleep(super::POLL_EVERY);
        }
    }

    /// What is kept.
    pub(super) fn text(&self) -> String {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }

    /// The last lines of it.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

fn push(kept: &Mutex<VecDeque<u8>>, bytes: &[u8]) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.extend(bytes);
    let surplus = kept.len().saturating_sub(LOG_TAIL_BYTES);
    kept.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_only_its_end() {
        let mut log = LogTail::default();
        let said = [vec![b'a'; LOG_TAIL_BYTES], b"\nlast line\n".to_vec()].concat();
        log.follow(std::io::Cursor::new(said));
        log.finish();
        assert_eq!(log.text().len(), LOG_TAIL_BYTES);
        assert_eq!(log.last_lines(1), "last line");
    }
}
