//! What the tray asks of the server beside it, over the loopback control listener.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use photosync_protocol::control::{
    OpenedPage, PAIR_COMPUTER_PATH, PAIR_PAGE_PATH, STATUS_PATH, STOP_PATH, Status,
};
use photosync_protocol::process::RunFile;
use photosync_tests::http::{Answer, Body, Client, Request, exchange_raw};
use serde_json::json;

use crate::stand::Stand;

/// The control listener of a running server, with its token.
pub(crate) struct Control {
    address: SocketAddr,
    token: String,
}

impl Control {
    pub(crate) fn of(data_dir: &Path) -> Self {
        let run = std::fs::read(data_dir.join("run.json")).expect("run.json");
        let run: RunFile = serde_json::from_slice(&run).expect("a run file");
        let token = std::fs::read_to_string(data_dir.join("secrets/control")).expect("a token");
        let address = ([127, 0, 0, 1], run.port).into();
        Self { address, token: token.trim().to_owned() }
    }

    fn ask(&self, method: &str, path: &str, token: &str) -> Answer {
        let request = Request::new(method, path)
            .header("Authorization", format!("Bearer {token}"))
            .body(if method == "GET" { Body::None } else { Body::Bytes(&[]) });
        Client::new(self.address).send(request).expect("an answer")
    }

    /// As a browser asks: no token.
    pub(crate) fn get(&self, path: &str) -> Answer {
        Client::new(self.address).send(Request::new("GET", path)).expect("an answer")
    }

    /// The state, from the first lines of the stream.
    pub(crate) fn status(&self) -> Status {
        let request = format!(
            "GET {STATUS_PATH} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        let quiet = Duration::from_millis(500);
        let answer = exchange_raw(self.address, request.as_bytes(), quiet).expect("an answer");
        let text = String::from_utf8(answer).expect("text");
        let line = text.lines().last().expect("a line");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Opens the page for pairing, and returns where it is.
    fn pair_page(&self) -> String {
        self.open_page(PAIR_PAGE_PATH)
    }

    /// Opens a page as the tray and the browser do, and returns where it is.
    pub(crate) fn open_page(&self, path: &str) -> String {
        let opened = self.ask("POST", path, &self.token);
        assert_eq!(opened.status(), 200, "{}", opened.text());
        let opened: OpenedPage = serde_json::from_str(&opened.text()).expect("a page");
        let entered = self.get(&opened.path);
        assert_eq!(entered.status(), 303, "{}", entered.text());
        let again = body_of(&self.get(&opened.path));
        assert!(again.contains("opened already"), "the first key works once: {again}");
        entered.header("location").expect("a place").to_owned()
    }
}

/// The whole body; `text` shortens it.
fn body_of(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}

/// The code that the page shows.
fn code_on(page: &str) -> String {
    let from = page.rfind("<p class=big>").expect("a code") + "<p class=big>".len();
    page[from..].chars().take(9).filter(|letter| *letter != '-').collect()
}

#[test]
fn without_the_token_nothing_is_told_and_nothing_stops() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    let asked = [STOP_PATH, PAIR_PAGE_PATH, PAIR_COMPUTER_PATH].map(|path| ("POST", path));
    for (method, path) in [("GET", STATUS_PATH)].into_iter().chain(asked) {
        assert_eq!(control.ask(method, path, "wrong").status(), 401, "{path}");
    }
    assert_eq!(control.get("/control/pair/0123456789abcdef0123456789abcdef").status(), 404);
    // None of it is on the public port.
    let public = stand.send(Request::new("GET", STATUS_PATH));
    assert_eq!(public.status(), 404);
    assert_eq!(control.status().port, stand.address().port());
}

#[test]
fn the_state_counts_what_arrives() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    let before = control.status();
    assert_eq!((before.accounts, before.stored, before.was_reached), (0, 0, false));
    let alice = stand.person();
    let phone = super::Native::sign_in(&stand, &alice);
    assert_eq!(phone.put("a.jpg", &[], b"twelve bytes").status(), 201);
    let after = control.status();
    assert_eq!((after.accounts, after.stored, after.received_bytes), (1, 1, 12));
    assert!(!after.was_reached, "this machine is no phone");
    assert!(after.free_bytes.is_some_and(|free| free > 0));
}

#[test]
fn this_computers_own_client_gets_a_code_of_an_account_that_can_sign_in_and_of_no_other() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    let alice = stand.person();
    assert_eq!(control.status().people, std::slice::from_ref(&alice.email));
    let ask = |email: &str| {
        let wanted = json!({"email": email}).to_string();
        let request = Request::new("POST", PAIR_COMPUTER_PATH)
            .header("Authorization", format!("Bearer {}", control.token))
            .header("Content-Type", "application/json")
            .body(Body::Bytes(wanted.as_bytes()));
        Client::new(control.address).send(request).expect("an answer")
    };
    let offer: serde_json::Value =
        serde_json::from_str(&body_of(&ask(&alice.email))).expect("JSON");
    let claim = json!({"code": offer["code"], "device_name": "this computer"});
    assert_eq!(stand.post_json("/api/v2/pairing/claim", &claim).status(), 200);
    assert_eq!(stand.post_json("/api/v2/pairing/claim", &claim).status(), 401, "once");
    assert_eq!(ask("nobody@example.org").status(), 404);
}

#[test]
fn a_stop_through_the_control_listener_is_one_in_order_though_a_tray_listens() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    // A stream that nobody reads must not hold the end up.
    let mut listening = std::net::TcpStream::connect(control.address).expect("a connection");
    let request = format!(
        "GET {STATUS_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        control.token
    );
    std::io::Write::write_all(&mut listening, request.as_bytes()).expect("sent");
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut listening, &mut first).expect("an answer");
    let data_dir = stand.data().to_owned();
    assert_eq!(control.ask("POST", STOP_PATH, &control.token).status(), 204);
    let (code, log) = stand.with_server(|server| {
        let code = server.wait_for_end(Duration::from_secs(10)).expect("an end");
        (code, server.log())
    });
    assert_eq!(code, 0);
    assert!(!log.contains("cut the connections"), "{log}");
    assert!(!data_dir.join("run.json").exists());
}

#[test]
fn the_page_shows_a_code_that_pairs_once_and_says_so() {
    let stand = Stand::new(&[]);
    let control = Control::of(stand.data());
    let empty = control.pair_page();
    assert!(body_of(&control.get(&empty)).contains("Nobody has an account here yet"));

    let alice = stand.person();
    let page = control.pair_page();
    let first = control.get(&page);
    let text = body_of(&first);
    assert!(text.contains("<svg") && text.contains(&alice.email), "{text}");
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let code = code_on(&text);
    assert_eq!(code_on(&body_of(&control.get(&page))), code, "a reload makes no other code");
    let claim = json!({"code": code, "device_name": "New phone"});
    let joined = stand.post_json("/api/v2/pairing/claim", &claim);
    assert_eq!(joined.status(), 200, "{}", joined.text());
    assert!(body_of(&control.get(&page)).contains("✓ Paired"));

    // A code that was guessed at too often is not shown as if it worked.
    let page_of_guesses = control.pair_page();
    let code = code_on(&body_of(&control.get(&page_of_guesses)));
    let first = if code.starts_with('A') { 'B' } else { 'A' };
    let wrong = json!({"code": format!("{first}{}", &code[1..]), "device_name": "Guess"});
    for _ in 0..5 {
        assert_eq!(stand.post_json("/api/v2/pairing/claim", &wrong).status(), 401);
    }
    assert!(body_of(&control.get(&page_of_guesses)).contains("This code is over"));
    // Nor one whose success was forgotten because another code was made since.
    assert!(body_of(&control.get(&page)).contains("This code is over"));

    // With a second account the page asks whose phone it is.
    let bob = stand.person();
    let text = body_of(&control.get(&page));
    assert!(!text.contains("<svg") && text.contains(&bob.email) && text.contains(&alice.email));
    let from = text.find(&bob.email).expect("his entry");
    let link = text[..from].rsplit("href=\"").next().and_then(|rest| rest.split('"').next());
    let his = body_of(&control.get(link.expect("a link")));
    assert!(his.contains("<svg"), "{his}");
}
