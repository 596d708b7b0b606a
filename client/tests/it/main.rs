//! The client against a server in memory, and (see `real`) against the real one.

mod backup;
mod fake;
mod program;
mod restore;
mod stand;
mod trust;
