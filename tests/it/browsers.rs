//! Browsers: the first run, signing in by cookie, links that work once, and what pages elsewhere cannot do.

use photosync_protocol::control::WEB_PAGE_PATH;
use photosync_protocol::v2::web::CSRF_HEADER;
use photosync_tests::http::{Answer, Body, Request};
use serde_json::{Value, json};

use crate::stand::{PASSWORD, Stand, wait_until};
use crate::sync::control::Control;
use crate::sync::json_of;

const EMAIL: &str = "ada@example.org";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

/// A browser at the stand's address: remembers its cookie, and what its page was told.
pub(crate) struct Browser<'a> {
    pub(crate) stand: &'a Stand,
    /// `name=value`.
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl<'a> Browser<'a> {
    /// A browser that was never here.
    pub(crate) fn new(stand: &'a Stand) -> Self {
        Self { stand, cookie: String::new(), csrf: String::new() }
    }

    /// A browser that signs in by password.
    pub(crate) fn sign_in(stand: &'a Stand, email: &str, password: &str) -> Self {
        let mut browser = Self::new(stand);
        let told = json!({ "email": email, "password": password });
        let answer = browser.enter("/api/v2/web/session", &told);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        browser
    }

    /// A request as a page of this server makes it.
    pub(crate) fn request(&self, method: &'a str, path: &str) -> Request<'a> {
        let own = self.stand.address();
        Request::new(method, path)
            .header("Host", own.to_string())
            .header("Origin", format!("http://{own}"))
            .header("User-Agent", FIREFOX)
            .header("Cookie", &self.cookie)
            .header(CSRF_HEADER, &self.csrf)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.stand.send(self.request("GET", path))
    }

    pub(crate) fn send_json(&self, method: &'a str, path: &str, body: &Value) -> Answer {
        let text = body.to_string();
        let request = self.request(method, path).header("Content-Type", "application/json");
        self.stand.send(request.body(Body::Bytes(text.as_bytes())))
    }

    /// Asks one of the doors, and keeps what it gives.
    pub(crate) fn enter(&mut self, path: &str, told: &Value) -> Answer {
        let answer = self.send_json("POST", path, told);
        self.keep(answer)
    }

    /// Keeps the cookie of an answer, if it has one.
    pub(crate) fn keep(&mut self, answer: Answer) -> Answer {
        if let Some(set) = answer.header("set-cookie") {
            self.cookie = set.split(';').next().unwrap_or_default().to_owned();
            self.csrf = json_of(&answer)["csrf"].as_str().unwrap_or_default().to_owned();
        }
        answer
    }

    pub(crate) fn state(&self) -> Value {
        json_of(&self.get("/api/v2/web"))
    }
}

#[test]
fn the_first_run_makes_an_administrator_once_and_signs_in() {
    let stand = Stand::new(&[]);
    let mut browser = Browser::new(&stand);
    let state = browser.state();
    assert_eq!((&state["needs_setup"], &state["needs_setup_code"]), (&json!(true), &json!(false)));
    let told = json!({ "email": EMAIL, "password": "short" });
    let refused = browser.enter("/api/v2/web/setup", &told);
    assert_eq!((refused.status(), &browser.state()["needs_setup"]), (400, &json!(true)));
    let told = json!({ "email": EMAIL, "password": PASSWORD });
    let made = browser.enter("/api/v2/web/setup", &told);
    assert_eq!(made.status(), 201, "{}", made.text());
    let cookie = made.header("set-cookie").unwrap_or_default();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
    assert_eq!(json_of(&made)["role"], "admin");
    let state = browser.state();
    assert_eq!((&state["needs_setup"], &state["session"]["email"]), (&json!(false), &json!(EMAIL)));
    let devices = json_of(&browser.get("/api/v2/devices"));
    assert_eq!(devices["devices"][0]["name"], "Firefox on Linux");
    let again = Browser::new(&stand).enter("/api/v2/web/setup", &told);
    assert_eq!(again.status(), 403, "{}", again.text());
}

#[test]
fn from_another_machine_the_first_run_wants_the_code_that_was_printed() {
    let stand = Stand::new(&[]);
    let mut code = String::new();
    wait_until("the server prints a code", || {
        let log = stand.log();
        let (_, rest) = log.split_once("type the code ").unwrap_or_default();
        code = rest.chars().take(9).collect();
        code.len() == 9
    });
    let ask = |code: &str| {
        let told = json!({ "email": EMAIL, "password": PASSWORD, "code": code }).to_string();
        // A name that leads here, as a page elsewhere could make one: not the machine's own.
        let request = Request::new("POST", "/api/v2/web/setup")
            .header("Host", "nas.example:3000")
            .header("Origin", "http://nas.example:3000")
            .header("Content-Type", "application/json");
        stand.send(request.body(Body::Bytes(told.as_bytes())))
    };
    let state = stand.send(Request::new("GET", "/api/v2/web").header("Host", "nas.example:3000"));
    assert_eq!(json_of(&state)["needs_setup_code"], true);
    for wrong in ["", "0000-0000"] {
        assert_eq!(ask(wrong).status(), 403, "{wrong:?}");
    }
    assert_eq!(json_of(&stand.send(Request::new("GET", "/api/v2/web")))["needs_setup"], true);
    let made = ask(&code.to_lowercase());
    assert_eq!(made.status(), 201, "{}", made.text());
}

#[test]
fn a_cookie_opens_the_library_until_it_is_signed_out_and_no_old_route() {
    let stand = Stand::shared();
    let person = stand.person();
    let browser = Browser::sign_in(&stand, &person.email, PASSWORD);
    person.keep("here.jpg", b"a picture");
    assert_eq!(json_of(&browser.get("/api/v2/library/assets"))["total"], 1);
    let put = browser.request("PUT", "/api/v2/library/assets").header("PhotoSync-Name", "mine.jpg");
    assert_eq!(stand.send(put.body(Body::Bytes(b"from a browser"))).status(), 201);
    assert_eq!(browser.get("/api/files").status(), 401, "no cookie opens an old route");
    let ended = stand.send(browser.request("DELETE", "/api/v2/web/session"));
    assert_eq!(ended.status(), 204);
    assert!(ended.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")));
    assert_eq!(browser.get("/api/v2/library/assets").status(), 401, "a copied cookie is of no use");
    assert_eq!(browser.state()["session"], Value::Null);
}

#[test]
fn pages_elsewhere_can_change_nothing_although_the_browser_sends_the_cookie() {
    let stand = Stand::shared();
    let person = stand.person();
    let browser = Browser::sign_in(&stand, &person.email, PASSWORD);
    let own = stand.address();
    let other = Browser::sign_in(&stand, &person.email, PASSWORD);
    let put = |headers: &[(&str, &str)]| {
        let mut request = Request::new("PUT", "/api/v2/library/assets")
            .header("Host", own.to_string())
            .header("PhotoSync-Name", "forged.jpg")
            .header("Cookie", &browser.cookie);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        stand.send(request.body(Body::Bytes(b"forged"))).status()
    };
    let here = format!("http://{own}");
    let csrf = browser.csrf.as_str();
    assert_eq!(put(&[("Origin", "http://evil.example"), (CSRF_HEADER, csrf)]), 403);
    assert_eq!(
        put(&[("Sec-Fetch-Site", "cross-site"), ("Origin", &here), (CSRF_HEADER, csrf)]),
        403
    );
    assert_eq!(put(&[(CSRF_HEADER, csrf)]), 403, "nobody says where it comes from");
    assert_eq!(put(&[("Origin", &here)]), 403, "without what the page was told");
    assert_eq!(put(&[("Origin", &here), (CSRF_HEADER, &other.csrf)]), 403, "another browser's");
    assert!(person.names().is_empty(), "{:?}", person.names());
    assert_eq!(put(&[("Origin", &here), (CSRF_HEADER, csrf)]), 201);
    let told = json!({ "email": person.email, "password": PASSWORD }).to_string();
    let forged =
        Request::new("POST", "/api/v2/web/session").header("Origin", "http://evil.example");
    let forged = stand.send(forged.body(Body::Bytes(told.as_bytes())));
    assert_eq!(
        (forged.status(), forged.header("set-cookie")),
        (403, None),
        "nobody is signed in unseen"
    );
}

#[test]
fn a_new_password_and_a_disabled_account_end_browsers_and_links() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let browser = Browser::sign_in(&stand, &person.email, PASSWORD);
    let link = link_of(&stand, &person.email);
    stand.command(&["user", "disable", &person.email], "");
    stand.command(&["user", "enable", &person.email], "");
    assert_eq!(browser.get("/api/v2/library/assets").status(), 401);
    let mut late = Browser::new(&stand);
    assert_eq!(late.enter("/api/v2/web/link", &json!({ "token": link })).status(), 401);
}

/// What stands after `#` in a link that an operator made.
fn link_of(stand: &Stand, email: &str) -> String {
    let said = stand.command(&["user", "link", email], "").stdout;
    let (_, rest) = said.split_once("/link#").unwrap_or_else(|| panic!("no link: {said}"));
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_link_signs_one_browser_in_and_no_second_one() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let token = json!({ "token": link_of(&stand, &person.email) });
    let mut first = Browser::new(&stand);
    assert_eq!(first.enter("/api/v2/web/link", &token).status(), 200);
    assert_eq!(first.state()["session"]["email"], person.email);
    let mut second = Browser::new(&stand);
    assert_eq!(second.enter("/api/v2/web/link", &token).status(), 401);
    assert_eq!(second.enter("/api/v2/web/link", &json!({ "token": "psl_guess" })).status(), 401);
}

#[test]
fn the_icons_menu_leads_to_the_first_run_then_into_the_library_then_asks_for_whom() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    let lead = || {
        let page = control.open_page(WEB_PAGE_PATH);
        let answer = control.get(&page);
        (
            answer.status(),
            answer.header("location").map(str::to_owned),
            String::from_utf8_lossy(&answer.body).into_owned(),
        )
    };
    let port = stand.address().port();
    assert_eq!(lead().1, Some(format!("http://127.0.0.1:{port}/setup")));
    let ada = stand.person_called(EMAIL);
    let (_, to, _) = lead();
    let to = to.expect("a way in");
    let (address, token) = to.split_once('#').expect("a link");
    assert_eq!(address, format!("http://127.0.0.1:{port}/link"));
    let mut browser = Browser::new(&stand);
    assert_eq!(browser.enter("/api/v2/web/link", &json!({ "token": token })).status(), 200);
    assert_eq!(browser.state()["session"]["email"], ada.email);
    stand.person_called("ben@example.org");
    let (status, to, page) = lead();
    assert_eq!((status, to), (200, None));
    assert!(page.contains(EMAIL) && page.contains("ben@example.org"), "{page}");
}
