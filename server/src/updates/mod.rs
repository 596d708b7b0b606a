//! New versions of the programs: where they are offered, how they get beside the running ones, and who decides whether
//! one stays. Called by the command line, by `boot` (a version that has not proved itself yet) and, once a day, by the
//! running server, which only informs.
//!
//! The one rule: nothing of an offer is used before the release key has signed it, and nothing that a person was promised is
//! stored before a new version has proved itself. Decision 0021 has the whole of it.

pub mod check;
pub mod install;
pub mod ledger;
pub mod rules;
pub mod settle;
pub mod source;
pub mod trial;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use rules::{KEY_PREFIX, ReleaseKey};

/// What a public key of releases looks like in `PHOTOSYNC_RELEASE_KEY` when this was built: one line, base64 of the DER form
/// (RFC 8410), as install.sh has it. A release is built with it by scripts/package.
const BUILT_IN_KEY: Option<&str> = option_env!("PHOTOSYNC_RELEASE_KEY");

/// The project's own releases: `package.repository`, which is empty as long as there is none.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Why there was no look, no update or no way back. For people; the cause is in the text.
#[derive(Debug)]
pub enum UpdateError {
    /// This build, this installation or these settings leave updates to somebody else.
    Unavailable(String),
    /// What is offered is not to be trusted, or not for this machine.
    Refused(String),
    /// The source or this machine failed; trying again may help.
    Failed(String),
}

impl std::fmt::Display for UpdateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Unavailable(text) | Self::Refused(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for UpdateError {}

/// An error that says what was attempted on which path.
fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> UpdateError {
    let text = format!("could not {what} {}", path.display());
    move |error| UpdateError::Failed(format!("{text}: {error}"))
}

/// Version of this program.
pub fn running_version() -> &'static str {
    crate::fault::version().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// The key that must have signed what is installed. There is no setting for it: whoever could change that could replace the
/// programs. `None`: this build takes no updates.
pub fn release_key() -> Option<ReleaseKey> {
    let text = match crate::fault::value("RELEASE_KEY") {
        Some(text) => text,
        None => BUILT_IN_KEY?.to_owned(),
    };
    let der = STANDARD.decode(text.trim()).ok()?;
    der.strip_prefix(KEY_PREFIX)?.try_into().ok()
}

/// Where releases are offered: what `update.url` says, else the project's own releases.
pub fn source_url(chosen: Option<&str>) -> Option<String> {
    let chosen = chosen.map(str::trim).filter(|url| !url.is_empty());
    match (chosen, REPOSITORY) {
        (Some(url), _) => Some(url.trim_end_matches('/').to_owned()),
        (None, "") => None,
        (None, repository) => Some(format!("{repository}/releases/latest/download")),
    }
}

/// The programs of one installation: those that lie beside the server.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    server: String,
}

/// Every program of a release. The server is the last to be replaced: with it the update takes place.
const PROGRAMS: [&str; 3] = ["photosync-tray", "photosync", "photosync-server"];

/// What names of programs end with.
const EXE: &str = if cfg!(windows) { ".exe" } else { "" };

/// Name ending of the program that was replaced.
const PREVIOUS: &str = ".previous";

impl Programs {
    /// Those beside `exe`, the running server, which may itself be a kept one.
    pub fn beside(exe: &Path) -> Option<Self> {
        let name = exe.file_name()?.to_str()?;
        let name = name.strip_suffix(EXE).unwrap_or(name);
        let server = name.strip_suffix(PREVIOUS).unwrap_or(name).to_owned();
        Some(Self { folder: exe.parent()?.to_owned(), server })
    }

    /// The server's program.
    pub fn server(&self) -> PathBuf {
        self.path(&self.server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{}", EXE))
    }

    fn previous(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{PREVIOUS}{}", EXE))
    }

    fn ledger(&self) -> PathBuf {
        self.folder.join(format!("{}.update.json", self.server))
    }

    fn lock(&self) -> PathBuf {
        self.folder.join(format!("{}.update.lock", self.server))
    }

    fn staging(&self) -> PathBuf {
        self.folder.join(format!(".{}.update", self.server))
    }
}
