//! Black-box tests of the built binaries: one program.

mod crash;
mod stand;
mod weaknesses;
mod wire;
