//! Side-by-side measurements: `photosync-bench lan`, `sync`, `relay`, `tray`, `upkeep`,
//! `library` and `media`.
//!
//! Started by `scripts/bench`. It prints figures and ratios taken in one run and never fails because
//! of a figure: exit 0 when the measurement could be made, 1 when it could not, 64 for wrong usage.

mod contestant;
mod durable;
mod goals;
mod http;
mod lan;
mod library;
mod listing;
mod load;
mod machine;
mod media;
mod options;
mod payload;
mod photosync;
mod process;
mod relay;
mod rivals;
mod scrubbing;
mod seed;
mod spread;
mod sync;
mod table;
mod tray;
mod upkeep;
mod uploads;
mod web;

use std::process::ExitCode;

use options::{Bench, UsageError};

/// Anything that stops a measurement; the text names what was attempted on what.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let bench = match options::parse(std::env::args().skip(1)) {
        Ok(bench) => bench,
        Err(UsageError::Help) => {
            print!("{}", options::help());
            return ExitCode::SUCCESS;
        }
        Err(UsageError::Wrong(reason)) => {
            eprintln!("photosync-bench: {reason}\n\n{}", options::help());
            return ExitCode::from(64);
        }
    };
    let outcome = match bench {
        Bench::Lan(options) => lan::run(&options),
        Bench::Sync(options) => sync::run(&options),
        Bench::Relay(options) => relay::run(&options),
        Bench::Tray(options) => tray::run(&options),
        Bench::Upkeep(options) => scrubbing::run(&options),
        Bench::Library(options) => library::run(&options),
        Bench::Media(options) => media::run(&options),
        Bench::Web(options) => web::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("photosync-bench: {}", with_causes(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The error and every cause below it on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        line.push_str(": ");
        line.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    line
}
