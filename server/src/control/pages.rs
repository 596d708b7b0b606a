//! Small pages for the person at this computer, opened by the tray in the browser: the one for pairing a phone, and the way
//! into the web app.
//!
//! Nobody signs in here: whoever holds the control token may open a page, and gets an address with a key in it. That
//! key stands for a moment on a command line, which other users of the machine can read; it works once, within
//! [`OPEN_MS`], and leads to the page under another key that only the browser knows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use photosync_protocol::control::OpenedPage;
use photosync_protocol::v2::session::PairingOffer;
use serde::Deserialize;
use uuid::Uuid;

use crate::accounts::queries::{Account, list};
use crate::accounts::web::{self as browsers, OPEN_LINK_MS};
use crate::auth::random_id;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::pairing::{self, Fate, rules::show_code};

/// How long an address with a first key can be opened: 1 minute, for a browser that starts slowly.
const OPEN_MS: i64 = 60_000;
/// How long a page can be used: 1 hour.
const USE_MS: i64 = 3_600_000;
/// Pages that are open at the same time; the oldest makes room.
const MAX_PAGES: usize = 32;

const STYLE: &str = include_str!("page.css");

/// Pages that are open, or about to be.
#[derive(Default)]
pub struct Pages(Mutex<HashMap<String, Page>>);

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Pairing a phone.
    Pair,
    /// Coming into the web app without a password.
    Web,
}

struct Page {
    /// Works once, for coming in.
    is_first: bool,
    goal: Goal,
    until_ms: i64,
    /// The offer that each account's page shows, and when it was made.
    offers: HashMap<Uuid, (PairingOffer, i64)>,
}

impl Pages {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, now_ms: i64, is_first: bool, goal: Goal) -> String {
        let (key, lifetime_ms) = (random_id(), if is_first { OPEN_MS } else { USE_MS });
        let mut pages = self.lock();
        pages.retain(|_, page| page.until_ms > now_ms);
        if pages.len() >= MAX_PAGES {
            let oldest = pages.iter().min_by_key(|(_, page)| page.until_ms);
            let oldest = oldest.map(|(key, _)| key.clone()).unwrap_or_default();
            pages.remove(&oldest);
        }
        let page = Page { is_first, goal, until_ms: now_ms + lifetime_ms, offers: HashMap::new() };
        pages.insert(key.clone(), page);
        key
    }

    /// Uses up a first key; what it was for.
    fn enter(&self, now_ms: i64, key: &str) -> Option<Goal> {
        let mut pages = self.lock();
        let is_open = pages.get(key).is_some_and(|page| page.is_first && page.until_ms > now_ms);
        is_open.then(|| pages.remove(key)).flatten().map(|page| page.goal)
    }

    fn require(
        &self,
        now_ms: i64,
        key: &str,
        goal: Goal,
    ) -> Result<MutexGuard<'_, HashMap<String, Page>>> {
        let pages = self.lock();
        let is_open = pages
            .get(key)
            .is_some_and(|page| !page.is_first && page.goal == goal && page.until_ms > now_ms);
        is_open.then_some(pages).ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::not_found("this page is closed; open it again from the icon's menu")
}

/// Opens a page; the answer says where.
pub fn open(app: &App, pages: &Pages, goal: Goal) -> OpenedPage {
    OpenedPage { path: format!("/control/open/{}", pages.add(app.clock.now_ms(), true, goal)) }
}

/// The routes of browsers: no token, a key in the path.
pub fn router(app: &App, pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/control/open/{key}", get(enter))
        .route("/control/pair/{key}", get(pair))
        .route("/control/web/{key}", get(web))
        .with_state((app.clone(), pages))
}

type Stand = State<(App, Arc<Pages>)>;

async fn enter(State((app, pages)): Stand, Path(key): Path<String>) -> Response {
    let now_ms = app.clock.now_ms();
    let Some(goal) = pages.enter(now_ms, &key) else {
        return page(
            "Closed",
            "<h1>This page was opened already</h1><p>Open it again from the icon's menu.</p>",
        );
    };
    let folder = match goal {
        Goal::Pair => "pair",
        Goal::Web => "web",
    };
    Redirect::to(&format!("/control/{folder}/{}", pages.add(now_ms, false, goal))).into_response()
}

/// Accounts that somebody could be.
async fn list_accounts(app: &App) -> Result<Vec<Account>> {
    let mut accounts = app.db.read(list).await?;
    accounts.retain(|account| account.deleted_at_ms.is_none() && !account.disabled);
    Ok(accounts)
}

/// The account that was chosen, or the only one.
fn choose(accounts: &[Account], wanted: Option<Uuid>) -> Option<&Account> {
    match (wanted, accounts) {
        (Some(wanted), all) => all.iter().find(|account| account.account_uuid == wanted),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Leads into the web app by a link that works once. Where nobody has an account yet, to the first run.
async fn web(
    State((app, pages)): Stand,
    Path(key): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    drop(pages.require(app.clock.now_ms(), &key, Goal::Web)?);
    let port = app.presence.listening().first().map(SocketAddr::port);
    let port = port.ok_or_else(|| Error::internal("know the port of this server"))?;
    let accounts = list_accounts(&app).await?;
    if accounts.is_empty() {
        return Ok(Redirect::to(&format!("http://127.0.0.1:{port}/setup")).into_response());
    }
    let Some(account) = choose(&accounts, asked.account) else {
        let own_address = format!("/control/web/{key}");
        let body = "<h1>Open PhotoSync</h1>\n".to_owned()
            + &choice("Whose photos?", &accounts, &own_address);
        return Ok(page("Open PhotoSync", &body));
    };
    let token = browsers::offer_link(&app, account.account_uuid, OPEN_LINK_MS).await?;
    Ok(Redirect::to(&format!("http://127.0.0.1:{port}/link#{token}")).into_response())
}

/// What the page is asked for.
#[derive(Deserialize)]
struct Asked {
    /// Whose phone it is.
    account: Option<Uuid>,
    /// Another code, please.
    #[serde(default)]
    fresh: bool,
}

async fn pair(
    State((app, pages)): Stand,
    Path(key): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let now_ms = app.clock.now_ms();
    drop(pages.require(now_ms, &key, Goal::Pair)?);
    let accounts = list_accounts(&app).await?;
    let own_address = format!("/control/pair/{key}");
    let reachable = app.presence.reachable();
    let mut body = String::from("<h1>Pair a phone</h1>\n");
    body += &newer(app.newer_version().as_deref());
    body += &addresses(&reachable);
    let Some(account) = choose(&accounts, asked.account) else {
        body += &match accounts.as_slice() {
            [] => "<p>Nobody has an account here yet. Register in the app: then it can be paired with a code, too.</p>"
                .to_owned(),
            several => choice("With a code: whose device is it?", several, &own_address),
        };
        return Ok(page("Pair a phone", &body));
    };
    let known = if asked.fresh { None } else { live_offer(&pages, &key, account, now_ms)? };
    let (offer, made_ms) = match known {
        Some(known) => known,
        None => {
            let offer = pairing::offer(&app, account.account_uuid).await?;
            let mut open = pages.require(now_ms, &key, Goal::Pair)?;
            if let Some(page) = open.get_mut(&key) {
                page.offers.insert(account.account_uuid, (offer.clone(), now_ms));
            }
            drop(open);
            // A reload of the page shall not make another.
            let to = format!("{own_address}?account={}", account.account_uuid);
            if asked.fresh {
                return Ok(Redirect::to(&to).into_response());
            }
            (offer, now_ms)
        }
    };
    let again = format!("{own_address}?account={}&fresh=true", account.account_uuid);
    let email = escaped(&account.email);
    match pairing::fate(&app, &offer).await? {
        Fate::Used => {
            body += &format!(
                "<section class=done><h2>✓ Paired</h2><p>A device of <b>{email}</b> was added.</p><p><a \
                 href=\"{again}\">Pair another one</a></p></section>"
            );
            return Ok(page("Paired", &body));
        }
        Fate::Over => {
            body += &format!(
                "<section><h2>This code is over</h2><p>It was used, guessed at too often, or replaced by a newer \
                 one.</p><p><a href=\"{again}\">Another code</a></p></section>"
            );
            return Ok(page("Pair a phone", &body));
        }
        Fate::Open => {}
    }
    let left_ms = made_ms + offer.expires_in_s * 1_000 - now_ms;
    body += &offered(account, &offer, left_ms, &again)?;
    Ok(page("Pair a phone", &body))
}

/// The offer that this page shows, if it can still be used.
fn live_offer(
    pages: &Pages,
    key: &str,
    account: &Account,
    now_ms: i64,
) -> Result<Option<(PairingOffer, i64)>> {
    let open = pages.require(now_ms, key, Goal::Pair)?;
    let known = open.get(key).and_then(|page| page.offers.get(&account.account_uuid).cloned());
    Ok(known.filter(|(offer, made_ms)| made_ms + offer.expires_in_s * 1_000 > now_ms))
}

/// What the person at this computer is told of a newer version; nobody else is shown these pages.
fn newer(version: Option<&str>) -> String {
    version.map_or_else(String::new, |version| {
        let version = escaped(version);
        format!("<p class=small>PhotoSync {version} is there; the icon's menu installs it.</p>\n")
    })
}

fn addresses(reachable: &[SocketAddr]) -> String {
    let typed: Vec<String> = reachable.iter().map(ToString::to_string).collect();
    let Some((first, others)) = typed.split_first() else {
        return "<p class=warning>This computer has no network address that a phone could reach.</p>".into();
    };
    let others = match others {
        [] => String::new(),
        others => {
            format!("<p class=small>Others: <code>{}</code></p>", escaped(&others.join("  ")))
        }
    };
    let warning = match reachable.iter().all(|address| address.ip().is_loopback()) {
        true => {
            "<p class=warning>Only this computer itself can reach that: the server is told so by the setting HOST.</p>"
        }
        false => "",
    };
    format!(
        "<section><h2>In the PhotoSync app</h2><ol><li>Connect the phone to the same Wi-Fi.<li>Choose <b>Local \
         Network</b> and type this address:<p class=big>{}</p>{warning}{others}<li>Register, or sign in with your e-mail and \
         password.</ol></section>\n",
        escaped(first)
    )
}

fn choice(question: &str, accounts: &[Account], own_address: &str) -> String {
    let mut text = format!("<section><h2>{question}</h2><ul class=choice>");
    for account in accounts {
        let (uuid, email) = (account.account_uuid, escaped(&account.email));
        text += &format!("<li><a href=\"{own_address}?account={uuid}\">{email}</a>");
    }
    text + "</ul></section>"
}

fn offered(account: &Account, offer: &PairingOffer, left_ms: i64, again: &str) -> Result<String> {
    let unseen = |source: qrcode::types::QrError| {
        Error::internal("draw a pairing code").caused_by(std::io::Error::other(source.to_string()))
    };
    let drawn = qrcode::QrCode::with_error_correction_level(&offer.qr, qrcode::EcLevel::L)
        .map_err(unseen)?
        .render::<qrcode::render::svg::Color<'_>>()
        .min_dimensions(240, 240)
        .build();
    // Without its XML declaration it is part of the page.
    let picture = drawn.find("<svg").map_or("", |from| &drawn[from..]);
    let minutes = (left_ms + 59_999) / 60_000;
    Ok(format!(
        "<section><h2>Or with a code, for <b>{}</b></h2><div class=offer><div class=qr>{picture}</div><div><p>Scan the \
         picture, or type the code:</p><p class=big>{}</p><p class=small>It works once, for about {minutes} \
         min.<br><a href=\"{again}\">Another code</a></p><p class=small>On a computer: <code>photosync pair \
         ADDRESS</code></p></div></div></section><meta http-equiv=refresh content=4>",
        escaped(&account.email),
        show_code(&offer.code)
    ))
}

fn page(title: &str, body: &str) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let text = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width, \
         initial-scale=1\"><title>{title} – PhotoSync</title><style>{STYLE}</style>\n<main>{body}</main></html>\n"
    );
    (headers, Html(text)).into_response()
}

/// A text that means nothing to a browser but itself.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_key_opens_once_and_in_time() {
        let pages = Pages::default();
        let add = |is_first| pages.add(0, is_first, Goal::Pair);
        let is_page = |now_ms, key: &str, goal| pages.require(now_ms, key, goal).is_ok();
        let key = add(true);
        assert!(!is_page(1, &key, Goal::Pair), "it is not a page");
        assert_eq!(pages.enter(1, &key), Some(Goal::Pair));
        assert_eq!(pages.enter(2, &key), None);
        let late = add(true);
        assert_eq!(pages.enter(OPEN_MS, &late), None);
        let page = add(false);
        assert_eq!(pages.enter(1, &page), None, "a page is no way in");
        assert!(is_page(USE_MS - 1, &page, Goal::Pair) && !is_page(USE_MS, &page, Goal::Pair));
        assert!(!is_page(1, &page, Goal::Web), "a page is good for one thing");
    }

    #[test]
    fn pages_that_nobody_closes_do_not_pile_up() {
        let pages = Pages::default();
        for now_ms in 0..1_000 {
            pages.add(now_ms, true, Goal::Web);
        }
        assert_eq!(pages.lock().len(), MAX_PAGES);
    }

    #[test]
    fn an_address_that_no_phone_can_reach_is_shown_with_a_warning() {
        let of = |typed: &str| addresses(&[typed.parse().unwrap()]);
        assert!(of("127.0.0.1:3000").contains("Only this computer"));
        assert!(!of("192.168.1.5:3000").contains("Only this computer"));
    }

    #[test]
    fn a_newer_version_is_told_on_the_page_and_nothing_if_there_is_none() {
        assert_eq!(newer(None), "");
        assert!(newer(Some("2.0.0<b>")).contains("PhotoSync 2.0.0&lt;b&gt; is there"));
    }

    #[test]
    fn an_address_with_markup_stays_text() {
        assert_eq!(escaped("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
