//! Photos of the PhotoSync server that came before: where its data may lie, and the program that copies them.
//!
//! The old data is only read: `photosync-server import-legacy` copies, and may be run again.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use serde::Deserialize;

use crate::model::{Event, ImportEnd};
use crate::server_process::Program;
use crate::task::Task;

/// Folders of the old programs, below the home folder and below that of settings.
const BELOW_HOME: [&str; 2] = ["PhotoLynk/server", "PhotoSync/server"];
const BELOW_SETTINGS: [&str; 3] =
    ["photolynk-server-tray", "photosync-server-tray", "PhotoLynk Desktop"];

/// Ends a copy at once: what is here by then is whole and stays, and the next one goes on.
///
/// # Errors
/// It runs and cannot be ended.
pub fn stop(copying: &Task) -> io::Result<()> {
    copying.stop(Child::kill)
}

/// The first folder with old data other than `data_dir`. `variable` answers an environment variable.
pub fn find(data_dir: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    let settings = if cfg!(windows) {
        set("APPDATA")
    } else if cfg!(target_os = "macos") {
        home.as_ref().map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")))
    };
    let below = |folder: Option<PathBuf>, names: &'static [&'static str]| {
        names.iter().filter_map(move |name| Some(folder.as_ref()?.join(name)))
    };
    below(home, &BELOW_HOME)
        .chain(below(settings, &BELOW_SETTINGS))
        .find(|folder| is_old_data(folder) && folder != data_dir)
}

/// Whether that is what the import takes: a database and originals.
fn is_old_data(folder: &Path) -> bool {
    let has_database = ["backup.db", "db/backup.db"].iter().any(|name| folder.join(name).is_file());
    let has_originals = ["uploads", "media"].iter().any(|name| folder.join(name).is_dir());
    has_database && has_originals
}

/// What the program says of its progress, among other lines of its log.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: String,
    done: Option<u64>,
    total: Option<u64>,
}

/// Copies everything, with the process in `copying` meanwhile, and tells how far it is; at its end, how it ended. Waits for that. No server may run meanwhile.
///
/// # Errors
/// The program cannot be run, or not heard: then it was ended.
pub fn import(
    program: &Program,
    folder: &Path,
    copying: &Task,
    mut said: impl FnMut(Event),
) -> io::Result<()> {
    let mut command = crate::quiet::command(&program.binary);
    command.arg("import-legacy").arg(folder).arg("--data").arg(&program.data_dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C in the terminal of the tray is for the tray; what is copied by then is whole either way.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    // Before the program: it is not left alone because of a log.
    let mut log = program.log.file()?;
    let mut child = command.spawn()?;
    let (errors, output) = (child.stderr.take(), child.stdout.take());
    let heard =
        copying.hold(child, Child::kill).and_then(|()| hear(errors, output, &mut log, &mut said));
    let (child, _) = copying.take();
    let (report, words) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            // Nobody would know of it otherwise, while it holds the data.
            if let Some(mut child) = child {
                let _ = child.kill();
                let _ = child.wait();
            }
            return Err(error);
        }
    };
    report.lines().for_each(|line| program.log.note(&format!("import: {line}")));
    let code = child.and_then(|mut child| child.wait().ok()?.code());
    said(Event::ImportEnded(ImportEnd { code, report, words }));
    Ok(())
}

/// Hears the program to its end: its report and its last words. Names of files in them need not be Unicode.
fn hear(
    errors: Option<ChildStderr>,
    output: Option<ChildStdout>,
    log: &mut impl Write,
    said: &mut impl FnMut(Event),
) -> io::Result<(String, String)> {
    let mut words = String::new();
    let mut bytes = Vec::new();
    let mut errors = errors.map(BufReader::new);
    while let Some(errors) = &mut errors {
        bytes.clear();
        if errors.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        // What cannot be noted is no reason to stop a copy.
        let _ = writeln!(log, "{line}");
        match serde_json::from_str(line) {
            Ok(Line { done: Some(done), total: Some(total), .. }) => {
                said(Event::ImportSaid { done_files: done, total_files: total });
            }
            Ok(Line { message, .. }) if !message.is_empty() => words = message,
            Ok(_) => {}
            Err(_) if !line.trim().is_empty() => words = line.trim().to_owned(),
            Err(_) => {}
        }
    }
    // It says little there, after everything else: no pipe fills up.
    bytes.clear();
    if let Some(mut output) = output {
        output.read_to_end(&mut bytes)?;
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), words))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::log::Log;

    #[test]
    fn a_copy_that_names_files_in_no_unicode_is_heard_to_its_end() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("server");
        let script = "#!/bin/sh\nprintf '\\377.jpg was left\\n' >&2\nprintf 'last\\n' >&2\nprintf 'kept \\377\\n'\nexit 3\n";
        std::fs::write(&binary, script).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
        let log = Log::open(dir.path()).unwrap();
        let program = Program { binary, data_dir: dir.path().to_owned(), log };
        let (task, mut events) = (Task::default(), Vec::new());
        import(&program, dir.path(), &task, |event| events.push(event)).unwrap();
        let end =
            ImportEnd { code: Some(3), report: "kept \u{fffd}\n".into(), words: "last".into() };
        assert_eq!(events, [Event::ImportEnded(end)]);
        let log = std::fs::read_to_string(program.log.path()).unwrap();
        assert!(log.contains("\u{fffd}.jpg was left\nlast\n"), "{log}");
    }

    #[test]
    fn old_data_is_a_database_with_originals_and_never_the_data_of_this_server() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let variable = |name: &str| (name == "HOME").then(|| home.as_os_str().to_owned());
        let find_from = |data_dir: &str| find(&home.join(data_dir), variable);
        let old = home.join(".config/photolynk-server-tray");
        std::fs::create_dir_all(old.join("uploads")).unwrap();
        assert_eq!(find_from("data"), None, "a folder of originals alone may be anybody's");
        std::fs::write(old.join("backup.db"), "").unwrap();
        assert_eq!(find_from("data"), Some(old));
        assert_eq!(find_from(".config/photolynk-server-tray"), None);
        let older = home.join("PhotoLynk/server");
        std::fs::create_dir_all(older.join("media")).unwrap();
        std::fs::create_dir_all(older.join("db")).unwrap();
        std::fs::write(older.join("db/backup.db"), "").unwrap();
        assert_eq!(find_from("data"), Some(older));
    }
}
