//! Looking after what is stored: adopting files without a row, moving and emptying the trash, reading files back,
//! checking the index against the disk, and rebuilding it from the folders alone.

pub mod adopt;
pub mod backup;
pub mod check;
mod queries;
pub mod rebuild;
pub mod scrub;
pub mod sealed;
pub mod sweep;
pub mod trash;
pub mod verify;

use std::time::Duration;

use photosync_protocol::error::ErrorCode;

use crate::accounts::queries::find_fact;
use crate::boot::App;
use crate::error::{Error, Result};

/// Upkeep looks around this often even if nobody asks.
const EVERY: Duration = Duration::from_secs(3600);

/// Says whether requests can be answered now: the database answers readers and writers, and the storage of the originals is the one it
/// knows, not a folder on which a disk should be mounted.
pub async fn require_ready(app: &App) -> Result<()> {
    let known: Option<String> = app.db.read(|tx| find_fact(tx, "volume:uploads")).await?;
    app.db.ask_writer().await?;
    if known.is_some() && known == app.originals.find_volume_id().await {
        return Ok(());
    }
    Err(Error::new(ErrorCode::StorageFailed, "the storage of the originals is not there"))
}

/// Runs until it is dropped: adopts what an earlier run left, then keeps the trash. Beside it, files are read back: when
/// somebody asks for receipts, and everything in turn; the server is backed up, if it was told
/// where to; a newer version is looked for; and thumbnails are made.
pub async fn run(app: App) {
    tokio::join!(
        verify::run(app.clone()),
        scrub::run(app.clone()),
        backup::schedule::run(app.clone()),
        crate::updates::check::run(app.clone()),
        crate::media::queue::run(app.clone()),
        crate::media::films::run(app.clone()),
        crate::library::search::index_old(app.clone()),
        keep(app)
    );
}

async fn keep(app: App) {
    match adopt::adopt_all(&app).await {
        Ok(0) => {}
        Ok(adopted) => tracing::info!(
            adopted,
            "files without an entry in the index belong to their folder's account now"
        ),
        Err(error) => {
            tracing::error!(%error, causes = error.cause_chain(), "looking for files without an entry failed")
        }
    }
    loop {
        if let Err(error) = trash::tidy(&app).await {
            tracing::error!(%error, causes = error.cause_chain(), "looking after the trash failed; it is tried again");
        }
        if let Err(error) = crate::library::settled::sweep(&app).await {
            tracing::error!(%error, causes = error.cause_chain(), "sweeping emptied sets failed; it is tried again");
        }
        sweep::sweep_by_itself(&app).await;
        if let Err(error) = crate::media::sweep(&app).await {
            tracing::error!(%error, causes = error.cause_chain(), "sweeping thumbnails failed; it is tried again");
        }
        let _ = tokio::time::timeout(EVERY, app.upkeep_wanted()).await;
    }
}
