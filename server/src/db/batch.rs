//! What the writer does with the jobs that wait: each in a savepoint, one commit for all, then the answers.

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::sqlite::{SqliteTx, caught, failure_kind};
use super::{DbError, DbFailure, DbResult, Tx};

/// A job in the writer's queue.
pub(super) type WriteJob = Box<dyn Write>;

/// One closure on its way through the writer: run in a savepoint, answered after the commit of its batch.
pub(super) trait Write: Send {
    /// Runs the closure; false means roll its savepoint back.
    fn run(&mut self, tx: &mut SqliteTx<'_>) -> bool;
    /// Sends the result, or the failure of the commit, to whoever waits.
    fn answer(self: Box<Self>, commit: &DbResult<()>);
    /// Whether this is the order to stop.
    fn is_stop(&self) -> bool {
        false
    }
}

/// A closure, its result once it ran, and who waits for it.
pub(super) struct Pending<T, E, F> {
    pub(super) closure: F,
    pub(super) result: Option<Result<T, E>>,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
    pub(super) _place: OwnedSemaphorePermit,
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

/// The order to stop, after everything that was sent before it.
pub(super) struct Stop;

impl Write for Stop {
    fn run(&mut self, _tx: &mut SqliteTx<'_>) -> bool {
        true
    }
    fn answer(self: Box<Self>, _commit: &DbResult<()>) {}
    fn is_stop(&self) -> bool {
        true
    }
}

/// Runs every job in a savepoint of one transaction and commits once. An error here concerns the whole batch.
pub(super) fn commit_batch(connection: &Connection, batch: &mut [WriteJob]) -> DbResult<()> {
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
