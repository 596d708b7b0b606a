//! Whether the tray starts with the session: a desktop entry, a launch agent or a value in the registry.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(windows))]
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
    /// A file that is there or not, and how it is written.
    #[cfg(not(windows))]
    File(PathBuf, Format),
    /// A value of the registry's Run key.
    #[cfg(windows)]
    Registry,
}

#[cfg(not(windows))]
#[derive(Debug, Clone, Copy)]
enum Format {
    DesktopEntry,
    LaunchAgent,
}

impl Login {
    /// For this user and `program`; `variable` answers an environment variable. `None` where nothing says whose session
    /// it is.
    pub fn of_user(program: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let (entry, program) = (entry_of(variable)?, program.to_owned());
        Some(Self { entry, program, arguments: Vec::new() })
    }

    /// The same with arguments that later starts need to find the same photos.
    pub fn with_arguments(self, arguments: Vec<OsString>) -> Self {
        Self { arguments, ..self }
    }

    /// Whether it starts with the session. An entry that was switched off by the system's own means counts as off.
    pub fn is_on(&self) -> bool {
        match &self.entry {
            #[cfg(not(windows))]
            Entry::File(path, format) => {
                std::fs::read_to_string(path).is_ok_and(|text| !format.is_off(&text))
            }
            #[cfg(windows)]
            Entry::Registry => {
                self.words().is_ok_and(|words| crate::registry::starts(&command(&words)))
            }
        }
    }

    /// Arranges it, or takes it back; then nothing of it is left. An error says what could not be changed.
    pub fn set(&self, on: bool) -> io::Result<()> {
        match (&self.entry, on) {
            #[cfg(not(windows))]
            (Entry::File(path, format), true) => {
                let folder = path.parent().unwrap_or(path);
                std::fs::create_dir_all(folder)?;
                std::fs::write(path, format.text(&self.words()?))
            }
            #[cfg(not(windows))]
            (Entry::File(path, _), false) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            #[cfg(windows)]
            (Entry::Registry, true) => crate::registry::set_start(&command(&self.words()?)),
            #[cfg(windows)]
            (Entry::Registry, false) => crate::registry::remove_start(),
        }
    }

    /// What is started: the program and its arguments.
    fn words(&self) -> io::Result<Vec<&str>> {
        let words = std::iter::once(self.program.as_os_str())
            .chain(self.arguments.iter().map(|one| &**one));
        let words: Option<Vec<&str>> = words.map(|word| word.to_str()).collect();
        words.ok_or_else(|| {
            io::Error::other("program or photos lie in a folder whose name is not Unicode")
        })
    }
}

#[cfg(windows)]
fn entry_of(_variable: impl Fn(&str) -> Option<OsString>) -> Option<Entry> {
    Some(Entry::Registry)
}

#[cfg(not(windows))]
fn entry_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<Entry> {
    let set = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(target_os = "macos") {
        let agent = set("HOME")?.join("Library/LaunchAgents/org.photosync.tray.plist");
        return Some(Entry::File(agent, Format::LaunchAgent));
    }
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(Entry::File(config.join("autostart/photosync-tray.desktop"), Format::DesktopEntry))
}

#[cfg(not(windows))]
impl Format {
    /// What starts these words.
    fn text(self, words: &[&str]) -> String {
        match self {
            Self::DesktopEntry => {
                let line = launcher::command_line(words);
                format!("{}X-GNOME-Autostart-enabled=true\n", launcher::entry(&line))
            }
            // `Aqua`: a session with a desktop, not one over SSH.
            Self::LaunchAgent => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                 \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
                 <plist version=\"1.0\"><dict>\n\
                 <key>Label</key><string>org.photosync.tray</string>\n\
                 <key>ProgramArguments</key><array>{}</array>\n\
                 <key>RunAtLoad</key><true/>\n\
                 <key>LimitLoadToSessionType</key><string>Aqua</string>\n\
                 <key>ProcessType</key><string>Interactive</string>\n\
                 </dict></plist>\n",
                words
                    .iter()
                    .map(|word| format!("<string>{}</string>", escaped(word)))
                    .collect::<String>()
            ),
        }
    }

    /// Whether an entry says of itself that it does nothing.
    fn is_off(self, text: &str) -> bool {
        match self {
            Self::DesktopEntry => {
                let off = ["Hidden=true", "X-GNOME-Autostart-enabled=false"];
                text.lines().any(|line| off.contains(&line.trim()))
            }
            Self::LaunchAgent => {
                let joined: String = text.split_whitespace().collect();
                joined.contains("<key>Disabled</key><true/>")
            }
        }
    }
}

/// Text of XML.
#[cfg(not(windows))]
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A command of the Run key: words in quotes, which no path contains; a backslash before the closing one is doubled.
#[cfg(any(windows, test))]
fn command(words: &[&str]) -> String {
    let quoted = words.iter().map(|word| {
        let slashes = word.len() - word.trim_end_matches('\\').len();
        format!("\"{word}{}\"", "\\".repeat(slashes))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Whether a mark of Settings or the Task Manager switches a program off: its first byte is odd then, and the rest is
/// when that was.
#[cfg(any(windows, test))]
pub(crate) fn is_switched_off(mark: &[u8]) -> bool {
    mark.first().is_some_and(|first| first % 2 == 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn login(home: &Path) -> Login {
        let program = PathBuf::from("/opt/Photo Sync/100%/photosync-tray");
        let path = home.join(".config/autostart/photosync-tray.desktop");
        let entry = Entry::File(path, Format::DesktopEntry);
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

    #[test]
    fn a_launch_agent_is_on_until_it_says_otherwise_and_names_the_program_as_xml() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("Library/LaunchAgents/org.photosync.tray.plist");
        let program = PathBuf::from("/Applications/Photos & <Sync>.app/photosync-tray");
        let login = Login {
            entry: Entry::File(path.clone(), Format::LaunchAgent),
            program,
            arguments: Vec::new(),
        };
        assert!(!login.is_on());
        login.set(true).unwrap();
        assert!(login.is_on());
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted = "<string>/Applications/Photos &amp; &lt;Sync&gt;.app/photosync-tray</string>";
        assert!(text.contains(wanted), "{text}");
        for (open, close) in [("<dict>", "</dict>"), ("<array>", "</array>"), ("<key>", "</key>")] {
            assert_eq!(text.matches(open).count(), text.matches(close).count(), "{open}");
        }
        let off = text.replace("</dict>", "<key>Disabled</key>\n  <true/>\n</dict>");
        std::fs::write(&path, off).unwrap();
        assert!(!login.is_on());
        login.set(false).unwrap();
        assert!(!login.is_on() && !path.exists());
    }

    #[test]
    fn a_command_of_the_run_key_is_quoted_word_by_word_and_settings_can_switch_it_off() {
        let words = [r"C:\Program Files\P\t.exe", "--data", r"D:\"];
        assert_eq!(command(&words), r#""C:\Program Files\P\t.exe" "--data" "D:\\""#);
        assert!(is_switched_off(&[3, 0, 0, 0, 1]));
        assert!(!is_switched_off(&[2, 0, 0, 0, 0]) && !is_switched_off(&[]));
    }
}
