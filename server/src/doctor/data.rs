//! The data folder and the secrets in it: there, ours, and nobody else's to read.

use std::io;
use std::path::Path;

use photosync_protocol::findings::Finding;

use super::Server;
use crate::config::Config;

const CHECK: &str = "data";

/// Whether anything in the folder can be looked at.
pub(super) enum Folder {
    /// It can.
    Usable(Finding),
    /// It cannot, or there is nothing.
    Closed(Finding),
}

/// Quotes a path for a shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

pub(super) fn folder(config: &Config, server: Server) -> Folder {
    let dir = &config.data_dir;
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let seen = format!("{shown} is no folder");
            let fix = "move that file away, or name another folder with --data";
            return Folder::Closed(Finding::broken(CHECK, seen, fix));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seen = format!("there is nothing in {shown} yet");
            let fix = "`photosync-server serve` begins there; if your photos lie elsewhere, name that folder with --data";
            return Folder::Closed(Finding::warning(CHECK, seen, fix));
        }
        Err(error) => return Folder::Closed(unreadable(dir, &error)),
    }
    if let Some(finding) = somebody_elses(dir, server) {
        return Folder::Closed(finding);
    }
    if let Err(error) = std::fs::read_dir(dir) {
        return Folder::Closed(unreadable(dir, &error));
    }
    if is_open_to_others(dir) {
        let seen = format!("other accounts of this machine can look into {shown}");
        let fix = format!("chmod 700 {}", quoted(dir));
        return Folder::Usable(Finding::warning(CHECK, seen, fix));
    }
    Folder::Usable(Finding::fine(CHECK, format!("{shown} is there and ours alone")))
}

fn unreadable(dir: &Path, error: &io::Error) -> Finding {
    let seen = format!("{} cannot be read: {error}", dir.display());
    let fix = "run this as the account of the server (for a service `sudo -u photosync`); if that cannot read it \
               either, the folder has to be given back to it with chown -R";
    Finding::broken(CHECK, seen, fix)
}

/// A folder of another account is not looked into: what root makes there, or only opens, its owner cannot open.
#[cfg(unix)]
fn somebody_elses(dir: &Path, server: Server) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(dir).ok()?.uid();
    let me = rustix::process::geteuid();
    if owner == me.as_raw() {
        return None;
    }
    let shown = dir.display();
    if me.is_root() && server == Server::Stopped {
        let seen = format!("{shown} belongs to account number {owner}, and root leaves it alone");
        let fix = format!(
            "to have it looked at: sudo -u '#{owner}' photosync-server doctor --data {}",
            quoted(dir)
        );
        return Some(Finding::skipped(CHECK, seen).or_else(fix));
    }
    if me.is_root() {
        return None;
    }
    let seen = format!(
        "{shown} belongs to account number {owner}, and this runs as number {}",
        me.as_raw()
    );
    let fix = format!(
        "run this as that account: sudo -u '#{owner}' photosync-server doctor --data {}; or, if it should be yours: \
         sudo chown -R {} {}",
        quoted(dir),
        me.as_raw(),
        quoted(dir)
    );
    Some(Finding::broken(CHECK, seen, fix))
}

#[cfg(not(unix))]
fn somebody_elses(_dir: &Path, _server: Server) -> Option<Finding> {
    None
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// What lies in the folder of a user's own settings is the user's there.
#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

/// The keys: each readable by us, by nobody else, and whole. None before the first start.
pub(super) fn secrets(config: &Config) -> Option<Finding> {
    const CHECK: &str = "secrets";
    let folder = config.data_dir.join("secrets");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let seen = format!("{} cannot be read: {error}", folder.display());
            let fix = format!(
                "chmod 700 {}; its owner must be the account of the server",
                quoted(&folder)
            );
            return Some(Finding::broken(CHECK, seen, fix));
        }
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in &files {
        if let Err(error) = std::fs::read(file) {
            let seen = format!("{} cannot be read: {error}", file.display());
            let fix =
                format!("chmod 600 {}; its owner must be the account of the server", quoted(file));
            return Some(Finding::broken(CHECK, seen, fix));
        }
    }
    let open: Vec<String> =
        files.iter().filter(|file| is_open_to_others(file)).map(|file| quoted(file)).collect();
    if open.is_empty() {
        let seen = match files.len() {
            1 => "1 key, readable by this account alone".to_owned(),
            count => format!("{count} keys, readable by this account alone"),
        };
        return Some(Finding::fine(CHECK, seen));
    }
    let fix = format!("chmod 600 {}", open.join(" "));
    let is_reachable = is_open_to_others(&config.data_dir) && is_open_to_others(&folder);
    let seen = format!("keys have the permissions of files for everybody: {}", open.join(" "));
    Some(match is_reachable {
        true => {
            Finding::broken(CHECK, format!("{seen}; who reads them can sign in as anybody"), fix)
        }
        false => Finding::warning(CHECK, format!("{seen}; only the folder keeps others out"), fix),
    })
}
