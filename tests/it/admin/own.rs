//! What a person does with their own account.

use photosync_protocol::v2::web::CSRF_HEADER;
use photosync_tests::http::{Answer, Request};
use serde_json::{Value, json};

use super::{NEW_PASSWORD, Office};
use crate::browsers::Browser;
use crate::stand::PASSWORD;
use crate::sync::{Native, json_of};

fn change(browser: &Browser<'_>, old: &str, new: &str, devices: bool) -> Answer {
    let asked = json!({ "old": old, "new": new, "devices": devices });
    browser.send_json("POST", "/api/v2/me/password", &asked)
}

#[test]
fn a_new_password_asks_for_the_old_one_and_ends_other_browsers() {
    let office = Office::new(&[]);
    let (ben, phone) = (&office.ben, Native::sign_in(&office.stand, &office.ben));
    let (mut browser, other) = (office.sign_in(ben), office.sign_in(ben));
    for (old, new, status) in
        [("wrong guess", NEW_PASSWORD, 403), ("", NEW_PASSWORD, 403), (PASSWORD, "short", 400)]
    {
        assert_eq!(change(&browser, old, new, false).status(), status, "{old:?} {new:?}");
    }
    assert_eq!((other.get("/api/v2/me").status(), office.login(&ben.email, PASSWORD)), (200, 200));
    let before = Browser {
        cookie: browser.cookie.clone(),
        csrf: browser.csrf.clone(),
        ..Browser::new(&office.stand)
    };
    let changed = change(&browser, PASSWORD, NEW_PASSWORD, false);
    assert_eq!(changed.status(), 200, "{}", changed.text());
    assert_eq!(json_of(&changed)["ended"], 1);
    let csrf = json_of(&changed)["session"]["csrf"].as_str().expect("a word").to_owned();
    let changed = browser.keep(changed);
    assert!(
        changed.header("set-cookie").is_some_and(|set| set.contains("HttpOnly; SameSite=Strict"))
    );
    browser.csrf = csrf;
    assert_eq!(before.get("/api/v2/me").status(), 401, "a copied cookie is of no use");
    assert_eq!(other.get("/api/v2/me").status(), 401);
    let renamed = browser.send_json("PATCH", "/api/v2/me", &json!({ "name": " Ben " }));
    assert_eq!(
        (renamed.status(), &json_of(&renamed)["name"]),
        (200, &json!("Ben")),
        "this one goes on"
    );
    assert_eq!(phone.send(phone.request("GET", "/me")).status(), 200, "phones go on");
    assert_eq!(ben.put_raw("a.jpg", b"a picture").status(), 200, "old ones too");
    assert_eq!(
        (office.login(&ben.email, PASSWORD), office.login(&ben.email, NEW_PASSWORD)),
        (401, 200)
    );
    let changed = change(&browser, NEW_PASSWORD, PASSWORD, true);
    assert!(json_of(&changed)["ended"].as_i64() >= Some(2), "{}", changed.text());
    assert_eq!(phone.send(phone.request("GET", "/me")).status(), 401, "unless they are to end too");
    assert_eq!(ben.put_raw("b.jpg", b"late").status(), 403);
}

#[test]
fn signing_out_everywhere_else_leaves_this_browser_and_unless_asked_the_phones() {
    let office = Office::new(&[]);
    let ben = &office.ben;
    let (browser, other) = (office.sign_in(ben), office.sign_in(ben));
    let phone = Native::sign_in(&office.stand, ben);
    let said = office.stand.command(&["user", "link", &ben.email], "").stdout;
    let link = said
        .split("/link#")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("a link");
    let ended = |devices: bool| {
        json_of(&browser.send_json("POST", "/api/v2/me/sign-out", &json!({ "devices": devices })))["sessions"].clone()
    };
    assert_eq!(ended(false), 1);
    assert_eq!((other.get("/api/v2/me").status(), browser.get("/api/v2/me").status()), (401, 200));
    assert_eq!(phone.send(phone.request("GET", "/me")).status(), 200);
    let mut late = Browser::new(&office.stand);
    assert_eq!(late.enter("/api/v2/web/link", &json!({ "token": link })).status(), 401);
    let shown = json_of(&browser.get("/api/v2/devices"))["devices"].clone();
    let browsers =
        shown.as_array().expect("devices").iter().filter(|one| one["is_browser"] == true);
    assert!(
        browsers.clone().count() == 1 && browsers.clone().all(|one| one["this"] == true),
        "{shown}"
    );
    assert_eq!(ended(true), 2, "the phone and the old phone");
    assert_eq!(phone.send(phone.request("GET", "/me")).status(), 401);
    assert_eq!(browser.get("/api/v2/me").status(), 200);
}

#[test]
fn a_page_elsewhere_and_a_phone_change_nothing_of_an_account() {
    let office = Office::new(&[]);
    let browser = office.sign_in(&office.ben);
    let told = json!({ "old": PASSWORD, "new": NEW_PASSWORD }).to_string();
    let forged = Request::new("POST", "/api/v2/me/password")
        .header("Origin", "http://evil.example")
        .header("Content-Type", "application/json")
        .header("Cookie", &browser.cookie)
        .header(CSRF_HEADER, &browser.csrf);
    let forged =
        office.stand.send(forged.body(photosync_tests::http::Body::Bytes(told.as_bytes())));
    assert_eq!(forged.status(), 403);
    let phone = Native::sign_in(&office.stand, &office.ben);
    let request = phone.request("POST", "/me/password").header("Content-Type", "application/json");
    let refused = phone.send(request.body(photosync_tests::http::Body::Bytes(told.as_bytes())));
    assert_eq!(refused.status(), 403);
    assert_eq!(office.login(&office.ben.email, PASSWORD), 200);
    let me = json_of(&browser.get("/api/v2/me"));
    assert_eq!((&me["has_password"], &me["quota_bytes"]), (&json!(true), &Value::Null));
}
