//! The server as a service, and how it gets onto a machine and off it again.

mod booted;
mod cut_off;
mod install;
mod mac;
mod notify;
mod owner;
mod packages;
mod recipes;
mod sockets;
mod unit;

pub(crate) use booted::boot_and_run;
pub(crate) use install::package_of;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Signs releases for `scripts/package`, which would build it otherwise.
pub(crate) const SIGNER: &str = env!("CARGO_BIN_EXE_photosync-release");

/// The top folder of the project.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the project's folder")
}

/// Runs a program to its end.
fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
    let program = program.as_ref();
    let outcome = Command::new(program).args(arguments).current_dir(project()).output();
    outcome.unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()))
}

/// Standard output and standard error, for messages and comparisons.
fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
