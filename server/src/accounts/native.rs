//! Devices of the native wire: signing in, refreshing, and what each kind of token proves.
//!
//! A token is only a name for a session row; the row decides at every request whether it still opens anything. Of
//! opaque tokens only the SHA-256 is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::session::{
    ACCESS_TOKEN_S, REFRESH_GRACE_S, REFRESH_PREFIX, REFRESH_TOKEN_S, Session as SessionAnswer,
    UPLOAD_PREFIX,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::queries::sessions::{self, NewDevice, NewSession, Session};
use super::queries::{self, Account};
use super::web::Person;
use super::{LAST_SEEN_MS, Verified, require_unchanged, shorten, verify_password};
use crate::auth::tokens::AccessClaims;
use crate::auth::{random_bytes, random_id};
use crate::boot::App;
use crate::error::{Error, Result};

/// A signed-in device that may use the whole library of its account.
#[derive(Debug, Clone)]
pub struct Member {
    /// Whose library.
    pub account: Uuid,
    /// Session of the token.
    pub session_id: String,
    /// The device.
    pub device_id: String,
}

/// A caller that may add assets and ask what is missing: a [`Member`], or the holder of an upload-only token.
#[derive(Debug, Clone)]
pub struct Uploader {
    /// Whose library.
    pub account: Uuid,
    /// The device.
    pub device_id: String,
}

/// The hash under which an opaque token is stored. Tokens are 256 random bits, so no salt and no work is needed.
pub fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A new opaque token: `prefix` and 43 characters of base64url.
pub fn new_token(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
}

/// How a device presents itself at sign-in or pairing.
#[derive(Debug, Clone)]
pub struct Presented {
    /// What a person calls it.
    pub device_name: String,
    /// Id from an earlier sign-in.
    pub device_id: Option<String>,
}

/// Signs a device in by password.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &str,
    presented: Presented,
) -> Result<SessionAnswer> {
    let Verified { account, rehashed } = verify_password(app, email, password).await?;
    let verified_hash = account.password_hash.clone();
    let new = Draft::new(app, presented);
    let (uuid, draft) = (account.account_uuid, new.clone());
    let device_id = app
        .db
        .write(move |tx| -> Result<String> {
            require_unchanged(tx, uuid, verified_hash.as_deref())?;
            if let Some(hash) = &rehashed {
                queries::set_password_hash(tx, uuid, hash)?;
            }
            Ok(draft.store(tx, uuid)?)
        })
        .await?;
    new.answer(app, &account, device_id)
}

/// Everything random and timed of a new session, made before the transaction, which may run again.
#[derive(Clone)]
pub struct Draft {
    presented: Presented,
    fresh_device_id: String,
    session_id: String,
    refresh_token: String,
    now_ms: i64,
}

impl Draft {
    /// A session for a device as it presents itself.
    pub fn new(app: &App, presented: Presented) -> Self {
        Self {
            presented,
            fresh_device_id: random_id(),
            session_id: random_id(),
            refresh_token: new_token(REFRESH_PREFIX),
            now_ms: app.clock.now_ms(),
        }
    }

    /// Stores the session and, if it is new to this account, the device. Returns the device's id.
    pub fn store(&self, tx: &mut dyn crate::db::Tx, account: Uuid) -> crate::db::DbResult<String> {
        let known = match &self.presented.device_id {
            Some(id) => {
                sessions::find_device(tx, id)?.filter(|device| device.account_uuid == account)
            }
            None => None,
        };
        let label = shorten(&self.presented.device_name, 100);
        let device_id = known.map_or_else(|| self.fresh_device_id.clone(), |known| known.device_id);
        sessions::store_device(
            tx,
            &NewDevice {
                device_id: device_id.clone(),
                account_uuid: account,
                label: label.clone(),
                now_ms: self.now_ms,
            },
        )?;
        sessions::store_session(
            tx,
            &NewSession {
                session_id: self.session_id.clone(),
                account_uuid: account,
                device_id: device_id.clone(),
                kind: "device",
                scope: "full",
                label,
                token_hash: hash_token(&self.refresh_token),
                now_ms: self.now_ms,
                expires_at_ms: self.now_ms + REFRESH_TOKEN_S * 1000,
            },
        )?;
        Ok(device_id)
    }

    /// What the device gets, once the session is stored.
    pub fn answer(self, app: &App, account: &Account, device_id: String) -> Result<SessionAnswer> {
        let access_token = access_token(app, account.account_uuid, &self.session_id)?;
        Ok(SessionAnswer {
            account_uuid: account.account_uuid.to_string(),
            email: account.email.clone(),
            device_id,
            access_token,
            expires_in_s: ACCESS_TOKEN_S,
            refresh_token: self.refresh_token,
            fingerprint: app.identity.fingerprint().to_owned(),
        })
    }
}

fn access_token(app: &App, account: Uuid, session_id: &str) -> Result<String> {
    let now_s = app.clock.now_ms() / 1000;
    app.tokens.sign(&AccessClaims {
        sub: account.to_string(),
        jti: session_id.to_owned(),
        iat: now_s,
        exp: now_s + ACCESS_TOKEN_S,
    })
}

/// A new access token and a new refresh token for a device. The refresh token before works for a minute more, because
/// the answer may be lost on its way.
pub async fn refresh(app: &App, refresh_token: &str) -> Result<SessionAnswer> {
    let refused =
        || Error::new(ErrorCode::Unauthorised, "this device is signed out; please sign in again");
    if !refresh_token.starts_with(REFRESH_PREFIX) {
        return Err(refused());
    }
    let (now_ms, old) = (app.clock.now_ms(), hash_token(refresh_token));
    let refresh_token = new_token(REFRESH_PREFIX);
    let new = hash_token(&refresh_token);
    let (session, account) = app
        .db
        .write(move |tx| -> Result<(Session, Account)> {
            let session = sessions::find_refreshable(tx, &old, now_ms)?.ok_or_else(refused)?;
            let account = queries::find_by_uuid(tx, session.account_uuid)?.ok_or_else(refused)?;
            let (ends_ms, grace_ms) =
                (now_ms + REFRESH_TOKEN_S * 1000, now_ms + REFRESH_GRACE_S * 1000);
            sessions::rotate_token(tx, &session.session_id, &old, &new, grace_ms, ends_ms)?;
            Ok((session, account))
        })
        .await?;
    Ok(SessionAnswer {
        account_uuid: account.account_uuid.to_string(),
        email: account.email,
        device_id: session.device_id.unwrap_or_default(),
        access_token: access_token(app, session.account_uuid, &session.session_id)?,
        expires_in_s: ACCESS_TOKEN_S,
        refresh_token,
        fingerprint: app.identity.fingerprint().to_owned(),
    })
}

/// Ends a session.
pub async fn sign_out(app: &App, member: &Member) -> Result<()> {
    let (session_id, now_ms) = (member.session_id.clone(), app.clock.now_ms());
    Ok(app.db.write(move |tx| sessions::revoke_session(tx, &session_id, now_ms)).await?)
}

/// What a caller of the native wire proves.
pub enum Proof {
    /// The whole library, and that a person decides.
    Person(Person),
    /// The whole library.
    Member(Member),
    /// Adding, and asking what is missing.
    UploadOnly(Uploader),
}

impl Proof {
    /// Whoever may add may come in.
    pub fn into_uploader(self) -> Uploader {
        match self {
            Self::Person(Person(member)) | Self::Member(member) => {
                Uploader { account: member.account, device_id: member.device_id }
            }
            Self::UploadOnly(uploader) => uploader,
        }
    }

    /// Only whoever may use the whole library.
    pub fn into_member(self) -> Result<Member> {
        match self {
            Self::Person(Person(member)) | Self::Member(member) => Ok(member),
            Self::UploadOnly(_) => {
                let message = "an upload-only token adds files and asks what is missing; it opens nothing else";
                Err(Error::new(ErrorCode::OutOfScope, message))
            }
        }
    }

    /// Only a person at a browser.
    pub fn into_person(self) -> Result<Person> {
        match self {
            Self::Person(person) => Ok(person),
            Self::Member(_) | Self::UploadOnly(_) => {
                let message = "only a person decides this, signed in at this server's own page";
                Err(Error::new(ErrorCode::OutOfScope, message))
            }
        }
    }
}

/// Proves a bearer token: an access token, an upload-only token, or an old client's token beside its device UUID.
pub async fn authenticate(app: &App, token: &str, legacy_uuid: Option<&str>) -> Result<Proof> {
    let refused = || Error::new(ErrorCode::Unauthorised, "please sign in");
    if let Some(legacy_uuid) = legacy_uuid {
        let device = super::authenticate(app, token, legacy_uuid).await.map_err(|_| refused())?;
        return ensure_device(app, device).await.map(Proof::Member);
    }
    let now_ms = app.clock.now_ms();
    let session = if token.starts_with(UPLOAD_PREFIX) {
        let hash = hash_token(token);
        app.db.read(move |tx| sessions::find_upload_session(tx, &hash, now_ms)).await?
    } else {
        let claims = app.tokens.read_access(token, now_ms).ok_or_else(refused)?;
        app.db.read(move |tx| sessions::find_live_session(tx, &claims.jti, now_ms)).await?
    };
    let session = session.ok_or_else(refused)?;
    let device_id = session.device_id.clone().ok_or_else(refused)?;
    if now_ms - session.last_seen_at_ms > LAST_SEEN_MS {
        let (session_id, device) = (session.session_id.clone(), device_id.clone());
        app.db
            .write(move |tx| {
                sessions::touch_session(tx, &session_id, now_ms)?;
                sessions::touch_device(tx, &device, now_ms)
            })
            .await?;
    }
    let account = session.account_uuid;
    Ok(match session.scope.as_str() {
        "upload_only" => Proof::UploadOnly(Uploader { account, device_id }),
        "full" => Proof::Member(Member { account, session_id: session.session_id, device_id }),
        _ => return Err(refused()),
    })
}

/// An old client's session gets a device of its own the first time it speaks the native wire.
async fn ensure_device(app: &App, device: super::Device) -> Result<Member> {
    let (session_id, account, now_ms) = (device.session_id, device.account, app.clock.now_ms());
    let id = session_id.clone();
    let known = app.db.read(move |tx| sessions::find_session_device(tx, &id)).await?;
    if let Some(device_id) = known {
        return Ok(Member { account, session_id, device_id });
    }
    let id = session_id.clone();
    app.db
        .write(move |tx| {
            let label = sessions::find_session_label(tx, &id)?.unwrap_or_default();
            let device_id = id.clone();
            sessions::store_device(
                tx,
                &NewDevice { device_id, account_uuid: account, label, now_ms },
            )?;
            sessions::set_session_device(tx, &id, &id)
        })
        .await?;
    Ok(Member { account, device_id: session_id.clone(), session_id })
}
