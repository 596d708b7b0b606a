//! Rows that were acknowledged, and the health of the database that holds them.

use std::collections::BTreeSet;
use std::path::Path;

use photosync_powercut_replay::Recording;
use rusqlite::{Connection, OpenFlags};

use crate::{Run, findings};

const ROWS: i64 = 12;

fn recording(synchronous: &str) -> Recording {
    let rows = ROWS.to_string();
    let program = env!("CARGO_BIN_EXE_powercut-victim-sqlite");
    let recording = Run::of(program, synchronous, &[&rows]).recording();
    let last = recording.len();
    assert!((0..ROWS).all(|number| recording.is_acknowledged(&format!("row-{number}"), last)));
    recording
}

/// The rows in a database, or how it is damaged.
fn read_rows(path: &Path) -> Result<BTreeSet<i64>, rusqlite::Error> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.pragma_update(None, "synchronous", "OFF")?;
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(rusqlite::Error::InvalidParameterName(verdict));
    }
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'kept'";
    if database.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(BTreeSet::new());
    }
    let mut rows = database.prepare("SELECT number FROM kept")?;
    rows.query_map([], |row| row.get(0))?.collect()
}

/// (lost rows, damaged databases)
fn problems(recording: &Recording) -> (Vec<String>, Vec<String>) {
    let found = findings(recording, |position, left| {
        let rows = match read_rows(&left.join("photosync.db")) {
            Ok(rows) => rows,
            Err(error) => return vec![format!("damaged: {error}")],
        };
        let is_lost = |number: &i64| {
            recording.is_acknowledged(&format!("row-{number}"), position) && !rows.contains(number)
        };
        (0..ROWS).filter(is_lost).map(|number| format!("row {number} is lost")).collect()
    });
    found.into_iter().partition(|problem| problem.ends_with("is lost"))
}

#[test]
fn with_synchronous_full_no_row_is_lost_and_no_database_damaged() {
    let recording = recording("FULL");
    let none = Vec::<String>::new();
    assert_eq!(problems(&recording), (none.clone(), none));
}

#[test]
fn with_synchronous_normal_rows_are_lost_but_no_database_damaged() {
    let (lost, damaged) = problems(&recording("NORMAL"));
    assert!(lost.iter().any(|problem| problem.starts_with("Strict")), "{lost:?}");
    assert_eq!(damaged, Vec::<String>::new());
}

#[test]
fn with_synchronous_off_rows_are_lost_and_databases_damaged() {
    let (lost, damaged) = problems(&recording("OFF"));
    assert!(!lost.is_empty());
    assert!(!damaged.is_empty());
}
