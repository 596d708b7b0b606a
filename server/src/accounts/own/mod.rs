//! What a person does with their own account, at a browser.

pub mod routes;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::Ended;
use photosync_protocol::v2::web::{PasswordChange, PasswordChanged};
use uuid::Uuid;

use super::admin::{queries as people, rules::tidy_name};
use super::queries::{self, sessions};
use super::web::{self, Person, SESSION_MS};
use super::{Verified, require_unchanged, verify_password};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// A new password, and with what this browser goes on.
pub struct Changed {
    /// Value of its new cookie.
    pub cookie: String,
    /// What its page is told.
    pub told: PasswordChanged,
}

/// Changes the password. Every other browser is signed out, every link and pairing code ends, and this browser gets another
/// cookie; phones and computers go on unless they are to end too.
pub async fn change_password(app: &App, person: &Person, asked: PasswordChange) -> Result<Changed> {
    web::require_long_enough(&asked.new)?;
    let account = person.0.account;
    let verified_hash = require_old(app, account, &asked.old).await?;
    let hash = app.passwords.hash(asked.new).await?;
    let (session_id, now_ms) = (person.0.session_id.clone(), app.clock.now_ms());
    let (cookie, cookie_hash) = web::new_cookie();
    let (session, ended) = app
        .db
        .write(move |tx| -> Result<_> {
            require_unchanged(tx, account, verified_hash.as_deref())?;
            let session = sessions::find_live_session(tx, &session_id, now_ms)?
                .ok_or_else(|| Error::new(ErrorCode::Unauthorised, "please sign in"))?;
            queries::set_password_hash(tx, account, &hash)?;
            let ended = end_elsewhere(tx, account, &session_id, asked.devices, now_ms)?;
            sessions::set_cookie_hash(tx, &session_id, &cookie_hash, now_ms, now_ms + SESSION_MS)?;
            Ok((session, ended))
        })
        .await?;
    tracing::warn!(%account, sessions = ended, "a password was changed by its owner");
    let told = PasswordChanged { session: web::session_shown(&cookie, session), ended };
    Ok(Changed { cookie, told })
}

/// Proves the old password; returns its hash. An account that never had one, as one that was taken over or rebuilt, has
/// nothing to prove: its owner came in by a link.
async fn require_old(app: &App, account: Uuid, old: &str) -> Result<Option<String>> {
    let row = app.db.read(move |tx| queries::find_by_uuid(tx, account)).await?;
    let row = row.ok_or_else(|| Error::not_found("there is no such account"))?;
    if row.password_hash.is_none() {
        return Ok(None);
    }
    // Not 401: this browser is signed in, and stays it.
    let wrong = |error: Error| match error.code {
        ErrorCode::Unauthorised => {
            Error::new(ErrorCode::Forbidden, "the old password is wrong; nothing was changed")
        }
        _ => error,
    };
    let Verified { account, .. } = verify_password(app, &row.email, old).await.map_err(wrong)?;
    Ok(account.password_hash)
}

fn end_elsewhere(
    tx: &mut dyn Tx,
    account: Uuid,
    session_id: &str,
    devices_too: bool,
    now_ms: i64,
) -> DbResult<i64> {
    crate::pairing::queries::remove_all(tx, account)?;
    web::queries::remove_links(tx, account)?;
    match devices_too {
        true => sessions::revoke_others(tx, account, session_id, now_ms),
        false => sessions::revoke_other_browsers(tx, account, session_id, now_ms),
    }
}

/// Ends every other browser's session, every link and pairing code; with `devices_too` also phones and computers.
pub async fn sign_out_elsewhere(app: &App, person: &Person, devices_too: bool) -> Result<Ended> {
    let (account, session_id) = (person.0.account, person.0.session_id.clone());
    let now_ms = app.clock.now_ms();
    let sessions = app
        .db
        .write(move |tx| end_elsewhere(tx, account, &session_id, devices_too, now_ms))
        .await?;
    tracing::info!(%account, sessions, "everybody else was signed out by the owner of an account");
    Ok(Ended { sessions })
}

/// What a person wants to be called.
pub async fn rename(app: &App, person: &Person, name: &str) -> Result<()> {
    let (account, name) = (person.0.account, tidy_name(name));
    Ok(app.db.write(move |tx| people::set_name(tx, account, &name)).await?)
}
