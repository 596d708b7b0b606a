//! The database: two calls, `read(closure)` and `write(closure)`.
//!
//! A closure is synchronous, re-runnable and gets a [`Tx`]; it runs on a thread that owns a connection, and the
//! result comes back *after commit*. Ids, random bytes and times enter a closure from outside, because it may
//! run again on another engine. After the first error of a [`Tx`] every later call on it fails too.

mod batch;
mod engine;
mod migrations;
mod sqlite;

pub use engine::{Db, DbSettings};
pub use migrations::{
    APPLICATION_ID, MigrateError, is_ours, migrate, needs_migration, schema_version,
};
pub use sqlite::{look, snapshot};

use crate::error::{Context, Error};
use photosync_protocol::error::ErrorCode;

/// Result of a statement.
pub type DbResult<T> = Result<T, DbError>;

/// A value that both engines know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// 64-bit integer; also booleans (0/1), sizes (`*_bytes`) and times (`*_ms`).
    Integer(i64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}
impl From<uuid::Uuid> for Value {
    fn from(value: uuid::Uuid) -> Self {
        Self::Text(value.to_string())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, read by position.
#[derive(Debug, Clone)]
pub struct Row(Vec<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    fn wrong(&self, index: usize) -> DbError {
        DbError::Column { index, found: format!("{:?}", self.0.get(index)) }
    }

    /// An integer that is never NULL.
    pub fn integer(&self, index: usize) -> DbResult<i64> {
        match self.0.get(index) {
            Some(Value::Integer(value)) => Ok(*value),
            _ => Err(self.wrong(index)),
        }
    }

    /// An integer or NULL.
    pub fn find_integer(&self, index: usize) -> DbResult<Option<i64>> {
        match self.0.get(index) {
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(index)),
        }
    }

    /// A boolean, stored as 0 or 1.
    pub fn boolean(&self, index: usize) -> DbResult<bool> {
        self.integer(index).map(|value| value != 0)
    }

    /// A text that is never NULL.
    pub fn text(&self, index: usize) -> DbResult<String> {
        self.find_text(index)?.ok_or_else(|| self.wrong(index))
    }

    /// A text or NULL.
    pub fn find_text(&self, index: usize) -> DbResult<Option<String>> {
        match self.0.get(index) {
            Some(Value::Text(value)) => Ok(Some(value.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(index)),
        }
    }

    /// Bytes or NULL.
    pub fn find_bytes(&self, index: usize) -> DbResult<Option<Vec<u8>>> {
        match self.0.get(index) {
            Some(Value::Bytes(value)) => Ok(Some(value.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(index)),
        }
    }

    /// A UUID, stored as lower-case text.
    pub fn uuid(&self, index: usize) -> DbResult<uuid::Uuid> {
        self.text(index)?.parse().map_err(|_| self.wrong(index))
    }

    /// A SHA-256, stored as 32 bytes.
    pub fn digest(&self, index: usize) -> DbResult<[u8; 32]> {
        match self.0.get(index) {
            Some(Value::Bytes(value)) => value.as_slice().try_into().map_err(|_| self.wrong(index)),
            _ => Err(self.wrong(index)),
        }
    }
}

/// What a closure can do. All statements are texts of a `queries.rs`.
pub trait Tx {
    /// All rows of a query. A query that can return more than 1,000 has a `LIMIT`.
    fn query(&mut self, sql: &'static str, params: &[Value]) -> DbResult<Vec<Row>>;

    /// Runs a statement; returns how many rows it changed.
    fn execute(&mut self, sql: &'static str, params: &[Value]) -> DbResult<i64>;
}

/// The first row of a query, if there is one.
pub fn find(tx: &mut dyn Tx, sql: &'static str, params: &[Value]) -> DbResult<Option<Row>> {
    Ok(tx.query(sql, params)?.into_iter().next())
}

/// Values for a statement, in the order of its placeholders.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*][..] };
}

/// Why the database did not do it.
#[derive(Debug, Clone)]
pub enum DbError {
    /// A statement failed.
    Statement {
        /// First line of the statement.
        sql: &'static str,
        /// What the engine said.
        reason: String,
        /// What that means for a client.
        kind: DbFailure,
    },
    /// The transaction had failed before.
    Poisoned,
    /// A column has another type than the code believes.
    Column {
        /// Position in the row.
        index: usize,
        /// What was there.
        found: String,
    },
    /// The commit failed: nothing of the batch is stored, or, if the disk failed under it, nobody knows.
    Commit {
        /// What the engine said.
        reason: String,
        /// What that means for a client.
        kind: DbFailure,
    },
    /// The queue was full for too long.
    Busy,
    /// A new version is being tried, and stores nothing yet.
    OnTrial,
    /// The database is closed, or its thread has ended.
    Closed,
}

/// What a failure of the engine means for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbFailure {
    /// No space.
    Full,
    /// The disk failed.
    Disk,
    /// A constraint of the schema was broken.
    Constraint,
    /// Anything else.
    Other,
}

impl std::fmt::Display for DbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Statement { sql, reason, .. } => {
                write!(
                    f,
                    "could not run `{}`: {reason}",
                    sql.split_whitespace().collect::<Vec<_>>().join(" ")
                )
            }
            Self::Poisoned => f.write_str("the transaction had failed before"),
            Self::Column { index, found } => write!(f, "column {index} holds {found}"),
            Self::Commit { reason, .. } => write!(f, "could not commit: {reason}"),
            Self::Busy => f.write_str("the database queue was full for too long"),
            Self::OnTrial => f.write_str("a new version is being tried and stores nothing yet"),
            Self::Closed => f.write_str("the database is closed"),
        }
    }
}

impl std::error::Error for DbError {}

impl From<DbError> for Error {
    fn from(source: DbError) -> Self {
        let kind = match &source {
            DbError::Statement { kind, .. } | DbError::Commit { kind, .. } => *kind,
            DbError::OnTrial => return Error::on_trial().caused_by(source),
            DbError::Busy | DbError::Closed => return Error::busy().caused_by(source),
            DbError::Poisoned | DbError::Column { .. } => DbFailure::Other,
        };
        match kind {
            DbFailure::Full => Error::storage_full(None),
            DbFailure::Disk => {
                Error::new(ErrorCode::StorageFailed, "the server's disk failed; nothing was stored")
                    .retry_after(30)
            }
            DbFailure::Constraint | DbFailure::Other => Error::internal("use the database"),
        }
        .caused_by(Context(source.to_string()))
    }
}
