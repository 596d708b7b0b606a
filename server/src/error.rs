//! The one error of every service: what a client is told, and the cause that only the log sees.

use std::error::Error as StdError;

use photosync_protocol::error::ErrorCode;
use serde_json::{Map, Value};

/// Result of a service.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, twice: `message` and `details` for the client, `source` for the log.
#[derive(Debug)]
pub struct Error {
    /// Stable code; decides the status.
    pub code: ErrorCode,
    /// A sentence for people. Never a path, a statement or a name of somebody else.
    pub message: String,
    /// What a program needs besides the code.
    pub details: Map<String, Value>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u64>,
}

impl Error {
    /// An error with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Map::new(),
            source: None,
            retry_after_s: None,
        }
    }

    /// The request is not one this server understands.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// There is nothing under this name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// Something that should not happen while doing `what`.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, "the server could not do this; its log says why")
            .caused_by(Context(what.into()))
    }

    /// Too much to do right now; nothing was stored.
    pub fn busy() -> Self {
        Self::new(ErrorCode::Busy, "the server is busy, please try again").retry_after(2)
    }

    /// A new version has not proved itself yet; nothing was stored.
    pub fn on_trial() -> Self {
        let message = "the server was just updated and is being tried, please try again";
        Self::new(ErrorCode::Busy, message).retry_after(3)
    }

    /// The disk is full; nothing was stored.
    pub fn storage_full(free_bytes: Option<u64>) -> Self {
        let error = Self::new(ErrorCode::StorageFull, "the server's disk is full").retry_after(60);
        match free_bytes {
            Some(free) => error.with("freeBytes", free),
            None => error,
        }
    }

    /// Adds the cause.
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds one detail.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Asks the client to wait.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The causes, outermost first, joined by `: `. Empty if there are none.
    pub fn cause_chain(&self) -> String {
        let mut causes = Vec::new();
        let mut next: Option<&(dyn StdError + 'static)> =
            self.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes.join(": ")
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// A cause that is only words.
#[derive(Debug)]
pub struct Context(pub String);

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Context {}
