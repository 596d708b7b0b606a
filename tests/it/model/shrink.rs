//! Makes a failing sequence short.

use std::time::{Duration, Instant};

/// Longest time spent on it: a test that fails must still come to an end.
const SHRINK_WITHIN: Duration = Duration::from_secs(240);

/// Leaves out ever smaller parts for as long as what is left still fails (delta debugging). In the end no single step
/// can be left out, unless the time was up.
pub(super) fn shrunk<T: Clone>(steps: &[T], fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    shrunk_within(steps, SHRINK_WITHIN, fails)
}

fn shrunk_within<T: Clone>(
    steps: &[T],
    within: Duration,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let end = Instant::now() + within;
    let mut left = steps.to_vec();
    let mut part = left.len().div_ceil(2);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < left.len() && Instant::now() < end {
            let to = left.len().min(from + part);
            let without = [&left[..from], &left[to..]].concat();
            match fails(&without) {
                true => (left, shorter) = (without, true),
                false => from = to,
            }
        }
        match (part, shorter) {
            _ if Instant::now() >= end => return left,
            (0 | 1, false) => return left,
            (0 | 1, true) => {}
            _ => part = part.div_ceil(2).max(1),
        }
    }
}

#[test]
fn what_is_left_fails_and_nothing_of_it_can_be_left_out() {
    let steps: Vec<u32> = (0..500).collect();
    let fails = |some: &[u32]| [17, 230, 231, 499].iter().all(|needed| some.contains(needed));
    assert_eq!(shrunk(&steps, fails), [17, 230, 231, 499]);
    // Two of a kind are needed, no matter which.
    let odd = |some: &[u32]| some.iter().filter(|step| **step % 2 == 1).count() >= 2;
    assert_eq!(shrunk(&steps, odd).len(), 2);
    assert_eq!(shrunk(&[1], |_| true), Vec::<u32>::new());
}
