//! The devices of an account: which are signed in, and ending one that was lost. Only a [`Member`] gets here, and only
//! to devices of the own account; a foreign device's id is as good as none.

pub mod queries;

use photosync_protocol::control::OverdueDevice;
use photosync_protocol::v2::session::{
    Device, Devices, UPLOAD_PREFIX, UPLOAD_TOKEN_S, UploadToken,
};

use super::native::{Member, hash_token, new_token};
use super::queries::sessions::{NewSession, store_session};
use super::rules::is_overdue;
use crate::auth::random_id;
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::error::{Error, Result};

fn no_such_device() -> Error {
    Error::not_found("there is no such device")
}

/// The devices that are signed in.
pub async fn list(app: &App, member: &Member) -> Result<Devices> {
    let (account, now_ms) = (member.account, app.clock.now_ms());
    let rows = app.db.read(move |tx| queries::list_live(tx, account, now_ms)).await?;
    let shown = rows.into_iter().map(|row| Device {
        this: row.device_id == member.device_id,
        overdue: !row.is_browser
            && is_overdue(
                row.inventory_at_ms.unwrap_or(row.created_at_ms),
                now_ms,
                app.config.overdue_days.saturating_mul(DAY_MS),
            ),
        id: row.device_id,
        name: row.label,
        created_at_ms: row.created_at_ms,
        last_seen_at_ms: row.last_seen_at_ms,
        inventory_at_ms: row.inventory_at_ms,
        has_upload_token: row.has_upload_token,
        is_browser: row.is_browser,
    });
    Ok(Devices { devices: shown.collect() })
}

/// Overdue devices named at most; who has more looks at the page.
const MAX_OVERDUE: i64 = 20;

/// Overdue devices of all accounts, the one longest without a complete backup first. For the operator of this server
/// only: the control listener tells the tray.
pub async fn list_overdue(app: &App) -> Result<Vec<OverdueDevice>> {
    let (now_ms, limit_ms) = (app.clock.now_ms(), app.config.overdue_days.saturating_mul(DAY_MS));
    if limit_ms <= 0 {
        return Ok(Vec::new());
    }
    let before_ms = now_ms.saturating_sub(limit_ms);
    let rows =
        app.db.read(move |tx| queries::list_late(tx, before_ms, now_ms, MAX_OVERDUE)).await?;
    let overdue = rows.into_iter().filter_map(|row| {
        let since_ms = row.inventory_at_ms.unwrap_or(row.created_at_ms);
        is_overdue(since_ms, now_ms, limit_ms).then(|| OverdueDevice {
            id: row.device_id,
            name: row.label,
            email: row.email,
            days: u64::try_from((now_ms - since_ms) / DAY_MS).unwrap_or(0),
            is_first: row.inventory_at_ms.is_none(),
        })
    });
    Ok(overdue.collect())
}

/// Signs a device out everywhere: its sessions and its upload-only token end, and so do pairing codes of the account,
/// for a thief may have asked for one. Doing it twice changes nothing.
pub async fn revoke(app: &App, member: &Member, device_id: &str) -> Result<()> {
    let (account, device, now_ms) = (member.account, device_id.to_owned(), app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            queries::find_label(tx, account, &device)?.ok_or_else(no_such_device)?;
            queries::revoke_all(tx, &device, now_ms)?;
            Ok(crate::pairing::queries::remove_all(tx, account)?)
        })
        .await?;
    tracing::info!(%account, device = device_id, "a device was signed out for good");
    Ok(())
}

/// Ends the sessions of a device that this machine signed in itself; its id and what it said of photos stay, for when it
/// comes again. Doing it twice changes nothing.
pub async fn let_go(app: &App, account: uuid::Uuid, device_id: &str) -> Result<()> {
    let (device, now_ms) = (device_id.to_owned(), app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            queries::find_label(tx, account, &device)?.ok_or_else(no_such_device)?;
            Ok(queries::revoke_all(tx, &device, now_ms)?)
        })
        .await
}

/// A new upload-only token for a device; the one before ends.
pub async fn issue_upload_token(
    app: &App,
    member: &Member,
    device_id: &str,
) -> Result<UploadToken> {
    let (account, device_id, now_ms) = (member.account, device_id.to_owned(), app.clock.now_ms());
    let upload_token = new_token(UPLOAD_PREFIX);
    let (token_hash, session_id) = (hash_token(&upload_token), random_id());
    let expires_at_ms = now_ms + UPLOAD_TOKEN_S * 1000;
    app.db
        .write(move |tx| -> Result<()> {
            let label = queries::find_label(tx, account, &device_id)?.ok_or_else(no_such_device)?;
            queries::revoke_upload_tokens(tx, &device_id, now_ms)?;
            let session = NewSession {
                session_id: session_id.clone(),
                account_uuid: account,
                device_id: device_id.clone(),
                kind: "device",
                scope: "upload_only",
                label,
                token_hash,
                now_ms,
                expires_at_ms,
            };
            Ok(store_session(tx, &session)?)
        })
        .await?;
    Ok(UploadToken { upload_token, expires_at_ms })
}

/// Ends a device's upload-only token, if it has one.
pub async fn revoke_upload_token(app: &App, member: &Member, device_id: &str) -> Result<()> {
    let (account, device_id, now_ms) = (member.account, device_id.to_owned(), app.clock.now_ms());
    app.db
        .write(move |tx| -> Result<()> {
            queries::find_label(tx, account, &device_id)?.ok_or_else(no_such_device)?;
            Ok(queries::revoke_upload_tokens(tx, &device_id, now_ms)?)
        })
        .await
}
