//! Removing what nobody needs any more: uploads that nobody came back for, what has been in the trash for long enough,
//! accounts that were removed, and sealed objects that no backup names. The server does it every hour, an operator when
//! asked, and first only says what it would do.
//!
//! Files below `uploads/` that a person can see are never removed: those without an entry are taken in, or named. While a
//! backup is made, all of this waits.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{adopt, check, queries, sealed, trash};
use crate::accounts;
use crate::blobs::{BlobError, LocalStore, TRASH};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::error::{Error, Result};
use crate::library::queries::find_by_id;
use crate::uploads::tus;

/// A staged file of a running server that nobody has written to for this long belongs to no upload any more.
const STALE: Duration = Duration::from_hours(24);
/// A visible file is taken in when nobody has written to it for this long, milliseconds: it may still be being copied.
const SETTLED_MS: i64 = 60_000;

/// So many of something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
}

impl Amount {
    /// One more.
    pub fn add(&mut self, bytes: i64) {
        self.count += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(0);
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// What was removed, or would be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that nobody came back for, and what failed ones left.
    pub uploads: Amount,
    /// Originals whose trash period is over.
    pub originals: Amount,
    /// Files in the trash without an entry, left by a crash longer ago than the trash period.
    pub leftovers: Amount,
    /// Sealed objects and manifests whose trash period is over.
    pub sealed: Amount,
    /// Sealed objects that go to the trash, because no backup names them. They take room until its period is over.
    pub unnamed: Amount,
    /// Accounts that were removed longer ago than the trash period, with everything they had.
    pub accounts: Amount,
    /// Visible files that were taken in.
    pub adopted: u64,
    /// One sentence for each visible file that has no entry; a dry run also names those that would be taken in.
    pub left: Vec<String>,
}

impl Swept {
    /// The kinds with their names, in the order in which they are told.
    pub fn kinds(&self) -> [(&'static str, Amount); 6] {
        [
            ("uploads that nobody came back for", self.uploads),
            ("originals whose trash period is over", self.originals),
            ("files that a crash left in the trash", self.leftovers),
            ("sealed objects whose trash period is over", self.sealed),
            ("sealed objects that no backup names, to the trash", self.unnamed),
            ("removed accounts, with all they had", self.accounts),
        ]
    }

    /// Everything that is off the disk now, or would be.
    pub fn total(&self) -> Amount {
        let mut total = Amount::default();
        for kind in [self.uploads, self.originals, self.leftovers, self.sealed, self.accounts] {
            total += kind;
        }
        total
    }
}

/// What a sweep would find now. Changes nothing.
pub async fn survey(app: &App) -> Result<Swept> {
    crate::library::require_storage(app).await?;
    let now_ms = app.clock.now_ms();
    let (over_ms, unnamed_ms) = limits(app, now_ms);
    let mut found = app
        .db
        .read(move |tx| -> Result<Swept> {
            Ok(Swept {
                originals: queries::sum_expired_originals(tx, over_ms)?,
                sealed: queries::sum_expired_sealed(tx, over_ms)?,
                unnamed: queries::sum_unnamed(tx, unnamed_ms)?,
                ..Swept::default()
            })
        })
        .await?;
    found.uploads = tus::survey_expired(app).await?;
    for file in find_stale(app).await? {
        found.uploads.add(file.bytes);
    }
    for (_, _, bytes) in find_leftovers(app).await? {
        found.leftovers.add(bytes);
    }
    for account in trash::list_to_erase(app, over_ms).await? {
        found.accounts += measure_account(app, account).await?;
    }
    found.left = check::list_without_entry(app).await?;
    Ok(found)
}

/// Waits for a backup to end, then removes what is due and takes in what is visible.
pub async fn sweep(app: &App) -> Result<Swept> {
    let _lease = app.lease.write().await;
    let mut swept = remove_due(app).await?;
    crate::media::sweep_all(app).await?;
    let adopted = adopt::adopt_settled(app, SETTLED_MS).await?;
    swept.adopted = adopted.files;
    swept.left = check::list_without_entry(app).await?;
    Ok(swept)
}

/// Removes what is due, unless a backup is being made. What fails is logged and tried again.
pub async fn sweep_by_itself(app: &App) {
    let Ok(_lease) = app.lease.try_write() else { return };
    match remove_due(app).await {
        Ok(swept) => {
            for (kind, amount) in swept.kinds().into_iter().filter(|(_, amount)| amount.count > 0) {
                tracing::info!(count = amount.count, bytes = amount.bytes, "swept: {kind}");
            }
        }
        Err(error) => {
            tracing::error!(%error, causes = error.cause_chain(), "sweeping failed; it is tried again");
        }
    }
}

/// The caller holds the lease.
async fn remove_due(app: &App) -> Result<Swept> {
    crate::library::require_storage(app).await?;
    let now_ms = app.clock.now_ms();
    let (over_ms, unnamed_ms) = limits(app, now_ms);
    let mut swept = Swept { uploads: tus::sweep_expired(app).await?, ..Swept::default() };
    for file in find_stale(app).await? {
        if remove_file(file.path).await? {
            swept.uploads.add(file.bytes);
        }
    }
    trash::expire(app, over_ms, &mut swept).await?;
    for (account, asset_id, bytes) in find_leftovers(app).await? {
        // Looked at again: meanwhile it may have got its entry back.
        let id = asset_id.clone();
        if app.db.read(move |tx| find_by_id(tx, account, &id)).await?.is_none() {
            let path = app.originals.account_folder(account).join(TRASH).join(asset_id);
            if remove_file(path).await? {
                swept.leftovers.add(bytes);
            }
        }
    }
    swept.unnamed = sealed::collect(app, unnamed_ms).await?;
    Ok(swept)
}

/// Before when something must have gone to the trash, and before when a sealed object must have come.
fn limits(app: &App, now_ms: i64) -> (i64, i64) {
    let before = |days: i64| now_ms - days * DAY_MS;
    (before(app.config.trash_days), before(app.config.relay_grace_days))
}

/// A file that an upload left.
#[derive(Debug)]
pub struct Staged {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: i64,
}

/// Staged files that belong to no upload: all that are not resumable if no server runs on this data, otherwise those that
/// nobody has written to for long.
async fn find_stale(app: &App) -> Result<Vec<Staged>> {
    let resumable = tus::list_unfinished(app).await?;
    let least = if app.presence.listening().is_empty() { Duration::ZERO } else { STALE };
    let stores = [&app.originals, &app.relay, &app.relay_chunks].map(LocalStore::clone);
    blocking(move || {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for store in stores {
            if !seen.insert(store.root().to_owned()) {
                continue;
            }
            for path in store.find_staged(&resumable)? {
                let Some(metadata) = metadata_of(&path)? else { continue };
                if is_older(metadata.modified()?, least) {
                    found.push(Staged { path, bytes: length_of(&metadata) });
                }
            }
        }
        Ok(found)
    })
    .await
}

/// Files in the trash without an entry, that have been there for longer than the trash period: account, id and length.
async fn find_leftovers(app: &App) -> Result<Vec<(Uuid, String, i64)>> {
    let period = Duration::from_millis(u64::try_from(app.config.trash_days * DAY_MS).unwrap_or(0));
    let mut found = Vec::new();
    for account in accounts::list(app).await? {
        let account = account.account_uuid;
        let folder = app.originals.account_folder(account).join(TRASH);
        for (id, bytes) in blocking(move || list_old(&folder, period)).await? {
            let asset_id = id.clone();
            if app.db.read(move |tx| find_by_id(tx, account, &asset_id)).await?.is_none() {
                found.push((account, id, bytes));
            }
        }
    }
    Ok(found)
}

/// Files of a folder that have not been touched, nor moved, for so long; none if there is no folder.
fn list_old(folder: &Path, period: Duration) -> io::Result<Vec<(String, i64)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(metadata) = metadata_of(&entry.path())? else { continue };
        let is_old = is_older(metadata.modified()?, period) && is_older(moved(&metadata)?, period);
        if let (true, true, Ok(name)) =
            (metadata.is_file(), is_old, entry.file_name().into_string())
        {
            found.push((name, length_of(&metadata)));
        }
    }
    Ok(found)
}

/// When a file got its name, as far as the system tells.
#[cfg(unix)]
fn moved(metadata: &std::fs::Metadata) -> io::Result<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// When a file got its name, as far as the system tells.
#[cfg(not(unix))]
fn moved(metadata: &std::fs::Metadata) -> io::Result<SystemTime> {
    metadata.created()
}

fn is_older(then: SystemTime, least: Duration) -> bool {
    least.is_zero() || then.elapsed().is_ok_and(|age| age > least)
}

fn length_of(metadata: &std::fs::Metadata) -> i64 {
    i64::try_from(metadata.len()).unwrap_or(i64::MAX)
}

fn metadata_of(path: &Path) -> io::Result<Option<std::fs::Metadata>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// False if it is gone already.
async fn remove_file(path: PathBuf) -> Result<bool> {
    blocking(move || match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    })
    .await
}

/// What an account has on the disk, counted as one thing.
pub(super) async fn measure_account(app: &App, account: Uuid) -> Result<Amount> {
    let stores = [&app.originals, &app.relay, &app.relay_chunks];
    let folders: HashSet<PathBuf> =
        stores.into_iter().map(|store| store.account_folder(account)).collect();
    let measure = move || folders.iter().map(|folder| measure(folder)).sum::<io::Result<u64>>();
    Ok(Amount { count: 1, bytes: blocking(measure).await? })
}

fn measure(folder: &Path) -> io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => measure(&entry.path())?,
            false => metadata_of(&entry.path())?.map_or(0, |metadata| metadata.len()),
        };
    }
    Ok(bytes)
}

/// Does work with files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |source| Error::from(BlobError::new("sweep", "the storage", source));
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten().map_err(failed)
}
