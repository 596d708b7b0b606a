//! TLS on the ports of old clients: the same port speaks both, redirects lead to it, and nothing pretends.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use photosync_tests::http::{Answer, Request};
use photosync_tests::phone::Phone;
use photosync_tests::relay::opaque_bytes;
use photosync_tests::server::{ServerError, ServerProcess};

use crate::stand::{PASSWORD, Stand, account_uuid};

/// A self-signed certificate that only these tests trust.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        Self::of("IP:127.0.0.1,DNS:localhost")
    }

    /// A certificate for these names, in the words of OpenSSL.
    pub(crate) fn of(names: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let this = Certificate { folder };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", &format!("subjectAltName={names}")])
            // Its own root, and all the same one that may stand at the end of a chain.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(this.key())
            .arg("-out")
            .arg(this.cert())
            .output()
            .expect("openssl is needed: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn settings(&self) -> [(&'static str, String); 2] {
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        [("TLS_CERT_PATH", shown(self.cert())), ("TLS_KEY_PATH", shown(self.key()))]
    }

    pub(crate) fn stand(&self, more: &[(&str, &str)]) -> Stand {
        let own = self.settings();
        let mut settings: Vec<(&str, &str)> = own.iter().map(|(k, v)| (*k, v.as_str())).collect();
        settings.extend_from_slice(more);
        Stand::new(&settings)
    }
}

/// Status, headers and body over TLS, trusting `cert` only.
fn curl(cert: &Path, version: &str, url: &str) -> String {
    let got = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20", version, "--cacert"])
        .arg(cert)
        .arg(url)
        .output()
        .expect("curl is needed: apt-get install curl");
    assert!(got.status.success(), "{url}: {}", String::from_utf8_lossy(&got.stderr));
    String::from_utf8_lossy(&got.stdout).to_lowercase()
}

fn plain(stand: &Stand, path: &str) -> Answer {
    stand.send(Request::new("GET", path))
}

#[test]
fn with_a_certificate_one_port_speaks_tls_to_all_and_plain_http_to_neighbours() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[]);
    for (version, status) in [("--http1.1", "http/1.1 200"), ("--http2", "http/2 200")] {
        let answer =
            curl(&certificate.cert(), version, &format!("https://{}/health", stand.address()));
        assert!(answer.starts_with(status), "{answer}");
        assert!(answer.ends_with("{\"ok\":true}"), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    }
    let answer = plain(&stand, "/health");
    assert_eq!((answer.status(), answer.header("strict-transport-security")), (200, None));
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    alice.require_library(&[("a.jpg", b"photo")]);
}

#[test]
fn a_forced_redirect_names_the_https_port_and_keeps_path_and_query() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[("FORCE_HTTPS_REDIRECT", "true"), ("HTTPS_PORT", "0")]);
    let https = stand.with_server(|server| server.ready().listen[1]);
    let answer = plain(&stand, "/api/files?limit=5&offset=0");
    assert_eq!(answer.status(), 301, "{}", answer.text());
    let target = format!("https://127.0.0.1:{}/api/files?limit=5&offset=0", https.port());
    assert_eq!(answer.header("location"), Some(target.as_str()));
    assert_eq!(answer.header("strict-transport-security"), None);
    let named =
        stand.send(Request::new("POST", "/api/login").header("Host", "photos.example.org:3000"));
    let target = format!("https://photos.example.org:{}/api/login", https.port());
    assert_eq!((named.status(), named.header("location")), (301, Some(target.as_str())));
    let answer = curl(&certificate.cert(), "--http1.1", &format!("https://{https}/health"));
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
}

#[test]
fn what_came_by_https_up_to_a_trusted_proxy_is_led_nowhere() {
    let certificate = Certificate::new();
    let forced = [("FORCE_HTTPS_REDIRECT", "true"), ("HTTPS_PORT", "0")];
    for (trusted, status) in [("127.0.0.1", 200), ("10.0.0.0/8", 301)] {
        let trusted = ("PHOTOSYNC_AUTH_TRUSTED_PROXIES", trusted);
        let stand = certificate.stand(&[forced[0], forced[1], trusted]);
        let came_by =
            |word| stand.send(Request::new("GET", "/health").header("X-Forwarded-Proto", word));
        let answer = came_by("https");
        assert_eq!(answer.status(), status);
        let strict = answer.header("strict-transport-security").is_some();
        assert_eq!(strict, status == 200);
        assert_eq!(came_by("http").status(), 301);
    }
}

#[test]
fn a_port_that_only_leads_to_https_can_stand_beside_the_others() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[("PHOTOSYNC_TLS_REDIRECT_PORT", "0")]);
    let listen = stand.with_server(|server| server.ready().listen.clone());
    let mut client = photosync_tests::http::Client::new(listen[1]);
    let answer = client.send(Request::new("GET", "/a?b").header("Host", "photos.example.org"));
    let answer = answer.expect("an answer");
    // Without a port for TLS alone, the first one is it.
    let target = format!("https://photos.example.org:{}/a?b", listen[0].port());
    assert_eq!((answer.status(), answer.header("location")), (301, Some(target.as_str())));
    assert_eq!(plain(&stand, "/health").status(), 200);
}

#[test]
fn the_https_listener_speaks_tls_only() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[("ENABLE_HTTPS", "true"), ("HTTPS_PORT", "0")]);
    let https = stand.with_server(|server| server.ready().listen[1]);
    let answer = curl(&certificate.cert(), "--http1.1", &format!("https://{https}/health"));
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let mut client = photosync_tests::http::Client::new(https);
    let plain_there = client.send(Request::new("GET", "/health"));
    assert!(plain_there.is_err(), "plain HTTP on the TLS port: {plain_there:?}");
    assert_eq!(plain(&stand, "/health").status(), 200);
}

#[test]
fn https_without_a_usable_certificate_ends_the_start_with_78() {
    let certificate = Certificate::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (certificate.cert(), certificate.key());
    let junk = folder.path().join("junk.pem");
    fs::write(&junk, "no certificate").expect("a file");
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let (cert, key, junk) = (shown(&cert), shown(&key), shown(&junk));
    let cases: [&[(&str, &str)]; 6] = [
        &[("ENABLE_HTTPS", "true")],
        &[("FORCE_HTTPS_REDIRECT", "true")],
        &[("TLS_CERT_PATH", &cert)],
        &[("TLS_CERT_PATH", &junk), ("TLS_KEY_PATH", &key)],
        &[("TLS_CERT_PATH", &cert), ("TLS_KEY_PATH", &junk)],
        &[("TLS_CERT_PATH", &cert), ("TLS_KEY_PATH", "/absent/key.pem")],
    ];
    for settings in cases {
        match ServerProcess::start(&folder.path().join("data"), settings) {
            Err(ServerError::NotReady { what, log_tail }) => {
                assert!(what.ends_with("exit status: 78"), "{settings:?}: {what}\n{log_tail}");
            }
            other => panic!("{settings:?}: {other:?}"),
        }
    }
}

/// A plain port in front of the server's TLS: every connection goes through an OpenSSL client that trusts the root in
/// `roots` only, and asks for `name`, or for 127.0.0.1 by its address, so that the look-alikes of old clients, which speak
/// plain HTTP, go over TLS as phones do.
pub(crate) fn tls_door(roots: &Path, name: Option<&'static str>, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let door = listener.local_addr().expect("its address");
    let roots = roots.to_owned();
    // Ends with the test's process; each client ends with its connection.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let roots = roots.clone();
            thread::spawn(move || forward(stream, &roots, name, server));
        }
    });
    door
}

fn forward(mut plain: TcpStream, roots: &Path, name: Option<&str>, server: SocketAddr) {
    let asked: &[&str] = match name {
        Some(name) => &["-servername", name, "-verify_hostname", name],
        None => &["-noservername", "-verify_ip", "127.0.0.1"],
    };
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error"])
        .args(asked)
        .arg("-CAfile")
        .arg(roots)
        .arg("-connect")
        .arg(server.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is needed: apt-get install openssl");
    let (mut to_server, mut from_server) =
        (client.stdin.take().expect("a pipe"), client.stdout.take().expect("a pipe"));
    let mut answers = plain.try_clone().expect("a second handle");
    let back = thread::spawn(move || {
        pass_on(&mut from_server, &mut answers);
        // Fails when the phone has closed it already.
        let _ = answers.shutdown(Shutdown::Both);
    });
    match name {
        Some(name) => pass_on_to(name, &mut plain, &mut to_server),
        None => pass_on(&mut plain, &mut to_server),
    }
    let _ = client.kill();
    let _ = client.wait();
    let _ = back.join();
}

/// More than the head of any request has that is sent here.
const HEAD_BYTES: usize = 4096;

/// As [`pass_on`], with `name` in the place of the door's own address: a client knows no door. Each head comes in
/// one piece, and begins it: a client waits for its answers.
fn pass_on_to(name: &str, from: &mut TcpStream, to: &mut dyn Write) {
    let door = from.local_addr().expect("the door's address");
    let typed = format!("\r\nHost: {door}\r\n").into_bytes();
    let meant = format!("\r\nHost: {name}:{}\r\n", door.port()).into_bytes();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let piece = &piece[..count];
        let head = &piece[..count.min(HEAD_BYTES)];
        let sent = match head.windows(typed.len()).position(|part| part == typed) {
            Some(at) => to.write_all(&[&piece[..at], &meant, &piece[at + typed.len()..]].concat()),
            None => to.write_all(piece),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Until either end closes. Not `io::copy`: that splices into the pipe, which the client's `select` does not expect.
fn pass_on(from: &mut dyn Read, to: &mut dyn Write) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn phones_back_up_and_restore_over_tls_on_the_same_port() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[]);
    let door = tls_door(&certificate.cert(), None, stand.address());
    let folder = tempfile::tempdir().expect("a folder");
    let photos = [("My Photo.jpg", 3_000_000), ("Caf\u{e9} 1.HEIC", 70_000), ("b.mp4", 1)];
    let files: Vec<PathBuf> = photos.iter().map(|(name, _)| folder.path().join(name)).collect();
    for (seed, (path, (_, size))) in (700..).zip(files.iter().zip(photos)) {
        fs::write(path, opaque_bytes(seed, size)).expect("a photo");
    }
    let phone = Phone::new(door, "iphone@example.org", PASSWORD);
    let android = Phone::new(door, "android@example.org", PASSWORD).on_android();
    for (mut phone, email) in [(phone, "iphone@example.org"), (android, "android@example.org")] {
        phone.register(None).expect("an account");
        phone.login().expect("a session");
        let report = phone.back_up(&files).expect("a backup");
        assert_eq!((report.stored, report.failed), (3, Vec::new()));
        let back = tempfile::tempdir().expect("a folder");
        let report = phone.restore(back.path()).expect("a restore");
        assert_eq!((report.stored, report.failed), (3, Vec::new()));
        let account = stand.uploads().join(account_uuid(email, 1));
        for (path, (name, _)) in files.iter().zip(photos) {
            let sent = fs::read(path).expect("a photo");
            assert!(fs::read(back.path().join(name)).expect("restored") == sent, "{name}");
            assert!(fs::read(account.join(name)).expect("on disk") == sent, "{name}");
        }
    }
    stand.require_agreement();
}
