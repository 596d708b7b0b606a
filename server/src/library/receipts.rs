//! How sure the server is of files, and signed statements about those it has read back from its disk.

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::Safety;
use photosync_protocol::v2::settled::{FileSafety, Receipt};
use uuid::Uuid;

use super::STEP_ROWS;
use super::queries::{self, Asset, safety};
use crate::boot::App;
use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::upkeep::verify;

/// Bytes that are read back at most before a request is answered; the rest waits for the worker.
const MAX_INLINE_BYTES: i64 = 64 * 1024 * 1024;
/// Milliseconds after which no further file is read back before the answer.
const MAX_INLINE_MS: u64 = 2000;

/// Asks for every held file of these that was never read back, and reads a few at once, so that a phone which asks
/// for the photos of today gets receipts in the same answer.
pub async fn prepare(app: &App, account: Uuid, digests: &[Digest]) -> Result<()> {
    let mut soon: Vec<Asset> = Vec::new();
    let mut soon_bytes = 0;
    for step in digests.chunks(STEP_ROWS as usize) {
        let waiting: Vec<Asset> = find_assets(app, account, step.to_vec())
            .await?
            .into_iter()
            .flatten()
            .filter(|asset| asset.verified_at_ms.is_none())
            .collect();
        if waiting.is_empty() {
            continue;
        }
        let asset_ids: Vec<String> = waiting.iter().map(|asset| asset.asset_id.clone()).collect();
        let now_ms = app.clock.now_ms();
        app.db.write(move |tx| safety::queue(tx, account, &asset_ids, now_ms)).await?;
        for asset in waiting {
            if soon_bytes + asset.size_bytes <= MAX_INLINE_BYTES {
                soon_bytes += asset.size_bytes;
                soon.push(asset);
            }
        }
    }
    let watch = Stopwatch::start();
    for asset in soon {
        if watch.elapsed_ms() >= MAX_INLINE_MS || !verify::verify_if_idle(app, asset).await? {
            break;
        }
    }
    app.verifier.wake();
    Ok(())
}

/// The held assets with these digests, in their order; `None` for one that is not held.
async fn find_assets(app: &App, account: Uuid, digests: Vec<Digest>) -> Result<Vec<Option<Asset>>> {
    app.db
        .read(move |tx| -> Result<Vec<Option<Asset>>> {
            let mut found = Vec::with_capacity(digests.len());
            for digest in &digests {
                let asset = queries::find_by_digest(tx, account, &digest.0)?;
                found.push(asset.filter(|asset| asset.listed));
            }
            Ok(found)
        })
        .await
}

/// How sure the server is of each of these files at this moment, with receipts for those that were read back.
pub async fn list(app: &App, account: Uuid, digests: Vec<Digest>) -> Result<Vec<FileSafety>> {
    let found = find_assets(app, account, digests.clone()).await?;
    let (app, issued_at_ms) = (app.clone(), app.clock.now_ms());
    // A thousand signatures take as long as a small file: not on a thread that answers requests.
    let told = tokio::task::spawn_blocking(move || {
        let both = digests.into_iter().zip(found);
        both.map(|(digest, asset)| tell(&app, digest, asset, issued_at_ms)).collect()
    });
    told.await.map_err(|source| Error::internal("sign receipts").caused_by(source))
}

fn tell(app: &App, digest: Digest, asset: Option<Asset>, issued_at_ms: i64) -> FileSafety {
    let mut told =
        FileSafety { digest, state: Safety::Known, receipt: None, second_copy_at_ms: None };
    let Some(asset) = asset else { return told };
    told.second_copy_at_ms = asset.copied_at_ms;
    told.state = match (asset.verified_at_ms, asset.copied_at_ms) {
        (None, _) => Safety::Received,
        (Some(_), None) => Safety::Verified,
        (Some(_), Some(_)) => Safety::SecondCopy,
    };
    told.receipt =
        asset.verified_at_ms.map(|read_at_ms| sign(app, &asset, read_at_ms, issued_at_ms));
    told
}

fn sign(app: &App, asset: &Asset, verified_at_ms: i64, issued_at_ms: i64) -> Receipt {
    let mut receipt = Receipt {
        fingerprint: app.identity.fingerprint().to_owned(),
        account_uuid: asset.account_uuid.to_string(),
        digest: Digest(asset.digest),
        size_bytes: u64::try_from(asset.size_bytes).unwrap_or(0),
        verified_at_ms,
        issued_at_ms,
        public_key: app.identity.public_key(),
        signature: String::new(),
    };
    receipt.signature = app.identity.sign(&receipt.signed_bytes());
    receipt
}
