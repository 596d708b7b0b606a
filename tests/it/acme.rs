//! Certificates by ACME, from Debian's `pebble`, an authority for tests with a name server of its own, all on loopback.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use photosync_tests::http::{Answer, Client, Request};
use photosync_tests::phone::Phone;
use photosync_tests::relay::opaque_bytes;
use photosync_tests::server::find_binary;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::outside::{Held, NAME, curl, curl_command, free_port, here, wait_for_port};
use crate::stand::{PASSWORD, SOON, Stand, files_below, wait_until};
use crate::wire::tls::{Certificate, tls_door};

/// What the log says when a certificate has come.
const CAME: &str = "there is a new certificate for photos.example.org";

/// A place for an authority that may not run yet, and the ports of the server it will look at.
struct Place {
    folder: TempDir,
    own: Certificate,
    directory_port: u16,
    management_port: u16,
    names_port: u16,
    names_management_port: u16,
    https_port: u16,
    http_port: u16,
}

/// A running authority.
struct Authority {
    _pebble: Held,
    _names: Held,
    /// The root of what it issues; another one each time it starts.
    roots: PathBuf,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().expect("a folder"),
            own: Certificate::of("DNS:localhost,IP:127.0.0.1"),
            directory_port: free_port(),
            management_port: free_port(),
            names_port: free_port(),
            names_management_port: free_port(),
            https_port: free_port(),
            http_port: free_port(),
        }
    }

    /// Starts the authority. Every name leads to `address`; certificates are good for `validity_s`.
    fn start(&self, address: &str, validity_s: u64) -> Authority {
        let log = |name: &str| self.folder.path().join(format!("{name}.log"));
        let names = Held::start(
            Command::new("pebble-challtestsrv")
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""])
                .args(["-defaultIPv4", address])
                .args(["-dns01", &here(self.names_port).to_string()])
                .args(["-management", &here(self.names_management_port).to_string()]),
            &log("names"),
        );
        let config = serde_json::json!({"pebble": {
            "listenAddress": here(self.directory_port).to_string(),
            "managementListenAddress": here(self.management_port).to_string(),
            "certificate": self.own.cert(),
            "privateKey": self.own.key(),
            "httpPort": self.http_port,
            "tlsPort": self.https_port,
            "certificateValidityPeriod": validity_s,
        }});
        let file = self.folder.path().join("pebble.json");
        fs::write(&file, config.to_string()).expect("its configuration");
        let pebble = Held::start(
            Command::new("pebble")
                .arg("-config")
                .arg(&file)
                .args(["-strict", "-dnsserver", &here(self.names_port).to_string()])
                // No rest between two looks; and a fifth of all nonces refused, as authorities may.
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")])
                .env("PEBBLE_AUTHZREUSE", "0"),
            &log("pebble"),
        );
        wait_for_port(self.directory_port, &log("pebble"));
        wait_for_port(self.management_port, &log("pebble"));
        wait_for_port(self.names_management_port, &log("names"));
        let roots = self.folder.path().join("roots.pem");
        let address = format!("https://localhost:{}/roots/0", self.management_port);
        let mut fetch = Command::new("curl");
        fetch.args(["-fsS", "--cacert"]).arg(self.own.cert()).arg(address);
        fs::write(&roots, got_of(&mut fetch)).expect("the roots");
        Authority { _pebble: pebble, _names: names, roots }
    }

    /// Makes every name lead elsewhere.
    fn lead_names_to(&self, address: &str) {
        let url = format!("http://{}/set-default-ipv4", here(self.names_management_port));
        let body = format!("{{\"ip\":\"{address}\"}}");
        got_of(Command::new("curl").args(["-fsS", "-d", &body, &url]));
    }

    /// A server that wants its certificate from here.
    fn server(&self, challenge: &str, more: &[(&str, &str)]) -> Stand {
        let directory = format!("https://localhost:{}/dir", self.directory_port);
        let ca = self.own.cert().to_string_lossy().into_owned();
        let (https, http) = (self.https_port.to_string(), self.http_port.to_string());
        let mut settings = vec![
            ("PHOTOSYNC_TLS_ACME_DOMAINS", NAME),
            ("PHOTOSYNC_TLS_ACME_ACCEPT_TERMS", "true"),
            ("PHOTOSYNC_TLS_ACME_CONTACT", "ann@example.org"),
            ("PHOTOSYNC_TLS_ACME_DIRECTORY", directory.as_str()),
            ("PHOTOSYNC_TLS_ACME_CA", ca.as_str()),
            ("PHOTOSYNC_TLS_ACME_CHALLENGE", challenge),
            ("ENABLE_HTTPS", "true"),
            ("HTTPS_PORT", https.as_str()),
            ("PHOTOSYNC_TLS_REDIRECT_PORT", http.as_str()),
        ];
        settings.extend_from_slice(more);
        Stand::new(&settings)
    }
}

fn got_of(command: &mut Command) -> Vec<u8> {
    let got = command.output().expect("curl is needed");
    assert!(got.status.success(), "{command:?}: {}", String::from_utf8_lossy(&got.stderr));
    got.stdout
}

fn wait_for_log(stand: &Stand, text: &str) {
    let found = stand.with_server(|server| server.wait_for_log(text, SOON));
    assert!(found, "no {text:?} in\n{}", stand.log());
}

/// What somebody is shown who asks for no name, as a client that pins the server's key: the certificate, PEM.
fn shown_without_a_name(port: u16) -> String {
    let shown = Command::new("openssl")
        .args(["s_client", "-noservername", "-connect", &here(port).to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl is needed");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let (from, to) = (text.find(begin).expect("a certificate"), text.find(end).expect("its end"));
    text[from..to].to_owned()
}

/// The product's client, with a profile in `folder`. It must succeed.
fn client(folder: &Path, words: &[&str]) {
    let server = find_binary().expect("the server");
    let done = Command::new(server.with_file_name("photosync"))
        .arg("--profile")
        .arg(folder.join("profile"))
        .args(words)
        .env("PHOTOSYNC_CLIENT_KEYSTORE", "off")
        .output()
        .expect("the client");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Pairs the client, which pins the server's key.
fn pair(stand: &Stand, email: &str, port: u16, folder: &Path) {
    let offer = stand.command(&["pair", email], "").stdout;
    let after = |label: &str| {
        let line = offer.lines().find_map(|line| line.split_once(label)).expect("an offer");
        line.1.trim().to_owned()
    };
    let (code, key) = (after("type the code:"), after("Key of this server:"));
    let address = format!("https://{}", here(port));
    client(folder, &["pair", &address, &code, "--fingerprint", &key]);
}

fn metric(stand: &Stand) -> Option<i64> {
    let address = stand.with_server(|server| server.metrics_address()).expect("metrics");
    let answer = Client::new(address).send(Request::new("GET", "/metrics")).expect("metrics");
    let text = String::from_utf8(answer.body).expect("text");
    let line = text
        .lines()
        .find(|line| line.starts_with("photosync_certificate_expires_seconds{source=\"acme\"}"))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn plain(port: u16, path: &str) -> Answer {
    Client::new(here(port)).send(Request::new("GET", path).header("Host", NAME)).expect("an answer")
}

#[test]
fn a_certificate_by_tls_alpn_serves_both_ports_is_kept_and_leaves_pinned_clients_alone() {
    let place = Place::new();
    let authority = place.start("127.0.0.1", 7 * 86_400);
    let stand = place.server("tls-alpn-01", &[]);
    let before = shown_without_a_name(stand.address().port());
    wait_for_log(&stand, CAME);
    assert!(stand.log().contains("there is no certificate for photos.example.org yet"));
    // 443 and 3000, as the clients of today dial them.
    let old_port = stand.address().port();
    for port in [place.https_port, old_port] {
        let answer = curl(port, &authority.roots, &[&format!("https://{NAME}:{port}/health")]);
        assert!(
            answer.starts_with("http/1.1 200") && answer.ends_with("{\"ok\":true}"),
            "{answer}"
        );
        assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
        assert_eq!(shown_without_a_name(port), before, "the key that clients pinned");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("IMG_0001.jpg");
    fs::write(&photo, opaque_bytes(1, 2_000_000)).expect("a photo");
    let door = tls_door(&authority.roots, Some(NAME), here(old_port));
    let mut phone = Phone::new(door, "ann@example.org", PASSWORD);
    phone.register(None).expect("an account");
    phone.login().expect("a session");
    let report = phone.back_up(&[photo]).expect("a backup");
    assert_eq!((report.stored, report.failed), (1, Vec::new()));

    let left = metric(&stand).expect("the metric");
    assert!((6 * 86_400..=7 * 86_400).contains(&left), "{left}");
    let kept = files_below(&stand.data().join("secrets/acme"));
    let names: Vec<_> = kept.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["account", "certificate.pem"]);
    for path in &kept {
        let mode = fs::metadata(path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let certificate = fs::read(&kept[1]).expect("the certificate");

    // After a restart the kept one is shown, and nobody is asked.
    stand.stop();
    let roots = authority.roots.clone();
    drop(authority);
    stand.start();
    let health = format!("https://{NAME}:{}/health", place.https_port);
    let answer = curl(place.https_port, &roots, &[&health]);
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert_eq!(shown_without_a_name(place.https_port), before);
    assert!(!stand.log().contains("asking") && !stand.log().contains("no new certificate"));
    assert_eq!(fs::read(&kept[1]).expect("the certificate"), certificate);
}

#[test]
fn a_certificate_by_http_01_comes_over_the_port_that_leads_to_https() {
    let place = Place::new();
    // Nobody answers there yet: until the certificate is here, this network is served without it.
    let stand = place.server("http-01", &[]);
    assert_eq!(plain(place.http_port, "/health").status(), 200);
    stand.stop();
    let authority = place.start("127.0.0.1", 7 * 86_400);
    stand.start();
    wait_for_log(&stand, CAME);
    let answer = plain(place.http_port, "/api/files?limit=5");
    let target = format!("https://{NAME}:{}/api/files?limit=5", place.https_port);
    assert_eq!((answer.status(), answer.header("location")), (301, Some(target.as_str())));
    let health = format!("http://{NAME}:{}/health", place.http_port);
    let to = format!("{NAME}:{}:127.0.0.1", place.https_port);
    let followed =
        curl(place.http_port, &authority.roots, &["--location", "--resolve", &to, &health]);
    assert!(followed.ends_with("{\"ok\":true}"), "{followed}");
    // What was proved is proved: the text is gone.
    let unknown = plain(place.http_port, "/.well-known/acme-challenge/abc");
    assert_eq!(unknown.status(), 301);
}

#[test]
fn a_certificate_is_renewed_while_an_upload_runs_and_the_upload_is_whole() {
    let place = Place::new();
    let authority = place.start("127.0.0.1", 9);
    let stand = place.server("tls-alpn-01", &[]);
    let before = shown_without_a_name(place.https_port);
    wait_for_log(&stand, CAME);
    let ann = stand.person();
    let folder = tempfile::tempdir().expect("a folder");
    pair(&stand, &ann.email, place.https_port, folder.path());
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    fs::write(photos.join("pinned.jpg"), opaque_bytes(3, 100_000)).expect("a photo");
    let (file, bytes) = (folder.path().join("film.mp4"), opaque_bytes(2, 1_600_000));
    fs::write(&file, &bytes).expect("a film");
    let token = format!("Authorization: Bearer {}", ann.token);
    let device = format!("X-Device-UUID: {}", ann.device_uuid);
    let sent = format!("@{}", file.display());
    let address = format!("https://{NAME}:{}/api/upload/raw", place.https_port);
    let mut upload = curl_command(
        place.https_port,
        &authority.roots,
        // 8 s at least: a certificate of 9 s is renewed after 6.
        &[
            "-H",
            &token,
            "-H",
            &device,
            "-H",
            "X-Filename: film.mp4",
            "-H",
            "Expect:",
            "--limit-rate",
            "200K",
            "-H",
            "Content-Type: application/octet-stream",
            "--data-binary",
            &sent,
            &address,
        ],
    )
    .stdout(std::process::Stdio::piped())
    .spawn()
    .expect("curl is needed");
    wait_until("there is a second certificate", || stand.log().matches(CAME).count() >= 2);
    assert!(upload.try_wait().expect("its state").is_none(), "the upload had ended before");
    let answer = upload.wait_with_output().expect("its end");
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}\n{}", stand.log());
    // The client that pinned the key meets nothing new.
    client(folder.path(), &["backup", &photos.to_string_lossy()]);
    ann.require_library(&[("film.mp4", &bytes), ("pinned.jpg", &opaque_bytes(3, 100_000))]);
    assert_eq!(shown_without_a_name(place.https_port), before);
    assert!(metric(&stand).expect("the metric") >= 0, "{}", stand.log());
}

#[test]
fn an_authority_that_is_away_or_refuses_stops_nothing_and_is_asked_again_at_a_reload() {
    let place = Place::new();
    let folder = tempfile::tempdir().expect("a folder");
    // SIGHUP is an order to reload under a service manager only.
    let notify = folder.path().join("notify");
    let _manager = UnixDatagram::bind(&notify).expect("a socket");
    let notify = notify.to_string_lossy().into_owned();
    let stand = place.server("tls-alpn-01", &[("NOTIFY_SOCKET", &notify)]);
    let reload = || stand.with_server(|server| server.signal(Signal::HUP)).expect("a signal");
    wait_for_log(&stand, "no new certificate for photos.example.org: could not read the directory");
    for hint in [
        "port 443 is open from everywhere",
        "Tried again in ",
        "or at once after a restart or reload",
    ] {
        assert!(stand.log().contains(hint), "{}", stand.log());
    }
    stand.require_health();
    let ann = stand.person();
    ann.keep("a.jpg", b"photo");
    let before = shown_without_a_name(place.https_port);
    assert_eq!(metric(&stand), None);

    // The name leads to another machine.
    let authority = place.start("127.0.0.9", 7 * 86_400);
    reload();
    wait_for_log(&stand, "the proof (tls-alpn-01) for photos.example.org was refused");
    stand.require_health();
    assert_eq!(shown_without_a_name(place.https_port), before);

    place.lead_names_to("127.0.0.1");
    reload();
    wait_for_log(&stand, CAME);
    let health = format!("https://{NAME}:{}/health", place.https_port);
    assert!(curl(place.https_port, &authority.roots, &[&health]).starts_with("http/1.1 200"));
    assert_eq!(shown_without_a_name(place.https_port), before);
    ann.require_library(&[("a.jpg", b"photo")]);
}
