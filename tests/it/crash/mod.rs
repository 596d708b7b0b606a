//! What a crash, a power cut, a full disk and a failing disk leave behind: never less than was promised.
//!
//! Each module names what it measured on one line. [`torture`] is also the harness of `scripts/torture`.

mod disk;
mod order;
mod pieces;
mod pieces_killed;
mod power_cut;
mod sealed;
mod send;
mod sigkill;
pub mod torture;
