//! Whether the tray starts with the session: a desktop entry, a launch agent or a value in the registry.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::launcher;

/// What is started at login, and where that is written down.
#[derive(Debug, Clone)]
pub struct Login {
    entry: Entry,
    program: PathBuf,
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// A file that is there or not, and what is in it.
    File(PathBuf),
    /// A value of the registry's Run key.
    Registry,
}

const RUN_KEY: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
const NAME: &str = "PhotoSync";

impl Login {
    /// For this user and `program`; `variable` answers an environment variable. `None` where nothing says whose session
    /// it is.
    pub fn of_user(program: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let set = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let entry = if cfg!(windows) {
            Entry::Registry
        } else if cfg!(target_os = "macos") {
            Entry::File(set("HOME")?.join("Library/LaunchAgents/org.photosync.tray.plist"))
        } else {
            let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
            Entry::File(config.join("autostart/photosync-tray.desktop"))
        };
        Some(Self { entry, program: program.to_owned(), arguments: Vec::new() })
    }

    /// The same with arguments that later starts need to find the same photos; desktop entries only.
    pub fn with_arguments(self, arguments: Vec<OsString>) -> Self {
        Self { arguments, ..self }
    }

    /// Whether it starts with the session. A desktop entry that a desktop switched off counts as off.
    pub fn is_on(&self) -> bool {
        match &self.entry {
            Entry::File(path) => std::fs::read_to_string(path).is_ok_and(|text| {
                let off = ["Hidden=true", "X-GNOME-Autostart-enabled=false"];
                !text.lines().any(|line| off.contains(&line.trim()))
            }),
            Entry::Registry => registry(&["query", RUN_KEY, "/v", NAME]).is_ok(),
        }
    }

    /// Arranges it, or takes it back.
    pub fn set(&self, on: bool) -> io::Result<()> {
        match (&self.entry, on) {
            (Entry::File(path), true) => {
                let folder = path.parent().unwrap_or(path);
                std::fs::create_dir_all(folder)?;
                let program = self.program.to_str().ok_or_else(|| {
                    io::Error::other("the program lies in a folder whose name is not Unicode")
                })?;
                std::fs::write(path, text_for(program, &self.arguments)?)
            }
            (Entry::File(path), false) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            (Entry::Registry, true) => {
                let program = format!("\"{}\"", self.program.display());
                registry(&["add", RUN_KEY, "/v", NAME, "/t", "REG_SZ", "/d", &program, "/f"])
            }
            (Entry::Registry, false) => match self.is_on() {
                true => registry(&["delete", RUN_KEY, "/v", NAME, "/f"]),
                false => Ok(()),
            },
        }
    }
}

fn registry(arguments: &[&str]) -> io::Result<()> {
    let output = std::process::Command::new("reg").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn text_for(program: &str, arguments: &[OsString]) -> io::Result<String> {
    if cfg!(target_os = "macos") {
        return Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>\n\
             <key>Label</key><string>org.photosync.tray</string>\n\
             <key>ProgramArguments</key><array><string>{}</string></array>\n\
             <key>RunAtLoad</key><true/>\n</dict></plist>\n",
            program.replace('&', "&amp;").replace('<', "&lt;")
        ));
    }
    let line = launcher::command_line(Path::new(program), arguments)
        .ok_or_else(|| io::Error::other("the photos lie in a folder whose name is not Unicode"))?;
    Ok(format!("{}X-GNOME-Autostart-enabled=true\n", launcher::entry(&line)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn login(home: &Path) -> Login {
        let program = PathBuf::from("/opt/Photo Sync/100%/photosync-tray");
        let entry = Entry::File(home.join(".config/autostart/photosync-tray.desktop"));
        Login { entry, program, arguments: vec!["--data".into(), "/srv/p".into()] }
    }

    #[test]
    fn on_off_and_asking_agree_and_off_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let login = login(home.path());
        assert!(!login.is_on());
        login.set(false).unwrap();
        login.set(true).unwrap();
        assert!(login.is_on());
        let path = home.path().join(".config/autostart/photosync-tray.desktop");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("Exec=\"/opt/Photo Sync/100%%/photosync-tray\" \"--data\" \"/srv/p\"\n"),
            "{text}"
        );
        login.set(false).unwrap();
        assert!(!login.is_on() && !path.exists());
    }

    #[test]
    fn an_entry_that_the_desktop_switched_off_is_off() {
        let home = tempfile::tempdir().unwrap();
        let login = login(home.path());
        login.set(true).unwrap();
        let path = home.path().join(".config/autostart/photosync-tray.desktop");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + "Hidden=true\n").unwrap();
        assert!(!login.is_on());
    }
}
