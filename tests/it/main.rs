//! Black-box tests of the built binaries, and the guards of the source: one program.

mod architecture;
mod backups;
mod crash;
mod documented;
mod faults;
mod foreign;
mod model;
#[cfg(target_os = "linux")]
mod service;
mod stand;
mod sync;
mod tokens;
#[cfg(target_os = "linux")]
mod updates;
mod upgrade;
mod weaknesses;
mod wire;
