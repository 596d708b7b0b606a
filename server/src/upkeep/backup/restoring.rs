//! Restoring a generation: on trial beside itself, or into an empty data folder. Either way it is opened as a server would
//! open it, and every hash is compared.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::copying::{copy_file, is_same_disk, sync_tree};
use super::generations::{self, COMPARE, Generation, MARKER, TRIAL};
use super::{
    DATABASE, PROVED_FACT, VOLUME, blocking, proved_made_at_ms, remove_file_if_there,
    remove_tree_if_there, schedule,
};
use crate::accounts::queries::{find_fact, set_fact};
use crate::blobs::{create_private_dir, sync_dir, volume, write_durably};
use crate::boot::{App, BootOptions, boot};
use crate::config::Config;
use crate::db::{Db, DbSettings};
use crate::error::{Error, Result};
use crate::library::queries::safety;
use crate::upkeep::check::Compared;
use crate::upkeep::{adopt, check};

/// What a trial restore came to.
#[derive(Debug)]
pub struct Tried {
    /// The generation.
    pub folder: PathBuf,
    /// What it says of itself.
    pub generation: Generation,
    /// What was compared, and what is wrong.
    pub report: check::Report,
    /// Whether a backup lies on the disk of the originals: then its files are no second copies.
    pub is_same_disk: bool,
}

/// Restores the newest generation in `folder`, or the one that `folder` is, into a folder beside it, opens it, compares
/// every hash, and removes it again. A success is noted in this server's database, and of every original whether it has a
/// second copy there. After a failure, the next backup compares bytes before it shares them.
pub async fn prove(app: &App, folder: PathBuf) -> Result<Tried> {
    let tried = try_out(app, folder).await?;
    schedule::note_tried(app, &tried).await?;
    Ok(tried)
}

async fn try_out(app: &App, folder: PathBuf) -> Result<Tried> {
    let (server_id, originals) = (app.presence.server_id().to_owned(), app.config.uploads.clone());
    let find = move || -> io::Result<OnTrial> {
        let (folder, generation) = generations::find(&folder)?;
        let above = folder.parent().unwrap_or(&folder).to_owned();
        generations::is_own(&above, &server_id)?;
        let lock = generations::lock(&above)?;
        let trial = above.join(TRIAL);
        remove_tree_if_there(&trial)?;
        restore_tree(&folder, &trial, Sharing::Links)?;
        remove_file_if_there(&trial.join(MARKER))?;
        let is_same_disk = is_same_disk(&folder, &originals);
        Ok(OnTrial { folder, generation, above, trial, is_same_disk, _lock: lock })
    };
    let on_trial = blocking("try a backup out", find).await?;
    let report = look_and_note(app, &on_trial).await;
    let is_well = report.as_ref().is_ok_and(|report| report.disagreements.is_empty());
    let tidy = move || {
        if !is_well {
            write_durably(&on_trial.above.join(COMPARE), b"")?;
        }
        remove_tree_if_there(&on_trial.trial)?;
        Ok(on_trial)
    };
    let tidied = blocking("remove the trial", tidy).await?;
    let (report, is_same_disk) = (report?, tidied.is_same_disk);
    let OnTrial { folder, generation, .. } = tidied;
    if report.disagreements.is_empty() {
        note_proof(app, &generation).await?;
    }
    Ok(Tried { folder, generation, report, is_same_disk })
}

/// A generation while it is tried out.
struct OnTrial {
    folder: PathBuf,
    generation: Generation,
    /// The folder of the backups.
    above: PathBuf,
    trial: PathBuf,
    is_same_disk: bool,
    _lock: File,
}

/// Compares everything in the restored copy, and notes which originals are whole there.
async fn look_and_note(app: &App, on_trial: &OnTrial) -> Result<check::Report> {
    let opened = open(config_of(&app.config, &on_trial.trial)).await?;
    if opened.presence.server_id() != app.presence.server_id() {
        opened.db.close().await;
        let disagreements = vec!["foreign: it is the backup of another server".into()];
        return Ok(check::Report { disagreements, ..check::Report::default() });
    }
    // One page is compared while the one before is noted.
    let (told, heard) = mpsc::channel(1);
    // A copy on the disk of the originals would be lost with it.
    let told = Some(told).filter(|_| !on_trial.is_same_disk);
    let (report, noted) = tokio::join!(look_through(&opened, told), note_copies(app, heard));
    opened.db.close().await;
    noted?;
    report
}

/// Notes of each original whether its bytes were found right in the backup, until nothing more comes.
async fn note_copies(app: &App, mut heard: mpsc::Receiver<Vec<Compared>>) -> Result<()> {
    while let Some(compared) = heard.recv().await {
        let now_ms = app.clock.now_ms();
        app.db.write(move |tx| safety::note_copies(tx, &compared, now_ms)).await?;
    }
    Ok(())
}

/// Notes that a generation was proved, unless a newer one was.
async fn note_proof(app: &App, generation: &Generation) -> Result<()> {
    let now_ms = app.clock.now_ms();
    let is_older = |known: i64| generation.made_at_ms < known && known <= now_ms;
    if proved_made_at_ms(app).await?.is_some_and(is_older) {
        return Ok(());
    }
    let text = generation.made_at_ms.to_string();
    app.db.write(move |tx| set_fact(tx, PROVED_FACT, &text)).await.map_err(Error::from)
}

/// Restores the newest generation in `folder`, or the one that `folder` is, to where `config` says that a server has its
/// data, all of which must be empty, and compares every hash there. The backup is not touched.
pub async fn restore(config: &Config, folder: PathBuf) -> Result<Tried> {
    let places = config.clone();
    let copy = move || -> io::Result<(PathBuf, Generation)> {
        let (folder, generation) = generations::find(&folder)?;
        require_empty(&places)?;
        create_private_dir(&places.data_dir)?;
        copy_file_if_there(&folder.join(VOLUME), &places.data_dir.join(VOLUME))?;
        let trees = [("secrets", places.data_dir.join("secrets")), ("uploads", places.uploads)];
        for (top, to) in &trees {
            restore_tree(&folder.join(top), to, Sharing::Nothing)?;
            sync_tree(to)?;
        }
        restore_relay(&folder.join("relay"), &places.relay, places.relay_chunks.as_deref())?;
        sync_tree(&places.relay)?;
        places.relay_chunks.as_deref().map_or(Ok(()), sync_tree)?;
        sync_tree(&places.data_dir)?;
        // Last and whole: no server starts on photos without their database, so that none takes a part for all.
        let above = places.database.parent().unwrap_or(&places.data_dir);
        create_private_dir(above)?;
        let coming = places.database.with_extension("restoring");
        copy_file_if_there(&folder.join(DATABASE), &coming)?;
        File::open(&coming)?.sync_all()?;
        std::fs::rename(&coming, &places.database)?;
        sync_dir(above)?;
        Ok((folder, generation))
    };
    let (folder, generation) = blocking("restore a backup", copy).await?;
    mark_chunks(config).await?;
    let opened = open(config.clone()).await?;
    let report = look_through(&opened, None).await;
    opened.db.close().await;
    Ok(Tried { folder, generation, report: report?, is_same_disk: false })
}

/// Refused if there is anything in a folder that something is restored into, a configuration file excepted.
fn require_empty(config: &Config) -> io::Result<()> {
    let refuse = |what: &Path, why: &str| {
        let message = format!("{} {why}; nothing is restored into it", what.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    };
    let roots = [Some(&config.data_dir), Some(&config.uploads), Some(&config.relay)];
    for root in roots.into_iter().chain([config.relay_chunks.as_ref()]).flatten() {
        let Ok(entries) = std::fs::read_dir(root) else { continue };
        // A disk of its own has a folder of the file system.
        let is_allowed = |name: &std::ffi::OsStr| name == "photosync.toml" || name == "lost+found";
        let mut names = entries.flatten().map(|entry| entry.file_name());
        if names.any(|name| !is_allowed(&name)) {
            return refuse(root, "is not empty");
        }
    }
    if config.database.exists() { refuse(&config.database, "is there already") } else { Ok(()) }
}

/// Restores the relay; the chunks of each account where they have a root of their own, to that.
fn restore_relay(from: &Path, to: &Path, chunks: Option<&Path>) -> io::Result<()> {
    let Some(chunks) = chunks.filter(|root| *root != to) else {
        return restore_tree(from, to, Sharing::Nothing);
    };
    create_private_dir(to)?;
    create_private_dir(chunks)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, account) = (entry.path(), entry.file_name());
        if !entry.file_type()?.is_dir() {
            copy_file(&from, &to.join(account), &entry.metadata()?)?;
            continue;
        }
        create_private_dir(&to.join(&account))?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let root = if entry.file_name() == "chunks" { chunks } else { to };
            create_private_dir(&root.join(&account))?;
            let place = root.join(&account).join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => restore_tree(&entry.path(), &place, Sharing::Nothing)?,
                false => copy_file(&entry.path(), &place, &entry.metadata()?)?,
            }
        }
    }
    Ok(())
}

/// Gives the root of the chunks the id that the restored database knows: a backup has one folder for the whole relay, and
/// keeps the id of its manifests only.
async fn mark_chunks(config: &Config) -> Result<()> {
    let Some(root) = config.relay_chunks.clone().filter(|root| *root != config.relay) else {
        return Ok(());
    };
    let path = config.database.clone();
    let db = Db::start(&DbSettings { path, readers: 1, queue_wait: config.queue_wait })?;
    let known: Option<String> = db.read(|tx| find_fact(tx, "volume:relay_chunks")).await?;
    db.close().await;
    let mark = move || known.map_or(Ok(()), |id| volume::mark(&root, id));
    blocking("mark the root of the chunks", mark).await
}

/// Opens restored data as a server would.
async fn open(config: Config) -> Result<App> {
    // What was restored is nobody's yet but ours, whoever the disk says owns it.
    let options = BootOptions { allow_foreign_owner: true, ..BootOptions::default() };
    boot(config, options).await.map_err(|error| {
        Error::internal("open what was restored").caused_by(io::Error::other(error))
    })
}

/// Compares everything in restored data with its hash.
async fn look_through(
    app: &App,
    told: Option<mpsc::Sender<Vec<Compared>>>,
) -> Result<check::Report> {
    // As the next start does: a file may have come whose row did not.
    adopt::adopt_all(app).await?;
    check::check_telling(app, true, told).await
}

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

fn copy_file_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match from.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => copy_file(from, to, &other?),
    }
}
