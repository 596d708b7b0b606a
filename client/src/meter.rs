//! What is on its way: bytes counted, speed, and the limit a person set.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::Progress;

/// Speed is told over this long: 10 s.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts of one run. Shared by all its tasks.
pub struct Meter {
    started: Instant,
    files_done: AtomicU64,
    files_total: AtomicU64,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    /// Bytes of files that are not whole yet.
    in_flight: AtomicU64,
    /// All bytes that went over the network, with those that went twice.
    wire: AtomicU64,
    current: Mutex<String>,
    window: Mutex<VecDeque<(Instant, u64)>>,
    limit: Option<Limit>,
}

struct Limit {
    bytes_per_s: f64,
    free_at: Mutex<Instant>,
}

impl Meter {
    /// A meter that lets `limit` bytes a second pass; all without one.
    pub fn new(limit: Option<u64>) -> Self {
        let now = Instant::now();
        let limit = limit.map(|limit| Limit {
            #[expect(clippy::cast_precision_loss, reason = "a speed need not be exact")]
            bytes_per_s: limit.max(1) as f64,
            free_at: Mutex::new(now),
        });
        Self {
            started: now,
            files_done: AtomicU64::new(0),
            files_total: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            wire: AtomicU64::new(0),
            current: Mutex::new(String::new()),
            window: Mutex::new(VecDeque::new()),
            limit,
        }
    }

    /// Adds to what there is to do.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.files_total.fetch_add(files, Relaxed);
        self.bytes_total.fetch_add(bytes, Relaxed);
    }

    /// A file needs nothing more.
    pub fn finish(&self, bytes: u64) {
        self.files_done.fetch_add(1, Relaxed);
        self.bytes_done.fetch_add(bytes, Relaxed);
    }

    /// Waits until `bytes` may pass, and counts them.
    pub async fn pass(&self, bytes: u64) {
        if let Some(limit) = &self.limit {
            #[expect(clippy::cast_precision_loss, reason = "a speed need not be exact")]
            let takes = Duration::from_secs_f64(bytes as f64 / limit.bytes_per_s);
            let until = {
                let mut free_at = limit.free_at.lock().unwrap_or_else(PoisonError::into_inner);
                let from = (*free_at).max(Instant::now());
                *free_at = from + takes;
                from
            };
            tokio::time::sleep_until(until.into()).await;
        }
        self.wire.fetch_add(bytes, Relaxed);
    }

    /// A file on its way, which counts until the answer is dropped.
    pub fn flight(&self, name: &str) -> Flight<'_> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone_into(&mut current);
        Flight { meter: self, at: AtomicU64::new(0) }
    }

    /// All bytes that went over the network.
    pub fn wire_bytes(&self) -> u64 {
        self.wire.load(Relaxed)
    }

    /// Milliseconds since the run began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        let (now, wire) = (Instant::now(), self.wire_bytes());
        let bytes_per_s = {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            window.push_back((now, wire));
            while window.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
                window.pop_front();
            }
            let (since, before) = window.front().copied().unwrap_or((now, wire));
            let ms = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
            (wire.saturating_sub(before)).saturating_mul(1000) / ms.max(1)
        };
        let bytes_total = self.bytes_total.load(Relaxed);
        let bytes_done = self.bytes_done.load(Relaxed) + self.in_flight.load(Relaxed);
        let bytes_done = bytes_done.min(bytes_total);
        let left = bytes_total - bytes_done;
        Progress {
            files_done: self.files_done.load(Relaxed),
            files_total: self.files_total.load(Relaxed),
            bytes_done,
            bytes_total,
            bytes_per_s,
            seconds_left: (bytes_per_s > 0).then(|| left / bytes_per_s.max(1)),
            current: self.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// A file that is not whole yet.
pub struct Flight<'a> {
    meter: &'a Meter,
    at: AtomicU64,
}

impl Flight<'_> {
    /// Where in the file it is: forward after bytes, back after a cut.
    pub fn move_to(&self, offset: u64) {
        let before = self.at.swap(offset, Relaxed);
        if offset >= before {
            self.meter.in_flight.fetch_add(offset - before, Relaxed);
        } else {
            self.meter.in_flight.fetch_sub(before - offset, Relaxed);
        }
    }

    /// The next `bytes` are on their way.
    pub fn advance(&self, bytes: u64) {
        self.at.fetch_add(bytes, Relaxed);
        self.meter.in_flight.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.move_to(0);
    }
}

/// Reads `500K`, `2M`, `1.5MiB`: bytes a second. Decimal without an `i`. `None` if it is no speed.
pub fn read_rate(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches("/s").trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1024.0,
        "mi" => 1_048_576.0,
        "gi" => 1_073_741_824.0,
        _ => return None,
    };
    let rate = number.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in the range")]
    let bytes = (1.0..1e15).contains(&rate).then_some(rate as u64);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_as_people_write_them() {
        let cases = [("500", 500), ("500K", 500_000), ("2MB/s", 2_000_000), ("1.5MiB", 1_572_864)];
        for (text, bytes) in cases {
            assert_eq!(read_rate(text), Some(bytes), "{text}");
        }
        for text in ["", "fast", "-1", "0", "1.2.3", "5 lightyears"] {
            assert_eq!(read_rate(text), None, "{text}");
        }
    }

    #[test]
    fn a_dropped_flight_leaves_nothing_behind() {
        let meter = Meter::new(None);
        meter.expect(1, 100);
        let flight = meter.flight("a");
        flight.advance(60);
        flight.move_to(40);
        assert_eq!(meter.progress().bytes_done, 40);
        drop(flight);
        assert_eq!(meter.progress().bytes_done, 0);
        meter.finish(100);
        assert_eq!((meter.progress().bytes_done, meter.progress().files_done), (100, 1));
    }

    #[tokio::test]
    async fn a_limit_is_kept() {
        let meter = Meter::new(Some(1_000_000));
        let start = Instant::now();
        for _ in 0..4 {
            meter.pass(50_000).await;
        }
        // The first piece passes at once, each other waits for the one before.
        assert!(start.elapsed() >= Duration::from_millis(140), "{:?}", start.elapsed());
    }
}
