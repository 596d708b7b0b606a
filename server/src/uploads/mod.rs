//! Every way in, and the one road they share.
//!
//! A way in (multipart, raw) gets a [`Stage`] from [`begin`], fills it and reads a name;
//! [`ingest::finish`] turns those into a held asset, or into nothing at all. Resumable uploads ([`tus`]) keep their
//! bytes over restarts and end on the same road.

pub mod allowance;
pub mod ingest;
pub mod reservations;
pub mod routes;
pub mod share;
pub mod tus;

pub use crate::blobs::{Stage, Staged};
pub use ingest::{Also, Arrived, Finished, Origin, find_held, finish, finish_with};

use uuid::Uuid;

use crate::boot::App;
use crate::error::Result;

/// Begins an upload of `declared_bytes` (0 if the client did not say). Refused at once with `StorageFull` when the
/// disk has no room for it, and when the account may not add so much. A stage that is dropped before it is finished leaves nothing behind.
pub async fn begin(app: &App, account: Uuid, declared_bytes: u64) -> Result<Stage> {
    allowance::require_before(app, account, declared_bytes).await?;
    Ok(app.originals.stage(account, declared_bytes).await?)
}
