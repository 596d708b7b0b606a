//! Black-box tests of the built binaries: one program.

mod crash;
