//! Copies of everything on another disk, made while uploads run.
//!
//! A backup is a folder of *generations*, each a whole data folder as it was at one moment. A file that has not changed
//! since the generation before it is a hard link to that one's copy, never to a live file. First the files are copied, then
//! the database in one snapshot, then what that names and came in between: so every row has its bytes, and nothing that was
//! acknowledged before the backup began is missing. What the server itself has lost since the generation before comes from
//! there, and is named. A generation gets its name when all of it is durable.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use photosync_protocol::error::ErrorCode;
use serde::{Deserialize, Serialize};

use super::{adopt, check};
use crate::accounts::queries::{find_fact, set_fact};
use crate::blobs::{Key, LocalStore, STAGING, create_private_dir, sync_dir, write_durably};
use crate::boot::{App, BootOptions, boot};
use crate::clock::iso_utc;
use crate::config::Config;
use crate::db::{self, Db, DbSettings};
use crate::error::{Error, Result};
use crate::library::queries::list_all;
use crate::relay::queries::objects::list_next;

/// Says that a folder is a whole generation; written last.
const MARKER: &str = "photosync-backup.json";
/// A generation that is being made. The next backup goes on with it.
const PARTIAL: &str = ".partial";
/// A generation that is being tried out.
const TRIAL: &str = ".trial";
/// A generation that is being removed.
const REMOVING: &str = ".removing";
const LOCK: &str = ".lock";
/// The fact that says of when the newest backup is whose restore was proved.
pub const PROVED_FACT: &str = "backup_proved";
/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;
/// Bytes compared at once.
const COMPARE_BYTES: usize = 256 * 1024;

/// What a generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Version of the server that made it.
    pub version: String,
    /// When it began, Unix milliseconds; later than every older one, also if a clock was set back.
    pub made_at_ms: i64,
    /// Files in it.
    pub files: u64,
    /// Their bytes, shared ones too.
    pub bytes: u64,
}

/// What a backup came to.
#[derive(Debug)]
pub struct Made {
    /// The new generation.
    pub folder: PathBuf,
    /// What it says of itself.
    pub generation: Generation,
    /// Bytes that were copied; the rest is shared with the generation before.
    pub copied_bytes: u64,
    /// What the server itself does not have whole, and whether it was kept from the generation before.
    pub missing: Vec<String>,
    /// Older generations that were removed.
    pub removed: usize,
    /// Whether it lies on the disk of the originals, with which it would be lost.
    pub is_same_disk: bool,
}

/// What a trial restore came to.
#[derive(Debug)]
pub struct Tried {
    /// The generation.
    pub folder: PathBuf,
    /// What it says of itself.
    pub generation: Generation,
    /// What was compared, and what is wrong.
    pub report: check::Report,
}

/// Makes a new generation in `target`, and then removes the oldest beyond `keep`, if that is given and nothing is missing.
pub async fn make(app: &App, target: PathBuf, keep: Option<usize>) -> Result<Made> {
    let volumes = require_storage(app).await?;
    let config = app.config.clone();
    let mut trees = vec![
        (config.uploads.clone(), "uploads"),
        (config.relay.clone(), "relay"),
        (config.data_dir.join("secrets"), "secrets"),
    ];
    trees.extend(
        config
            .relay_chunks
            .clone()
            .filter(|root| *root != config.relay)
            .map(|root| (root, "relay")),
    );
    let now_ms = app.clock.now_ms();
    let prepared = move || Copying::begin(&target, trees, &config, now_ms);
    let mut copying = blocking("begin a backup", prepared).await?;
    copying = blocking("copy the files", move || copying.copy_trees()).await?;

    let (live, copy) = (app.config.database.clone(), copying.partial.join(DATABASE));
    let marker = app.config.data_dir.join(VOLUME);
    let snapshot = move || -> io::Result<Copying> {
        // The one of a backup that broke off.
        remove_file_if_there(&copy)?;
        db::snapshot(&live, &copy).map_err(io::Error::other)?;
        copying.copy(&marker, Path::new(VOLUME))?;
        Ok(copying)
    };
    let mut copying = blocking("copy the database", snapshot).await?;
    complete(app, &mut copying).await?;
    // A disk that went away meanwhile looks like one without photos.
    if require_storage(app).await? != volumes {
        return Err(Error::new(
            ErrorCode::StorageFailed,
            "the storage is another one than when the backup began",
        ));
    }
    blocking("end a backup", move || copying.end(keep)).await
}

/// The ids of the disks that everything lies on. Refused while one is not there.
async fn require_storage(app: &App) -> Result<[String; 3]> {
    let mut ids = [const { String::new() }; 3];
    for (id, store) in ids.iter_mut().zip([&app.originals, &app.relay, &app.relay_chunks]) {
        *id = store.find_volume_id().await.ok_or_else(|| {
            let message = format!(
                "the storage {} is not there; nothing is backed up",
                store.root().display()
            );
            Error::new(ErrorCode::StorageFailed, message)
        })?;
    }
    Ok(ids)
}

/// Sees to it that every row of the copied database has its file: from the server if the first walk did not find it, from
/// the generation before if the server does not have it whole any more.
async fn complete(app: &App, copying: &mut Copying) -> Result<()> {
    let db = Db::start(&DbSettings {
        path: copying.partial.join(DATABASE),
        readers: 1,
        queue_wait: app.config.queue_wait,
    })?;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = db.read(move |tx| list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            let keys = check::places_of(&asset);
            let name = format!("{}/{}", asset.account_uuid, asset.name);
            copying.require(&app.originals, "uploads", &keys, asset.size_bytes, name)?;
        }
    }
    let (mut account, mut after) = (String::new(), String::new());
    loop {
        let (from, start) = (account.clone(), after.clone());
        let page = db.read(move |tx| list_next(tx, &from, &start, STEP_ROWS)).await?;
        let Some((last_account, last)) = page.last() else { break };
        account = last_account.to_string();
        after.clone_from(&last.chunk_id);
        for (account, object) in page {
            let keys = [Key::chunk(account, &object.chunk_id)];
            let name = format!("{account}, sealed object {}", object.chunk_id);
            copying.require(&app.relay_chunks, "relay", &keys, object.size_bytes, name)?;
        }
    }
    db.close().await;
    Ok(())
}

/// Restores the newest generation in `folder`, or the one that `folder` is, into a folder beside it, opens it, compares
/// every hash, and removes it again. A success is noted in this server's database.
pub async fn prove(app: &App, folder: PathBuf) -> Result<Tried> {
    let find = move || -> io::Result<(File, PathBuf, Generation, PathBuf)> {
        let (folder, generation) = find_generation(&folder)?;
        let above = folder.parent().unwrap_or(&folder);
        let lock = lock(above)?;
        let trial = above.join(TRIAL);
        remove_tree_if_there(&trial)?;
        restore_tree(&folder, &trial, Sharing::Links)?;
        remove_file_if_there(&trial.join(MARKER))?;
        Ok((lock, folder, generation, trial))
    };
    let (lock, folder, generation, trial) = blocking("try a backup out", find).await?;
    let report = look_through(&app.config, &trial).await;
    blocking("remove the trial", move || remove_tree_if_there(&trial)).await?;
    drop(lock);
    let (server_id, mut report) = report?;
    if server_id != app.presence.server_id() {
        report.disagreements.push("foreign: it is the backup of another server".into());
    }
    if report.disagreements.is_empty() {
        let text = generation.made_at_ms.to_string();
        app.db.write::<(), Error, _>(move |tx| Ok(set_fact(tx, PROVED_FACT, &text)?)).await?;
    }
    Ok(Tried { folder, generation, report })
}

/// When the newest backup was made whose restore was proved, Unix milliseconds; `None` if none was.
pub async fn proved_made_at_ms(app: &App) -> Result<Option<i64>> {
    let text: Option<String> = app.db.read(|tx| find_fact(tx, PROVED_FACT)).await?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Restores the newest generation in `folder`, or the one that `folder` is, into the data folder of `config`, which must be
/// empty, and compares every hash there. The backup is not touched.
pub async fn restore(config: &Config, folder: PathBuf) -> Result<Tried> {
    let data_dir = config.data_dir.clone();
    let copy = move || -> io::Result<(PathBuf, Generation)> {
        let (folder, generation) = find_generation(&folder)?;
        if std::fs::read_dir(&data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
            let message =
                format!("{} is not empty; nothing is restored into it", data_dir.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        restore_tree(&folder, &data_dir, Sharing::Nothing)?;
        remove_file_if_there(&data_dir.join(MARKER))?;
        sync_tree(&data_dir)?;
        Ok((folder, generation))
    };
    let (folder, generation) = blocking("restore a backup", copy).await?;
    let (_, report) = look_through(config, &config.data_dir).await?;
    Ok(Tried { folder, generation, report })
}

/// Opens a restored data folder and compares everything in it with its hash. Whose it is, and what was found.
async fn look_through(config: &Config, data_dir: &Path) -> Result<(String, check::Report)> {
    // What was restored is nobody's yet but ours, whoever the disk says owns it.
    let options = BootOptions { allow_foreign_owner: true, ..BootOptions::default() };
    let opened = boot(config_of(config, data_dir), options).await;
    let app = opened.map_err(|error| {
        Error::internal("open what was restored").caused_by(io::Error::other(error))
    })?;
    let looked = async {
        // As the next start does: a file may have come whose row did not.
        adopt::adopt_all(&app).await?;
        check::check(&app, true).await
    };
    let report = looked.await;
    app.db.close().await;
    Ok((app.presence.server_id().to_owned(), report?))
}

const DATABASE: &str = "photosync.db";
const VOLUME: &str = "volume.json";

/// The settings of a data folder that holds everything itself.
fn config_of(config: &Config, data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.to_owned(),
        database: data_dir.join(DATABASE),
        uploads: data_dir.join("uploads"),
        relay: data_dir.join("relay"),
        relay_chunks: None,
        ..config.clone()
    }
}

/// A generation on its way.
struct Copying {
    target: PathBuf,
    partial: PathBuf,
    /// The generation before.
    previous: Option<PathBuf>,
    /// Folders, and where they are in a generation.
    trees: Vec<(PathBuf, &'static str)>,
    originals: PathBuf,
    /// When it is made: later than every other, also if the clock was set back.
    made_at_ms: i64,
    /// Whether it goes on with one that broke off.
    is_resumed: bool,
    /// Whether another tree was copied to the place of the one that is being copied.
    is_second: bool,
    files: u64,
    bytes: u64,
    copied_bytes: u64,
    missing: Vec<String>,
    _lock: File,
}

impl Copying {
    fn begin(
        target: &Path,
        trees: Vec<(PathBuf, &'static str)>,
        config: &Config,
        now_ms: i64,
    ) -> io::Result<Self> {
        // Looked at before it is made: a refusal leaves nothing behind.
        let there = target.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
        let target = match there {
            Some((above, real)) => real.join(target.strip_prefix(above).unwrap_or(target)),
            None => target.to_owned(),
        };
        let mut own: Vec<&Path> = trees.iter().map(|(root, _)| root.as_path()).collect();
        own.push(&config.data_dir);
        for root in own {
            let Ok(root) = root.canonicalize() else { continue };
            if target.starts_with(&root) || root.starts_with(&target) {
                let message = format!(
                    "{} and {} lie in each other; a backup needs a folder of its own, best on another disk",
                    target.display(),
                    root.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        create_private_dir(&target)?;
        let lock = lock(&target)?;
        remove_tree_if_there(&target.join(REMOVING))?;
        let partial = target.join(PARTIAL);
        let is_resumed = partial.exists();
        create_private_dir(&partial)?;
        let previous = generations(&target)?.pop();
        let made_at_ms = match &previous {
            Some(previous) => now_ms.max(read_marker(previous)?.made_at_ms + 1),
            None => now_ms,
        };
        let originals = config.uploads.clone();
        let (files, bytes, copied_bytes, missing) = (0, 0, 0, Vec::new());
        Ok(Self {
            target,
            partial,
            previous,
            trees,
            originals,
            made_at_ms,
            is_resumed,
            is_second: false,
            files,
            bytes,
            copied_bytes,
            missing,
            _lock: lock,
        })
    }

    fn copy_trees(mut self) -> io::Result<Self> {
        if self.is_resumed {
            // What is gone by now must not come back with a restore.
            for place in ["uploads", "relay", "secrets"] {
                self.prune(Path::new(place))?;
            }
        }
        for (index, (root, top)) in self.trees.clone().into_iter().enumerate() {
            // Of two roots that become one, the mark of the first counts.
            self.is_second = self.trees[..index].iter().any(|(_, before)| *before == top);
            self.copy_tree(&root, Path::new(top))?;
        }
        Ok(self)
    }

    /// Removes what a backup that broke off left of files that the server does not have any more.
    fn prune(&self, place: &Path) -> io::Result<()> {
        let Ok(entries) = std::fs::read_dir(self.partial.join(place)) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let place = place.join(entry.file_name());
            let is_live = self.trees.iter().any(|(root, top)| {
                place
                    .strip_prefix(top)
                    .is_ok_and(|below| root.join(below).symlink_metadata().is_ok())
            });
            match (entry.file_type()?.is_dir(), is_live) {
                (true, true) => self.prune(&place)?,
                (true, false) => std::fs::remove_dir_all(entry.path())?,
                (false, true) => {}
                (false, false) => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn copy_tree(&mut self, folder: &Path, place: &Path) -> io::Result<()> {
        create_private_dir(&self.partial.join(place))?;
        let entries = match std::fs::read_dir(folder) {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == STAGING || name == LOCK {
                continue;
            }
            let (from, place) = (entry.path(), place.join(&name));
            if self.is_second && name == VOLUME {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.copy_tree(&from, &place)?,
                Ok(kind) if kind.is_file() => self.copy(&from, &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Sees to it that the copy has a file of this length in one of these places: from the server, otherwise from the
    /// generation before. `name` stands in [`Made::missing`] if the server does not have it.
    fn require(
        &mut self,
        live: &LocalStore,
        top: &str,
        keys: &[Key],
        size_bytes: i64,
        name: String,
    ) -> Result<()> {
        let failed = |source| Error::internal("complete a backup").caused_by(source);
        let places: Vec<PathBuf> =
            keys.iter().map(|key| Path::new(top).join(key.relative())).collect();
        let is_whole = |root: &Path, place: &Path| {
            root.join(place)
                .symlink_metadata()
                .is_ok_and(|found| found.is_file() && i64::try_from(found.len()) == Ok(size_bytes))
        };
        if places.iter().any(|place| is_whole(&self.partial, place)) {
            return Ok(());
        }
        for (key, place) in keys.iter().zip(&places) {
            if live.find_size_here(key)?.and_then(|size| i64::try_from(size).ok())
                == Some(size_bytes)
            {
                let folder = self.partial.join(place);
                create_private_dir(folder.parent().unwrap_or(&folder)).map_err(failed)?;
                self.copy(&live.path(key), place).map_err(failed)?;
                if is_whole(&self.partial, place) {
                    return Ok(());
                }
            }
        }
        let previous = self.previous.clone();
        let known = previous.and_then(|previous| {
            let place = places.iter().find(|place| is_whole(&previous, place))?;
            Some((previous.join(place), self.partial.join(place)))
        });
        let Some((from, to)) = known else {
            self.missing.push(name);
            return Ok(());
        };
        create_private_dir(to.parent().unwrap_or(&to)).map_err(failed)?;
        remove_file_if_there(&to).map_err(failed)?;
        let linked = std::fs::hard_link(&from, &to);
        let copied = linked.or_else(|_| copy_file(&from, &to, &from.symlink_metadata()?));
        copied.map_err(failed)?;
        self.missing.push(format!("{name}, kept from the backup before"));
        Ok(())
    }

    /// Copies one file, or links the same one of the generation before. One that is gone meanwhile is left to
    /// [`complete`], and so is one that the disk does not give: that must not end the backup of all others.
    fn copy(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let metadata = match from.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let to = self.partial.join(place);
        let is_there = self.is_resumed && is_same(&to, &metadata) && has_same_bytes(&to, from);
        if !is_there {
            remove_file_if_there(&to)?;
            let previous = self.previous.as_ref().map(|previous| previous.join(place));
            let known = previous.filter(|previous| is_same(previous, &metadata));
            let linked = known.map(|one| std::fs::hard_link(one, &to));
            // Without links, or with too many of them, it is a copy.
            if !matches!(linked, Some(Ok(()))) {
                if let Err(error) = copy_file(from, &to, &metadata) {
                    remove_file_if_there(&to)?;
                    if can_be_read(from) {
                        return Err(error);
                    }
                    tracing::warn!(file = %from.display(), %error, "a file could not be read for the backup");
                    return Ok(());
                }
                self.copied_bytes += metadata.len();
            }
        }
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    fn end(self, keep: Option<usize>) -> io::Result<Made> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (made_at_ms, files, bytes) = (self.made_at_ms, self.files, self.bytes);
        let generation = Generation { version, made_at_ms, files, bytes };
        sync_tree(&self.partial)?;
        let text = serde_json::to_vec_pretty(&generation)?;
        write_durably(&self.partial.join(MARKER), &text)?;
        // Colons are not for every file system.
        let name: String = iso_utc(made_at_ms).replace([':', '.'], "-");
        let folder = self.target.join(name);
        std::fs::rename(&self.partial, &folder)?;
        sync_dir(&self.target)?;
        let mut removed = 0;
        let all = generations(&self.target)?;
        // An older one may be all there is of what is missing now.
        let keep = keep.filter(|_| self.missing.is_empty()).unwrap_or(all.len()).max(1);
        for old in all.iter().take(all.len().saturating_sub(keep)) {
            // Under this name the next backup goes on with it, however far it comes now.
            let removing = self.target.join(REMOVING);
            std::fs::rename(old, &removing)?;
            std::fs::remove_dir_all(&removing)?;
            removed += 1;
        }
        let is_same_disk = is_same_disk(&folder, &self.originals);
        let (copied_bytes, missing) = (self.copied_bytes, self.missing);
        Ok(Made { folder, generation, copied_bytes, missing, removed, is_same_disk })
    }
}

/// One backup or trial at a time in a folder, of whatever process.
fn lock(target: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(target.join(LOCK))?;
    file.try_lock().map_err(|_| {
        let message = format!("another backup or trial is at work in {}", target.display());
        io::Error::new(io::ErrorKind::ResourceBusy, message)
    })?;
    Ok(file)
}

/// The whole generations in a folder, oldest first.
fn generations(target: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(target)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.path().join(MARKER).is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The generation that a folder is, or the newest in it.
fn find_generation(folder: &Path) -> io::Result<(PathBuf, Generation)> {
    let folder = folder.canonicalize()?;
    let is_one = folder.join(MARKER).is_file();
    let found = if is_one { Some(folder.clone()) } else { generations(&folder)?.pop() };
    let none = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no backup in {}", folder.display()),
        )
    };
    let found = found.ok_or_else(none)?;
    let generation = read_marker(&found)?;
    Ok((found, generation))
}

fn read_marker(generation: &Path) -> io::Result<Generation> {
    Ok(serde_json::from_slice(&std::fs::read(generation.join(MARKER))?)?)
}

/// How the files of a restored generation come about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Photos and sealed objects, which nobody writes to, are links.
    Links,
    /// Every file is a copy.
    Nothing,
}

fn restore_tree(from: &Path, to: &Path, sharing: Sharing) -> io::Result<()> {
    create_private_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            restore_tree(&from, &to, sharing)?;
            continue;
        }
        let name = entry.file_name();
        let is_written_to =
            [".json", ".jsonl", ".db"].iter().any(|end| name.to_string_lossy().ends_with(end));
        let is_link =
            sharing == Sharing::Links && !is_written_to && std::fs::hard_link(&from, &to).is_ok();
        if !is_link {
            copy_file(&from, &to, &entry.metadata()?)?;
        }
    }
    Ok(())
}

/// Copies bytes, permissions and the time of the last change; the file system shares the bytes where it can.
fn copy_file(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    std::fs::copy(from, to)?;
    let file = File::options().write(true).open(to)?;
    file.set_modified(metadata.modified()?)?;
    // Elsewhere all of it is made durable at once.
    if cfg!(not(target_os = "linux")) { file.sync_all() } else { Ok(()) }
}

/// Whether a file has this length and time of last change.
fn is_same(path: &Path, wanted: &Metadata) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        found.is_file()
            && found.len() == wanted.len()
            && matches!((found.modified(), wanted.modified()), (Ok(one), Ok(other)) if one == other)
    })
}

/// A copy that a broken-off backup left may have lost its bytes in a power cut.
fn has_same_bytes(one: &Path, other: &Path) -> bool {
    compare(one, other).unwrap_or(false)
}

/// Whether the system gives all of a file's bytes.
fn can_be_read(path: &Path) -> bool {
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink())).is_ok()
}

fn compare(one: &Path, other: &Path) -> io::Result<bool> {
    let mut files = [File::open(one)?, File::open(other)?];
    let mut buffers = [vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]];
    loop {
        let mut lengths = [0; 2];
        for index in 0..2 {
            let buffer = &mut buffers[index];
            let mut whole = files[index].by_ref().take(buffer.len() as u64);
            while lengths[index] < buffer.len() {
                match whole.read(&mut buffer[lengths[index]..])? {
                    0 => break,
                    read => lengths[index] += read,
                }
            }
        }
        if lengths[0] != lengths[1] || buffers[0][..lengths[0]] != buffers[1][..lengths[1]] {
            return Ok(false);
        }
        if lengths[0] == 0 {
            return Ok(true);
        }
    }
}

/// Makes everything below a folder durable.
#[cfg(target_os = "linux")]
fn sync_tree(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Makes everything below a folder durable: its files are already.
#[cfg(not(target_os = "linux"))]
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(folder)
}

#[cfg(unix)]
fn is_same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((one.metadata(), other.metadata()), (Ok(one), Ok(other)) if one.dev() == other.dev())
}

#[cfg(not(unix))]
fn is_same_disk(_one: &Path, _other: &Path) -> bool {
    false
}

fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_tree_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Does work with files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound => {
            Error::bad_request(source.to_string())
        }
        io::ErrorKind::StorageFull => {
            let message = format!("could not {what}: the disk of the backup is full");
            Error::new(ErrorCode::StorageFull, message)
        }
        _ => Error::internal(what).caused_by(source),
    })
}
