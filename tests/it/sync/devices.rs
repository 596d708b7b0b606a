//! What anybody may know of a server, the list of devices, and what ending one ends.

use photosync_tests::http::{Answer, Request};
use serde_json::Value;

use super::{Native, code_of, json_of};
use crate::stand::{PASSWORD, Stand, text_of};

fn get(phone: &Native, path: &str) -> Answer {
    phone.send(phone.request("GET", path))
}

fn listed(phone: &Native) -> Vec<Value> {
    let answer = get(phone, "/devices");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    json_of(&answer)["devices"].as_array().expect("devices").clone()
}

fn ids(devices: &[Value]) -> Vec<&str> {
    devices.iter().map(|device| device["id"].as_str().expect("an id")).collect()
}

/// The upload-only token of a device, as a sign-in of its own.
fn upload_token(phone: &Native) -> Native {
    let path = format!("/devices/{}/upload-token", phone.device_id);
    let answer = phone.send(phone.request("POST", &path));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Native { access: text_of(&answer, "upload_token"), ..phone.clone() }
}

#[test]
fn a_server_says_who_it_is_without_signing_in_and_stays_the_same_after_a_restart() {
    let stand = Stand::new(&[
        ("PHOTOSYNC_SERVER_NAME", "Attic"),
        ("PHOTOSYNC_REGISTRATION_MODE", "invite"),
    ]);
    let describe = || json_of(&stand.send(Request::new("GET", "/api/v2/server")));
    let before = describe();
    assert_eq!(
        (before["name"].as_str(), before["registration"].as_str()),
        (Some("Attic"), Some("invited"))
    );
    assert_eq!(before["server_id"].as_str().map(str::len), Some(32), "{before}");
    assert_eq!(before["fingerprint"].as_str().map(str::len), Some(52), "{before}");
    assert_eq!(before["limits"]["max_digests"].as_i64(), Some(100_000), "{before}");
    stand.stop();
    stand.start();
    let after = describe();
    for key in ["server_id", "fingerprint", "name", "version"] {
        assert_eq!(before[key], after[key], "{key}");
    }
}

#[test]
fn a_server_claims_exactly_the_features_whose_routes_it_has() {
    let stand = Stand::shared();
    let described = json_of(&stand.send(Request::new("GET", "/api/v2/server")));
    let claimed: Vec<&str> = described["features"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let routes = [
        ("pairing", "POST", "/api/v2/pairing"),
        ("tus", "POST", "/api/v2/tus"),
        ("sync", "POST", "/api/v2/library/sync"),
        ("receipts", "POST", "/api/v2/library/receipts"),
        ("relay", "GET", "/api/cloud/usage"),
        ("library", "GET", "/api/v2/library/timeline"),
    ];
    for (feature, method, path) in routes {
        let exists = stand.send(Request::new(method, path)).status() != 404;
        assert_eq!(claimed.contains(&feature), exists, "{feature}: {claimed:?}");
    }
    assert!(claimed.iter().all(|claim| routes.iter().any(|(feature, ..)| feature == claim)));
}

#[test]
fn the_list_shows_the_own_devices_last_seen_first_and_which_one_asks() {
    let stand = Stand::shared();
    let (alice, bob) = (stand.person(), stand.person());
    let (phone, tablet) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &alice));
    Native::sign_in(&stand, &bob);
    let devices = listed(&phone);
    let mut expected = vec![phone.device_id.as_str(), tablet.device_id.as_str()];
    let mut found = ids(&devices);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for device in &devices {
        assert_eq!(device["this"].as_bool(), Some(device["id"] == phone.device_id.as_str()));
        assert_eq!(device["name"].as_str(), Some("Test phone"));
        assert_eq!(device["overdue"].as_bool(), Some(false));
        assert_eq!(device["has_upload_token"].as_bool(), Some(false));
        assert!(device.get("inventory_at_ms").is_none(), "{device}");
    }
}

#[test]
fn a_revoked_device_is_out_everywhere_and_the_others_stay() {
    let stand = Stand::shared();
    let alice = stand.person();
    let (phone, lost) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &alice));
    let lost_uploads = upload_token(&lost);
    assert_eq!(lost_uploads.put("a.jpg", &[], b"before").status(), 201);
    let path = format!("/devices/{}", lost.device_id);
    assert_eq!(phone.send(phone.request("DELETE", &path)).status(), 204);

    assert_eq!(code_of(&get(&lost, "/devices")), "unauthorised");
    assert_eq!(code_of(&lost_uploads.put("b.jpg", &[], b"after")), "unauthorised");
    let body = serde_json::json!({"refresh_token": lost.refresh});
    assert_eq!(stand.post_json("/api/v2/session/refresh", &body).status(), 401);
    assert_eq!(ids(&listed(&phone)), [phone.device_id.as_str()]);
    alice.require_library(&[("a.jpg", b"before")]);
    assert_eq!(phone.send(phone.request("DELETE", &path)).status(), 204, "twice is once");
}

#[test]
fn nobody_reaches_another_accounts_device() {
    let stand = Stand::shared();
    let (alice, mallory) = (stand.person(), stand.person());
    let (phone, thief) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &mallory));
    let uploads = upload_token(&phone);
    let device = format!("/devices/{}", phone.device_id);
    let token = format!("{device}/upload-token");
    for (method, path) in [("DELETE", &device), ("POST", &token), ("DELETE", &token)] {
        let answer = thief.send(thief.request(method, path));
        assert_eq!(
            (answer.status(), code_of(&answer).as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    assert_eq!(listed(&phone)[0]["has_upload_token"].as_bool(), Some(true));
    assert_eq!(uploads.put("a.jpg", &[], b"still").status(), 201);
    assert!(ids(&listed(&thief)).iter().all(|id| *id != phone.device_id));
}

#[test]
fn an_upload_only_token_adds_files_and_opens_nothing_about_devices() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let uploads = upload_token(&phone);
    assert!(uploads.access.starts_with("psu_") && uploads.access.len() == 47, "43 characters");
    assert_eq!(uploads.put("a.jpg", &[], b"photo").status(), 201);
    assert_eq!(get(&uploads, "/endpoints").status(), 200, "it may know where to bring files");
    let device = format!("/devices/{}", phone.device_id);
    let token = format!("{device}/upload-token");
    let closed = [
        ("GET", "/devices"),
        ("DELETE", &device),
        ("POST", &token),
        ("DELETE", &token),
        ("POST", "/pairing"),
        ("DELETE", "/session"),
    ];
    for (method, path) in closed {
        let answer = uploads.send(uploads.request(method, path));
        assert_eq!(
            (answer.status(), code_of(&answer).as_str()),
            (403, "out_of_scope"),
            "{method} {path}"
        );
    }
    assert!(listed(&phone)[0]["has_upload_token"].as_bool() == Some(true), "all is as it was");
}

#[test]
fn a_new_upload_token_ends_the_one_before_and_revoking_ends_the_last() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let (first, second) = (upload_token(&phone), upload_token(&phone));
    assert_eq!(first.put("a.jpg", &[], b"a").status(), 401);
    assert_eq!(second.put("b.jpg", &[], b"b").status(), 201);
    let path = format!("/devices/{}/upload-token", phone.device_id);
    assert_eq!(phone.send(phone.request("DELETE", &path)).status(), 204);
    assert_eq!(second.put("c.jpg", &[], b"c").status(), 401);
    assert_eq!(listed(&phone)[0]["has_upload_token"].as_bool(), Some(false));
    assert_eq!(phone.send(phone.request("DELETE", &path)).status(), 204, "twice is once");
}

#[test]
fn a_device_that_comes_back_with_its_id_stays_the_same_device_of_its_own_account_only() {
    let stand = Stand::shared();
    let (alice, bob) = (stand.person(), stand.person());
    let phone = Native::sign_in(&stand, &alice);
    let again = |email: &str| {
        let body = serde_json::json!({"email": email, "password": PASSWORD, "device_name": "Renamed",
                                      "device_id": phone.device_id});
        Native::of(&stand, &stand.post_json("/api/v2/session", &body))
    };
    let back = again(&alice.email);
    assert_eq!(back.device_id, phone.device_id);
    assert_eq!(listed(&back)[0]["name"].as_str(), Some("Renamed"));
    assert_ne!(again(&bob.email).device_id, phone.device_id);
    assert_eq!(ids(&listed(&phone)), [phone.device_id.as_str()]);
}
