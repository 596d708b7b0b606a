//! PhotoSync among the programs of a Linux desktop: an entry and its picture. Installers put both where all users see
//! them; where nobody did and no panel shows the icon, the tray puts them into the home folder. A start from there
//! opens the page, as every second start does.
//!
//! The entry is `assets/photosync.desktop`, for installers as it stands; only its `Exec` line differs here.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The entry as an installer ships it; the program is then found in `PATH`.
const ENTRY: &str = include_str!("../assets/photosync.desktop");
/// The line of it that names the program.
const ANY_PROGRAM: &str = "Exec=photosync-tray";
/// The picture that the entry names, the same as in the panel.
const PICTURE: &str = include_str!("../assets/icon-well.svg");
/// Where both lie below a folder of shared data.
const ENTRY_PLACE: &str = "applications/photosync.desktop";
const PICTURE_PLACE: &str = "icons/hicolor/scalable/apps/photosync.svg";
/// Folders of shared data where the system does not say otherwise (XDG Base Directory Specification).
const USUAL_SHARED: &str = "/usr/local/share:/usr/share";

/// See the module.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The user's own folder of data.
    own: PathBuf,
    /// Everybody's.
    shared: Vec<PathBuf>,
    exec: Option<String>,
}

impl Launcher {
    /// For this user, starting `program` with `arguments`; `variable` answers an environment variable. `None` where
    /// nothing says whose desktop it is, and on systems with other ways.
    pub fn of_user(
        program: &Path,
        arguments: &[OsString],
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let set = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let own = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
        let shared = variable("XDG_DATA_DIRS").filter(|folders| !folders.is_empty());
        let shared = shared.unwrap_or_else(|| USUAL_SHARED.into());
        let shared = std::env::split_paths(&shared).collect();
        let words = [program.as_os_str()].into_iter().chain(arguments.iter().map(|word| &**word));
        let words: Option<Vec<&str>> = words.map(|word| word.to_str()).collect();
        // Without a name that is Unicode no entry can say it.
        let exec = words.map(|words| command_line(&words));
        Some(Self { own, shared, exec })
    }

    /// Puts entry and picture into the home folder, unless the system has an entry. An entry that starts this program
    /// stays as somebody may have changed it; one that starts another is written again: the program has moved.
    ///
    /// Says where the entry was written, if it was. An error leaves what was there.
    pub fn put(&self) -> io::Result<Option<PathBuf>> {
        if self.shared.iter().any(|folder| folder.join(ENTRY_PLACE).exists()) {
            return Ok(None);
        }
        let exec = self.exec.as_deref().ok_or_else(|| {
            io::Error::other("the program lies in a folder whose name is not Unicode")
        })?;
        let place = self.own.join(ENTRY_PLACE);
        let starts = format!("Exec={exec}");
        let known = std::fs::read_to_string(&place).unwrap_or_default();
        if known.lines().any(|line| line.trim_end() == starts) {
            return Ok(None);
        }
        write(&self.own.join(PICTURE_PLACE), PICTURE)?;
        write(&place, &entry(exec))?;
        Ok(Some(place))
    }
}

/// What an entry starts, word by word.
pub(crate) fn command_line(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// An entry that starts this [`command_line`].
pub(crate) fn entry(exec: &str) -> String {
    ENTRY.replacen(ANY_PROGRAM, &format!("Exec={exec}"), 1)
}

/// An argument as the Desktop Entry Specification quotes it: in double quotes, with `"`, `` ` ``, `$` and `\` escaped,
/// once for the argument and once for the string; a literal `%` is `%%`.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '`' | '$' => text.extend(['\\', '\\', letter]),
            '\\' => text.push_str("\\\\\\\\"),
            '%' => text.push_str("%%"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// Writes a whole file or none: a desktop looks at any moment.
fn write(place: &Path, text: &str) -> io::Result<()> {
    let attempt = |source: io::Error| {
        io::Error::new(source.kind(), format!("could not write {}: {source}", place.display()))
    };
    std::fs::create_dir_all(place.parent().unwrap_or(place)).map_err(attempt)?;
    let beside = place.with_extension("new");
    std::fs::write(&beside, text).map_err(attempt)?;
    std::fs::rename(&beside, place).map_err(attempt)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn launcher(home: &Path, program: &str) -> Launcher {
        let (home, arguments) = (home.to_owned(), ["--data".into(), "/srv/my photos".into()]);
        let variable = |name: &str| match name {
            "HOME" => Some(home.clone().into_os_string()),
            "XDG_DATA_DIRS" => Some(home.join("system").into_os_string()),
            _ => None,
        };
        Launcher::of_user(Path::new(program), &arguments, variable).expect("a home is known")
    }

    #[test]
    fn an_entry_with_its_picture_is_put_once_and_again_when_the_program_has_moved() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".local/share/applications/photosync.desktop");
        assert_eq!(launcher(home.path(), "/opt/100%/tray").put().unwrap(), Some(place.clone()));
        let text = std::fs::read_to_string(&place).unwrap();
        let exec = "\nExec=\"/opt/100%%/tray\" \"--data\" \"/srv/my photos\"\n";
        assert!(text.contains(exec) && !text.contains(ANY_PROGRAM), "{text}");
        let picture = home.path().join(".local/share/icons/hicolor/scalable/apps/photosync.svg");
        assert!(picture.exists());

        std::fs::write(&place, text + "NoDisplay=true\n").unwrap();
        assert_eq!(launcher(home.path(), "/opt/100%/tray").put().unwrap(), None);
        assert!(std::fs::read_to_string(&place).unwrap().contains("NoDisplay=true"));

        assert!(launcher(home.path(), "/opt/tray").put().unwrap().is_some());
        let files = std::fs::read_dir(place.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn an_entry_of_the_system_is_enough() {
        let home = tempfile::tempdir().unwrap();
        let system = home.path().join("system").join(ENTRY_PLACE);
        std::fs::create_dir_all(system.parent().unwrap()).unwrap();
        std::fs::write(&system, ENTRY).unwrap();
        assert_eq!(launcher(home.path(), "/opt/tray").put().unwrap(), None);
        assert!(!home.path().join(".local").exists());
    }

    #[test]
    fn the_entry_of_installers_names_the_program_once_and_the_picture_by_its_file() {
        assert_eq!(ENTRY.matches(&format!("\n{ANY_PROGRAM}\n")).count(), 1);
        let name = Path::new(PICTURE_PLACE).file_stem().unwrap().to_str().unwrap();
        assert!(ENTRY.contains(&format!("\nIcon={name}\n")));
    }

    #[test]
    fn letters_that_mean_something_to_a_desktop_are_quoted() {
        assert_eq!(quoted(r#"/a"b$c\d"#), r#""/a\\"b\\$c\\\\d""#);
    }
}
