//! What an operator does with accounts: from the command line, or by an import.

use photosync_protocol::account::parse_email;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::Role;
use uuid::Uuid;

use super::admin::queries as people;
use super::queries::{self, Account, sessions};
use super::{Draft, FirstRole, create, end_access, hash_hardware_id, owner_file, rules};
use crate::boot::App;
use crate::error::{Error, Result};

/// Adds an account by hand.
pub async fn add(app: &App, email: &str, password: String, admin: bool) -> Result<Account> {
    let email = parse_email(email).map_err(|error| Error::bad_request(error.to_string()))?;
    if password.chars().count() < rules::MIN_PASSWORD_CHARS {
        return Err(Error::bad_request("the password must have at least 6 characters"));
    }
    let password_hash = Some(app.passwords.hash(password).await?);
    let role = FirstRole::Given(if admin { Role::Admin } else { Role::Creator });
    create(app, Draft { email, role, password_hash, hardware_device_id: None }).await
}

/// Adds the account of an old server's user: with the hash that server made, which the next sign-in replaces, or
/// locked without one. `email` is normalised and has no live account yet.
pub async fn take_over(
    app: &App,
    email: String,
    password_hash: Option<String>,
    hardware_id: Option<&str>,
) -> Result<Account> {
    let hardware_device_id = hardware_id.and_then(hash_hardware_id);
    create(
        app,
        Draft { email, role: FirstRole::Given(Role::Creator), password_hash, hardware_device_id },
    )
    .await
}

/// The live account of an e-mail, or an error that names it.
pub async fn get_by_email(app: &App, typed: &str) -> Result<Account> {
    let email = parse_email(typed).map_err(|error| Error::bad_request(error.to_string()))?;
    app.db
        .read(move |tx| queries::find_by_email(tx, &email))
        .await?
        .ok_or_else(|| Error::not_found(format!("there is no account {}", typed.trim())))
}

/// All accounts, deleted ones too.
pub async fn list(app: &App) -> Result<Vec<Account>> {
    Ok(app.db.read(queries::list).await?)
}

/// Keeps an account from signing in, and ends its sessions.
pub async fn disable(app: &App, account: Uuid) -> Result<()> {
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| -> Result<()> {
            queries::set_disabled(tx, account, true)?;
            end_access(tx, account, now_ms)?;
            Ok(())
        })
        .await
}

/// Lets a disabled account sign in again.
pub async fn enable(app: &App, account: Uuid) -> Result<()> {
    Ok(app.db.write(move |tx| queries::set_disabled(tx, account, false)).await?)
}

/// Gives an account another role; its browsers have to sign in again. Whoever has the machine may also take it away from the
/// last administrator.
pub async fn set_role(app: &App, account: Account, role: Role) -> Result<()> {
    let (uuid, now_ms) = (account.account_uuid, app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            people::set_role(tx, uuid, role.as_str())?;
            Ok(sessions::revoke_browsers(tx, uuid, now_ms)?)
        })
        .await?;
    tracing::warn!(account = %uuid, from = account.role, to = role.as_str(), "the operator changed a role");
    owner_file::ensure_folder(app, &Account { role: role.as_str().to_owned(), ..account }).await
}

/// Lets an e-mail register although registration is not open.
pub async fn invite(app: &App, typed: &str) -> Result<String> {
    let email = parse_email(typed).map_err(|error| Error::bad_request(error.to_string()))?;
    let (now_ms, invited) = (app.clock.now_ms(), email.clone());
    app.db.write(move |tx| queries::store_invite(tx, &invited, now_ms)).await?;
    Ok(email)
}

/// Brings the most recently deleted account of an e-mail back.
pub async fn restore_deleted(app: &App, typed: &str) -> Result<Account> {
    let email = parse_email(typed).map_err(|error| Error::bad_request(error.to_string()))?;
    app.db
        .write(move |tx| -> Result<Account> {
            if queries::find_by_email(tx, &email)?.is_some() {
                return Err(Error::new(ErrorCode::EmailTaken, "this e-mail has a live account"));
            }
            let account = queries::find_deleted_by_email(tx, &email)?
                .ok_or_else(|| Error::not_found("there is no deleted account of this e-mail"))?;
            queries::clear_deleted(tx, account.account_uuid)?;
            Ok(account)
        })
        .await
}
