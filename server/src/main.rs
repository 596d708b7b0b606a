//! The `photosync-server` binary.

mod cli;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(cli::run().code())
}
