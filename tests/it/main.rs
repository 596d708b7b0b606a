//! Black-box tests of the built binaries, and the guards of the source: one program.

mod architecture;
mod crash;
mod stand;
mod sync;
mod weaknesses;
mod wire;
