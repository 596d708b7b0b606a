//! What a service manager hands over: listening sockets and secrets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use photosync_tests::http::{Client, Request, Timeouts};
use photosync_tests::server::{ServerProcess, find_binary};
use serde_json::Value;

use crate::outside::{free_port, here};
use crate::stand::{SOON, Stand, wait_until};
use crate::wire::tls::Certificate;

/// How often a port may be taken by somebody else between finding it free and using it.
const STARTS: usize = 5;

/// Ends what it holds.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_server_answers_on_the_socket_it_is_handed_and_opens_no_public_port_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let server = find_binary().expect("the server");
    let (address, status, line) = (0..STARTS)
        .find_map(|_| answer_on_a_handed_socket(&server, &data))
        .expect("a port that nobody else takes meanwhile");
    assert_eq!(status, 200);
    let ready: Value =
        serde_json::from_str(line.trim_start_matches("PHOTOSYNC-READY ")).expect("JSON");
    assert_eq!(ready["listen"], serde_json::json!([address.to_string()]), "{line}");
}

/// Address, status of `/health` and ready line of a server that is handed a socket. `None` if it ended before it answered:
/// somebody else took the port.
fn answer_on_a_handed_socket(server: &Path, data: &str) -> Option<(SocketAddr, u16, String)> {
    // Free at this moment: the tool cannot say which port 0 became.
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let child = Command::new("systemd-socket-activate")
        .args(["-l", &address.to_string()])
        .args(["-E", "PORT=1", "-E", "HOST=127.0.0.1", "-E", "PHOTOSYNC_METRICS_LISTEN=off"])
        .args(["-E", "PHOTOSYNC_DISCOVERY=off", "-E", "PHOTOSYNC_UPDATE_CHECK=off"])
        .arg(server)
        .args(["serve", "--data", data])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-socket-activate");
    let mut child = Held(child);
    let stdout = child.0.stdout.take().expect("its output");

    // The first connection starts the server, and is answered by it.
    let end = Instant::now() + SOON;
    let patient = Timeouts { connect: Duration::from_secs(1), ..Timeouts::default() };
    let answer = loop {
        if let Some(status) = child.0.try_wait().expect("its state") {
            println!("ended before it answered on {address}: {status}");
            return None;
        }
        match Client::with_timeouts(address, patient).send(Request::new("GET", "/health")) {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::yield_now();
    };
    // No line: it was another server that answered.
    let line = BufReader::new(stdout).lines().next()?.expect("the ready line");
    Some((address, answer.status(), line))
}

#[test]
fn a_handed_socket_called_redirect_only_leads_to_https() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let certificate = Certificate::new();
    let cert = format!("TLS_CERT_PATH={}", certificate.cert().display());
    let key = format!("TLS_KEY_PATH={}", certificate.key().display());
    let (both, redirect) = (free_port(), free_port());
    let _server = Held(
        Command::new("systemd-socket-activate")
            .args(["-l", &here(both).to_string(), "-l", &here(redirect).to_string()])
            .args(["--fdname=any:redirect", "-E", "PHOTOSYNC_METRICS_LISTEN=off"])
            .args(["-E", "PHOTOSYNC_DISCOVERY=off", "-E", "PHOTOSYNC_UPDATE_CHECK=off"])
            .args(["-E", &cert, "-E", &key])
            .arg(find_binary().expect("the server"))
            .args(["serve", "--data", &data])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("systemd-socket-activate"),
    );
    // Listens before the server is there, and the first connection starts it.
    wait_until("the sockets are there", || std::net::TcpStream::connect(here(redirect)).is_ok());
    let ask =
        |port| Client::new(here(port)).send(Request::new("GET", "/health")).expect("an answer");
    let answer = ask(redirect);
    let target = format!("https://127.0.0.1:{both}/health");
    assert_eq!((answer.status(), answer.header("location")), (301, Some(target.as_str())));
    assert_eq!(ask(both).status(), 200);
}

/// 32 bytes in hex, and the fingerprint of the Ed25519 key they make is no other server's.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const SIGNING_SECRET: &str = "a signing secret of more than 32 bytes";

#[test]
fn keys_of_the_credentials_folder_are_used_and_written_nowhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).expect("a folder");
    fs::write(credentials.join("photosync.auth.jwt_secret"), format!("{SIGNING_SECRET}\n"))
        .expect("a secret");
    fs::write(credentials.join("photosync.identity"), format!("{SEED}\n")).expect("a key");
    let data = folder.path().join("data");
    let named = credentials.to_string_lossy().into_owned();
    let stand = Stand::start_in(folder, data, &[("CREDENTIALS_DIRECTORY", &named)]);

    let described = stand.send(Request::new("GET", "/api/v2/server")).json().expect("JSON");
    // The public key of that seed is in RFC 8032 §7.1; the fingerprint is its SHA-256 in base32.
    assert_eq!(described["fingerprint"], "eh7ddx5bksrgcytl7bkai36se4nxx3klnk7elksyq57pi74xeg4q");
    let token = stand.person().token;
    let (signed, signature) = token.rsplit_once('.').expect("a token");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes());
    let wanted = {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
    };
    assert_eq!(signature, wanted);

    let secrets = stand.data().join("secrets");
    assert!(!secrets.join("jwt").exists() && !secrets.join("identity").exists());
    assert!(!stand.log().contains(SIGNING_SECRET) && !stand.log().contains(SEED));
    stand.stop();
}

#[test]
fn a_credential_that_cannot_be_used_stops_the_start_and_makes_no_key_instead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).expect("a folder");
    fs::write(credentials.join("photosync.identity"), "not a key").expect("a key");
    let data = folder.path().join("data");
    let named = credentials.to_string_lossy().into_owned();
    let refused = ServerProcess::start(&data, &[("CREDENTIALS_DIRECTORY", &named)]);
    let why = refused.expect_err("no start").to_string();
    assert!(why.contains("photosync.identity must be 64 hexadecimal digits"), "{why}");
    assert!(!why.contains("not a key"), "{why}");
    assert!(!data.join("secrets/identity").exists());
}
