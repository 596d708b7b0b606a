//! Runs `photosync-server` for updates: it looks, installs, and decides before a start whether a version stays. Nothing of it
//! is decided here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use photosync_protocol::control::UpdateAnswer;

use crate::model::UpdateEnd;
use crate::quiet;
use crate::server_process::Program;

/// Looks for a newer version. Waits for the network.
pub fn check(program: &Program) -> UpdateEnd {
    let end = run(program, &["check-update", "--json"]);
    match end {
        UpdateEnd { is_done: true, words, .. } => match serde_json::from_str(&words) {
            Ok(UpdateAnswer { newer_version, text }) => {
                UpdateEnd { is_done: true, version: newer_version, words: text }
            }
            Err(error) => UpdateEnd { words: error.to_string(), ..UpdateEnd::default() },
        },
        failed => failed,
    }
}

/// Installs a version. Waits for the network and the disk.
pub fn install(program: &Program, version: &str) -> UpdateEnd {
    let end = run(program, &["update", "--to", version]);
    UpdateEnd { version: Some(version.to_owned()), ..end }
}

/// Before a start: the program that was replaced, if there is one, looks whether the new one had its try, and comes back.
pub fn settle(program: &Program) {
    let kept = previous(&program.binary);
    if !kept.exists() {
        return;
    }
    let mut command = quiet::command(&kept);
    command.args(["update", "--settle", "--data"]).arg(&program.data_dir);
    match output(&mut command) {
        Ok(output) => note(program, &output),
        Err(error) => program.log.note(&format!("{}: {error}", kept.display())),
    }
}

/// The program that `binary` has replaced.
fn previous(binary: &Path) -> PathBuf {
    let suffix = std::env::consts::EXE_SUFFIX;
    let name =
        binary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(suffix).unwrap_or(&name);
    binary.with_file_name(format!("{stem}.previous{suffix}"))
}

fn run(program: &Program, words: &[&str]) -> UpdateEnd {
    let mut command = quiet::command(&program.binary);
    command.args(words).arg("--data").arg(&program.data_dir);
    let failed = |words: String| UpdateEnd { words, ..UpdateEnd::default() };
    match output(&mut command) {
        Ok(output) => {
            note(program, &output);
            let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            match output.status.success() {
                true => UpdateEnd { is_done: true, version: None, words: of(&output.stdout) },
                false => failed(of(&output.stderr).lines().last().unwrap_or_default().to_owned()),
            }
        }
        Err(error) => failed(format!("{} could not be started: {error}", program.binary.display())),
    }
}

fn output(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output()
}

/// What it said, in the log.
fn note(program: &Program, output: &Output) {
    for line in [&output.stdout, &output.stderr] {
        let line = String::from_utf8_lossy(line);
        if !line.trim().is_empty() {
            program.log.note(line.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_program_lies_beside_the_server_under_its_own_name() {
        let server =
            Path::new("/p/bin").join(format!("photosync-server{}", std::env::consts::EXE_SUFFIX));
        let wanted = format!("photosync-server.previous{}", std::env::consts::EXE_SUFFIX);
        assert_eq!(previous(&server), Path::new("/p/bin").join(wanted));
    }
}
