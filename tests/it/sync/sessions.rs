//! Signing in, refreshing, signing out, and which token opens what.

use photosync_tests::http::Request;
use serde_json::json;

use super::{Native, code_of, sign_in};
use crate::stand::{PASSWORD, Stand};

fn refresh(stand: &Stand, token: &str) -> photosync_tests::http::Answer {
    stand.post_json("/api/v2/session/refresh", &json!({"refresh_token": token}))
}

/// Whether this access token may add files. The request is refused for its missing name then, not for its token.
fn opens(phone: &Native) -> bool {
    let answer = phone.send(phone.request("PUT", "/library/assets"));
    match (answer.status(), code_of(&answer).as_str()) {
        (400, "bad_name") => true,
        (401, "unauthorised") => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_answer_to_a_refresh_does_not_sign_a_device_out() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let lost = refresh(&stand, &phone.refresh);
    assert_eq!(lost.status(), 200, "{}", lost.text());
    let again = refresh(&stand, &phone.refresh);
    assert_eq!(again.status(), 200, "{}", again.text());
    let next = Native::of(&stand, &again);
    assert_eq!(next.device_id, phone.device_id);
    assert!(opens(&next) && opens(&phone));
    // What nobody ever got is worth nothing.
    assert_eq!(refresh(&stand, &Native::of(&stand, &lost).refresh).status(), 401);
    assert_eq!(refresh(&stand, &next.refresh).status(), 200);
}

#[test]
fn signing_out_ends_both_tokens_at_once() {
    let stand = Stand::shared();
    let alice = stand.person();
    let (phone, other) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &alice));
    assert_eq!(phone.send(phone.request("DELETE", "/session")).status(), 204);
    assert!(!opens(&phone));
    assert_eq!(refresh(&stand, &phone.refresh).status(), 401);
    assert!(opens(&other), "another device stays signed in");
}

#[test]
fn a_new_password_signs_every_device_out() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    let changed = stand.command(&["user", "passwd", &alice.email], "another password\n");
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    assert!(!opens(&phone));
    assert_eq!(refresh(&stand, &phone.refresh).status(), 401);
    assert_eq!(sign_in(&stand, &alice.email, PASSWORD, "phone").status(), 401);
    assert_eq!(sign_in(&stand, &alice.email, "another password", "phone").status(), 200);
}

#[test]
fn a_device_that_signs_in_again_stays_the_same_device_and_nobody_elses() {
    let stand = Stand::shared();
    let (alice, bob) = (stand.person(), stand.person());
    let phone = Native::sign_in(&stand, &alice);
    let again = |email: &str| {
        let body = json!({"email": email, "password": PASSWORD, "device_name": "x", "device_id": phone.device_id});
        Native::of(&stand, &stand.post_json("/api/v2/session", &body)).device_id
    };
    assert_eq!(again(&alice.email), phone.device_id);
    assert_ne!(again(&bob.email), phone.device_id);
}

#[test]
fn an_old_clients_token_opens_the_native_wire_only_beside_its_device_uuid() {
    let stand = Stand::shared();
    let alice = stand.person();
    let with = alice.send(alice.request("PUT", "/api/v2/library/assets"));
    assert_eq!((with.status(), code_of(&with).as_str()), (400, "bad_name"));
    let bearer = format!("Bearer {}", alice.token);
    let without = Request::new("PUT", "/api/v2/library/assets").header("Authorization", bearer);
    assert_eq!(stand.send(without).status(), 401);
}

#[test]
fn a_native_token_opens_no_old_route() {
    let stand = Stand::shared();
    let alice = stand.person();
    let phone = Native::sign_in(&stand, &alice);
    for token in [&phone.access, &phone.refresh] {
        let request = Request::new("POST", "/api/files/purge")
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Device-UUID", &alice.device_uuid);
        assert_eq!(stand.send(request).status(), 403);
    }
}
