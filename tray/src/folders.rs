//! Choosing folders: the dialog of the desktop, and the folders with photos that most people have.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a person did.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Chose these; none if the dialog was closed.
    Folders(Vec<PathBuf>),
    /// There is no dialog here.
    NoDialog,
}

/// Shows the dialog and waits until a person is done with it.
#[cfg(target_os = "linux")]
pub fn choose(log: &crate::log::Log) -> Chosen {
    match portal::choose() {
        Ok(folders) => return Chosen::Folders(folders),
        Err(error) => log.note(&format!("the desktop has no dialog for folders: {error}")),
    }
    programs()
}

/// Not built for this system yet.
#[cfg(not(target_os = "linux"))]
pub fn choose(_log: &crate::log::Log) -> Chosen {
    Chosen::NoDialog
}

/// Programs that show a dialog where no portal does.
#[cfg(target_os = "linux")]
fn programs() -> Chosen {
    let title = crate::texts::backup::CHOOSE;
    let known: [(&str, &[&str]); 2] = [
        ("kdialog", &["--title", title, "--getexistingdirectory"]),
        ("zenity", &["--title", title, "--file-selection", "--directory"]),
    ];
    for (program, arguments) in known {
        // One that is not there cannot be run; one that was closed says nothing.
        let Ok(output) = std::process::Command::new(program).args(arguments).output() else {
            continue;
        };
        let path = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        let is_chosen = output.status.success() && Path::new(&path).is_dir();
        return Chosen::Folders(is_chosen.then(|| path.into()).into_iter().collect());
    }
    Chosen::NoDialog
}

/// Pictures and videos of this person, as far as they are there. `variable` answers an environment variable.
pub fn usual(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(home) = set(if cfg!(windows) { "USERPROFILE" } else { "HOME" }) else {
        return Vec::new();
    };
    let settings = set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let named = std::fs::read_to_string(settings.join("user-dirs.dirs")).unwrap_or_default();
    let videos = if cfg!(target_os = "macos") { "Movies" } else { "Videos" };
    let mut folders = Vec::new();
    for (key, otherwise) in [("XDG_PICTURES_DIR", "Pictures"), ("XDG_VIDEOS_DIR", videos)] {
        let folder = named_in(&named, key, &home).unwrap_or_else(|| home.join(otherwise));
        // A desktop that has no such folder names the home folder itself.
        if folder != home && folder.is_dir() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// A line `KEY="$HOME/Pictures"` of the desktop's settings.
fn named_in(settings: &str, key: &str, home: &Path) -> Option<PathBuf> {
    let value =
        settings.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let path = value.trim().trim_matches('"');
    match path.strip_prefix("$HOME") {
        Some(rest) => Some(home.join(rest.trim_start_matches('/'))),
        None => Some(PathBuf::from(path)).filter(|path| path.is_absolute()),
    }
}

/// The dialog of the desktop, also from within a sandbox: `org.freedesktop.portal.FileChooser`.
#[cfg(target_os = "linux")]
mod portal {
    use std::collections::HashMap;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use zbus::blocking::{Connection, Proxy};
    use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

    const SERVICE: &str = "org.freedesktop.portal.Desktop";
    const PLACE: &str = "/org/freedesktop/portal/desktop";
    const CHOOSER: &str = "org.freedesktop.portal.FileChooser";
    const REQUEST: &str = "org.freedesktop.portal.Request";
    /// The first version of the interface that can choose folders.
    const WITH_FOLDERS: u32 = 3;

    /// Waits until the dialog is closed. An error means that none was shown.
    pub fn choose() -> zbus::Result<Vec<PathBuf>> {
        let connection = Connection::session()?;
        let chooser = Proxy::new(&connection, SERVICE, PLACE, CHOOSER)?;
        let version: u32 = chooser.get_property("version")?;
        if version < WITH_FOLDERS {
            return Err(zbus::Error::Failure(format!("its version {version} chooses no folders")));
        }
        let sender =
            connection.unique_name().map(|name| name.trim_start_matches(':').replace('.', "_"));
        let token = "photosync_folders";
        let expected = format!("{PLACE}/request/{}/{token}", sender.unwrap_or_default());
        // Listening comes first: an answer may be quicker than the end of the call.
        let request = Proxy::new(&connection, SERVICE, expected, REQUEST)?;
        let mut answers = request.receive_signal("Response")?;
        let options = HashMap::from([
            ("handle_token", Value::from(token)),
            ("directory", Value::from(true)),
            ("multiple", Value::from(true)),
        ]);
        let title = crate::texts::backup::CHOOSE;
        let _: OwnedObjectPath = chooser.call("OpenFile", &("", title, options))?;
        let Some(answer) = answers.next() else {
            return Err(zbus::Error::Failure("the portal went away".to_owned()));
        };
        let (code, mut results): (u32, HashMap<String, OwnedValue>) =
            answer.body().deserialize()?;
        if code != 0 {
            return Ok(Vec::new());
        }
        let uris: Vec<String> =
            results.remove("uris").and_then(|uris| uris.try_into().ok()).unwrap_or_default();
        Ok(uris.iter().filter_map(|uri| path_of(uri)).collect())
    }

    /// The path of a `file://` address.
    pub(super) fn path_of(uri: &str) -> Option<PathBuf> {
        let mut bytes = uri.strip_prefix("file://")?.bytes();
        let mut path = Vec::new();
        while let Some(byte) = bytes.next() {
            path.push(match byte {
                b'%' => {
                    let (high, low) = (char::from(bytes.next()?), char::from(bytes.next()?));
                    u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
                }
                other => other,
            });
        }
        Some(std::ffi::OsString::from_vec(path).into()).filter(|path: &PathBuf| path.is_absolute())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_where_the_desktop_says_and_where_it_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let variable = |name: &str| (name == "HOME").then(|| home.as_os_str().to_owned());
        assert_eq!(usual(variable), Vec::<PathBuf>::new(), "nothing that is not there");
        std::fs::create_dir_all(home.join("Pictures")).unwrap();
        std::fs::create_dir_all(home.join("Bilder")).unwrap();
        assert_eq!(usual(variable), [home.join("Pictures")]);
        std::fs::create_dir_all(home.join(".config")).unwrap();
        let settings = "# comment\nXDG_PICTURES_DIR=\"$HOME/Bilder\"\nXDG_VIDEOS_DIR=\"$HOME/\"\n";
        std::fs::write(home.join(".config/user-dirs.dirs"), settings).unwrap();
        assert_eq!(
            usual(variable),
            [home.join("Bilder")],
            "the home folder is no folder of videos"
        );
    }

    #[test]
    fn an_address_of_a_folder_becomes_its_path() {
        assert_eq!(portal::path_of("file:///a%20b/%C3%BC"), Some("/a b/ü".into()));
        for wrong in ["/a", "http://x/a", "file://host", "file:///%2", "file:///%zz"] {
            assert_eq!(portal::path_of(wrong), None, "{wrong}");
        }
    }
}
