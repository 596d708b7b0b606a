//! Black-box tests of the built binaries: one program.

mod crash;
mod stand;
mod sync;
mod weaknesses;
mod wire;
