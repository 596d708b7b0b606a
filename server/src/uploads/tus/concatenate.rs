//! Puts partial uploads together. The result is finished when it is answered: there is no half of it to ask about.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::queries::{self, Upload};
use super::registry::Turn;
use super::{Creation, FINAL, PARTIAL, Progress, complete, get, length_of, new_upload, owned};
use crate::accounts::native::Uploader;
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// Makes one file of complete partial uploads, in this order, and ends them. Asked again for the same parts, it
/// answers the same upload; asked meanwhile, it waits.
pub async fn concatenate(
    app: &App,
    uploader: &Uploader,
    parts: Vec<String>,
    creation: Creation,
) -> Result<Progress> {
    let mut upload = new_upload(app, uploader, &creation)?;
    FINAL.clone_into(&mut upload.kind);
    upload.parts = parts.join(" ");
    upload.upload_id = id_of(uploader.account, &upload.parts);
    let app = app.clone();
    owned(async move {
        let turn = app.tus.take_over(&upload.upload_id).await?;
        turn.begin_finishing();
        let (account, id) = (upload.account_uuid, upload.upload_id.clone());
        let known = app.db.read(move |tx| queries::find_upload(tx, account, &id)).await?;
        if let Some(known) = known {
            return Ok(Progress::finished(known));
        }
        let (turns, whole_bytes) = require_complete(&app, account, &parts).await?;
        let joined =
            app.originals.join_resumables(account, &upload.upload_id, parts.clone(), whole_bytes);
        let staged = complete::seal(&app, &turn, joined.await?).await;
        let stored = match staged {
            Ok(staged) if upload.digest.is_some_and(|declared| declared != staged.digest) => {
                Err(complete::digest_mismatch())
            }
            Ok(staged) => {
                let ended = parts.clone();
                let note = move |tx: &mut dyn Tx, row: &Upload| end_with(tx, row, &ended);
                complete::store(&app, upload.clone(), staged, note).await
            }
            Err(error) => Err(error),
        };
        if !matches!(&stored, Ok((_, false))) {
            // Otherwise the file has another name by now. If this fails, the next start sweeps it.
            let _ = app.originals.remove_resumable(account, &upload.upload_id).await;
        }
        let (done, _) = stored?;
        for part in &parts {
            let _ = app.originals.remove_resumable(account, part).await;
            app.tus.forget(part);
        }
        drop(turns);
        app.tus.forget(&done.upload_id);
        Ok(Progress::finished(done))
    })
    .await
}

/// The same for the same parts of the same account, so that a lost answer can be asked for again. Nobody can guess it:
/// ids of parts are random.
fn id_of(account: Uuid, parts: &str) -> String {
    let digest = Sha256::digest(format!("{account} {parts}"));
    hex::encode(&digest[..16])
}

/// The turns of all parts, which nobody can change while they are held, and the length of the whole.
async fn require_complete(app: &App, account: Uuid, parts: &[String]) -> Result<(Vec<Turn>, u64)> {
    let refused =
        || Error::bad_request("only complete partial uploads can be concatenated, each once");
    if parts.iter().collect::<HashSet<_>>().len() != parts.len() {
        return Err(refused());
    }
    let (mut turns, mut whole_bytes) = (Vec::new(), 0_u64);
    for part in parts {
        get(app, account, part).await?;
        let mut turn = app.tus.look(part).await?;
        let upload = get(app, account, part).await?;
        if upload.kind != PARTIAL {
            return Err(refused());
        }
        let held_bytes = complete::open(app, &upload, &mut turn).await?;
        if length_of(&upload) != Some(held_bytes) {
            return Err(refused());
        }
        whole_bytes = whole_bytes.saturating_add(held_bytes);
        turns.push(turn);
    }
    Ok((turns, whole_bytes))
}

/// Notes what the parts became, and ends them, at once.
fn end_with(tx: &mut dyn Tx, row: &Upload, parts: &[String]) -> DbResult<()> {
    for part in parts {
        queries::remove(tx, part)?;
    }
    queries::store(tx, row)
}
