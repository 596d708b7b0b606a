//! The program against the real server: from signing in to verified receipts, over TLS with the server's own key.
//!
//! Needs the server's binary: `PHOTOSYNC_SERVER_BIN`, or beside the test's own target folder; skipped without one.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use photosync_protocol::process::Ready;

use crate::stand::{noise, write_old};

pub const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

pub struct Server {
    child: Child,
    pub url: String,
    /// Address of its counters.
    pub metrics: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Set, it must be there: a run that was meant to test the server must not pass without it.
pub fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("PHOTOSYNC_SERVER_BIN") {
        return Some(path.into());
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_photosync")).with_file_name("photosync-server");
    beside.exists().then_some(beside)
}

fn server(binary: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0")])
        .envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_UPDATE_CHECK", "off")])
        .env("PHOTOSYNC_DATA_DIR", data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

pub fn start(binary: &Path, data: &Path) -> Server {
    let mut adding = server(binary, data).args(["user", "add", EMAIL]).spawn().unwrap();
    let twice = format!("{PASSWORD}\n{PASSWORD}\n");
    adding.stdin.take().unwrap().write_all(twice.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
    let mut child = server(binary, data).arg("serve").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = Ready::from_line(&line).unwrap();
    let metrics = ready.metrics.unwrap();
    Server { child, url: format!("https://{}", ready.listen[0]), metrics }
}

/// The program, with its input and outputs in pipes.
pub fn spawn(profile: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_photosync"))
        .env("PHOTOSYNC_CLIENT_DIR", profile)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Signs a computer in; the fingerprint comes from the hint of the first try, as a person would read it.
pub fn login(server: &Server, profile: &Path) {
    let refused = run(profile, &["login", &server.url, EMAIL, "--json"]);
    let hint = last_event(&refused)["hint"].as_str().unwrap().to_owned();
    let key = hint.rsplit(' ').next().unwrap();
    let output = run(profile, &["login", &server.url, EMAIL, "--fingerprint", key]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

pub fn run(profile: &Path, arguments: &[&str]) -> Output {
    let mut child = spawn(profile, arguments);
    let _ = child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes());
    child.wait_with_output().unwrap()
}

pub fn last_event(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap()
}

#[test]
fn a_folder_survives_the_way_to_the_real_server_and_back_and_is_proved_safe() {
    let Some(binary) = binary() else {
        eprintln!("skipped: no server binary (PHOTOSYNC_SERVER_BIN)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = start(&binary, &at("data"));
    let profile = at("profile");
    // Nobody vouches for the key: nothing is sent, and the hint names the fingerprint.
    let refused = run(&profile, &["login", &server.url, EMAIL, "--json"]);
    assert_eq!(refused.status.code(), Some(76), "{refused:?}");
    let hint = last_event(&refused)["hint"].as_str().unwrap().to_owned();
    let key = hint.rsplit(' ').next().unwrap();
    let output = run(&profile, &["login", &server.url, EMAIL, "--fingerprint", key]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let photos = at("photos");
    let names = ["a/IMG_1.jpg", "b/IMG_1.jpg", "🏖 Sommer/c.jpg", "film.mp4"];
    for (number, name) in names.iter().enumerate() {
        let length = if *name == "film.mp4" { 9 << 20 } else { 5000 };
        write_old(&photos.join(name), &noise(length, number as u64 + 1), number as u64);
    }
    let backup = ["backup", "--json", photos.to_str().unwrap()];
    let first = last_event(&run(&profile, &backup));
    assert_eq!((&first["sent_files"], &first["complete"]), (&4.into(), &true.into()), "{first}");
    let again = last_event(&run(&profile, &backup));
    assert_eq!(again["hashed_files"], 0, "{again}");
    assert_eq!((&again["sent_bytes"], &again["complete"]), (&0.into(), &true.into()), "{again}");

    let deadline = Instant::now() + Duration::from_secs(60);
    while run(&profile, &["verify"]).status.code() != Some(0) {
        assert!(Instant::now() < deadline, "the server verified nothing within a minute");
    }
    let back = at("back");
    let output = run(&profile, &["restore", back.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in names {
        let read = |root: &Path| std::fs::read(root.join(name)).unwrap();
        assert!(read(&photos) == read(&back), "{name}");
    }
}
