//! The relay as old clients use it: chunks, manifests, device state, usage, plans.

use std::collections::BTreeSet;
use std::thread;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::{Body, Client};
use photosync_tests::phone::Phone;
use photosync_tests::relay::{
    ANDROID_CHUNK_BYTES, DESKTOP_CHUNK_BYTES, Relay, chunk_id, opaque_bytes,
};
use serde_json::{Value, json};

use crate::stand::{FORM_TYPE, PASSWORD, Person, Stand, form, text_of};

#[test]
fn a_phone_and_a_desktop_get_back_what_they_sealed() {
    let stand = Stand::shared();
    let mut phone = Phone::new(stand.address(), "relay@example.org", PASSWORD);
    phone.register(Some(100)).expect("an account");
    phone.login().expect("a session");
    let mut relay = Relay::of_phone(stand.address(), &phone).expect("the relay");
    let usage = relay.usage().expect("the usage");
    assert!(Relay::desktop_would_begin(&usage, 1_000_000), "{usage}");
    relay.back_up("asset 1", &[ANDROID_CHUNK_BYTES, 70_000]).expect("a backup");
    relay.back_up("asset 2", &[DESKTOP_CHUNK_BYTES, DESKTOP_CHUNK_BYTES, 17]).expect("a backup");
    let sent = ANDROID_CHUNK_BYTES + 2 * DESKTOP_CHUNK_BYTES + 70_017;
    assert_eq!(relay.restore().expect("a restore"), sent as u64);
    relay.back_up("asset 2", &[DESKTOP_CHUNK_BYTES, DESKTOP_CHUNK_BYTES, 17]).expect("again");
    assert_eq!(relay.list_manifests().expect("a list").len(), 2);
    assert_eq!(relay.usage().expect("the usage")["usedBytes"], sent as u64);
}

#[test]
fn chunks_are_kept_once_under_their_hash_and_under_nothing_else() {
    let stand = Stand::shared();
    let alice = stand.person();
    let sealed = opaque_bytes(40, 10_000);
    let id = chunk_id(&sealed);
    for claimed in [id.clone(), id.to_uppercase(), id.clone()] {
        let answer = alice.put_chunk(&claimed, &sealed);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json().expect("JSON"), json!({"chunkId": id, "stored": true}));
    }
    for spelt in [id.clone(), id.to_uppercase()] {
        let answer = alice.get(&format!("/api/cloud/chunks/{spelt}"));
        assert!(answer.status() == 200 && answer.body == sealed);
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    }
    let path = format!("/api/cloud/chunks/{id}");
    assert_eq!(alice.get_with(&path, &[("Range", "bytes=5-9")]).body, sealed[5..10]);
    assert_eq!(alice.send(alice.request("HEAD", &path)).header("content-length"), Some("10000"));
    let wrong = opaque_bytes(41, 10_000);
    for (claimed, body) in [
        (id.as_str(), &wrong[..]),
        (&chunk_id(b""), b""),
        ("", &wrong),
        ("../../x", &wrong),
        (&id[1..], &wrong),
    ] {
        assert_eq!(alice.put_chunk(claimed, body).status(), 400, "{claimed:?}");
    }
    for bad in ["x", &id[1..], "..%2f..%2fx"] {
        assert_eq!(alice.get(&format!("/api/cloud/chunks/{bad}")).status(), 400, "{bad}");
    }
    assert_eq!(alice.get(&format!("/api/cloud/chunks/{}", chunk_id(&wrong))).status(), 404);
    let bob = stand.person();
    assert_eq!(bob.get(&path).status(), 404, "another account's chunk");
    assert_eq!(alice.get("/api/cloud/usage").json().expect("JSON")["usedBytes"], 10_000);
}

#[test]
fn a_chunk_form_needs_no_id_and_a_body_that_is_neither_form_is_refused() {
    let stand = Stand::shared();
    let alice = stand.person();
    let send = |kind: &str, id: Option<&str>, body: &[u8]| {
        let mut request = alice.request("POST", "/api/cloud/chunks").header("Content-Type", kind);
        if let Some(id) = id {
            request = request.header("X-Chunk-Id", id);
        }
        alice.send(request.body(Body::Bytes(body)))
    };
    let sealed = opaque_bytes(42, 5000);
    for id in [None, Some("malformed")] {
        let answer = send(FORM_TYPE, id, &form("chunk", b"x.bin", &sealed));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let stored = alice.get(&format!("/api/cloud/chunks/{}", text_of(&answer, "chunkId")));
        assert!(stored.body == sealed);
    }
    let id = chunk_id(&sealed);
    assert_eq!(send("application/octet-stream; x=y", Some(&id), &sealed).status(), 200);
    for kind in ["application/json", "text/plain", "image/jpeg"] {
        assert_eq!(send(kind, Some(&id), &sealed).status(), 400, "{kind}");
    }
    let answer = send(FORM_TYPE, Some(&id), &form("file", b"x.bin", &sealed));
    assert_eq!(answer.status(), 400, "a part of another name: {}", answer.text());
}

#[test]
fn a_chunk_above_the_limit_is_refused_with_413_and_leaves_nothing() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_CHUNK_BYTES", "100000")]);
    let alice = stand.person();
    let large = opaque_bytes(43, 400_000);
    let id = chunk_id(&large);
    assert_eq!(alice.put_chunk(&id, &large).status(), 413);
    let mut reader = large.as_slice();
    let request = alice
        .request("POST", "/api/cloud/chunks")
        .header("Content-Type", "application/octet-stream")
        .header("X-Chunk-Id", &id)
        .body(Body::Chunked { reader: &mut reader });
    assert_eq!(alice.send(request).status(), 413, "although its length was not announced");
    let fits = &large[..100_000];
    assert_eq!(alice.put_chunk(&chunk_id(fits), fits).status(), 200);
    assert_eq!(alice.get("/api/cloud/usage").json().expect("JSON")["usedBytes"], 100_000);
}

#[test]
fn the_first_writer_of_a_manifest_wins_and_ids_are_cleaned() {
    let stand = Stand::shared();
    let alice = stand.person();
    let first = alice.put_manifest("one", "the first text").json().expect("JSON");
    assert_eq!(first, json!({"ok": true, "manifestId": "one"}));
    let second = alice.put_manifest("one", "a later text").json().expect("JSON");
    let expected =
        json!({"ok": true, "manifestId": "one", "skipped": true, "reason": "manifestId"});
    assert_eq!(second, expected);
    let kept = alice.get("/api/cloud/manifests/one");
    assert_eq!(text_of(&kept, "encryptedManifest"), "the first text");
    assert!(text_of(&kept, "createdAt").ends_with('Z'));
    for (name, value) in [("cache-control", "no-store"), ("pragma", "no-cache"), ("expires", "0")] {
        assert_eq!(kept.header(name), Some(value));
        assert_eq!(alice.get("/api/cloud/manifests").header(name), Some(value));
    }
    assert_eq!(text_of(&alice.put_manifest("../a b/é_-9", "x"), "manifestId"), "ab_-9");
    let long = text_of(&alice.put_manifest(&"x".repeat(200), "x"), "manifestId");
    assert_eq!(long.len(), 128);
    for refused in [
        json!({"manifestId": "é/..", "encryptedManifest": "x"}),
        json!({"manifestId": "a"}),
        json!({"encryptedManifest": "x"}),
        json!({"manifestId": "a", "encryptedManifest": ""}),
        json!({"manifestId": "a", "encryptedManifest": "x", "chunkCount": 0}),
        json!({"manifestId": "a", "encryptedManifest": "x", "chunkCount": -1}),
    ] {
        let answer = alice.json("POST", "/api/cloud/manifests", &refused);
        assert_eq!(answer.status(), 400, "{refused}: {}", answer.text());
    }
    assert_eq!(alice.get("/api/cloud/manifests/absent").status(), 404);
    assert_eq!(stand.person().get("/api/cloud/manifests/one").status(), 404);
    assert_eq!(alice.get("/api/cloud/manifests").json().expect("JSON")["total"], 3);
}

#[test]
fn of_eight_writers_at_once_one_wins_and_manifest_pages_are_the_whole_list() {
    let stand = Stand::shared();
    let alice = stand.person();
    let winners: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let alice = &alice;
                scope.spawn(move || {
                    let answer = alice.put_manifest("contested", &format!("text {number}"));
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    usize::from(answer.json().expect("JSON").get("skipped").is_none())
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).sum()
    });
    assert_eq!(winners, 1);
    thread::scope(|scope| {
        for part in 0..8 {
            let alice = &alice;
            scope.spawn(move || {
                let mut client = Client::new(alice.address);
                for number in (part..520).step_by(8) {
                    let body =
                        json!({"manifestId": format!("m{number}"), "encryptedManifest": "x"});
                    let body = body.to_string();
                    let request = alice
                        .request("POST", "/api/cloud/manifests")
                        .header("Content-Type", "application/json")
                        .body(Body::Bytes(body.as_bytes()));
                    assert_eq!(client.send(request).expect("an answer").status(), 200);
                }
            });
        }
    });
    let mut relay = Relay::with_headers(alice.address, alice.headers());
    let whole = relay.list_manifests().expect("the list");
    assert_eq!(whole, relay.list_manifests_paged().expect("the pages"));
    assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 521);
}

#[test]
fn a_device_state_is_kept_per_device_in_both_forms() {
    let stand = Stand::shared();
    let alice = stand.person();
    let state = |person: &Person| {
        let answer = person.get("/api/cloud/device-state");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json().expect("JSON")
    };
    assert_eq!(state(&alice), json!({"state": null, "updatedAt": null}));
    let put = |body: &Value| alice.json("PUT", "/api/cloud/device-state", body);
    for (body, kept) in [
        (json!({"state": {"a": [1, "x"]}}), json!({"a": [1, "x"]})),
        (json!({"b": null, "c": 1.5}), json!({"b": null, "c": 1.5})),
    ] {
        let answer = put(&body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(answer.json().expect("JSON")["updatedAt"].as_i64() > Some(1_600_000_000_000));
        assert_eq!(state(&alice)["state"], kept);
    }
    for (body, status) in [
        (json!([1]), 400),
        (json!("x"), 400),
        (json!({"state": "x"}), 400),
        (json!({"state": {"x": "y".repeat(102_400)}}), 413),
    ] {
        assert_eq!(put(&body).status(), status);
    }
    assert_eq!(state(&alice)["state"], json!({"b": null, "c": 1.5}));
    let second = "52d1dc23-98ab-4a4f-9e6e-0f3dbb17f0a1";
    let tablet = alice.with_login(&stand.login(&alice.email, PASSWORD, second), second);
    assert_eq!(state(&tablet)["state"], Value::Null, "another device of the same account");
}

#[test]
fn without_plans_everybody_is_active_with_room_left() {
    let stand = Stand::shared();
    let alice = stand.person();
    let usage = alice.get("/api/cloud/usage").json().expect("JSON");
    assert_eq!(usage["subscription"]["status"], "active");
    assert_eq!(usage["subscription"]["allowed"], true);
    for number in ["planGb", "quotaBytes", "remainingBytes", "marginBytes", "serverFreeBytes"] {
        assert!(usage[number].as_i64() > Some(0), "{number} in {usage}");
    }
    assert_eq!(usage["usedBytes"], 0);
    let status = alice.get("/api/subscription/status").json().expect("JSON");
    for key in ["allowed", "status", "expiresAt", "graceUntil", "planGb"] {
        assert!(status.get(key).is_some(), "{key} in {status}");
    }
}

/// Registers with a plan, or without one.
fn with_plan(stand: &Stand, name: &str, plan_gb: Value) -> Person {
    let email = format!("{name}@example.org");
    let uuid = phone_device_uuid(&email, PASSWORD);
    let body =
        json!({"email": email, "password": PASSWORD, "device_uuid": uuid, "plan_gb": plan_gb});
    let answer = stand.post_json("/api/register", &body);
    assert_eq!(answer.status(), 201, "{}", answer.text());
    Person {
        address: stand.address(),
        folder: stand.uploads().join(crate::stand::account_uuid(&email, 1)),
        token: text_of(&answer, "token"),
        device_uuid: uuid,
        email,
    }
}

fn plan_of(person: &Person) -> String {
    text_of(&person.get("/api/subscription/status"), "status")
}

#[test]
fn with_trial_days_the_gate_is_in_force_for_the_relay_and_only_there() {
    let stand = Stand::new(&[("TRIAL_DAYS", "7")]);
    let sealed = opaque_bytes(44, 1000);
    let id = chunk_id(&sealed);
    let on_trial = with_plan(&stand, "trial", json!(200));
    assert_eq!(plan_of(&on_trial), "trial");
    assert_eq!(on_trial.put_chunk(&id, &sealed).status(), 200);
    assert_eq!(on_trial.put_manifest("m", "x").status(), 200);
    let usage = on_trial.get("/api/cloud/usage").json().expect("JSON");
    assert_eq!(
        (&usage["planGb"], &usage["remainingBytes"]),
        (&json!(200), &json!(199_999_999_000_i64))
    );
    for (name, plan_gb) in [("none", json!(null)), ("odd", json!(5))] {
        let without = with_plan(&stand, name, plan_gb);
        assert_eq!(plan_of(&without), "none");
        for answer in [without.put_chunk(&id, &sealed), without.put_manifest("m", "x")] {
            assert_eq!(answer.status(), 402, "{}", answer.text());
            assert_eq!(text_of(&answer, "code"), "SUBSCRIPTION_REQUIRED");
        }
        assert_eq!(without.get("/api/cloud/manifests").status(), 200, "reading works");
        assert_eq!(without.get(&format!("/api/cloud/chunks/{id}")).status(), 404);
        without.keep("a.jpg", b"originals have no plan");
    }
}

#[test]
fn the_webhook_needs_its_secret_and_moves_a_plan_through_its_states() {
    let stand = Stand::new(&[("REVENUECAT_WEBHOOK_SECRET", "hook secret"), ("TRIAL_DAYS", "0")]);
    let alice = with_plan(&stand, "alice", json!(100));
    assert_eq!(plan_of(&alice), "none");
    let hook = |authorization: Option<&str>, body: &Value| {
        let headers: Vec<(&str, &str)> =
            authorization.map(|value| ("Authorization", value)).into_iter().collect();
        let body = body.to_string();
        stand.post_json_with("/api/revenuecat/webhook", &headers, body.as_bytes()).status()
    };
    let right = Some("Bearer hook secret");
    let future = 4_000_000_000_000_i64;
    let event = json!({"app_user_id": alice.device_uuid, "expiration_at_ms": future,
                       "product_id": "com.example.stealthcloud.1tb.monthly"});
    for wrong in [None, Some("hook secret"), Some("Bearer hook secret "), Some("Bearer x")] {
        // Blanks at the end of a header's value are no part of it (RFC 9110 §5.5).
        let expected = if wrong == Some("Bearer hook secret ") { continue } else { 401 };
        assert_eq!(hook(wrong, &event), expected, "{wrong:?}");
    }
    assert_eq!(plan_of(&alice), "none");
    assert_eq!(hook(right, &json!({})), 400);
    assert_eq!(hook(right, &json!({"app_user_id": "nobody"})), 404);
    assert_eq!(hook(right, &event), 200);
    let active = alice.get("/api/subscription/status").json().expect("JSON");
    assert_eq!((&active["status"], &active["planGb"]), (&json!("active"), &json!(1000)));
    let sealed = opaque_bytes(45, 1000);
    assert_eq!(alice.put_chunk(&chunk_id(&sealed), &sealed).status(), 200);
    // As the real service sends it, with a time in the past.
    let nested = json!({"event": {"app_user_id": alice.device_uuid, "expiration_at_ms": 1}});
    assert_eq!(hook(right, &nested), 200);
    let refused = alice.put_chunk(&chunk_id(&sealed), &sealed);
    assert_eq!(refused.status(), 402, "{}", refused.text());
    assert_eq!(text_of(&refused, "code"), "SUBSCRIPTION_EXPIRED_SYNC_ONLY");
    assert_eq!(refused.json().expect("JSON")["deleteInDays"], 0);
    assert_eq!(alice.get(&format!("/api/cloud/chunks/{}", chunk_id(&sealed))).body, sealed);
}

#[test]
fn a_manifest_sent_again_after_a_purge_destroys_nothing_that_is_in_the_trash() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.put_manifest("one", "sealed before the purge");
    assert_eq!(alice.post("/api/cloud/purge").status(), 200);
    let again = alice.put_manifest("one", "sealed after the purge").json().expect("JSON");
    assert_eq!(again, json!({"ok": true, "manifestId": "one"}));
    let kept = alice.get("/api/cloud/manifests/one");
    assert_eq!(text_of(&kept, "encryptedManifest"), "sealed after the purge");
    let still_there = crate::stand::files_below(&stand.data().join("relay"))
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .any(|text| text.contains("sealed before the purge"));
    assert!(still_there, "the purged manifest was overwritten");
}

#[test]
fn a_third_manifest_while_two_arrive_is_told_when_to_come_back_and_is_not_stored() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_QUEUE_MS", "100")]);
    let alice = stand.person();
    let whole = |id: &str| {
        json!({"manifestId": id, "encryptedManifest": "sealed", "chunkCount": 1}).to_string()
    };
    let slow = ["first", "second"].map(|id| {
        let body = whole(id);
        let (sent, rest) = body.split_at(10);
        let kind = "Content-Type: application/json\r\n";
        let path = "/api/cloud/manifests";
        (alice.begin(path, kind, body.len(), sent.as_bytes()), rest.to_owned())
    });
    // A manifest without an id is refused with 400 as soon as there is a place for it, so nothing of it is stored.
    crate::stand::wait_until("both places are taken", || {
        alice.json("POST", "/api/cloud/manifests", &json!({})).status() == 503
    });
    let refused = alice.put_manifest("third", "sealed");
    assert_eq!((refused.status(), text_of(&refused, "code").as_str()), (503, "busy"));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(stored_manifests(&stand), 0);
    for (mut stream, rest) in slow {
        std::io::Write::write_all(&mut stream, rest.as_bytes()).expect("the rest");
        let answer = crate::stand::read_answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(stored_manifests(&stand), 2);
    assert_eq!(alice.get("/api/cloud/manifests/third").status(), 404);
    assert_eq!(alice.put_manifest("third", "sealed").status(), 200);
    assert_eq!(alice.get("/api/cloud/manifests/third").status(), 200);
}

fn stored_manifests(stand: &Stand) -> usize {
    let below = crate::stand::files_below(&stand.data().join("relay"));
    below
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("manifests")))
        .count()
}
