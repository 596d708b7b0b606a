//! The library that people look at, from outside: the timeline, its tiles, edits, the trash, and what is told of changes.

mod archives;

use photosync_tests::http::{Answer, Body, Client};
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};

use crate::backups::hex_of;
use crate::browsers::Browser;
use crate::stand::{PASSWORD, Person, Stand, text_of, wait_until};
use crate::sync::{Native, code_of, json_of};

/// No picture.
const NONE: [&str; 0] = [];

/// Somebody with a phone that sends and a browser that looks and decides.
struct Owner<'a> {
    stand: &'a Stand,
    person: Person,
    phone: Native,
    browser: Browser<'a>,
}

impl<'a> Owner<'a> {
    fn new(stand: &'a Stand) -> Self {
        let person = stand.person();
        let phone = Native::sign_in(stand, &person);
        let browser = Browser::sign_in(stand, &person.email, PASSWORD);
        Self { stand, person, phone, browser }
    }

    fn get(&self, path: &str) -> Answer {
        self.browser.get(&format!("/api/v2{path}"))
    }

    /// An answer that must be 200, as JSON.
    fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        json_of(&answer)
    }

    /// JSON by any method, from the browser.
    fn send_json(&self, method: &'a str, path: &str, json: &Value) -> Answer {
        self.browser.send_json(method, &format!("/api/v2{path}"), json)
    }

    /// A picture that was taken at this wall clock; returns its id.
    fn picture(&self, name: &str, taken: &str, bytes: &[u8]) -> String {
        let answer = self.phone.put(name, &[("PhotoSync-Captured", taken)], bytes);
        assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
        text_of(&answer, "id")
    }

    /// Days of the timeline as (day, count).
    fn days(&self, query: &str) -> Vec<(String, i64)> {
        let timeline = self.read(&format!("/library/timeline{query}"));
        let days = timeline["days"].as_array().expect("days").iter();
        days.map(|day| {
            (
                day["day"].as_str().expect("a text").to_owned(),
                day["count"].as_i64().expect("a number"),
            )
        })
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
            ids.extend(tiles.iter().map(|tile| tile["id"].as_str().expect("a text").to_owned()));
            let Some(after) = page["next"].as_str() else { return ids };
            next = format!("&{cursor}={after}");
        }
    }

    fn timeline_ids(&self) -> Vec<String> {
        self.ids("/library/timeline/tiles", "from", 2)
    }

    /// How many the server says it changed.
    fn change(&self, method: &'a str, path: &str, json: &Value) -> u64 {
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
    let alice = Owner::new(&stand);
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
    let alice = Owner::new(&stand);
    alice.picture("a.jpg", "2024-05-12T12:00:00", &opaque_bytes(9411, 900));
    let first = alice.get("/library/timeline");
    let tag = first.header("etag").expect("a tag").to_owned();
    let again = |path: &str, tag: &str| {
        alice.phone.send(alice.phone.request("GET", path).header("If-None-Match", tag))
    };
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
    let alice = Owner::new(&stand);
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
    // By their ids: newest first, each once, without those in the trash and of others.
    let asked = json!({"ids": [ids[0], ids[3], ids[4], ids[0], Owner::new(&stand).picture("b.jpg", &at(1), b"hers")]});
    let named = alice.send_json("POST", "/library/tiles", &asked);
    assert_eq!(named.status(), 200, "{}", named.text());
    let told: Vec<Value> = json_of(&named)["tiles"].as_array().cloned().unwrap_or_default();
    let told: Vec<&str> = told.iter().filter_map(|tile| tile["id"].as_str()).collect();
    assert_eq!(told, [&ids[3], &ids[0]]);
    let many =
        alice.send_json("POST", "/library/tiles", &json!({"ids": vec!["0".repeat(32); 501]}));
    assert_eq!((many.status(), code_of(&many).as_str()), (413, "too_large"));
    let day = alice.read("/library/timeline/tiles?limit=1&from=2024-05-04");
    assert_eq!(day["tiles"][0]["id"], ids[3].as_str());
    let bad = alice.get("/library/timeline/tiles?from=yesterday");
    assert_eq!((bad.status(), code_of(&bad).as_str()), (400, "bad_request"));
}

#[test]
fn a_day_of_many_pictures_has_a_cursor_for_every_500th() {
    let stand = Stand::shared();
    let alice = Owner::new(&stand);
    let mut client = Client::new(stand.address());
    for n in 0..1003_usize {
        let bytes = n.to_be_bytes();
        let request = alice
            .phone
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
    let alice = Owner::new(&stand);
    let bob = Owner::new(&stand);
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
    let alice = Owner::new(&stand);
    let (kept, gone) = (opaque_bytes(9451, 900), opaque_bytes(9452, 900));
    let keep = alice.picture("kept.jpg", "2024-05-12T12:00:00", &kept);
    let go = alice.picture("gone.jpg", "2024-05-13T12:00:00", &gone);
    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [go]})), 1);
    assert_eq!(alice.change("POST", "/library/trash/empty", &json!({})), 1);
    assert_eq!(alice.ids("/library/tiles?view=trash", "after", 5), NONE);
    assert_eq!(alice.change("POST", "/library/restore", &json!({"ids": [go]})), 0);
    assert_eq!(alice.get(&format!("/library/assets/{go}/details")).status(), 404);
    let trash = alice.person.folder.join(".trash");
    wait_until("the file is removed", || !trash.join(&go).exists());
    assert_eq!(alice.timeline_ids(), [keep.as_str()]);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&gone);
    let kind = "application/vnd.photosync.digests";
    let request = alice.phone.request("POST", "/library/missing").header("Content-Type", kind);
    let answer = alice.phone.send(request.body(Body::Bytes(&digest)));
    assert_eq!(answer.body, [2], "deleted by a person");
    assert!(alice.person.on_disk().values().any(|bytes| *bytes == kept));
    stand.require_agreement();
}

#[test]
fn no_device_decides_what_a_person_decides() {
    let stand = Stand::shared();
    let alice = Owner::new(&stand);
    let id = alice.picture("a.jpg", "2024-05-12T12:00:00", &opaque_bytes(9461, 900));
    let body = json!({"ids": [id], "favourite": true, "name": "Album"}).to_string();
    for (method, path) in [
        ("PATCH", "/library/assets"),
        ("POST", "/library/trash"),
        ("POST", "/library/restore"),
        ("POST", "/library/trash/empty"),
        ("POST", "/albums"),
    ] {
        let request = alice.phone.request(method, path).header("Content-Type", "application/json");
        let answer = alice.phone.send(request.body(Body::Bytes(body.as_bytes())));
        assert_eq!(answer.status(), 403, "{method} {path}: {}", answer.text());
    }
    assert_eq!(alice.timeline_ids(), [id.as_str()]);
    assert_eq!(alice.read("/albums"), json!({"albums": []}));
}

#[test]
fn albums_keep_an_order_and_what_comes_back_from_the_trash_and_lose_no_picture() {
    let stand = Stand::shared();
    let (alice, bob) = (Owner::new(&stand), Owner::new(&stand));
    let at = |n: usize| format!("2024-05-{:02}T12:00:00", n + 1);
    let ids: Vec<String> = (0..5)
        .map(|n| alice.picture(&format!("{n}.jpg"), &at(n), &opaque_bytes(9470 + n as u64, 900)))
        .collect();
    let new = json!({"name": " Sum\u{308}mer ", "ids": [ids[0], ids[1], "nothing", ids[2]]});
    let made = alice.send_json("POST", "/albums", &new);
    assert_eq!(made.status(), 201, "{}", made.text());
    let album = json_of(&made);
    assert_eq!((&album["count"], &album["cover"]["id"]), (&json!(3), &json!(ids[0])));
    let path = format!("/albums/{}", album["id"].as_str().unwrap());
    let tiles = || alice.ids(&format!("{path}/tiles"), "after", 2);
    let change = |end: &str, body: Value| {
        let answer = alice.send_json("POST", &format!("{path}/{end}"), &body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)["changed"].as_u64().unwrap()
    };
    assert_eq!(change("assets", json!({"ids": [ids[2], ids[3], ids[4]]})), 2);
    assert_eq!(tiles(), ids);
    // Many times into the same place: the gaps end, and the order stays.
    for _ in 0..30 {
        assert_eq!(change("order", json!({"ids": [ids[4], ids[3]], "before": ids[1]})), 2);
        assert_eq!(change("order", json!({"ids": [ids[2]], "before": ids[4]})), 1);
        assert_eq!(change("order", json!({"ids": [ids[3], ids[2]], "before": ids[4]})), 2);
    }
    let order = [&ids[0], &ids[3], &ids[2], &ids[4], &ids[1]].map(String::clone);
    assert_eq!(tiles(), order);
    assert_eq!(change("order", json!({"ids": [ids[0]]})), 1);
    assert_eq!(tiles().last(), Some(&ids[0]));
    let sorted = alice.send_json("PATCH", &path, &json!({"sort": "newest", "cover": ids[2]}));
    assert_eq!(json_of(&sorted)["cover"]["id"], ids[2].as_str());
    assert_eq!(tiles(), ids.iter().rev().cloned().collect::<Vec<_>>());

    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [ids[2]]})), 1);
    let now = alice.read(&path);
    assert_eq!((&now["count"], &now["cover"]["id"]), (&json!(4), &json!(ids[4])));
    assert_eq!(alice.change("POST", "/library/restore", &json!({"ids": [ids[2]]})), 1);
    assert_eq!(alice.read(&path)["count"], 5);
    assert_eq!(change("remove", json!({"ids": [ids[1], ids[1]]})), 1);
    let details = alice.read(&format!("/library/assets/{}/details", ids[0]));
    assert_eq!(details["albums"][0]["id"], album["id"]);

    assert_eq!(bob.read("/albums"), json!({"albums": []}));
    for (method, end) in [
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/assets"),
        ("POST", "/remove"),
        ("POST", "/order"),
    ] {
        let all = json!({"ids": [ids[0]], "name": "mine"});
        assert_eq!(bob.send_json(method, &format!("{path}{end}"), &all).status(), 404, "{end}");
    }
    assert_eq!(bob.get(&path).status(), 404);
    assert_eq!(bob.get(&format!("{path}/tiles")).status(), 404);
    let own = json!({"name": "Theirs", "ids": [ids[0]]});
    assert_eq!(json_of(&bob.send_json("POST", "/albums", &own))["count"], 0);
    assert_eq!(alice.send_json("DELETE", &path, &json!({})).status(), 204);
    assert_eq!(alice.get(&path).status(), 404);
    assert_eq!(alice.timeline_ids().len(), 5, "no picture went with it");
}

#[test]
fn a_search_finds_words_whatever_their_marks_and_signs_and_only_what_is_held() {
    let stand = Stand::shared();
    let (alice, bob) = (Owner::new(&stand), Owner::new(&stand));
    let bytes = |n: u64| opaque_bytes(9480 + n, 900);
    let one = alice.picture("%C3%84rger_am_See.jpg", "2024-05-12T12:00:00", &bytes(1));
    let two = alice.picture("IMG_0002.jpg", "2024-05-13T12:00:00", &bytes(2));
    let three =
        alice.phone.put("IMG_0003.jpg", &[("PhotoSync-Albums", "C%C3%B4te%20d'Azur")], &bytes(3));
    let three = text_of(&three, "id");
    let edit = json!({"ids": [two], "caption": "Feier \u{1f389} am Strand", "favourite": true});
    assert_eq!(alice.change("PATCH", "/library/assets", &edit), 1);
    bob.picture("arger.jpg", "2024-05-12T12:00:00", &bytes(4));
    let find = |query: &str| alice.ids(&format!("/library/search?{query}"), "after", 1);
    assert_eq!(find("q=arger"), [one.as_str()]);
    assert_eq!(find("q=%C3%84RG+see"), [one.as_str()], "beginnings, all of them");
    assert_eq!(find("q=arger+strand"), NONE);
    assert_eq!(find("q=%F0%9F%8E%89"), [two.as_str()]);
    assert_eq!(find("q=cote"), [three.as_str()]);
    assert_eq!(find("q=img"), [three.as_str(), &two], "newest first");
    assert_eq!(find("q=jpg"), NONE, "endings are no words");
    assert_eq!(find("q=am&favourite=true"), [two.as_str()]);
    assert_eq!(find("q=am&before_day=2024-05-12"), [one.as_str()]);
    assert_eq!(find("after_day=2024-05-13&before_day=2024-05-13"), [two.as_str()]);
    assert_eq!(find("kind=video"), NONE);
    assert_eq!(find("q=..."), NONE);
    let digest = hex_of(&bytes(2));
    assert_eq!(find(&format!("q=%20{}%20", digest.to_uppercase())), [two.as_str()]);
    assert_eq!(find(&format!("q={digest}&favourite=false")), NONE, "filters hold");
    assert_eq!(find(&format!("q={}", hex_of(&bytes(4)))), NONE, "somebody else's");
    let again = json!({"ids": [two], "caption": "nur noch dies"});
    assert_eq!(alice.change("PATCH", "/library/assets", &again), 1);
    assert_eq!(find("q=strand"), NONE, "words go with the caption");
    assert_eq!(alice.change("POST", "/library/trash", &json!({"ids": [one]})), 1);
    assert_eq!(find("q=arger"), NONE);
    assert_eq!(alice.get("/library/search?kind=song").status(), 400);
    assert_eq!(alice.get(&format!("/library/search?q={}", "x".repeat(300))).status(), 400);
}

#[test]
fn a_page_hears_at_once_that_a_picture_came() {
    let stand = Stand::shared();
    let (alice, bob) = (Owner::new(&stand), Owner::new(&stand));
    let mut heard = Events::listen(&stand, &alice.browser.cookie);
    let mut of_bob = Events::listen(&stand, &bob.browser.cookie);
    let (first, of_nobody) = (heard.next(), of_bob.next());
    alice.picture("a.jpg", "2024-05-12T12:00:00", &opaque_bytes(9501, 900));
    let second = heard.next();
    assert!(second > first, "{second} after {first}");
    assert_eq!(alice.days(&format!("?since={first}")), pairs(&[("2024-05-12", 1)]));
    // Bob hears of his own only.
    bob.picture("b.jpg", "2024-05-12T12:00:00", &opaque_bytes(9502, 900));
    assert_eq!(of_bob.next(), of_nobody + 1, "one picture, one version");
    // Each session has a bounded number of streams.
    let more: Vec<Events> = (0..7).map(|_| Events::listen(&stand, &alice.browser.cookie)).collect();
    assert_eq!(alice.get("/library/events").status(), 429);
    drop((more, heard));
}

/// A stream of server-sent events.
struct Events {
    lines: std::io::BufReader<std::net::TcpStream>,
}

impl Events {
    fn listen(stand: &Stand, cookie: &str) -> Self {
        use std::io::{BufRead, Write};
        let mut socket = std::net::TcpStream::connect(stand.address()).expect("a connection");
        socket.set_read_timeout(Some(std::time::Duration::from_secs(15))).expect("a limit");
        let asked = format!(
            "GET /api/v2/library/events HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n",
            stand.address()
        );
        socket.write_all(asked.as_bytes()).expect("sent");
        let mut lines = std::io::BufReader::new(socket);
        let mut status = String::new();
        lines.read_line(&mut status).expect("an answer");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        Self { lines }
    }

    /// The next version that is told.
    fn next(&mut self) -> i64 {
        use std::io::BufRead;
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("a line in time") > 0, "it ended");
            if let Some(told) = line.strip_prefix("data: ") {
                let told: Value = serde_json::from_str(told).expect("JSON");
                return told["version"].as_i64().expect("a version");
            }
        }
    }
}
