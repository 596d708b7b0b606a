//! The `photosync` program: reads the command line, runs one command, ends with its exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
