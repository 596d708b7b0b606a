//! The server with the points of `fault` armed by `PHOTOSYNC_FAULT`, for crash tests only. A program of its own, so
//! that building it replaces neither the server nor anything the server is built from.

#[path = "../cli/mod.rs"]
mod cli;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(cli::run().code())
}
