//! How a running server talks to whoever started it: one line on stdout, and an exit code.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// First word of the ready line.
pub const READY_PREFIX: &str = "PHOTOSYNC-READY ";

/// Printed once on stdout, when `/health` would answer 200. Nothing else is ever printed there by `serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Version of the server program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Addresses it listens on, as `ip:port`.
    pub listen: Vec<String>,
    /// What a person may type into a phone: `http://ip:port`, most likely first.
    pub urls: Vec<String>,
    /// Where `/metrics` is served, if anywhere.
    pub metrics: Option<String>,
}

impl Ready {
    /// The whole line, without the line break.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{READY_PREFIX}{}", serde_json::to_string(self)?))
    }

    /// Reads a line back; `None` if it is some other line.
    pub fn from_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim().strip_prefix(READY_PREFIX)?).ok()
    }
}

/// `<data>/run.json` of a running server (0600): how subcommands and the tray reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Process id.
    pub pid: u32,
    /// Port of the loopback control listener; its token is in `<data>/secrets/control`.
    pub port: u16,
    /// `terminal`, `service` or `tray`.
    pub started_by: String,
}

/// Where a person's own server keeps its data; `variable` answers an environment variable. `None` if the system says
/// of no folder that it is the user's.
pub fn usual_data_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(target_os = "windows") {
        return Some(home("LOCALAPPDATA")?.join("PhotoSync"));
    }
    if cfg!(target_os = "macos") {
        return Some(home("HOME")?.join("Library/Application Support/PhotoSync"));
    }
    let shared = home("XDG_DATA_HOME").or_else(|| Some(home("HOME")?.join(".local/share")));
    Some(shared?.join("photosync"))
}

macro_rules! exit_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal;)*) => {
        /// Exit codes of the server and the client: a public interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit { $($(#[doc = $doc])* $name = $code,)* }
        impl Exit {
            /// Every code with its meaning, in the order of the documentation.
            pub const ALL: &'static [(Exit, &'static str)] = &[$((Exit::$name, concat!($($doc),*)),)*];
            /// The number the process ends with.
            pub fn code(self) -> u8 { self as u8 }
            /// What a process that ended with this number meant; `None` if it is none of ours.
            pub fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Exit::$name),)* _ => None }
            }
        }
    };
}

exit_codes! {
    /// Asked to stop, or done.
    Success = 0;
    /// Something unexpected; the last log line says what.
    Unexpected = 1;
    /// `check` found disagreements between index and disk.
    Disagreements = 3;
    /// Some files could not be backed up, restored or verified; each was named with its reason, all others are done (client).
    Incomplete = 4;
    /// The command line was not understood.
    Usage = 64;
    /// The server cannot be reached, or does not answer; the next run goes on where this one stopped (client).
    Unreachable = 68;
    /// The port is taken.
    PortTaken = 69;
    /// Another server holds this data.
    DataHeld = 73;
    /// Storage or volume: missing, unreadable, not ours, or full.
    Storage = 74;
    /// Restart me.
    Restart = 75;
    /// The server shows another key than the one this device trusts; nothing was sent (client).
    WrongServer = 76;
    /// Sign-in refused (client).
    SignInRefused = 77;
    /// The configuration is wrong.
    Configuration = 78;
    /// Interrupted (client).
    Interrupted = 130;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_reads_back() {
        let ready = Ready {
            version: "1".into(),
            pid: 7,
            listen: vec!["127.0.0.1:3000".into()],
            urls: vec![],
            metrics: None,
        };
        let line = ready.to_line().unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(Ready::from_line(&format!("{line}\n")), Some(ready));
        assert_eq!(Ready::from_line("something else"), None);
    }
}
