//! SQLite behind two calls: one writer thread that commits in groups, a few reader threads, and a thread that
//! moves the log back into the database while nobody waits for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::batch::{Pending, Stop, WriteJob, commit_batch};
use super::sqlite::{open, open_reader, read_transaction, statement_error};
use super::{DbError, DbFailure, DbResult, Tx};

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
    /// Whether writing is refused.
    is_held: AtomicBool,
}

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

enum Checkpoint {
    Passive,
    Stop,
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
                is_held: AtomicBool::new(false),
            }),
        })
    }

    /// Refuses every [`Db::write`] from now on, until [`Db::release`].
    pub fn hold(&self) {
        self.inner.is_held.store(true, Ordering::SeqCst);
    }

    /// Ends [`Db::hold`].
    pub fn release(&self) {
        self.inner.is_held.store(false, Ordering::SeqCst);
    }

    /// Waits until the writer has taken a job and answered it. It writes nothing, so that nothing is synced, and is not
    /// refused.
    pub async fn ask_writer(&self) -> DbResult<()> {
        self.write_always(|_| Ok(())).await
    }

    /// Runs `closure` in a transaction and returns its result after the commit is durable. An `Err` rolls back
    /// exactly this closure's changes. Dropping the returned future does not undo anything.
    pub async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        if self.inner.is_held.load(Ordering::SeqCst) {
            return Err(DbError::OnTrial.into());
        }
        self.write_always(closure).await
    }

    async fn write_always<T, E, F>(&self, closure: F) -> Result<T, E>
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
