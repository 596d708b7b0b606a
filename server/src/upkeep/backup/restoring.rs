//! Restoring a generation: on trial beside itself, or into an empty data folder. Either way it is opened as a server would
//! open it, and every hash is compared.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::copying::{can_be_read, copy_file, is_same_disk, sync_tree};
use super::generations::{self, COMPARE, Generation, MARKER, TRIAL};
use super::{
    DATABASE, PROVED_FACT, VOLUME, at, blocking, proved_made_at_ms, remove_file_if_there,
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
use crate::upkeep::{adopt, check, verify};

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
        let mut restoring = Restoring { sharing: Sharing::Links, lost: Vec::new() };
        let restored = restoring.tree(&folder, &trial);
        if let Err(error) = restored.and_then(|()| remove_file_if_there(&trial.join(MARKER))) {
            // Without links it takes the room of a backup.
            let _ = remove_tree_if_there(&trial);
            return Err(error);
        }
        let is_same_disk = is_same_disk(&folder, &originals);
        let lost = restoring.lost;
        Ok(OnTrial { folder, generation, above, trial, lost, is_same_disk, _lock: lock })
    };
    let mut on_trial = blocking("try a backup out", find).await?;
    let mut report = look_and_note(app, &on_trial).await;
    if let Ok(report) = &mut report {
        report.disagreements.splice(0..0, std::mem::take(&mut on_trial.lost));
    }
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
    /// See [`Restoring::lost`].
    lost: Vec<String>,
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
    let copy = move || -> io::Result<(PathBuf, Generation, Vec<String>)> {
        let (folder, generation) = generations::find(&folder)?;
        require_empty(&places)?;
        create_private_dir(&places.data_dir)?;
        let mut restoring = Restoring { sharing: Sharing::Nothing, lost: Vec::new() };
        restoring.file(&folder.join(VOLUME), &places.data_dir.join(VOLUME))?;
        let trees = [("secrets", places.data_dir.join("secrets")), ("uploads", places.uploads)];
        for (top, to) in &trees {
            restoring.tree(&folder.join(top), to)?;
            sync_tree(to)?;
        }
        restoring.relay(&folder.join("relay"), &places.relay, places.relay_chunks.as_deref())?;
        sync_tree(&places.relay)?;
        places.relay_chunks.as_deref().map_or(Ok(()), sync_tree)?;
        sync_tree(&places.data_dir)?;
        // Last and whole: no server starts on photos without their database, so that none takes a part for all.
        let above = places.database.parent().unwrap_or(&places.data_dir);
        create_private_dir(above)?;
        let (from, coming) = (folder.join(DATABASE), places.database.with_extension("restoring"));
        copy_file(&from, &coming, &from.symlink_metadata()?).map_err(|error| {
            let message = format!(
                "the index of the backup could not be restored ({}: {error}); everything else of it was: \
                 `photosync-server rebuild` makes an index of the originals",
                from.display()
            );
            io::Error::new(error.kind(), message)
        })?;
        File::open(&coming)?.sync_all()?;
        std::fs::rename(&coming, &places.database)?;
        sync_dir(above)?;
        Ok((folder, generation, restoring.lost))
    };
    let (folder, generation, lost) = blocking("restore a backup", copy).await?;
    mark_chunks(config).await?;
    let opened = open(config.clone()).await?;
    let report = look_through(&opened, None).await;
    opened.db.close().await;
    let mut report = report?;
    report.disagreements.splice(0..0, lost);
    Ok(Tried { folder, generation, report, is_same_disk: false })
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
    // What the server had lost may have come from an older backup.
    verify::take_back_all(app).await?;
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

/// Copies a generation to where it is used. What the backup's disk does not give keeps nobody from all the rest.
struct Restoring {
    sharing: Sharing,
    /// What could not be read, a sentence each.
    lost: Vec<String>,
}

impl Restoring {
    fn tree(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        create_private_dir(to).map_err(|error| at(to, error))?;
        for (name, is_folder) in self.entries(from) {
            let (from, to) = (from.join(&name), to.join(&name));
            match is_folder {
                true => self.tree(&from, &to)?,
                false => self.file(&from, &to)?,
            }
        }
        Ok(())
    }

    /// The relay; the chunks of each account where they have a root of their own, to that.
    fn relay(&mut self, from: &Path, to: &Path, chunks: Option<&Path>) -> io::Result<()> {
        let Some(chunks) = chunks.filter(|root| *root != to) else { return self.tree(from, to) };
        create_private_dir(to)?;
        create_private_dir(chunks)?;
        for (account, is_folder) in self.entries(from) {
            let from = from.join(&account);
            if !is_folder {
                self.file(&from, &to.join(account))?;
                continue;
            }
            create_private_dir(&to.join(&account))?;
            for (name, is_folder) in self.entries(&from) {
                let root = if name == "chunks" { chunks } else { to };
                create_private_dir(&root.join(&account))?;
                let (from, place) = (from.join(&name), root.join(&account).join(&name));
                match is_folder {
                    true => self.tree(&from, &place)?,
                    false => self.file(&from, &place)?,
                }
            }
        }
        Ok(())
    }

    /// Names in a folder of the backup, and which are folders.
    fn entries(&mut self, folder: &Path) -> Vec<(OsString, bool)> {
        let mut found = Vec::new();
        let mut list = || -> io::Result<()> {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                found.push((entry.file_name(), entry.file_type()?.is_dir()));
            }
            Ok(())
        };
        if let Err(error) = list() {
            self.lost.push(format!("unreadable: {}: {error}", folder.display()));
        }
        found
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        let is_written_to = [".json", ".jsonl", ".db"].iter().any(|end| name.ends_with(end));
        let shares = self.sharing == Sharing::Links && !is_written_to;
        if shares && std::fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        let copied = from.symlink_metadata().and_then(|metadata| copy_file(from, to, &metadata));
        let Err(error) = copied else { return Ok(()) };
        if can_be_read(from) {
            return Err(at(to, error));
        }
        self.lost.push(format!("unreadable: {}: {error}", from.display()));
        // Half a photo looks like one.
        remove_file_if_there(to)
    }
}
