//! A build of the web app that is new is taken into the program: the crate that embeds it does not watch the folder. So is
//! the table of places beside it; without the app there is none.

use std::path::PathBuf;
use std::{env, fs, io};

const PLACES: &str = "../web/build/places.bin";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=../web/build");
    println!("cargo::rerun-if-changed=build.rs");
    let to = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("places.bin");
    let table = match fs::read(PLACES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        found => found?,
    };
    fs::write(to, table)
}
