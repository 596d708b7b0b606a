//! Copies of everything on another disk, made while uploads run.
//!
//! A backup is a folder of *generations*, each a whole data folder as it was at one moment. A file that has not changed
//! since the generation before it is a hard link to that one's copy, never to a live file. First the files are copied, then
//! the database in one snapshot, then what that names and came in between: so every row has its bytes, and nothing that was
//! acknowledged before the backup began is missing. A generation gets its name when all of it is durable.

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
const LOCK: &str = ".lock";
/// The fact that says when a restore was last proved, and of what.
const PROVED_FACT: &str = "backup_proved";
/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;
/// Bytes compared at once.
const COMPARE_BYTES: usize = 256 * 1024;

/// What a generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Version of the server that made it.
    pub version: String,
    /// When its database was copied, Unix milliseconds.
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
    /// Files of the index that the server itself does not have.
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

/// Makes a new generation in `target`, and then removes the oldest beyond `keep`, if that is given.
pub async fn make(app: &App, target: PathBuf, keep: Option<usize>) -> Result<Made> {
    let config = app.config.clone();
    let chunks = config.relay_chunks.clone().unwrap_or_else(|| config.relay.clone());
    let trees = vec![
        (config.uploads.clone(), "uploads"),
        (config.relay.clone(), "relay"),
        (chunks, "relay"),
        (config.data_dir.join("secrets"), "secrets"),
    ];
    let prepared = move || Copying::begin(&target, trees, &config);
    let mut copying = blocking("begin a backup", prepared).await?;
    copying = blocking("copy the files", move || copying.copy_trees()).await?;

    let made_at_ms = app.clock.now_ms();
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
    copying.missing = complete(app, &mut copying).await?;
    blocking("end a backup", move || copying.end(made_at_ms, keep)).await
}

/// Copies what the rows of the copied database name and the first walk did not find; the names of what is not there.
async fn complete(app: &App, copying: &mut Copying) -> Result<Vec<String>> {
    let copied = config_of(&app.config, &copying.partial);
    let db = Db::start(&DbSettings {
        path: copied.database.clone(),
        readers: 1,
        queue_wait: app.config.queue_wait,
    })?;
    let start = |root: &Path| {
        LocalStore::start(root.to_owned(), 1, 0)
            .map_err(|source| Error::internal("open the copy").caused_by(source))
    };
    let (originals, sealed) = (start(&copied.uploads)?, start(&copied.relay)?);
    let mut missing = Vec::new();
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = db.read(move |tx| list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            if check::find_file(&originals, &asset).is_some() {
                continue;
            }
            match check::find_file(&app.originals, &asset) {
                Some((key, _)) => copying.add(&app.originals, "uploads", &key)?,
                None => missing.push(format!("{}/{}", asset.account_uuid, asset.name)),
            }
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
            let key = Key::chunk(account, &object.chunk_id);
            if sealed.find_size_here(&key)?.is_some() {
                continue;
            }
            match app.relay_chunks.find_size_here(&key)? {
                Some(_) => copying.add(&app.relay_chunks, "relay", &key)?,
                None => missing.push(format!("{account}, sealed object {}", object.chunk_id)),
            }
        }
    }
    db.close().await;
    Ok(missing)
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
        Ok((lock, folder, generation, trial))
    };
    let (lock, folder, generation, trial) = blocking("try a backup out", find).await?;
    let report = look_through(&app.config, &trial).await;
    blocking("remove the trial", move || remove_tree_if_there(&trial)).await?;
    drop(lock);
    let report = report?;
    if report.disagreements.is_empty() {
        let text = format!("{} {}", app.clock.now_ms(), generation.made_at_ms);
        app.db.write::<(), Error, _>(move |tx| Ok(set_fact(tx, PROVED_FACT, &text)?)).await?;
    }
    Ok(Tried { folder, generation, report })
}

/// When a restore was last proved, Unix milliseconds; `None` if it never was.
pub async fn proved_at_ms(app: &App) -> Result<Option<i64>> {
    let text: Option<String> = app.db.read(|tx| find_fact(tx, PROVED_FACT)).await?;
    Ok(text.and_then(|text| text.split(' ').next()?.parse().ok()))
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
        sync_tree(&data_dir)?;
        Ok((folder, generation))
    };
    let (folder, generation) = blocking("restore a backup", copy).await?;
    let report = look_through(config, &config.data_dir).await?;
    Ok(Tried { folder, generation, report })
}

/// Opens a restored data folder and compares everything in it with its hash.
async fn look_through(config: &Config, data_dir: &Path) -> Result<check::Report> {
    let opened = boot(config_of(config, data_dir), BootOptions::default()).await;
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
    report
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
        let partial = target.join(PARTIAL);
        create_private_dir(&partial)?;
        let previous = generations(&target)?.pop();
        let originals = config.uploads.clone();
        let (files, bytes, copied_bytes, missing) = (0, 0, 0, Vec::new());
        Ok(Self {
            target,
            partial,
            previous,
            trees,
            originals,
            files,
            bytes,
            copied_bytes,
            missing,
            _lock: lock,
        })
    }

    fn copy_trees(mut self) -> io::Result<Self> {
        for (root, place) in self.trees.clone() {
            self.copy_tree(&root, Path::new(place))?;
        }
        Ok(self)
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
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.copy_tree(&from, &place)?,
                Ok(kind) if kind.is_file() => self.copy(&from, &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The file of a key, wherever it is by now.
    fn add(&mut self, store: &LocalStore, root: &str, key: &Key) -> Result<()> {
        let place = Path::new(root).join(key.relative());
        let copied = match self.partial.join(&place).parent() {
            Some(folder) => create_private_dir(folder),
            None => Ok(()),
        };
        copied
            .and_then(|()| self.copy(&store.path(key), &place))
            .map_err(|source| Error::internal("copy a file").caused_by(source))
    }

    /// Copies one file, or links the same one of the generation before. One that is gone meanwhile is left to
    /// [`complete`].
    fn copy(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let metadata = match from.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let to = self.partial.join(place);
        let previous = self.previous.as_ref().map(|previous| previous.join(place));
        let is_there = is_same(&to, &metadata) && has_same_bytes(&to, from)?;
        if !is_there {
            remove_file_if_there(&to)?;
            let is_known = previous.as_ref().is_some_and(|previous| is_same(previous, &metadata));
            let linked = previous.filter(|_| is_known).map(|one| std::fs::hard_link(one, &to));
            // Without links, or with too many of them, it is a copy.
            if !matches!(linked, Some(Ok(()))) {
                match copy_file(from, &to, &metadata) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
                        return Ok(());
                    }
                    other => other?,
                }
                self.copied_bytes += metadata.len();
            }
        }
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    fn end(self, made_at_ms: i64, keep: Option<usize>) -> io::Result<Made> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (files, bytes) = (self.files, self.bytes);
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
        // Also if the clock was set back: the new one stays.
        let mut all = generations(&self.target)?;
        all.retain(|one| *one != folder);
        all.push(folder.clone());
        for old in all.iter().take(all.len().saturating_sub(keep.unwrap_or(all.len()).max(1))) {
            // Without its marker it is no generation any more, however far the removing comes.
            std::fs::remove_file(old.join(MARKER))?;
            std::fs::remove_dir_all(old)?;
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
    let generation = serde_json::from_slice(&std::fs::read(found.join(MARKER))?)?;
    Ok((found, generation))
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
        if !is_link && name != MARKER {
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
fn has_same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
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
