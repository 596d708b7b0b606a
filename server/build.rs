//! A build of the web app that is new is taken into the program: the crate that embeds it does not watch the folder.

fn main() {
    println!("cargo::rerun-if-changed=../web/build");
    println!("cargo::rerun-if-changed=build.rs");
}
