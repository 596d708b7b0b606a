//! How long to wait before the next try.

use std::time::Duration;

/// Longest pause: 30 s.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that grow from half a second to half a minute, each shortened by up to a half at random, so that devices
/// that lost the same server do not come back at the same instant.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    tries: u32,
}

impl Pauses {
    /// How many pauses were given since the start or the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The next pause; never shorter than what the server asked for.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let grown = Duration::from_millis(500 << self.tries.min(6)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        let share = 0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX);
        grown.mul_f64(share).max(asked.unwrap_or_default())
    }

    /// Something worked: begin again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_respect_what_was_asked() {
        let mut pauses = Pauses::default();
        let given: Vec<Duration> = (0..12).map(|_| pauses.next(None)).collect();
        assert!(given[0] <= Duration::from_millis(500) && given[0] >= Duration::from_millis(250));
        assert!(given[11] >= Duration::from_secs(15) && given[11] <= LONGEST);
        assert!(pauses.next(Some(Duration::from_secs(90))) >= Duration::from_secs(90));
        pauses.reset();
        assert!(pauses.next(None) <= Duration::from_millis(500));
    }
}
