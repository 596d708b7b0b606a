//! Every route of the OpenAPI document with every kind of token: each pair has an expectation, and what is refused
//! changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use photosync_tests::http::{Answer, Body, Request};
use serde_json::json;

use super::{NAME, PHOTO, Victim};
use crate::stand::{Stand, text_of};
use crate::sync::Native;

/// What somebody shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Garbage,
    /// A refresh token in the place of an access token.
    Refresh,
    /// An access token whose session was ended.
    Ended,
    /// A version-1 token without the device UUID that belongs to it.
    Bare,
    /// The upload-only token of the device that is aimed at.
    Upload,
    /// The upload-only token of another device of the same account.
    OtherUpload,
    Access,
    Version1,
    /// The same of another account.
    StrangerUpload,
    StrangerAccess,
    StrangerVersion1,
}

const KINDS: &[Kind] = &[
    Kind::Nobody,
    Kind::Garbage,
    Kind::Refresh,
    Kind::Ended,
    Kind::Bare,
    Kind::Upload,
    Kind::OtherUpload,
    Kind::Access,
    Kind::Version1,
    Kind::StrangerUpload,
    Kind::StrangerAccess,
    Kind::StrangerVersion1,
];

/// Who gets in.
#[derive(Clone, Copy, Debug)]
enum Opens {
    /// Everybody, with or without a token.
    ForAnybody,
    /// Nobody by a token: the body must hold a secret, and here holds none.
    BySecret,
    /// Whoever may use a whole account: about the own one.
    Account,
    /// As `Account`, for one thing of the victim's: to strangers it does not exist.
    AccountItem,
    /// Whoever may add files, to the own account.
    Adding,
    /// As `Adding`, for one thing of the victim's.
    AddingItem,
    /// A person at a browser; no token is one.
    Person,
}

impl Opens {
    /// The statuses that may come; `fine` are those of success.
    fn wanted(self, kind: Kind, fine: &'static [u16]) -> &'static [u16] {
        use Kind::{
            Access, Bare, Ended, Garbage, Nobody, OtherUpload, Refresh, StrangerAccess,
            StrangerUpload, StrangerVersion1, Upload, Version1,
        };
        match (self, kind) {
            (Opens::ForAnybody | Opens::BySecret, _) => fine,
            (_, Nobody | Garbage | Refresh | Ended | Bare) => &[401],
            (Opens::Person, _) => &[403],
            (Opens::Account | Opens::AccountItem, Upload | OtherUpload | StrangerUpload) => &[403],
            (Opens::AccountItem | Opens::AddingItem, StrangerAccess | StrangerVersion1)
            | (Opens::AddingItem, StrangerUpload) => &[404],
            (_, Access | Version1 | Upload | OtherUpload)
            | (_, StrangerUpload | StrangerAccess | StrangerVersion1) => fine,
        }
    }
}

/// A route with a method: who gets in, and how that is answered.
struct Row(&'static str, &'static str, Opens, &'static [u16]);

const ROWS: &[Row] = &[
    Row("GET", "/api/v2/web", Opens::ForAnybody, &[200]),
    // They take requests from pages of the server only.
    Row("POST", "/api/v2/web/setup", Opens::BySecret, &[403]),
    Row("POST", "/api/v2/web/session", Opens::BySecret, &[403]),
    Row("POST", "/api/v2/web/link", Opens::BySecret, &[403]),
    Row("POST", "/api/v2/web/invitation", Opens::BySecret, &[403]),
    Row("PUT", "/api/v2/web/invitation", Opens::BySecret, &[403]),
    Row("DELETE", "/api/v2/web/session", Opens::Person, &[]),
    Row("PATCH", "/api/v2/me", Opens::Person, &[]),
    Row("POST", "/api/v2/me/password", Opens::Person, &[]),
    Row("POST", "/api/v2/me/sign-out", Opens::Person, &[]),
    // An administrator is a person too; which persons are: tests/it/admin.rs.
    Row("GET", "/api/v2/admin/users", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/users", Opens::Person, &[]),
    Row("PATCH", "/api/v2/admin/users/{id}", Opens::Person, &[]),
    Row("DELETE", "/api/v2/admin/users/{id}", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/users/{id}/password", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/users/{id}/link", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/users/{id}/sign-out", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/users/{id}/restore", Opens::Person, &[]),
    Row("GET", "/api/v2/admin/storage", Opens::Person, &[]),
    Row("GET", "/api/v2/admin/jobs", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/jobs/media/retry", Opens::Person, &[]),
    Row("GET", "/api/v2/admin/health", Opens::Person, &[]),
    Row("GET", "/api/v2/admin/updates", Opens::Person, &[]),
    Row("POST", "/api/v2/admin/updates/look", Opens::Person, &[]),
    Row("GET", "/api/v2/admin/settings", Opens::Person, &[]),
    Row("GET", "/api/v2/server", Opens::ForAnybody, &[200]),
    Row("POST", "/api/v2/session", Opens::BySecret, &[401]),
    Row("DELETE", "/api/v2/session", Opens::Account, &[204]),
    Row("POST", "/api/v2/session/refresh", Opens::BySecret, &[401]),
    Row("POST", "/api/v2/pairing", Opens::Account, &[200]),
    // 429 after five wrong codes.
    Row("POST", "/api/v2/pairing/claim", Opens::BySecret, &[401, 429]),
    Row("GET", "/api/v2/devices", Opens::Account, &[200]),
    Row("DELETE", "/api/v2/devices/{id}", Opens::AccountItem, &[204]),
    Row("POST", "/api/v2/devices/{id}/upload-token", Opens::AccountItem, &[200]),
    Row("DELETE", "/api/v2/devices/{id}/upload-token", Opens::AccountItem, &[204]),
    Row("GET", "/api/v2/endpoints", Opens::Adding, &[200]),
    Row("GET", "/api/v2/library/assets", Opens::Account, &[200]),
    // The victim has these bytes already; a stranger adds them to her own library.
    Row("PUT", "/api/v2/library/assets", Opens::Adding, &[200, 201]),
    Row("GET", "/api/v2/library/assets/{id}", Opens::AccountItem, &[200]),
    Row("GET", "/api/v2/library/assets/{id}/original", Opens::AccountItem, &[200]),
    // The server of the tests makes no thumbnails.
    Row("GET", "/api/v2/library/assets/{id}/renditions/{recipe}", Opens::AccountItem, &[404]),
    // What the victim holds is no film.
    Row("GET", "/api/v2/library/assets/{id}/motion", Opens::AccountItem, &[404]),
    Row("GET", "/api/v2/library/assets/{id}/playable", Opens::AccountItem, &[404]),
    Row("POST", "/api/v2/library/assets/{id}/playable", Opens::AccountItem, &[404]),
    Row("GET", "/api/v2/library/changes", Opens::Account, &[200]),
    Row("POST", "/api/v2/library/receipts", Opens::Account, &[200]),
    Row("POST", "/api/v2/library/missing", Opens::Adding, &[200]),
    Row("POST", "/api/v2/library/sync", Opens::Adding, &[200, 204]),
    Row("POST", "/api/v2/library/forget", Opens::Adding, &[204]),
    Row("POST", "/api/v2/library/claims", Opens::Adding, &[200]),
    Row("POST", "/api/v2/library/moves", Opens::Account, &[204]),
    Row("GET", "/api/v2/me", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/timeline", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/timeline/tiles", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/tiles", Opens::Account, &[400]),
    Row("POST", "/api/v2/library/tiles", Opens::Account, &[400]),
    Row("GET", "/api/v2/library/search", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/map", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/duplicates", Opens::Account, &[200]),
    Row("POST", "/api/v2/library/duplicates/different", Opens::Person, &[]),
    Row("GET", "/api/v2/library/events", Opens::Account, &[200]),
    Row("GET", "/api/v2/library/assets/{id}/details", Opens::AccountItem, &[200]),
    Row("POST", "/api/v2/library/downloads", Opens::Account, &[400]),
    // There is none of this id.
    Row("GET", "/api/v2/library/downloads/{id}", Opens::Account, &[404]),
    Row("PATCH", "/api/v2/library/assets", Opens::Person, &[]),
    Row("POST", "/api/v2/library/trash", Opens::Person, &[]),
    Row("POST", "/api/v2/library/trash/empty", Opens::Person, &[]),
    Row("POST", "/api/v2/library/restore", Opens::Person, &[]),
    Row("GET", "/api/v2/albums", Opens::Account, &[200]),
    Row("POST", "/api/v2/albums", Opens::Person, &[]),
    Row("GET", "/api/v2/albums/{id}", Opens::Account, &[404]),
    Row("PATCH", "/api/v2/albums/{id}", Opens::Person, &[]),
    Row("DELETE", "/api/v2/albums/{id}", Opens::Person, &[]),
    Row("GET", "/api/v2/albums/{id}/tiles", Opens::Account, &[404]),
    Row("POST", "/api/v2/albums/{id}/assets", Opens::Person, &[]),
    Row("POST", "/api/v2/albums/{id}/remove", Opens::Person, &[]),
    Row("POST", "/api/v2/albums/{id}/order", Opens::Person, &[]),
    // Asking with nothing, and sending what is no sealed object: who gets in is told so.
    Row("POST", "/api/v2/relay/have", Opens::Adding, &[200]),
    Row("POST", "/api/v2/relay/objects", Opens::Adding, &[200]),
    Row("PUT", "/api/v2/relay/objects/{id}", Opens::Adding, &[400]),
    Row("GET", "/api/v2/relay/objects", Opens::Account, &[200]),
    // Both have sealed the same bytes.
    Row("GET", "/api/v2/relay/objects/{id}", Opens::Account, &[200]),
    Row("POST", "/api/v2/relay/fetch", Opens::Account, &[200]),
    Row("POST", "/api/v2/relay/segments", Opens::Adding, &[400]),
    Row("GET", "/api/v2/relay/segments", Opens::Account, &[400]),
    Row("GET", "/api/v2/relay/heads", Opens::Adding, &[200]),
    Row("PUT", "/api/v2/relay/keyring", Opens::Account, &[400]),
    Row("GET", "/api/v2/relay/keyring", Opens::Account, &[404]),
    Row("OPTIONS", "/api/v2/tus", Opens::ForAnybody, &[204]),
    Row("POST", "/api/v2/tus", Opens::Adding, &[201]),
    Row("HEAD", "/api/v2/tus/{id}", Opens::AddingItem, &[200]),
    Row("PATCH", "/api/v2/tus/{id}", Opens::AddingItem, &[204]),
    Row("DELETE", "/api/v2/tus/{id}", Opens::AddingItem, &[204]),
];

impl Row {
    /// Whether success ends a token that other rows need.
    fn ends_a_token(&self) -> bool {
        matches!(self.0, "POST" | "DELETE") && self.1.starts_with("/api/v2/devices/")
            || (self.0, self.1) == ("DELETE", "/api/v2/session")
    }
}

/// The victim, another device of hers, and a stranger.
struct Scene<'a> {
    stand: &'a Stand,
    victim: Victim,
    other_upload: String,
    ended: String,
    stranger: Victim,
}

impl Scene<'_> {
    fn new(stand: &Stand) -> Scene<'_> {
        let victim = Victim::of(stand);
        let other = Native::sign_in(stand, &victim.person);
        let path = format!("/devices/{}/upload-token", other.device_id);
        let answer = other.send(other.request("POST", &path).body(Body::Bytes(b"")));
        let other_upload = text_of(&answer, "upload_token");
        let past = Native::sign_in(stand, &victim.person);
        assert_eq!(past.send(past.request("DELETE", "/session")).status(), 204);
        let stranger = Victim::of(stand);
        Scene { stand, victim, other_upload, ended: past.access, stranger }
    }

    /// What is shown, and the device UUID that goes with it.
    fn shown(&self, kind: Kind) -> (Option<&str>, Option<&str>) {
        let (victim, stranger) = (&self.victim, &self.stranger);
        match kind {
            Kind::Nobody => (None, None),
            Kind::Garbage => (Some("psu_nobody-ever-gave-this"), None),
            Kind::Refresh => (Some(&victim.phone.refresh), None),
            Kind::Ended => (Some(&self.ended), None),
            Kind::Bare => (Some(&victim.person.token), None),
            Kind::Upload => (Some(&victim.token), None),
            Kind::OtherUpload => (Some(&self.other_upload), None),
            Kind::Access => (Some(&victim.phone.access), None),
            Kind::Version1 => (Some(&victim.person.token), Some(&victim.person.device_uuid)),
            Kind::StrangerUpload => (Some(&stranger.token), None),
            Kind::StrangerAccess => (Some(&stranger.phone.access), None),
            Kind::StrangerVersion1 => {
                (Some(&stranger.person.token), Some(&stranger.person.device_uuid))
            }
        }
    }

    /// An upload of the victim's that was begun; returns its path.
    fn begin_upload(&self) -> String {
        let answer = self.send("POST", "/api/v2/tus", Kind::Access, &[("Upload-Length", "5")], b"");
        assert_eq!(answer.status(), 201, "{}", answer.text());
        photosync_tests::tus_client::path_of(answer.header("location").expect("a place")).to_owned()
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        kind: Kind,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let (token, uuid) = self.shown(kind);
        let mut request = Request::new(method, path)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Metadata", "filename YS5qcGc=");
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(uuid) = uuid {
            request = request.header("X-Device-UUID", uuid);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.stand.send(match method {
            "GET" | "HEAD" | "OPTIONS" => request,
            _ => request.body(Body::Bytes(body)),
        })
    }

    /// Tries one pair. For an upload it is told afterwards whether it is as it was.
    fn attempt(&self, row: &Row, kind: Kind) -> Attempt {
        let Row(method, route, ..) = row;
        let json = ("Content-Type", "application/json");
        let text = |value: serde_json::Value| value.to_string().into_bytes();
        let (headers, body) = match (*method, *route) {
            ("POST", "/api/v2/session") => {
                let email = &self.victim.person.email;
                let body = json!({"email": email, "password": "a guess 1", "device_name": "x"});
                (vec![json], text(body))
            }
            ("POST", "/api/v2/session/refresh") => {
                (vec![json], text(json!({"refresh_token": "psr_guessed"})))
            }
            ("POST", "/api/v2/pairing/claim") => {
                (vec![json], text(json!({"code": "AAAABBBB", "device_name": "x"})))
            }
            ("POST", "/api/v2/library/receipts") => (vec![json], text(json!({"digests": []}))),
            ("POST", "/api/v2/library/claims") => (vec![json], text(json!({"claims": []}))),
            ("POST", "/api/v2/library/moves") => (vec![json], text(json!({"moves": []}))),
            ("POST", "/api/v2/library/sync") => {
                (vec![json], text(json!({"count": 0, "sum": "0".repeat(64)})))
            }
            ("PUT", _) => (vec![("PhotoSync-Name", "held.jpg")], PHOTO.to_vec()),
            ("POST", "/api/v2/tus") => (vec![("Upload-Length", "5")], Vec::new()),
            ("PATCH", _) => {
                let kind = ("Content-Type", "application/offset+octet-stream");
                (vec![kind, ("Upload-Offset", "0")], b"hel".to_vec())
            }
            _ => (Vec::new(), Vec::new()),
        };
        let upload = route.contains("/tus/{id}").then(|| self.begin_upload());
        let path = upload.clone().unwrap_or_else(|| self.victim.aim(route));
        // A stream of events does not end: who gets in is told so by its head.
        let method = if route.ends_with("/events") { "HEAD" } else { *method };
        let answer = self.send(method, &path, kind, &headers, &body);
        let is_untouched = upload.is_none_or(|path| {
            let now = self.send("HEAD", &path, Kind::Access, &[], b"");
            (now.status(), now.header("upload-offset")) == (200, Some("0"))
        });
        Attempt { answer, is_untouched }
    }
}

struct Attempt {
    answer: Answer,
    is_untouched: bool,
}

#[test]
fn every_route_of_the_document_answers_every_kind_of_token_as_it_should() {
    let stand = Stand::new(&[]);
    let scene = Scene::new(&stand);
    let before = (scene.victim.holdings(), scene.stranger.holdings());
    let mut wrong = Vec::new();
    for row in ROWS {
        let Row(method, route, opens, fine) = row;
        for kind in KINDS {
            let wanted = opens.wanted(*kind, fine);
            let is_fine = wanted == *fine && !matches!(opens, Opens::BySecret);
            // What works once ends a token: with people of its own.
            let own = (row.ends_a_token() && is_fine).then(|| Scene::new(&stand));
            let at = own.as_ref().unwrap_or(&scene);
            let Attempt { answer, is_untouched } = at.attempt(row, *kind);
            let status = answer.status();
            if !wanted.contains(&status) {
                let text = answer.text();
                wrong.push(format!("{method} {route} {kind:?}: {status}, not {wanted:?}: {text}"));
            }
            if !is_fine && !is_untouched {
                wrong.push(format!("{method} {route} {kind:?}: refused, and the upload changed"));
            }
            let is_hers = matches!(kind, Kind::Access | Kind::Version1);
            if !is_hers && !is_fine && String::from_utf8_lossy(&answer.body).contains(NAME) {
                wrong.push(format!("{method} {route} {kind:?} names a file: {}", answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the pairs:\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        (scene.victim.holdings(), scene.stranger.holdings()) == before,
        "everything is as it was"
    );
    stand.require_agreement();
}

#[test]
fn every_route_of_the_document_has_a_row_and_every_row_a_route() {
    // A copy of what the server says of itself; a test of the server compares them.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = fs::read_to_string(path).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in
            methods.as_object().expect("methods").keys().filter(|key| *key != "parameters")
        {
            routes.insert((method.to_uppercase(), path.clone()));
        }
    }
    let rows: BTreeSet<(String, String)> = ROWS
        .iter()
        .map(|Row(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(rows, routes);
}

#[test]
fn a_thief_with_the_upload_token_of_another_device_ends_unfinished_uploads_at_most() {
    let stand = Stand::shared();
    let scene = Scene::new(&stand);
    let before = scene.victim.holdings();
    let headers = [("Upload-Offset", "0"), ("Content-Type", "application/offset+octet-stream")];
    let finished = scene.begin_upload();
    let last = scene.send("PATCH", &finished, Kind::Access, &headers, b"hello");
    assert_eq!((last.status(), last.header("photosync-asset").is_some()), (204, true));
    let unfinished = scene.begin_upload();
    let ended = |path: &str, kind| scene.send("DELETE", path, kind, &[], b"").status();
    for kind in [Kind::StrangerUpload, Kind::StrangerAccess, Kind::StrangerVersion1] {
        assert_eq!((ended(&finished, kind), ended(&unfinished, kind)), (404, 404), "{kind:?}");
    }
    let statuses = (ended(&finished, Kind::OtherUpload), ended(&unfinished, Kind::OtherUpload));
    assert_eq!(statuses, (204, 204));
    // What was finished is a photo of the library like any other.
    let now = scene.victim.holdings();
    assert_eq!(now.listed.len(), before.listed.len() + 1, "{:?}", now.listed.keys());
    assert!(now.listed.values().any(|bytes| bytes == b"hello"));
    assert!(before.listed.iter().all(|(name, bytes)| now.listed.get(name) == Some(bytes)));
    assert_eq!(scene.victim.person.staged(), 0, "nothing is left of the other");
}
