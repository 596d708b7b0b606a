//! Accounts as old clients meet them: registering, signing in, limits, deleting; and what the operator can undo.

use std::time::{SystemTime, UNIX_EPOCH};

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::Answer;
use serde_json::json;

use crate::stand::{PASSWORD, Stand, account_uuid, text_of};

fn number(answer: &Answer, header: &str) -> i64 {
    let value = answer.header(header).unwrap_or_else(|| panic!("no {header}"));
    value.parse().expect("a number")
}

#[test]
fn registering_and_signing_in_answer_as_old_clients_read_it() {
    let stand = Stand::shared();
    let email = "Mixed.Case@Example.org";
    let uuid = phone_device_uuid(email, PASSWORD);
    let body = json!({"email": format!(" {email} "), "password": PASSWORD, "device_uuid": uuid,
                      "deviceUuid": uuid, "device_name": "phone", "plan_gb": 100});
    let answer = stand.post_json("/api/register", &body);
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let registered = answer.json().expect("JSON");
    assert!(registered["message"].is_string() && registered["token"].is_string());
    let user_id = registered["userId"].as_i64().expect("a number");
    assert!(user_id > 0 && user_id < 1 << 53, "a number JavaScript can hold");
    assert_eq!(stand.post_json("/api/register", &body).status(), 409, "the e-mail is taken");
    let answer = stand.login(&email.to_uppercase(), PASSWORD, &uuid);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json().expect("JSON")["userId"], user_id);
    for (email, password, device, status) in [
        (email, "wrong password", Some(uuid.as_str()), 401),
        ("nobody@example.org", PASSWORD, Some(&uuid), 401),
        ("not an e-mail", PASSWORD, Some(&uuid), 401),
        (email, PASSWORD, None, 400),
    ] {
        let body = json!({"email": email, "password": password, "device_uuid": device});
        let answer = stand.post_json("/api/login", &body);
        assert_eq!(answer.status(), status, "{email}: {}", answer.text());
    }
    let unknown = stand.login("nobody@example.org", PASSWORD, &uuid);
    let wrong = stand.login(email, "wrong password", &uuid);
    assert_eq!(text_of(&unknown, "error"), text_of(&wrong, "error"), "which of both is not said");
    for body in [json!({"email": "x@example.org"}), json!({"password": PASSWORD}), json!({})] {
        assert_eq!(stand.post_json("/api/register", &body).status(), 400);
    }
    let folder = stand.uploads().join(account_uuid("mixed.case@example.org", 1));
    assert!(folder.is_dir(), "the folder follows from the e-mail alone");
}

#[test]
fn a_device_may_register_without_a_uuid_and_gets_the_account_s() {
    let stand = Stand::shared();
    let body = json!({"email": "plain@example.org", "password": PASSWORD});
    let answer = stand.post_json("/api/register", &body);
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let uuid = account_uuid("plain@example.org", 1);
    let plain = stand.person();
    let person =
        crate::stand::Person { token: text_of(&answer, "token"), device_uuid: uuid, ..plain };
    assert!(person.names().is_empty());
}

#[test]
fn the_26th_sign_in_call_of_a_window_is_refused_and_every_answer_counts_down() {
    let stand = Stand::new(&[("PHOTOSYNC_AUTH_THROTTLE_MAX", "25")]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() as i64;
    for path in ["/api/login", "/api/register", "/api/reset-password-device"] {
        let mut reset = 0;
        for call in 1..=27 {
            let answer = stand.post_json(path, &json!({}));
            let status = if call <= 25 { 400 } else { 429 };
            assert_eq!(answer.status(), status, "{path} call {call}: {}", answer.text());
            assert_eq!(number(&answer, "x-ratelimit-limit"), 25);
            assert_eq!(number(&answer, "x-ratelimit-remaining"), (25 - call).max(0));
            let ends = number(&answer, "x-ratelimit-reset");
            assert!((now..=now + 960).contains(&ends), "{ends} is in this window, in seconds");
            assert!(reset == 0 || reset == ends, "the window does not move");
            reset = ends;
            if call > 25 {
                assert!((1..=901).contains(&number(&answer, "retry-after")));
                assert!(!text_of(&answer, "error").is_empty());
            }
        }
    }
    stand.require_health();
    let answer = stand.send(photosync_tests::http::Request::new("GET", "/api/files"));
    assert_eq!(answer.status(), 401, "no other route is limited");
    assert_eq!(answer.header("x-ratelimit-limit"), None);
}

#[test]
fn behind_a_proxy_a_new_account_needs_an_invitation_unless_the_mode_says_otherwise() {
    let stand = Stand::new(&[("PHOTOSYNC_REGISTRATION_MODE", "auto")]);
    let register = |email: &str, headers: &[(&str, &str)]| {
        let body = json!({"email": email, "password": PASSWORD}).to_string();
        stand.post_json_with("/api/register", headers, body.as_bytes())
    };
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let answer = register("guest@example.org", &[(header, "127.0.0.1")]);
        assert_eq!(answer.status(), 403, "{header}: {}", answer.text());
        assert_eq!(text_of(&answer, "code"), "registration_closed");
    }
    assert_eq!(register("neighbour@example.org", &[]).status(), 201);
    let invited = stand.command(&["user", "invite", "Guest@example.org"], "");
    assert_eq!(invited.code, 0, "{}", invited.stderr);
    let far = [("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(register("other@example.org", &far).status(), 403, "not the invited e-mail");
    assert_eq!(register("guest@example.org", &far).status(), 201);
    let folders = std::fs::read_dir(stand.uploads()).expect("the uploads").flatten();
    let folders = folders.filter(|entry| entry.path().is_dir()).count();
    assert_eq!(folders, 2, "a refused registration leaves no folder");
    assert_eq!(register("other@example.org", &[]).status(), 201, "and no account");
}

#[test]
fn closed_registration_refuses_even_the_invited_but_not_the_operator() {
    let stand = Stand::new(&[("PHOTOSYNC_REGISTRATION_MODE", "closed")]);
    let body = json!({"email": "a@example.org", "password": PASSWORD});
    assert_eq!(stand.command(&["user", "invite", "a@example.org"], "").code, 0);
    assert_eq!(stand.post_json("/api/register", &body).status(), 403);
    let added = stand.command(&["user", "add", "a@example.org"], &format!("{PASSWORD}\n"));
    assert_eq!(added.code, 0, "{}", added.stderr);
    let uuid = phone_device_uuid("a@example.org", PASSWORD);
    assert_eq!(stand.login("a@example.org", PASSWORD, &uuid).status(), 200);
}

#[test]
fn a_deleted_account_comes_back_whole_and_a_namesake_never_gets_its_photos() {
    let stand = Stand::shared();
    // The administrator: the last one cannot go while others are here.
    let _ = stand.person();
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    alice.put_manifest("m", "sealed");
    let answer = alice.send(alice.request("DELETE", "/api/account"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let json = answer.json().expect("JSON");
    assert!(json["success"] == true && json["message"].is_string());
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 401);

    let restored = stand.command(&["user", "restore", &alice.email], "");
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(alice.get("/api/files").status(), 403, "its old session stays ended");
    let login = stand.login(&alice.email, PASSWORD, &alice.device_uuid);
    let alice = alice.with_login(&login, &alice.device_uuid);
    alice.require_library(&[("a.jpg", b"photo")]);
    assert_eq!(text_of(&alice.get("/api/cloud/manifests/m"), "encryptedManifest"), "sealed");

    assert_eq!(alice.send(alice.request("DELETE", "/api/account")).status(), 200);
    let namesake = stand.person_called(&alice.email);
    assert!(namesake.names().is_empty());
    assert!(stand.uploads().join(account_uuid(&alice.email, 2)).is_dir(), "a folder of its own");
    assert_eq!(namesake.get("/api/cloud/manifests/m").status(), 404);
    let taken = stand.command(&["user", "restore", &alice.email], "");
    assert_ne!(taken.code, 0, "the e-mail has a live account: {}", taken.stdout);
    assert_eq!(alice.on_disk()["a.jpg"], b"photo");
    stand.require_agreement();
}

#[test]
fn a_disabled_account_is_shut_out_at_once_and_comes_back_with_everything() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    assert_eq!(stand.command(&["user", "disable", &alice.email], "").code, 0);
    assert_eq!(alice.get("/api/files").status(), 403);
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 403);
    assert_eq!(stand.login(&alice.email, "wrong password", &alice.device_uuid).status(), 401);
    assert_eq!(stand.command(&["user", "enable", &alice.email], "").code, 0);
    let login = stand.login(&alice.email, PASSWORD, &alice.device_uuid);
    alice.with_login(&login, &alice.device_uuid).require_library(&[("a.jpg", b"photo")]);
    let list = stand.command(&["user", "list"], "");
    assert!(list.stdout.contains(&alice.email), "{}", list.stdout);
}
