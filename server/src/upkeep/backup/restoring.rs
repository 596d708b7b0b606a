//! Restoring a generation: on trial beside itself, or into an empty data folder. Either way it is opened as a server would
//! open it, and every hash is compared.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::copying::{copy_file, sync_tree};
use super::generations::{self, Generation, MARKER, TRIAL};
use super::{DATABASE, PROVED_FACT, blocking, remove_file_if_there, remove_tree_if_there};
use crate::accounts::queries::set_fact;
use crate::blobs::create_private_dir;
use crate::boot::{App, BootOptions, boot};
use crate::config::Config;
use crate::error::{Error, Result};
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
}

/// Restores the newest generation in `folder`, or the one that `folder` is, into a folder beside it, opens it, compares
/// every hash, and removes it again. A success is noted in this server's database.
pub async fn prove(app: &App, folder: PathBuf) -> Result<Tried> {
    let find = move || -> io::Result<(File, PathBuf, Generation, PathBuf)> {
        let (folder, generation) = generations::find(&folder)?;
        let above = folder.parent().unwrap_or(&folder);
        let lock = generations::lock(above)?;
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

/// Restores the newest generation in `folder`, or the one that `folder` is, into the data folder of `config`, which must be
/// empty, and compares every hash there. The backup is not touched.
pub async fn restore(config: &Config, folder: PathBuf) -> Result<Tried> {
    let data_dir = config.data_dir.clone();
    let copy = move || -> io::Result<(PathBuf, Generation)> {
        let (folder, generation) = generations::find(&folder)?;
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
