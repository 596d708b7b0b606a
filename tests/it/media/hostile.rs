//! Files that were made to hurt: they cost a class of failure on their asset, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::Album;
use super::files::{Exif, by_heif_enc, jpeg, with_exif};
use crate::stand::{files_below, wait_until};

/// A PNG head that declares a size, and so much of a picture.
pub(super) fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        let length = u32::try_from(content.len()).expect("short").to_be_bytes();
        let body = [kind, content].concat();
        [&length[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &head)[..], &chunk(b"IDAT", data), &chunk(b"IEND", b"")]
        .concat()
}

/// A picture of one grey; nothing in it is brighter than anything else.
pub(super) fn flat(grey: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(300, 200, image::Rgb([grey; 3]));
    let mut bytes = Vec::new();
    let encoder = &mut image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.encode_image(&picture).expect("a JPEG in memory");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn bombs_damage_and_disguises_get_their_class_and_the_next_picture_is_made() {
    let album = Album::new(&[]);
    let whole = jpeg(800, 600, 8);
    let page = b"<html><script>alert(1)</script></html>";
    let huge_jpeg = {
        // The same file with the height and width of its frame changed: 65,000 x 65,000.
        let mut bytes = whole.clone();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("bomb.png", png(30_000, 30_000, b"x"), "too_large"),
        ("wide.png", png(12_000, 12_000, b"x"), "too_large"),
        ("bomb.jpg", huge_jpeg, "too_large"),
        ("empty.png", png(0, 0, b""), "corrupt"),
        ("torn.png", png(100, 100, b"x"), "corrupt"),
        ("head.jpg", whole[..20].to_vec(), "corrupt"),
        ("page.jpg", page.to_vec(), "unsupported"),
        ("noise.heic", [&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], &[7; 500]].concat(), "corrupt"),
        ("noise.mp4", [&b"\0\0\0\x14ftypisom\0\0\0\0isom"[..], &[7; 500]].concat(), "corrupt"),
    ];
    let ids: Vec<String> = cases.iter().map(|(name, bytes, _)| album.keep(name, bytes)).collect();
    for ((name, bytes, class), id) in cases.iter().zip(ids) {
        let row = album.looked_at(&id);
        assert_eq!(
            (&row["media_state"], &row["media_error"]),
            (&"failed".into(), &(*class).into()),
            "{name} {row} {}",
            album.stand.log()
        );
        assert_eq!(row["quarantined_at_ms"], serde_json::Value::Null, "{name}");
        assert_eq!(album.rendition(&id, "thumb").status(), 404, "{name}");
        album.require_original(&id, bytes);
    }
    // What is cut off is shown as far as it goes; a page after the picture is nobody's program.
    for (name, bytes) in
        [("cut.jpg", whole[..whole.len() / 2].to_vec()), ("both.jpg", [&whole[..], page].concat())]
    {
        let id = album.keep(name, &bytes);
        assert_eq!(album.looked_at(&id)["media_state"], "done", "{name}");
        let thumb = album.rendition(&id, "thumb");
        assert_eq!(thumb.header("Content-Type"), Some("image/webp"));
        assert!(!thumb.body.windows(7).any(|window| window == b"<script"));
    }
    let folder = album.stand.data().join("renditions");
    assert!(!folder.join(".work").exists() || files_below(&folder.join(".work")).is_empty());
    album.stand.stop();
    album.stand.require_agreement();
}

#[test]
fn a_program_that_dies_is_tried_three_times_and_one_that_is_missing_is_awaited() {
    let folder = tempfile::tempdir().expect("a folder");
    let dying = folder.path().join("dying");
    fs::write(&dying, "#!/usr/bin/python3\nimport os\nos.abort()\n").expect("a script");
    fs::set_permissions(&dying, fs::Permissions::from_mode(0o755)).expect("a script");
    let heif = by_heif_enc(folder.path(), "a.heic", &jpeg(300, 200, 9));
    let dying = dying.to_str().expect("a plain path");
    let album = Album::new(&[("PHOTOSYNC_MEDIA_HEIF", dying), ("PHOTOSYNC_MEDIA_FFMPEG", "off")]);
    let id = album.keep("a.heic", &heif);
    let film = album.keep("a.mp4", &[&b"\0\0\0\x14ftypisom\0\0\0\0isom"[..], &[7; 500]].concat());
    let row = album.looked_at(&film);
    assert_eq!((&row["media_error"], &row["kind"]), (&"missing_tool".into(), &"video".into()));
    let mut most = 0;
    wait_until("three tries are over", || {
        let row = album.row(&id);
        most = most.max(row["media_attempts"].as_i64().unwrap_or(0));
        row["media_state"] == "failed"
    });
    assert_eq!(album.row(&id)["media_error"], "crashed");
    assert!(most >= 2, "{most}");
    album.require_original(&id, &heif);
}

/// Runs the worker itself with a file.
fn worker(task: &[&str], input: &[u8], memory: Option<&str>) -> std::process::Output {
    let scratch = tempfile::NamedTempFile::new().expect("a scratch file");
    fs::write(scratch.path(), input).expect("a scratch file");
    let program = photosync_tests::server::find_binary().expect("the server");
    let mut command = match memory {
        None => Command::new(&program),
        Some(tracer) => {
            let mut command = Command::new(tracer);
            command.args([
                "-f",
                "-qq",
                "-e",
                "trace=prlimit64,seccomp,landlock_restrict_self,execve,openat,read",
            ]);
            command.arg(&program);
            command
        }
    };
    let input = fs::File::open(scratch.path()).expect("a scratch file");
    command.arg("media-worker").args(task).stdin(input).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).output().expect("an end")
}

#[test]
fn the_jail_is_shut_before_the_first_byte_is_read() {
    let traced = worker(&["look"], &jpeg(64, 64, 1), Some("strace"));
    let log = String::from_utf8_lossy(&traced.stderr).into_owned();
    assert!(traced.status.success(), "{log}");
    let memory = log.find("RLIMIT_AS, {rlim_cur=524288*1024").expect("a limit of memory");
    let filter = log.find("seccomp(SECCOMP_SET_MODE_FILTER").expect("a filter of calls");
    let begin = log.find("read(3, \"\\377\\330\\377").or(log.rfind("\\377\\330\\377"));
    let begin = begin.expect("the file is read");
    assert!(memory < begin && filter < begin, "{log}");
    assert!(!log[filter..].contains("openat("), "nothing is opened inside:\n{}", &log[filter..]);
}

#[test]
fn what_a_tool_becomes_can_open_neither_sockets_nor_files_beside() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").expect("a file");
    let ask = format!(
        "import socket\nfor f in (lambda: open('{}'), lambda: open('/etc/passwd'), socket.socket):\n  try: f(); print('open')\n  except OSError as e: print('shut', e.errno)\nprint(open('/proc/self/fd/0').read())",
        secret.display()
    );
    let task = ["become", "--program", "/usr/bin/python3", "--", "-c", &ask];
    let said = worker(&task, b"the one file", None);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        ["shut 13", "shut 13", "shut 1", "the one file"],
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

#[test]
fn time_does_not_depend_on_the_zone_of_the_server() {
    let exif = Exif::new().original("2024:03:31 02:30:00", None);
    let bytes = with_exif(&jpeg(64, 64, 1), &exif);
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "Europe/Vienna"] {
        let album = Album::new(&[("TZ", zone)]);
        let row = album.looked_at(&album.keep("a.jpg", &bytes));
        assert_eq!(
            (&row["taken_ms"], &row["taken_offset_minutes"]),
            (&1_711_852_200_000_i64.into(), &serde_json::Value::Null),
            "{zone}"
        );
        let named = album.looked_at(&album.keep("IMG_20240331_023000.jpg", &jpeg(64, 64, 2)));
        assert_eq!(
            (&named["taken_ms"], &named["taken_source"]),
            (&row["taken_ms"], &"name".into())
        );
    }
}
