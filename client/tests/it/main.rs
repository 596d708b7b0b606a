//! The client against a server in memory, and (see `real`) against the real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backup;
mod both;
mod care;
mod computers;
mod copies;
mod fake;
mod places;
mod program;
mod real;
mod relay;
mod relay_index;
mod relay_keys;
mod relay_listing;
mod relay_runs;
#[cfg(target_os = "linux")]
mod relay_unreadable;
mod restore;
mod sealed;
mod stand;
mod together;
mod trust;
mod version1;
