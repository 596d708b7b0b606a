//! Every kind of picture and film that can be shown, and what is read in it.

use super::Album;
use super::files::{Exif, by_ffmpeg, by_heif_enc, colour_of, jpeg, size_of, with_exif};

#[test]
fn png_webp_gif_bmp_and_tiff_get_thumbnails_and_transparency_stays() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let picture = "testsrc2=size=800x600:duration=1:rate=1";
    let made = [
        ("a.png", &["-frames:v", "1"][..]),
        ("a.gif", &["-frames:v", "1"]),
        ("a.bmp", &["-frames:v", "1"]),
        ("a.tiff", &["-frames:v", "1", "-pix_fmt", "rgb24"]),
        ("a.webp", &["-frames:v", "1"]),
        ("clear.png", &["-frames:v", "1", "-vf", "format=rgba,colorchannelmixer=aa=0.5"]),
    ]
    .map(|(name, options)| {
        let bytes = by_ffmpeg(folder.path(), name, picture, options);
        (name, album.keep(name, &bytes), bytes)
    });
    for (name, id, bytes) in made {
        let row = album.looked_at(&id);
        assert_eq!((&row["media_state"], &row["kind"]), (&"done".into(), &"photo".into()), "{row}");
        assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(800), Some(600)));
        assert_eq!(album.size_of(&id, "thumb"), (427, 320), "{name}");
        let screen = album.rendition(&id, "screen");
        let is_clear = screen.header("Content-Type") == Some("image/webp");
        assert_eq!(is_clear, name == "clear.png", "{name}");
        album.require_original(&id, &bytes);
    }
}

#[test]
fn heic_and_avif_are_shown_upright_by_the_program_of_libheif() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let exif = Exif::new().text(0x0110, "Cam 2").original("2023:01:02 03:04:05", None);
    let from = with_exif(&jpeg(1200, 900, 3), &exif);
    for name in ["a.heic", "a.avif"] {
        let bytes = by_heif_enc(folder.path(), name, &from);
        let id = album.keep(name, &bytes);
        let row = album.looked_at(&id);
        assert_eq!(row["media_state"], "done", "{row} {}", album.stand.log());
        assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(1200), Some(900)));
        assert_eq!(album.size_of(&id, "thumb"), (427, 320));
        assert_eq!(row["taken_source"], "exif", "{row}");
        assert_eq!(row["taken_ms"], 1_672_628_645_000_i64);
    }
}

#[test]
fn a_film_gets_a_poster_its_length_and_its_time_and_is_shown_upright() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let film = "testsrc2=size=640x360:duration=2:rate=10";
    let options = ["-pix_fmt", "yuv420p", "-metadata", "creation_time=2024-05-12T16:30:05Z"];
    let bytes = by_ffmpeg(folder.path(), "VID_20240512_183005.mp4", film, &options);
    let id = album.keep("VID_20240512_183005.mp4", &bytes);
    let row = album.looked_at(&id);
    assert_eq!((&row["media_state"], &row["kind"]), (&"done".into(), &"video".into()), "{row}");
    assert_eq!((row["width"].as_i64(), row["height"].as_i64()), (Some(640), Some(360)));
    assert_eq!(row["duration_ms"], 2000);
    assert_eq!(
        (&row["taken_source"], &row["taken_offset_minutes"]),
        (&"container".into(), &120.into())
    );
    assert_eq!(album.size_of(&id, "thumb"), (569, 320));
    let webm =
        by_ffmpeg(folder.path(), "a.webm", film, &["-c:v", "libvpx", "-deadline", "realtime"]);
    let row = album.looked_at(&album.keep("a.webm", &webm));
    assert_eq!((&row["media_state"], row["width"].as_i64()), (&"done".into(), Some(640)), "{row}");
}

#[test]
fn a_raw_picture_shows_the_largest_jpeg_inside() {
    let album = Album::new(&[]);
    // A DNG with one preview in its first directory: the TIFF of EXIF, with an entry for the version and two for the JPEG.
    let preview = jpeg(1000, 750, 4);
    let mut entries: Vec<(u16, u16, u32)> = vec![(0x0112, 3, 6), (0xc612, 1, 0x0000_0401)];
    let at = 8 + 2 + 4 * 12 + 4;
    entries.push((0x0201, 4, at));
    entries.push((0x0202, 4, u32::try_from(preview.len()).expect("short")));
    entries.sort_unstable();
    let mut raw = b"II*\0\x08\0\0\0\x04\0".to_vec();
    for (tag, kind, value) in entries {
        let count: u32 = if kind == 1 { 4 } else { 1 };
        raw.extend(tag.to_le_bytes());
        raw.extend(kind.to_le_bytes());
        raw.extend(count.to_le_bytes());
        raw.extend(value.to_le_bytes());
    }
    raw.extend([0; 4]);
    raw.extend(&preview);
    let row_id = album.keep("IMG_20200102_030405.dng", &raw);
    let row = album.looked_at(&row_id);
    assert_eq!((&row["media_state"], &row["kind"]), (&"done".into(), &"photo".into()), "{row}");
    assert_eq!(album.size_of(&row_id, "screen"), (750, 1000));
    assert_eq!(row["taken_source"], "name");
}

#[test]
fn both_halves_of_a_live_photo_find_each_other_and_come_back_as_they_were() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let id = "0D5F9A1C-1111-2222-3333-444455556666";
    let still = with_exif(&jpeg(640, 480, 5), &Exif::new().apple_content_id(id));
    let film = "testsrc2=size=320x240:duration=1:rate=10";
    let tag = format!("com.apple.quicktime.content.identifier={id}");
    let options = ["-pix_fmt", "yuv420p", "-movflags", "use_metadata_tags", "-metadata", &tag];
    let moving = by_ffmpeg(folder.path(), "IMG_1.MOV", film, &options);
    let moving_id = album.keep("IMG_1.MOV", &moving);
    assert_eq!(album.looked_at(&moving_id)["hidden"], 0);
    let still_id = album.keep("IMG_1.JPG", &still);
    let row = album.looked_at(&still_id);
    assert_eq!(row["pair_id"], format!("apple:{id}"), "{row}");
    let other = album.looked_at(&moving_id);
    assert_eq!((&other["pair_id"], &other["hidden"]), (&row["pair_id"], &1.into()), "{other}");
    assert_eq!(row["hidden"], 0);
    album.require_original(&still_id, &still);
    album.require_original(&moving_id, &moving);
}

#[test]
fn every_orientation_is_turned_upright() {
    let album = Album::new(&[]);
    // Red in the upper left quarter only.
    let picture = image::RgbImage::from_fn(640, 480, |x, y| {
        image::Rgb(if x < 320 && y < 240 { [220, 20, 20] } else { [20, 20, 120] })
    });
    let mut plain = Vec::new();
    let encoder = &mut image::codecs::jpeg::JpegEncoder::new_with_quality(&mut plain, 90);
    encoder.encode_image(&picture).expect("a JPEG in memory");
    // Where the upper left quarter is shown: EXIF 2.32, 4.6.4.
    let places = [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2)];
    let sent = places.map(|(orientation, quarter)| {
        let bytes = with_exif(&plain, &Exif::new().orientation(orientation));
        (orientation, quarter, album.keep(&format!("{orientation}.jpg"), &bytes))
    });
    for (orientation, quarter, id) in sent {
        let row = album.looked_at(&id);
        let thumb = album.rendition(&id, "thumb").body;
        let is_turned = size_of(&thumb) == (320, 427);
        assert_eq!(is_turned, orientation >= 5, "{orientation}: {row}");
        let [red, _, blue] = colour_of(&thumb, quarter);
        assert!(red > 150 && blue < 100, "{orientation}: red {red}, blue {blue}");
    }
}

#[test]
fn a_picture_with_other_metadata_has_the_same_payload_and_look() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let exif = |editor: &str| Exif::new().text(0x0131, editor);
    let (plain, other) = (with_exif(&jpeg(640, 480, 6), &exif("One")), jpeg(640, 480, 7));
    let written = with_exif(&jpeg(640, 480, 6), &exif("Some other editor"));
    for name in ["a.jpg", "a.heic"] {
        let made = |jpeg: &[u8]| match name {
            "a.heic" => by_heif_enc(folder.path(), name, jpeg),
            _ => jpeg.to_vec(),
        };
        let kept = [&plain, &written, &other].map(|jpeg| made(jpeg));
        assert_ne!(kept[0], kept[1], "the files differ");
        let [one, two, three] = kept.map(|bytes| album.looked_at(&album.keep(name, &bytes)));
        assert!(one["payload_hash"].is_string(), "{name}");
        assert_eq!((&one["payload_hash"], &one["dhash"]), (&two["payload_hash"], &two["dhash"]));
        assert_ne!(one["payload_hash"], three["payload_hash"]);
    }
}
