//! The web app in a real browser, against the real server. Scripts of `web/browser` do what a person does; what is left on the
//! server is judged here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::foreign::Program;
use crate::stand::{PASSWORD, Stand};

const EMAIL: &str = "ada@example.org";
/// Photos that are sent in the long test.
const PHOTOS: usize = 200;
const STEP_WITHIN: Duration = Duration::from_secs(120);

/// Pictures that a browser can show, no two alike: a few are drawn, the others are those with a byte more behind their end.
fn draw(folder: &Path, count: usize) {
    let mut command = Command::new("convert");
    for (width, height) in [(320, 240), (240, 320), (300, 300), (480, 200)] {
        command.args(["(", "-size", &format!("{width}x{height}"), "plasma:teal-gold", ")"]);
    }
    let drawn = folder.join("drawn-%d.jpg");
    let done = command.args(["-seed", "7"]).arg(&drawn).status();
    assert!(done.expect("ImageMagick").success(), "pictures could not be drawn");
    let seeds: Vec<Vec<u8>> =
        (0..4).map(|at| fs::read(folder.join(format!("drawn-{at}.jpg"))).expect("drawn")).collect();
    for at in 0..4 {
        fs::remove_file(folder.join(format!("drawn-{at}.jpg"))).expect("drawn");
    }
    for at in 0..count {
        let bytes = [seeds[at % 4].as_slice(), &(at as u32).to_be_bytes()].concat();
        fs::write(folder.join(format!("IMG_{at}.jpg")), bytes).expect("a photo");
    }
}

fn digest(bytes: &Vec<u8>) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn digests_below(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| digest(&fs::read(entry.expect("an entry").path()).expect("a photo")))
        .collect()
}

/// Digests of what is in an archive, as a program of others reads it.
fn digests_in(archive: &Path) -> BTreeSet<String> {
    let script = "import hashlib, sys, zipfile\n\
                  z = zipfile.ZipFile(sys.argv[1])\n\
                  assert z.testzip() is None\n\
                  [print(hashlib.sha256(z.read(n)).hexdigest()) for n in z.namelist()]";
    let read = Command::new("python3").args(["-c", script]).arg(archive).output().expect("python3");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8_lossy(&read.stdout).lines().map(str::to_owned).collect()
}

/// The script's next line, which names a step.
fn step(program: &mut Program, wanted: &str) -> Value {
    let line = program.next(STEP_WITHIN);
    assert_eq!(line["step"], wanted, "{line}");
    line
}

#[test]
fn a_first_evening_ends_with_everything_there_once_and_downloaded_bit_for_bit() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    draw(&photos, PHOTOS);
    let base = format!("http://{}", stand.address());
    let out = folder.path().to_string_lossy().into_owned();
    let mut evening =
        Program::browser("flow.mjs", &[&base, EMAIL, PASSWORD, &photos.to_string_lossy(), &out]);
    step(&mut evening, "set up");
    step(&mut evening, "sent");
    let phone = stand.phone_of(EMAIL);
    let sent = digests_below(&photos);
    assert_eq!(phone.on_disk().len(), PHOTOS, "each once, whatever the network did");
    let stored: BTreeSet<String> = phone.on_disk().values().map(digest).collect();
    assert_eq!(stored, sent);
    for wanted in
        ["viewed", "found by name", "made an album", "took the deletion back", "downloaded"]
    {
        step(&mut evening, wanted);
    }
    assert_eq!(digests_in(&folder.path().join("everything.zip")), sent);
    step(&mut evening, "wants another photo");
    let mut another = fs::read(photos.join("IMG_1.jpg")).expect("a photo");
    another.extend(b"another");
    phone.keep("from the phone.jpg", &another);
    evening.tell("it is there");
    step(&mut evening, "saw it arrive");
    step(&mut evening, "nothing went wrong");
    assert_eq!(phone.staged(), 0, "nothing half-sent is left");
    stand.require_agreement();
}

#[test]
fn every_page_passes_the_accessibility_rules_in_light_and_dark_on_a_desk_and_in_a_hand() {
    let stand = Stand::new(&[]);
    let ada = stand.person_called(EMAIL);
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 6);
    for at in 0..6 {
        let name = format!("IMG_{at}.jpg");
        ada.keep(&name, &fs::read(folder.path().join(&name)).expect("a photo"));
    }
    require_no_violations(&stand, "library");
}

#[test]
fn every_page_about_the_server_passes_the_accessibility_rules() {
    let stand = Stand::new(&[]);
    stand.person_called(EMAIL);
    stand.person_called("ben@example.org").keep("a.jpg", b"a picture");
    require_no_violations(&stand, "server");
}

/// Looks at every page of a set with axe-core.
fn require_no_violations(stand: &Stand, which: &str) {
    let base = format!("http://{}", stand.address());
    let mut pages = Program::browser("pages.mjs", &[&base, EMAIL, PASSWORD, which]);
    let mut violations = Vec::new();
    let last = loop {
        let line = pages.next(STEP_WITHIN);
        if line.get("violation").is_none() {
            break line;
        }
        violations.push(line.to_string());
    };
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert_eq!((&last["step"], &last["violations"]), (&"looked".into(), &0.into()), "{last}");
}

#[test]
fn an_administrator_invites_somebody_who_chooses_a_password_and_is_locked_out_again() {
    let stand = Stand::new(&[]);
    stand.person_called(EMAIL);
    let base = format!("http://{}", stand.address());
    let mut people = Program::browser("people.mjs", &[&base, EMAIL, PASSWORD, "eve@example.org"]);
    step(&mut people, "invited");
    step(&mut people, "chose a password");
    let eve = stand.phone_of("eve@example.org");
    eve.keep("hers.jpg", b"a picture");
    for wanted in ["limited", "locked out", "nothing went wrong"] {
        step(&mut people, wanted);
    }
    assert_eq!(eve.put_raw("late.jpg", b"late").status(), 403);
    assert_eq!(eve.on_disk().len(), 1, "nothing is lost");
    stand.require_agreement();
}
