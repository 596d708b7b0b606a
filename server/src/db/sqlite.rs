//! One SQLite connection: its settings, a transaction on it, its values and its errors in our words.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{DbError, DbFailure, DbResult, Row, Tx, Value};

/// A connection with every setting that durability and correctness ask for.
pub(super) fn open(path: &Path) -> DbResult<Connection> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        // 2 MiB of pages for each connection: the operating system caches the rest.
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        // Without these two, fsync on macOS leaves the bytes in the drive's cache.
        connection.pragma_update(None, "fullfsync", "ON")?;
        connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(connection)
    };
    connect().map_err(|source| statement_error("open the database", &source))
}

pub(super) fn open_reader(path: &Path) -> DbResult<Connection> {
    let connection = open(path)?;
    connection
        .pragma_update(None, "query_only", "ON")
        .map_err(|source| statement_error("open the database", &source))?;
    Ok(connection)
}

/// Runs a closure on the database at `path` as it is at one moment, without writing to it. One that was closed in order has
/// no log, and then no file is made beside it either; a log is read too, which needs what a reader keeps beside it.
/// Blocks.
pub fn look<T, E, F>(path: &Path, closure: F) -> Result<T, E>
where
    F: FnOnce(&mut dyn Tx) -> Result<T, E>,
    E: From<DbError>,
{
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let is_closed = std::fs::metadata(&log).map_or(0, |log| log.len()) == 0;
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = if is_closed {
            let name = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
            let uri = format!("file:{}?immutable=1", name.to_string().replace("%2F", "/"));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        } else {
            Connection::open_with_flags(path, flags)?
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        Ok(connection)
    };
    let connection = connect().map_err(|source| statement_error("open the database", &source))?;
    read_transaction(&connection, closure)
}

/// Writes a database as it is at one moment into a new file, while others go on with it. The file is not durable yet.
/// Blocks; the log cannot be emptied meanwhile.
pub fn snapshot(path: &Path, into: &Path) -> DbResult<()> {
    let sql = "VACUUM INTO ?1";
    let copied = open(path)?.execute(sql, [into.to_string_lossy()]);
    copied.map(drop).map_err(|source| statement_error(sql, &source))
}

/// Runs a closure on a snapshot.
pub(super) fn read_transaction<T, E, F>(connection: &Connection, closure: F) -> Result<T, E>
where
    F: FnOnce(&mut dyn Tx) -> Result<T, E>,
    E: From<DbError>,
{
    let control = |sql: &'static str| {
        connection
            .prepare_cached(sql)
            .and_then(|mut s| s.execute([]))
            .map_err(|source| statement_error(sql, &source))
    };
    control("BEGIN")?;
    let mut tx = SqliteTx { connection, failed: None };
    let result = caught(|| closure(&mut tx));
    let failed = tx.failed.take();
    let ended = control("COMMIT");
    match (result, failed, ended) {
        (Ok(_), Some(error), _) | (Ok(_), None, Err(error)) => Err(E::from(error)),
        (result, ..) => result,
    }
}

/// A closure that panics fails alone: the thread goes on, because everybody else's work depends on it. The caller
/// rolls back.
pub(super) fn caught<T, E: From<DbError>>(closure: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure)).unwrap_or_else(|_| {
        Err(E::from(DbError::Statement {
            sql: "run a transaction",
            reason: "it panicked; the line before this one in the log says where".into(),
            kind: DbFailure::Other,
        }))
    })
}

/// What a closure gets: after its first error every later call fails too.
pub(super) struct SqliteTx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) failed: Option<DbError>,
}

impl SqliteTx<'_> {
    fn guard<T>(
        &mut self,
        sql: &'static str,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> DbResult<T> {
        if self.failed.is_some() {
            return Err(DbError::Poisoned);
        }
        run(self.connection).map_err(|source| {
            let error = statement_error(sql, &source);
            self.failed = Some(error.clone());
            error
        })
    }
}

impl Tx for SqliteTx<'_> {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> DbResult<Vec<Row>> {
        self.guard(sql, |connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let mut answer = Vec::new();
            while let Some(row) = rows.next()? {
                let mut values = Vec::with_capacity(columns);
                for column in 0..columns {
                    values.push(read_value(row.get_ref(column)?));
                }
                answer.push(Row::new(values));
            }
            Ok(answer)
        })
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> DbResult<i64> {
        self.guard(sql, |connection| {
            let changed =
                connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(params))?;
            Ok(i64::try_from(changed).unwrap_or(i64::MAX))
        })
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn read_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        // STRICT tables hold no REAL unless a column says so, and none does.
        ValueRef::Real(value) => Value::Text(value.to_string()),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
    }
}

pub(super) fn statement_error(sql: &'static str, source: &rusqlite::Error) -> DbError {
    DbError::Statement { sql, reason: source.to_string(), kind: failure_kind(source) }
}

pub(super) fn failure_kind(source: &rusqlite::Error) -> DbFailure {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => DbFailure::Full,
        Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::ReadOnly) => {
            DbFailure::Disk
        }
        Some(rusqlite::ErrorCode::ConstraintViolation) => DbFailure::Constraint,
        _ => DbFailure::Other,
    }
}
