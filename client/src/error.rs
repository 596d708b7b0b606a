//! What can go wrong, said once: what was attempted on what, why, and what a person can do.
//!
//! Every error of the library is an [`Error`]; its [`Kind`] decides the exit code and whether a run goes on with the
//! next file. Nothing here ever holds a password or a token.

use std::path::Path;

use photosync_protocol::process::Exit;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This one file cannot be done; the next one can.
    File,
    /// The server cannot be reached, or does not answer.
    Unreachable,
    /// The server shows another key than the one this device trusts.
    WrongServer,
    /// Nobody is signed in, or the server refused.
    SignIn,
    /// The server takes nothing more from this account or has no room.
    Refused,
    /// Our own files: credentials, cache.
    Storage,
    /// The command cannot be done as typed.
    Usage,
    /// Ctrl-C.
    Interrupted,
    /// Anything else.
    Unexpected,
}

impl Kind {
    /// The process ends with this.
    pub fn exit(self) -> Exit {
        match self {
            Self::File | Self::Refused => Exit::Incomplete,
            Self::Unreachable => Exit::Unreachable,
            Self::WrongServer => Exit::WrongServer,
            Self::SignIn => Exit::SignInRefused,
            Self::Storage => Exit::Storage,
            Self::Usage => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
            Self::Unexpected => Exit::Unexpected,
        }
    }

    /// A stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Unreachable => "unreachable",
            Self::WrongServer => "wrong_server",
            Self::SignIn => "sign_in",
            Self::Refused => "refused",
            Self::Storage => "storage",
            Self::Usage => "usage",
            Self::Interrupted => "interrupted",
            Self::Unexpected => "unexpected",
        }
    }
}

/// One failure.
#[derive(Debug, Clone)]
pub struct Error {
    /// What it means for the run.
    pub kind: Kind,
    /// A stable code: the server's, or one of this crate (`unreadable`, `changing`, …).
    pub code: &'static str,
    /// A sentence without a full stop: what was attempted on what, and why it failed.
    pub message: String,
    /// What a person can do about it; empty if nobody knows.
    pub hint: String,
}

impl Error {
    /// An error with the kind's own word as code.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, code: kind.as_str(), message: message.into(), hint: String::new() }
    }

    /// The same with a code of its own.
    pub fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same with advice.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// A file of the person that cannot be read or written.
    pub fn file(what: &str, path: &Path, cause: &dyn std::fmt::Display) -> Self {
        Self::new(Kind::File, format!("could not {what} {}: {cause}", path.display()))
            .coded("unreadable")
    }

    /// One of this program's own files.
    pub fn storage(what: &str, path: &Path, cause: &dyn std::fmt::Display) -> Self {
        Self::new(Kind::Storage, format!("could not {what} {}: {cause}", path.display()))
    }

    /// Something no code path expects.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(Kind::Unexpected, message)
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// All causes of an error in one line, without the ones that repeat what was said.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// The innermost cause: what the operating system or the other side said, without the number the system has for that.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}
