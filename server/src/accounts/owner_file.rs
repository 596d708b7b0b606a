//! `.photosync.json`: says whose folder it is, so that the folders alone are enough to rebuild the index.

use photosync_protocol::account::parse_email;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries::Account;
use crate::blobs::{BlobError, LocalStore, OWNER_FILE, write_durably};
use crate::boot::App;
use crate::error::{Error, Result};

const FORMAT: &str = "photosync-account-1";

/// Contents of an owner file. No secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of table accounts with these names")]
pub struct Owner {
    pub format: String,
    pub account: Uuid,
    pub email: String,
    pub generation: i64,
    pub role: String,
}

/// Makes the account's folder with its owner file, durably; does nothing if both are there and say what the account is.
pub async fn ensure_folder(app: &App, account: &Account) -> Result<()> {
    let owner = Owner {
        format: FORMAT.into(),
        account: account.account_uuid,
        email: account.email.clone(),
        generation: account.generation,
        role: account.role.clone(),
    };
    let store = app.originals.clone();
    tokio::task::spawn_blocking(move || write(&store, &owner))
        .await
        .map_err(|source| Error::internal("make an account's folder").caused_by(source))??;
    Ok(())
}

fn write(store: &LocalStore, owner: &Owner) -> std::result::Result<(), BlobError> {
    store.create_account_folder(owner.account)?;
    let path = store.account_folder(owner.account).join(OWNER_FILE);
    match read(store, owner.account) {
        Ok(Some(found)) if found == *owner => return Ok(()),
        // Its role or e-mail has changed; or it is new.
        Ok(_) => {}
        // Whoever wrote that, it is not ours to replace.
        Err(_) => return Ok(()),
    }
    let failed = |source| BlobError::new("write the owner file of", owner.account, source);
    let bytes = serde_json::to_vec_pretty(owner).map_err(|error| failed(error.into()))?;
    write_durably(&path, &bytes).map_err(failed)
}

/// The owner of a folder; an error says why the file cannot be used, `None` that there is none.
pub fn read(store: &LocalStore, account: Uuid) -> std::result::Result<Option<Owner>, String> {
    let path = store.account_folder(account).join(OWNER_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let owner: Owner = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if owner.format != FORMAT || owner.account != account || parse_email(&owner.email).is_err() {
        return Err("it belongs to another folder or another program".into());
    }
    Ok(Some(owner))
}
