//! The trash: rows first, files later. A trashed row takes effect at commit; its file is moved to `.trash/<asset
//! id>` afterwards and removed when the trash period is over.

use photosync_protocol::names::fold_key;

use crate::accounts::queries as account_queries;
use crate::blobs::Key;
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::error::Result;
use crate::library::queries::{self, Asset};
use crate::relay::queries as relay_queries;

/// Moves freshly trashed files, removes what is over, erases deleted accounts.
///
/// Does nothing while the storage is not there: on an unmounted disk everything would look removed. One file that
/// cannot be moved is logged and tried again next time; it stops nobody else's.
pub async fn tidy(app: &App) -> Result<()> {
    crate::library::require_storage(app)?;
    let now_ms = app.clock.now_ms();
    let over_ms = now_ms - app.config.trash_days * DAY_MS;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_trashed(tx, i64::MAX, &start, 1000)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            let over = asset.trashed_at_ms.is_some_and(|at| at < over_ms);
            let id = asset.asset_id.clone();
            let done = if over {
                expire(app, asset).await
            } else {
                move_to_trash(app, &asset).await.map(drop)
            };
            if let Err(error) = done {
                let causes = error.cause_chain();
                tracing::warn!(asset = %id, %error, causes, "a trashed file was left for the next round");
            }
        }
    }
    expire_relay(app, over_ms).await?;
    erase_accounts(app, over_ms).await
}

/// The row again, under the stripe of its bytes: nobody else decides about them meanwhile.
async fn find_still_trashed(app: &App, asset: &Asset) -> Result<Option<Asset>> {
    let (account, digest) = (asset.account_uuid, asset.digest);
    let found = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    Ok(found.filter(|found| found.asset_id == asset.asset_id && found.trashed_at_ms.is_some()))
}

/// False if it must be tried again later, because an upload is about to use the name.
async fn move_to_trash(app: &App, asset: &Asset) -> Result<bool> {
    let to = Key::trashed(asset.account_uuid, &asset.asset_id);
    if app.originals.find_size(&to)?.is_some() {
        return Ok(true);
    }
    let _stripe = app.stripes.lock(asset.account_uuid, &asset.digest).await;
    let Some(asset) = find_still_trashed(app, asset).await? else { return Ok(true) };
    // The name may belong to a newer file already, or be about to: then this asset's file is not there any more, and
    // what is there must not be touched.
    let (account, fold) = (asset.account_uuid, fold_key(&asset.stored_name));
    let Some(_guard) = app.names.try_reserve(account, &fold_key(&asset.name), &fold) else {
        return Ok(false);
    };
    if app.db.read(move |tx| queries::find_by_stored_fold(tx, account, &fold)).await?.is_some() {
        return Ok(true);
    }
    let from = Key::original(asset.account_uuid, &asset.stored_name);
    app.originals.relocate(&from, &to).await?;
    Ok(true)
}

async fn expire(app: &App, asset: Asset) -> Result<()> {
    if !move_to_trash(app, &asset).await? {
        return Ok(());
    }
    let _stripe = app.stripes.lock(asset.account_uuid, &asset.digest).await;
    let Some(asset) = find_still_trashed(app, &asset).await? else { return Ok(()) };
    // Row first: bytes without a row in `.trash` are harmless, a row without bytes is not.
    let id = asset.asset_id.clone();
    app.db.write(move |tx| queries::remove(tx, &id)).await?;
    app.originals.remove(&Key::trashed(asset.account_uuid, &asset.asset_id)).await?;
    Ok(())
}

async fn expire_relay(app: &App, over_ms: i64) -> Result<()> {
    loop {
        let chunks = app.db.read(move |tx| relay_queries::list_expired_chunks(tx, over_ms)).await?;
        let manifests =
            app.db.read(move |tx| relay_queries::list_expired_manifests(tx, over_ms)).await?;
        if chunks.is_empty() && manifests.is_empty() {
            return Ok(());
        }
        for (account, chunk_id) in chunks {
            // A chunk that is just being sent again holds the stripe: it comes back before, or is new afterwards.
            let _stripe =
                app.stripes.lock(account, &crate::relay::stripe_of_chunk(&chunk_id)).await;
            let id = chunk_id.clone();
            let gone = app
                .db
                .write(move |tx| relay_queries::remove_expired_chunk(tx, account, &id, over_ms))
                .await?;
            if gone {
                app.relay_chunks.remove(&Key::chunk(account, &chunk_id)).await?;
            }
        }
        for (account, manifest_id) in manifests {
            let _stripe =
                app.stripes.lock(account, &crate::relay::stripe_of_manifest(&manifest_id)).await;
            let id = manifest_id.clone();
            let gone = app
                .db
                .write(move |tx| relay_queries::remove_expired_manifest(tx, account, &id, over_ms))
                .await?;
            if gone {
                app.relay.remove(&Key::manifest(account, &manifest_id)).await?;
            }
        }
    }
}

async fn erase_accounts(app: &App, over_ms: i64) -> Result<()> {
    let accounts = app.db.read(move |tx| account_queries::list_to_erase(tx, over_ms)).await?;
    for account in accounts {
        let now_ms = app.clock.now_ms();
        let erased = app
            .db
            .write(move |tx| account_queries::set_erased(tx, account, over_ms, now_ms))
            .await?;
        if !erased {
            // Brought back in the meantime.
            continue;
        }
        for store in [&app.originals, &app.relay, &app.relay_chunks] {
            let folder = store.account_folder(account);
            let removed =
                tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
            if let Ok(Err(error)) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::error!(%account, %error, "the folder of an erased account could not be removed");
            }
        }
        tracing::warn!(%account, "the trash period of a deleted account is over; its files were removed");
    }
    Ok(())
}

/// Brings everything of an account back that went to the trash since `since_ms`. Returns how many objects came back.
pub async fn restore(app: &App, account: uuid::Uuid, since_ms: i64) -> Result<i64> {
    let mut restored = 0;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app
            .db
            .read(move |tx| queries::list_trashed_of(tx, account, since_ms, &start, 1000))
            .await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            restored += i64::from(crate::uploads::ingest::restore_from_trash(app, asset).await?);
        }
    }
    restored +=
        app.db.write(move |tx| relay_queries::restore_trashed(tx, account, since_ms)).await?;
    Ok(restored)
}
