//! tus-js-client, Uppy, tuspy and curl send files to the built server through the fault proxy: with cuts, a restart
//! in the middle, and several uploads at once. Whatever happens, the library holds exactly what was sent.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use photosync_tests::proxy::{Cut, FaultProxy, Plan};
use photosync_tests::seeded::{Dice, SeededFile};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Program;
use crate::stand::{Person, Stand, wait_until};
use crate::sync::{Native, repr_digest};

/// Longest time one of these uploads may take, on a busy machine too.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// A server, somebody's phone, and the bad network between them.
struct Scene {
    stand: Stand,
    person: Person,
    phone: Native,
    proxy: FaultProxy,
    folder: TempDir,
}

impl Scene {
    fn new(planner: impl FnMut(usize) -> Plan + Send + 'static) -> Scene {
        let stand = Stand::new(&[]);
        let person = stand.person();
        let phone = Native::sign_in(&stand, &person);
        let proxy = FaultProxy::start(stand.address(), planner).expect("a proxy");
        let folder = tempfile::tempdir().expect("a temporary folder");
        Scene { stand, person, phone, proxy, folder }
    }

    /// A file on disk for a program to send.
    fn file(&self, name: &str, seed: u64, length_bytes: u64) -> (PathBuf, Vec<u8>) {
        let bytes = SeededFile::new(seed, length_bytes).to_vec();
        let path = self.folder.path().join(name);
        fs::write(&path, &bytes).expect("a written file");
        (path, bytes)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v2{path}", self.proxy.address())
    }

    /// The argument of the scripts.
    fn task(&self, more: Value) -> String {
        let mut task = json!({
            "endpoint": self.url("/tus"),
            "headers": {"Authorization": format!("Bearer {}", self.phone.access)},
        });
        for (key, value) in more.as_object().expect("an object") {
            task[key] = value.clone();
        }
        task.to_string()
    }

    /// The library is exactly this, no part of an upload is left, and index and disk agree.
    fn require_only(&self, expected: &[(&str, &[u8])]) {
        let person = self.person.at(&self.stand);
        person.require_library(expected);
        wait_until("no upload is left", || person.staged() == 0);
        self.stand.require_agreement();
    }
}

/// The first `count` connections are cut after at most `most` bytes up.
fn cuts(seed: u64, count: usize, most: u64) -> impl FnMut(usize) -> Plan + Send + 'static {
    let mut dice = Dice::new(seed);
    move |number| match dice.below(5) {
        _ if number >= count => Plan::pass(),
        0 => Plan::cut_up(dice.below(most), Cut::Close),
        _ => Plan::cut_up(dice.below(most), Cut::Reset),
    }
}

#[test]
fn tus_js_client_brings_a_file_through_cuts() {
    let scene = Scene::new(cuts(1, 15, 2 << 20));
    let (path, bytes) = scene.file("holiday.mp4", 1, 12 << 20);
    let task =
        scene.task(json!({"file": path, "metadata": {"filename": "holiday.mp4"}, "parallel": 1}));
    Program::node("tus_js.mjs", &[&task]).next_with("done", DONE_WITHIN);
    assert!(scene.proxy.passed().len() > 5, "{} connections", scene.proxy.passed().len());
    scene.require_only(&[("holiday.mp4", &bytes)]);
}

#[test]
fn tus_js_client_goes_on_after_the_server_was_restarted_in_the_middle() {
    for killed in [false, true] {
        let scene = Scene::new(|_| Plan::pass().up_rate(8 << 20));
        let (path, bytes) = scene.file("holiday.mp4", 2, 16 << 20);
        let task = scene.task(json!({
            "file": path, "metadata": {"filename": "holiday.mp4"}, "parallel": 1, "chunk": 64 << 20,
        }));
        let mut program = Program::node("tus_js.mjs", &[&task]);
        wait_until("a quarter has passed", || scene.proxy.total().up_bytes > 4 << 20);
        match killed {
            true => scene.stand.kill(),
            false => scene.stand.stop(),
        }
        scene.stand.start();
        scene.proxy.set_target(scene.stand.address());
        program.next_with("done", DONE_WITHIN);
        if !killed {
            let up = scene.proxy.total().up_bytes;
            assert!(up < 18 << 20, "staged bytes survive a restart: {up} bytes were sent");
        }
        scene.require_only(&[("holiday.mp4", &bytes)]);
    }
}

#[test]
fn tus_js_client_sends_parts_side_by_side_and_joins_them() {
    let scene = Scene::new(cuts(3, 20, 2 << 20));
    let (path, bytes) = scene.file("joined.mp4", 3, 16 << 20);
    let task =
        scene.task(json!({"file": path, "metadata": {"filename": "joined.mp4"}, "parallel": 4}));
    Program::node("tus_js.mjs", &[&task]).next_with("done", DONE_WITHIN);
    scene.require_only(&[("joined.mp4", &bytes)]);
}

#[test]
fn tus_js_client_with_small_pieces_passes_a_proxy_that_caps_bodies_at_one_megabyte() {
    let scene = Scene::new(|_| Plan::capped(1_000_000));
    let (path, bytes) = scene.file("capped.mp4", 4, 5 << 20);
    let task = scene.task(json!({
        "file": path, "metadata": {"filename": "capped.mp4"}, "parallel": 1, "chunk": 1_000_000,
    }));
    Program::node("tus_js.mjs", &[&task]).next_with("done", DONE_WITHIN);
    scene.require_only(&[("capped.mp4", &bytes)]);
}

#[test]
fn uppy_brings_several_files_through_cuts() {
    let scene = Scene::new(cuts(5, 25, 1 << 20));
    let files: Vec<(String, PathBuf, Vec<u8>)> = (0..6)
        .map(|number| {
            let name = format!("IMG_{number}.jpg");
            let (path, bytes) = scene.file(&name, 50 + number, 2_000_000 + number);
            (name, path, bytes)
        })
        .collect();
    let paths: Vec<&PathBuf> = files.iter().map(|(_, path, _)| path).collect();
    let task = scene.task(json!({"files": paths}));
    Program::node("uppy.mjs", &[&task]).next_with("done", DONE_WITHIN);
    let expected: Vec<(&str, &[u8])> =
        files.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice())).collect();
    scene.require_only(&expected);
}

#[test]
fn tuspy_brings_a_file_through_cuts_with_a_checksum_for_each_piece() {
    let scene = Scene::new(cuts(6, 12, 1 << 20));
    let (path, bytes) = scene.file("python.mp4", 6, 6 << 20);
    // Its first request is not repeated by itself, so that the first connections are left alone.
    let mut planner = cuts(6, 12, 1 << 20);
    scene.proxy.set_planner(move |number| match number {
        0 | 1 => Plan::pass(),
        later => planner(later),
    });
    let task = scene.task(json!({
        "file": path, "metadata": {"filename": "python.mp4"}, "chunk": 1 << 20, "checksum": true,
    }));
    Program::python("tuspy_client.py", &[&task]).next_with("done", DONE_WITHIN);
    scene.require_only(&[("python.mp4", &bytes)]);
}

/// `curl` with these words more; status and body of its answer. No answer, or only `100 Continue`, is 0.
fn curl(scene: &Scene, words: &[&str]) -> (u16, String) {
    let authorization = format!("Authorization: Bearer {}", scene.phone.access);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(["--header", &authorization])
        .args(words)
        .output()
        .expect("curl is not installed; run this, then try again: scripts/need-foreign");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status line");
    let status = status.parse().expect("a status");
    (if status < 200 { 0 } else { status }, body.to_owned())
}

#[test]
fn curl_sends_a_file_with_one_request_and_may_repeat_it() {
    let scene = Scene::new(|_| Plan::pass());
    let (path, bytes) = scene.file("any", 7, 3_000_001);
    let digest = format!("Repr-Digest: {}", repr_digest(&bytes));
    let url = scene.url("/library/assets");
    let name = "PhotoSync-Name: %C3%9Cber%20uns.jpg";
    let path = path.to_str().expect("a plain path");
    let words = ["--upload-file", path, "--header", name, "--header", &digest, &url];
    let (first, answer) = curl(&scene, &words);
    assert_eq!(first, 201, "{answer}");
    let sent = scene.proxy.total().up_bytes;
    let (again, same) = curl(&scene, &words);
    assert_eq!((again, &same), (200, &answer), "the same asset");
    // curl waits for 100 Continue with a body of this length, and is told that the bytes are here.
    assert!(scene.proxy.total().up_bytes - sent < 4096, "the second time no byte of the file went");
    scene.require_only(&[("Über uns.jpg", &bytes)]);
}

#[test]
fn curl_with_a_wrong_digest_leaves_nothing_and_a_cut_one_can_be_repeated() {
    let scene = Scene::new(|number| match number {
        0 => Plan::cut_up(1_000_000, Cut::Reset),
        1 => Plan::lose_answers(3_000_000, Some(Cut::Reset)),
        _ => Plan::pass(),
    });
    let (path, bytes) = scene.file("any", 8, 3_000_001);
    let url = scene.url("/library/assets");
    let path = path.to_str().expect("a plain path");
    let name = "PhotoSync-Name: a.jpg";
    let right = format!("Repr-Digest: {}", repr_digest(&bytes));
    let wrong = format!("Repr-Digest: {}", repr_digest(b"other"));
    let send = |digest: &str| {
        curl(&scene, &["--upload-file", path, "--header", name, "--header", digest, &url])
    };
    assert_eq!(send(&right).0, 0, "a cut connection has no answer");
    assert_eq!(send(&right).0, 0, "a lost answer neither");
    // The file arrived and nobody said so: asking again finds it.
    wait_until("the file is there", || scene.person.names() == ["a.jpg"]);
    assert_eq!(send(&right).0, 200);
    let (status, answer) = send(&wrong);
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("digest_mismatch"), "{answer}");
    scene.require_only(&[("a.jpg", &bytes)]);
}
