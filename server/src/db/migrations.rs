//! Brings a database to the schema of this program, or says why not.
//!
//! Migrations are numbered files, frozen once released: the hash of every applied one is stored and compared at
//! each start. Before an older database is changed, a dated copy is made beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::sqlite::{open, statement_error};
use super::{DbError, DbResult};

/// `PRAGMA application_id` of our databases: the bytes `PhSy`.
pub const APPLICATION_ID: i64 = 0x5068_5379;

struct Migration {
    number: i64,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, sql: include_str!("migrations/0001_backup.sql") },
    Migration { number: 2, sql: include_str!("migrations/0002_sync.sql") },
    Migration { number: 3, sql: include_str!("migrations/0003_relay.sql") },
    Migration { number: 4, sql: include_str!("migrations/0004_second_copies.sql") },
    Migration { number: 5, sql: include_str!("migrations/0005_library.sql") },
];

/// A migration of a version that does not exist, for tests of updates.
const LATER: Migration = Migration {
    number: MIGRATIONS.len() as i64 + 1,
    sql: "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT",
};

/// Every migration this program knows, in order.
fn known() -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().chain(crate::fault::has_later_migration().then_some(&LATER))
}

/// Number of the last migration this program knows.
pub fn schema_version() -> i64 {
    known().last().map_or(0, |migration| migration.number)
}

/// Why a database cannot be used.
#[derive(Debug)]
pub enum MigrateError {
    /// It belongs to some other program.
    Foreign(PathBuf),
    /// It was written by a newer program.
    Newer {
        /// Schema in the file.
        found: i64,
    },
    /// A migration that was applied is not the one in this program.
    Changed {
        /// Its number.
        number: i64,
    },
    /// Foreign keys that point nowhere, as `table(rowid)`.
    Dangling(Vec<String>),
    /// The copy that is made before could not be made durable or noted.
    Copy(PathBuf, std::io::Error),
    /// The engine failed.
    Db(DbError),
}

impl std::fmt::Display for MigrateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign(path) => {
                write!(f, "{} is not a database of this program", path.display())
            }
            Self::Newer { found } => write!(
                f,
                "the database has schema {found}, this program knows {}: start the newer program, \
                 or go back to the copy it made before migrating",
                schema_version()
            ),
            Self::Changed { number } => {
                write!(f, "migration {number} in the database is not the one of this program")
            }
            Self::Dangling(rows) => write!(f, "rows that point nowhere: {}", rows.join(", ")),
            Self::Copy(path, error) => {
                write!(f, "could not keep {} before migrating: {error}", path.display())
            }
            Self::Db(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for MigrateError {}

impl From<DbError> for MigrateError {
    fn from(source: DbError) -> Self {
        Self::Db(source)
    }
}

impl From<rusqlite::Error> for MigrateError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Db(statement_error("migrate the database", &source))
    }
}

/// Whether [`migrate`] would change the database at `path`; false for one that cannot be read.
pub fn needs_migration(path: &Path) -> bool {
    let found = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0)));
    found.is_ok_and(|found: i64| found < schema_version())
}

/// Creates or migrates the database at `path`. `now_ms` names the copy that is made before a migration; `note_copy` is told
/// of it before anything is changed.
pub fn migrate(
    path: &Path,
    now_ms: i64,
    note_copy: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), MigrateError> {
    let newest = schema_version();
    make_private(path)?;
    let mut connection = open(path)?;
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let found = pragma(&connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma(&connection, "application_id")? != APPLICATION_ID {
        return Err(MigrateError::Foreign(path.to_owned()));
    }
    if found > newest {
        return Err(MigrateError::Newer { found });
    }
    if tables > 0 {
        check_history(&connection)?;
    }
    if found == newest {
        return Ok(());
    }
    if tables > 0 {
        let copy = path.with_extension(format!("before-{newest}-{now_ms}.db"));
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        note_copy(&copy).map_err(|error| MigrateError::Copy(copy, error))?;
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           number        INTEGER PRIMARY KEY,
           sha256        TEXT NOT NULL,
           applied_at_ms INTEGER NOT NULL,
           program       TEXT NOT NULL
         ) STRICT",
    )?;
    for migration in known().filter(|migration| migration.number > found) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO migrations (number, sha256, applied_at_ms, program) VALUES (?1, ?2, ?3, ?4)",
            (migration.number, hash(migration), now_ms, env!("CARGO_PKG_VERSION")),
        )?;
    }
    let dangling = dangling_keys(&transaction)?;
    if !dangling.is_empty() {
        return Err(MigrateError::Dangling(dangling));
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(())
}

/// Whether the file at `path` is a database of this program, or an empty one, as a first start that was cut off leaves
/// it. False for anything else, also for no file.
pub fn is_ours(path: &Path) -> DbResult<bool> {
    let Ok(metadata) = path.metadata() else { return Ok(false) };
    let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|source| statement_error("open the database", &source))?;
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA application_id").and_then(|id| {
        Ok(id == APPLICATION_ID || number("SELECT COUNT(*) FROM sqlite_schema")? == 0)
    });
    // Without the right to write, SQLite cannot roll a cut-off first start back to read the file; a table of anybody's
    // would need a second page.
    Ok(found.unwrap_or(metadata.len() <= 4096))
}

/// Password hashes are nobody else's business: SQLite gives its log the same mode as the database.
fn make_private(path: &Path) -> Result<(), MigrateError> {
    let mut options = std::fs::File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|source| {
        MigrateError::Db(DbError::Statement {
            sql: "create the database",
            reason: source.to_string(),
            kind: super::DbFailure::Disk,
        })
    })
}

fn check_history(connection: &Connection) -> Result<(), MigrateError> {
    let mut statement =
        connection.prepare("SELECT number, sha256 FROM migrations ORDER BY number")?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    for row in rows {
        let (number, applied) = row?;
        let same = known().find(|migration| migration.number == number);
        if same.is_some_and(|migration| hash(migration) != applied) {
            return Err(MigrateError::Changed { number });
        }
    }
    Ok(())
}

/// `foreign_key_check` raises nothing by itself: its rows are the finding.
fn dangling_keys(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let rows = statement.query_map([], |row| {
        Ok(format!("{}({})", row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or(0)))
    })?;
    rows.collect()
}

fn hash(migration: &Migration) -> String {
    hex::encode(Sha256::digest(migration.sql.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_migrates_once_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        migrate(&path, 1, |_| Ok(())).unwrap();
        migrate(&path, 2, |_| Ok(())).unwrap();
        assert!(is_ours(&path).unwrap());
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        migrate(&path, 1, |_| Ok(())).unwrap();
        open(&path).unwrap().pragma_update(None, "user_version", schema_version() + 1).unwrap();
        assert!(matches!(migrate(&path, 2, |_| Ok(())), Err(MigrateError::Newer { .. })));
    }

    #[test]
    fn a_migration_changed_after_release_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        migrate(&path, 1, |_| Ok(())).unwrap();
        open(&path).unwrap().execute("UPDATE migrations SET sha256 = 'x'", []).unwrap();
        assert!(matches!(migrate(&path, 2, |_| Ok(())), Err(MigrateError::Changed { number: 1 })));
    }

    #[test]
    fn somebody_elses_database_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
        assert!(matches!(migrate(&path, 1, |_| Ok(())), Err(MigrateError::Foreign(_))));
        assert!(!is_ours(&path).unwrap());
    }
}
