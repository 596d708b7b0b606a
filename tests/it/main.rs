//! Black-box tests of the built binaries: one program.

mod stand;
mod weaknesses;
mod wire;
