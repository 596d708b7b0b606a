//! Looking after what is stored: adopting files without a row, moving and emptying the trash, checking the index
//! against the disk, and rebuilding it from the folders alone.

pub mod adopt;
pub mod check;
pub mod rebuild;
pub mod trash;

use std::time::Duration;

use crate::boot::App;

/// Upkeep looks around this often even if nobody asks.
const EVERY: Duration = Duration::from_secs(3600);

/// Runs until it is dropped: adopts what an earlier run left, then keeps the trash.
pub async fn run(app: App) {
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
        let _ = tokio::time::timeout(EVERY, app.upkeep_wanted()).await;
    }
}
