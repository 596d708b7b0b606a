//! What devices say about files: by every way in, in any order, and never taken back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_tests::http::{Body, Request};
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Native, code_of, json_of};
use crate::stand::Stand;

fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An entry of `claims`: these bytes lie at this path.
fn at(bytes: &[u8], path: &str) -> Value {
    let folder = path.rsplit_once('/').map(|(folder, _)| folder);
    let mut claims = json!({"device_asset_id": format!("path:{path}"), "modified_ms": 5});
    if let Some(folder) = folder {
        claims["folder"] = folder.into();
    }
    json!({"digest": hex_digest(bytes), "claims": claims})
}

impl Native {
    /// What became of each entry.
    fn tell(&self, entries: &[Value]) -> Value {
        let answer = self.post_json("/library/claims", &json!({"claims": entries}));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)["told"].clone()
    }

    /// Claims of the only file, as this device sees them.
    fn claims(&self) -> Value {
        self.claims_by("/library/assets")
    }

    fn claims_by(&self, path: &str) -> Value {
        let page = json_of(&self.get(path));
        assert_eq!(page["total"], 1, "{page}");
        page["assets"][0]["claims"].clone()
    }

    /// Paths of the only file, the first one first.
    fn paths(&self) -> Vec<String> {
        paths_of(&self.claims())
    }
}

fn paths_of(claims: &Value) -> Vec<String> {
    let copies = claims["copies"].as_array().cloned().unwrap_or_default();
    let all = std::iter::once(claims.clone()).chain(copies);
    all.filter_map(|place| place["device_asset_id"].as_str().map(str::to_owned)).collect()
}

fn put_at(device: &Native, path: &str, bytes: &[u8]) -> u16 {
    let (id, folder) = (format!("path:{path}"), path.rsplit_once('/').map_or("", |(f, _)| f));
    let headers = [("PhotoSync-Device-Asset-Id", id.as_str()), ("PhotoSync-Folder", folder)];
    device.put("x.jpg", &headers, bytes).status()
}

#[test]
fn every_place_of_the_same_bytes_is_kept_by_whichever_way_it_was_told() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9301, 3000);
    assert_eq!(put_at(&phone, "a/x.jpg", &bytes), 201);
    assert_eq!(put_at(&phone, "b/x.jpg", &bytes), 200);
    assert_eq!(put_at(&phone, "a/x.jpg", &bytes), 200);
    let field = format!(
        "filename {},digest {},device_asset_id {},folder {}",
        STANDARD.encode("x.jpg"),
        STANDARD.encode(hex_digest(&bytes)),
        STANDARD.encode("path:🏖 Sommer/x.jpg"),
        STANDARD.encode("🏖 Sommer"),
    );
    let created = phone.send(
        phone
            .request("POST", "/tus")
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", bytes.len().to_string())
            .header("Upload-Metadata", &field)
            .body(Body::Bytes(b"")),
    );
    assert_eq!(created.status(), 201, "{}", created.text());
    let told = [at(&bytes, "x.jpg"), at(b"not here", "y.jpg"), at(&bytes, "x.jpg")];
    assert_eq!(phone.tell(&told), json!(["known", "unknown", "known"]));
    let all = ["path:a/x.jpg", "path:b/x.jpg", "path:🏖 Sommer/x.jpg", "path:x.jpg"];
    assert_eq!(phone.paths(), all);
    let claims = phone.claims();
    assert_eq!(claims["folder"], "a");
    assert_eq!(claims["copies"][2], json!({"device_asset_id": "path:x.jpg", "modified_ms": 5}));
    // Telling again changes nothing.
    phone.tell(&told);
    assert_eq!(phone.claims(), claims);
    assert_eq!(phone.tell(&[]), json!([]));
}

#[test]
fn a_device_sees_its_own_places_and_a_new_one_those_of_the_first_that_told_paths() {
    let stand = Stand::shared();
    let person = stand.person();
    let sign_in = || Native::sign_in(&stand, &person);
    let (phone, desk, laptop, new) = (sign_in(), sign_in(), sign_in(), sign_in());
    let bytes = opaque_bytes(9302, 3000);
    let camera = [("PhotoSync-Device-Asset-Id", "A1/L0/001"), ("PhotoSync-Folder", "DCIM")];
    assert_eq!(phone.put("x.jpg", &camera, &bytes).status(), 201);
    desk.tell(&[at(&bytes, "desk/x.jpg"), at(&bytes, "desk/copy of x.jpg")]);
    laptop.tell(&[at(&bytes, "laptop/x.jpg")]);
    assert_eq!(phone.paths(), ["A1/L0/001"]);
    assert_eq!(desk.paths(), ["path:desk/x.jpg", "path:desk/copy of x.jpg"]);
    assert_eq!(laptop.paths(), ["path:laptop/x.jpg"]);
    assert_eq!(new.paths(), desk.paths());
    let as_laptop = format!("/library/assets?device={}", laptop.device_id);
    assert_eq!(paths_of(&new.claims_by(&as_laptop)), laptop.paths());
    assert_eq!(code_of(&new.get("/library/assets?device=nobody")), "not_found");
    let stranger = Native::sign_in(&stand, &stand.person());
    let theirs = format!("/library/assets?device={}", stranger.device_id);
    assert_eq!(code_of(&new.get(&theirs)), "not_found", "a device of somebody else");
    // By the name a person gave it, also when it was signed out; and not the one that asks.
    let signed_in = |name: &str| {
        Native::of(&stand, &super::sign_in(&stand, &person.email, crate::stand::PASSWORD, name))
    };
    let (lost, found) = (signed_in("Mum's laptop"), signed_in("Mum's laptop"));
    lost.tell(&[at(&bytes, "lost/x.jpg")]);
    let revoked = found.request("DELETE", &format!("/devices/{}", lost.device_id));
    assert_eq!(found.send(revoked).status(), 204);
    assert_eq!(found.paths(), desk.paths());
    let as_lost = "/library/assets?device=Mum%27s%20laptop";
    assert_eq!(paths_of(&found.claims_by(as_lost)), ["path:lost/x.jpg"]);
    let id = json_of(&desk.get("/library/assets"))["assets"][0]["id"].clone();
    let row = json_of(&laptop.get(&format!("/library/assets/{}", id.as_str().expect("an id"))));
    assert_eq!(row["claims"]["folder"], "laptop");
}

#[test]
fn what_is_told_reaches_no_other_library_and_changes_nothing_but_claims() {
    let stand = Stand::shared();
    let (alice, mallory) = (stand.person(), stand.person());
    let (phone, thief) = (Native::sign_in(&stand, &alice), Native::sign_in(&stand, &mallory));
    let bytes = opaque_bytes(9303, 3000);
    assert_eq!(put_at(&phone, "a/x.jpg", &bytes), 201);
    let before = json_of(&phone.get("/library/assets"));
    let changes = json_of(&phone.get("/library/changes"));
    assert_eq!(thief.tell(&[at(&bytes, "mine/x.jpg")]), json!(["unknown"]));
    assert_eq!(json_of(&phone.get("/library/assets")), before);
    assert_eq!(json_of(&thief.get("/library/assets"))["total"], 0);
    // A second device that tells does not have it settled by that.
    let laptop = Native::sign_in(&stand, &alice);
    laptop.tell(&[at(&bytes, "b/x.jpg")]);
    let tally = json!({"count": 0, "sum": "0".repeat(64)});
    assert_eq!(laptop.post_json("/library/sync", &tally).status(), 204);
    assert_eq!(json_of(&phone.get("/library/changes"))["changes"], changes["changes"]);
    alice.require_library(&[("x.jpg", &bytes)]);
}

#[test]
fn a_stolen_upload_token_can_add_a_place_and_never_changes_or_removes_one() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9304, 3000);
    let favourite = [("PhotoSync-Device-Asset-Id", "path:a/x.jpg"), ("PhotoSync-Folder", "a")];
    assert_eq!(phone.put("x.jpg", &favourite, &bytes).status(), 201);
    let before = phone.claims();
    let path = format!("/devices/{}/upload-token", phone.device_id);
    let issued = phone.send(phone.request("POST", &path).body(Body::Bytes(b"")));
    let token = json_of(&issued)["upload_token"].as_str().expect("a token").to_owned();
    let mut forged = at(&bytes, "a/x.jpg");
    forged["claims"]["folder"] = "elsewhere".into();
    forged["claims"]["modified_ms"] = 1.into();
    let body = json!({"claims": [forged, at(&bytes, "planted/x.jpg")]}).to_string();
    let request = Request::new("POST", "/api/v2/library/claims")
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json");
    let answer = stand.send(request.body(Body::Bytes(body.as_bytes())));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let put = Request::new("PUT", "/api/v2/library/assets")
        .header("Authorization", format!("Bearer {token}"))
        .header("PhotoSync-Name", "x.jpg")
        .header("PhotoSync-Folder", "elsewhere")
        .header("PhotoSync-Device-Asset-Id", "path:a/x.jpg");
    assert_eq!(stand.send(put.body(Body::Bytes(&bytes))).status(), 200);
    let after = phone.claims();
    assert_eq!(after["folder"], before["folder"]);
    assert_eq!(phone.paths(), ["path:a/x.jpg", "path:planted/x.jpg"]);
}

#[test]
fn what_no_header_could_say_and_too_much_at_once_is_refused_and_nothing_is_kept() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9305, 3000);
    assert_eq!(phone.put("x.jpg", &[], &bytes).status(), 201);
    let refused = |entries: Vec<Value>| {
        let answer = phone.post_json("/library/claims", &json!({"claims": entries}));
        (answer.status(), code_of(&answer))
    };
    let good = at(&bytes, "a/x.jpg");
    let mut control = good.clone();
    control["claims"]["folder"] = "a\u{1b}[2J".into();
    assert_eq!(refused(vec![good.clone(), control]), (400, "bad_request".into()));
    let mut digest = good.clone();
    digest["digest"] = "abc".into();
    assert_eq!(refused(vec![digest]), (400, "bad_request".into()));
    let mut copies = good.clone();
    copies["claims"]["copies"] = vec![json!({"folder": "a"}); 1001].into();
    assert_eq!(refused(vec![copies]), (400, "bad_request".into()));
    assert_eq!(refused(vec![good.clone(); 1001]), (413, "too_large".into()));
    let long = vec![b' '; 8 * 1024 * 1024 + 1];
    let answer = phone.post_bytes("/library/claims", "application/json", &long);
    assert_eq!((answer.status(), code_of(&answer).as_str()), (413, "too_large"));
    assert_eq!(phone.claims(), json!({}));
    let nobody = stand.post_json("/api/v2/library/claims", &json!({"claims": [good]}));
    assert_eq!((nobody.status(), code_of(&nobody).as_str()), (401, "unauthorised"));
}

#[test]
fn a_photo_in_too_many_places_keeps_a_thousand_copies_and_says_which_were_not_kept() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9306, 3000);
    assert_eq!(put_at(&phone, "x.jpg", &bytes), 201);
    let entries = |from: usize, to: usize| -> Vec<Value> {
        (from..to).map(|n| at(&bytes, &format!("{n}/x.jpg"))).collect()
    };
    assert_eq!(phone.tell(&entries(0, 999)), json!(vec!["known"; 999]));
    assert_eq!(phone.tell(&entries(998, 1002)), json!(["known", "known", "full", "full"]));
    assert_eq!(phone.paths().len(), 1001);
    assert_eq!(put_at(&phone, "one more/x.jpg", &bytes), 200, "bytes are never refused for it");
    assert_eq!(phone.paths().len(), 1001);
}

#[test]
fn a_page_with_many_copies_ends_early_and_nothing_is_left_out() {
    let stand = Stand::new(&[]);
    let phone = Native::sign_in(&stand, &stand.person());
    let files: Vec<Vec<u8>> = (0..40).map(|n| opaque_bytes(9400 + n, 100)).collect();
    for (n, bytes) in files.iter().enumerate() {
        phone.keep(&format!("{n}.jpg"), bytes);
        let folder = "d".repeat(400);
        let entries: Vec<Value> =
            (0..250).map(|n| at(bytes, &format!("{n}/{folder}/x.jpg"))).collect();
        assert_eq!(phone.tell(&entries), json!(vec!["known"; 250]));
    }
    let (mut path, mut names, mut pages) = ("/library/assets".to_owned(), Vec::new(), 0);
    loop {
        let answer = phone.get(&path);
        assert!(answer.body.len() < 8 * 1024 * 1024, "{} bytes", answer.body.len());
        let page = json_of(&answer);
        for row in page["assets"].as_array().expect("rows") {
            assert_eq!(row["claims"]["copies"].as_array().map(Vec::len), Some(249));
            names.push(row["name"].as_str().expect("a name").to_owned());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/library/assets?after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..40).map(|n| format!("{n}.jpg")).collect();
    assert_eq!(names, expected);
    assert!(pages > 1, "one page of everything");
}

#[test]
fn every_claim_sent_as_tus_metadata_is_listed_as_it_was_said() {
    let stand = Stand::shared();
    let phone = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9307, 300_000);
    let said = [
        ("filename", "IMG_1.HEIC"),
        ("captured", "2024-07-01T18:03:05.250+02:00"),
        ("captured_source", "library"),
        ("device_asset_id", "A1B2/L0/001"),
        ("folder", "DCIM/Über 🏖"),
        ("favourite", "true"),
        ("albums", "Summer\nMum, Dad"),
        ("pair", "A1B2"),
        ("pair_role", "still"),
        ("modified_ms", "1719849785000"),
    ];
    let fields: Vec<String> =
        said.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    let created = phone.send(
        phone
            .request("POST", "/tus")
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", bytes.len().to_string())
            .header("Upload-Metadata", fields.join(","))
            .body(Body::Bytes(b"")),
    );
    assert_eq!(created.status(), 201, "{}", created.text());
    let location = created.header("location").expect("a place").replace("/api/v2", "");
    // In two pieces: what was said at the beginning counts at the end.
    let (first, second) = bytes.split_at(100_000);
    for (offset, piece) in [(0, first), (100_000, second)] {
        let sent = phone.send(
            phone
                .request("PATCH", &location)
                .header("Tus-Resumable", "1.0.0")
                .header("Upload-Offset", offset.to_string())
                .header("Content-Type", "application/offset+octet-stream")
                .body(Body::Bytes(piece)),
        );
        assert_eq!(sent.status(), 204, "{}", sent.text());
    }
    let expected = json!({
        "captured": {
            "local": "2024-07-01T18:03:05.250", "offset_minutes": 120, "source": "library"
        },
        "device_asset_id": "A1B2/L0/001",
        "folder": "DCIM/Über 🏖",
        "favourite": true,
        "albums": ["Summer", "Mum, Dad"],
        "pair": {"id": "A1B2", "role": "still"},
        "modified_ms": 1_719_849_785_000_i64,
    });
    assert_eq!(phone.claims(), expected);
    // A guess that comes as a header says that it is one.
    let laptop = Native::sign_in(&stand, &stand.person());
    let guess = [
        ("PhotoSync-Pair", "path:IMG_1"),
        ("PhotoSync-Pair-Role", "still"),
        ("PhotoSync-Pair-Source", "name"),
    ];
    assert_eq!(laptop.put("IMG_1.HEIC", &guess, &bytes).status(), 201);
    let pair = json!({"id": "path:IMG_1", "role": "still", "source": "name"});
    assert_eq!(laptop.claims()["pair"], pair);
}

#[test]
fn an_upload_that_is_begun_again_from_another_place_keeps_both() {
    let stand = Stand::shared();
    let person = stand.person();
    let (phone, laptop) = (Native::sign_in(&stand, &person), Native::sign_in(&stand, &person));
    let bytes = opaque_bytes(9308, 300_000);
    let create = |device: &Native, path: &str| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let field = format!(
            "filename {},digest {},device_asset_id {},folder {}",
            STANDARD.encode("x.jpg"),
            STANDARD.encode(hex_digest(&bytes)),
            STANDARD.encode(format!("path:{path}")),
            STANDARD.encode(folder),
        );
        let request = device
            .request("POST", "/tus")
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", bytes.len().to_string())
            .header("Upload-Metadata", &field);
        let created = device.send(request.body(Body::Bytes(b"")));
        assert_eq!(created.status(), 201, "{}", created.text());
        created.header("location").expect("a place").replace("/api/v2", "")
    };
    let location = create(&phone, "a/x.jpg");
    assert_eq!(create(&phone, "moved/x.jpg"), location);
    // Another device goes on with it, and says nothing about the first one's folders.
    assert_eq!(create(&laptop, "laptop/x.jpg"), location);
    let sent = laptop.send(
        laptop
            .request("PATCH", &location)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", "0")
            .header("Content-Type", "application/offset+octet-stream")
            .body(Body::Bytes(&bytes)),
    );
    assert_eq!(sent.status(), 204, "{}", sent.text());
    assert_eq!(phone.paths(), ["path:a/x.jpg", "path:moved/x.jpg"]);
    assert_eq!(laptop.tell(&[at(&bytes, "laptop/x.jpg")]), json!(["known"]));
    assert_eq!(laptop.paths(), ["path:laptop/x.jpg"]);
}

#[test]
fn a_moved_file_leaves_its_place_only_on_its_device_and_only_for_one_that_is_known() {
    let stand = Stand::shared();
    let person = stand.person();
    let (phone, laptop) = (Native::sign_in(&stand, &person), Native::sign_in(&stand, &person));
    let bytes = opaque_bytes(9309, 3000);
    assert_eq!(put_at(&phone, "a/x.jpg", &bytes), 201);
    laptop.tell(&[at(&bytes, "a/x.jpg"), at(&bytes, "b/x.jpg")]);
    let moved = |device: &Native, from: &str, to: &str| {
        let (from, to) = (format!("path:{from}"), format!("path:{to}"));
        let moves = json!({"moves": [{"digest": hex_digest(&bytes), "from": from, "to": to}]});
        device.post_json("/library/moves", &moves).status()
    };
    assert_eq!(moved(&phone, "a/x.jpg", "never told/x.jpg"), 204);
    assert_eq!(phone.paths(), ["path:a/x.jpg"], "the last place stays");
    assert_eq!(moved(&laptop, "a/x.jpg", "b/x.jpg"), 204);
    assert_eq!(laptop.paths(), ["path:b/x.jpg"]);
    assert_eq!(laptop.claims()["folder"], "b");
    assert_eq!(phone.paths(), ["path:a/x.jpg"], "of its own device only");
    assert_eq!(moved(&laptop, "a/x.jpg", "b/x.jpg"), 204, "twice is once");
    let thief = Native::sign_in(&stand, &stand.person());
    assert_eq!(moved(&thief, "b/x.jpg", "a/x.jpg"), 204);
    assert_eq!(laptop.paths(), ["path:b/x.jpg"]);
    // An upload-only token opens nothing here.
    let path = format!("/devices/{}/upload-token", laptop.device_id);
    let issued = laptop.send(laptop.request("POST", &path).body(Body::Bytes(b"")));
    let token = json_of(&issued)["upload_token"].as_str().expect("a token").to_owned();
    laptop.tell(&[at(&bytes, "c/x.jpg")]);
    let body = json!({"moves": [{
        "digest": hex_digest(&bytes), "from": "path:b/x.jpg", "to": "path:c/x.jpg",
    }]});
    let request = Request::new("POST", "/api/v2/library/moves")
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json");
    let refused = stand.send(request.body(Body::Bytes(body.to_string().as_bytes())));
    assert_eq!((refused.status(), code_of(&refused).as_str()), (403, "out_of_scope"));
    assert_eq!(laptop.paths(), ["path:b/x.jpg", "path:c/x.jpg"]);
}
