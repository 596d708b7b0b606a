//! Makes an index from the folders alone, after the database was lost. Originals and relay objects come back;
//! passwords, devices, plans and trash dates do not, and the operator is told so.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use photosync_protocol::account::{account_uuid, parse_email};
use uuid::Uuid;

use super::{adopt, sealed};
use crate::accounts::owner_file;
use crate::accounts::queries::Account;
use crate::auth::random_bytes;
use crate::blobs::{Key, LocalStore, hash_file};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::relay::queries::objects::NewObject;
use crate::relay::{kind_of, parse_chunk_id, queries as relay_queries};

/// What came back.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// E-mail and number of originals of each account.
    pub accounts: Vec<(String, u64)>,
    /// Sealed chunks and manifests.
    pub relay_objects: u64,
    /// One sentence each: what was left alone, and why.
    pub left: Vec<String>,
}

/// Fills an empty database from the folders. `owners`: whose folders without an owner file are.
pub async fn rebuild(app: &App, owners: &HashMap<Uuid, String>) -> Result<Rebuilt> {
    let mut report = Rebuilt::default();
    let mut found = Vec::new();
    for account in list_uuids(app.originals.root())? {
        let owner = match (owner_file::read(&app.originals, account), owners.get(&account)) {
            (Ok(Some(owner)), None) => (owner.email, owner.generation, owner.role),
            (_, Some(email)) => {
                (email.clone(), generation_of(email, account), "creator".to_owned())
            }
            (Ok(None), None) => {
                report.left.push(format!(
                    "{account} does not say whose folder it is; run again with --owner {account}=E-MAIL"
                ));
                continue;
            }
            (Err(reason), None) => {
                report.left.push(format!(
                    "{account}: its owner file cannot be used ({reason}); run again with --owner {account}=E-MAIL"
                ));
                continue;
            }
        };
        let email = parse_email(&owner.0).map_err(|error| Error::bad_request(error.to_string()))?;
        found.push((account, email, owner.1, owner.2));
    }
    // The newest account of an e-mail gets it; an older one had been deleted, and its folder waits.
    found.sort_by_key(|(_, _, generation, _)| std::cmp::Reverse(*generation));
    let mut taken = std::collections::HashSet::new();
    for (account, email, generation, role) in found {
        if !taken.insert(email.clone()) {
            report.left.push(format!(
                "{account} is an older account of {email}; to have it back, run again with --owner {account}=OTHER-E-MAIL"
            ));
            continue;
        }
        let row = Account {
            account_uuid: account,
            user_id: i64::from_be_bytes(random_bytes::<8>()) & ((1 << 53) - 1),
            email: email.clone(),
            generation,
            role,
            password_hash: None,
            hardware_device_id: None,
            disabled: false,
            created_at_ms: app.clock.now_ms(),
            deleted_at_ms: None,
            held_count: 0,
            held_bytes: 0,
            relay_bytes: 0,
            display_name: String::new(),
            quota_bytes: None,
        };
        adopt::adopt_account(app, row.clone()).await?;
        owner_file::ensure_folder(app, &row).await?;
        let mut adopted = adopt::adopt_folder(app, account).await?;
        report.left.append(&mut adopted.left);
        report.relay_objects += rebuild_relay(app, account, &mut report.left).await?;
        report.accounts.push((email, adopted.files));
    }
    Ok(report)
}

/// Which account of this e-mail has this UUID; a folder under any other name counts as the first.
fn generation_of(email: &str, account: Uuid) -> i64 {
    let found = parse_email(email)
        .ok()
        .and_then(|email| (1..=64).find(|g| account_uuid(&email, *g) == account));
    i64::from(found.unwrap_or(1))
}

fn list_uuids(root: &Path) -> Result<Vec<Uuid>> {
    let unreadable =
        |error: std::io::Error| Error::internal("look through the folders").caused_by(error);
    let mut uuids = Vec::new();
    for entry in std::fs::read_dir(root).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        uuids.extend(name.to_str().and_then(|name| Uuid::try_parse(name).ok()));
    }
    uuids.sort_unstable();
    Ok(uuids)
}

async fn rebuild_relay(app: &App, account: Uuid, left: &mut Vec<String>) -> Result<u64> {
    let now_ms = app.clock.now_ms();
    let mut found = 0;
    for chunk_id in list_names(&app.relay_chunks, account, "chunks", 2)? {
        let Some(chunk_id) = parse_chunk_id(&chunk_id) else { continue };
        let path = app.relay_chunks.path(&Key::chunk(account, &chunk_id));
        let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
        match hashed.map_err(std::io::Error::other).and_then(|result| result) {
            Ok((digest, size_bytes)) if hex::encode(digest) == chunk_id => {
                let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
                let (kind, stored_at_ms) = (read_kind(app, account, &chunk_id).await?, now_ms);
                // What used it is not known any more.
                let collectable = false;
                let new =
                    NewObject { account, chunk_id, size_bytes, kind, collectable, stored_at_ms };
                app.db.write(move |tx| relay_queries::objects::store(tx, &new)).await?;
                found += 1;
            }
            _ => left.push(format!("the relay chunk {chunk_id} of {account} is damaged")),
        }
    }
    left.append(&mut sealed::rebuild_order(app, account).await?);
    for file in list_names(&app.relay, account, "manifests", 1)? {
        let Some(manifest_id) = file.strip_suffix(".json").map(str::to_owned) else { continue };
        let size_bytes =
            app.relay.find_size(&Key::manifest(account, &manifest_id)).await?.unwrap_or(0);
        let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        app.db
            .write(move |tx| {
                relay_queries::store_manifest(tx, account, &manifest_id, size_bytes, now_ms)
            })
            .await?;
        found += 1;
    }
    Ok(found)
}

/// The letter of an object's clear head; `None` for one of version 1.
async fn read_kind(app: &App, account: Uuid, chunk_id: &str) -> Result<Option<char>> {
    const HEAD_BYTES: u64 = 8;
    let opened = app.relay_chunks.open(&Key::chunk(account, chunk_id)).await?;
    let Some((file, _)) = opened else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || {
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head).map(|_| head)
    });
    let read = read.await.map_err(std::io::Error::other).and_then(|head| head);
    let head = read.map_err(|source| Error::internal("read a sealed object").caused_by(source))?;
    Ok(kind_of(&head))
}

/// File names below a folder of the account, `depth` levels down. None if there is no such folder.
fn list_names(
    store: &LocalStore,
    account: Uuid,
    folder: &str,
    depth: usize,
) -> Result<Vec<String>> {
    let mut folders = vec![store.account_folder(account).join(folder)];
    for level in 1..=depth {
        let mut next = Vec::new();
        let mut names = Vec::new();
        for folder in &folders {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                names.extend(entry.file_name().into_string());
                next.push(entry.path());
            }
        }
        if level == depth {
            return Ok(names);
        }
        folders = next;
    }
    Ok(Vec::new())
}
