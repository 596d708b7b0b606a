//! Import of a reference server's data: accounts, originals, sealed chunks and manifests, device states, plans.
//!
//! The one rule: the source is only ever read, and everything goes through the same services that a client's bytes
//! go through. So a run that was cut off is simply run again, and a second run finds everything there already.

mod claims;
mod originals;
mod report;
mod sealed;
mod source;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use photosync_protocol::account::parse_email;
use uuid::Uuid;

use crate::accounts::queries::{self as account_queries, Account};
use crate::accounts::{self, owner_file};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::relay::queries as relay_queries;

use claims::{Claims, Place};
pub use report::{Imported, Tally};
use source::{OldServer, User};
pub use sources::Sources;

/// Takes over everything of an old server whose owner is known. `owners`: whose the folders are that the old
/// database does not know. May be run again; after an error everything that was taken over stays and is whole.
pub async fn import(
    app: &App,
    sources: &Sources,
    owners: &HashMap<Uuid, String>,
) -> Result<Imported> {
    sources.require_apart(&app.config).map_err(Error::bad_request)?;
    let (scratch, database) = (app.config.data_dir.clone(), sources.database.clone());
    let old = blocking("read the old database", move || source::read(&scratch, &database))
        .await?
        .map_err(Error::bad_request)?;

    let mut report = Imported::default();
    let people = take_over_users(app, &old, &mut report).await?;
    let chosen = find_owners(app, owners, &mut report).await?;
    let mut claims = Claims::new(&old, &people, chosen);
    for (uuid, account) in claims.devices() {
        bind_device(app, uuid, account, &mut report).await?;
    }
    take_over_rows(app, &old, &people, &mut report).await?;

    let uploads =
        claims.divide(&list_folders(&sources.uploads, &mut report)?, Place::Uploads, &mut report);
    let mut cloud: BTreeMap<Uuid, Vec<PathBuf>> = BTreeMap::new();
    for users in sources.cloud_users() {
        let folders = list_folders(&users, &mut report)?;
        for (account, folders) in claims.divide(&folders, Place::Cloud, &mut report) {
            cloud.entry(account).or_default().extend(folders);
        }
    }
    for (uuid, account) in claims.chosen_devices(&mut report) {
        bind_device(app, uuid, account, &mut report).await?;
    }
    for (account, folders) in uploads {
        originals::import(app, account, folders, &mut report).await?;
    }
    for (account, folders) in cloud {
        sealed::import(app, account, folders, &mut report).await?;
    }
    Ok(report)
}

/// Finds or makes the account of every user of the old server: account by the old number of its user.
async fn take_over_users(
    app: &App,
    old: &OldServer,
    report: &mut Imported,
) -> Result<BTreeMap<i64, Account>> {
    let mut people: BTreeMap<i64, Account> = BTreeMap::new();
    for user in &old.users {
        let Ok(email) = parse_email(&user.email) else {
            report.left.push(format!(
                "user {} of the old database has no usable e-mail, so nothing of it was imported",
                user.id
            ));
            continue;
        };
        // Two spellings of one e-mail may be two people: the later one must not get at the first one's photos.
        if people.values().any(|account| account.email == email) {
            report.left.push(format!(
                "user {} of the old database has the same e-mail as another one, {email}: nothing of it was \
                 imported; give its folders to an account with --owner",
                user.id
            ));
            continue;
        }
        if let Some(account) = take_over_user(app, user, email, report).await? {
            owner_file::ensure_folder(app, &account).await?;
            report.tally(account.account_uuid, &account.email);
            people.insert(user.id, account);
        }
    }
    Ok(people)
}

async fn take_over_user(
    app: &App,
    user: &User,
    email: String,
    report: &mut Imported,
) -> Result<Option<Account>> {
    let wanted = email.clone();
    let found = app.db.read(move |tx| account_queries::find_by_email(tx, &wanted)).await?;
    if found.is_some() {
        return Ok(found);
    }
    if accounts::list(app).await?.iter().any(|account| account.email == email) {
        report.left.push(format!(
            "the account {email} was deleted here, so nothing of it was imported: `user restore {email}` brings it \
             back, `user add {email}` makes a new one; then import again"
        ));
        return Ok(None);
    }
    let hash = user.password_hash.clone().filter(|hash| hash.starts_with("$2"));
    if hash.is_none() {
        report.left.push(format!(
            "the password of {email} cannot be read; set one with `user passwd {email}`"
        ));
    }
    let account = accounts::take_over(app, email, hash, user.hardware_device_id.as_deref()).await?;
    report.tally(account.account_uuid, &account.email).is_new = true;
    Ok(Some(account))
}

/// The accounts that the operator named for folders without an owner.
async fn find_owners(
    app: &App,
    owners: &HashMap<Uuid, String>,
    report: &mut Imported,
) -> Result<HashMap<Uuid, Account>> {
    let mut found = HashMap::new();
    for (folder, email) in owners {
        let account = match parse_email(email) {
            Ok(email) => app.db.read(move |tx| account_queries::find_by_email(tx, &email)).await?,
            Err(_) => None,
        };
        match account {
            Some(account) => {
                owner_file::ensure_folder(app, &account).await?;
                found.insert(*folder, account);
            }
            None => report.left.push(format!(
                "--owner {folder}={email}: there is no such account here; add it with `user add {email}`, then \
                 import again"
            )),
        }
    }
    Ok(found)
}

/// Makes an old device UUID an alias, unless it is somebody's already.
async fn bind_device(app: &App, uuid: Uuid, account: Uuid, report: &mut Imported) -> Result<()> {
    let now_ms = app.clock.now_ms();
    let alias = app.aliases.of_uuid(uuid);
    let bound = app
        .db
        .write(move |tx| account_queries::bind_presented(tx, &alias, account, now_ms))
        .await?;
    if !bound {
        report.left.push(format!(
            "device {uuid} belongs to another account here and stays there; its files were imported where the old \
             database says"
        ));
    }
    Ok(())
}

/// Plans and device states. What an account has here already wins.
async fn take_over_rows(
    app: &App,
    old: &OldServer,
    people: &BTreeMap<i64, Account>,
    report: &mut Imported,
) -> Result<()> {
    let now_ms = app.clock.now_ms();
    for plan in &old.plans {
        let Some(account) = people.get(&plan.user_id).map(|account| account.account_uuid) else {
            continue;
        };
        let old_plan = plan.clone();
        let customer = plan.customer_id.as_deref().map(|id| app.aliases.of(id));
        app.db
            .write(move |tx| -> Result<()> {
                if relay_queries::find_plan(tx, account)?.is_some() {
                    return Ok(());
                }
                let updated_at_ms = old_plan.updated_at_ms.unwrap_or(now_ms);
                relay_queries::set_plan(tx, account, &old_plan.plan, updated_at_ms)?;
                if let Some(customer) = &customer {
                    relay_queries::set_plan_customer(tx, account, customer)?;
                }
                Ok(())
            })
            .await?;
    }
    for state in &old.device_states {
        let Some(account) = people.get(&state.user_id) else { continue };
        if !serde_json::from_str::<serde_json::Value>(&state.json)
            .is_ok_and(|json| json.is_object())
        {
            report.left.push(format!(
                "the state of device {} of {} is not readable",
                state.device_uuid, account.email
            ));
            continue;
        }
        let (uuid, old_state) = (account.account_uuid, state.clone());
        let device = app.aliases.of(&state.device_uuid);
        let stored = app
            .db
            .write(move |tx| -> Result<bool> {
                if relay_queries::find_device_state(tx, uuid, &device)?.is_some() {
                    return Ok(false);
                }
                let at_ms = old_state.updated_at_ms.unwrap_or(now_ms);
                relay_queries::set_device_state(tx, uuid, &device, &old_state.json, at_ms)?;
                Ok(true)
            })
            .await?;
        report.tally(uuid, &account.email).device_states += u64::from(stored);
    }
    Ok(())
}

/// The sub-folders of a folder, by name. What else lies there is named in the report.
fn list_folders(parent: &Path, report: &mut Imported) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| {
        Error::bad_request(format!("could not look through {}: {error}", parent.display()))
    };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(parent).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Follows links: an operator may have moved a large folder to another disk.
        if path.is_dir() {
            folders.push(path);
        } else if claims::is_hidden(&path) {
            report.note(format!("{}: hidden", path.display()));
        } else {
            report.left.push(format!("{}: is in nobody's folder", path.display()));
        }
    }
    folders.sort();
    Ok(folders)
}

/// Runs disk work where it keeps nobody waiting.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| Error::internal(what).caused_by(source))
}
