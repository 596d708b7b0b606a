//! The web app in a real browser, against the real server. Scripts of `web/browser` do what a person does; what is left on the
//! server is judged here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use photosync_tests::http::Request;
use photosync_tests::server::find_binary;

use crate::foreign::{Program, node};
use crate::stand::{PASSWORD, Person, Stand};

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
    for wanted in [
        "viewed",
        "found by name",
        "made an album",
        "took the deletion back",
        "was led to a photo that was there already",
        "downloaded",
    ] {
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
    let folder = tempfile::tempdir().expect("a folder");
    with_pictures(&stand, folder.path(), 6);
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
    require_flawless(Program::browser("pages.mjs", &[&base, EMAIL, PASSWORD, which]));
}

/// Runs a script that names what is wrong with pages, one line for each.
fn require_flawless(mut pages: Program) {
    let mut violations = Vec::new();
    let last = loop {
        let line = pages.next(STEP_WITHIN);
        if line.get("violation").is_some() {
            violations.push(line.to_string());
        } else if line.get("progress").is_none() {
            break line;
        }
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

#[test]
fn no_page_is_cut_or_sticks_out_from_320_to_3840_pixels_and_read_from_the_right() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    with_pictures(&stand, folder.path(), 6);
    let base = format!("http://{}", stand.address());
    require_flawless(Program::browser("windows.mjs", &[&base, EMAIL, PASSWORD]));
}

/// Runs a script to its end; it must name these steps, in order.
fn goes_through(mut program: Program, steps: &[&str]) {
    for wanted in steps {
        step(&mut program, wanted);
    }
    let last = program.next(STEP_WITHIN);
    assert_eq!(last["done"], true, "{last}");
}

/// Somebody with pictures that are shown, each sent from `folder` by a phone.
fn with_pictures(stand: &Stand, folder: &Path, count: usize) -> Person {
    let ada = stand.person_called(EMAIL);
    draw(folder, count);
    for at in 0..count {
        let name = format!("IMG_{at}.jpg");
        ada.keep(&name, &fs::read(folder.join(&name)).expect("a photo"));
    }
    ada
}

/// Photos that were not sent yet; their paths.
fn further(folder: &Path, count: usize) -> Vec<String> {
    let new = folder.join("new");
    fs::create_dir(&new).expect("a folder");
    draw(&new, count);
    (0..count)
        .map(|at| {
            let path = new.join(format!("IMG_{at}.jpg"));
            let mut bytes = fs::read(&path).expect("a photo");
            bytes.extend(b"new");
            fs::write(&path, bytes).expect("a photo");
            path.to_string_lossy().into_owned()
        })
        .collect()
}

#[test]
fn what_browsers_install_is_asked_for_anew_each_time_and_is_called_what_it_is() {
    let stand = Stand::shared();
    for (path, kind) in [
        ("/service-worker.js", "text/javascript"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/manifest.de.webmanifest", "application/manifest+json"),
        ("/icons/maskable-512.png", "image/png"),
    ] {
        let answer = stand.send(Request::new("GET", path));
        assert_eq!(answer.status(), 200, "{path}: is the web app built?");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
    }
    let worker = stand.send(Request::new("GET", "/service-worker.js"));
    let policy = worker.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; connect-src 'self'"), "{policy}");
    let page = stand.send(Request::new("GET", "/"));
    let policy = page.header("content-security-policy").unwrap_or_default();
    for wanted in ["worker-src 'self'", "manifest-src 'self'"] {
        assert!(policy.contains(wanted) && !policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn the_installed_app_opens_without_its_server_comes_back_by_itself_and_takes_a_new_version() {
    let stand = Stand::new(&[("PHOTOSYNC_MEDIA_WORKERS", "1")]);
    let folder = tempfile::tempdir().expect("a folder");
    with_pictures(&stand, folder.path(), 4);
    let new = further(folder.path(), 1);
    let base = format!("http://{}", stand.address());
    goes_through(
        Program::browser("pwa.mjs", &[&base, EMAIL, PASSWORD, &new[0]]),
        &[
            "can be installed",
            "opened without a server",
            "came back by itself",
            "took the new version when all was sent",
            "was asked before what is unfinished is given up",
            "kept nothing of who signed out",
        ],
    );
}

#[test]
fn shared_photos_arrive_with_and_without_a_service_worker_and_from_no_page_elsewhere() {
    let stand = Stand::new(&[]);
    let ada = stand.person_called(EMAIL);
    let folder = tempfile::tempdir().expect("a folder");
    let shared = further(folder.path(), 3);
    let base = format!("http://{}", stand.address());
    let mut words = vec![base.as_str(), EMAIL, PASSWORD];
    words.extend(shared.iter().map(String::as_str));
    goes_through(
        Program::browser("share.mjs", &words),
        &[
            "shared with a service worker",
            "a page elsewhere had to ask",
            "shared with the server alone",
            "a page elsewhere was refused",
        ],
    );
    let sent: BTreeSet<String> =
        shared.iter().map(|path| digest(&fs::read(path).expect("a photo"))).collect();
    let stored: Vec<String> = ada.on_disk().values().map(digest).collect();
    assert_eq!(stored.len(), 3, "each once");
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(ada.staged(), 0, "nothing half-sent is left");
}

#[test]
fn an_evening_by_keyboard_alone_never_loses_the_focus() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let ada = with_pictures(&stand, folder.path(), 6);
    let base = format!("http://{}", stand.address());
    goes_through(
        Program::browser("keyboard.mjs", &[&base, EMAIL, PASSWORD]),
        &[
            "signed in",
            "made an album",
            "looked at the details",
            "took the deletion back",
            "searched",
        ],
    );
    assert_eq!(ada.names().len(), 6, "everything is there again");
}

#[test]
fn fingers_choose_swipe_pull_and_send_on_a_phone() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let ada = with_pictures(&stand, folder.path(), 6);
    let new = further(folder.path(), 1);
    let base = format!("http://{}", stand.address());
    goes_through(
        Program::browser("phone.mjs", &[&base, EMAIL, PASSWORD, &new[0]]),
        &["signed in", "chose by resting", "swiped and pulled", "went about"],
    );
    assert_eq!(ada.names().len(), 7, "what was sent is there");
}

#[cfg(target_os = "linux")]
#[test]
fn over_plain_http_from_another_machine_everything_works_and_the_page_says_what_is_withheld() {
    let folder = tempfile::tempdir().expect("a folder");
    let photos = further(folder.path(), 3);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("plain/run");
    let server = find_binary().expect("a built server");
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(&script),
        false => {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg(&script);
            sudo
        }
    };
    let ran = command.arg(&server).arg(node()).args(&photos).output();
    let by_hand = format!("by hand: sudo {} {} node PHOTO", script.display(), server.display());
    let ran =
        ran.unwrap_or_else(|error| panic!("network namespaces need root: {error}; {by_hand}"));
    let (said, complaint) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{complaint}{by_hand}");
    assert!(said.ends_with("plain: ok\n"), "{said}{complaint}");
}
