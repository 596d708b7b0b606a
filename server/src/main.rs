//! The `photosync-server` binary.
fn main() {}
