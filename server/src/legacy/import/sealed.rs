//! Sealed chunks and manifests of all of a user's old cloud folders.

use std::path::{Path, PathBuf};

use photosync_protocol::v1::Manifest;
use serde::Deserialize;
use uuid::Uuid;

use super::blocking;
use super::claims::is_hidden;
use super::originals::{Found, scan};
use super::report::{Imported, Tally};
use crate::blobs::{Key, hash_file};
use crate::boot::App;
use crate::clock::iso_utc;
use crate::error::Result;
use crate::relay::{self, queries};

/// Manifests are read whole; the old server took none above 100 KiB.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// What became of a sealed object.
enum Outcome {
    Stored,
    Known,
    Trashed,
    Left(String),
}

impl Outcome {
    fn count(self, report: &mut Imported, account: Uuid, counter: fn(&mut Tally) -> &mut u64) {
        let tally = report.tally(account, "");
        match self {
            Self::Stored => *counter(tally) += 1,
            Self::Known => tally.known_sealed += 1,
            Self::Trashed => tally.trashed += 1,
            Self::Left(why) => report.left.push(why),
        }
    }
}

/// Imports `chunks` and `manifests` of each of `folders`.
pub(super) async fn import(
    app: &App,
    account: Uuid,
    folders: Vec<PathBuf>,
    report: &mut Imported,
) -> Result<()> {
    app.relay.create_account_folder(account)?;
    app.relay_chunks.create_account_folder(account)?;
    for folder in &folders {
        name_others(folder, report);
    }
    // All chunks before any manifest: a manifest is never there before what it needs.
    for folder in folders.iter().map(|folder| folder.join("chunks")).filter(|it| it.is_dir()) {
        for chunk in scan(folder, report).await? {
            let outcome = import_chunk(app, account, chunk).await?;
            outcome.count(report, account, |tally| &mut tally.chunks);
        }
    }
    for folder in folders.iter().map(|folder| folder.join("manifests")).filter(|it| it.is_dir()) {
        for manifest in scan(folder, report).await? {
            let outcome = import_manifest(app, account, manifest).await?;
            outcome.count(report, account, |tally| &mut tally.manifests);
        }
    }
    Ok(())
}

/// Names what an old cloud folder holds besides the two folders that are imported.
fn name_others(folder: &Path, report: &mut Imported) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            report.left.push(format!("{}: could not be read: {error}", folder.display()));
            return;
        }
    };
    for entry in entries.flatten() {
        let is_imported = matches!(entry.file_name().to_str(), Some("chunks" | "manifests"));
        if is_hidden(&entry.path()) {
            report.note(format!("{}: hidden", entry.path().display()));
        } else if !is_imported || !entry.path().is_dir() {
            report
                .left
                .push(format!("{}: is no folder of chunks or manifests", entry.path().display()));
        }
    }
}

async fn import_chunk(app: &App, account: Uuid, file: Found) -> Result<Outcome> {
    let shown = file.path.display().to_string();
    let Some(chunk_id) = relay::parse_chunk_id(&file.name()) else {
        return Ok(Outcome::Left(format!("{shown}: is not named like a chunk")));
    };
    let path = file.path.clone();
    let (digest, size_bytes) =
        match blocking("read a chunk of the old server", move || hash_file(&path)).await? {
            Ok(read) => read,
            Err(error) => return Ok(Outcome::Left(format!("{shown}: could not be read: {error}"))),
        };
    if hex::encode(digest) != chunk_id {
        return Ok(Outcome::Left(format!("{shown}: damaged: its bytes do not have its name")));
    }
    let id = chunk_id.clone();
    let (known, trashed) = app
        .db
        .read(move |tx| -> Result<(bool, bool)> {
            let known = queries::objects::find_object(tx, account, &id)?.is_some();
            Ok((known, queries::objects::is_trashed(tx, account, &id)?))
        })
        .await?;
    if trashed {
        return Ok(Outcome::Trashed);
    }
    let key = Key::chunk(account, &chunk_id);
    if known && app.relay_chunks.find_size(&key).await? == Some(size_bytes) {
        return Ok(Outcome::Known);
    }
    let stage = app.relay_chunks.stage(account, size_bytes).await?;
    let staged = stage.seal_copy(file.path).await?;
    if staged.digest != digest {
        return Ok(Outcome::Left(format!(
            "{shown}: changed while it was copied; stop the old server, then import again"
        )));
    }
    relay::import_chunk(app, account, staged).await?;
    Ok(Outcome::Stored)
}

/// A manifest file of the old server. Only the sealed text counts; the id is the file's name.
#[derive(Deserialize)]
struct OldManifest {
    #[serde(rename = "encryptedManifest")]
    encrypted_manifest: String,
    #[serde(rename = "createdAt", default)]
    created_at: serde_json::Value,
}

async fn import_manifest(app: &App, account: Uuid, file: Found) -> Result<Outcome> {
    let (shown, name) = (file.path.display().to_string(), file.name());
    let Some(id) = name
        .strip_suffix(".json")
        .filter(|id| !id.is_empty() && relay::sanitise_manifest_id(id) == *id)
        .map(str::to_owned)
    else {
        return Ok(Outcome::Left(format!("{shown}: is not named like a manifest")));
    };
    if file.size_bytes > MAX_MANIFEST_BYTES {
        return Ok(Outcome::Left(format!("{shown}: is too large for a manifest")));
    }
    let path = file.path.clone();
    let read = move || -> std::io::Result<OldManifest> {
        Ok(serde_json::from_slice(&std::fs::read(&path)?)?)
    };
    let old = match blocking("read a manifest of the old server", read).await? {
        Ok(old) if !old.encrypted_manifest.is_empty() => old,
        Ok(_) => return Ok(Outcome::Left(format!("{shown}: damaged: it holds nothing"))),
        Err(error) => return Ok(Outcome::Left(format!("{shown}: damaged: {error}"))),
    };
    let asked = id.clone();
    let (known, trashed) = app
        .db
        .read(move |tx| -> Result<(bool, bool)> {
            let known = queries::find_manifest(tx, account, &asked)?.is_some();
            Ok((known, queries::is_manifest_trashed(tx, account, &asked)?))
        })
        .await?;
    if trashed {
        return Ok(Outcome::Trashed);
    }
    if known {
        let held = relay::get_manifest(app, account, &id).await;
        return Ok(match held {
            Ok(held) if held.encrypted_manifest == old.encrypted_manifest => Outcome::Known,
            Ok(_) => Outcome::Left(format!("{shown}: another manifest of this id is held already")),
            Err(error) => Outcome::Left(format!(
                "{shown}: a manifest of this id is held already, but cannot be read: {error}"
            )),
        });
    }
    let created_at = match old.created_at {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(ms) => iso_utc(ms.as_i64().unwrap_or(file.modified_ms)),
        _ => iso_utc(file.modified_ms),
    };
    let manifest =
        Manifest { manifest_id: id, encrypted_manifest: old.encrypted_manifest, created_at };
    relay::import_manifest(app, account, manifest).await?;
    Ok(Outcome::Stored)
}
