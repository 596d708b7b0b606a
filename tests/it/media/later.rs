//! What comes to be known of a picture after it was looked at, and which pictures look alike.

use serde_json::{Value, json};

use super::files::{Exif, jpeg, with_exif};
use super::{Album, stand};
use crate::browsers::Browser;
use crate::stand::{PASSWORD, wait_until};
use crate::sync::{Native, json_of};

#[test]
fn claims_that_come_later_move_a_picture_by_the_same_order_and_a_mark_comes_with_a_new_one() {
    let album = Album::new(&[]);
    let plain = jpeg(64, 64, 31);
    let dated = with_exif(&plain, &Exif::new().original("2024:05:12 18:30:05", None));
    let named = album.keep("IMG_20200102_030405.jpg", &plain);
    let id = album.keep_with("a.jpg", &[("PhotoSync-Favourite", "true")], &dated);
    assert_eq!(album.looked_at(&named)["taken_source"], "name");
    let row = album.looked_at(&id);
    assert_eq!((&row["taken_source"], &row["favourite"]), (&"exif".into(), &1.into()));

    // Another phone knows better than a name, and no better than the camera.
    let other = Native::sign_in(&album.stand, &album.person);
    let captured = [
        ("PhotoSync-Captured", "2021-06-07T08:09:10+01:00"),
        ("PhotoSync-Captured-Source", "library"),
        ("PhotoSync-Favourite", "true"),
    ];
    assert_eq!(other.put("a.jpg", &captured, &dated).status(), 200);
    assert_eq!(other.put("b.jpg", &captured, &plain).status(), 200);
    let row = album.row(&named);
    assert_eq!(
        (&row["taken_source"], &row["taken_ms"], &row["taken_offset_minutes"]),
        (&"library".into(), &1_623_053_350_000_i64.into(), &60.into())
    );
    assert_eq!(row["favourite"], 0, "a person may have taken the mark away");
    let row = album.row(&id);
    assert_eq!(
        (&row["taken_source"], &row["taken_ms"]),
        (&"exif".into(), &1_715_538_605_000_i64.into())
    );
    let days = json_of(&album.device.get("/library/timeline"));
    let days: Vec<&Value> =
        days["days"].as_array().expect("days").iter().map(|day| &day["day"]).collect();
    assert!(
        days.contains(&&json!("2021-06-07")) && !days.contains(&&json!("2020-01-02")),
        "{days:?}"
    );
    album.stand.stop();
    album.stand.require_agreement();
}

#[test]
fn a_healed_original_is_looked_at_again() {
    let album = Album::new(&[]);
    let bytes = jpeg(640, 480, 32);
    let id = album.keep("a.jpg", &bytes);
    album.looked_at(&id);
    let row = album.row(&id);
    let stored = crate::stand::files_below(&album.stand.uploads())
        .into_iter()
        .find(|path| path.ends_with("a.jpg"))
        .expect("the original");
    std::fs::write(&stored, b"short").expect("a damaged original");
    // What a worker found in damaged bytes.
    album.stand.stop();
    let forget = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE assets SET width = 1 WHERE asset_id = ?', [sys.argv[2]]); db.commit()";
    let database = album.stand.data().join("photosync.db");
    let database = database.to_str().expect("a plain path");
    super::files::run("python3", &["-c", forget, database, &id]);
    album.stand.start();
    let album = Album { device: album.device.at(album.stand.address()), ..album };
    let answer = album.device.put("a.jpg", &[], &bytes);
    assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
    wait_until("it is looked at again", || album.row(&id)["width"] == row["width"]);
    album.require_original(&id, &bytes);
}

/// Ids of each group.
fn groups(answer: &Value) -> Vec<Vec<String>> {
    let groups = answer["groups"].as_array().expect("groups").iter();
    let ids = |group: &Value| {
        let tiles = group["tiles"].as_array().expect("tiles").iter();
        let mut ids: Vec<String> =
            tiles.map(|tile| tile["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    groups.map(ids).collect()
}

fn scaled(picture: &[u8], side: &str, quality: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("a.jpg"), folder.path().join("b.jpg"));
    std::fs::write(&from, picture).expect("a scratch file");
    let paths = [&from, &to].map(|path| path.to_str().expect("a plain path"));
    super::files::run("convert", &[paths[0], "-resize", side, "-quality", quality, paths[1]]);
    std::fs::read(&to).expect("what was converted")
}

/// Bright and dark fields that depend on a seed.
fn fields(seed: u32) -> Vec<u8> {
    let mixed = |mut value: u32| {
        value = (value ^ value >> 16).wrapping_mul(0x7feb_352d);
        value = (value ^ value >> 15).wrapping_mul(0x846c_a68b);
        value ^ value >> 16
    };
    let picture = image::RgbImage::from_fn(900, 800, |x, y| {
        image::Rgb([(mixed(x / 100 + 9 * (y / 100) + seed * 1000) >> 24) as u8; 3])
    });
    let mut bytes = Vec::new();
    let encoder = &mut image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.encode_image(&picture).expect("a JPEG in memory");
    bytes
}

#[test]
fn pictures_that_look_alike_are_suggested_until_a_person_says_that_they_are_different() {
    let stand = stand(&[]);
    let album = Album::at(stand);
    let browser = Browser::sign_in(&album.stand, &album.person.email, PASSWORD);
    let one = fields(6);
    let sent = [
        ("one.jpg", one.clone()),
        ("smaller.jpg", scaled(&one, "50%", "80")),
        ("worse.jpg", scaled(&one, "90%", "40")),
        ("other.jpg", fields(5)),
        // The same but for its metadata, which is no likeness.
        ("edited.jpg", with_exif(&fields(5), &Exif::new().text(0x0131, "An editor"))),
        // Flat ones look like everything flat.
        ("flat.jpg", super::hostile::flat(1)),
        ("flatter.jpg", super::hostile::flat(200)),
    ];
    let ids: Vec<String> = sent.iter().map(|(name, bytes)| album.keep(name, bytes)).collect();
    for id in &ids {
        assert_eq!(album.looked_at(id)["media_state"], "done");
    }
    let ask = |kind: &str| {
        let answer = album.device.get(&format!("/library/duplicates{kind}"));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)
    };
    let sorted = |indexes: &[usize]| {
        let mut chosen: Vec<String> = indexes.iter().map(|index| ids[*index].clone()).collect();
        chosen.sort();
        chosen
    };
    let similar = ask("?kind=similar");
    assert_eq!(groups(&similar), [sorted(&[0, 1, 2])], "{similar}");
    assert_eq!(
        (&similar["groups"][0]["kind"], &similar["next"]),
        (&json!("similar"), &Value::Null)
    );
    for same in [ask(""), ask("?kind=same")] {
        assert_eq!(groups(&same), [sorted(&[3, 4])], "{same}");
        assert_eq!(same["groups"][0]["kind"], "same");
    }

    let say = |ids: &[String], different: bool| {
        let body = json!({"ids": ids, "different": different});
        browser.send_json("POST", "/api/v2/library/duplicates/different", &body).status()
    };
    assert_eq!(say(&sorted(&[0, 2]), true), 204);
    let left = groups(&ask("?kind=similar"));
    assert!(left.iter().all(|group| group.len() == 2 && *group != sorted(&[0, 2])), "{left:?}");
    assert_eq!(say(&sorted(&[0, 1, 2]), true), 204);
    assert_eq!(groups(&ask("?kind=similar")), Vec::<Vec<String>>::new());
    assert_eq!(say(&sorted(&[0, 1, 2]), false), 204);
    assert_eq!(groups(&ask("?kind=similar")), [sorted(&[0, 1, 2])]);
    assert_eq!(say(&sorted(&[3, 4]), true), 204);
    assert_eq!(groups(&ask("")), Vec::<Vec<String>>::new());
    assert_eq!(say(&ids[..1], true), 400);
    // A picture in the trash is no suggestion.
    let answer = browser.send_json("POST", "/api/v2/library/trash", &json!({"ids": [ids[1]]}));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(groups(&ask("?kind=similar")), [sorted(&[0, 2])]);

    let stranger = Album::at(super::stand(&[]));
    let theirs = json_of(&stranger.device.get("/library/duplicates?kind=similar"));
    assert_eq!(groups(&theirs), Vec::<Vec<String>>::new());
    for wrong in ["?kind=any", "?kind=similar&after=%27", "?after=xyz"] {
        assert_eq!(
            album.device.get(&format!("/library/duplicates{wrong}")).status(),
            400,
            "{wrong}"
        );
    }
    album.stand.stop();
    album.stand.require_agreement();
}
