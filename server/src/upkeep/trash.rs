//! The trash: rows first, files later. A trashed row takes effect at commit; its file is moved to `.trash/<asset
//! id>` afterwards and removed when the trash period is over.

use std::time::Duration;

use photosync_protocol::names::fold_key;

use super::sweep::{self, Swept};
use crate::accounts::queries as account_queries;
use crate::blobs::{BlobError, Key};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::library::queries::{self, Asset};
use crate::relay::queries as relay_queries;

/// Moves freshly trashed files.
///
/// Does nothing while the storage is not there: on an unmounted disk everything would look removed. One file that
/// cannot be moved is logged and tried again next time; it stops nobody else's.
pub async fn tidy(app: &App) -> Result<()> {
    crate::library::require_storage(app).await?;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_trashed(tx, i64::MAX, &start, 1000)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.asset_id);
        for asset in page {
            if let Err(error) = move_to_trash(app, &asset).await {
                leave(&asset.asset_id, &error);
            }
        }
    }
}

fn leave(asset: &str, error: &Error) {
    let causes = error.cause_chain();
    tracing::warn!(asset, %error, causes, "a trashed file was left for the next round");
}

/// Removes for good what went to the trash before `over_ms`, and erases accounts that were deleted before. The caller
/// holds the lease. One file that cannot be removed is logged and tried again next time.
pub(super) async fn expire(app: &App, over_ms: i64, swept: &mut Swept) -> Result<()> {
    crate::library::require_storage(app).await?;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_trashed(tx, over_ms, &start, 1000)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            let (id, size_bytes) = (asset.asset_id.clone(), asset.size_bytes);
            match expire_original(app, asset, over_ms).await {
                Ok(true) => swept.originals.add(size_bytes),
                Ok(false) => {}
                Err(error) => leave(&id, &error),
            }
        }
    }
    expire_relay(app, over_ms, swept).await?;
    erase_accounts(app, over_ms, swept).await
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
    if app.originals.find_size(&to).await?.is_some() {
        return Ok(true);
    }
    let _stripe = app.stripes.lock(asset.account_uuid, &asset.digest).await;
    let Some(asset) = find_still_trashed(app, asset).await? else { return Ok(true) };
    // The name may belong to a newer file already, or be about to: then what is there must not be touched.
    let (account, fold) = (asset.account_uuid, fold_key(&asset.stored_name));
    let Some(_guard) = app.names.try_reserve(account, &fold_key(&asset.name), &fold) else {
        return Ok(false);
    };
    let from = Key::original(account, &asset.stored_name);
    let newer = app.db.read(move |tx| queries::find_by_stored_fold(tx, account, &fold)).await?;
    if let Some(newer) = newer {
        // `a.jpg` and `A.JPG` are two files on most disks and one on others: only the bytes tell whose is here.
        let size_bytes = u64::try_from(asset.size_bytes).unwrap_or(0);
        let is_two_files = newer.stored_name != asset.stored_name
            && app.originals.holds(&from, &asset.digest, size_bytes).await?;
        if !is_two_files {
            return Ok(true);
        }
    }
    app.originals.relocate(&from, &to).await?;
    Ok(true)
}

/// [`move_to_trash`], tried again while an upload is using the name: it does so for moments only.
async fn move_to_trash_soon(app: &App, asset: &Asset) -> Result<()> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..TRIES {
        if move_to_trash(app, asset).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// False if it came back, or its name is in use at this moment.
async fn expire_original(app: &App, asset: Asset, over_ms: i64) -> Result<bool> {
    if !move_to_trash(app, &asset).await? {
        return Ok(false);
    }
    let _stripe = app.stripes.lock(asset.account_uuid, &asset.digest).await;
    let Some(asset) = find_still_trashed(app, &asset).await? else { return Ok(false) };
    // It may have come back and gone again since it was listed.
    if asset.trashed_at_ms.is_none_or(|at_ms| at_ms >= over_ms) {
        return Ok(false);
    }
    // Row first: bytes without a row in `.trash` are harmless, a row without bytes is not.
    let (row, now_ms) = (asset.clone(), app.clock.now_ms());
    app.db.write(move |tx| queries::remove(tx, &row, now_ms)).await?;
    app.changes.publish(asset.account_uuid);
    crate::fault::point("expire").map_err(|source| BlobError::new("expire", "a file", source))?;
    app.originals.remove(&Key::trashed(asset.account_uuid, &asset.asset_id)).await?;
    crate::media::forget(app, asset.account_uuid, &asset.asset_id).await?;
    Ok(true)
}

async fn expire_relay(app: &App, over_ms: i64, swept: &mut Swept) -> Result<()> {
    if app.db.read(move |tx| relay_queries::chains::has_expired(tx, over_ms)).await? {
        app.db.write(move |tx| relay_queries::chains::remove_expired(tx, over_ms)).await?;
    }
    loop {
        let chunks =
            app.db.read(move |tx| relay_queries::objects::list_expired(tx, over_ms)).await?;
        let manifests =
            app.db.read(move |tx| relay_queries::list_expired_manifests(tx, over_ms)).await?;
        if chunks.is_empty() && manifests.is_empty() {
            return Ok(());
        }
        for (account, chunk_id, bytes) in chunks {
            // A chunk that is just being sent again holds the stripe: it comes back before, or is new afterwards.
            let _stripe =
                app.stripes.lock(account, &crate::relay::stripe_of_chunk(&chunk_id)).await;
            let id = chunk_id.clone();
            let gone = app
                .db
                .write(move |tx| relay_queries::objects::remove_expired(tx, account, &id, over_ms))
                .await?;
            if gone {
                app.relay_chunks.remove(&Key::chunk(account, &chunk_id)).await?;
                swept.sealed.add(bytes);
            }
        }
        for (account, manifest_id, bytes) in manifests {
            let _stripe =
                app.stripes.lock(account, &crate::relay::stripe_of_manifest(&manifest_id)).await;
            let id = manifest_id.clone();
            let gone = app
                .db
                .write(move |tx| relay_queries::remove_expired_manifest(tx, account, &id, over_ms))
                .await?;
            if gone {
                app.relay.remove(&Key::manifest(account, &manifest_id)).await?;
                swept.sealed.add(bytes);
            }
        }
    }
}

/// Accounts that were deleted before `over_ms` and still have something, a hundred at most.
pub(super) async fn list_to_erase(app: &App, over_ms: i64) -> Result<Vec<uuid::Uuid>> {
    Ok(app.db.read(move |tx| account_queries::list_to_erase(tx, over_ms)).await?)
}

async fn erase_accounts(app: &App, over_ms: i64, swept: &mut Swept) -> Result<()> {
    for account in list_to_erase(app, over_ms).await? {
        let now_ms = app.clock.now_ms();
        let had = sweep::measure_account(app, account).await?;
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
        if let Err(error) = crate::media::forget_account(app, account).await {
            tracing::error!(%account, %error, causes = error.cause_chain(), "the thumbnails of an erased account could not be removed");
        }
        swept.accounts += had;
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
            restored += i64::from(restore_one(app, asset).await?);
        }
    }
    restored +=
        app.db.write(move |tx| relay_queries::restore_trashed(tx, account, since_ms)).await?;
    Ok(restored)
}

/// Brings one original back from the trash; false if its bytes are not there any more.
pub async fn restore_one(app: &App, asset: Asset) -> Result<bool> {
    // Its name may belong to a newer file by now: from the trash it comes back under any free one.
    move_to_trash_soon(app, &asset).await?;
    crate::uploads::ingest::restore_from_trash(app, asset).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use uuid::Uuid;

    use super::*;
    use crate::accounts;
    use crate::auth::passwords::PasswordCost;
    use crate::boot::{BootOptions, boot};
    use crate::clock::Clock;
    use crate::config::{self, Config};
    use crate::uploads::{self, Arrived};

    /// A file's name and bytes.
    type Named = (String, Vec<u8>);

    /// A server whose upkeep runs only when a test says so, with one account.
    async fn server(dir: &Path) -> (App, Uuid) {
        let settings = config::resolve(&config::Sources::default()).unwrap();
        let options = BootOptions {
            password_cost: PasswordCost::CHEAP,
            clock: Clock::manual(1_700_000_000_000),
            ..BootOptions::default()
        };
        let app = boot(Config::parse(&settings, dir).unwrap(), options).await.unwrap();
        let account =
            accounts::add(&app, "a@example.org", "password 1".into(), false).await.unwrap();
        (app, account.account_uuid)
    }

    async fn upload(app: &App, account: Uuid, name: &str, bytes: &'static [u8]) -> String {
        let mut stage = uploads::begin(app, account, 0).await.unwrap();
        stage.push(bytes.into()).await.unwrap();
        let staged = stage.seal().await.unwrap();
        let arrived = Arrived {
            account,
            name: name.into(),
            staged,
            arrived_at_ms: None,
            origin: crate::uploads::Origin::default(),
        };
        uploads::finish(app, arrived).await.unwrap().name
    }

    /// `a.jpg` is purged, and `A.JPG` arrives before upkeep has moved it. Only where letter case tells names apart.
    #[cfg(target_os = "linux")]
    async fn purged_and_followed(dir: &Path) -> (App, Uuid) {
        let (app, account) = server(dir).await;
        upload(&app, account, "a.jpg", b"the older").await;
        assert_eq!(crate::library::purge(&app, account).await.unwrap(), 1);
        assert_eq!(upload(&app, account, "A.JPG", b"the newer").await, "A.JPG");
        (app, account)
    }

    /// Names and bytes of the visible files and of those in the trash.
    fn files(app: &App, account: Uuid) -> (Vec<Named>, Vec<Vec<u8>>) {
        let read = |folder: &Path| -> Vec<Named> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files: Vec<_> = entries
                .filter(|entry| entry.path().is_file())
                .map(|entry| {
                    let name = entry.file_name().into_string().unwrap();
                    (name, std::fs::read(entry.path()).unwrap())
                })
                .filter(|(name, _)| !name.starts_with('.'))
                .collect();
            files.sort();
            files
        };
        let folder = app.originals.account_folder(account);
        let in_trash = read(&folder.join(".trash")).into_iter().map(|(_, bytes)| bytes).collect();
        (read(&folder), in_trash)
    }

    fn file(name: &str, bytes: &[u8]) -> Named {
        (name.into(), bytes.to_vec())
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_purged_file_moves_and_expires_although_a_newer_one_differs_in_case_only() {
        let dir = tempfile::tempdir().unwrap();
        let (app, account) = purged_and_followed(dir.path()).await;
        tidy(&app).await.unwrap();
        let newer = vec![file("A.JPG", b"the newer")];
        assert_eq!(files(&app, account), (newer.clone(), vec![b"the older".to_vec()]));
        app.clock.advance(Duration::from_hours(24 * 400));
        assert_eq!(sweep::sweep(&app).await.unwrap().originals.count, 1);
        assert_eq!(files(&app, account), (newer, vec![]));
        let report = crate::upkeep::check::check(&app, true).await.unwrap();
        assert_eq!((report.disagreements, report.spares), (vec![], vec![]));
    }

    #[tokio::test]
    async fn while_a_backup_is_made_nothing_is_removed_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let (app, account) = server(dir.path()).await;
        upload(&app, account, "a.jpg", b"the older").await;
        crate::library::purge(&app, account).await.unwrap();
        tidy(&app).await.unwrap();
        app.clock.advance(Duration::from_hours(24 * 400));
        let found = sweep::survey(&app).await.unwrap();
        assert_eq!((found.originals.count, found.originals.bytes), (1, 9));
        let backup = app.lease.read().await;
        sweep::sweep_by_itself(&app).await;
        assert_eq!(files(&app, account), (vec![], vec![b"the older".to_vec()]));
        assert_eq!(sweep::survey(&app).await.unwrap(), found, "asking removes nothing");
        drop(backup);
        sweep::sweep_by_itself(&app).await;
        assert_eq!(files(&app, account), (vec![], vec![]));
    }

    #[tokio::test]
    async fn a_newer_file_under_the_name_of_one_in_the_trash_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (app, account) = server(dir.path()).await;
        upload(&app, account, "a.jpg", b"the older").await;
        assert_eq!(crate::library::purge(&app, account).await.unwrap(), 1);
        tidy(&app).await.unwrap();
        assert_eq!(upload(&app, account, "a.jpg", b"newer, and of another length").await, "a.jpg");
        let report = crate::upkeep::check::check(&app, true).await.unwrap();
        assert_eq!((report.disagreements, report.spares), (vec![], vec![]));
        assert_eq!(restore(&app, account, 0).await.unwrap(), 1);
        let both =
            vec![file("a (2).jpg", b"the older"), file("a.jpg", b"newer, and of another length")];
        assert_eq!(files(&app, account), (both, vec![]));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn restoring_brings_a_file_back_that_was_not_moved_yet_beside_the_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let (app, account) = purged_and_followed(dir.path()).await;
        assert_eq!(restore(&app, account, 0).await.unwrap(), 1);
        let expected = vec![file("A.JPG", b"the newer"), file("a (2).jpg", b"the older")];
        assert_eq!(files(&app, account), (expected, vec![]));
        let listed = crate::library::list_page(&app, account, 0, 10).await.unwrap();
        let mut names: Vec<String> = listed.rows.into_iter().map(|row| row.name).collect();
        names.sort();
        assert_eq!(names, ["A.JPG", "a (2).jpg"]);
        let report = crate::upkeep::check::check(&app, true).await.unwrap();
        assert_eq!((report.disagreements, report.spares), (vec![], vec![]));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn on_a_disk_without_letter_case_the_newer_file_is_not_taken_for_the_purged_one() {
        let dir = tempfile::tempdir().unwrap();
        let (app, account) = purged_and_followed(dir.path()).await;
        // As such a disk shows it: the old spelling opens the newer file.
        let folder = app.originals.account_folder(account);
        std::fs::remove_file(folder.join("a.jpg")).unwrap();
        std::fs::hard_link(folder.join("A.JPG"), folder.join("a.jpg")).unwrap();
        tidy(&app).await.unwrap();
        assert_eq!(restore(&app, account, 0).await.unwrap(), 0);
        let (visible, in_trash) = files(&app, account);
        assert_eq!(visible[0], file("A.JPG", b"the newer"));
        assert!(in_trash.is_empty());
    }
}
