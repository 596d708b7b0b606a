//! `photosync-torture [KILLS] [SEED]`: kills the server so often (10,000 times) while clients upload, and holds it
//! to every answer it gave. Exit code 1 and the seed when it breaks a promise.

use std::process::ExitCode;

#[path = "../../it/crash/torture/mod.rs"]
mod torture;

use torture::{Plan, random_seed, run};

/// A progress line after so many kills.
const LINE_EVERY: u64 = 250;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 2) else {
        eprintln!("photosync-torture: two numbers at most: KILLS (10000) and SEED (random)");
        return ExitCode::from(2);
    };
    let kills = numbers.first().copied().unwrap_or(10_000);
    let seed = numbers.get(1).copied().unwrap_or_else(random_seed);
    println!("{kills} kills with seed {seed}");
    let plan = Plan { kills, kills_per_library: LINE_EVERY, seed };
    let outcome = run(&plan, &mut |summary| {
        if summary.kills % LINE_EVERY == 0 {
            println!("{summary}");
        }
    });
    match outcome {
        Ok(summary) => {
            println!("Nothing was lost: {summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("photosync-torture: {failure}");
            ExitCode::FAILURE
        }
    }
}
