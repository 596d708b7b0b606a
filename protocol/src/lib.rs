//! What both ends must agree on. No I/O, no clock, no async.
//!
//! Read in this order: [`account`] (who owns which folder), [`names`] (what a file is called, listed and on
//! disk), [`v1`] (the wire of the existing phone and desktop clients), [`error`] (the one error body),
//! [`v2`] (the native wire: sessions, tus, claims, what is missing, receipts), [`process`] (the ready line and the exit codes), [`config_names`] (every setting), [`control`] (what a tray asks of the server beside it), [`findings`] (what the doctors say).
//!
//! With the feature `sodium` or `pure-rust` also `format` (the encrypted formats of the relay) and `crypto` (the library behind them).

pub mod account;
pub mod calendar;
pub mod config_names;
pub mod control;
#[cfg(any(feature = "sodium", feature = "pure-rust"))]
pub mod crypto;
pub mod digest;
pub mod error;
pub mod findings;
#[cfg(any(feature = "sodium", feature = "pure-rust"))]
pub mod format;
pub mod names;
pub mod pairs;
pub mod process;
pub mod sidecars;
pub mod v1;
pub mod v2;
