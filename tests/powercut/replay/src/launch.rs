//! Starts a program under the recorder.
//!
//! Used by tests. The rule: the log lies outside the recorded folder and did not exist before.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable: the folder whose operations are recorded.
pub const ROOT_VARIABLE: &str = "POWERCUT_ROOT";

/// Environment variable: the log file to be created.
pub const LOG_VARIABLE: &str = "POWERCUT_LOG";

/// Environment variable: where the recorder's shared library is, if not in the target folder.
pub const LIBRARY_VARIABLE: &str = "PHOTOSYNC_POWERCUT_LIBRARY";

/// File name of the recorder's shared library.
const LIBRARY: &str = "libphotosync_powercut.so";

/// The newest recorder library in the folders where cargo puts it: the folder of the running
/// program (`target/debug/deps` for a test) and the one above it.
///
/// Says which command builds it when there is none.
pub fn find_recorder_library() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os(LIBRARY_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let program = std::env::current_exe()?;
    let folders = program.ancestors().skip(1).take(2);
    let built = |folder: &Path| {
        let path = folder.join(LIBRARY);
        let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
        Some((modified, path))
    };
    let newest = folders.filter_map(built).max();
    newest.map(|(_, path)| path).ok_or_else(|| {
        let what = format!(
            "{LIBRARY} is not beside {}: run `cargo build -p photosync-powercut` in the same \
             profile, or set {LIBRARY_VARIABLE}",
            program.display()
        );
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

/// Makes `command` record what it does below `root` into `log`, which must not exist yet and must
/// not lie below `root`.
///
/// The command must *be* the program under test, not a shell that starts it: the recorder follows
/// one process and takes itself out of the environment of its children.
pub fn record(command: &mut Command, root: &Path, log: &Path) -> io::Result<()> {
    let library = find_recorder_library()?;
    command.env("LD_PRELOAD", library).env(ROOT_VARIABLE, root).env(LOG_VARIABLE, log);
    Ok(())
}
