//! The program against the real server: from signing in to verified receipts, over TLS with the server's own key.
//!
//! Needs the server's binary: `PHOTOSYNC_SERVER_BIN`, or beside the test's own target folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use photosync_protocol::process::Ready;
use photosync_tests::proxy::{FaultProxy, Plan};

use crate::stand::{noise, write_old};

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "correct horse";

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub url: String,
    /// Address of its counters.
    pub metrics: String,
}

impl Server {
    /// What it counted so far.
    fn metrics(&self) -> String {
        let mut socket = TcpStream::connect(&self.metrics).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's binary. Without it these tests fail: one that passes without a server shows nothing.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PHOTOSYNC_SERVER_BIN") {
        return path.into();
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_photosync")).with_file_name("photosync-server");
    assert!(beside.exists(), "cargo build -p photosync-server comes first");
    beside
}

pub fn server(binary: &Path, data: &Path) -> Command {
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
    add_account(binary, data);
    serve(&mut server(binary, data))
}

pub fn add_account(binary: &Path, data: &Path) {
    let mut adding = server(binary, data).args(["user", "add", EMAIL]).spawn().unwrap();
    let twice = format!("{PASSWORD}\n{PASSWORD}\n");
    adding.stdin.take().unwrap().write_all(twice.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
}

pub fn serve(command: &mut Command) -> Server {
    let mut child = command.arg("serve").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = Ready::from_line(&line).unwrap();
    let metrics = ready.metrics.unwrap();
    let address = ready.listen[0].parse().unwrap();
    Server { child, address, url: format!("https://{address}"), metrics }
}

/// The program, with its input and outputs in pipes.
pub fn spawn(profile: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_photosync"))
        .env("PHOTOSYNC_CLIENT_DIR", profile)
        .envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_CLIENT_KEYSTORE", "off")])
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

/// Signs in with the key that the refusal of an unknown one names.
fn sign_in(profile: &Path, url: &str) {
    // Nobody vouches for the key: nothing is sent, and the hint names the fingerprint.
    let refused = run(profile, &["login", url, EMAIL, "--json"]);
    assert_eq!(refused.status.code(), Some(76), "{refused:?}");
    let hint = last_event(&refused)["hint"].as_str().unwrap().to_owned();
    let key = hint.rsplit(' ').next().unwrap();
    let output = run(profile, &["login", url, EMAIL, "--fingerprint", key]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

pub fn last_event(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap()
}

#[test]
fn a_folder_survives_the_way_to_the_real_server_and_back_and_is_proved_safe() {
    let binary = binary();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = start(&binary, &at("data"));
    let profile = at("profile");
    sign_in(&profile, &server.url);

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

#[test]
fn a_server_that_moved_to_another_port_gets_the_next_backup_and_one_with_another_key_there_gets_nothing()
 {
    let binary = binary();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let later = format!("https://{free}");
    let port = free.port().to_string();
    // It says already where else it can be reached.
    add_account(&binary, &at("data"));
    let mut first = server(&binary, &at("data"));
    let server_a = serve(first.env("PHOTOSYNC_SERVER_PUBLIC_URL", &later));
    let profile = at("profile");
    sign_in(&profile, &server_a.url);
    drop(server_a);
    write_old(&at("photos").join("a.jpg"), &noise(5000, 1), 0);
    let photos = at("photos");
    let backup = ["backup", photos.to_str().unwrap()];

    // Another server has taken that port: it is no way out, and not one request reaches it.
    let mut other = server(&binary, &at("other data"));
    let stranger = serve(other.env("PORT", &port));
    let output = run(&profile, &["status"]);
    assert_eq!(output.status.code(), Some(68), "{output:?}");
    assert!(!stranger.metrics().contains("http_requests_total{"), "{}", stranger.metrics());
    drop(stranger);

    let mut second = server(&binary, &at("data"));
    let server_b = serve(second.env("PORT", &port));
    assert_eq!(server_b.url, later);
    let output = run(&profile, &backup);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches(&format!("reached at {later}")).count(), 1, "{said}");
    let output = run(&profile, &backup);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(server_b.metrics().contains("http_requests_total{"), "{}", server_b.metrics());
    let status = last_event(&run(&profile, &["status", "--json"]));
    assert_eq!(status["reached_at"], later, "{status}");
}

#[cfg(target_os = "linux")]
#[test]
fn tokens_lie_in_a_real_key_store_and_one_that_is_away_costs_no_session() {
    let has = |tool: &str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(tool).exists())
    };
    let tools = ["gnome-keyring-daemon", "secret-tool", "dbus-run-session"];
    assert!(tools.into_iter().all(has), "apt-get install gnome-keyring libsecret-tools dbus");
    let binary = binary();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/keystore/run");
    let ran = Command::new(&script).arg(binary).arg(env!("CARGO_BIN_EXE_photosync")).output();
    let ran = ran.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.ends_with("keystore: ok\n"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

/// Every file below a folder except the database's, which has times of sign-ins.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path),
        }
    }
    found.retain(|path| !path.to_string_lossy().contains(".db"));
    found.sort();
    found
}

#[test]
fn the_doctor_finds_the_size_a_proxy_lets_through_to_the_real_server_and_nothing_stays_there() {
    let binary = binary();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = start(&binary, &at("data"));
    let proxy = FaultProxy::start(server.address, |_| Plan::capped(1_000_000)).unwrap();
    let profile = at("profile");
    let output = run(&profile, &["login", &format!("http://{}", proxy.address()), EMAIL]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let before = files_below(&at("data"));
    let upload = || {
        let output = run(&profile, &["doctor", "--json", "--probe-bytes", "10MiB"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let finding = last_event(&output)["finding"].clone();
        assert_eq!(finding["check"], "upload", "{finding}");
        (
            finding["verdict"].as_str().unwrap().to_owned(),
            finding["seen"].as_str().unwrap().to_owned(),
        )
    };
    let (verdict, seen) = upload();
    assert_eq!(verdict, "warning", "{seen}");
    assert!(seen.contains("900 KiB comes through, one of 10 MiB does not"), "{seen}");
    proxy.set_planner(|_| Plan::pass());
    let (verdict, seen) = upload();
    assert_eq!((verdict.as_str(), seen.as_str()), ("fine", "an upload of 10 MiB comes through"));
    assert_eq!(files_below(&at("data")), before);
    let listed = run(&profile, &["list"]);
    assert!(listed.stdout.is_empty(), "{listed:?}");
}
