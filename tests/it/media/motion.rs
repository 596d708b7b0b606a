//! Motion Photos: a film inside of a picture, as Google and Samsung write it. The film is told and served where it lies.

use serde_json::json;

use super::Album;
use super::files::{by_ffmpeg, by_heif_enc, jpeg};

/// A JPEG with XMP.
fn with_xmp(jpeg: &[u8], inside: &str) -> Vec<u8> {
    let xmp = format!(
        "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF \
         xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description {inside}</rdf:Description></rdf:RDF></x:xmpmeta>"
    );
    let length = u16::try_from(xmp.len() + 2).expect("a short segment").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, xmp.as_bytes(), &jpeg[2..]].concat()
}

fn container(length: usize) -> String {
    format!(
        "GCamera:MotionPhoto=\"1\" GCamera:MotionPhotoVersion=\"1\"><Container:Directory><rdf:Seq><rdf:li \
         rdf:parseType=\"Resource\"><Container:Item Item:Mime=\"image/jpeg\" Item:Semantic=\"Primary\" Item:Length=\"0\" \
         Item:Padding=\"0\"/></rdf:li><rdf:li rdf:parseType=\"Resource\"><Container:Item Item:Mime=\"video/mp4\" \
         Item:Semantic=\"MotionPhoto\" Item:Length=\"{length}\" Item:Padding=\"0\"/></rdf:li></rdf:Seq></Container:Directory>"
    )
}

/// Samsung's blocks after the picture, and the directory that counts back to them.
pub(super) fn samsung_trailer(film: &[u8]) -> Vec<u8> {
    let named = |kind: u16, name: &str, content: &[u8]| {
        let length = u32::try_from(name.len()).expect("short").to_le_bytes();
        [&[0, 0][..], &kind.to_le_bytes(), &length, name.as_bytes(), content].concat()
    };
    let time = named(0x0a01, "Image_UTC_Data", b"1715531405000");
    let moving = named(0x0a30, "MotionPhoto_Data", film);
    let number = |value: usize| u32::try_from(value).expect("short").to_le_bytes();
    let mut directory = [&b"SEFH"[..], &number(107), &number(2)].concat();
    for (kind, back, length) in
        [(0x0a01u16, time.len() + moving.len(), time.len()), (0x0a30, moving.len(), moving.len())]
    {
        directory
            .extend([&[0, 0][..], &kind.to_le_bytes(), &number(back), &number(length)].concat());
    }
    let size = number(directory.len());
    [time, moving, directory, size.to_vec(), b"SEFT".to_vec()].concat()
}

#[test]
fn the_film_of_every_shape_is_served_where_it_lies_and_both_come_back_as_they_were() {
    let album = Album::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let source = "testsrc2=size=320x240:duration=1:rate=10";
    let h264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264"];
    let film = by_ffmpeg(folder.path(), "a.mp4", source, &h264);
    let still = jpeg(640, 480, 11);
    let old = format!(
        "GCamera:MicroVideo=\"1\" GCamera:MicroVideoVersion=\"1\" GCamera:MicroVideoOffset=\"{}\">",
        film.len()
    );
    let box_length = u32::try_from(film.len() + 8).expect("short").to_be_bytes();
    let heic = by_heif_enc(folder.path(), "a.heic", &still);
    let shapes = [
        ("PXL_1.MP.jpg", [&with_xmp(&still, &container(film.len()))[..], &film].concat()),
        ("MVIMG_1.jpg", [&with_xmp(&still, &old)[..], &film].concat()),
        ("moved.jpg", [&with_xmp(&still, &container(7))[..], &film].concat()),
        ("20240512_183005.jpg", [&still[..], &samsung_trailer(&film)].concat()),
        ("20240512_183006.heic", [&heic[..], &box_length, b"mpvd", &film].concat()),
    ];
    for (name, bytes) in shapes {
        let id = album.keep(name, &bytes);
        let row = album.looked_at(&id);
        assert_eq!((&row["media_state"], &row["kind"]), (&"done".into(), &"photo".into()), "{row}");
        let details = album.details(&id);
        let path = format!("/api/v2/library/assets/{id}/motion");
        assert_eq!(
            (&details["moving"]["id"], &details["moving"]["path"], &details["moving"]["plays"]),
            (&json!(id), &json!(path), &json!("everywhere")),
            "{name} {details}"
        );
        assert_eq!(details["tile"]["live"], true, "{name}");
        assert_eq!(details["plays"], serde_json::Value::Null, "a picture is no video");
        let answer = album.device.get(path.trim_start_matches("/api/v2"));
        assert_eq!(answer.header("Content-Type"), Some("video/mp4"));
        let end = answer.body.len().min(film.len());
        assert!(answer.body[..end] == film, "{name}: {} bytes", answer.body.len());
        let part = album.device.request("GET", path.trim_start_matches("/api/v2"));
        let part = album.device.send(part.header("Range", "bytes=4-7"));
        assert_eq!((part.status(), part.body.as_slice()), (206, &b"ftyp"[..]), "{name}");
        let size = answer.body.len();
        assert_eq!(part.header("Content-Range"), Some(&format!("bytes 4-7/{size}")[..]));
        album.require_original(&id, &bytes);
    }
    // No second copy of any film was made.
    let renditions = crate::stand::files_below(&album.stand.data().join("renditions"));
    assert_eq!(renditions.len(), 10, "{renditions:?}");
    album.stand.stop();
    album.stand.require_agreement();
}

#[test]
fn a_film_that_is_cut_off_or_only_said_to_be_there_costs_nothing_but_itself() {
    let album = Album::new(&[]);
    let still = jpeg(640, 480, 12);
    let told = with_xmp(&still, &container(1_000_000));
    let id = album.keep("a.jpg", &told);
    assert_eq!(album.looked_at(&id)["media_state"], "done");
    let details = album.details(&id);
    assert_eq!((&details["moving"], &details["tile"]["live"]), (&json!(null), &json!(false)));
    assert_eq!(album.device.get(&format!("/library/assets/{id}/motion")).status(), 404);
    // The beginning of a film, and no more: it is told, and does not play.
    let cut = [&told[..], b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"].concat();
    let id = album.keep("b.jpg", &cut);
    assert_eq!(album.looked_at(&id)["media_state"], "done");
    let answer = album.device.get(&format!("/library/assets/{id}/motion"));
    assert_eq!((answer.status(), answer.body.len()), (200, 24));
    assert_eq!(album.details(&id)["moving"]["plays"], json!(null));
}
