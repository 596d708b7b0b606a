//! docs/FORMATS.md is what the server does: every file of its tables is made here, sent, and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::files::{by_ffmpeg, by_heif_enc, colour_of, jpeg, run};
use super::{Album, hostile, motion, raw};
use crate::stand::wait_until;
use crate::sync::json_of;

const PICTURE: &str = "testsrc2=size=640x480:duration=1:rate=4";

/// What the tables say: file and outcome.
fn told() -> (BTreeMap<String, String>, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMATS.md");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`').to_owned();
        Some((name, cells.nth(1)?.trim().to_owned()))
    });
    (rows.collect(), text)
}

/// The profile of Display P3, with a power for its curve.
fn display_p3() -> Vec<u8> {
    let fixed = |value: f64| ((value * 65536.0).round() as i32).to_be_bytes();
    let place = |xyz: [f64; 3]| [b"XYZ \0\0\0\0".to_vec(), xyz.map(fixed).concat()].concat();
    let curve = b"curv\0\0\0\0\0\0\0\x01\x02\x33\0\0".to_vec();
    let tags: Vec<(&[u8; 4], Vec<u8>)> = vec![
        (b"wtpt", place([0.9642, 1.0, 0.8249])),
        (b"rXYZ", place([0.51512, 0.24120, -0.00105])),
        (b"gXYZ", place([0.29198, 0.69225, 0.04189])),
        (b"bXYZ", place([0.15710, 0.06657, 0.78407])),
        (b"rTRC", curve.clone()),
        (b"gTRC", curve.clone()),
        (b"bTRC", curve),
    ];
    let mut head = vec![0; 128];
    head[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    head[12..24].copy_from_slice(b"mntrRGB XYZ ");
    head[36..40].copy_from_slice(b"acsp");
    head[68..80].copy_from_slice(&[0.9642, 1.0, 0.8249].map(fixed).concat());
    let mut table = u32::try_from(tags.len()).expect("few").to_be_bytes().to_vec();
    let mut values = Vec::new();
    let begin = 128 + 4 + tags.len() * 12;
    for (name, value) in tags {
        let at = u32::try_from(begin + values.len()).expect("short").to_be_bytes();
        let length = u32::try_from(value.len()).expect("short").to_be_bytes();
        table.extend([&name[..], &at, &length].concat());
        values.extend(value);
    }
    let mut whole = [head, table, values].concat();
    let length = u32::try_from(whole.len()).expect("short").to_be_bytes();
    whole[..4].copy_from_slice(&length);
    whole
}

fn with_profile(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    let content = [b"ICC_PROFILE\0\x01\x01", profile].concat();
    let length = u16::try_from(content.len() + 2).expect("a short segment").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe2], &length, &content, &jpeg[2..]].concat()
}

fn plain(red: u8, green: u8, blue: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(640, 480, image::Rgb([red, green, blue]));
    let mut bytes = Vec::new();
    let encoder = &mut image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.encode_image(&picture).expect("a JPEG in memory");
    bytes
}

fn pictures(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let one = |name, options: &[&str]| {
        by_ffmpeg(folder, name, PICTURE, &[&["-frames:v", "1"], options].concat())
    };
    let some = |name, options: &[&str]| by_ffmpeg(folder, name, PICTURE, options);
    let base = jpeg(1000, 750, 21);
    fs::write(folder.join("base.jpg"), &base).expect("a scratch file");
    let converted = |name: &str, words: &[&str]| {
        let (from, to) = (folder.join("base.jpg"), folder.join(name));
        let paths = [&from, &to].map(|path| path.to_str().expect("a plain path"));
        run("convert", &[&[paths[0]], words, &[paths[1]]].concat());
        fs::read(&to).expect("what was converted")
    };
    let film = some("inside.mp4", &["-pix_fmt", "yuv420p", "-c:v", "libx264"]);
    let large = "color=c=teal:size=16320x12256:duration=1:rate=1";
    vec![
        ("progressive.jpg", converted("progressive.jpg", &["-interlace", "JPEG"])),
        ("grey.jpg", converted("grey.jpg", &["-colorspace", "Gray"])),
        ("cmyk.jpg", converted("cmyk.jpg", &["-colorspace", "CMYK"])),
        ("p3.jpg", with_profile(&plain(200, 60, 60), &display_p3())),
        ("large.jpg", by_ffmpeg(folder, "large.jpg", large, &["-frames:v", "1", "-q:v", "8"])),
        ("motion.jpg", [&base[..], &motion::samsung_trailer(&film)].concat()),
        ("eight.png", one("eight.png", &[])),
        ("sixteen.png", one("sixteen.png", &["-pix_fmt", "rgb48be"])),
        ("palette.png", converted("palette.png", &["-type", "Palette", "-colors", "32"])),
        ("clear.png", one("clear.png", &["-vf", "format=rgba,colorchannelmixer=aa=0.5"])),
        ("moving.png", some("moving.apng", &["-f", "apng"])),
        ("still.gif", one("still.gif", &[])),
        ("moving.gif", some("moving.gif", &[])),
        ("still.webp", one("still.webp", &[])),
        ("moving.webp", some("moving.webp", &["-c:v", "libwebp_anim"])),
        ("still.bmp", one("still.bmp", &[])),
        ("still.tiff", one("still.tiff", &["-pix_fmt", "rgb24"])),
        ("deep.tiff", one("deep.tiff", &["-pix_fmt", "rgb48le"])),
        ("still.heic", by_heif_enc(folder, "still.heic", &base)),
        ("still.avif", by_heif_enc(folder, "still.avif", &base)),
        ("raw.dng", raw::dng(&base, &[])),
        ("raw.cr2", raw::cr2(&base)),
        ("raw.cr3", raw::cr3(&base)),
        ("raw.nef", raw::nef(&base)),
        ("raw.arw", raw::arw(&base)),
        ("raw.orf", raw::orf(&base)),
        ("raw.rw2", raw::rw2(&base)),
        ("raw.raf", raw::raf(&base)),
        ("bare.dng", raw::bare_dng()),
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec(),
        ),
        ("next.jxl", b"\xff\x0a\xfa\x1f\x41\x91\x08\x06\x01\x00".to_vec()),
        ("layers.psd", [&b"8BPS\0\x01\0\0\0\0\0\0\0\x03"[..], &[0; 100]].concat()),
        ("cut.jpg", base[..base.len() / 2].to_vec()),
        ("both.jpg", [&base[..], b"<html><script>alert(1)</script></html>"].concat()),
        ("head.jpg", base[..20].to_vec()),
        ("bomb.png", hostile::png(30_000, 30_000, b"x")),
        ("noise.heic", [&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], &[7; 500]].concat()),
        ("baseline.jpg", base),
    ]
}

fn films(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let film = "testsrc2=size=352x288:duration=1:rate=25";
    let sound = ["-f", "lavfi", "-i", "sine=duration=1", "-shortest"];
    let make = |name, options: &str| {
        let options: Vec<&str> = sound.into_iter().chain(options.split_whitespace()).collect();
        by_ffmpeg(folder, name, film, &options)
    };
    let h264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let with = |more: &str| format!("{h264} {more}");
    vec![
        ("h264.mp4", make("h264.mp4", h264)),
        ("h264.mov", make("h264.mov", h264)),
        ("camera.mov", make("camera.mov", &with("-c:a pcm_s16le"))),
        ("deep.mp4", make("deep.mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le")),
        (
            "hevc.mp4",
            make(
                "hevc.mp4",
                "-c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1",
            ),
        ),
        ("prores.mov", make("prores.mov", "-c:v prores_ks -c:a pcm_s16le")),
        ("h264.mkv", make("h264.mkv", h264)),
        ("vp8.webm", make("vp8.webm", "-c:v libvpx -deadline realtime -c:a libopus")),
        ("vp9.webm", make("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus")),
        ("mpeg4.avi", make("mpeg4.avi", "-c:v mpeg4 -c:a pcm_s16le")),
        ("motion.avi", make("motion.avi", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le")),
        ("disc.mpg", make("disc.mpg", "-c:v mpeg2video -c:a mp2 -f mpeg")),
        ("camcorder.mts", make("camcorder.mts", &with("-f mpegts"))),
        ("phone.3gp", make("phone.3gp", "-c:v h263 -c:a aac")),
        ("window.wmv", make("window.wmv", "-c:v wmv2 -c:a wmav2")),
        ("flash.flv", make("flash.flv", "-c:v flv1 -c:a mp3 -ar 44100")),
    ]
}

#[test]
fn every_file_of_the_table_is_shown_as_the_table_says_and_kept_as_it_is() {
    let (told, text) = told();
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = pictures(folder.path());
    files.extend(films(folder.path()));
    let of = |wanted: &str| {
        files
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, bytes)| bytes.clone())
            .expect("a file")
    };
    let (whole_png, whole_film) = (of("eight.png"), of("h264.mp4"));
    let mut bomb = of("baseline.jpg");
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    // The index comes last: half of the film has none.
    let cut_film = whole_film[..whole_film.len() / 2].to_vec();
    files.push(("bomb.jpg", bomb));
    files.push(("torn.png", whole_png[..whole_png.len() / 2].to_vec()));
    files.push(("cut.mp4", cut_film));

    let album = Album::new(&[("PHOTOSYNC_MEDIA_PLAYABLE_BYTES", "0")]);
    let sent: Vec<(&str, String, Vec<u8>)> =
        files.into_iter().map(|(name, bytes)| (name, album.keep(name, &bytes), bytes)).collect();
    let mut found = BTreeMap::new();
    // There are many: each of them has its time, however busy the machine is.
    let waiting = || json_of(&album.device.get("/me"))["media_waiting"].as_i64().expect("a number");
    let mut left = waiting();
    while left > 0 {
        wait_until("another file has been looked at", || waiting() < left);
        left = waiting();
    }
    for (name, id, bytes) in &sent {
        let row = album.looked_at(id);
        let details = album.details(id);
        let outcome = match (row["media_state"].as_str(), details["plays"].as_str()) {
            (Some("done"), Some(plays)) => plays.to_owned(),
            (Some("done"), None) if details["animated"] == true => "moves".to_owned(),
            (Some("done"), None) => "yes".to_owned(),
            _ => row["media_error"].as_str().unwrap_or("?").to_owned(),
        };
        if row["media_state"] == "done" {
            let side = row["width"].as_i64().unwrap_or(0);
            assert!(side >= 352, "{name} {row}");
            assert_eq!(album.rendition(id, "thumb").status(), 200, "{name}");
        }
        if row["kind"] == "video" && row["media_state"] == "done" {
            let length = row["duration_ms"].as_i64().unwrap_or(0);
            assert!((800..=1300).contains(&length), "{name}: {length} ms");
        }
        found.insert((*name).to_owned(), outcome);
        album.require_original(id, bytes);
    }
    assert_eq!(found, told, "{}", album.stand.log());

    let at =
        |wanted: &str| sent.iter().find(|(name, _, _)| *name == wanted).expect("a file").1.clone();
    // Colours of a wider space are further out in the usual one.
    let [red, green, _] = colour_of(&album.rendition(&at("p3.jpg"), "thumb").body, 0);
    assert!(red > 206 && green < 60, "red {red}, green {green}");
    let row = album.row(&at("raw.cr3"));
    assert_eq!(
        (&row["camera"], &row["taken_ms"]),
        (&"Canon EOS R5".into(), &1_715_538_605_000_i64.into())
    );
    assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(750), Some(1000)), "{row}");
    assert_eq!(album.row(&at("raw.orf"))["camera"], "OLYMPUS");
    let row = album.row(&at("large.jpg"));
    assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(16320), Some(12256)));

    let count = |section: &str, next: &str| {
        let rest = text.split(section).nth(1).expect("a section");
        let rows =
            rest.split(next).next().unwrap_or(rest).lines().filter(|line| line.starts_with("| `"));
        let shown = |line: &&str| {
            ["yes", "moves", "everywhere", "some", "nowhere"]
                .iter()
                .any(|word| line.contains(&format!("| {word} |")))
        };
        let rows: Vec<&str> = rows.collect();
        (rows.len(), rows.iter().filter(|line| shown(line)).count())
    };
    let ((all, shown), (films, plays)) =
        (count("## Pictures", "## Films"), count("## Films", "## Damage"));
    let score =
        format!("Of {all} pictures and {films} films above, {shown} and {plays} are shown.");
    assert!(text.contains(&score), "{score}");
}
