//! The library that people look at, from outside: the timeline, its tiles, edits, the trash, and what is told of changes.

use photosync_tests::http::{Answer, Body, Client};
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};

use crate::stand::{Stand, text_of, wait_until};
use crate::sync::{Native, code_of, json_of};

/// No picture.
const NONE: [&str; 0] = [];

impl Native {
    /// JSON by any method.
    fn send_json(&self, method: &str, path: &str, json: &Value) -> Answer {
        let text = json.to_string();
        let request = self.request(method, path).header("Content-Type", "application/json");
        self.send(request.body(Body::Bytes(text.as_bytes())))
    }

    /// An answer that must be 200, as JSON.
    fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        json_of(&answer)
    }

    /// A picture that was taken at this wall clock; returns its id.
    fn picture(&self, name: &str, taken: &str, bytes: &[u8]) -> String {
        let answer = self.put(name, &[("PhotoSync-Captured", taken)], bytes);
        assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
        text_of(&answer, "id")
    }

    /// Days of the timeline as (day, count).
    fn days(&self, query: &str) -> Vec<(String, i64)> {
        let timeline = self.read(&format!("/library/timeline{query}"));
        let days = timeline["days"].as_array().expect("days").iter();
        days.map(|day| (day["day"].as_str().unwrap().to_owned(), day["count"].as_i64().unwrap()))
            .collect()
    }

    /// Ids of a listing, over all its pages.
    fn ids(&self, path: &str, cursor: &str, limit: usize) -> Vec<String> {
        let mut ids = Vec::new();
        let mut next = String::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.read(&format!("{path}{sign}limit={limit}{next}"));
            let tiles = page["tiles"].as_array().expect("tiles");
            assert!(tiles.len() <= limit);
            ids.extend(tiles.iter().map(|tile| tile["id"].as_str().unwrap().to_owned()));
            let Some(after) = page["next"].as_str() else { return ids };
            next = format!("&{cursor}={after}");
        }
    }

    fn timeline_ids(&self) -> Vec<String> {
        self.ids("/library/timeline/tiles", "from", 2)
    }

    /// How many the server says it changed.
    fn change(&self, method: &str, path: &str, json: &Value) -> u64 {
        let answer = self.send_json(method, path, json);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        json_of(&answer)["changed"].as_u64().expect("a number")
    }
}

fn pairs(days: &[(&str, i64)]) -> Vec<(String, i64)> {
    days.iter().map(|(day, count)| ((*day).to_owned(), *count)).collect()
}

#[test]
fn the_timeline_follows_uploads_the_trash_restores_and_edits() {
    let stand = Stand::shared();
    let alice = Native::sign_in(&stand, &stand.person());
    assert_eq!(alice.days(""), []);
    let old = alice.picture("old.jpg", "1969-12-31T23:59:59", &opaque_bytes(9401, 900));
    let noon = alice.picture("noon.jpg", "2024-05-12T12:00:00+02:00", &opaque_bytes(9402, 900));
    let night = alice.picture("night.jpg", "2024-05-12T23:59:59", &opaque_bytes(9403, 900));
    let both = pairs(&[("2024-05-12", 2), ("1969-12-31", 1)]);
    assert_eq!(alice.days(""), both, "the wall clock counts, whatever the zone");
    assert_eq!(alice.timeline_ids(), [night.as_str(), &noon, &old]);
    let timeline = alice.read("/library/timeline");
    assert_eq!((&timeline["total"], &timeline["days"][0]["shape"]), (&json!(3), &json!("gIA=")));
    let version = timeline["version"].as_i64().expect("a version");
    assert_eq!(alice.days(&format!("?since={version}")), []);

    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [old, old, "nothing"]})), 1);
    let since = alice.read(&format!("/library/timeline?since={version}"));
    assert_eq!(since["days"], json!([{"day": "1969-12-31", "count": 0, "shape": ""}]));
    assert_eq!(since["total"], 2);
    assert_eq!(alice.days(""), pairs(&[("2024-05-12", 2)]));
    assert_eq!(alice.ids("/library/tiles?view=trash", "after", 5), [old.as_str()]);
    assert_eq!(alice.change("POST", "/library/restore", &json!({"ids": [old, noon]})), 1);
    assert_eq!(alice.days(""), both);
    assert_eq!(alice.ids("/library/tiles?view=trash", "after", 5), NONE);

    let archive = json!({"ids": [noon], "archived": true});
    assert_eq!(alice.change("PATCH", "/library/assets", &archive), 1);
    assert_eq!(alice.timeline_ids(), [night.as_str(), &old]);
    assert_eq!(alice.ids("/library/tiles?view=archive", "after", 5), [noon.as_str()]);
    let moved = json!({"ids": [night], "taken": "2023-01-01T00:00:00", "favourite": true});
    assert_eq!(alice.change("PATCH", "/library/assets", &moved), 1);
    assert_eq!(alice.days(""), pairs(&[("2023-01-01", 1), ("1969-12-31", 1)]));
    assert_eq!(alice.ids("/library/tiles?view=favourites", "after", 5), [night.as_str()]);
    assert_eq!(alice.ids("/library/tiles?view=recent", "after", 2), [night.as_str(), &noon, &old]);
    stand.require_agreement();
}

#[test]
fn a_timeline_that_did_not_change_is_not_sent_again() {
    let stand = Stand::shared();
    let alice = Native::sign_in(&stand, &stand.person());
    alice.picture("a.jpg", "2024-05-12T12:00:00", &opaque_bytes(9411, 900));
    let first = alice.get("/library/timeline");
    let tag = first.header("etag").expect("a tag").to_owned();
    let again =
        |path: &str, tag: &str| alice.send(alice.request("GET", path).header("If-None-Match", tag));
    let same = again("/library/timeline", &tag);
    assert_eq!((same.status(), same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(tag.as_str()));
    let other = again("/library/timeline?since=0", &tag);
    assert_eq!(other.status(), 200, "the tag is of the answer to another question");
    alice.picture("b.jpg", "2024-05-12T12:00:01", &opaque_bytes(9412, 900));
    assert_eq!(again("/library/timeline", &tag).status(), 200);
}

#[test]
fn cursors_stay_where_they_are_while_pictures_come_and_go() {
    let stand = Stand::shared();
    let alice = Native::sign_in(&stand, &stand.person());
    let at = |second: usize| format!("2024-05-{:02}T12:00:00", second + 1);
    let ids: Vec<String> = (0..6)
        .map(|n| alice.picture(&format!("{n}.jpg"), &at(n), &opaque_bytes(9420 + n as u64, 900)))
        .collect();
    let first = alice.read("/library/timeline/tiles?limit=2");
    assert_eq!(first["tiles"][1]["id"], ids[4].as_str());
    let next = first["next"].as_str().expect("a next page").to_owned();
    // A newer one comes, the last one of the page goes, and one of the next page goes.
    alice.picture("new.jpg", "2025-01-01T00:00:00", &opaque_bytes(9430, 900));
    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [ids[4], ids[2]]})), 2);
    let second = alice.read(&format!("/library/timeline/tiles?limit=2&from={next}"));
    assert_eq!(second["tiles"][0]["id"], ids[3].as_str());
    assert_eq!(second["tiles"][1]["id"], ids[1].as_str());
    let day = alice.read("/library/timeline/tiles?limit=1&from=2024-05-04");
    assert_eq!(day["tiles"][0]["id"], ids[3].as_str());
    let bad = alice.get("/library/timeline/tiles?from=yesterday");
    assert_eq!((bad.status(), code_of(&bad).as_str()), (400, "bad_request"));
}

#[test]
fn a_day_of_many_pictures_has_a_cursor_for_every_500th() {
    let stand = Stand::shared();
    let alice = Native::sign_in(&stand, &stand.person());
    let mut client = Client::new(stand.address());
    for n in 0..1003_usize {
        let bytes = n.to_be_bytes();
        let request = alice
            .request("PUT", "/library/assets")
            .header("PhotoSync-Name", format!("{n}.jpg"))
            .header("PhotoSync-Captured", format!("2024-05-12T12:{:02}:{:02}", n / 60, n % 60))
            .body(Body::Bytes(&bytes));
        assert_eq!(client.send(request).expect("an answer").status(), 201);
    }
    let timeline = alice.read("/library/timeline");
    let day = &timeline["days"][0];
    assert_eq!((&timeline["total"], &day["count"]), (&json!(1003), &json!(1003)));
    let all = alice.ids("/library/timeline/tiles", "from", 500);
    assert_eq!(all.len(), 1003);
    let starts = day["starts"].as_array().expect("starts");
    assert_eq!(starts.len(), 2);
    for (index, start) in starts.iter().enumerate() {
        let from = start.as_str().expect("a cursor");
        let page = alice.read(&format!("/library/timeline/tiles?limit=1&from={from}"));
        assert_eq!(page["tiles"][0]["id"], all[500 * (index + 1)].as_str());
    }
}

#[test]
fn details_tell_what_is_known_and_people_see_nothing_of_each_other() {
    let stand = Stand::shared();
    let alice = Native::sign_in(&stand, &stand.person());
    let bob = Native::sign_in(&stand, &stand.person());
    let bytes = opaque_bytes(9441, 900);
    let id = alice.picture("a.jpg", "2024-05-12T12:00:00+02:00", &bytes);
    let edit = json!({"ids": [id], "rating": 4, "caption": " An evening \u{1f305} "});
    assert_eq!(alice.change("PATCH", "/library/assets", &edit), 1);
    let details = alice.read(&format!("/library/assets/{id}/details"));
    assert_eq!(details["tile"]["taken"], "2024-05-12T12:00:00");
    assert_eq!(details["tile"]["caption"], "An evening \u{1f305}");
    assert_eq!((&details["offset_minutes"], &details["rating"]), (&json!(120), &json!(4)));
    assert_eq!((&details["name"], &details["size_bytes"]), (&json!("a.jpg"), &json!(900)));
    assert_eq!(alice.read("/me")["held_count"], 1);

    assert_eq!(bob.get(&format!("/library/assets/{id}/details")).status(), 404);
    for (method, path) in
        [("POST", "/library/trash"), ("POST", "/library/restore"), ("PATCH", "/library/assets")]
    {
        let all = json!({"ids": [id], "favourite": true, "caption": "mine"});
        assert_eq!(bob.change(method, path, &all), 0, "{path}");
    }
    assert_eq!(bob.days(""), []);
    for view in ["favourites", "videos", "archive", "trash", "recent", "missing_media"] {
        let path = format!("/library/tiles?view={view}");
        assert_eq!(bob.ids(&path, "after", 5), NONE);
    }
    assert_eq!(bob.read("/me")["held_count"], 0);
    assert_eq!(alice.timeline_ids(), [id.as_str()], "hers is as it was");
    for edit in [
        json!({"ids": [id], "rating": 6}),
        json!({"ids": [id], "taken": "yesterday"}),
        json!({"ids": [id], "caption": "x".repeat(501)}),
    ] {
        assert_eq!(alice.send_json("PATCH", "/library/assets", &edit).status(), 400, "{edit}");
    }
}

#[test]
fn what_is_emptied_from_the_trash_is_gone_and_stays_deleted_for_devices() {
    let stand = Stand::shared();
    let person = stand.person();
    let alice = Native::sign_in(&stand, &person);
    let (kept, gone) = (opaque_bytes(9451, 900), opaque_bytes(9452, 900));
    let keep = alice.picture("kept.jpg", "2024-05-12T12:00:00", &kept);
    let go = alice.picture("gone.jpg", "2024-05-13T12:00:00", &gone);
    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [go]})), 1);
    assert_eq!(alice.change("POST", "/library/trash/empty", &json!({})), 1);
    assert_eq!(alice.ids("/library/tiles?view=trash", "after", 5), NONE);
    assert_eq!(alice.change("POST", "/library/restore", &json!({"ids": [go]})), 0);
    assert_eq!(alice.get(&format!("/library/assets/{go}/details")).status(), 404);
    wait_until("the file is removed", || !person.on_disk().values().any(|bytes| *bytes == gone));
    assert_eq!(alice.timeline_ids(), [keep.as_str()]);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&gone);
    let kind = "application/vnd.photosync.digests";
    let request = alice.request("POST", "/library/missing").header("Content-Type", kind);
    let answer = alice.send(request.body(Body::Bytes(&digest)));
    assert_eq!(answer.body, [2], "deleted by a person");
    assert!(person.on_disk().values().any(|bytes| *bytes == kept));
    stand.require_agreement();
}
