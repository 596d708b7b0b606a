//! Browsers: signing in with a cookie, the first run of a server, and links that work once.
//!
//! A browser's session is a row like every other; the cookie is only its name, and only its hash is stored. Whoever comes
//! with one is a [`Person`]: what a person decides in the library, as putting something in the trash, no device may.

pub mod queries;
pub mod routes;
pub mod rules;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::session::normalise_code;
use photosync_protocol::v2::web::{Invitation, WebSession, WebState};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::native::{Member, hash_token, new_token};
use super::queries::sessions::{self, NewDevice, NewSession};
use super::queries::{self as rows, Account};
use super::{
    LAST_SEEN_MS, Verified, end_access, operator, owner_file, require_unchanged, shorten,
    verify_password,
};
use crate::auth::{random_bytes, random_id};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::pairing::rules::{code_of, show_code};

/// A browser that was not used for so long is signed out: 30 days.
pub const SESSION_MS: i64 = 30 * DAY_MS;
/// How long the link that opens a browser at the server's own machine works: 2 minutes, for a browser that starts slowly.
pub const OPEN_LINK_MS: i64 = 2 * 60_000;
/// How long a link works that is handed to somebody: a day.
pub const HANDED_LINK_MS: i64 = DAY_MS;
/// How long a link works by which somebody chooses a password: 7 days.
pub const INVITATION_MS: i64 = 7 * DAY_MS;
/// Shortest password of an account that is made in a browser, in characters: NIST SP 800-63B asks for 8.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// First characters of the token in a link.
const LINK_PREFIX: &str = "psl_";
/// First characters of a cookie's value.
const COOKIE_PREFIX: &str = "psw_";
/// Keeps what pages are told of a cookie apart from the hash that is stored.
const CSRF_DOMAIN: &str = "photosync-csrf-v1:";

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Signing one browser in.
    SignIn,
    /// Choosing a password, by which one browser is signed in too.
    Password,
}

impl LinkPurpose {
    /// As the schema has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Password => "password",
        }
    }
}

/// A person at a browser, signed in by cookie.
#[derive(Debug, Clone)]
pub struct Person(pub Member);

/// A [`Person`] whose request carries no word of a page of ours, because the system made it: a photo shared with the installed
/// app. It may add, and nothing else.
#[derive(Debug, Clone)]
pub struct Sharer(pub Member);

/// What the first run needs while the server runs.
pub struct Setup {
    /// Typed by whoever sets the server up from another machine. Made at every start, kept nowhere.
    code: String,
    /// One at a time: there is only one first account.
    running: Mutex<()>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { code: code_of(random_bytes()), running: Mutex::new(()) }
    }
}

/// A browser that has just signed in.
pub struct SignedIn {
    /// Value of its cookie.
    pub cookie: String,
    /// What its page is told.
    pub session: WebSession,
}

/// What a page needs to know first. `cookie` is what the browser sent, `is_own_machine` whether it runs here.
pub async fn state(app: &App, cookie: Option<&str>, is_own_machine: bool) -> Result<WebState> {
    let needs_setup = needs_setup(app).await?;
    let session = match cookie {
        Some(cookie) => find_session(app, cookie).await?,
        None => None,
    };
    Ok(WebState {
        name: app.presence.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        needs_setup,
        needs_setup_code: needs_setup && !is_own_machine,
        session,
    })
}

/// Whether nobody has an account yet.
async fn needs_setup(app: &App) -> Result<bool> {
    Ok(app.db.read(queries::has_no_account).await?)
}

/// The code of the first run as people read it, as long as nobody has an account.
pub async fn find_setup_code(app: &App) -> Result<Option<String>> {
    Ok(needs_setup(app).await?.then(|| show_code(&app.setup.code)))
}

/// Makes the first account, an administrator, and signs its browser in.
pub async fn set_up(
    app: &App,
    code: &str,
    is_own_machine: bool,
    email: &str,
    password: String,
    agent: &str,
) -> Result<SignedIn> {
    let _running = app.setup.running.lock().await;
    if !needs_setup(app).await? {
        let message = "this server is set up already; please sign in";
        return Err(Error::new(ErrorCode::RegistrationClosed, message));
    }
    if !is_own_machine && normalise_code(code).as_deref() != Some(app.setup.code.as_str()) {
        let message = "this is not the code that the server printed when it started";
        return Err(Error::new(ErrorCode::Forbidden, message));
    }
    require_long_enough(&password)?;
    let account = operator::add(app, email, password, true).await?;
    tracing::info!(account = %account.account_uuid, "this server was set up in a browser");
    begin(app, account, agent, Admission::Checked).await
}

/// What holds for every password that is chosen in a browser.
pub fn require_long_enough(password: &str) -> Result<()> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(Error::bad_request("the password must have at least 8 characters"));
    }
    Ok(())
}

/// Signs a browser in by password.
pub async fn sign_in(app: &App, email: &str, password: &str, agent: &str) -> Result<SignedIn> {
    let Verified { account, rehashed } = verify_password(app, email, password).await?;
    begin(app, account, agent, Admission::ByPassword { rehashed }).await
}

/// Makes a link that signs a browser in, once, within `life_ms`. What is returned stands after `#` in it, which browsers
/// send to nobody.
pub async fn offer_link(app: &App, account: Uuid, life_ms: i64) -> Result<String> {
    let ((token, hash), now_ms) = (new_link(), app.clock.now_ms());
    let purpose = LinkPurpose::SignIn.as_str();
    app.db
        .write(move |tx| queries::store_link(tx, &hash, purpose, account, now_ms, now_ms + life_ms))
        .await?;
    Ok(token)
}

/// The secret of a new link, and the hash under which it is kept.
pub fn new_link() -> (String, [u8; 32]) {
    let token = new_token(LINK_PREFIX);
    let hash = hash_token(&token);
    (token, hash)
}

fn link_is_over() -> Error {
    let message = "this link was used already, or is too old; ask for another one";
    Error::new(ErrorCode::Unauthorised, message)
}

/// Whom a link is for by which a password is chosen. It stays as it is.
pub async fn look_at_invitation(app: &App, token: &str) -> Result<Invitation> {
    let (hash, now_ms) = (hash_token(token), app.clock.now_ms());
    let account = app.db.read(move |tx| find_invited(tx, &hash, now_ms)).await?;
    Ok(Invitation {
        email: account.email,
        name: account.display_name,
        is_first: account.password_hash.is_none(),
    })
}

fn find_invited(tx: &mut dyn Tx, token_hash: &[u8; 32], now_ms: i64) -> Result<Account> {
    let purpose = LinkPurpose::Password.as_str();
    let owner = queries::find_link(tx, token_hash, purpose, now_ms)?.ok_or_else(link_is_over)?;
    let account = rows::find_by_uuid(tx, owner)?;
    account
        .filter(|account| !account.disabled && account.deleted_at_ms.is_none())
        .ok_or_else(link_is_over)
}

/// Chooses a password by a link, which uses it up; every session of the account ends, and the browser is signed in.
pub async fn accept_invitation(
    app: &App,
    token: &str,
    password: String,
    agent: &str,
) -> Result<SignedIn> {
    require_long_enough(&password)?;
    let (hash, now_ms) = (hash_token(token), app.clock.now_ms());
    // Hashing a password is work that nobody gets for a guess.
    app.db.read(move |tx| find_invited(tx, &hash, now_ms)).await?;
    let password_hash = app.passwords.hash(password).await?;
    let account = app
        .db
        .write(move |tx| -> Result<Account> {
            let mut account = find_invited(tx, &hash, now_ms)?;
            queries::use_link(tx, &hash, LinkPurpose::Password.as_str(), now_ms)?
                .ok_or_else(link_is_over)?;
            rows::set_password_hash(tx, account.account_uuid, &password_hash)?;
            end_access(tx, account.account_uuid, now_ms)?;
            account.password_hash = Some(password_hash.clone());
            Ok(account)
        })
        .await?;
    tracing::info!(account = %account.account_uuid, "a password was chosen by a link");
    owner_file::ensure_folder(app, &account).await?;
    begin(app, account, agent, Admission::Checked).await
}

/// Signs a browser in by a link.
pub async fn enter(app: &App, token: &str, agent: &str) -> Result<SignedIn> {
    if !token.starts_with(LINK_PREFIX) {
        return Err(link_is_over());
    }
    let (hash, now_ms) = (hash_token(token), app.clock.now_ms());
    let account = app
        .db
        .write(move |tx| -> Result<Account> {
            let owner = queries::use_link(tx, &hash, LinkPurpose::SignIn.as_str(), now_ms)?
                .ok_or_else(link_is_over)?;
            let account = rows::find_by_uuid(tx, owner)?.ok_or_else(link_is_over)?;
            if account.disabled || account.deleted_at_ms.is_some() {
                return Err(link_is_over());
            }
            Ok(account)
        })
        .await?;
    begin(app, account, agent, Admission::Checked).await
}

/// How somebody was let in.
enum Admission {
    /// By something that was checked in a transaction a moment ago.
    Checked,
    /// By a password, which may have been changed since it was checked.
    ByPassword { rehashed: Option<String> },
}

async fn begin(app: &App, account: Account, agent: &str, admission: Admission) -> Result<SignedIn> {
    let cookie = new_token(COOKIE_PREFIX);
    let (uuid, now_ms, device_id) = (account.account_uuid, app.clock.now_ms(), random_id());
    let label = shorten(&rules::browser_name(agent), 100);
    let session = NewSession {
        session_id: random_id(),
        account_uuid: uuid,
        device_id: device_id.clone(),
        kind: "web",
        scope: "full",
        label: label.clone(),
        token_hash: hash_token(&cookie),
        now_ms,
        expires_at_ms: now_ms + SESSION_MS,
    };
    let device = NewDevice { device_id: device_id.clone(), account_uuid: uuid, label, now_ms };
    let verified_hash = account.password_hash.clone();
    app.db
        .write(move |tx| -> Result<()> {
            if let Admission::ByPassword { rehashed } = &admission {
                require_unchanged(tx, uuid, verified_hash.as_deref())?;
                if let Some(hash) = rehashed {
                    rows::set_password_hash(tx, uuid, hash)?;
                }
            }
            sessions::store_device(tx, &device)?;
            Ok(sessions::store_session(tx, &session)?)
        })
        .await?;
    let session = WebSession {
        csrf: csrf_of(&cookie),
        account_uuid: uuid.to_string(),
        email: account.email,
        role: account.role,
        device_id,
    };
    Ok(SignedIn { cookie, session })
}

/// What a page must send with whatever changes something: known only to who can read answers of this server, and bound to
/// the cookie.
pub fn csrf_of(cookie: &str) -> String {
    // 256 random bits: no key is needed to keep them from being found.
    hex::encode(Sha256::digest(format!("{CSRF_DOMAIN}{cookie}")))
}

async fn find_live(app: &App, cookie: &str) -> Result<Option<sessions::Session>> {
    if !cookie.starts_with(COOKIE_PREFIX) {
        return Ok(None);
    }
    let (hash, now_ms) = (hash_token(cookie), app.clock.now_ms());
    let found = app.db.read(move |tx| sessions::find_web_session(tx, &hash, now_ms)).await?;
    if let Some(session) = &found
        && now_ms - session.last_seen_at_ms > LAST_SEEN_MS
    {
        let (session_id, device_id) = (session.session_id.clone(), session.device_id.clone());
        app.db
            .write(move |tx| {
                queries::prolong(tx, &session_id, now_ms, now_ms + SESSION_MS)?;
                match &device_id {
                    Some(id) => sessions::touch_device(tx, id, now_ms),
                    None => Ok(()),
                }
            })
            .await?;
    }
    Ok(found)
}

async fn find_session(app: &App, cookie: &str) -> Result<Option<WebSession>> {
    Ok(find_live(app, cookie).await?.map(|session| session_shown(cookie, session)))
}

/// Another cookie for the session of a browser, which goes on; what the old one named is nothing any more.
pub fn new_cookie() -> (String, [u8; 32]) {
    let cookie = new_token(COOKIE_PREFIX);
    let hash = hash_token(&cookie);
    (cookie, hash)
}

/// What the page of a session is told.
pub fn session_shown(cookie: &str, session: sessions::Session) -> WebSession {
    WebSession {
        csrf: csrf_of(cookie),
        account_uuid: session.account_uuid.to_string(),
        email: session.email,
        role: session.role,
        device_id: session.device_id.unwrap_or_default(),
    }
}

/// Whoever holds this cookie, if it is still good.
pub async fn authenticate(app: &App, cookie: &str) -> Result<Person> {
    let refused = || Error::new(ErrorCode::Unauthorised, "please sign in");
    let session = find_live(app, cookie).await?.ok_or_else(refused)?;
    let device_id = session.device_id.ok_or_else(refused)?;
    let (account, session_id) = (session.account_uuid, session.session_id);
    Ok(Person(Member { account, session_id, device_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_sends_belongs_to_its_cookie() {
        assert_eq!(csrf_of("psw_a"), csrf_of("psw_a"));
        assert_ne!(csrf_of("psw_a"), csrf_of("psw_b"));
        assert!(!csrf_of("psw_a").contains("psw_a"));
    }
}
