//! Administrators at a browser: who gets in, what they do with other people's accounts, and what no administrator can do.

mod own;
mod quota;
mod server;

use std::thread;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::{Answer, Request};
use serde_json::{Value, json};

use crate::browsers::Browser;
use crate::stand::{PASSWORD, Person, Stand};
use crate::sync::{self, Native, code_of, json_of};

const USERS: &str = "/api/v2/admin/users";
const NEW_PASSWORD: &str = "another long one";

/// Every page of administrators: method and path below `/api/v2/admin`.
const PAGES: [(&str, &str); 15] = [
    ("GET", "/users"),
    ("POST", "/users"),
    ("PATCH", "/users/{id}"),
    ("DELETE", "/users/{id}"),
    ("POST", "/users/{id}/password"),
    ("POST", "/users/{id}/link"),
    ("POST", "/users/{id}/sign-out"),
    ("POST", "/users/{id}/restore"),
    ("GET", "/storage"),
    ("GET", "/jobs"),
    ("POST", "/jobs/media/retry"),
    ("GET", "/health"),
    ("GET", "/updates"),
    ("POST", "/updates/look"),
    ("GET", "/settings"),
];

/// A server with its administrator at a browser, and somebody else.
struct Office {
    stand: Stand,
    ada: Person,
    ben: Person,
}

impl Office {
    fn new(settings: &[(&str, &str)]) -> Self {
        let stand = Stand::new(settings);
        // The first one is the administrator.
        let ada = stand.person_called("ada@example.org");
        let ben = stand.person_called("ben@example.org");
        Self { stand, ada, ben }
    }

    fn sign_in(&self, person: &Person) -> Browser<'_> {
        Browser::sign_in(&self.stand, &person.email, PASSWORD)
    }

    fn login(&self, email: &str, password: &str) -> u16 {
        self.stand.login(email, password, &phone_device_uuid(email, password)).status()
    }
}

/// What the list says of somebody.
fn user_of(admin: &Browser<'_>, email: &str) -> Value {
    let answer = admin.get(USERS);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let users = json_of(&answer)["users"].as_array().expect("users").clone();
    users.into_iter().find(|user| user["email"] == email).unwrap_or(Value::Null)
}

fn path_of(admin: &Browser<'_>, email: &str) -> String {
    let user = user_of(admin, email);
    format!("{USERS}/{}", user["id"].as_str().unwrap_or_else(|| panic!("no {email}")))
}

fn edit(admin: &Browser<'_>, email: &str, change: Value) -> Answer {
    admin.send_json("PATCH", &path_of(admin, email), &change)
}

/// Edits somebody, which must work.
fn set(admin: &Browser<'_>, email: &str, change: Value) -> Value {
    let answer = edit(admin, email, change);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    json_of(&answer)
}

/// What stands after `#` in a link that was handed out.
fn secret_of(link: &Value) -> Value {
    let path = link["path"].as_str().expect("a path");
    json!(path.split_once('#').expect("a secret").1)
}

fn accept(stand: &Stand, token: &Value, password: &str) -> (u16, String) {
    let mut browser = Browser::new(stand);
    let told = json!({ "token": token, "password": password });
    let answer = browser.send_json("PUT", "/api/v2/web/invitation", &told);
    let answer = browser.keep(answer);
    (answer.status(), browser.cookie)
}

#[test]
fn nobody_but_administrators_opens_the_pages_about_the_server() {
    let office = Office::new(&[]);
    let admin = office.sign_in(&office.ada);
    let id = user_of(&admin, &office.ada.email)["id"].as_str().expect("an id").to_owned();
    for role in ["creator", "member", "viewer"] {
        set(&admin, &office.ben.email, json!({ "role": role }));
        let ben = office.sign_in(&office.ben);
        for (method, path) in PAGES {
            let path = format!("/api/v2/admin{}", path.replace("{id}", &id));
            let refused =
                ben.send_json(method, &path, &json!({ "role": "admin", "kind": "password" }));
            assert_eq!(
                (refused.status(), code_of(&refused).as_str()),
                (403, "out_of_scope"),
                "{role} {method} {path}"
            );
            let text = refused.text();
            assert!(!text.contains("ada@") && !text.contains("psl_"), "{text}");
        }
    }
    // Nor does a token of the administrator's own phone.
    let phone = Native::sign_in(&office.stand, &office.ada);
    assert_eq!(phone.send(phone.request("GET", "/admin/users")).status(), 403);
    assert_eq!(office.stand.send(Request::new("GET", USERS)).status(), 401);
    assert_eq!(user_of(&admin, &office.ada.email)["role"], "admin");
    assert_eq!(user_of(&admin, &office.ben.email)["role"], "viewer", "as it was set last");
}

#[test]
fn an_invited_person_chooses_a_password_by_a_link_that_works_once() {
    let office = Office::new(&[]);
    let stand = &office.stand;
    let admin = office.sign_in(&office.ada);
    let new = json!({ "email": "Eve@Example.org", "name": " Eve ", "role": "member", "quota_bytes": 5_000 });
    let invited = admin.send_json("POST", USERS, &new);
    assert_eq!(invited.status(), 201, "{}", invited.text());
    assert_eq!(invited.header("cache-control"), Some("no-store"));
    let invited = json_of(&invited);
    let user = &invited["user"];
    assert_eq!((&user["email"], &user["name"]), (&json!("eve@example.org"), &json!("Eve")));
    assert_eq!((&user["state"], &user["quota_bytes"]), (&json!("pending"), &json!(5_000)));
    let token = secret_of(&invited["link"]);
    assert_eq!(office.login("eve@example.org", PASSWORD), 401, "there is no password to guess");
    let look = || {
        let browser = Browser::new(stand);
        browser.send_json("POST", "/api/v2/web/invitation", &json!({ "token": token }))
    };
    assert_eq!(
        json_of(&look()),
        json!({ "email": "eve@example.org", "name": "Eve", "is_first": true })
    );
    assert_eq!(accept(stand, &token, "short").0, 400);
    let mut link = Browser::new(stand);
    let told = json!({ "token": token });
    assert_eq!(
        link.enter("/api/v2/web/link", &told).status(),
        401,
        "it signs nobody in without one"
    );
    let (status, cookie) = accept(stand, &token, PASSWORD);
    assert!(status == 200 && cookie.starts_with("photosync=psw_"), "{status} {cookie}");
    assert_eq!((accept(stand, &token, NEW_PASSWORD).0, look().status()), (401, 401), "used up");
    assert_eq!(user_of(&admin, "eve@example.org")["state"], "active");
    assert_eq!(user_of(&admin, "eve@example.org")["role"], "member");
    stand.phone_of("eve@example.org").keep("a.jpg", b"hers");
    let again = admin.send_json("POST", USERS, &new);
    assert_eq!((again.status(), code_of(&again).as_str()), (409, "email_taken"));
    stand.require_agreement();
}

#[test]
fn a_new_link_ends_the_one_before_and_gives_a_forgotten_password_back() {
    let office = Office::new(&[]);
    let (stand, ben) = (&office.stand, &office.ben);
    let admin = office.sign_in(&office.ada);
    let link = |kind: &str| {
        let path = format!("{}/link", path_of(&admin, &ben.email));
        secret_of(&json_of(&admin.send_json("POST", &path, &json!({ "kind": kind }))))
    };
    let (first, second) = (link("password"), link("password"));
    let browser = office.sign_in(ben);
    assert_eq!(accept(stand, &first, NEW_PASSWORD).0, 401);
    assert_eq!(accept(stand, &second, NEW_PASSWORD).0, 200);
    assert_eq!(browser.get("/api/v2/me").status(), 401, "who was in is out");
    assert_eq!(ben.get("/api/files").status(), 403, "old devices too");
    assert_eq!(
        (office.login(&ben.email, PASSWORD), office.login(&ben.email, NEW_PASSWORD)),
        (401, 200)
    );
    let mut by_link = Browser::new(stand);
    let sign_in = json!({ "token": link("sign_in") });
    assert_eq!(by_link.enter("/api/v2/web/link", &sign_in).status(), 200);
    assert_eq!(by_link.enter("/api/v2/web/link", &sign_in).status(), 401);
    // One's own password is changed by whoever knows it.
    let own = format!("{}/link", path_of(&admin, &office.ada.email));
    assert_eq!(admin.send_json("POST", &own, &json!({ "kind": "password" })).status(), 409);
}

#[test]
fn the_last_administrator_is_neither_demoted_locked_nor_deleted() {
    let office = Office::new(&[]);
    let ada = office.sign_in(&office.ada);
    let email = office.ada.email.clone();
    let invited = json!({ "email": "eve@example.org", "role": "admin" });
    assert_eq!(ada.send_json("POST", USERS, &invited).status(), 201);
    // Eve has not chosen a password: she looks after nothing yet.
    for change in [
        json!({ "role": "member" }),
        json!({ "role": "viewer", "locked": true }),
        json!({ "locked": true }),
    ] {
        let refused = edit(&ada, &email, change.clone());
        assert_eq!((refused.status(), code_of(&refused).as_str()), (409, "conflict"), "{change}");
    }
    let refused = ada.send_json("DELETE", &path_of(&ada, &email), &json!({}));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    // Nor with an old phone, which deletes the account of whoever holds it.
    let refused = office.ada.send(office.ada.request("DELETE", "/api/account"));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let now = user_of(&ada, &email);
    assert_eq!((&now["role"], &now["state"]), (&json!("admin"), &json!("active")));
    set(&ada, &office.ben.email, json!({ "role": "admin" }));
    let ben = office.sign_in(&office.ben);
    assert_eq!(set(&ben, &email, json!({ "role": "creator" }))["role"], "creator");
    assert_eq!(ada.get(USERS).status(), 401, "the browsers of the old role are signed out");
    assert_eq!(edit(&ben, &office.ben.email, json!({ "role": "creator" })).status(), 409);
    let owner =
        std::fs::read_to_string(office.ada.folder.join(".photosync.json")).expect("an owner");
    assert!(
        owner.contains("\"creator\""),
        "a rebuilt index makes nobody an administrator again: {owner}"
    );
    let log = office.stand.log();
    assert!(log.contains("an administrator changed a role"), "{log}");
}

#[test]
fn of_two_administrators_who_demote_each_other_at_once_one_stays() {
    let office = Office::new(&[]);
    for round in 0..3 {
        for email in [&office.ada.email, &office.ben.email] {
            let given = office.stand.command(&["user", "role", email, "admin"], "");
            assert_eq!(given.code, 0, "{}", given.stderr);
        }
        let (ada, ben) = (office.sign_in(&office.ada), office.sign_in(&office.ben));
        let paths = [path_of(&ada, &office.ben.email), path_of(&ada, &office.ada.email)];
        let change = json!({ "role": "member" });
        let statuses: Vec<u16> = thread::scope(|scope| {
            let asked = [(&ada, &paths[0]), (&ben, &paths[1])].map(|(admin, path)| {
                scope.spawn(|| admin.send_json("PATCH", path, &change).status())
            });
            asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{round}: {statuses:?}"
        );
        let listed = office.stand.command(&["user", "list"], "").stdout;
        assert_eq!(listed.matches(" admin ").count(), 1, "{round}: {listed}");
    }
}

#[test]
fn a_locked_account_lets_nothing_in_and_keeps_everything() {
    let office = Office::new(&[]);
    let (stand, ben) = (&office.stand, &office.ben);
    ben.keep("a.jpg", b"a picture");
    let (admin, browser) = (office.sign_in(&office.ada), office.sign_in(ben));
    let phone = Native::sign_in(stand, ben);
    assert_eq!(set(&admin, &ben.email, json!({ "locked": true }))["state"], "locked");
    assert_eq!(browser.get("/api/v2/me").status(), 401);
    assert_eq!(phone.put("b.jpg", &[], b"late").status(), 401);
    assert_eq!(ben.put_raw("c.jpg", b"late").status(), 403);
    assert_eq!(office.login(&ben.email, PASSWORD), 403);
    assert_eq!(sync::sign_in(stand, &ben.email, PASSWORD, "x").status(), 403);
    let refresh = json!({ "refresh_token": phone.refresh });
    assert_eq!(stand.post_json("/api/v2/session/refresh", &refresh).status(), 401);
    let link = format!("{}/link", path_of(&admin, &ben.email));
    assert_eq!(admin.send_json("POST", &link, &json!({ "kind": "sign_in" })).status(), 409);
    assert_eq!(set(&admin, &ben.email, json!({ "locked": false }))["state"], "active");
    assert_eq!(browser.get("/api/v2/me").status(), 401, "what was ended stays ended");
    stand.phone_of(&ben.email).require_library(&[("a.jpg", b"a picture")]);
}

#[test]
fn a_password_that_was_set_and_signing_out_everywhere_end_every_session() {
    let office = Office::new(&[]);
    let (stand, ben) = (&office.stand, &office.ben);
    let admin = office.sign_in(&office.ada);
    let path = path_of(&admin, &ben.email);
    let (browser, phone) = (office.sign_in(ben), Native::sign_in(stand, ben));
    let ended = admin.send_json("POST", &format!("{path}/sign-out"), &json!({}));
    assert_eq!(json_of(&ended), json!({ "sessions": 3 }), "a browser, a phone and an old phone");
    let is_out = || {
        let statuses = (browser.get("/api/v2/me").status(), ben.get("/api/files").status());
        (statuses, phone.send(phone.request("GET", "/me")).status()) == ((401, 403), 401)
    };
    assert!(is_out());
    let again = office.sign_in(ben);
    let short =
        admin.send_json("POST", &format!("{path}/password"), &json!({ "password": "short" }));
    assert_eq!((short.status(), again.get("/api/v2/me").status()), (400, 200));
    let new = json!({ "password": NEW_PASSWORD });
    assert_eq!(admin.send_json("POST", &format!("{path}/password"), &new).status(), 200);
    assert_eq!(again.get("/api/v2/me").status(), 401);
    assert_eq!(
        (office.login(&ben.email, PASSWORD), office.login(&ben.email, NEW_PASSWORD)),
        (401, 200)
    );
    // Not one's own: that takes the old one.
    let own = format!("{}/password", path_of(&admin, &office.ada.email));
    assert_eq!(admin.send_json("POST", &own, &new).status(), 409);
    assert_eq!(office.login(&office.ada.email, PASSWORD), 200);
}

#[test]
fn a_deleted_account_is_brought_back_with_everything() {
    let office = Office::new(&[]);
    let (stand, ben) = (&office.stand, &office.ben);
    ben.keep("a.jpg", b"a picture");
    let admin = office.sign_in(&office.ada);
    let path = path_of(&admin, &ben.email);
    assert_eq!(admin.send_json("DELETE", &path, &json!({})).status(), 204);
    assert_eq!(office.login(&ben.email, PASSWORD), 401);
    let shown = user_of(&admin, &ben.email);
    assert!(shown["state"] == "deleted" && shown["erased_after_ms"].is_number(), "{shown}");
    for change in [json!({ "role": "admin" }), json!({ "locked": false })] {
        assert_eq!(admin.send_json("PATCH", &path, &change).status(), 404, "{change}");
    }
    let back = admin.send_json("POST", &format!("{path}/restore"), &json!({}));
    assert_eq!((back.status(), &json_of(&back)["state"]), (200, &json!("active")));
    stand.phone_of(&ben.email).require_library(&[("a.jpg", b"a picture")]);
    let nobody = format!("{USERS}/00000000-0000-0000-0000-000000000000");
    for path in [nobody.as_str(), "/api/v2/admin/users/ben"] {
        assert_eq!(admin.send_json("PATCH", path, &json!({})).status(), 404, "{path}");
    }
}
