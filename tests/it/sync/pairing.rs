//! Adding a device by a code or a picture: it works once, for a short while, and guessing ends it.
//!
//! Every test has a server of its own: a wrong code counts against all offers of a server.

use std::thread;

use photosync_tests::http::Answer;
use serde_json::{Value, json};

use super::{Native, code_of, json_of};
use crate::stand::{Stand, text_of};

fn offer(phone: &Native) -> Value {
    let answer = phone.send(phone.request("POST", "/pairing"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    json_of(&answer)
}

fn code(offer: &Value) -> &str {
    offer["code"].as_str().expect("a code")
}

fn payload(offer: &Value) -> Value {
    serde_json::from_str(offer["qr"].as_str().expect("a text")).expect("JSON")
}

fn claim(stand: &Stand, key: &str, value: &str) -> Answer {
    stand.post_json("/api/v2/pairing/claim", &json!({key: value, "device_name": "New phone"}))
}

fn device_count(phone: &Native) -> usize {
    let answer = phone.send(phone.request("GET", "/devices"));
    json_of(&answer)["devices"].as_array().map_or(0, Vec::len)
}

/// A code that is not this one.
fn other_than(code: &str) -> String {
    let first = if code.starts_with('A') { 'B' } else { 'A' };
    format!("{first}{}", &code[1..])
}

#[test]
fn a_carelessly_typed_code_adds_a_device_once() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let offer = offer(&phone);
    let (code, token) = (code(&offer).to_owned(), text_of_value(&payload(&offer), "token"));
    let typed = format!(" {}-{} ", code[..4].to_lowercase(), &code[4..]);
    let joined = claim(&stand, "code", &typed);
    assert_eq!(joined.status(), 200, "{}", joined.text());
    let new = Native::of(&stand, &joined);
    assert_eq!(text_of(&joined, "email"), alice.email);
    assert_eq!(new.put("a.jpg", &[], b"from the new phone").status(), 201);
    alice.require_library(&[("a.jpg", b"from the new phone")]);
    assert_eq!(device_count(&phone), 2);
    for (key, value) in [("code", code.as_str()), ("token", token.as_str())] {
        let again = claim(&stand, key, value);
        assert_eq!((again.status(), code_of(&again).as_str()), (401, "unauthorised"), "{key}");
    }
    assert_eq!(device_count(&phone), 2);
}

fn text_of_value(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}")).to_owned()
}

#[test]
fn the_picture_says_what_old_and_new_clients_need_and_its_secret_opens() {
    let stand = Stand::new(&[
        ("PHOTOSYNC_SERVER_NAME", "Attic"),
        ("PHOTOSYNC_SERVER_PUBLIC_URL", "https://photos.example.org/"),
    ]);
    let phone = Native::sign_in(&stand, &stand.person());
    let offer = offer(&phone);
    let payload = payload(&offer);
    let address = stand.address();
    assert_eq!(payload["type"].as_str(), Some("photolynk-local"));
    assert_eq!(payload["ip"].as_str(), Some("127.0.0.1"));
    assert_eq!(payload["port"].as_u64(), Some(u64::from(address.port())));
    assert_eq!(payload["name"].as_str(), Some("Attic"));
    assert_eq!(payload["version"].as_u64(), Some(2));
    assert_eq!(
        payload["urls"],
        json!([format!("https://{address}"), "https://photos.example.org"])
    );
    let described = stand.send(photosync_tests::http::Request::new("GET", "/api/v2/server"));
    assert_eq!(payload["fingerprint"].as_str(), Some(text_of(&described, "fingerprint").as_str()));
    assert!(offer["expires_in_s"].as_i64().is_some_and(|s| s == 300), "{offer}");
    let token = text_of_value(&payload, "token");
    assert!(token.starts_with("psp_") && token.len() == 47, "{token}");
    assert_eq!(claim(&stand, "token", &token).status(), 200);
}

#[test]
fn of_many_claims_at_once_exactly_one_wins() {
    let stand = Stand::new(&[]);
    let phone = Native::sign_in(&stand, &stand.person());
    let offer = offer(&phone);
    let token = text_of_value(&payload(&offer), "token");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let claims: Vec<_> = (0..8)
            .map(|number| {
                let (stand, offer, token) = (&stand, &offer, &token);
                scope.spawn(move || {
                    let (key, value) = if number % 2 == 0 {
                        ("code", code(offer))
                    } else {
                        ("token", token.as_str())
                    };
                    claim(stand, key, value).status()
                })
            })
            .collect();
        claims.into_iter().map(|claim| claim.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    assert_eq!(device_count(&phone), 2, "the one that asked, and the one that won");
}

#[test]
fn five_wrong_codes_end_every_offer_and_four_do_not() {
    let stand = Stand::new(&[]);
    let phone = Native::sign_in(&stand, &stand.person());
    let other = Native::sign_in(&stand, &stand.person());
    let (first, second) = (offer(&phone), offer(&other));
    let wrong = other_than(code(&first));
    let guess = || {
        let answer = claim(&stand, "code", &wrong);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (401, "unauthorised"));
        let mut body = json_of(&answer);
        body["request_id"].take();
        body
    };
    let answers: Vec<Value> = (0..4).map(|_| guess()).collect();
    // Neither what can be no code nor a wrong secret is a guess.
    assert_eq!(claim(&stand, "code", "hello").status(), 401);
    assert_eq!(claim(&stand, "token", "psp_x").status(), 401);
    assert_eq!(claim(&stand, "code", code(&first)).status(), 200, "four wrong ones are forgiven");
    let last = guess();
    assert!(answers.iter().all(|answer| *answer == last), "one answer for every failure");
    let dead = claim(&stand, "code", code(&second));
    let mut body = json_of(&dead);
    body["request_id"].take();
    assert_eq!((dead.status(), body), (401, last), "also for the right code of a dead offer");
    assert_eq!(claim(&stand, "token", &text_of_value(&payload(&second), "token")).status(), 401);
    assert_eq!((device_count(&phone), device_count(&other)), (2, 1));
    assert_eq!(claim(&stand, "code", code(&offer(&other))).status(), 200, "a new offer works");
}

#[test]
fn guessing_from_one_address_is_stopped_before_it_can_get_anywhere() {
    let stand = Stand::new(&[("PHOTOSYNC_AUTH_THROTTLE_MAX", "3")]);
    for _ in 0..3 {
        assert_eq!(claim(&stand, "code", "ABCD-EFGH").status(), 401);
    }
    let refused = claim(&stand, "code", "ABCD-EFGH");
    assert_eq!((refused.status(), code_of(&refused).as_str()), (429, "too_many_requests"));
    let seconds = refused.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=900).contains(&seconds)), "{seconds:?}");
}

#[test]
fn offers_die_with_the_access_of_their_account() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let pair = || {
        let offered = stand.command(&["pair", &alice.email], "");
        assert_eq!(offered.code, 0, "{}", offered.stderr);
        typed_code(&offered.stdout)
    };
    let run = |words: &[&str], stdin: &str| {
        let outcome = stand.command(words, stdin);
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.stderr);
    };
    let refuse = |code: &str, after: &str| {
        assert_eq!(claim(&stand, "code", code).status(), 401, "after {after}");
    };
    let code = pair();
    run(&["user", "passwd", &alice.email], "another password\n");
    refuse(&code, "passwd");
    let code = pair();
    run(&["user", "disable", &alice.email], "");
    refuse(&code, "disable");
    assert_eq!(stand.command(&["pair", &alice.email], "").code, 1, "no offer while disabled");
    run(&["user", "enable", &alice.email], "");
    refuse(&code, "enable: it does not come back");
    let code = pair();
    run(&["user", "remove", &alice.email], "");
    run(&["user", "restore", &alice.email], "");
    refuse(&code, "remove and restore");
    assert_eq!(claim(&stand, "code", &pair()).status(), 200);
}

#[test]
fn revoking_a_device_ends_the_offers_it_may_have_made() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let (phone, stolen) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &alice));
    let offer = offer(&stolen);
    let path = format!("/devices/{}", stolen.device_id);
    assert_eq!(phone.send(phone.request("DELETE", &path)).status(), 204);
    assert_eq!(claim(&stand, "code", code(&offer)).status(), 401);
    assert_eq!(device_count(&phone), 1);
}

/// The code in what `pair` prints.
fn typed_code(printed: &str) -> String {
    let is_code = |word: &&str| word.len() == 9 && word.as_bytes()[4] == b'-';
    printed.split_whitespace().find(is_code).expect("a code").to_owned()
}

#[test]
fn the_terminal_shows_a_picture_a_code_and_for_how_long() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let shown = stand.command(&["pair", &alice.email], "");
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.lines().filter(|line| line.contains('\u{2580}')).count() > 20,
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("5 minutes"), "{}", shown.stdout);
    assert!(shown.stdout.contains(&format!("https://{}", stand.address())), "{}", shown.stdout);
    assert_eq!(claim(&stand, "code", &typed_code(&shown.stdout)).status(), 200);
    let nobody = stand.command(&["pair", "nobody@example.org"], "");
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("there is no account nobody@example.org"), "{}", nobody.stderr);
    stand.stop();
    let alone = stand.command(&["pair", &alice.email], "");
    assert_eq!(alone.code, 1);
    assert!(alone.stderr.contains("no server is running"), "{}", alone.stderr);
}

#[test]
fn a_claim_needs_exactly_one_key_and_json() {
    let stand = Stand::shared();
    for body in [
        json!({"device_name": "x"}),
        json!({"device_name": "x", "code": "ABCDEFGH", "token": "psp_x"}),
        json!({"code": "ABCDEFGH"}),
    ] {
        let answer = stand.post_json("/api/v2/pairing/claim", &body);
        assert_eq!((answer.status(), code_of(&answer).as_str()), (400, "bad_request"), "{body}");
    }
    // What a web page can send without asking first is never a claim.
    let typed = [("Content-Type", "text/plain")];
    let request = photosync_tests::http::Request::new("POST", "/api/v2/pairing/claim")
        .header(typed[0].0, typed[0].1)
        .body(photosync_tests::http::Body::Bytes(b"{\"code\":\"ABCDEFGH\",\"device_name\":\"x\"}"));
    assert_eq!(stand.send(request).status(), 400);
}

#[test]
fn a_known_device_that_pairs_again_stays_the_same_device() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let offer = offer(&phone);
    let body = json!({"code": code(&offer), "device_name": "Same", "device_id": phone.device_id});
    let joined = stand.post_json("/api/v2/pairing/claim", &body);
    assert_eq!(joined.status(), 200, "{}", joined.text());
    assert_eq!(Native::of(&stand, &joined).device_id, phone.device_id);
    assert_eq!(device_count(&phone), 1);
}
