//! Films in a version that every browser plays: which ones get it, what it is, and what is seen of it meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::Album;
use super::files::{by_ffmpeg, run};
use crate::stand::wait_until;
use crate::sync::{Native, json_of};

const FILM: &str = "testsrc2=size=320x240:duration=3:rate=10";
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3"];

impl Album {
    pub(super) fn details(&self, id: &str) -> Value {
        let answer = self.device.get(&format!("/library/assets/{id}/details"));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)
    }

    fn playable(&self, method: &str, id: &str) -> Value {
        let path = format!("/library/assets/{id}/playable");
        let answer = self.device.send(self.device.request(method, &path));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json_of(&answer)
    }

    fn wait_for(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        wait_until(&format!("the film is {state}"), || {
            last = self.playable("GET", id);
            assert!(last["state"] != "failed" || state == "failed", "{last} {}", self.stand.log());
            last["state"] == state
        });
        last
    }
}

/// What ffprobe says of streams, as `key=value` lines.
fn probe(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    fs::write(file.path(), bytes).expect("a scratch file");
    let path = file.path().to_str().expect("a plain path");
    let entries = "stream=codec_name,pix_fmt,width,height,color_transfer:format=duration";
    let arguments = ["-v", "error", "-show_entries", entries, "-of", "default=nw=1", path];
    String::from_utf8(run("ffprobe", &arguments).stdout).expect("text")
}

fn film(folder: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let all = [&SOUND[..], &["-shortest"], options].concat();
    by_ffmpeg(folder, name, FILM, &all)
}

#[test]
fn a_short_film_that_no_browser_plays_gets_a_version_that_does_and_the_original_stays() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = film(folder.path(), "a.avi", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]);
    let id = album.keep("a.avi", &bytes);
    let row = album.looked_at(&id);
    assert_eq!(row["kind"], "video", "{row}");
    assert!((2900..=3200).contains(&row["duration_ms"].as_i64().unwrap_or(0)), "{row}");
    assert_eq!(album.details(&id)["plays"], "nowhere");
    // Nobody asked.
    album.wait_for(&id, "ready");
    let made = album.rendition(&id, "playable");
    assert_eq!((made.status(), made.header("Content-Type")), (200, Some("video/mp4")));
    assert_eq!(made.header("Content-Security-Policy"), Some("default-src 'none'; sandbox"));
    let said = probe(&made.body);
    for wanted in ["codec_name=h264", "pix_fmt=yuv420p", "codec_name=aac", "width=320"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let place = |kind: &[u8]| made.body.windows(4).position(|window| window == kind);
    assert!(place(b"moov") < place(b"mdat"), "the index comes first");
    let part = album.device.request("GET", &format!("/library/assets/{id}/renditions/playable"));
    let part = album.device.send(part.header("Range", "bytes=4-7"));
    assert_eq!((part.status(), part.body.as_slice()), (206, &b"ftyp"[..]));
    album.require_original(&id, &bytes);

    // A cache that is gone is a film nobody asked for, and is made again for whoever does.
    fs::remove_dir_all(album.stand.data().join("renditions")).expect("a folder of a cache");
    assert_eq!(album.playable("GET", &id)["state"], "none");
    assert_eq!(album.rendition(&id, "playable").status(), 404);
    assert_eq!(album.playable("POST", &id)["state"], "waiting");
    album.wait_for(&id, "ready");
    let stranger = Native::sign_in(&album.stand, &album.stand.person());
    for path in ["renditions/playable", "playable", "motion"] {
        assert_eq!(stranger.get(&format!("/library/assets/{id}/{path}")).status(), 404, "{path}");
    }
    let work = album.stand.data().join("renditions/.work");
    wait_until("nothing is left of the work", || {
        fs::read_dir(&work).is_ok_and(|mut left| left.next().is_none())
    });
    album.stand.stop();
    album.stand.require_agreement();
}

#[test]
fn what_plays_is_known_by_container_codec_and_sound() {
    let album = Album::new(&[("PHOTOSYNC_MEDIA_PLAYABLE_BYTES", "0")]);
    let folder = tempfile::tempdir().expect("a folder");
    let h264 = ["-c:v", "libx264", "-preset", "ultrafast"];
    let with = |more: &[&'static str]| [&h264[..], more].concat();
    let cases: [(&str, Vec<&str>, &str, Option<&str>); 8] = [
        ("a.mp4", with(&["-pix_fmt", "yuv420p"]), "everywhere", Some("mp4a.40.2")),
        ("b.mov", with(&["-pix_fmt", "yuv420p"]), "everywhere", Some("avc1.")),
        ("pcm.mov", with(&["-pix_fmt", "yuv420p", "-c:a", "pcm_s16le"]), "nowhere", None),
        ("deep.mp4", with(&["-pix_fmt", "yuv420p10le"]), "nowhere", Some("avc1.6e")),
        ("a.mkv", with(&["-pix_fmt", "yuv420p"]), "nowhere", Some("avc1.")),
        ("a.webm", vec!["-c:v", "libvpx-vp9", "-deadline", "realtime"], "everywhere", Some("vp9")),
        ("a.mpg", vec!["-r", "25"], "nowhere", None),
        (
            "hevc.mp4",
            vec![
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-x265-params",
                "log-level=none",
                "-tag:v",
                "hvc1",
            ],
            "some",
            Some("hvc1.1.6."),
        ),
    ];
    for (name, options, plays, codecs) in cases {
        let bytes = film(folder.path(), name, &options);
        let id = album.keep(name, &bytes);
        let row = album.looked_at(&id);
        assert_eq!(row["media_state"], "done", "{name} {row}");
        let length = row["duration_ms"].as_i64().unwrap_or(0);
        assert!((2800..=3300).contains(&length), "{name} {row}");
        let details = album.details(&id);
        assert_eq!(details["plays"], plays, "{name} {details}");
        let told = details["codecs"].as_str();
        assert_eq!(told.is_some(), codecs.is_some(), "{name} {details}");
        assert!(told.unwrap_or("").contains(codecs.unwrap_or("")), "{name} {details}");
        assert_eq!(album.playable("POST", &id)["state"], "off");
    }
}

#[test]
fn a_film_with_wide_light_is_brought_to_what_screens_show() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = film(
        folder.path(),
        "hdr.mov",
        &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p10le",
            "-tag:v",
            "hvc1",
            "-x265-params",
            "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "arib-std-b67",
            "-colorspace",
            "bt2020nc",
        ],
    );
    let id = album.keep("hdr.mov", &bytes);
    let row = album.looked_at(&id);
    assert_eq!((&row["media_state"], &row["transfer"]), (&"done".into(), &"hlg".into()), "{row}");
    assert_eq!(row["plays"], "some");
    album.wait_for(&id, "ready");
    let said = probe(&album.rendition(&id, "playable").body);
    for wanted in ["codec_name=h264", "pix_fmt=yuv420p\n", "color_transfer=bt709"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    album.require_original(&id, &bytes);
}

#[test]
fn pictures_that_play_are_copied_and_a_large_film_is_made_smaller_only_where_it_has_to_be() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    let bytes = film(folder.path(), "a.mkv", &options);
    let id = album.keep("a.mkv", &bytes);
    album.looked_at(&id);
    album.wait_for(&id, "ready");
    let made = folder.path().join("made.mp4");
    fs::write(&made, &album.rendition(&id, "playable").body).expect("a scratch file");
    let hash = |path: &Path| {
        let path = path.to_str().expect("a plain path");
        run("ffmpeg", &["-v", "error", "-i", path, "-map", "0:v", "-f", "md5", "-"]).stdout
    };
    assert_eq!(hash(&made), hash(&folder.path().join("a.mkv")), "the same pictures");
}

/// A program that makes posters as ffmpeg does, and is never done with a film.
fn slow_ffmpeg(folder: &Path) -> String {
    let path = folder.join("ffmpeg");
    let script = "#!/usr/bin/python3\nimport os, sys, time\nif '-progress' in sys.argv:\n  print('out_time_us=1500000', flush=True)\n  time.sleep(600)\nos.execv('/usr/bin/ffmpeg', sys.argv)\n";
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script");
    path.to_str().expect("a plain path").to_owned()
}

#[test]
fn whoever_asks_sees_how_far_it_is_and_a_server_that_stops_begins_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let ffmpeg = slow_ffmpeg(folder.path());
    let album = Album::new(&[("PHOTOSYNC_MEDIA_FFMPEG", &ffmpeg)]);
    let bytes = film(folder.path(), "a.avi", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]);
    let id = album.keep("a.avi", &bytes);
    album.looked_at(&id);
    wait_until("half of it is done", || {
        let told = album.playable("GET", &id);
        let half = 0.4..0.6;
        told["state"] == "making" && half.contains(&told["progress"].as_f64().unwrap_or(0.0))
    });
    // The first is made ahead; what somebody asks for comes first.
    let other = album.keep("b.avi", &[&bytes[..], b"other"].concat());
    album.looked_at(&other);
    album.playable("POST", &other);
    album.wait_for(&other, "making");
    album.wait_for(&id, "waiting");
    album.stand.stop();
    fs::write(folder.path().join("ffmpeg"), "#!/bin/sh\nexec /usr/bin/ffmpeg \"$@\"\n")
        .expect("a script");
    album.stand.start();
    let album = Album { device: album.device.at(album.stand.address()), ..album };
    album.wait_for(&id, "ready");
    album.wait_for(&other, "ready");
    album.stand.stop();
    album.stand.require_agreement();
}

#[test]
fn films_have_a_room_of_their_own_and_the_one_nobody_looked_at_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    // Three films of about 90 KB into a room of 220 KB, of which half may be filled ahead.
    let album = Album::new(&[("PHOTOSYNC_MEDIA_PLAYABLE_BYTES", "220000")]);
    let bytes = film(folder.path(), "a.avi", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]);
    let ids = ["a", "b", "c"].map(|name| {
        let id = album.keep(&format!("{name}.avi"), &[&bytes[..], name.as_bytes()].concat());
        album.looked_at(&id);
        album.playable("POST", &id);
        album.wait_for(&id, "ready");
        id
    });
    let sizes: Vec<usize> =
        ids.iter().map(|id| album.rendition(id, "playable").body.len()).collect();
    assert_eq!(album.playable("GET", &ids[0])["state"], "none", "{sizes:?}");
    assert_eq!(album.rendition(&ids[0], "playable").status(), 404);
    assert_eq!(album.playable("GET", &ids[2])["state"], "ready");
    // One that does not fit at all is too large, and the others stay.
    let noise = by_ffmpeg(
        folder.path(),
        "noise.avi",
        "nullsrc=size=640x480:duration=3:rate=25,geq=random(1)*255:128:128",
        &["-c:v", "mpeg4", "-q:v", "2"],
    );
    let large = album.keep("noise.avi", &noise);
    album.looked_at(&large);
    album.playable("POST", &large);
    let told = album.wait_for(&large, "failed");
    assert_eq!(told["error"], "too_large");
    assert_eq!(album.playable("GET", &ids[2])["state"], "ready");
    album.require_original(&large, &noise);
}
