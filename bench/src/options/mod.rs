//! Reads the command line once into plain structs; nothing below `main` reads arguments.
//!
//! Each bench has its flags, parts and defaults in a file of its own; here is what they share.

mod lan;
mod library;
mod media;
mod relay;
mod sync;
mod tray;
mod upkeep;
mod web;

pub use lan::{LanOptions, Part};
pub use library::LibraryOptions;
pub use media::MediaOptions;
pub use relay::{RelayOptions, RelayPart};
pub use sync::{SyncOptions, SyncPart};
pub use tray::TrayOptions;
pub use upkeep::UpkeepOptions;
pub use web::WebOptions;

/// One MiB in bytes.
pub const MIB: u64 = 1024 * 1024;

/// Which bench to run.
#[derive(Debug)]
pub enum Bench {
    /// Uploads, listings, memory and start-up beside other servers on loopback.
    Lan(LanOptions),
    /// Uploads by tus, and backups on which nothing changed.
    Sync(SyncOptions),
    /// Sealing, and sealed backups.
    Relay(RelayOptions),
    /// The icon of a desktop.
    Tray(TrayOptions),
    /// Reading everything back, and backups of the server.
    Upkeep(UpkeepOptions),
    /// The library that people look at, of many assets.
    Library(LibraryOptions),
    /// Small pictures of large ones.
    Media(MediaOptions),
    /// The web app on that library.
    Web(WebOptions),
}

/// Why no bench was chosen.
#[derive(Debug)]
pub enum UsageError {
    /// Help was asked for.
    Help,
    /// The arguments make no sense; the text says which.
    Wrong(String),
}

/// Text of `--help`.
pub fn help() -> String {
    [
        lan::HELP,
        sync::HELP,
        relay::HELP,
        tray::HELP,
        upkeep::HELP,
        library::HELP,
        media::HELP,
        web::HELP,
    ]
    .join("\n")
}

/// Parses arguments without the program name.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Bench, UsageError> {
    let arguments: Vec<String> = arguments.collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Err(UsageError::Help);
    }
    let mut arguments = arguments.into_iter();
    match arguments.next().as_deref() {
        Some("lan") => lan::parse(arguments.collect()).map(Bench::Lan),
        Some("sync") => sync::parse(arguments.collect()).map(Bench::Sync),
        Some("relay") => relay::parse(arguments.collect()).map(Bench::Relay),
        Some("tray") => tray::parse(arguments.collect()).map(Bench::Tray),
        Some("upkeep") => upkeep::parse(arguments.collect()).map(Bench::Upkeep),
        Some("library") => library::parse(arguments.collect()).map(Bench::Library),
        Some("media") => media::parse(arguments.collect()).map(Bench::Media),
        Some("web") => web::parse(arguments.collect()).map(Bench::Web),
        Some(other) => Err(UsageError::Wrong(format!("there is no bench named {other}"))),
        None => Err(UsageError::Wrong(
            "name a bench: lan, sync, relay, tray, upkeep, library, media or web".into(),
        )),
    }
}

/// Takes a flag without a value out, by any of its names; answers whether it was there.
fn take_switch(arguments: &mut Vec<String>, names: &[&str]) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| !names.contains(&argument.as_str()));
    arguments.len() < before
}

/// Hands every flag with its value to `set`.
fn for_each_flag(
    arguments: Vec<String>,
    mut set: impl FnMut(&str, String) -> Result<(), UsageError>,
) -> Result<(), UsageError> {
    let mut arguments = arguments.into_iter();
    while let Some(flag) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| UsageError::Wrong(format!("{flag} is unknown or wants a value")))?;
        set(&flag, value)?;
    }
    Ok(())
}

fn parts<P: Copy>(known: &[(&str, P)], value: &str) -> Result<Vec<P>, UsageError> {
    value
        .split(',')
        .map(|name| {
            known
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, part)| *part)
                .ok_or_else(|| UsageError::Wrong(format!("there is no part named {name}")))
        })
        .collect()
}

fn count(flag: &str, value: &str) -> Result<u64, UsageError> {
    value.parse().map_err(|_| UsageError::Wrong(format!("{flag} wants a number, not {value}")))
}

fn size(flag: &str, value: &str) -> Result<u64, UsageError> {
    let units = [("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", 1024), ("MB", 1_000_000), ("", 1)];
    for (unit, factor) in units {
        if let Some(number) = value.strip_suffix(unit) {
            return count(flag, number)?
                .checked_mul(factor)
                .ok_or_else(|| UsageError::Wrong(format!("{flag}: {value} is too large")));
        }
    }
    Err(UsageError::Wrong(format!("{flag} wants a size, not {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_chooses_the_bench_and_its_flags() {
        let parsed = |line: &str| parse(line.split_whitespace().map(str::to_owned));
        assert!(matches!(parsed("lan --assets 3"), Ok(Bench::Lan(_))));
        assert!(matches!(parsed("sync --known 3"), Ok(Bench::Sync(_))));
        assert!(matches!(parsed("relay --pictures 3"), Ok(Bench::Relay(_))));
        assert!(matches!(parsed("relay --pictures 3 --help"), Err(UsageError::Help)));
        for line in ["", "sun", "lan --known 3", "--quick lan"] {
            assert!(matches!(parsed(line), Err(UsageError::Wrong(_))), "{line}");
        }
    }

    #[test]
    fn help_names_every_bench_once() {
        for name in ["lan", "sync", "relay", "tray", "upkeep", "library", "media", "web"] {
            let heading = format!("photosync-bench {name} [flags]\n");
            assert_eq!(help().matches(&heading).count(), 1, "{name}");
        }
    }
}
