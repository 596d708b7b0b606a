//! Black-box tests of the built binaries: one program.

mod crash;
mod faults;
mod foreign;
mod stand;
mod weaknesses;
mod wire;
