//! The pages about the server itself.

use serde_json::json;

use super::Office;
#[cfg(target_os = "linux")]
use crate::stand::wait_until;
use crate::sync::json_of;

const SECRET: &str = "a secret of thirty-two bytes, or more";

#[test]
fn settings_say_where_they_come_from_and_no_page_holds_a_secret() {
    let settings = [("PHOTOSYNC_AUTH_JWT_SECRET", SECRET), ("PHOTOSYNC_STORAGE_TRASH_DAYS", "12")];
    let office = Office::new(&settings);
    let admin = office.sign_in(&office.ada);
    let shown = admin.get("/api/v2/admin/settings");
    assert_eq!(shown.status(), 200, "{}", shown.text());
    let all = json_of(&shown)["settings"].as_array().expect("settings").clone();
    let of = |name: &str| {
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let (secret, days) = (of("auth.jwt_secret"), of("storage.trash_days"));
    assert_eq!(
        (&secret["is_secret"], &secret["is_set"], secret.get("value")),
        (&json!(true), &json!(true), None)
    );
    assert_eq!((&days["value"], &days["origin"]), (&json!("12"), &json!("variable")));
    assert_eq!(days["origin_name"], "PHOTOSYNC_STORAGE_TRASH_DAYS");
    assert_eq!(of("sync.overdue_days")["origin"], "default");
    for page in ["settings", "health", "jobs", "storage", "updates", "users"] {
        let answer = admin.get(&format!("/api/v2/admin/{page}"));
        assert_eq!(answer.status(), 200, "{page}: {}", answer.text());
        assert!(!answer.text().contains(SECRET), "{page}");
        assert!(!answer.text().contains("argon2") && !answer.text().contains("$2"), "{page}");
    }
}

#[test]
fn room_jobs_and_health_are_told_as_they_are() {
    let office = Office::new(&[]);
    office.ada.keep("a.jpg", b"a picture");
    office.ben.keep("b.jpg", b"another picture");
    let admin = office.sign_in(&office.ada);
    let storage = json_of(&admin.get("/api/v2/admin/storage"));
    assert_eq!((&storage["held_count"], &storage["held_bytes"]), (&json!(2), &json!(24)));
    assert!(storage["places"][0]["free_bytes"].as_u64() > Some(0), "{storage}");
    let jobs = json_of(&admin.get("/api/v2/admin/jobs"));
    assert!(jobs["reading"][0]["oldest_at_ms"].is_number(), "{jobs}");
    assert_eq!((&jobs["backup"]["made_at_ms"], &jobs["overdue"]), (&json!(null), &json!([])));
    let health = json_of(&admin.get("/api/v2/admin/health"));
    let findings = health["findings"].as_array().expect("findings");
    let told = office.stand.command(&["doctor", "--json"], "").stdout;
    for finding in findings {
        let check = finding["check"].as_str().expect("a word");
        assert!(
            told.contains(&format!("\"{check}\"")),
            "the doctor says nothing of {check}: {told}"
        );
    }
    assert!(findings.len() > 5, "{health}");
    let entries = std::fs::read_dir(office.stand.uploads()).expect("a folder");
    let left = entries.filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(".doctor")
    });
    assert_eq!(left.count(), 0, "what was tried on the disk is gone");
    let updates = json_of(&admin.get("/api/v2/admin/updates"));
    assert_eq!((&updates["looks_daily"], updates.get("newer_version")), (&json!(false), None));
    let look = admin.send_json("POST", "/api/v2/admin/updates/look", &json!({}));
    assert_eq!(look.status(), 409, "this build knows no place to look at: {}", look.text());
    let retried =
        admin.send_json("POST", "/api/v2/admin/jobs/media/retry", &json!({ "class": "timeout" }));
    assert_eq!(json_of(&retried), json!({ "count": 0 }));
}

#[cfg(target_os = "linux")]
#[test]
fn previews_that_failed_are_tried_again_when_an_administrator_asks() {
    let office = Office::new(&[("PHOTOSYNC_MEDIA_WORKERS", "1")]);
    let admin = office.sign_in(&office.ada);
    office.ben.keep("torn.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 and then nothing of a picture");
    let media = || json_of(&admin.get("/api/v2/admin/jobs"))["media"].clone();
    let has_failed = || {
        let media = media();
        media["waiting"] == 0 && media["failed"][0]["count"] == 1
    };
    wait_until("the worker gives the torn picture up", has_failed);
    let class = media()["failed"][0]["class"].clone();
    let retry = |class: &serde_json::Value| {
        let asked = json!({ "class": class });
        json_of(&admin.send_json("POST", "/api/v2/admin/jobs/media/retry", &asked))["count"].clone()
    };
    assert_eq!(retry(&json!("no such class")), 0);
    assert_eq!(retry(&class), 1, "{class}");
    wait_until("the worker gives it up once more", has_failed);
    office.stand.require_agreement();
}
