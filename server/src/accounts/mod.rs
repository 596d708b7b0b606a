//! Accounts: registering, signing in, sessions, and (in `operator`) what an operator does with accounts.
//!
//! The one rule: a legacy device UUID is a *claim*. Only an account that was verified by its password may use it,
//! and it never names a folder.

pub mod admin;
pub mod devices;
pub mod native;
mod operator;
pub mod own;
pub mod owner_file;
pub mod queries;
pub mod routes;
pub mod rules;
pub mod web;

use std::net::IpAddr;

use photosync_protocol::account::{account_uuid, legacy_device_uuids, parse_email};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::Role;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::auth::passwords::Verdict;
use crate::auth::throttle::{Allowance, client_key, failure_delay};
use crate::auth::tokens::{Claims, LEGACY_TOKEN_MS};
use crate::auth::{random_bytes, random_id};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
pub use operator::{
    add, disable, enable, get_by_email, invite, list, restore_deleted, set_role, take_over,
};
use queries::{Account, sessions};
use rules::Registration;

/// Failed resets per account and hour before even a right one is refused.
const MAX_RESET_FAILURES: u32 = 10;
/// A session's last use is written at most this often.
const LAST_SEEN_MS: i64 = 15 * 60 * 1000;

/// Who is calling, before anything is proved.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The client's address, seen through trusted proxies only.
    pub address: IpAddr,
    /// Whether the request carried forwarding headers, trusted or not.
    pub forwarded: bool,
}

/// A signed-in device: holding one proves token, session and device UUID.
#[derive(Debug, Clone)]
pub struct Device {
    /// Whose it is.
    pub account: Uuid,
    /// Session of the token.
    pub session_id: String,
    /// The device UUID, as the client spells it.
    pub legacy_uuid: String,
    /// The old clients' number of the account.
    pub user_id: i64,
}

/// What an old client gets for signing in.
#[derive(Debug)]
pub struct SignedIn {
    /// JWT.
    pub token: String,
    /// Number of the account.
    pub user_id: i64,
}

/// What registering needs.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the wire's request")]
pub struct NewAccount {
    pub email: String,
    pub password: String,
    pub device_uuid: Option<String>,
    pub hardware_device_id: Option<String>,
    pub plan_gb: Option<i64>,
}

/// Counts one call of a sign-in route; the answer's headers come from here, also when the call is refused.
pub fn count_attempt(app: &App, caller: Caller, route: &'static str) -> Allowance {
    app.sign_in_calls.count((client_key(caller.address), route), app.clock.now_ms())
}

/// Counts one call of a native sign-in route, or refuses it with the seconds to wait.
pub fn require_attempt(app: &App, caller: Caller, route: &'static str) -> Result<()> {
    let allowance = count_attempt(app, caller, route);
    if allowance.allowed {
        return Ok(());
    }
    let wait_ms = (allowance.reset_at_ms - app.clock.now_ms()).max(0);
    let seconds = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1000);
    let message = "too many attempts from this address; please wait";
    Err(Error::new(ErrorCode::TooManyRequests, message).retry_after(seconds))
}

/// Registers an account and signs its device in.
pub async fn register(app: &App, caller: Caller, new: NewAccount) -> Result<SignedIn> {
    let email = parse_email(&new.email).map_err(|error| Error::bad_request(error.to_string()))?;
    if new.password.chars().count() < rules::MIN_PASSWORD_CHARS {
        return Err(Error::bad_request("the password must have at least 6 characters"));
    }
    let presented = new.device_uuid.as_deref().map(parse_device_uuid).transpose()?;
    let policy = rules::registration_for(app.config.registration, caller.address, caller.forwarded);
    require_registration(app, policy, &email).await?;
    let derived = legacy_device_uuids(&new.email, &new.password);
    // Asked before the account exists: a refused registration must not take the e-mail.
    let claimed =
        presented.filter(|uuid| !derived.contains(uuid)).map(|uuid| app.aliases.of_uuid(uuid));
    if let Some(claimed) = claimed
        && app.db.read(move |tx| queries::find_alias(tx, &claimed)).await?.is_some()
    {
        return Err(device_taken());
    }

    let hash = app.passwords.hash(new.password.clone()).await?;
    let on_lan = rules::is_private(caller.address) && !caller.forwarded;
    let draft = Draft {
        email,
        role: if on_lan { FirstRole::AdminIfFirst } else { FirstRole::Given(Role::Creator) },
        password_hash: Some(hash),
        hardware_device_id: new.hardware_device_id.as_deref().and_then(hash_hardware_id),
    };
    let account = create(app, draft).await?;
    if account.role == "admin" {
        tracing::info!(account = %account.account_uuid, "the first account registered from this network is the administrator now");
    }
    crate::relay::plans::begin(app, account.account_uuid, new.plan_gb).await?;
    let legacy = new.device_uuid.unwrap_or_else(|| account.account_uuid.to_string());
    begin_session(app, &account, &legacy, presented, derived, "registered", None).await
}

fn device_taken() -> Error {
    Error::new(ErrorCode::DeviceTaken, "this device id belongs to another account")
}

async fn require_registration(app: &App, policy: Registration, email: &str) -> Result<()> {
    let closed = |message: &str| Err(Error::new(ErrorCode::RegistrationClosed, message));
    match policy {
        Registration::Free => Ok(()),
        Registration::No => closed("this server takes no new accounts"),
        Registration::ByInvitation => {
            let email = email.to_owned();
            if app.db.read(move |tx| queries::is_invited(tx, &email)).await? {
                return Ok(());
            }
            closed(
                "this server takes new accounts by invitation: ask its owner to invite your e-mail",
            )
        }
    }
}

/// With which role an account begins.
enum FirstRole {
    /// An administrator if there is none yet, else a creator.
    AdminIfFirst,
    /// This one.
    Given(Role),
}

struct Draft {
    email: String,
    role: FirstRole,
    password_hash: Option<String>,
    hardware_device_id: Option<String>,
}

/// Adds the account row, then its folder. The UUID is the first of its e-mail that neither a row nor a folder has
/// ever used: registering never adopts somebody's photos.
async fn create(app: &App, draft: Draft) -> Result<Account> {
    let now_ms = app.clock.now_ms();
    // 53 bits: old clients are JavaScript.
    let user_id = i64::from_be_bytes(random_bytes::<8>()) & ((1 << 53) - 1);
    let store = app.originals.clone();
    let account = app
        .db
        .write(move |tx| -> Result<Account> {
            if queries::find_by_email(tx, &draft.email)?.is_some() {
                return Err(Error::new(
                    ErrorCode::EmailTaken,
                    "this e-mail has an account already",
                ));
            }
            let mut generation = 1;
            let uuid = loop {
                let uuid = account_uuid(&draft.email, generation);
                if queries::find_by_uuid(tx, uuid)?.is_none()
                    && !store.account_folder(uuid).exists()
                {
                    break uuid;
                }
                generation += 1;
            };
            let role = match draft.role {
                FirstRole::Given(role) => role,
                FirstRole::AdminIfFirst if queries::has_admin(tx)? => Role::Creator,
                FirstRole::AdminIfFirst => Role::Admin,
            };
            let account = Account {
                account_uuid: uuid,
                user_id,
                email: draft.email.clone(),
                generation: i64::from(generation),
                role: role.as_str().to_owned(),
                password_hash: draft.password_hash.clone(),
                hardware_device_id: draft.hardware_device_id.clone(),
                disabled: false,
                created_at_ms: now_ms,
                deleted_at_ms: None,
                held_count: 0,
                held_bytes: 0,
                relay_bytes: 0,
                display_name: String::new(),
                quota_bytes: None,
            };
            queries::store(tx, &account)?;
            queries::remove_invite(tx, &draft.email)?;
            Ok(account)
        })
        .await?;
    owner_file::ensure_folder(app, &account).await?;
    Ok(account)
}

/// Signs an old client in.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &str,
    device_uuid: &str,
    device_name: &str,
) -> Result<SignedIn> {
    let presented = parse_device_uuid(device_uuid)?;
    let Verified { account, rehashed } = verify_password(app, email, password).await?;
    let derived = legacy_device_uuids(email, password);
    begin_session(app, &account, device_uuid, Some(presented), derived, device_name, rehashed).await
}

/// An account whose password was right a moment ago, with its hash made anew if it was an old one.
struct Verified {
    account: Account,
    rehashed: Option<String>,
}

async fn verify_password(app: &App, email: &str, password: &str) -> Result<Verified> {
    let refused = || Error::new(ErrorCode::Unauthorised, "e-mail or password is wrong");
    let Ok(normalised) = parse_email(email) else {
        app.passwords.verify(password.to_owned(), None).await?;
        return Err(refused());
    };
    let key = normalised.clone();
    let found = app.db.read(move |tx| queries::find_by_email(tx, &normalised)).await?;
    let stored = found.as_ref().and_then(|account| account.password_hash.clone());
    let verdict = app.passwords.verify(password.to_owned(), stored).await?;
    let (Some(account), true) = (found, verdict != Verdict::Wrong) else {
        let failures = app.sign_in_failures.count(key, app.clock.now_ms());
        let in_a_row = failures.limit.saturating_sub(failures.remaining);
        tokio::time::sleep(failure_delay(in_a_row)).await;
        return Err(refused());
    };
    app.sign_in_failures.forgive(&key);
    if account.disabled {
        return Err(Error::new(
            ErrorCode::Forbidden,
            "this account is disabled: ask the server's owner",
        ));
    }
    let rehashed = match verdict {
        Verdict::RightButOld => Some(app.passwords.hash(password.to_owned()).await?),
        Verdict::Right | Verdict::Wrong => None,
    };
    // A crash right after registering leaves an account without its folder.
    owner_file::ensure_folder(app, &account).await?;
    Ok(Verified { account, rehashed })
}

async fn begin_session(
    app: &App,
    account: &Account,
    legacy_uuid: &str,
    presented: Option<Uuid>,
    derived: [Uuid; 2],
    label: &str,
    rehashed: Option<String>,
) -> Result<SignedIn> {
    let now_ms = app.clock.now_ms();
    let expires_at_ms = now_ms + LEGACY_TOKEN_MS;
    let session_id = random_id();
    let claims = Claims {
        id: account.user_id,
        user_uuid: account.account_uuid.to_string(),
        device_uuid: legacy_uuid.to_owned(),
        iat: now_ms / 1000,
        exp: expires_at_ms / 1000,
        jti: session_id.clone(),
    };
    let token = app.tokens.sign(&claims)?;
    let (uuid, legacy, label) = (account.account_uuid, legacy_uuid.to_owned(), shorten(label, 100));
    let verified_hash = account.password_hash.clone();
    let legacy = app.aliases.of(&legacy);
    let derived = derived.map(|uuid| app.aliases.of_uuid(uuid));
    let presented = presented.map(|uuid| app.aliases.of_uuid(uuid));
    app.db
        .write(move |tx| -> Result<()> {
            require_unchanged(tx, uuid, verified_hash.as_deref())?;
            for derived in &derived {
                queries::bind_derived(tx, derived, uuid, now_ms)?;
            }
            if let Some(presented) = &presented
                && !queries::bind_presented(tx, presented, uuid, now_ms)?
            {
                return Err(device_taken());
            }
            if let Some(hash) = &rehashed {
                queries::set_password_hash(tx, uuid, hash)?;
            }
            crate::relay::queries::set_plan_customer(tx, uuid, &legacy)?;
            sessions::store_device_session(
                tx,
                &session_id,
                uuid,
                &label,
                &legacy,
                now_ms,
                expires_at_ms,
            )?;
            Ok(())
        })
        .await?;
    Ok(SignedIn { token, user_id: account.user_id })
}

/// The password was checked a moment ago: if it was changed since, or the account closed, that counts.
fn require_unchanged(tx: &mut dyn Tx, account: Uuid, verified_hash: Option<&str>) -> Result<()> {
    let unchanged = queries::find_by_uuid(tx, account)?.is_some_and(|now| {
        now.password_hash.as_deref() == verified_hash
            && !now.disabled
            && now.deleted_at_ms.is_none()
    });
    if unchanged {
        return Ok(());
    }
    Err(Error::new(ErrorCode::Unauthorised, "e-mail or password is wrong"))
}

/// The first characters of `text`, at most `max_chars`.
fn shorten(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}

fn parse_device_uuid(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| Error::bad_request("device_uuid is not a UUID"))
}

/// Proves a version-1 token with its device UUID, or says why not, in the order old clients know.
pub async fn authenticate(app: &App, token: &str, device_uuid: &str) -> Result<Device> {
    let refused =
        || Error::new(ErrorCode::Forbidden, "the token is not valid here, please sign in again");
    let now_ms = app.clock.now_ms();
    let claims = app.tokens.read(token, now_ms).ok_or_else(refused)?;
    if claims.device_uuid != device_uuid {
        return Err(refused());
    }
    let session = app
        .db
        .read(move |tx| sessions::find_live_session(tx, &claims.jti, now_ms))
        .await?
        .filter(|session| session.alias.as_deref() == Some(app.aliases.of(device_uuid).as_str()))
        .ok_or_else(refused)?;
    if now_ms - session.last_seen_at_ms > LAST_SEEN_MS {
        let session_id = session.session_id.clone();
        app.db.write(move |tx| sessions::touch_session(tx, &session_id, now_ms)).await?;
    }
    Ok(Device {
        account: session.account_uuid,
        session_id: session.session_id,
        legacy_uuid: device_uuid.to_owned(),
        user_id: session.user_id,
    })
}

/// The device-bound reset of old clients: one answer for every failure, and the end of all sessions.
pub async fn reset_password_by_device(
    app: &App,
    email: &str,
    hardware_id: &str,
    password: &str,
) -> Result<()> {
    let refused = || {
        Error::new(ErrorCode::ResetRefused, "the password could not be reset from this device")
            .with("hint", photosync_protocol::v1::RESET_HINT)
    };
    if password.chars().count() < rules::MIN_PASSWORD_CHARS {
        return Err(Error::bad_request("the password must have at least 6 characters"));
    }
    let now_ms = app.clock.now_ms();
    let Ok(email) = parse_email(email) else { return Err(refused()) };
    let key = email.clone();
    let blocked = app.reset_failures.used(&key, now_ms) >= MAX_RESET_FAILURES;
    let found = app.db.read(move |tx| queries::find_by_email(tx, &email)).await?;
    let matches = |account: &Account| {
        let presented = hash_hardware_id(hardware_id);
        presented.is_some() && presented == account.hardware_device_id && !account.disabled
    };
    let Some(account) =
        found.filter(|account| app.config.device_reset && !blocked && matches(account))
    else {
        app.reset_failures.count(key, now_ms);
        return Err(refused());
    };
    let sessions = set_password(app, account.account_uuid, password.to_owned()).await?;
    tracing::warn!(account = %account.account_uuid, sessions, "the password was reset from a known device; all sessions ended");
    Ok(())
}

/// Sets a password and ends every session. Returns how many there were.
pub async fn set_password(app: &App, account: Uuid, password: String) -> Result<i64> {
    if password.chars().count() < rules::MIN_PASSWORD_CHARS {
        return Err(Error::bad_request("the password must have at least 6 characters"));
    }
    let hash = app.passwords.hash(password).await?;
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| -> Result<i64> {
            queries::set_password_hash(tx, account, &hash)?;
            Ok(end_access(tx, account, now_ms)?)
        })
        .await
}

/// Ends every session, pairing code and sign-in link of an account. Returns how many sessions there were.
fn end_access(tx: &mut dyn Tx, account: Uuid, now_ms: i64) -> DbResult<i64> {
    crate::pairing::queries::remove_all(tx, account)?;
    web::queries::remove_links(tx, account)?;
    sessions::revoke_sessions(tx, account, now_ms)
}

/// A hardware id as it is stored: hashed, because it opens the account. `None` if it is empty.
fn hash_hardware_id(typed: &str) -> Option<String> {
    let trimmed = typed.trim();
    (!trimmed.is_empty()).then(|| hex::encode(Sha256::digest(trimmed.as_bytes())))
}

/// Deletes an account: sessions and aliases end now, bytes stay in the trash period and can be brought back.
pub async fn delete(app: &App, account: Uuid) -> Result<()> {
    delete_if(app, account, |_, _| Ok(())).await
}

/// Deletes the account of whoever asks, with an old client: as [`delete`], unless it is the last administrator's and others
/// would be left with nobody who looks after the server.
pub async fn delete_own(app: &App, account: Uuid) -> Result<()> {
    delete_if(app, account, admin::require_may_be_deleted).await
}

async fn delete_if(
    app: &App,
    account: Uuid,
    require: fn(&mut dyn Tx, &Account) -> Result<()>,
) -> Result<()> {
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| -> Result<()> {
            if let Some(row) = queries::find_by_uuid(tx, account)? {
                require(tx, &row)?;
            }
            end_access(tx, account, now_ms)?;
            Ok(queries::set_deleted(tx, account, now_ms)?)
        })
        .await?;
    let days = app.config.trash_days;
    tracing::warn!(%account, days, "an account was deleted; `user restore` brings it back until the trash period is over");
    Ok(())
}
