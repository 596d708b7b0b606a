//! The server is killed, over and over, while clients upload.

use super::torture::{Plan, random_seed, run};

#[test]
fn two_hundred_kills_lose_nothing_that_was_answered() {
    let plan = Plan { kills: 220, kills_per_library: 110, seed: random_seed() };
    let summary = run(&plan, &mut |_| {}).unwrap_or_else(|failure| panic!("{failure}"));
    println!("crash: {summary}");
    assert!(summary.kills_at_points >= 60, "too few kills at named points: {summary}");
    assert!(summary.acknowledged >= 200, "too little was uploaded to prove anything: {summary}");
}
