//! The vectors of `protocol/vectors` against this crate, and damaged repositories against its formats.
//!
//! Run once over each library: `--features sodium` and `--features pure-rust`. Without either there is no format to
//! test, and this program is empty.
#![cfg(any(feature = "sodium", feature = "pure-rust"))]

mod cases;
mod damage;
mod make;
mod repository;
mod third;
mod vectors;
