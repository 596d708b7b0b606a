//! SQLite behind two calls: one writer thread that commits in groups, a few reader threads, and a thread that
//! moves the log back into the database while nobody waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{DbError, DbFailure, DbResult, Row, Tx, Value};

/// Jobs that one commit takes at most; beyond this the wait of the first outweighs the saved flushes.
const MAX_BATCH: usize = 256;
/// Jobs that may wait; each holds one request's data, so this bounds memory.
const MAX_QUEUE: usize = 2048;
/// Size of the log from which it is moved into the database: 16 MiB, 4,096 pages of 4 KiB.
const CHECKPOINT_PAGES: i64 = 4096;

/// How to open the database.
#[derive(Clone)]
pub struct DbSettings {
    /// The file.
    pub path: PathBuf,
    /// Reader threads.
    pub readers: usize,
    /// Longest wait for a place in the queue.
    pub queue_wait: Duration,
}

/// The database. Cheap to clone; closed when the last clone is dropped or by [`Db::close`].
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    write_jobs: UnboundedSender<WriteJob>,
    /// One queue per reader, filled in turn: reads are short, so none waits long behind another.
    read_jobs: Vec<UnboundedSender<ReadJob>>,
    next_reader: AtomicUsize,
    places: Arc<Semaphore>,
    queue_wait: Duration,
    log_pages: Arc<AtomicI64>,
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
    checkpointer: Sender<Checkpoint>,
}

type WriteJob = Box<dyn Write>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

enum Checkpoint {
    Passive,
    Stop,
}

/// One closure on its way through the writer: run in a savepoint, answered after the commit of its batch.
trait Write: Send {
    /// Runs the closure; false means roll its savepoint back.
    fn run(&mut self, tx: &mut SqliteTx<'_>) -> bool;
    /// Sends the result, or the failure of the commit, to whoever waits.
    fn answer(self: Box<Self>, commit: &DbResult<()>);
    /// Whether this is the order to stop.
    fn is_stop(&self) -> bool {
        false
    }
}

struct Pending<T, E, F> {
    closure: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    _place: OwnedSemaphorePermit,
}

impl<T, E, F> Write for Pending<T, E, F>
where
    F: FnMut(&mut dyn Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<DbError> + Send,
{
    fn run(&mut self, tx: &mut SqliteTx<'_>) -> bool {
        let result = caught(|| (self.closure)(tx));
        let result = match (result, tx.failed.take()) {
            // An error that the closure swallowed still counts: PostgreSQL would have ended the transaction.
            (Ok(_), Some(error)) => Err(E::from(error)),
            (result, _) => result,
        };
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, commit: &DbResult<()>) {
        let result = match (self.result, commit) {
            (Some(Ok(_)), Err(error)) => Err(E::from(error.clone())),
            (Some(result), _) => result,
            (None, Err(error)) => Err(E::from(error.clone())),
            (None, Ok(())) => Err(E::from(DbError::Closed)),
        };
        // Nobody waits any more: the client is gone, the effect stays.
        let _ = self.reply.send(result);
    }
}

/// A closure that panics fails alone: the thread goes on, because everybody else's work depends on it. The caller
/// rolls back.
fn caught<T, E: From<DbError>>(closure: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure)).unwrap_or_else(|_| {
        Err(E::from(DbError::Statement {
            sql: "run a transaction",
            reason: "it panicked; the line before this one in the log says where".into(),
            kind: DbFailure::Other,
        }))
    })
}

struct Stop;

impl Write for Stop {
    fn run(&mut self, _tx: &mut SqliteTx<'_>) -> bool {
        true
    }
    fn answer(self: Box<Self>, _commit: &DbResult<()>) {}
    fn is_stop(&self) -> bool {
        true
    }
}

impl Db {
    /// Opens an existing, migrated database and starts its threads.
    pub fn start(settings: &DbSettings) -> DbResult<Self> {
        let log_pages = Arc::new(AtomicI64::new(0));
        let (write_jobs, mut write_queue) = unbounded_channel::<WriteJob>();
        let mut read_jobs = Vec::new();
        let (checkpointer, mut checkpoints) = channel::<Checkpoint>(1);
        let mut threads = Vec::new();

        let writer = Writer {
            path: settings.path.clone(),
            log_pages: log_pages.clone(),
            checkpointer: checkpointer.clone(),
        };
        let connection = writer.open()?;
        threads.push(spawn("db-writer", move || writer.work(connection, &mut write_queue))?);
        for _ in 0..settings.readers {
            let connection = open_reader(&settings.path)?;
            let (jobs, mut queue) = unbounded_channel::<ReadJob>();
            read_jobs.push(jobs);
            threads.push(spawn("db-reader", move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&connection);
                }
            })?);
        }
        let connection = open(&settings.path)?;
        let pages = log_pages.clone();
        threads.push(spawn("db-checkpoint", move || {
            checkpoint_loop(&connection, &mut checkpoints, &pages)
        })?);

        Ok(Self {
            inner: Arc::new(Inner {
                write_jobs,
                read_jobs,
                next_reader: AtomicUsize::new(0),
                places: Arc::new(Semaphore::new(MAX_QUEUE)),
                queue_wait: settings.queue_wait,
                log_pages,
                threads: std::sync::Mutex::new(threads),
                checkpointer,
            }),
        })
    }

    /// Runs `closure` in a transaction and returns its result after the commit is durable. An `Err` rolls back
    /// exactly this closure's changes. Dropping the returned future does not undo anything.
    pub async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let place = self.place().await?;
        let (reply, result) = oneshot::channel();
        let job = Pending { closure, result: None, reply, _place: place };
        self.inner.write_jobs.send(Box::new(job)).map_err(|_| DbError::Closed)?;
        result.await.map_err(|_| DbError::Closed)?
    }

    /// Runs `closure` on a snapshot. At most 50 ms or 1,000 rows of work: a long reader keeps the log growing.
    pub async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let place = self.place().await?;
        let (reply, result) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            let _place = place;
            let answer = read_transaction(connection, closure);
            // Nobody waits any more: a read has no effect to keep.
            let _ = reply.send(answer);
        });
        let next = self.inner.next_reader.fetch_add(1, Ordering::Relaxed);
        let readers = &self.inner.read_jobs;
        let reader = readers.get(next % readers.len().max(1)).ok_or(DbError::Closed)?;
        reader.send(job).map_err(|_| DbError::Closed)?;
        result.await.map_err(|_| DbError::Closed)?
    }

    async fn place(&self) -> DbResult<OwnedSemaphorePermit> {
        let wait = self.inner.places.clone().acquire_owned();
        match tokio::time::timeout(self.inner.queue_wait, wait).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(DbError::Closed),
            Err(_) => Err(DbError::Busy),
        }
    }

    /// Pages in the log that are not in the database yet, for the metrics.
    pub fn log_pages(&self) -> i64 {
        self.inner.log_pages.load(Ordering::Relaxed)
    }

    /// Jobs waiting or running, for the metrics.
    pub fn queued(&self) -> usize {
        MAX_QUEUE.saturating_sub(self.inner.places.available_permits())
    }

    /// Answers every waiting write, moves the whole log into the database and ends the threads.
    pub async fn close(&self) {
        let db = self.clone();
        // A panic there would have been logged; there is nothing left to close then.
        let _ = tokio::task::spawn_blocking(move || db.close_here()).await;
    }

    fn close_here(&self) {
        self.inner.places.close();
        let _ = self.inner.write_jobs.send(Box::new(Stop));
        let mut threads = match self.inner.threads.lock() {
            Ok(threads) => threads,
            Err(poisoned) => poisoned.into_inner(),
        };
        // Writer first; the checkpoint thread truncates the log afterwards. Readers hold no state.
        if !threads.is_empty() {
            let _ = threads.remove(0).join();
            let _ = self.inner.checkpointer.blocking_send(Checkpoint::Stop);
            if let Some(checkpoint) = threads.pop() {
                let _ = checkpoint.join();
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> DbResult<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(1 << 20).spawn(work).map_err(
        |source| DbError::Statement {
            sql: "start a database thread",
            reason: source.to_string(),
            kind: DbFailure::Other,
        },
    )
}

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

fn open_reader(path: &Path) -> DbResult<Connection> {
    let connection = open(path)?;
    connection
        .pragma_update(None, "query_only", "ON")
        .map_err(|source| statement_error("open the database", &source))?;
    Ok(connection)
}

struct Writer {
    path: PathBuf,
    log_pages: Arc<AtomicI64>,
    checkpointer: Sender<Checkpoint>,
}

impl Writer {
    fn open(&self) -> DbResult<Connection> {
        let mut connection = open(&self.path)?;
        let (log_pages, checkpointer) = (self.log_pages.clone(), self.checkpointer.clone());
        connection
            .wal_hook(Some(move |_wal: &mut Wal, pages: std::ffi::c_int| {
                log_pages.store(i64::from(pages), Ordering::Relaxed);
                if i64::from(pages) >= CHECKPOINT_PAGES {
                    // A full channel means that a checkpoint is on its way.
                    let _ = checkpointer.try_send(Checkpoint::Passive);
                }
                Ok(())
            }))
            .map_err(|source| statement_error("watch the log", &source))?;
        Ok(connection)
    }

    fn work(&self, connection: Connection, queue: &mut UnboundedReceiver<WriteJob>) {
        let mut connection = Some(connection);
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < MAX_BATCH {
                let Ok(next) = queue.try_recv() else { break };
                batch.push(next);
            }
            let stop = batch.iter().any(|job| job.is_stop());
            if connection.is_none() {
                connection = self.open().ok();
            }
            let outcome = match &connection {
                Some(open) => commit_batch(open, &mut batch),
                None => Err(DbError::Closed),
            };
            if matches!(&outcome, Err(DbError::Commit { .. })) {
                tracing::error!(error = %DbDisplay(&outcome), "a commit failed; the database is opened again");
                connection = None;
            }
            for job in batch {
                job.answer(&outcome);
            }
            if stop {
                return;
            }
        }
    }
}

struct DbDisplay<'a>(&'a DbResult<()>);

impl std::fmt::Display for DbDisplay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Ok(()) => f.write_str("no error"),
            Err(error) => error.fmt(f),
        }
    }
}

/// Runs every job in a savepoint of one transaction and commits once. An error here concerns the whole batch.
fn commit_batch(connection: &Connection, batch: &mut [WriteJob]) -> DbResult<()> {
    let control = |sql: &'static str| -> DbResult<()> {
        connection.prepare_cached(sql).and_then(|mut s| s.execute([])).map(drop).map_err(|source| {
            DbError::Commit { reason: source.to_string(), kind: failure_kind(&source) }
        })
    };
    control("BEGIN IMMEDIATE")?;
    for job in batch.iter_mut() {
        let step = || -> DbResult<()> {
            control("SAVEPOINT job")?;
            let keep = job.run(&mut SqliteTx { connection, failed: None });
            if connection.is_autocommit() {
                // A full disk or a failed write makes SQLite roll the whole transaction back by itself.
                return Err(DbError::Commit {
                    reason: "the transaction was rolled back by a failing disk".into(),
                    kind: DbFailure::Disk,
                });
            }
            if !keep {
                control("ROLLBACK TO job")?;
            }
            control("RELEASE job")
        }();
        if let Err(error) = step {
            let _ = control("ROLLBACK");
            return Err(error);
        }
    }
    let committed = crate::fault::point("commit")
        .map_err(|source| {
            let is_full = source.kind() == std::io::ErrorKind::StorageFull;
            let kind = if is_full { DbFailure::Full } else { DbFailure::Disk };
            DbError::Commit { reason: source.to_string(), kind }
        })
        .and_then(|()| control("COMMIT"));
    if committed.is_err() {
        let _ = control("ROLLBACK");
    }
    committed
}

fn read_transaction<T, E, F>(connection: &Connection, closure: F) -> Result<T, E>
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

fn checkpoint_loop(
    connection: &Connection,
    orders: &mut Receiver<Checkpoint>,
    log_pages: &AtomicI64,
) {
    let run = |mode: &str| {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        if let Err(error) = connection.query_row(&sql, [], |_| Ok(())) {
            tracing::warn!(%error, mode, "the database log could not be moved into the database");
        }
    };
    while let Some(order) = orders.blocking_recv() {
        match order {
            Checkpoint::Passive => run("PASSIVE"),
            Checkpoint::Stop => {
                run("TRUNCATE");
                log_pages.store(0, Ordering::Relaxed);
                return;
            }
        }
    }
}

struct SqliteTx<'a> {
    connection: &'a Connection,
    failed: Option<DbError>,
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

fn failure_kind(source: &rusqlite::Error) -> DbFailure {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => DbFailure::Full,
        Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::ReadOnly) => {
            DbFailure::Disk
        }
        Some(rusqlite::ErrorCode::ConstraintViolation) => DbFailure::Constraint,
        _ => DbFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    struct Fixture {
        db: Db,
        path: PathBuf,
        _dir: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT")
            .unwrap();
        let settings =
            DbSettings { path: path.clone(), readers: 2, queue_wait: Duration::from_secs(5) };
        Fixture { db: Db::start(&settings).unwrap(), path, _dir: dir }
    }

    async fn count(db: &Db) -> i64 {
        db.read(|tx| super::super::find(tx, "SELECT COUNT(*) FROM t", &[])?.unwrap().integer(0))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_failing_closure_undoes_itself_and_nobody_else() {
        let fixture = fixture();
        let db = &fixture.db;
        let mut waiting = Vec::new();
        for n in 0..50_i64 {
            let db = db.clone();
            waiting.push(tokio::spawn(async move {
                db.write::<(), DbError, _>(move |tx| {
                    tx.execute("INSERT INTO t (n) VALUES (?1)", params![n])?;
                    if n % 2 == 0 { Ok(()) } else { Err(DbError::Busy) }
                })
                .await
            }));
        }
        let mut stored = 0;
        for task in waiting {
            stored += i64::from(task.await.unwrap().is_ok());
        }
        assert_eq!(stored, 25);
        assert_eq!(count(db).await, 25);
    }

    #[tokio::test]
    async fn a_swallowed_error_still_rolls_back() {
        let fixture = fixture();
        let result: DbResult<()> = fixture
            .db
            .write(|tx| {
                tx.execute("INSERT INTO t (n) VALUES (1)", &[])?;
                let _ = tx.execute("INSERT INTO t (n) VALUES (1)", &[]);
                assert!(matches!(
                    tx.execute("INSERT INTO t (n) VALUES (2)", &[]),
                    Err(DbError::Poisoned)
                ));
                Ok(())
            })
            .await;
        assert!(matches!(result, Err(DbError::Statement { kind: DbFailure::Constraint, .. })));
        assert_eq!(count(&fixture.db).await, 0);
    }

    #[tokio::test]
    async fn a_panicking_closure_fails_alone_and_the_threads_go_on() {
        let fixture = fixture();
        let broken: DbResult<()> = fixture
            .db
            .write(|tx| {
                tx.execute("INSERT INTO t (n) VALUES (1)", &[])?;
                panic!("a bug in a closure")
            })
            .await;
        assert!(matches!(broken, Err(DbError::Statement { .. })));
        for _ in 0..4 {
            let broken: DbResult<()> = fixture.db.read(|_| panic!("a bug in a closure")).await;
            assert!(matches!(broken, Err(DbError::Statement { .. })));
        }
        assert_eq!(count(&fixture.db).await, 0);
        let stored: DbResult<i64> =
            fixture.db.write(|tx| tx.execute("INSERT INTO t (n) VALUES (2)", &[])).await;
        assert_eq!(stored.unwrap(), 1);
    }

    #[tokio::test]
    async fn closing_answers_everybody_and_empties_the_log() {
        let fixture = fixture();
        for n in 0..20_i64 {
            let insert =
                move |tx: &mut dyn Tx| tx.execute("INSERT INTO t (n) VALUES (?1)", params![n]);
            fixture.db.write::<i64, DbError, _>(insert).await.unwrap();
        }
        fixture.db.close().await;
        let late: DbResult<i64> =
            fixture.db.write(|tx| tx.execute("INSERT INTO t (n) VALUES (99)", &[])).await;
        assert!(matches!(late, Err(DbError::Closed)));
        let log = std::fs::metadata(fixture.path.with_extension("db-wal")).map_or(0, |m| m.len());
        assert_eq!(log, 0);
    }
}
