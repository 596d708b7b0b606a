//! Thumbnails and facts, through the real server and its worker processes. Pictures are made here or by `ffmpeg` and
//! `heif-enc`; what the server noted is read with Python's SQLite.

mod files;
mod films;
mod formats;
mod hostile;
mod later;
mod motion;
mod places;
mod raw;
mod shown;
mod table;

use std::process::Command;

use photosync_tests::http::Answer;
use serde_json::Value;

use crate::stand::{Person, Stand, text_of, wait_until};
use crate::sync::Native;
use files::{Exif, jpeg, with_exif};

/// A server that makes thumbnails.
fn stand(settings: &[(&str, &str)]) -> Stand {
    let mut all = vec![("PHOTOSYNC_MEDIA_WORKERS", "2")];
    all.extend_from_slice(settings);
    Stand::new(&all)
}

/// One person at a server of their own.
struct Album {
    stand: Stand,
    device: Native,
    person: Person,
}

impl Album {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self::at(stand(settings))
    }

    fn at(stand: Stand) -> Self {
        let person = stand.person();
        let device = Native::sign_in(&stand, &person);
        Self { stand, device, person }
    }

    /// Sends a file; its id.
    fn keep(&self, name: &str, bytes: &[u8]) -> String {
        self.keep_with(name, &[], bytes)
    }

    fn keep_with(&self, name: &str, headers: &[(&str, &str)], bytes: &[u8]) -> String {
        let answer = self.device.put(name, headers, bytes);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        text_of(&answer, "id")
    }

    /// What the database says of an asset, once the worker is done with it.
    fn looked_at(&self, id: &str) -> Value {
        let mut row = Value::Null;
        wait_until("the worker has looked at the file", || {
            row = self.row(id);
            row["media_state"] != "waiting"
        });
        row
    }

    fn row(&self, id: &str) -> Value {
        const ASK: &str = "
import json, sqlite3, sys
db = sqlite3.connect('file:%s?mode=ro' % sys.argv[1], uri=True, timeout=20)
db.row_factory = sqlite3.Row
row = db.execute('SELECT * FROM assets LEFT JOIN asset_facts USING (asset_id) WHERE asset_id = ?', [sys.argv[2]]).fetchone()
print(json.dumps({k: (v.hex() if isinstance(v, bytes) else v) for k, v in dict(row).items()}))
";
        let database = self.stand.data().join("photosync.db");
        let asked = Command::new("python3").args(["-c", ASK]).arg(database).arg(id).output();
        let asked = asked.expect("python3");
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        serde_json::from_slice(&asked.stdout).expect("a row as JSON")
    }

    fn rendition(&self, id: &str, recipe: &str) -> Answer {
        self.device.get(&format!("/library/assets/{id}/renditions/{recipe}"))
    }

    /// Width and height of a rendition, as ffprobe sees it.
    fn size_of(&self, id: &str, recipe: &str) -> (u64, u64) {
        let answer = self.rendition(id, recipe);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        files::size_of(&answer.body)
    }

    /// The original is there, byte for byte.
    fn require_original(&self, id: &str, bytes: &[u8]) {
        let answer = self.device.get(&format!("/library/assets/{id}/original"));
        assert_eq!((answer.status(), answer.body == bytes), (200, true));
    }
}

#[test]
fn a_photo_gets_upright_pictures_a_placeholder_and_its_time() {
    let album = Album::new(&[("TZ", "Pacific/Kiritimati")]);
    let exif = Exif::new()
        .orientation(6)
        .text(0x010f, "Acme")
        .text(0x0110, "Cam 1")
        .original("2024:05:12 18:30:05", Some("+02:00"));
    let bytes = with_exif(&jpeg(1600, 1200, 1), &exif);
    let id = album.keep("IMG_1.jpg", &bytes);
    let row = album.looked_at(&id);
    assert_eq!(row["media_state"], "done", "{row}");
    assert_eq!((&row["kind"], &row["camera"]), (&"photo".into(), &"Acme Cam 1".into()));
    assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(1200), Some(1600)));
    assert_eq!(row["taken_ms"], 1_715_538_605_000_i64);
    assert_eq!((&row["taken_source"], &row["taken_offset_minutes"]), (&"exif".into(), &120.into()));
    assert!(row["placeholder"].as_str().is_some_and(|hash| (20..=50).contains(&hash.len())));
    assert_eq!(row["dhash"].as_str().map(str::len), Some(16));
    assert_eq!(album.size_of(&id, "thumb"), (320, 427));
    assert_eq!(album.size_of(&id, "screen"), (1200, 1600));
    album.require_original(&id, &bytes);

    let thumb = album.rendition(&id, "thumb");
    assert_eq!(thumb.header("Content-Type"), Some("image/webp"));
    assert_eq!(thumb.header("Cache-Control"), Some("private, no-cache"));
    assert_eq!(thumb.header("Content-Disposition"), Some("inline"));
    assert_eq!(thumb.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(thumb.header("Content-Security-Policy"), Some("default-src 'none'; sandbox"));
    let kept = album.device.get(&format!("/library/assets/{id}/renditions/thumb?v=1"));
    assert_eq!(kept.header("Cache-Control"), Some("private, max-age=31536000, immutable"));
    let tag = thumb.header("ETag").expect("an entity tag").to_owned();
    let path = format!("/library/assets/{id}/renditions/thumb");
    let same = album.device.send(album.device.request("GET", &path).header("If-None-Match", tag));
    assert_eq!(same.status(), 304);
    assert_eq!(album.rendition(&id, "poster").status(), 404);

    // Somebody else's is not there.
    let stranger = Native::sign_in(&album.stand, &album.stand.person());
    assert_eq!(stranger.get(&path).status(), 404);
}

#[test]
fn a_picture_that_was_deleted_is_made_again() {
    let album = Album::new(&[]);
    let id = album.keep("a.jpg", &jpeg(400, 300, 2));
    album.looked_at(&id);
    assert_eq!(album.rendition(&id, "thumb").status(), 200);
    std::fs::remove_dir_all(album.stand.data().join("renditions")).expect("a folder of a cache");
    let gone = album.rendition(&id, "thumb");
    assert_eq!((gone.status(), text_of(&gone, "code")), (404, "not_found".into()));
    wait_until("the thumbnail is there again", || album.rendition(&id, "thumb").status() == 200);
    album.stand.stop();
    album.stand.require_agreement();
}
