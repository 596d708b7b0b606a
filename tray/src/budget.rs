//! How often a server that ends by itself is started again.

use crate::model::FIRST_PAUSE_MS;

/// Starts within [`WINDOW_MS`] after which the server stays stopped.
pub const MOST_STARTS: usize = 4;
/// The window: 60 s.
pub const WINDOW_MS: u64 = 60_000;

/// When the server was started lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    starts_ms: Vec<u64>,
}

impl Budget {
    /// Notes a start.
    pub fn note(&mut self, now_ms: u64) {
        self.starts_ms.retain(|start| now_ms.saturating_sub(*start) < WINDOW_MS);
        self.starts_ms.push(now_ms);
    }

    /// The pause before another start, in milliseconds, each twice as long as the one before; `None` if there were
    /// [`MOST_STARTS`] within [`WINDOW_MS`].
    pub fn pause_ms(&self, now_ms: u64) -> Option<u64> {
        let lately = self
            .starts_ms
            .iter()
            .filter(|start| now_ms.saturating_sub(**start) < WINDOW_MS)
            .count();
        (lately < MOST_STARTS).then(|| FIRST_PAUSE_MS << lately.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_starts_in_a_minute_are_enough_and_pauses_double() {
        let mut budget = Budget::default();
        let mut pauses = Vec::new();
        for start in 0..4 {
            budget.note(start * 1_000);
            pauses.push(budget.pause_ms(start * 1_000 + 10));
        }
        assert_eq!(pauses, [Some(500), Some(1_000), Some(2_000), None]);
        // The first is a minute ago: there is room for one again.
        assert!(budget.pause_ms(60_000).is_some());
    }

    #[test]
    fn a_server_that_crashes_once_a_day_is_always_started_again() {
        let mut budget = Budget::default();
        for day in 0..100 {
            budget.note(day * 86_400_000);
            assert_eq!(budget.pause_ms(day * 86_400_000 + 5), Some(FIRST_PAUSE_MS));
        }
        assert_eq!(budget.starts_ms.len(), 1);
    }
}
