//! What holds for every route: the order of the sign-in gate, paths, methods, cross-origin headers, error bodies.

use photosync_tests::http::{Answer, Body, Request};

use crate::stand::{Person, Stand, text_of};

/// Every route behind a sign-in.
const PRIVATE: &[(&str, &str)] = &[
    ("GET", "/api/subscription/status"),
    ("DELETE", "/api/account"),
    ("POST", "/api/upload"),
    ("POST", "/api/upload/raw"),
    ("GET", "/api/files"),
    ("GET", "/api/files/a.jpg"),
    ("POST", "/api/files/purge"),
    ("POST", "/api/cloud/chunks"),
    ("GET", "/api/cloud/chunks/0000000000000000000000000000000000000000000000000000000000000000"),
    ("GET", "/api/cloud/manifests"),
    ("POST", "/api/cloud/manifests"),
    ("GET", "/api/cloud/manifests/a"),
    ("GET", "/api/cloud/usage"),
    ("POST", "/api/cloud/purge"),
    ("GET", "/api/cloud/device-state"),
    ("PUT", "/api/cloud/device-state"),
];

/// Every route without one, with the status a bare request gets.
const PUBLIC: &[(&str, &str, u16)] = &[
    ("GET", "/", 200),
    ("GET", "/health", 200),
    ("GET", "/api/capacity", 404),
    ("GET", "/.well-known/photolynk-capacity.json", 404),
    ("GET", "/.well-known/photosync-capacity.json", 404),
    ("POST", "/api/register", 400),
    ("POST", "/api/login", 400),
    ("POST", "/api/reset-password-device", 400),
    ("POST", "/api/revenuecat/webhook", 404),
];

fn bare(stand: &Stand, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::new(method, path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if matches!(method, "POST" | "PUT") {
        request = request.body(Body::Bytes(b"{}"));
    }
    stand.send(request)
}

#[test]
fn the_gate_answers_401_then_400_then_403_on_every_private_route() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    let right = format!("Bearer {}", alice.token);
    let upper = alice.device_uuid.to_uppercase();
    for (method, path) in PRIVATE {
        for (headers, status) in [
            (vec![], 401),
            (vec![("Authorization", "Bearer")], 401),
            (vec![("X-Device-UUID", alice.device_uuid.as_str())], 401),
            (vec![("Authorization", right.as_str())], 400),
            (vec![("Authorization", "Bearer nonsense")], 400),
            (vec![("Authorization", right.as_str()), ("X-Device-UUID", "")], 400),
            (vec![("Authorization", "Bearer nonsense"), ("X-Device-UUID", "x")], 403),
            (vec![("Authorization", right.as_str()), ("X-Device-UUID", upper.as_str())], 403),
        ] {
            let answer = bare(&stand, method, path, &headers);
            assert_eq!(answer.status(), status, "{method} {path} {headers:?}: {}", answer.text());
            assert!(!text_of(&answer, "error").is_empty());
        }
    }
    alice.require_library(&[("a.jpg", b"photo")]);
    // The word before the token does not matter, as with the old server.
    let other_word = format!("JWT {}", alice.token);
    let headers = [("authorization", other_word.as_str()), ("x-DEVICE-uuid", &alice.device_uuid)];
    assert_eq!(bare(&stand, "GET", "/api/files", &headers).status(), 200);
}

#[test]
fn public_routes_need_no_sign_in_and_one_trailing_slash_changes_nothing() {
    let stand = Stand::shared();
    for (method, path, status) in PUBLIC {
        assert_eq!(bare(&stand, method, path, &[]).status(), *status, "{method} {path}");
        if *path != "/" {
            let slashed = bare(&stand, method, &format!("{path}/"), &[]);
            assert_eq!(slashed.status(), *status, "{method} {path}/");
        }
    }
    for (method, path) in PRIVATE {
        let slashed = bare(&stand, method, &format!("{path}/"), &[]);
        assert_eq!(slashed.status(), 401, "{method} {path}/");
    }
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    assert_eq!(alice.get("/api/files/?limit=5").status(), 200);
    assert_eq!(alice.get("/api/files/a.jpg/").body, b"photo");
}

#[test]
fn head_answers_as_get_without_a_body() {
    let stand = Stand::shared();
    let alice = stand.person();
    alice.keep("a.jpg", b"0123456789");
    for path in ["/health", "/api/files", "/api/files/a.jpg", "/api/cloud/usage"] {
        let head = alice.send(alice.request("HEAD", path));
        let get = alice.get(path);
        assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    let head = alice.send(alice.request("HEAD", "/api/files/a.jpg"));
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(alice.send(alice.request("HEAD", "/api/files/b.jpg")).status(), 404);
}

fn require_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(text_of(answer, "code"), code);
    assert!(!text_of(answer, "error").is_empty());
}

#[test]
fn every_error_below_api_is_json_with_a_code() {
    let stand = Stand::shared();
    let alice = stand.person();
    require_error(&stand.send(Request::new("GET", "/api")), 404, "not_found");
    require_error(&stand.send(Request::new("GET", "/api/v9/x")), 404, "not_found");
    require_error(&alice.get("/api/files/a/b"), 404, "not_found");
    for (method, path) in
        [("DELETE", "/api/files"), ("GET", "/api/login"), ("PUT", "/api/upload/raw")]
    {
        let answer = alice.send(alice.request(method, path));
        require_error(&answer, 405, "method_not_allowed");
        assert!(answer.header("allow").is_some(), "405 says what is allowed");
    }
    let json = "application/json";
    for (kind, body) in
        [(json, &b"{"[..]), (json, b""), (json, b"{\"email\": 5}"), ("text/plain", b"{}")]
    {
        let request = Request::new("POST", "/api/login").header("Content-Type", kind);
        require_error(&stand.send(request.body(Body::Bytes(body))), 400, "bad_request");
    }
    let large = format!("{{\"email\": \"{}\"}}", "x".repeat(102_400));
    require_error(&stand.post_json_with("/api/login", &[], large.as_bytes()), 413, "too_large");
    let request = Request::new("POST", "/api/login").header("Content-Type", json);
    let mut reader = large.as_bytes();
    let chunked = request.body(Body::Chunked { reader: &mut reader });
    require_error(&stand.send(chunked), 413, "too_large");
    // Just below the limit it is read, and refused for what it says.
    let fits = format!("{{\"email\": \"{}\"}}", "x".repeat(102_000));
    require_error(&stand.post_json_with("/api/login", &[], fits.as_bytes()), 400, "bad_request");
    assert_eq!(stand.send(Request::new("GET", "/nothing/here.png")).status(), 404);
}

#[test]
fn every_answer_carries_the_request_id_and_only_a_harmless_one_is_echoed() {
    let stand = Stand::shared();
    let with =
        |id: &str| stand.send(Request::new("GET", "/api/nothing").header("X-Request-Id", id));
    let answer = with("abc-DEF_123");
    assert_eq!(answer.header("x-request-id"), Some("abc-DEF_123"));
    assert_eq!(text_of(&answer, "request_id"), "abc-DEF_123");
    for strange in ["", "a b", "<script>", "x\"y", &"x".repeat(65)] {
        let answer = with(strange);
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id != strange && id.len() >= 16, "{strange:?} became {id:?}");
    }
    let health = stand.send(Request::new("GET", "/health"));
    assert!(health.header("x-request-id").is_some());
}

#[test]
fn any_page_may_call_the_old_routes_but_never_with_cookies() {
    let stand = Stand::shared();
    let alice: Person = stand.person();
    let origin = ("Origin", "http://example.org");
    for answer in [
        alice.get_with("/api/files", &[origin]),
        stand.send(Request::new("GET", "/health").header(origin.0, origin.1)),
        stand.send(Request::new("GET", "/api/files").header(origin.0, origin.1)),
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let preflight = stand.send(
        Request::new("OPTIONS", "/api/upload/raw")
            .header(origin.0, origin.1)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization,x-device-uuid"),
    );
    assert_eq!(preflight.status(), 204, "{}", preflight.text());
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    let allowed = preflight.header("access-control-allow-headers");
    assert_eq!(allowed, Some("authorization,x-device-uuid"));
    let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
}

#[test]
fn the_capacity_file_is_served_word_for_word_or_not_at_all() {
    let stand = Stand::new(&[]);
    let file = stand.data().join("capacity/photosync-capacity.json");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
    let paths = [
        "/api/capacity",
        "/.well-known/photolynk-capacity.json",
        "/.well-known/photosync-capacity.json",
    ];
    for (text, status) in [("{\"schemaVersion\": 2,  \"x\": 1}", 200), ("{broken", 404)] {
        std::fs::write(&file, text).expect("the capacity file");
        for path in paths {
            let answer = stand.send(Request::new("GET", path));
            assert_eq!(answer.status(), status, "{path}: {}", answer.text());
            if status == 200 {
                assert_eq!(answer.text(), text);
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
        }
    }
}
