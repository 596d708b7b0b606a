//! Limits on guessing: a fixed window per client address and route, and a growing delay per account. Memory is
//! bounded: the oldest entry makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

/// Entries kept per limit. At 100 bytes each this is about 2 MiB in the worst case.
const MAX_ENTRIES: usize = 16_384;

/// What a window says about one call, for the headers old clients read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Calls per window.
    pub limit: u32,
    /// Calls left in this window.
    pub remaining: u32,
    /// End of this window, Unix milliseconds.
    pub reset_at_ms: i64,
    /// Whether this call may go on.
    pub allowed: bool,
}

/// Counts calls in fixed windows, by key.
pub struct Window<K> {
    limit: u32,
    window_ms: i64,
    state: Mutex<State<K>>,
}

struct State<K> {
    counts: HashMap<K, (u32, i64)>,
    order: VecDeque<(K, i64)>,
}

impl<K: Eq + Hash + Clone> Window<K> {
    /// At most `limit` calls per key in `window_ms`.
    pub fn new(limit: u32, window_ms: i64) -> Self {
        let state = State { counts: HashMap::new(), order: VecDeque::new() };
        Self { limit, window_ms, state: Mutex::new(state) }
    }

    /// Counts one call.
    pub fn count(&self, key: K, now_ms: i64) -> Allowance {
        let mut state = lock(&self.state);
        let reset_at_ms = match state.counts.get(&key) {
            Some(&(_, reset_at_ms)) if reset_at_ms > now_ms => reset_at_ms,
            _ => {
                let reset_at_ms = now_ms + self.window_ms;
                state.forget(now_ms);
                state.counts.insert(key.clone(), (0, reset_at_ms));
                state.order.push_back((key.clone(), reset_at_ms));
                reset_at_ms
            }
        };
        let used = state.counts.get_mut(&key).map_or(1, |(used, _)| {
            *used = used.saturating_add(1);
            *used
        });
        Allowance {
            limit: self.limit,
            remaining: self.limit.saturating_sub(used),
            reset_at_ms,
            allowed: used <= self.limit,
        }
    }

    /// How many calls `key` has made in its current window.
    pub fn used(&self, key: &K, now_ms: i64) -> u32 {
        match lock(&self.state).counts.get(key) {
            Some(&(used, reset_at_ms)) if reset_at_ms > now_ms => used,
            _ => 0,
        }
    }

    /// Forgets `key`, as after a right password.
    pub fn forgive(&self, key: &K) {
        lock(&self.state).counts.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.state).counts.len()
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    /// Drops windows that are over, and the oldest one if there are still too many.
    fn forget(&mut self, now_ms: i64) {
        while let Some((key, reset_at_ms)) = self.order.front() {
            if *reset_at_ms > now_ms && self.order.len() < MAX_ENTRIES {
                break;
            }
            // A key may have begun a newer window since; that one has its own entry in the order.
            if self.counts.get(key).is_some_and(|(_, current)| current == reset_at_ms) {
                self.counts.remove(key);
            }
            self.order.pop_front();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// What counts as one client: an IPv4 address, or a /64 of IPv6 (one customer's network).
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Delay before a wrong password is answered, after `failures` in a row: none up to 10, then up to 2 s.
pub fn failure_delay(failures: u32) -> Duration {
    let over = failures.saturating_sub(10);
    Duration::from_millis(u64::from(over.min(8)) * 250)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_26th_call_is_refused_and_a_new_window_begins_later() {
        let window = Window::new(25, 900_000);
        for call in 1..=25 {
            let allowance = window.count("a", 1000);
            assert!(allowance.allowed);
            assert_eq!(allowance.remaining, 25 - call);
        }
        assert!(!window.count("a", 1000).allowed);
        assert!(window.count("b", 1000).allowed);
        assert!(window.count("a", 901_000).allowed);
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory() {
        let window = Window::new(1, 1_000_000);
        for key in 0..50_000_u32 {
            window.count(key, 0);
        }
        assert!(window.len() <= MAX_ENTRIES);
    }

    #[test]
    fn ipv6_clients_are_counted_by_network() {
        let key = |text: &str| client_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    }

    #[test]
    fn the_delay_grows_and_stops_at_two_seconds() {
        assert_eq!(failure_delay(10), Duration::ZERO);
        assert_eq!(failure_delay(12), Duration::from_millis(500));
        assert_eq!(failure_delay(1000), Duration::from_secs(2));
    }
}
