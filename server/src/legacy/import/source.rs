//! Reads the reference server's database. This is a foreign format, so its SQL lives here and not in a `queries.rs`.
//!
//! The file is never opened where it lies: SQLite would move its log into it. A private copy is, together with the
//! log, and the copy is removed again. Columns and tables that older versions lack read as nothing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::auth::random_id;
use crate::blobs::create_private_dir;
use crate::relay::queries::Plan;

/// Copies are tried so often while the old server still writes.
const COPY_TRIES: u32 = 3;
/// Copies of the old database lie in folders with this prefix, in our data folder.
const SCRATCH_PREFIX: &str = ".import-";

/// Everything the old database knows that is imported.
#[derive(Debug, Default)]
pub(super) struct OldServer {
    pub(super) users: Vec<User>,
    pub(super) devices: Vec<Device>,
    pub(super) plans: Vec<OldPlan>,
    pub(super) device_states: Vec<DeviceState>,
}

/// A row of `users`.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) user_uuid: Option<String>,
    pub(super) email: String,
    pub(super) password_hash: Option<String>,
    pub(super) hardware_device_id: Option<String>,
}

/// A row of `devices`. The id is whatever a client said.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) user_id: i64,
    pub(super) device_uuid: String,
}

/// A row of `user_plans`.
#[derive(Debug, Clone)]
pub(super) struct OldPlan {
    pub(super) user_id: i64,
    pub(super) plan: Plan,
    pub(super) customer_id: Option<String>,
    pub(super) updated_at_ms: Option<i64>,
}

/// A row of `cloud_device_state`.
#[derive(Debug, Clone)]
pub(super) struct DeviceState {
    pub(super) user_id: i64,
    pub(super) device_uuid: String,
    pub(super) json: String,
    pub(super) updated_at_ms: Option<i64>,
}

/// Reads the database at `path` through a copy below `data_dir`. The error is a sentence for the operator.
pub(super) fn read(data_dir: &Path, path: &Path) -> Result<OldServer, String> {
    let scratch = Scratch::new(data_dir)
        .map_err(|error| format!("could not make a folder in {}: {error}", data_dir.display()))?;
    let copy = scratch.0.join("old.db");
    copy_database(path, &copy)?;
    let unreadable =
        |error: rusqlite::Error| format!("could not read the database {}: {error}", path.display());
    // Writing is needed to play the log back into the copy; nothing else may.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&copy, flags).map_err(unreadable)?;
    connection.pragma_update(None, "query_only", true).map_err(unreadable)?;
    let health: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(unreadable)?;
    if health != "ok" {
        return Err(format!("the database {} is damaged: {health}", path.display()));
    }
    let columns = columns_of(&connection, "users").map_err(unreadable)?;
    if !["id", "email", "password"].iter().all(|wanted| columns.iter().any(|name| name == wanted)) {
        return Err(format!("{} is not a database of the old server", path.display()));
    }
    read_all(&connection).map_err(unreadable)
}

fn read_all(connection: &Connection) -> rusqlite::Result<OldServer> {
    let mut old = OldServer::default();
    let columns = ["id", "user_uuid", "email", "password", "hardware_device_id"];
    for row in rows(connection, "users", &columns)? {
        let Some(id) = integer(&row[0]) else { continue };
        old.users.push(User {
            id,
            user_uuid: text(&row[1]),
            email: text(&row[2]).unwrap_or_default(),
            password_hash: text(&row[3]),
            hardware_device_id: text(&row[4]),
        });
    }
    old.users.sort_by_key(|user| user.id);
    for row in rows(connection, "devices", &["user_id", "device_uuid"])? {
        if let (Some(user_id), Some(device_uuid)) = (integer(&row[0]), text(&row[1])) {
            old.devices.push(Device { user_id, device_uuid });
        }
    }
    let columns = [
        "user_id",
        "plan_gb",
        "rc_app_user_id",
        "rc_product_id",
        "rc_entitlement",
        "status",
        "expires_at",
        "grace_until",
        "trial_until",
        "deleted_at",
        "updated_at",
    ];
    for row in rows(connection, "user_plans", &columns)? {
        let Some(user_id) = integer(&row[0]) else { continue };
        let plan = Plan {
            plan_gb: integer(&row[1]),
            product_id: text(&row[3]),
            entitlement_id: text(&row[4]),
            status: text(&row[5]).unwrap_or_else(|| "none".into()),
            expires_at_ms: integer(&row[6]),
            grace_until_ms: integer(&row[7]),
            trial_until_ms: integer(&row[8]),
            deleted_at_ms: integer(&row[9]),
        };
        let (customer_id, updated_at_ms) = (text(&row[2]), integer(&row[10]));
        old.plans.push(OldPlan { user_id, plan, customer_id, updated_at_ms });
    }
    let columns = ["user_id", "device_uuid", "state_json", "updated_at"];
    for row in rows(connection, "cloud_device_state", &columns)? {
        if let (Some(user_id), Some(device_uuid), Some(json)) =
            (integer(&row[0]), text(&row[1]), text(&row[2]))
        {
            let updated_at_ms = integer(&row[3]);
            old.device_states.push(DeviceState { user_id, device_uuid, json, updated_at_ms });
        }
    }
    Ok(old)
}

fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// All rows of a table, with NULL for columns it does not have; none if there is no such table.
fn rows(
    connection: &Connection,
    table: &str,
    columns: &[&str],
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let present = columns_of(connection, table)?;
    if present.is_empty() {
        return Ok(Vec::new());
    }
    let has = |column: &&str| present.iter().any(|name| name == column);
    let selected: Vec<&str> =
        columns.iter().map(|column| if has(column) { column } else { "NULL" }).collect();
    let mut statement =
        connection.prepare(&format!("SELECT {} FROM {table}", selected.join(", ")))?;
    let values = |row: &rusqlite::Row| (0..columns.len()).map(|index| row.get(index)).collect();
    statement.query_map([], values)?.collect()
}

/// SQLite keeps whatever type was stored: JavaScript stores whole numbers as reals now and then.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "ids, GB and milliseconds are far below 2^53"
        )]
        Value::Real(number) if number.is_finite() => Some(*number as i64),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Copies the database with its log or journal. A copy during which any of them changed would mix two states: it is
/// made again.
fn copy_database(path: &Path, copy: &Path) -> Result<(), String> {
    let failed =
        |error: std::io::Error| format!("could not copy the database {}: {error}", path.display());
    for _ in 0..COPY_TRIES {
        let before = states(path).map_err(failed)?;
        for suffix in ["", "-wal", "-journal"] {
            let (from, to) = (with_suffix(path, suffix), with_suffix(copy, suffix));
            match std::fs::copy(&from, &to) {
                Ok(_) => {}
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() =>
                {
                    // An earlier try may have copied one that is gone now.
                    let _ = std::fs::remove_file(&to);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        if states(path).map_err(failed)? == before {
            return Ok(());
        }
    }
    Err(format!("{} is being written: stop the old server, then import again", path.display()))
}

type FileState = Option<(u64, SystemTime)>;

/// Length and time of the database's files.
fn states(path: &Path) -> std::io::Result<[FileState; 3]> {
    let state = |suffix| match std::fs::metadata(with_suffix(path, suffix)) {
        Ok(metadata) => Ok(Some((metadata.len(), metadata.modified()?))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    Ok([state("")?, state("-wal")?, state("-journal")?])
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A folder that is removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    /// Makes one, and removes what a run that was cut off left: it holds password hashes.
    fn new(data_dir: &Path) -> std::io::Result<Self> {
        for entry in std::fs::read_dir(data_dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let folder = data_dir.join(format!("{SCRATCH_PREFIX}{}", random_id()));
        create_private_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next import.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
