//! The one road by which bytes become an asset, whichever protocol they came by.
//!
//! Order, and why it may not change: bytes are synced → a name is reserved → the file gets it, without replacing →
//! the folder is synced → the row is committed → the caller answers. A row never points at missing bytes, and an
//! answer never comes before the commit. What a crash leaves is either a staged file (swept) or whole bytes without
//! a row (adopted).

use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::{fold_key, numbered_name, stored_name};
use photosync_protocol::v2::claims::Claims;
use uuid::Uuid;

use super::allowance;
use super::reservations::NameGuard;
use crate::auth::random_id;
use crate::blobs::{CommitOutcome, Key, NAMES_FILE, Staged, append_durably};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use crate::library::claims;
use crate::library::queries::{self, Asset, NewAsset, settled};
use crate::library::rules::taken_of;

/// Whole bytes that want to become an asset.
pub struct Arrived {
    /// Whose they are.
    pub account: Uuid,
    /// Listed name they would like (from `names::parse_wire_name`).
    pub name: String,
    /// The bytes, synced.
    pub staged: Staged,
    /// When they arrived, in Unix milliseconds, if that was earlier and elsewhere; `None` is now.
    pub arrived_at_ms: Option<i64>,
    /// Who sent them, and what it says about them.
    pub origin: Origin,
}

/// Statements of the caller's own; they get the asset's id, and may run again.
pub type Also = Arc<dyn Fn(&mut dyn Tx, &str) -> DbResult<()> + Send + Sync>;

/// Which device sent a file and what it claims. Empty for old clients, which say nothing.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The device, if it speaks the native wire.
    pub device_id: Option<String>,
    /// What it says.
    pub claims: Claims,
}

impl Origin {
    /// Notes, in the transaction that makes or finds the asset, what this device says about it, and that the device
    /// has nothing more to do for it.
    fn note(&self, tx: &mut dyn Tx, asset_id: &str, digest: [u8; 32], now_ms: i64) -> Result<()> {
        let device = self.device_id.as_deref().unwrap_or_default();
        // A place too many is no reason to refuse bytes; `claims` is the route that tells of it.
        let _ = claims::add(tx, asset_id, device, self.claims.clone(), now_ms)?;
        // A purge or the discovery of damage may have come between finding the asset and here.
        if let Some(device) = &self.device_id
            && queries::is_listed(tx, asset_id)?
        {
            settled::settle(tx, device, &[Digest(digest)])?;
        }
        Ok(())
    }

    /// Whether there is nothing to note.
    fn is_silent(&self) -> bool {
        self.device_id.is_none() && self.claims == Claims::default()
    }
}

/// What became of them.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The asset that holds the bytes.
    pub asset_id: String,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// The name it is listed under.
    pub name: String,
    /// Whether the same bytes were held when the request began.
    pub duplicate: bool,
}

impl Finished {
    fn of(draft: &NewAsset) -> Self {
        let (asset_id, name) = (draft.asset_id.clone(), draft.name.clone());
        Self { asset_id, digest: draft.digest, name, duplicate: false }
    }
}

/// Turns whole bytes into a held asset. Runs in a task of its own: a client that closes its socket now changes
/// nothing any more, the result is a whole asset or nothing.
pub async fn finish(app: &App, arrived: Arrived) -> Result<Finished> {
    finish_with(app, arrived, None).await
}

/// [`finish`], with statements that belong into the commit which makes or finds the asset.
pub async fn finish_with(app: &App, arrived: Arrived, also: Option<Also>) -> Result<Finished> {
    let app = app.clone();
    let task = tokio::spawn(async move { finish_here(&app, arrived, also).await });
    task.await.map_err(|source| Error::internal("finish an upload").caused_by(source))?
}

async fn finish_here(app: &App, arrived: Arrived, also: Option<Also>) -> Result<Finished> {
    let Arrived { account, name, staged, arrived_at_ms, origin } = arrived;
    if staged.size_bytes == 0 {
        return Err(Error::new(ErrorCode::EmptyFile, "the file is empty; nothing was stored"));
    }
    let digest = staged.digest;
    let _stripe = app.stripes.lock(account, &digest).await;
    // Most names are free: reserving first makes one question of "are these bytes known?" and "is the name free?".
    let first = Candidate::new(&name, 1);
    let guard = first.try_reserve(app, account);
    let size_bytes = staged.size_bytes;
    let (known, first, taken) = app
        .db
        .read(move |tx| -> Result<(Option<Asset>, Candidate, bool)> {
            let known = queries::find_by_digest(tx, account, &digest)?;
            if known.is_none() {
                allowance::require_in(tx, account, size_bytes)?;
            }
            let taken = first.is_taken(tx, account)?;
            Ok((known, first, taken))
        })
        .await?;
    if let Some(asset) = known {
        drop(guard);
        let finished = meet_known(app, asset, staged).await?;
        note_known(app, &finished, origin, also).await?;
        return Ok(finished);
    }
    let media_type = media_type(&staged.head);
    let reserved = guard.filter(|_| !taken).map(|guard| (first, guard));
    let (draft, _guard) = publish(app, account, &name, reserved, staged, media_type).await?;
    keep_lost_name(app, &draft).await?;
    let finished = Finished::of(&draft);
    let key = Key::original(account, &draft.stored_name);
    let now_ms = draft.arrived_at_ms;
    let taken = origin.claims.captured.as_ref().and_then(taken_of);
    let is_favourite = origin.claims.favourite == Some(true);
    let draft =
        NewAsset { arrived_at_ms: arrived_at_ms.unwrap_or(draft.arrived_at_ms), taken, ..draft };
    let stored = app
        .db
        .write(move |tx| -> Result<()> {
            // Others may have used up what was left while this one was published.
            allowance::require_in(tx, account, size_bytes)?;
            queries::store(tx, &draft)?;
            if is_favourite {
                queries::media::mark_favourite(tx, &draft.asset_id)?;
            }
            origin.note(tx, &draft.asset_id, draft.digest, now_ms)?;
            Ok(also.as_ref().map_or(Ok(()), |also| also(tx, &draft.asset_id))?)
        })
        .await;
    if let Err(error) = stored {
        // No room for the row means that it is certainly not there: give the bytes up too. After any other
        // failure nobody knows, and a row without bytes would be worse than bytes without a row.
        if error.code == ErrorCode::StorageFull || allowance::refused(&error) {
            let _ = app.originals.remove(&key).await;
        }
        return Err(error);
    }
    app.wake_media();
    app.changes.publish(account);
    Ok(finished)
}

/// Notes what a device and the caller say about an asset that was there already. The asset itself does not change.
async fn note_known(
    app: &App,
    finished: &Finished,
    origin: Origin,
    also: Option<Also>,
) -> Result<()> {
    if origin.is_silent() && also.is_none() {
        return Ok(());
    }
    let (asset_id, digest) = (finished.asset_id.clone(), finished.digest);
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| -> Result<()> {
            origin.note(tx, &asset_id, digest, now_ms)?;
            Ok(also.as_ref().map_or(Ok(()), |also| also(tx, &asset_id))?)
        })
        .await
}

/// The held asset with these bytes, if it is certain without receiving them: what a client that names the digest
/// first gets as its answer. Damaged bytes do not count.
pub async fn find_held(
    app: &App,
    account: Uuid,
    digest: [u8; 32],
    origin: Origin,
) -> Result<Option<Finished>> {
    let found = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    let Some(asset) = found.filter(|asset| asset.listed) else { return Ok(None) };
    let key = Key::original(account, &asset.stored_name);
    if app.originals.find_size(&key).await? != u64::try_from(asset.size_bytes).ok() {
        return Ok(None);
    }
    let finished = Finished { asset_id: asset.asset_id, digest, name: asset.name, duplicate: true };
    note_known(app, &finished, origin, None).await?;
    Ok(Some(finished))
}

/// The bytes are known to this account: a duplicate if they are really there, otherwise these replace them.
async fn meet_known(app: &App, asset: Asset, staged: Staged) -> Result<Finished> {
    let key = Key::original(asset.account_uuid, &asset.stored_name);
    let size_bytes = Some(staged.size_bytes);
    let on_disk = app.originals.find_size(&key).await?;
    if asset.listed && on_disk == size_bytes {
        let (asset_id, digest) = (asset.asset_id, asset.digest);
        return Ok(Finished { asset_id, digest, name: asset.name, duplicate: true });
    }
    if asset.trashed_at_ms.is_some() {
        return restore(app, asset, staged).await;
    }
    heal(app, asset, staged).await
}

/// Puts good bytes where an asset's are missing or wrong. Its name is reserved and its row read again: after a purge in
/// between, the file of that name may be somebody else's.
async fn heal(app: &App, asset: Asset, staged: Staged) -> Result<Finished> {
    let (account, digest) = (asset.account_uuid, asset.digest);
    let guard =
        app.names.try_reserve(account, &fold_key(&asset.name), &fold_key(&asset.stored_name));
    let now = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    let still_its_name =
        now.is_some_and(|now| now.trashed_at_ms.is_none() && now.stored_name == asset.stored_name);
    let Some(_guard) = guard.filter(|_| still_its_name) else {
        return restore(app, asset, staged).await;
    };
    let key = Key::original(account, &asset.stored_name);
    // What is there may be all that is left of something a person did by hand: it is set aside, not thrown away.
    if app.originals.find_size(&key).await?.is_some() {
        let aside = Key::quarantined(account, &asset.asset_id);
        app.originals.remove(&aside).await?;
        app.originals.relocate(&key, &aside).await?;
    }
    app.originals.heal(staged, &key).await?;
    tracing::info!(%account, asset = %asset.asset_id, "an original was healed by being sent again");
    let draft = asset.draft();
    let finished = Finished::of(&draft);
    app.db
        .write(move |tx| -> DbResult<()> {
            queries::set_held(tx, &asset, &draft)?;
            // What was read in the damaged bytes may be wrong.
            queries::media::look_again(tx, &asset.asset_id)
        })
        .await?;
    app.wake_media();
    app.changes.publish(account);
    Ok(finished)
}

/// Brings an asset back from the trash with the bytes that were just sent, under its old name if that is free.
async fn restore(app: &App, asset: Asset, staged: Staged) -> Result<Finished> {
    let (account, old_name) = (asset.account_uuid, asset.name.clone());
    // What was damaged counted before: a repair is not refused.
    let more_bytes = if asset.trashed_at_ms.is_some() { staged.size_bytes } else { 0 };
    app.db.read(move |tx| allowance::require_in(tx, account, more_bytes)).await?;
    let in_trash = Key::trashed(account, &asset.asset_id);
    let (mut draft, _guard) =
        publish(app, account, &old_name, None, staged, asset.media_type.clone()).await?;
    draft.asset_id.clone_from(&asset.asset_id);
    keep_lost_name(app, &draft).await?;
    let finished = Finished::of(&draft);
    let old = asset.clone();
    let was = Key::original(account, &asset.stored_name);
    let is = Key::original(account, &draft.stored_name);
    let stored = app
        .db
        .write(move |tx| -> Result<()> {
            allowance::require_in(tx, account, more_bytes)?;
            Ok(queries::set_held(tx, &asset, &draft)?)
        })
        .await;
    if let Err(error) = stored {
        if allowance::refused(&error) {
            let _ = app.originals.remove(&is).await;
        }
        return Err(error);
    }
    app.changes.publish(account);
    // The second copy of the bytes is not needed any more; if this fails, `check` names it.
    let _ = app.originals.remove(&in_trash).await;
    if was != is {
        remove_left_behind(app, &old, &was).await;
    }
    Ok(finished)
}

/// Removes the file a restored asset had before, if it is still there, is still its bytes and nobody else's by now.
/// The reservation matters: without it, another upload could publish its own bytes under this name, be acknowledged,
/// and lose them here.
async fn remove_left_behind(app: &App, old: &Asset, was: &Key) {
    let (name_fold, stored_fold) = (fold_key(&old.name), fold_key(&old.stored_name));
    let account = old.account_uuid;
    let Some(_guard) = app.names.try_reserve(account, &name_fold, &stored_fold) else { return };
    let row = app.db.read(move |tx| queries::find_by_stored_fold(tx, account, &stored_fold)).await;
    let size_bytes = u64::try_from(old.size_bytes).unwrap_or(0);
    if matches!(row, Ok(None))
        && matches!(app.originals.holds(was, &old.digest, size_bytes).await, Ok(true))
    {
        let _ = app.originals.remove(was).await;
    }
}

/// Gives staged bytes the first free name of their kind, on disk and for the listing. The guard keeps the name
/// until the row is committed.
async fn publish(
    app: &App,
    account: Uuid,
    wanted: &str,
    mut reserved: Option<(Candidate, NameGuard)>,
    mut staged: Staged,
    media_type: String,
) -> Result<(NewAsset, NameGuard)> {
    let mut number = 1;
    loop {
        let (candidate, guard) = match reserved.take() {
            Some(reserved) => reserved,
            None => reserve(app, account, wanted, number).await?,
        };
        let key = Key::original(account, &candidate.stored_name);
        let (digest, size_bytes) = (staged.digest, staged.size_bytes);
        match app.originals.commit_new(staged, &key).await? {
            CommitOutcome::Stored | CommitOutcome::AlreadyStored => {
                let asset = NewAsset {
                    asset_id: random_id(),
                    account_uuid: account,
                    digest,
                    size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
                    name_fold: fold_key(&candidate.name),
                    name: candidate.name,
                    stored_fold: fold_key(&candidate.stored_name),
                    stored_name: candidate.stored_name,
                    media_type,
                    arrived_at_ms: app.clock.now_ms(),
                    taken: None,
                };
                return Ok((asset, guard));
            }
            // A file without a row has this name: leave it alone, take the next number.
            CommitOutcome::Taken(back) => {
                staged = back;
                number = candidate.number + 1;
            }
        }
    }
}

/// A name that an original may get.
pub struct Candidate {
    /// Which of its kind: `a.jpg` is 1, `a (2).jpg` is 2.
    pub number: u64,
    /// As it is listed.
    pub name: String,
    /// As the disk can keep it.
    pub stored_name: String,
}

impl Candidate {
    fn new(wanted: &str, number: u64) -> Self {
        let name = numbered_name(wanted, number);
        Self { number, stored_name: stored_name(&name), name }
    }

    fn try_reserve(&self, app: &App, account: Uuid) -> Option<NameGuard> {
        app.names.try_reserve(account, &fold_key(&self.name), &fold_key(&self.stored_name))
    }

    fn is_taken(&self, tx: &mut dyn Tx, account: Uuid) -> DbResult<bool> {
        queries::is_name_taken(tx, account, &fold_key(&self.name), &fold_key(&self.stored_name))
    }
}

/// The first name from `number` on that no row and no other upload has.
pub async fn reserve(
    app: &App,
    account: Uuid,
    wanted: &str,
    mut number: u64,
) -> Result<(Candidate, NameGuard)> {
    loop {
        let candidate = Candidate::new(wanted, number);
        let Some(guard) = candidate.try_reserve(app, account) else {
            number += 1;
            continue;
        };
        // Asked only while the name is reserved: otherwise a row could appear in between.
        let wanted = wanted.to_owned();
        let (candidate, free) = app
            .db
            .read(move |tx| -> DbResult<(Candidate, u64)> {
                let taken = candidate.is_taken(tx, account)?;
                let free = if taken { next_free(tx, account, &wanted, number)? } else { number };
                Ok((candidate, free))
            })
            .await?;
        if free == number {
            return Ok((candidate, guard));
        }
        number = free;
    }
}

/// A free number above a taken one, in a logarithmic number of look-ups: doubling until one is free, then halving
/// the gap. With gaps in the numbering this need not be the smallest.
fn next_free(tx: &mut dyn Tx, account: Uuid, wanted: &str, taken: u64) -> DbResult<u64> {
    let (mut low, mut step) = (taken, 1);
    let mut high = loop {
        let probe = low + step;
        if !Candidate::new(wanted, probe).is_taken(tx, account)? {
            break probe;
        }
        low = probe;
        step *= 2;
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if Candidate::new(wanted, middle).is_taken(tx, account)? {
            low = middle
        } else {
            high = middle
        }
    }
    Ok(high)
}

/// Writes the listed name beside the files if the disk could not keep it, before the row: `rebuild` finds it there.
pub async fn keep_lost_name(app: &App, asset: &NewAsset) -> Result<()> {
    if asset.name == asset.stored_name {
        return Ok(());
    }
    let path = app.originals.account_folder(asset.account_uuid).join(NAMES_FILE);
    let line = serde_json::json!({"stored": asset.stored_name, "name": asset.name}).to_string();
    let append = move || append_durably(&path, &line);
    let failed = |source| crate::blobs::BlobError::new("note the name of", "an upload", source);
    tokio::task::spawn_blocking(append)
        .await
        .map_err(|source| failed(std::io::Error::other(source)))?
        .map_err(failed)?;
    Ok(())
}

/// The media type of a file by its first bytes; the label a client sends is not believed.
pub fn media_type(head: &[u8]) -> String {
    infer::get(head).map_or("application/octet-stream", |kind| kind.mime_type()).to_owned()
}

/// Brings a trashed asset back with the bytes that are still on disk; false if they are not.
pub async fn restore_from_trash(app: &App, asset: Asset) -> Result<bool> {
    let account = asset.account_uuid;
    let _stripe = app.stripes.lock(account, &asset.digest).await;
    let in_trash = Key::trashed(account, &asset.asset_id);
    let mut number = 1;
    loop {
        let (candidate, _guard) = reserve(app, account, &asset.name, number).await?;
        let key = Key::original(account, &candidate.stored_name);
        let size_bytes = u64::try_from(asset.size_bytes).unwrap_or(0);
        let moved = match app.originals.relocate(&in_trash, &key).await {
            Ok(moved) => moved,
            Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.into()),
        };
        if !moved && !app.originals.holds(&key, &asset.digest, size_bytes).await? {
            if app.originals.find_size(&key).await?.is_none() {
                return Ok(false);
            }
            number = candidate.number + 1;
            continue;
        }
        let draft = NewAsset {
            name_fold: fold_key(&candidate.name),
            name: candidate.name,
            stored_fold: fold_key(&candidate.stored_name),
            stored_name: candidate.stored_name,
            ..asset.draft()
        };
        keep_lost_name(app, &draft).await?;
        app.db.write(move |tx| queries::set_held(tx, &asset, &draft)).await?;
        app.changes.publish(account);
        return Ok(true);
    }
}
