//! How a device and this server meet: by a code that lives five minutes, by an announcement on the local network, and,
//! after the device has moved, by a signed list of addresses. None of it depends on another: a code can be typed where
//! multicast is off, and an address can be typed where there is no code.
//!
//! The one rule: only the key's fingerprint says who a server is. Names and addresses are hints.

pub mod discovery;
pub mod endpoints;
pub mod presence;
pub mod queries;
pub mod routes;
pub mod rules;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::session::{
    PAIRING_PREFIX, PAIRING_S, PairingClaim, PairingOffer, QR_TYPE, QrPayload, Session,
};
use photosync_protocol::v2::{Limits, MAX_DIGESTS, ServerAnswer};
use uuid::Uuid;

use crate::accounts::native::{Draft, Presented, hash_token, new_token};
use crate::accounts::queries::{Account, find_by_uuid};
use crate::accounts::rules::{Registration, registration_for};
use crate::accounts::{Caller, owner_file};
use crate::auth::{random_bytes, random_id};
use crate::boot::App;
use crate::error::{Error, Result};
use queries::{KeyHash, NewPairing};
use rules::Key;

/// Offers of one account that live at the same time: a family in front of several screens. Each one more would make
/// guessing a code so much easier.
const MAX_LIVE_OFFERS: i64 = 4;

/// Version of [`QrPayload`].
const QR_VERSION: u32 = 2;

/// What this server can do beyond signing in and taking files.
const FEATURES: &[&str] = &["pairing", "tus", "sync", "receipts", "relay", "library"];

#[cfg(test)]
mod tests;

/// What anybody may know about this server.
pub fn describe(app: &App, caller: Caller) -> ServerAnswer {
    let policy = registration_for(app.config.registration, caller.address, caller.forwarded);
    ServerAnswer {
        name: app.presence.name().to_owned(),
        version: crate::updates::running_version().to_owned(),
        server_id: app.presence.server_id().to_owned(),
        fingerprint: app.identity.fingerprint().to_owned(),
        now_ms: app.clock.now_ms(),
        features: FEATURES.iter().map(|feature| (*feature).to_owned()).collect(),
        limits: Limits {
            max_digests: MAX_DIGESTS,
            max_body_bytes: app.config.body_bytes,
            upload_expires_s: u64::try_from(app.config.upload_expires_days).unwrap_or(0) * 86_400,
        },
        registration: match policy {
            Registration::Free => "open",
            Registration::ByInvitation => "invited",
            Registration::No => "closed",
        }
        .to_owned(),
    }
}

/// Offers to add a device to an account, for [`PAIRING_S`] seconds.
pub async fn offer(app: &App, account: Uuid) -> Result<PairingOffer> {
    let (code, token) = (rules::code_of(random_bytes()), new_token(PAIRING_PREFIX));
    let reachable = app.presence.reachable();
    let payload = QrPayload {
        kind: QR_TYPE.to_owned(),
        ip: reachable.first().map(|host| host.ip().to_string()).unwrap_or_default(),
        port: reachable.first().map(std::net::SocketAddr::port).unwrap_or_default(),
        token: token.clone(),
        name: app.presence.name().to_owned(),
        urls: presence::native_urls(app),
        fingerprint: app.identity.fingerprint().to_owned(),
        version: QR_VERSION,
    };
    let qr = serde_json::to_string(&payload)
        .map_err(|source| Error::internal("write a pairing code").caused_by(source))?;
    let now_ms = app.clock.now_ms();
    let new = NewPairing {
        pairing_id: random_id(),
        account_uuid: account,
        code_hash: hash_token(&code),
        secret_hash: hash_token(&token),
        now_ms,
        expires_at_ms: now_ms + PAIRING_S * 1000,
    };
    app.db.write(move |tx| queries::store(tx, &new, MAX_LIVE_OFFERS)).await?;
    Ok(PairingOffer { code, qr, expires_in_s: PAIRING_S })
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It can be used.
    Open,
    /// A device came in by it.
    Used,
    /// It is over: too old, guessed at too often, or replaced by newer ones.
    Over,
}

/// What became of an offer. One that was used is forgotten when the next one is made: then it is over.
pub async fn fate(app: &App, offer: &PairingOffer) -> Result<Fate> {
    let (code_hash, now_ms) = (hash_token(&offer.code), app.clock.now_ms());
    Ok(app.db.read(move |tx| queries::fate(tx, &code_hash, now_ms)).await?)
}

/// Signs the device in that presents an offer's code or secret. One answer for every failure: nobody learns whether
/// an offer exists. Of two claims at once one wins, for an offer is used up in the transaction that makes the session.
pub async fn claim(app: &App, claim: PairingClaim) -> Result<Session> {
    let refused = || {
        let message = "this code does not open anything (any more); please ask for a new one";
        Error::new(ErrorCode::Unauthorised, message)
    };
    let key =
        rules::key_of(&claim).ok_or_else(|| Error::bad_request("send either `code` or `token`"))?;
    let (key, is_guess) = match key {
        Key::Code(code) => (KeyHash::Code(hash_token(&code)), true),
        // 256 bits are not guessed.
        Key::Token(token) => (KeyHash::Secret(hash_token(&token)), false),
        Key::NoCode => return Err(refused()),
    };
    let presented = Presented { device_name: claim.device_name, device_id: claim.device_id };
    let draft = Draft::new(app, presented);
    let (new, now_ms) = (draft.clone(), app.clock.now_ms());
    // A refusal is a result, not an error: an error would take the counted try back.
    let joined = app
        .db
        .write(move |tx| -> Result<Option<(Account, String)>> {
            let taken = queries::take(tx, key, now_ms)?;
            let account = match taken {
                Some(uuid) => find_by_uuid(tx, uuid)?,
                None => None,
            };
            let Some(account) = account else {
                if is_guess {
                    queries::count_wrong_try(tx, now_ms)?;
                }
                return Ok(None);
            };
            let device_id = new.store(tx, account.account_uuid)?;
            Ok(Some((account, device_id)))
        })
        .await?;
    let (account, device_id) = joined.ok_or_else(refused)?;
    // A crash right after registering leaves an account without its folder.
    owner_file::ensure_folder(app, &account).await?;
    tracing::info!(account = %account.account_uuid, device = %device_id, "a device was paired");
    draft.answer(app, &account, device_id)
}
