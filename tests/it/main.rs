//! Black-box tests of the built binaries: one program.

mod crash;
mod faults;
mod foreign;
mod stand;
mod sync;
mod tokens;
mod weaknesses;
mod wire;
