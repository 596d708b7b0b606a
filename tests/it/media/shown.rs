//! What lies beside the timeline, in a real browser: the map, duplicates, an album's order, films, Live Photos, fingers.

use std::time::Duration;

use serde_json::Value;

use super::files::{Exif, by_ffmpeg, jpeg, with_exif};
use super::stand;
use crate::foreign::Program;
use crate::stand::{PASSWORD, wait_until};
use crate::sync::{Native, json_of};

const EMAIL: &str = "ada@example.org";
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// A JPEG that was taken at a place: whole degrees and minutes, north and east positive.
fn taken_at(jpeg: &[u8], north: (i32, u32), east: (i32, u32)) -> Vec<u8> {
    let angle = |(degrees, minutes): (i32, u32)| {
        let numbers = [degrees.unsigned_abs(), 1, minutes, 1, 0, 1];
        numbers.map(u32::to_be_bytes).concat()
    };
    let side =
        |(degrees, _): (i32, u32), letters: [u8; 2]| [letters[usize::from(degrees < 0)], 0, 0, 0];
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
    };
    // One directory that points to that of places, and the angles behind it.
    let (places_at, angles_at) = (26_u32, 80_u32);
    let tiff = [
        b"MM\0*\0\0\0\x08\0\x01".to_vec(),
        entry(0x8825, 4, 1, places_at.to_be_bytes()),
        vec![0; 4],
        vec![0, 4],
        entry(1, 2, 2, side(north, *b"NS")),
        entry(2, 5, 3, angles_at.to_be_bytes()),
        entry(3, 2, 2, side(east, *b"EW")),
        entry(4, 5, 3, (angles_at + 24).to_be_bytes()),
        vec![0; 4],
        angle(north),
        angle(east),
    ]
    .concat();
    let content = [b"Exif\0\0", &tiff[..]].concat();
    let length = u16::try_from(content.len() + 2).expect("a short segment").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &content, &jpeg[2..]].concat()
}

#[test]
fn maps_duplicates_orders_films_and_fingers_work_in_a_browser_and_lose_nothing() {
    let stand = stand(&[]);
    let ada = stand.person_called(EMAIL);
    let device = Native::sign_in(&stand, &ada);
    let folder = tempfile::tempdir().expect("a folder");
    let plain = jpeg(640, 480, 3);
    let dated = with_exif(&plain, &Exif::new().original("2024:05:12 18:30:05", None));
    let live = "0D5F9A1C-1111-2222-3333-444455556666";
    let still = with_exif(&jpeg(640, 480, 5), &Exif::new().apple_content_id(live));
    let tag = format!("com.apple.quicktime.content.identifier={live}");
    let tagged = ["-pix_fmt", "yuv420p", "-movflags", "use_metadata_tags", "-metadata", &tag];
    let small = "testsrc2=size=320x240:duration=1:rate=10";
    let long = "testsrc2=size=320x240:duration=20:rate=10";
    let short = "testsrc2=size=320x240:duration=2:rate=10";
    let h264 = ["-pix_fmt", "yuv420p", "-g", "20", "-movflags", "+faststart"];
    let files = [
        ("IMG_1.jpg", taken_at(&jpeg(640, 480, 11), (38, 43), (-9, 8))),
        ("IMG_2.jpg", taken_at(&jpeg(480, 640, 12), (38, 44), (-9, 9))),
        ("IMG_3.jpg", taken_at(&jpeg(640, 480, 13), (35, 41), (139, 41))),
        ("plain.jpg", plain),
        ("dated.jpg", dated),
        ("live.jpg", still),
        ("live.mov", by_ffmpeg(folder.path(), "live.mov", small, &tagged)),
        ("film.mp4", by_ffmpeg(folder.path(), "film.mp4", long, &h264)),
        ("old.avi", by_ffmpeg(folder.path(), "old.avi", short, &["-c:v", "mpeg4"])),
    ];
    for (name, bytes) in &files {
        ada.keep(name, bytes);
    }
    wait_until("the worker has looked at every file", || {
        json_of(&device.get("/me"))["media_waiting"] == 0
    });

    let base = format!("http://{}", stand.address());
    let mut script = Program::browser("library.mjs", &[&base, EMAIL, PASSWORD]);
    let mut arranged = Value::Null;
    for wanted in [
        "looked at the map",
        "kept one of two",
        "arranged",
        "watched a film",
        "was told of the other",
        "saw a Live Photo move",
        "pinched",
        "swiped",
        "closed by a finger",
        "nothing went wrong",
    ] {
        let line = script.next(STEP_WITHIN);
        assert_eq!(line["step"], wanted, "{line}");
        if wanted == "arranged" {
            arranged = line;
        }
    }

    let album = arranged["album"].as_str().expect("an id");
    let page = json_of(&device.get(&format!("/albums/{album}/tiles")));
    let order: Vec<&Value> =
        page["tiles"].as_array().into_iter().flatten().map(|tile| &tile["id"]).collect();
    assert_eq!(order, arranged["order"].as_array().expect("ids").iter().collect::<Vec<_>>());
    let trash = json_of(&device.get("/library/tiles?view=trash"));
    assert_eq!(trash["tiles"].as_array().map(Vec::len), Some(1), "one of the two alike: {trash}");
    assert_eq!(ada.on_disk().len(), files.len() - 1, "nothing else left its place");
    stand.require_agreement();
}
