//! A stolen upload-only token: every route of the server is tried with every method and every disguise. It can add
//! files and ask what is missing; it cannot list, read, delete or overwrite anything.

mod matrix;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use photosync_tests::http::{Answer, Body, Request};
use serde_json::{Value, json};

use crate::stand::{Person, Stand, files_below, text_of};
use crate::sync::{Native, json_of};

/// What an upload-only token does to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opens {
    /// Nothing, whatever the method.
    Nothing,
    /// The route answers anybody (`GET` and `HEAD`), and says the same with or without a token.
    ForAnybody,
    /// The route is a door of its own that asks for a password, a code or a secret; the token is none of them.
    Door,
    /// These methods work; all others do not.
    Only(&'static [&'static str]),
}

use Opens::{Door, ForAnybody, Nothing, Only};

/// Every route of the server. A test fails when the server has one that is not here.
const ROUTES: &[(&str, Opens)] = &[
    ("/health", ForAnybody),
    ("/health/live", ForAnybody),
    ("/health/ready", ForAnybody),
    ("/api/capacity", ForAnybody),
    ("/.well-known/photolynk-capacity.json", ForAnybody),
    ("/.well-known/photosync-capacity.json", ForAnybody),
    ("/api/register", Door),
    ("/api/login", Door),
    ("/api/reset-password-device", Door),
    ("/api/account", Nothing),
    ("/api/subscription/status", Nothing),
    ("/api/revenuecat/webhook", Door),
    ("/api/upload", Nothing),
    ("/api/upload/raw", Nothing),
    ("/api/files", Nothing),
    ("/api/files/purge", Nothing),
    ("/api/files/{name}", Nothing),
    ("/api/cloud/chunks", Nothing),
    ("/api/cloud/chunks/{id}", Nothing),
    ("/api/cloud/manifests", Nothing),
    ("/api/cloud/manifests/{id}", Nothing),
    ("/api/cloud/usage", Nothing),
    ("/api/cloud/purge", Nothing),
    ("/api/cloud/device-state", Nothing),
    ("/api/v2/web", ForAnybody),
    ("/api/v2/web/setup", Door),
    ("/api/v2/web/session", Door),
    ("/api/v2/web/link", Door),
    ("/api/v2/web/invitation", Door),
    ("/api/v2/me/password", Nothing),
    ("/api/v2/me/sign-out", Nothing),
    ("/api/v2/admin/users", Nothing),
    ("/api/v2/admin/users/{id}", Nothing),
    ("/api/v2/admin/users/{id}/password", Nothing),
    ("/api/v2/admin/users/{id}/link", Nothing),
    ("/api/v2/admin/users/{id}/sign-out", Nothing),
    ("/api/v2/admin/users/{id}/restore", Nothing),
    ("/api/v2/admin/storage", Nothing),
    ("/api/v2/admin/jobs", Nothing),
    ("/api/v2/admin/jobs/media/retry", Nothing),
    ("/api/v2/admin/health", Nothing),
    ("/api/v2/admin/updates", Nothing),
    ("/api/v2/admin/updates/look", Nothing),
    ("/api/v2/admin/settings", Nothing),
    ("/share-target", Nothing),
    ("/api/v2/server", ForAnybody),
    ("/api/v2/openapi.json", ForAnybody),
    ("/api/v2/session", Door),
    ("/api/v2/session/refresh", Door),
    ("/api/v2/pairing", Nothing),
    ("/api/v2/pairing/claim", Door),
    ("/api/v2/devices", Nothing),
    ("/api/v2/devices/{id}", Nothing),
    ("/api/v2/devices/{id}/upload-token", Nothing),
    ("/api/v2/endpoints", Only(&["GET", "HEAD"])),
    ("/api/v2/library/assets", Only(&["PUT"])),
    ("/api/v2/library/assets/{id}", Nothing),
    ("/api/v2/library/assets/{id}/original", Nothing),
    ("/api/v2/library/assets/{id}/renditions/{recipe}", Nothing),
    ("/api/v2/library/assets/{id}/motion", Nothing),
    ("/api/v2/library/assets/{id}/playable", Nothing),
    ("/api/v2/tus", Only(&["OPTIONS", "POST"])),
    ("/api/v2/tus/{id}", Only(&["OPTIONS", "HEAD", "PATCH", "DELETE"])),
    ("/api/v2/library/missing", Only(&["POST"])),
    ("/api/v2/library/sync", Only(&["POST"])),
    ("/api/v2/library/forget", Only(&["POST"])),
    ("/api/v2/library/claims", Only(&["POST"])),
    ("/api/v2/library/moves", Nothing),
    ("/api/v2/library/receipts", Nothing),
    ("/api/v2/library/changes", Nothing),
    ("/api/v2/me", Nothing),
    ("/api/v2/library/timeline", Nothing),
    ("/api/v2/library/timeline/tiles", Nothing),
    ("/api/v2/library/tiles", Nothing),
    ("/api/v2/library/search", Nothing),
    ("/api/v2/library/map", Nothing),
    ("/api/v2/library/duplicates", Nothing),
    ("/api/v2/library/duplicates/different", Nothing),
    ("/api/v2/library/events", Nothing),
    ("/api/v2/library/assets/{id}/details", Nothing),
    ("/api/v2/library/downloads", Nothing),
    ("/api/v2/library/downloads/{id}", Nothing),
    ("/api/v2/library/trash", Nothing),
    ("/api/v2/library/trash/empty", Nothing),
    ("/api/v2/library/restore", Nothing),
    ("/api/v2/albums", Nothing),
    ("/api/v2/albums/{id}", Nothing),
    ("/api/v2/albums/{id}/tiles", Nothing),
    ("/api/v2/albums/{id}/assets", Nothing),
    ("/api/v2/albums/{id}/remove", Nothing),
    ("/api/v2/albums/{id}/order", Nothing),
    ("/api/v2/relay/have", Only(&["POST"])),
    ("/api/v2/relay/objects", Only(&["POST"])),
    ("/api/v2/relay/objects/{id}", Only(&["PUT"])),
    ("/api/v2/relay/fetch", Nothing),
    ("/api/v2/relay/segments", Only(&["POST"])),
    ("/api/v2/relay/heads", Only(&["GET", "HEAD"])),
    ("/api/v2/relay/keyring", Nothing),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Routes of other listeners, which no device reaches.
const ELSEWHERE: &[&str] = &["/metrics", "/control/"];

#[test]
fn every_route_of_the_server_is_in_the_table_of_this_test() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src");
    // What the tray asks for is agreed on there.
    let agreed = fs::read_to_string(source.join("../../protocol/src/control.rs")).expect("source");
    let known: BTreeSet<&str> = ROUTES.iter().map(|(path, _)| *path).collect();
    let mut seen = 0;
    for file in files_below(&source) {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("readable source");
        for call in text.split(".route(").skip(1) {
            let path = path_of(&[&text, &agreed], call.trim_start());
            let path = path.unwrap_or_else(|| panic!("{}: no path: {call:.60}", file.display()));
            if ELSEWHERE.iter().any(|other| path.starts_with(other)) {
                continue;
            }
            assert!(known.contains(path), "{}: {path} is missing from ROUTES", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} routes found in {}", source.display());
}

/// The path at the beginning of a call: a text, or the name of a constant of one of these sources.
fn path_of<'a>(sources: &[&'a str], call: &'a str) -> Option<&'a str> {
    if let Some(rest) = call.strip_prefix('"') {
        return rest.split('"').next();
    }
    let name = call.split([',', ')']).next()?.trim();
    let constant = format!("const {name}: &str = \"");
    let (_, value) = sources.iter().find_map(|source| source.split_once(&constant))?;
    value.split('"').next()
}

/// Somebody whose token was stolen, and everything a thief may know of her.
struct Victim {
    person: Person,
    phone: Native,
    token: String,
    asset: String,
    manifest: String,
    chunk: String,
}

const PHOTO: &[u8] = b"the only picture of grandmother";
const NAME: &str = "grandmother.jpg";

impl Victim {
    fn of(stand: &Stand) -> Victim {
        let person = stand.person();
        let phone = Native::sign_in(stand, &person);
        let put = phone.put(NAME, &[], PHOTO);
        assert_eq!(put.status(), 201, "{}", put.text());
        let asset = text_of(&put, "id");
        let chunk = photosync_tests::relay::chunk_id(b"sealed");
        assert_eq!(person.put_chunk(&chunk, b"sealed").status(), 200);
        let manifest = "a-manifest".to_owned();
        assert_eq!(person.put_manifest(&manifest, "sealed").status(), 200);
        let path = format!("/devices/{}/upload-token", phone.device_id);
        let answer = phone.send(phone.request("POST", &path).body(Body::Bytes(b"")));
        assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
        let token = text_of(&answer, "upload_token");
        Victim { person, phone, token, asset, manifest, chunk }
    }

    /// The path with real names in it: those the thief would aim at.
    fn aim(&self, route: &str) -> String {
        let id = match route {
            _ if route.starts_with("/api/v2/devices") => &self.phone.device_id,
            _ if route.starts_with("/api/cloud/chunks") => &self.chunk,
            _ if route.starts_with("/api/v2/relay/objects") => &self.chunk,
            _ if route.starts_with("/api/cloud/manifests") => &self.manifest,
            _ => &self.asset,
        };
        route.replace("{id}", id).replace("{name}", NAME).replace("{recipe}", "thumb")
    }

    /// A body that says everything at once.
    fn every_claim(&self) -> Value {
        json!({
            "email": self.person.email, "password": self.token, "new_password": "taken over 1",
            "newPassword": "taken over 1", "device_uuid": self.person.device_uuid,
            "deviceUuid": self.person.device_uuid, "device_id": self.phone.device_id,
            "device_name": "thief", "refresh_token": self.token, "token": self.token,
            "code": self.token, "digests": [], "ids": [self.asset], "manifestId": self.manifest,
            "encryptedManifest": "forged", "chunkCount": 1, "confirm": true, "scope": "full",
        })
    }

    /// Everything the account holds, as its owner sees it and as it lies on the disk.
    fn holdings(&self) -> Holdings {
        let manifest = self.person.get(&format!("/api/cloud/manifests/{}", self.manifest));
        let chunk = self.person.get(&format!("/api/cloud/chunks/{}", self.chunk));
        assert_eq!((manifest.status(), chunk.status()), (200, 200));
        let (listed, on_disk) = (self.person.library(), self.person.on_disk());
        Holdings { listed, on_disk, manifest: manifest.body, chunk: chunk.body }
    }
}

/// What must not change.
#[derive(PartialEq, Eq)]
struct Holdings {
    listed: BTreeMap<String, Vec<u8>>,
    on_disk: BTreeMap<String, Vec<u8>>,
    manifest: Vec<u8>,
    chunk: Vec<u8>,
}

/// Ways to present the stolen token.
#[derive(Clone, Copy, Debug)]
enum Disguise {
    Bearer,
    WithDeviceUuid,
    Cookie,
    Query,
    MethodOverride,
}

const DISGUISES: &[Disguise] = &[
    Disguise::Bearer,
    Disguise::WithDeviceUuid,
    Disguise::Cookie,
    Disguise::Query,
    Disguise::MethodOverride,
];

fn attempt(stand: &Stand, victim: &Victim, method: &str, route: &str, how: Disguise) -> Answer {
    let mut path = victim.aim(route);
    let bearer = format!("Bearer {}", victim.token);
    let mut headers: Vec<(&str, &str)> = Vec::new();
    let cookie = format!("photosync={0}; __Host-photosync={0}", victim.token);
    match how {
        Disguise::Bearer => headers.push(("Authorization", &bearer)),
        Disguise::WithDeviceUuid => headers.extend([
            ("Authorization", bearer.as_str()),
            ("X-Device-UUID", victim.person.device_uuid.as_str()),
        ]),
        Disguise::Cookie => headers.push(("Cookie", &cookie)),
        Disguise::Query => path = format!("{path}?token={0}&access_token={0}", victim.token),
        // tus lets a POST stand for another method; nothing else may.
        Disguise::MethodOverride => headers
            .extend([("Authorization", bearer.as_str()), ("X-HTTP-Method-Override", "DELETE")]),
    }
    headers.extend([
        ("X-Filename", NAME),
        ("PhotoSync-Name", NAME),
        ("X-Chunk-Id", victim.chunk.as_str()),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Tus-Resumable", "1.0.0"),
        ("Content-Type", "application/json"),
    ]);
    let mut request = Request::new(method, path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let body = victim.every_claim().to_string();
    match method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" => stand.send(request),
        _ => stand.send(request.body(Body::Bytes(body.as_bytes()))),
    }
}

/// Whether an answer gives nothing away and means that nothing was done.
fn is_refused(route: &str, opens: Opens, method: &str, answer: &Answer) -> bool {
    let version_1 = !route.starts_with("/api/v2/");
    match (opens, answer.status()) {
        (_, 401 | 403 | 404 | 405) => true,
        // A preflight of old clients' routes says only what any page may know.
        (_, 204) => method == "OPTIONS" && version_1,
        // Old routes ask for the device before they look at the token, and for a body before a secret.
        (_, 400) => version_1 || opens == Door,
        (Door, 409 | 415 | 422 | 429) => true,
        _ => false,
    }
}

#[test]
fn a_stolen_upload_token_opens_no_route_but_those_that_add_and_ask() {
    let stand = Stand::new(&[]);
    let victim = Victim::of(&stand);
    let before = victim.holdings();
    let mut opened = Vec::new();
    for (route, opens) in ROUTES {
        for method in METHODS {
            for how in DISGUISES {
                let reads = matches!(*method, "GET" | "HEAD");
                let anybody = *opens == ForAnybody && reads;
                let allowed = matches!(opens, Only(methods) if methods.contains(method));
                // An allowed method is tried in the other test; in a disguise that proves nothing it stays shut.
                if anybody || (allowed && !matches!(how, Disguise::Cookie | Disguise::Query)) {
                    continue;
                }
                let overridden = matches!(how, Disguise::MethodOverride)
                    && matches!(opens, Only(methods) if methods.contains(&"DELETE"));
                let answer = attempt(&stand, &victim, method, route, *how);
                let preflight = *method == "OPTIONS" && allowed;
                if !is_refused(route, *opens, method, &answer) && !overridden && !preflight {
                    opened.push(format!(
                        "{method} {route} {how:?}: {} {}",
                        answer.status(),
                        answer.text()
                    ));
                }
                let text = String::from_utf8_lossy(&answer.body);
                assert!(
                    !text.contains("grandmother"),
                    "{method} {route} {how:?} names a file: {text}"
                );
            }
        }
        assert_eq!(victim.person.names(), [NAME], "after {route}");
    }
    assert!(opened.is_empty(), "opened:\n{}", opened.join("\n"));
    assert!(victim.holdings() == before, "everything is as it was");
    // The owner's own sessions live on.
    let page = victim.phone.send(victim.phone.request("GET", "/library/assets"));
    assert_eq!(page.status(), 200, "{}", page.text());
    stand.require_agreement();
}

#[test]
fn an_upload_token_adds_files_and_never_replaces_one() {
    let stand = Stand::shared();
    let victim = Victim::of(&stand);
    let put = |name: &str, bytes: &[u8]| {
        stand.send(
            Request::new("PUT", "/api/v2/library/assets")
                .header("Authorization", format!("Bearer {}", victim.token))
                .header("PhotoSync-Name", name)
                .body(Body::Bytes(bytes)),
        )
    };
    // Other bytes under her name: both are kept.
    let other = put(NAME, b"a forgery");
    assert_eq!(other.status(), 201, "{}", other.text());
    assert_ne!(json_of(&other)["name"], NAME);
    let known = put("mine.jpg", PHOTO);
    assert_eq!((known.status(), text_of(&known, "id")), (200, victim.asset.clone()));
    let second = "grandmother (2).jpg";
    victim.person.require_library(&[(NAME, PHOTO), (second, b"a forgery")]);
    // What is missing may be asked; the answer tells only of digests the asker knows.
    use sha2::{Digest, Sha256};
    let digests = [Sha256::digest(PHOTO), Sha256::digest(b"nobody has this")].concat();
    let answer = stand.send(
        Request::new("POST", "/api/v2/library/missing")
            .header("Authorization", format!("Bearer {}", victim.token))
            .header("Content-Type", "application/vnd.photosync.digests")
            .body(Body::Bytes(&digests)),
    );
    assert_eq!((answer.status(), answer.body.as_slice()), (200, [0, 1].as_slice()));
}

#[test]
fn an_upload_token_ends_when_its_device_is_revoked() {
    let stand = Stand::shared();
    let victim = Victim::of(&stand);
    let other = Native::sign_in(&stand, &victim.person);
    let path = format!("/devices/{}", victim.phone.device_id);
    let revoked = other.send(other.request("DELETE", &path));
    assert_eq!(revoked.status(), 204, "{}", revoked.text());
    let answer = stand.send(
        Request::new("PUT", "/api/v2/library/assets")
            .header("Authorization", format!("Bearer {}", victim.token))
            .header("PhotoSync-Name", "late.jpg")
            .body(Body::Bytes(b"late")),
    );
    assert_eq!(answer.status(), 401, "{}", answer.text());
    victim.person.require_library(&[(NAME, PHOTO)]);
}
