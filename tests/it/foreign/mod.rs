//! Programs that were not written here, run against the built server: upload clients, a second tus server, and
//! browsers of the local network. They live in `tests/foreign` with exact versions and are installed by
//! `scripts/need-foreign`.
//!
//! Each script prints one JSON object per line; what it means is judged here. Nothing is skipped: a program that is
//! not there fails the test with the line to run.

mod clients;
mod cuts;
mod differential;
mod program;
mod reader;
mod scripts;

pub(crate) use program::{Program, TusServer, node};
