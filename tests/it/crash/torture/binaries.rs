//! The programs under test, built once per run of the tests.
//!
//! The server with fault points and the power-cut recorder are built by nobody else, so an old one could be lying
//! around; asking cargo costs a fraction of a second when they are current. `scripts/test` has built them before, together
//! with everything else; another build of them alone would be one with other features.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set where all that the tests run was built before them: nothing is built then.
const BUILT_VARIABLE: &str = "PHOTOSYNC_TESTS_BUILT";

/// The server with fault points. Without `PHOTOSYNC_FAULT` in its environment it is the server.
pub fn fault_server() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        const NAME: &str = "photosync-server-faults";
        let package = ["-p", "photosync-server", "--features", "fault-points", "--bin", NAME];
        build(&package).map(|folder| folder.join(NAME))
    });
    built.clone()
}

/// Runs `cargo build` into the folder and profile of the running program, and returns that folder.
pub fn build(what: &[&str]) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    // target/<profile>/program, or target/<profile>/deps/program for tests.
    let mut folder = program.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    if std::env::var_os(BUILT_VARIABLE).is_some() {
        return Ok(folder.to_owned());
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap_or(folder))
        .args(what)
        .output()
        .map_err(|error| format!("start cargo: {error}"))?;
    match output.status.success() {
        true => Ok(folder.to_owned()),
        false => Err(format!(
            "could not build {}:\n{}",
            what.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
