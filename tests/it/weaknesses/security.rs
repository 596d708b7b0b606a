//! Weaknesses 1–11 of the old server: who gets in, and what an attacker can do from outside.

use std::fs;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::http::{Answer, Body, Request, exchange_raw};
use photosync_tests::server::{ServerError, ServerProcess};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::stand::{PASSWORD, Person, SOON, Stand, files_below, text_of};

/// What every old server that was never configured signs its tokens with.
const PUBLIC_SECRET: &str = "super-secure-secret-key-change-this";

#[test]
fn weakness_01_a_token_signed_with_the_public_default_secret_opens_nothing() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("a.jpg", b"alice's photo");
    let claims = alice.token.split('.').nth(1).expect("claims of a token");
    for header in [r#"{"alg":"HS256","typ":"JWT"}"#, &header_of(&alice.token)] {
        let signed = format!("{}.{claims}", base64url(header.as_bytes()));
        let signature = base64url(&hmac_sha256(PUBLIC_SECRET.as_bytes(), signed.as_bytes()));
        let forged = Person { token: format!("{signed}.{signature}"), ..alice.clone() };
        assert_eq!(forged.get("/api/files").status(), 403);
        assert_eq!(forged.post("/api/files/purge").status(), 403);
    }
    let unsigned = format!("{}.{claims}.", base64url(br#"{"alg":"none"}"#));
    assert_eq!(Person { token: unsigned, ..alice.clone() }.get("/api/files").status(), 403);
    alice.require_library(&[("a.jpg", b"alice's photo")]);
}

#[test]
fn weakness_01_the_public_secret_and_a_short_one_are_refused_and_a_new_install_makes_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in [PUBLIC_SECRET, "too short for a secret", ""] {
        let refused = ServerProcess::start(folder.path(), &[("JWT_SECRET", secret)]);
        let Err(ServerError::NotReady { what, log_tail }) = refused else {
            panic!("a server with the secret {secret:?}: {refused:?}")
        };
        assert!(what.contains("78"), "{what}");
        assert!(log_tail.contains("JWT_SECRET"), "{log_tail}");
        assert!(secret.is_empty() || !log_tail.contains(secret), "a secret in the log");
    }
    let stand = Stand::shared();
    let secrets = files_below(&stand.data().join("secrets"));
    assert!(!secrets.is_empty(), "a new install has keys of its own");
    for path in secrets {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).expect("a secret").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its owner only", path.display());
        assert!(fs::read(&path).expect("a secret").len() >= 32, "{} is long", path.display());
    }
}

#[test]
fn weakness_02_a_device_uuid_that_is_a_path_is_refused_everywhere() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"alice's photo");
    let before = files_below(&stand.uploads());
    for path in ["..", "../..", ".", "/", "uploads", "..%2f..", "../uploads/../", "a/../.."] {
        let answer = stand.login(&alice.email, PASSWORD, path);
        assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
        let body = json!({"email": "eve@example.org", "password": PASSWORD, "device_uuid": path});
        assert_eq!(stand.post_json("/api/register", &body).status(), 400, "{path}");
        let outside = Person { device_uuid: path.to_owned(), ..alice.clone() };
        for (method, route) in [
            ("GET", "/api/files"),
            ("GET", "/api/files/photosync.db"),
            ("POST", "/api/files/purge"),
            ("POST", "/api/cloud/purge"),
            ("DELETE", "/api/account"),
        ] {
            let answer = outside.send(outside.request(method, route).body(Body::Bytes(b"")));
            assert_eq!(answer.status(), 403, "{method} {route} as {path}: {}", answer.text());
        }
    }
    assert_eq!(stand.login("eve@example.org", PASSWORD, &alice.device_uuid).status(), 401);
    assert_eq!(files_below(&stand.uploads()), before);
    alice.require_library(&[("a.jpg", b"alice's photo")]);
    stand.require_agreement();
}

#[test]
fn weakness_03_the_device_uuid_of_another_account_opens_nothing() {
    let stand = Stand::shared();
    let (alice, bob) = (stand.person(), stand.person());
    alice.keep("a.jpg", b"alice's photo");
    bob.keep("b.jpg", b"bob's photo");
    let answer = stand.login(&bob.email, PASSWORD, &alice.device_uuid);
    assert_eq!(answer.status(), 403, "{}", answer.text());
    let registers = json!({"email": "mallory@example.org", "password": PASSWORD, "deviceUuid": alice.device_uuid});
    assert_eq!(stand.post_json("/api/register", &registers).status(), 403);
    // A refused registration leaves no account behind: the e-mail is still free.
    stand.person_called("mallory@example.org");
    let pretends = Person { device_uuid: alice.device_uuid.clone(), ..bob.clone() };
    assert_eq!(pretends.get("/api/files").status(), 403);
    assert_eq!(pretends.post("/api/files/purge").status(), 403);
    alice.require_library(&[("a.jpg", b"alice's photo")]);
    bob.require_library(&[("b.jpg", b"bob's photo")]);
}

#[test]
fn weakness_03_who_claims_a_device_uuid_early_gets_neither_its_owner_s_account_nor_photos() {
    let stand = Stand::shared();
    let squatter = stand.person();
    let wanted = phone_device_uuid("late@example.org", PASSWORD);
    let early = squatter.with_login(&stand.login(&squatter.email, PASSWORD, &wanted), &wanted);
    early.keep("s.jpg", b"the squatter's photo");
    let late = stand.person_called("late@example.org");
    assert_eq!(late.device_uuid, wanted);
    late.keep("l.jpg", b"the owner's photo");
    late.require_library(&[("l.jpg", b"the owner's photo")]);
    let again = late.with_login(&stand.login(&late.email, PASSWORD, &wanted), &wanted);
    again.require_library(&[("l.jpg", b"the owner's photo")]);
    // The old session lives on, in its own library, but a new one under this UUID is refused.
    early.require_library(&[("s.jpg", b"the squatter's photo")]);
    assert_eq!(stand.login(&squatter.email, PASSWORD, &wanted).status(), 403);
}

#[test]
fn weakness_04_no_folder_file_or_log_line_holds_the_device_uuid_password_or_token() {
    let stand = Stand::new(&[("PHOTOSYNC_LOG_LEVEL", "debug")]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"photo");
    let signed_in = stand.login(&alice.email, PASSWORD, &alice.device_uuid);
    let again = alice.with_login(&signed_in, &alice.device_uuid);
    assert_eq!(again.names(), ["a.jpg"]);
    assert_eq!(stand.login(&alice.email, "wrong password 7", &alice.device_uuid).status(), 401);
    assert_eq!(Person { token: "x".into(), ..alice.clone() }.get("/api/files").status(), 403);
    let secrets =
        [alice.device_uuid.as_str(), PASSWORD, "wrong password 7", &alice.token, &again.token];
    let log = stand.log();
    for path in files_below(stand.data()) {
        let shown = path.display().to_string();
        assert!(!shown.contains(&alice.device_uuid), "a path: {shown}");
        let in_database = shown.contains("photosync.db");
        let bytes = fs::read(&path).expect("a file");
        for secret in secrets {
            assert!(in_database || !contains(&bytes, secret.as_bytes()), "{secret} in {shown}");
        }
    }
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
}

#[test]
fn weakness_04_a_stolen_database_holds_no_quickly_guessed_hash_of_the_password() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    let signed_in = stand.login(&alice.email, PASSWORD, &alice.device_uuid);
    alice.with_login(&signed_in, &alice.device_uuid).keep("a.jpg", b"photo");
    stand.stop();
    let uuid: uuid::Uuid = alice.device_uuid.parse().expect("a UUID");
    for path in database_files(&stand) {
        let bytes = fs::read(&path).expect("the database");
        let held = contains(&bytes, alice.device_uuid.as_bytes())
            || contains(&bytes, uuid.simple().to_string().as_bytes())
            || contains(&bytes, uuid.as_bytes());
        assert!(!held, "{} holds SHA-1(e-mail:password)", path.display());
    }
}

#[test]
fn weakness_05_passwords_are_kept_as_argon2id_and_have_six_characters_at_least() {
    let stand = Stand::new(&[]);
    let short = json!({"email": "short@example.org", "password": "12345"});
    assert_eq!(stand.post_json("/api/register", &short).status(), 400);
    let uuid = phone_device_uuid("short@example.org", "12345");
    assert_eq!(stand.login("short@example.org", "12345", &uuid).status(), 401);
    let alice = stand.person_called("alice@example.org");
    // bcrypt would look at the first 72 bytes only.
    let long = "x".repeat(72);
    let body = json!({"email": "long@example.org", "password": format!("{long}1")});
    assert_eq!(stand.post_json("/api/register", &body).status(), 201);
    let other = format!("{long}2");
    let uuid = phone_device_uuid("long@example.org", &other);
    assert_eq!(stand.login("long@example.org", &other, &uuid).status(), 401);
    stand.stop();
    let all: Vec<u8> = database_files(&stand)
        .iter()
        .flat_map(|path| fs::read(path).expect("the database"))
        .collect();
    assert!(contains(&all, b"$argon2id$v=19$m="), "passwords under Argon2id");
    assert!(!contains(&all, PASSWORD.as_bytes()), "a password of {} in clear", alice.email);
}

#[test]
fn weakness_06_no_wrong_type_in_a_body_ends_the_process() {
    let stand = Stand::shared();
    let alice = stand.person();
    let pid = stand.with_server(|server| server.pid());
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let wrong = [
        json!({"email": alice.email, "password": 12345678, "device_uuid": alice.device_uuid}),
        json!({"email": alice.email, "password": {"a": 1}, "device_uuid": alice.device_uuid}),
        json!({"email": [alice.email], "password": PASSWORD, "device_uuid": alice.device_uuid}),
        json!({"email": alice.email, "password": PASSWORD, "device_uuid": 5}),
        json!({"email": null, "password": null, "device_uuid": null}),
        json!({"email": alice.email, "hardware_device_id": 5, "newPassword": true}),
        json!([]),
        json!("text"),
        json!(5),
    ];
    for path in ["/api/login", "/api/register", "/api/reset-password-device"] {
        for body in &wrong {
            let answer = stand.post_json(path, body);
            assert_eq!(answer.status(), 400, "{path} {body}: {}", answer.text());
        }
        for body in
            [&b""[..], b"{", b"\xff\xfe", b"nul", deep.as_bytes(), b"{\"email\":\"\\ud800\"}"]
        {
            let answer = stand.post_json_with(path, &[], body);
            assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
        }
    }
    for (method, path, body) in [
        ("POST", "/api/cloud/manifests", json!({"manifestId": 5, "encryptedManifest": {}})),
        ("POST", "/api/cloud/manifests", json!({"manifestId": "a", "encryptedManifest": 7})),
        ("POST", "/api/cloud/manifests", json!([[]])),
        ("PUT", "/api/cloud/device-state", json!([1])),
        ("PUT", "/api/cloud/device-state", json!("x")),
        ("PUT", "/api/cloud/device-state", json!(null)),
    ] {
        let answer = alice.json(method, path, &body);
        assert_eq!(answer.status(), 400, "{method} {path} {body}: {}", answer.text());
    }
    stand.require_health();
    assert_eq!(stand.with_server(|server| (server.is_running(), server.pid())), (true, pid));
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 200);
}

/// A sign-in call that costs the server nothing but counts.
fn attempt(stand: &Stand, forwarded_for: &str) -> Answer {
    stand.post_json_with("/api/login", &[("X-Forwarded-For", forwarded_for)], b"{}")
}

#[test]
fn weakness_07_clients_behind_a_trusted_proxy_are_limited_one_by_one() {
    let stand = Stand::new(&[
        ("PHOTOSYNC_AUTH_THROTTLE_MAX", "2"),
        ("PHOTOSYNC_AUTH_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    for status in [400, 400, 429, 429] {
        assert_eq!(attempt(&stand, "203.0.113.1").status(), status);
    }
    // What a client writes to the left of its own address is no second allowance.
    assert_eq!(attempt(&stand, "198.51.100.7, 203.0.113.1").status(), 429);
    assert_eq!(attempt(&stand, "203.0.113.2").status(), 400, "a neighbour behind the same proxy");
}

#[test]
fn weakness_07_a_client_that_invents_addresses_gets_no_further_attempts() {
    let stand = Stand::new(&[("PHOTOSYNC_AUTH_THROTTLE_MAX", "2")]);
    for (number, status) in [400, 400, 429, 429].into_iter().enumerate() {
        assert_eq!(attempt(&stand, &format!("203.0.113.{number}")).status(), status);
    }
    stand.require_health();
}

#[test]
fn weakness_08_without_a_secret_the_webhook_does_not_exist_and_gives_nobody_a_plan() {
    let stand = Stand::shared();
    let alice = stand.person();
    let before = alice.get("/api/subscription/status").body;
    let body = json!({"app_user_id": alice.device_uuid, "expiration_at_ms": 1, "plan_gb": 100});
    assert_eq!(stand.post_json("/api/revenuecat/webhook", &body).status(), 404);
    let guessed = [("Authorization", "Bearer undefined")];
    let answer =
        stand.post_json_with("/api/revenuecat/webhook", &guessed, body.to_string().as_bytes());
    assert_eq!(answer.status(), 404);
    let after = alice.get("/api/subscription/status");
    assert_eq!(status_of_plan(&after), "active");
    assert_eq!(after.json().expect("JSON")["allowed"], true);
    assert_eq!(before.is_empty(), after.body.is_empty());
}

fn status_of_plan(answer: &Answer) -> String {
    text_of(answer, "status")
}

fn reset(stand: &Stand, email: &str, hardware_id: &str, password: &str) -> Answer {
    let body = json!({"email": email, "hardware_device_id": hardware_id, "newPassword": password});
    let same_id = [("X-Request-Id", "one-and-the-same")];
    stand.post_json_with("/api/reset-password-device", &same_id, body.to_string().as_bytes())
}

#[test]
fn weakness_09_a_failed_reset_tells_nothing_and_a_right_one_ends_every_session() {
    let stand = Stand::shared();
    let email = "reset-me@example.org";
    let uuid = phone_device_uuid(email, PASSWORD);
    let body = json!({"email": email, "password": PASSWORD, "device_uuid": uuid,
                      "hardware_device_id": " phone-77 "});
    let registered = stand.post_json("/api/register", &body);
    assert_eq!(registered.status(), 201, "{}", registered.text());
    let other = stand.person();
    let device = other.with_login(&stand.login(email, PASSWORD, &uuid), &uuid);
    device.put_raw("a.jpg", b"photo");

    let failures = [
        reset(&stand, email, "another-phone", "new password 1"),
        reset(&stand, "nobody@example.org", "phone-77", "new password 1"),
        reset(&stand, &other.email, "phone-77", "new password 1"),
        reset(&stand, "not an e-mail", "phone-77", "new password 1"),
    ];
    for failure in &failures {
        assert_eq!(failure.status(), 403, "{}", failure.text());
        assert_eq!(text_of(failure, "hint"), "device_mismatch");
        assert_eq!(failure.body, failures[0].body, "failures are the same bytes");
    }
    assert_eq!(device.get("/api/files").status(), 200, "a failed reset changes nothing");

    assert_eq!(reset(&stand, email, "phone-77", "12345").status(), 400);
    assert_eq!(reset(&stand, email, "phone-77", "new password 1").status(), 200);
    assert_eq!(device.get("/api/files").status(), 403, "the old session has ended");
    assert_eq!(device.put_raw("b.jpg", b"late").status(), 403);
    assert_eq!(stand.login(email, PASSWORD, &uuid).status(), 401);
    let uuid = phone_device_uuid(email, "new password 1");
    let again = device.with_login(&stand.login(email, "new password 1", &uuid), &uuid);
    assert_eq!(again.names(), ["a.jpg"]);
}

#[test]
fn weakness_09_the_token_of_a_deleted_account_neither_reads_nor_writes() {
    let stand = Stand::shared();
    // The administrator: the last one cannot go while others are here.
    let _ = stand.person();
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    assert_eq!(alice.send(alice.request("DELETE", "/api/account")).status(), 200);
    for path in ["/api/files", "/api/files/a.jpg", "/api/cloud/usage", "/api/cloud/manifests"] {
        assert_eq!(alice.get(path).status(), 403, "{path}");
    }
    assert_eq!(alice.put_raw("b.jpg", b"late").status(), 403);
    assert_eq!(alice.put_form("b.jpg", b"late").status(), 403);
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 401);
    assert_eq!(alice.on_disk().len(), 1, "kept for the trash period, and nothing was added");
    assert_eq!(alice.staged(), 0);
    stand.require_agreement();
}

#[test]
fn weakness_10_errors_are_json_without_paths_traces_or_promises_about_https() {
    let stand = Stand::shared();
    let alice = stand.person();
    let missing_route = stand.send(Request::new("GET", "/api/nothing-here"));
    let wrong_method = stand.send(Request::new("PATCH", "/api/files").body(Body::Bytes(b"")));
    let bad_json = stand.post_json_with("/api/login", &[], b"{\"email\": ");
    let no_part = alice.send(
        alice
            .request("POST", "/api/upload")
            .header("Content-Type", crate::stand::FORM_TYPE)
            .body(Body::Bytes(&crate::stand::form("photo", b"a.jpg", b"x"))),
    );
    let no_form = alice.send(alice.request("POST", "/api/upload").body(Body::Bytes(b"x")));
    let absent = alice.get("/api/files/absent.jpg");
    // Nobody parses a body before the sender is known.
    let before_sign_in = stand.post_json_with("/api/cloud/manifests", &[], b"{\"broken");
    let expected = [404, 405, 400, 400, 400, 404, 401];
    let answers = [missing_route, wrong_method, bad_json, no_part, no_form, absent, before_sign_in];
    let data = stand.data().display().to_string();
    for (answer, status) in answers.iter().zip(expected) {
        let body = answer.text();
        assert_eq!(answer.status(), status, "{body}");
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{status}: {kind}");
        assert!(!text_of(answer, "error").is_empty() && !text_of(answer, "code").is_empty());
        for trace in [data.as_str(), "/src/", ".rs", "panicked", "stack", "SELECT", "sqlite"] {
            assert!(!body.contains(trace), "{trace} in {body}");
        }
        assert_eq!(answer.header("strict-transport-security"), None);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(!policy.contains("upgrade-insecure-requests"), "{policy}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("x-powered-by"), None);
    }
}

#[test]
fn weakness_11_no_spelling_of_a_path_leads_out_of_the_account_s_folder() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"alice's photo");
    let own = alice.folder.file_name().expect("a name").to_string_lossy().into_owned();
    let sibling = stand.uploads().join(format!("{own}-old"));
    fs::create_dir(&sibling).expect("a sibling folder");
    fs::write(sibling.join("secret.jpg"), b"not yours").expect("a sibling's file");
    for target in [
        format!("..%2F{own}-old%2Fsecret.jpg"),
        format!("../{own}-old/secret.jpg"),
        format!("%2e%2e/{own}-old/secret.jpg"),
        format!("..%5c{own}-old%5csecret.jpg"),
        format!("%252e%252e%252f{own}-old%252fsecret.jpg"),
        format!("{}", sibling.join("secret.jpg").display()),
        "..%2F..%2Fphotosync.db".to_owned(),
        "..%2F..%2Fsecrets%2Fjwt".to_owned(),
        ".photosync.json".to_owned(),
        ".%2Fa.jpg".to_owned(),
        "a.jpg%00.png".to_owned(),
    ] {
        let answer = alice.get(&format!("/api/files/{target}"));
        assert_eq!(answer.status(), 404, "{target}: {}", answer.text());
    }
    let raw = format!(
        "GET /api/files/../../photosync.db HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nX-Device-UUID: {}\r\n\r\n",
        alice.token, alice.device_uuid
    );
    let received = exchange_raw(stand.address(), raw.as_bytes(), SOON).expect("an answer");
    assert!(received.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&received));
    alice.require_library(&[("a.jpg", b"alice's photo")]);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn database_files(stand: &Stand) -> Vec<std::path::PathBuf> {
    let all = files_below(stand.data()).into_iter();
    all.filter(|path| path.to_string_lossy().contains("photosync.db")).collect()
}

fn header_of(token: &str) -> String {
    let first = token.split('.').next().expect("a token's header");
    String::from_utf8(from_base64url(first)).expect("a header in JSON")
}

/// RFC 2104 over SHA-256, for keys of at most 64 bytes.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(BASE64URL[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

fn from_base64url(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for character in text.bytes() {
        let value = BASE64URL.iter().position(|known| *known == character).expect("base64url");
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
