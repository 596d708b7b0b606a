//! What administrators do with other people's accounts, at a browser.
//!
//! Holding an [`Admin`] proves who asks; every change proves it again in its own transaction, so that of two administrators
//! who take each other's role away at the same moment one keeps it. The last administrator who can sign in stays one.

pub mod queries;
pub mod routes;
pub mod rules;
#[cfg(test)]
mod tests;

use photosync_protocol::account::parse_email;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::{
    Ended, HandedLink, InvitedUser, LinkKind, NewUser, Role, User, UserEdit, Users,
};
use uuid::Uuid;

use super::queries::sessions;
use super::queries::{self as rows, Account};
use super::web::{self, HANDED_LINK_MS, INVITATION_MS, LinkPurpose, Person};
use super::{Draft, FirstRole, create, end_access, owner_file};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::pairing::presence;
use queries::UserRow;

/// A person who may look after this server. Its only maker is [`authenticate`].
#[derive(Debug, Clone)]
pub struct Admin {
    account: Uuid,
    session_id: String,
}

impl Admin {
    /// The administrator's own account.
    pub fn account(&self) -> Uuid {
        self.account
    }
}

/// Lets administrators in, and nobody else.
pub async fn authenticate(app: &App, person: Person) -> Result<Admin> {
    let admin = Admin { account: person.0.account, session_id: person.0.session_id };
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    app.db.read(move |tx| require_admin(tx, &asking, now_ms)).await?;
    Ok(admin)
}

/// The role may have been taken away, and the session ended, since the request came.
fn require_admin(tx: &mut dyn Tx, admin: &Admin, now_ms: i64) -> Result<()> {
    let session = sessions::find_live_session(tx, &admin.session_id, now_ms)?;
    match session {
        Some(session) if session.role == Role::Admin.as_str() => Ok(()),
        Some(_) => {
            let message = "only an administrator of this server may do this";
            Err(Error::new(ErrorCode::OutOfScope, message))
        }
        None => Err(Error::new(ErrorCode::Unauthorised, "please sign in")),
    }
}

fn no_such_account() -> Error {
    Error::not_found("there is no such account")
}

/// Refuses what would leave nobody who can look after the server.
fn require_another_admin(tx: &mut dyn Tx, account: &Account) -> Result<()> {
    let others = queries::count_other_admins(tx, account.account_uuid)?;
    if rules::may_leave(&account.role, others) {
        return Ok(());
    }
    let message = "this is the last administrator who can sign in; make somebody else one first";
    Err(Error::new(ErrorCode::Conflict, message))
}

/// The same for who deletes an account, be it the own one with an old client: the only account of a server may go.
pub fn require_may_be_deleted(tx: &mut dyn Tx, account: &Account) -> Result<()> {
    if queries::count_others(tx, account.account_uuid)? == 0 {
        return Ok(());
    }
    require_another_admin(tx, account)
}

fn require_not_own(admin: &Admin, account: Uuid, message: &str) -> Result<()> {
    if admin.account == account {
        return Err(Error::new(ErrorCode::Conflict, message));
    }
    Ok(())
}

/// Reads an account that is not deleted, in the transaction of whoever changes it.
fn get_live(tx: &mut dyn Tx, admin: &Admin, account: Uuid, now_ms: i64) -> Result<Account> {
    require_admin(tx, admin, now_ms)?;
    rows::find_by_uuid(tx, account)?
        .filter(|row| row.deleted_at_ms.is_none())
        .ok_or_else(no_such_account)
}

/// All accounts.
pub async fn list(app: &App, _admin: &Admin) -> Result<Users> {
    let (now_ms, trash_ms) = (app.clock.now_ms(), app.config.trash_days * DAY_MS);
    let rows = app.db.read(move |tx| queries::list(tx, now_ms)).await?;
    Ok(Users { users: rows.into_iter().map(|row| shown(row, trash_ms)).collect() })
}

fn shown(row: UserRow, trash_ms: i64) -> User {
    User {
        id: row.account_uuid.to_string(),
        state: rules::state_of(row.deleted_at_ms.is_some(), row.disabled, row.has_password),
        // The schema knows no other words.
        role: Role::find(&row.role).unwrap_or(Role::Viewer),
        email: row.email,
        name: row.display_name,
        held_count: row.held_count,
        held_bytes: row.held_bytes,
        sealed_bytes: row.relay_bytes,
        quota_bytes: row.quota_bytes,
        created_at_ms: row.created_at_ms,
        device_count: row.device_count,
        last_seen_at_ms: row.last_seen_at_ms,
        last_backup_at_ms: row.last_backup_at_ms,
        last_arrival_at_ms: row.last_arrival_at_ms,
        link_until_ms: row.link_until_ms,
        erased_after_ms: row.deleted_at_ms.map(|at_ms| at_ms + trash_ms),
    }
}

async fn get(app: &App, account: Uuid) -> Result<User> {
    let now_ms = app.clock.now_ms();
    let found = app.db.read(move |tx| queries::find_user(tx, account, now_ms)).await?;
    found.map(|row| shown(row, app.config.trash_days * DAY_MS)).ok_or_else(no_such_account)
}

fn require_quota(quota_bytes: Option<i64>) -> Result<()> {
    match quota_bytes {
        Some(bytes) if bytes < 0 => Err(Error::bad_request("a quota cannot be negative")),
        _ => Ok(()),
    }
}

/// Makes an account without a password, and the link by which its owner chooses one. Should the second half fail, the account
/// is there, and [`offer_link`] makes another link.
pub async fn invite(app: &App, admin: &Admin, new: NewUser) -> Result<InvitedUser> {
    let email = parse_email(&new.email).map_err(|error| Error::bad_request(error.to_string()))?;
    require_quota(new.quota_bytes)?;
    let draft = Draft {
        email,
        role: FirstRole::Given(new.role),
        password_hash: None,
        hardware_device_id: None,
    };
    let account = create(app, draft).await?.account_uuid;
    let (name, quota_bytes) = (rules::tidy_name(&new.name), new.quota_bytes);
    app.db
        .write(move |tx| -> Result<()> {
            queries::set_name(tx, account, &name)?;
            Ok(queries::set_quota(tx, account, quota_bytes)?)
        })
        .await?;
    tracing::warn!(by = %admin.account, %account, role = new.role.as_str(), "an administrator invited somebody");
    let link = offer_link(app, admin, account, LinkKind::Password).await?;
    Ok(InvitedUser { user: get(app, account).await?, link })
}

/// What became of an edit, for those who have to follow.
struct Edited {
    account: Account,
    old_role: String,
}

/// Changes an account.
pub async fn edit(app: &App, admin: &Admin, account: Uuid, edit: UserEdit) -> Result<User> {
    require_quota(edit.quota_bytes.flatten())?;
    if edit.locked == Some(true) {
        require_not_own(admin, account, "you cannot lock yourself out")?;
    }
    let (asking, wanted, now_ms) = (admin.clone(), edit.clone(), app.clock.now_ms());
    let edited = app
        .db
        .write(move |tx| -> Result<Edited> {
            let mut row = get_live(tx, &asking, account, now_ms)?;
            let old_role = row.role.clone();
            if let Some(role) = wanted.role {
                change_role(tx, &mut row, role, now_ms)?;
            }
            match wanted.locked {
                Some(true) if !row.disabled => {
                    require_another_admin(tx, &row)?;
                    rows::set_disabled(tx, account, true)?;
                    end_access(tx, account, now_ms)?;
                }
                Some(false) => rows::set_disabled(tx, account, false)?,
                _ => {}
            }
            if let Some(name) = &wanted.name {
                queries::set_name(tx, account, &rules::tidy_name(name))?;
            }
            if let Some(quota_bytes) = wanted.quota_bytes {
                queries::set_quota(tx, account, quota_bytes)?;
            }
            Ok(Edited { account: row, old_role })
        })
        .await?;
    note(app, admin, &edit, edited).await?;
    get(app, account).await
}

/// Another role ends the browsers that were let in with the old one. Phones and computers have no part in it.
fn change_role(tx: &mut dyn Tx, row: &mut Account, role: Role, now_ms: i64) -> Result<()> {
    if row.role == role.as_str() {
        return Ok(());
    }
    require_another_admin(tx, row)?;
    queries::set_role(tx, row.account_uuid, role.as_str())?;
    sessions::revoke_browsers(tx, row.account_uuid, now_ms)?;
    row.role = role.as_str().to_owned();
    Ok(())
}

async fn note(app: &App, admin: &Admin, edit: &UserEdit, edited: Edited) -> Result<()> {
    let Edited { account: row, old_role } = edited;
    let (by, account) = (admin.account, row.account_uuid);
    if row.role != old_role {
        tracing::warn!(%by, %account, from = old_role, to = row.role, "an administrator changed a role");
        // What a rebuilt index would take the role from. Signing in mends it, should this fail.
        owner_file::ensure_folder(app, &row).await?;
    }
    if let Some(locked) = edit.locked {
        tracing::warn!(%by, %account, locked, "an administrator locked or unlocked an account");
    }
    if let Some(quota_bytes) = edit.quota_bytes {
        tracing::info!(%by, %account, quota_bytes, "an administrator changed a quota");
    }
    Ok(())
}

/// Sets another person's password, and ends all their sessions.
pub async fn set_password(
    app: &App,
    admin: &Admin,
    account: Uuid,
    password: String,
) -> Result<Ended> {
    require_not_own(admin, account, "your own password is changed on the page of your account")?;
    web::require_long_enough(&password)?;
    let hash = app.passwords.hash(password).await?;
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    let sessions = app
        .db
        .write(move |tx| -> Result<i64> {
            get_live(tx, &asking, account, now_ms)?;
            rows::set_password_hash(tx, account, &hash)?;
            Ok(end_access(tx, account, now_ms)?)
        })
        .await?;
    tracing::warn!(by = %admin.account, %account, sessions, "an administrator set a password");
    Ok(Ended { sessions })
}

/// Makes a link for somebody. An earlier one for the same ends.
pub async fn offer_link(
    app: &App,
    admin: &Admin,
    account: Uuid,
    kind: LinkKind,
) -> Result<HandedLink> {
    let (purpose, page, life_ms) = match kind {
        LinkKind::SignIn => (LinkPurpose::SignIn, "/link", HANDED_LINK_MS),
        LinkKind::Password => (LinkPurpose::Password, "/invitation", INVITATION_MS),
    };
    if kind == LinkKind::Password {
        let message = "your own password is changed on the page of your account";
        require_not_own(admin, account, message)?;
    }
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    let (token, hash) = web::new_link();
    let expires_at_ms = now_ms + life_ms;
    app.db
        .write(move |tx| -> Result<()> {
            if get_live(tx, &asking, account, now_ms)?.disabled {
                let message = "this account is locked; unlock it first";
                return Err(Error::new(ErrorCode::Conflict, message));
            }
            web::queries::remove_links_for(tx, account, purpose.as_str())?;
            Ok(web::queries::store_link(
                tx,
                &hash,
                purpose.as_str(),
                account,
                now_ms,
                expires_at_ms,
            )?)
        })
        .await?;
    tracing::warn!(by = %admin.account, %account, purpose = purpose.as_str(), "an administrator handed out a link");
    let addresses = presence::browser_urls(app);
    Ok(HandedLink { path: format!("{page}#{token}"), addresses, expires_at_ms })
}

/// Ends every session of somebody, or one's own.
pub async fn sign_out(app: &App, admin: &Admin, account: Uuid) -> Result<Ended> {
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    let sessions = app
        .db
        .write(move |tx| -> Result<i64> {
            get_live(tx, &asking, account, now_ms)?;
            Ok(end_access(tx, account, now_ms)?)
        })
        .await?;
    tracing::warn!(by = %admin.account, %account, sessions, "an administrator signed somebody out everywhere");
    Ok(Ended { sessions })
}

/// Deletes somebody's account: its sessions end now, its bytes stay as long as things stay in the trash, and until then
/// [`restore`] brings it back.
pub async fn delete(app: &App, admin: &Admin, account: Uuid) -> Result<()> {
    require_not_own(admin, account, "you cannot delete your own account here")?;
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            let row = get_live(tx, &asking, account, now_ms)?;
            require_another_admin(tx, &row)?;
            end_access(tx, account, now_ms)?;
            Ok(rows::set_deleted(tx, account, now_ms)?)
        })
        .await?;
    let days = app.config.trash_days;
    tracing::warn!(by = %admin.account, %account, days, "an administrator deleted an account; it can be brought back until the trash period is over");
    Ok(())
}

/// Brings a deleted account back, unless its e-mail has another one by now or its bytes are gone.
pub async fn restore(app: &App, admin: &Admin, account: Uuid) -> Result<User> {
    let (asking, now_ms) = (admin.clone(), app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            require_admin(tx, &asking, now_ms)?;
            let row = queries::find_user(tx, account, now_ms)?.ok_or_else(no_such_account)?;
            if row.deleted_at_ms.is_none() {
                return Ok(());
            }
            if rows::find_by_email(tx, &row.email)?.is_some() {
                let message = "this e-mail has another account by now";
                return Err(Error::new(ErrorCode::EmailTaken, message));
            }
            Ok(rows::clear_deleted(tx, account)?)
        })
        .await?;
    tracing::warn!(by = %admin.account, %account, "an administrator brought an account back");
    get(app, account).await
}
