//! What can be read on the way and on the server: everything that the program sends is kept and searched for marks, in
//! every spelling that comes to mind, and so is everything the server has afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use photosync_protocol::format::object::id_of;
use photosync_tests::proxy::Plan;

use super::{Home, SECRET};
use crate::real::{files_below, run};
use crate::stand::noise;

const FOLDER: &str = "MarkedFolder Zq7 Ferien";
const NAME: &str = "MarkedName Wx9 🏝 Метка";
const PIXELS: &str = "MARKED-PIXELS-5f2c-Größe";
const LATITUDE: &str = "48.85837019";
const LONGITUDE: &str = "2.29448137";
const PERSON: &str = "MarkedPerson Kj3 Ünal";
/// When the file was changed: 2011-03-04T05:06:07.123Z.
const CHANGED_MS: u64 = 1_299_215_167_123;
/// When the photo was taken, as its sidecar says, in seconds and as a clock shows it.
const TAKEN_S: u64 = 1_299_219_999;
const TAKEN: &str = "2011-03-04T06:26:39";

/// Shorter ones turn up by chance.
const LEAST_BYTES: usize = 6;

/// Finds marks in bytes, however they are spelled.
struct Search {
    /// Name of the mark and one spelling of it.
    spellings: Vec<(&'static str, Vec<u8>)>,
    /// By their first two bytes.
    beginnings: Vec<Vec<usize>>,
}

impl Search {
    fn new(marks: &[(&'static str, Vec<Vec<u8>>)]) -> Self {
        let mut search = Self { spellings: Vec::new(), beginnings: vec![Vec::new(); 1 << 16] };
        for (name, values) in marks {
            let all: BTreeSet<Vec<u8>> = values.iter().flat_map(|value| spellings(value)).collect();
            for spelling in all.into_iter().filter(|spelling| spelling.len() >= LEAST_BYTES) {
                let beginning = usize::from(u16::from_be_bytes([spelling[0], spelling[1]]));
                search.beginnings[beginning].push(search.spellings.len());
                search.spellings.push((name, spelling));
            }
        }
        search
    }

    /// Names of the marks that are somewhere in there.
    fn marks_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            for index in &self.beginnings[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] {
                let (name, spelling) = &self.spellings[*index];
                if bytes[at..].starts_with(spelling) {
                    found.insert(*name);
                }
            }
        }
        found
    }

    fn marks_in_all(&self, all: &[Vec<u8>]) -> BTreeSet<&'static str> {
        all.iter().flat_map(|bytes| self.marks_in(bytes)).collect()
    }
}

/// Every way to write bytes down: as they are, in other letters, in wider characters, and as text of these.
fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    if let Ok(text) = std::str::from_utf8(value) {
        forms.extend([text.to_lowercase(), text.to_uppercase()].map(String::into_bytes));
        forms.push(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().into_bytes());
        let escaped: String = text.encode_utf16().map(escape).collect();
        forms.push(escaped.into_bytes());
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    let texts: Vec<Vec<u8>> = forms.iter().flat_map(|form| written(form)).collect();
    forms.extend(texts);
    forms
}

/// Bytes as text: in hexadecimal, and in Base64 wherever they stand in it.
fn written(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hexadecimal = hex::encode(bytes);
    let mut texts = vec![hexadecimal.to_uppercase(), hexadecimal];
    texts.extend((0..3).flat_map(|shift| base64_at(bytes, shift)));
    texts.into_iter().map(String::into_bytes).collect()
}

/// As JSON writes it when it escapes what is not ASCII.
fn escape(unit: u16) -> String {
    match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    }
}

/// The letters of Base64 that these bytes alone decide when `shift` bytes stand before them, in both alphabets.
fn base64_at(bytes: &[u8], shift: usize) -> [String; 2] {
    let padded = [&[0; 3][..shift], bytes].concat();
    let (from, to) = ((8 * shift).div_ceil(6), padded.len() * 8 / 6);
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)]
        .map(|text| text[from..to].to_owned())
}

/// A number as text and in binary, without the zeros that any small number has.
fn number(value: u64) -> Vec<Vec<u8>> {
    let little = value.to_le_bytes();
    let length = 8 - value.leading_zeros() as usize / 8;
    let big = value.to_be_bytes()[8 - length..].to_vec();
    vec![value.to_string().into_bytes(), little[..length].to_vec(), big]
}

fn text(value: &str) -> Vec<Vec<u8>> {
    vec![value.as_bytes().to_vec()]
}

/// What nobody but the owner may learn of the photos.
fn marks_of(photo: &[u8]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let coordinates = |text: &str| {
        let value: f64 = text.parse().unwrap();
        vec![text.into(), value.to_le_bytes().to_vec(), value.to_be_bytes().to_vec()]
    };
    vec![
        ("what is in the photo", text(PIXELS)),
        ("its name", text(NAME)),
        ("its folder", text(FOLDER)),
        ("where it was taken", [coordinates(LATITUDE), coordinates(LONGITUDE)].concat()),
        ("who is on it", text(PERSON)),
        ("when it was changed", [number(CHANGED_MS), number(CHANGED_MS * 1_000_000)].concat()),
        ("when it was taken", [number(TAKEN_S), number(TAKEN_S * 1000), text(TAKEN)].concat()),
        ("its digest", vec![id_of(photo).0.to_vec()]),
    ]
}

/// One marked photo of two chunks with a sidecar, and a film of zeros and marks. Answers the photo.
fn write_marked(photos: &Path) -> Vec<u8> {
    let marks = [PIXELS, LATITUDE, LONGITUDE, PERSON, TAKEN].join("|").repeat(400);
    let photo = [marks.as_bytes(), &noise(4 << 20, 3), marks.as_bytes()].concat();
    let film = [&vec![0; 300_000], marks.as_bytes(), &[0; 70_000]].concat();
    let sidecar = serde_json::json!({
        "title": format!("{NAME}.jpg"), "photoTakenTime": {"timestamp": TAKEN_S.to_string()},
        "geoData": {"latitude": LATITUDE.parse::<f64>().unwrap(), "longitude": LONGITUDE.parse::<f64>().unwrap()},
        "people": [{"name": PERSON}],
    });
    let folder = photos.join(FOLDER);
    fs::create_dir_all(&folder).unwrap();
    let files = [
        (format!("{NAME}.jpg"), photo.clone()),
        (format!("{NAME} film.mp4"), film),
        (format!("{NAME}.jpg.json"), sidecar.to_string().into_bytes()),
    ];
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_millis(CHANGED_MS);
        fs::File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
    }
    photo
}

/// Everything below the server's folder, each file with its path before it, and its log.
fn everything_kept(home: &Home) -> Vec<Vec<u8>> {
    let mut folders = vec![home.data.clone()];
    let mut kept = vec![fs::read(home.data.with_extension("log")).unwrap()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => kept.push(
                    [path.as_os_str().as_encoded_bytes(), b"\n", &fs::read(&path).unwrap()]
                        .concat(),
                ),
            }
        }
    }
    kept
}

#[test]
fn nothing_of_a_sealed_backup_can_be_read_on_the_way_or_on_the_server() {
    let mut home = Home::with(Plan::recorded);
    let desk = home.computer("desk");
    let photo = write_marked(&desk.photos);
    let words = desk.begin(&[]);
    let first = desk.backup(&[]);
    assert_eq!((&first["sent_files"], &first["complete"]), (&3.into(), &true.into()), "{first}");
    assert_eq!(desk.backup(&[])["sent_files"], 0);
    // A second computer, another password and new keys tell no more.
    let laptop = home.computer("laptop");
    laptop.relay(&["unlock"], &[SECRET]);
    laptop.restore(&[], "back");
    laptop.relay(&["verify", "--read"], &[]);
    let new = "MARKED password of later";
    desk.relay(&["passwd", "--password-memory", "64"], &[SECRET, new]);
    desk.relay(&["rotate"], &[new]);
    fs::rename(desk.photos.join(FOLDER), desk.photos.join(format!("{FOLDER} 2"))).unwrap();
    assert!(desk.backup(&[])["sent_files"] != 0);

    let received = home.proxy.recorded();
    let sealed_bytes: usize = home.objects().values().map(Vec::len).sum();
    let received_bytes: usize = received.iter().map(Vec::len).sum();
    assert!(received_bytes > sealed_bytes && sealed_bytes > photo.len(), "all of it was recorded");
    home.stop();
    let kept = everything_kept(&home);
    assert!(kept.iter().map(Vec::len).sum::<usize>() > sealed_bytes);
    let mut marks = marks_of(&photo);
    marks.push(("the password", [text(SECRET), text(new)].concat()));
    let words: Vec<&str> = words.split(' ').collect();
    marks.push(("the words", words.windows(3).flat_map(|few| text(&few.join(" "))).collect()));
    let search = Search::new(&marks);
    assert_eq!(search.marks_in_all(&received), BTreeSet::new(), "on the way");
    assert_eq!(search.marks_in_all(&kept), BTreeSet::new(), "on the server");
    // Zeros are what a film has most of, and what padding is made of.
    let zeros = [0; 256];
    for object in home.objects().values() {
        assert!(!object.windows(zeros.len()).any(|window| window == zeros), "zeros in an object");
    }
}

#[test]
fn the_same_search_finds_every_mark_of_a_backup_that_is_not_sealed() {
    let mut home = Home::with(Plan::recorded);
    let desk = home.computer("desk");
    let photo = write_marked(&desk.photos);
    let output = run(&desk.profile, &["backup", "--json", desk.photos.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let marks = marks_of(&photo);
    let search = Search::new(&marks);
    let all: BTreeSet<&str> = marks.iter().map(|(name, _)| *name).collect();
    assert_eq!(search.marks_in_all(&home.proxy.recorded()), all, "on the way");
    home.stop();
    assert_eq!(search.marks_in_all(&everything_kept(&home)), all, "on the server");
    assert!(!files_below(&home.data.join("uploads")).is_empty());
}

#[test]
fn a_mark_is_found_in_every_spelling_and_at_every_place() {
    let search = Search::new(&[("a name", text(NAME)), ("a time", number(CHANGED_MS))]);
    let found = |bytes: &[u8]| search.marks_in(bytes).into_iter().collect::<Vec<_>>();
    for shift in 0..7 {
        let before = &b"abcdefg"[..shift];
        let plain = [before, NAME.as_bytes(), b"xyz"].concat();
        let wide: Vec<u8> = NAME.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let json = serde_json::to_vec(&CHANGED_MS).unwrap();
        assert_eq!(found(&plain), ["a name"]);
        assert_eq!(found(&[before, &wide].concat()), ["a name"]);
        assert_eq!(found(hex::encode(&plain).as_bytes()), ["a name"]);
        assert_eq!(found(STANDARD_NO_PAD.encode(&plain).as_bytes()), ["a name"]);
        assert_eq!(found(URL_SAFE_NO_PAD.encode(&plain).as_bytes()), ["a name"]);
        assert_eq!(found(&[before, &json].concat()), ["a time"]);
        assert_eq!(found(&[before, &CHANGED_MS.to_le_bytes()].concat()), ["a time"]);
    }
    assert_eq!(found(&noise(200_000, 9)), Vec::<&str>::new());
}
