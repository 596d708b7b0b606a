//! Reverse proxies of Debian in front of the built server, with the very files of `installers/proxies`: only ports,
//! certificate paths and, where a test says so, time-outs are others. What old and new clients do goes through them.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use photosync_tests::http::{Body, Client, Timeouts};
use photosync_tests::phone::Phone;
use photosync_tests::proxy::{Cut, FaultProxy, Plan};
use photosync_tests::relay::opaque_bytes;
use photosync_tests::tus_client::TusClient;
use tempfile::TempDir;

use crate::outside::{Held, NAME, curl, free_port, here, wait_for_port};
use crate::stand::{PASSWORD, Person, Stand, files_below, wait_until};
use crate::wire::tls::{Certificate, tls_door};

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nginx,
    Caddy,
    Haproxy,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx.conf",
            Kind::Caddy => "Caddyfile",
            Kind::Haproxy => "haproxy.cfg",
        }
    }
}

/// A server, and a proxy in front of it.
struct Front {
    stand: Stand,
    process: Held,
    file: PathBuf,
    certificate: Certificate,
    folder: TempDir,
    https: u16,
    old_port: u16,
    http: u16,
}

fn snippet(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installers/proxies").join(name);
    fs::read_to_string(path).expect("the snippet")
}

/// Replaces what must be there.
fn put(text: String, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in\n{text}");
    text.replace(from, to)
}

impl Front {
    fn new(kind: Kind) -> Front {
        Front::with(kind, &[], &[])
    }

    /// With other words in the file, and more settings of the server.
    fn with(kind: Kind, words: &[(&str, &str)], settings: &[(&str, &str)]) -> Front {
        // As docs/OPERATIONS.md, *Reverse proxies*, has it.
        let documented = [
            ("PHOTOSYNC_AUTH_TRUSTED_PROXIES", "127.0.0.1"),
            ("PHOTOSYNC_REGISTRATION_MODE", "open"),
        ];
        let stand = Stand::new(&[&documented, settings].concat());
        let certificate = Certificate::of(&format!("DNS:{NAME}"));
        let folder = tempfile::tempdir().expect("a folder");
        let (https, old_port, http) = (free_port(), free_port(), free_port());
        let mut text = snippet(kind.file());
        for (from, to) in words {
            text = put(text, from, to);
        }
        text = put(text, "127.0.0.1:3001", &stand.address().to_string());
        let file = folder.path().join(kind.file());
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        let (cert, key) = (shown(certificate.cert()), shown(certificate.key()));
        let text = match kind {
            Kind::Nginx => {
                let both = [("443 ssl", https), ("3000 ssl", old_port), ("80", http)];
                let mut text = both.iter().fold(text, |text, (from, port)| {
                    let ssl = if from.ends_with("ssl") { " ssl" } else { "" };
                    let text = put(
                        text,
                        &format!("listen {from};"),
                        &format!("listen 127.0.0.1:{port}{ssl};"),
                    );
                    // Not every machine that runs tests has IPv6.
                    put(text, &format!("listen [::]:{from};"), "")
                });
                text = put(text, "/etc/ssl/photosync/fullchain.pem", &cert);
                text = put(text, "/etc/ssl/photosync/privkey.pem", &key);
                let site = folder.path().join("site.conf");
                fs::write(&site, text).expect("the site");
                // What Debian's own nginx.conf is around a site, with every folder here.
                let at = folder.path().display();
                format!(
                    "pid {at}/nginx.pid; error_log {at}/error.log; worker_processes 1; events {{}}\n\
                     http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
                     fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
                     include {}; }}\n",
                    site.display()
                )
            }
            Kind::Caddy => {
                let names = format!("\n{NAME}, {NAME}:3000 {{");
                let text = put(text, &names, &format!("\n{NAME}, {NAME}:{old_port} {{"));
                let own = format!("tls {cert} {key}");
                let text = put(
                    text,
                    "# tls /etc/ssl/photosync/fullchain.pem /etc/ssl/photosync/privkey.pem",
                    &own,
                );
                format!("{{\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n}}\n{text}")
            }
            Kind::Haproxy => {
                let pem = folder.path().join("haproxy.pem");
                let both =
                    [fs::read(&cert), fs::read(&key)].map(|part| part.expect("PEM")).concat();
                fs::write(&pem, both).expect("certificate and key");
                let text = put(text, "/etc/ssl/photosync/haproxy.pem", &pem.to_string_lossy());
                let text = put(text, "bind :80\n", &format!("bind 127.0.0.1:{http}\n"));
                let text = put(text, "bind :443 ", &format!("bind 127.0.0.1:{https} "));
                put(text, "bind :3000 ", &format!("bind 127.0.0.1:{old_port} "))
            }
        };
        fs::write(&file, text).expect("its configuration");
        let log = folder.path().join("log");
        let mut command = match kind {
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-c").arg(&file).args(["-g", "daemon off; master_process off;"]);
                command
            }
            Kind::Caddy => {
                let mut command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
                command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
                command
            }
            Kind::Haproxy => {
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(&file);
                command
            }
        };
        let process = Held::start(&mut command, &log);
        for port in [https, old_port, http] {
            wait_for_port(port, &log);
        }
        Front { stand, process, file, certificate, folder, https, old_port, http }
    }

    /// A plain port whose connections come to `port` of the proxy over TLS, as those of a client that knows the name.
    fn door(&self, port: u16) -> SocketAddr {
        tls_door(&self.certificate.cert(), Some(NAME), here(port))
    }

    /// A person who speaks through the proxy.
    fn person(&self) -> Person {
        Person { address: self.door(self.https), ..self.stand.person() }
    }

    fn curl(&self, port: u16, more: &[&str]) -> String {
        curl(port, &self.certificate.cert(), more)
    }
}

/// A number of `/proc/PID/status`, kB.
fn memory_kb(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// Bytes that nobody keeps, with a question after some of them.
struct Watched<'a> {
    piece: Vec<u8>,
    sent_bytes: u64,
    total_bytes: u64,
    ask_at: u64,
    ask: &'a mut dyn FnMut(),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.sent_bytes >= self.ask_at {
            (self.ask)();
            self.ask_at = u64::MAX;
        }
        let left = usize::try_from(self.total_bytes - self.sent_bytes).unwrap_or(usize::MAX);
        let count = buffer.len().min(self.piece.len()).min(left);
        buffer[..count].copy_from_slice(&self.piece[..count]);
        // Another byte each time: no two pieces of the body are equal.
        if let Some(first) = buffer[..count].first_mut() {
            *first = (self.sent_bytes / 65_536) as u8;
        }
        self.sent_bytes += count as u64;
        Ok(count)
    }
}

fn staged_bytes(person: &Person) -> u64 {
    let staged = files_below(&person.folder.join(".staging"));
    staged.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// 300 MiB come through while they are sent, and neither proxy nor server keeps them.
fn streams(kind: Kind) {
    const TOTAL: u64 = 300 << 20;
    const MOST_KB: u64 = 64 << 10;
    let front = Front::new(kind);
    let ann = front.person();
    front.stand.require_health();
    let server = front.stand.with_server(|server| server.pid());
    let pids = [("proxy", front.process.pid()), ("server", server)];
    let before = pids.map(|(_, pid)| memory_kb(pid, "VmRSS"));
    let mut seen = 0;
    let mut ask = || {
        // The sender waits here: what lies on the disk by now came before its last two thirds were sent.
        wait_until("the server has a sixth of it", || {
            seen = staged_bytes(&ann);
            seen >= TOTAL / 6
        });
    };
    let mut body = Watched {
        piece: opaque_bytes(9, 64 * 1024),
        sent_bytes: 0,
        total_bytes: TOTAL,
        ask_at: TOTAL / 3,
        ask: &mut ask,
    };
    let request = ann
        .request("POST", "/api/upload/raw")
        .header("Content-Type", "application/octet-stream")
        .header("X-Filename", "film.mov")
        .body(Body::Sized { length_bytes: TOTAL, reader: &mut body });
    let answer = ann.send(request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!((TOTAL / 6..=TOTAL / 3 + (1 << 20)).contains(&seen), "{seen}");
    assert_eq!(fs::metadata(ann.folder.join("film.mov")).expect("the film").len(), TOTAL);
    for ((name, pid), before) in pids.into_iter().zip(before) {
        let most = memory_kb(pid, "VmHWM");
        println!("{kind:?}: {name}: {before} kB before, {most} kB at most");
        assert!(most < before + MOST_KB, "{name}: {before} kB before, {most} kB at most");
    }
    // Nor on a disk.
    let written: u64 = files_below(front.folder.path())
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|file| file.len())
        .sum();
    assert!(written < 1 << 20, "the proxy has written {written} bytes");
}

/// Old phones on both ports, tus with a cut, a part of a file, the public name, and who the client is.
fn carries(kind: Kind) {
    let front = Front::with(kind, &[], &[("PHOTOSYNC_AUTH_THROTTLE_MAX", "10")]);
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["My Photo.jpg", "Café 1.HEIC", "b.mp4"];
    let files: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    for ((path, size), seed) in files.iter().zip([3_000_000, 70_000, 1]).zip(800..) {
        fs::write(path, opaque_bytes(seed, size)).expect("a photo");
    }
    // The published phone app dials 3000, later ones 443.
    for (port, email) in [(front.old_port, "old@example.org"), (front.https, "new@example.org")] {
        let mut phone = Phone::new(front.door(port), email, PASSWORD);
        phone.register(None).expect("an account");
        phone.login().expect("a session");
        let report = phone.back_up(&files).expect("a backup");
        assert_eq!((report.stored, report.failed), (3, Vec::new()));
        let back = tempfile::tempdir().expect("a folder");
        let report = phone.restore(back.path()).expect("a restore");
        assert_eq!((report.stored, report.failed), (3, Vec::new()));
        for (path, name) in files.iter().zip(names) {
            let back = fs::read(back.path().join(name)).expect("restored");
            assert!(back == fs::read(path).expect("a photo"), "{name}");
        }
    }
    let ann = front.person();
    part_of_a_file(&ann);
    tus_with_a_cut(&front, &ann);
    public_name(&front);
    one_limit_for_each_client(&front);
    front.stand.require_agreement();
}

fn part_of_a_file(ann: &Person) {
    let bytes = opaque_bytes(5, 200_000);
    ann.keep("IMG_0005.jpg", &bytes);
    let part = ann.get_with("/api/files/IMG_0005.jpg", &[("Range", "bytes=1000-1999")]);
    assert_eq!(part.status(), 206, "{}", part.text());
    assert_eq!(part.header("content-range"), Some("bytes 1000-1999/200000"));
    assert!(part.body == bytes[1000..2000]);
}

/// The connection breaks in the middle; what the server has by then is not sent again.
fn tus_with_a_cut(front: &Front, ann: &Person) {
    const CUT_AT: u64 = 3_000_000;
    let bytes = opaque_bytes(6, 6_000_000);
    let flaky = FaultProxy::start(here(front.https), |_| Plan::pass()).expect("a broken line");
    let door = tls_door(&front.certificate.cert(), Some(NAME), flaky.address());
    let mut tus = TusClient::new(door, "/api/v2/tus", &ann.headers());
    let upload = tus.create(bytes.len() as u64, &[("filename", b"cut.mov")]).expect("an upload");
    flaky.set_planner(|_| Plan::cut_up(CUT_AT, Cut::Reset));
    let mut tus = TusClient::new(door, "/api/v2/tus", &ann.headers());
    let mut file = std::io::Cursor::new(&bytes);
    tus.patch(&upload, &mut file, 0, bytes.len() as u64).expect_err("a cut");
    flaky.set_planner(|_| Plan::pass());
    let mut tus = TusClient::new(door, "/api/v2/tus", &ann.headers());
    let offset = tus.state(&upload).expect("its state").offset;
    assert!(offset > CUT_AT / 2 && offset <= CUT_AT, "{offset} bytes have survived the cut");
    let state = tus.resume(&upload, &mut file, bytes.len() as u64, u64::MAX).expect("the rest");
    assert_eq!(state.offset, bytes.len() as u64);
    assert!(fs::read(ann.folder.join("cut.mov")).expect("the film") == bytes);
}

fn public_name(front: &Front) {
    let answer = front.curl(front.https, &[&format!("https://{NAME}:{}/health", front.https)]);
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    let plain = format!("http://{NAME}:{}/api/files?limit=5", front.http);
    let answer = front.curl(front.http, &[&plain]);
    let status = answer.split_whitespace().nth(1).unwrap_or_default().to_owned();
    assert!(["301", "308"].contains(&status.as_str()), "{answer}");
    let target = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("a target");
    // Caddy names its port when it is not 443.
    let target = target.replace(&format!(":{}", front.https), "");
    assert_eq!(target.trim(), format!("https://{NAME}/api/files?limit=5"));
}

/// What a client says of itself changes nothing, and what one does wrong hinders no other.
fn one_limit_for_each_client(front: &Front) {
    let sign_in = |from: &str, claimed: &str| {
        let claimed = format!("X-Forwarded-For: {claimed}");
        let address = format!("https://{NAME}:{}/api/login", front.https);
        let body = "{\"email\":\"x@example.org\",\"password\":\"wrong\",\"device_uuid\":\"x\"}";
        let answer = front.curl(
            front.https,
            &[
                "--interface",
                from,
                "-H",
                "Content-Type: application/json",
                "-H",
                &claimed,
                "-d",
                body,
                &address,
            ],
        );
        answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    let answers: Vec<String> =
        (1..=12).map(|n| sign_in("127.0.0.2", &format!("6.6.6.{n}"))).collect();
    assert_eq!(answers.iter().filter(|status| *status == "429").count(), 2, "{answers:?}");
    assert_ne!(sign_in("127.0.0.3", "6.6.6.6"), "429");
}

/// A photo over a bad network: pauses, and longer in all than every time-out of the file.
fn is_patient(kind: Kind, words: &[(&str, &str)]) {
    let front = Front::with(kind, words, &[]);
    let ann = front.person();
    let bytes = opaque_bytes(7, 50_000);
    let mut slow = Slow { bytes: &bytes, sent_bytes: 0 };
    let began = Instant::now();
    let timeouts = Timeouts { idle: Duration::from_secs(20), ..Timeouts::default() };
    let request = ann
        .request("POST", "/api/upload/raw")
        .header("Content-Type", "application/octet-stream")
        .header("X-Filename", "slow.jpg")
        .body(Body::Sized { length_bytes: bytes.len() as u64, reader: &mut slow });
    let answer = Client::with_timeouts(ann.address, timeouts).send(request).expect("an answer");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(began.elapsed() > Duration::from_secs(6), "{:?}", began.elapsed());
    ann.require_library(&[("slow.jpg", &bytes)]);
}

/// Five pieces with 1.5 s between them.
struct Slow<'a> {
    bytes: &'a [u8],
    sent_bytes: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.sent_bytes > 0 && self.sent_bytes < self.bytes.len() {
            // A phone that stalls, not a wait for a state.
            thread::sleep(Duration::from_millis(1500));
        }
        let count = buffer.len().min(10_000).min(self.bytes.len() - self.sent_bytes);
        buffer[..count].copy_from_slice(&self.bytes[self.sent_bytes..][..count]);
        self.sent_bytes += count;
        Ok(count)
    }
}

#[test]
fn a_film_streams_through_nginx_and_nobody_keeps_it() {
    streams(Kind::Nginx);
}

#[test]
fn a_film_streams_through_caddy_and_nobody_keeps_it() {
    streams(Kind::Caddy);
}

#[test]
fn a_film_streams_through_haproxy_and_nobody_keeps_it() {
    streams(Kind::Haproxy);
}

#[test]
fn nginx_carries_phones_on_two_ports_resumed_uploads_parts_and_addresses() {
    carries(Kind::Nginx);
}

#[test]
fn caddy_carries_phones_on_two_ports_resumed_uploads_parts_and_addresses() {
    carries(Kind::Caddy);
}

#[test]
fn haproxy_carries_phones_on_two_ports_resumed_uploads_parts_and_addresses() {
    carries(Kind::Haproxy);
}

#[test]
fn nginx_waits_for_a_slow_phone_longer_than_each_of_its_time_outs() {
    is_patient(Kind::Nginx, &[("timeout 300s", "timeout 3s")]);
}

#[test]
fn caddy_waits_for_a_slow_phone() {
    is_patient(Kind::Caddy, &[]);
}

#[test]
fn haproxy_waits_for_a_slow_phone_longer_than_each_of_its_time_outs() {
    is_patient(
        Kind::Haproxy,
        &[("300s", "3s"), ("timeout http-request 30s", "timeout http-request 3s")],
    );
}

#[test]
fn the_file_for_cloudflared_is_yaml_with_a_last_rule_for_everything_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installers/proxies/cloudflared.yml");
    let linted = Command::new("yamllint")
        .args([
            "--strict",
            "-d",
            "{extends: default, rules: {line-length: disable, document-start: disable}}",
        ])
        .arg(&path)
        .output()
        .expect("yamllint is needed (scripts/test installs it)");
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
    let text = snippet("cloudflared.yml");
    let rules: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.trim_start_matches("- ").starts_with("service:"))
        .collect();
    assert_eq!(rules, ["service: http://127.0.0.1:3001", "- service: http_status:404"]);
    assert!(text.contains("NOT RUN") && text.contains("443 only") && text.contains("100 MB"));
}

#[test]
fn the_checks_of_the_proxies_accept_the_files_and_a_server_that_is_away_is_no_reason_to_give_up() {
    for kind in [Kind::Nginx, Kind::Caddy, Kind::Haproxy] {
        let front = Front::new(kind);
        let file = front.file.to_string_lossy().into_owned();
        // The commands of docs/OPERATIONS.md.
        let (program, words) = match kind {
            Kind::Nginx => ("nginx", vec!["-t", "-c", &file]),
            Kind::Caddy => ("caddy", vec!["validate", "--adapter", "caddyfile", "--config", &file]),
            Kind::Haproxy => ("haproxy", vec!["-c", "-f", &file]),
        };
        let checked = Command::new(program).args(words).env("HOME", front.folder.path()).output();
        let checked = checked.expect("the proxy");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        front.stand.stop();
        let answer = front.curl(front.https, &[&format!("https://{NAME}:{}/health", front.https)]);
        let status = answer.split_whitespace().nth(1).unwrap_or_default().to_owned();
        assert!(["502", "503"].contains(&status.as_str()), "{kind:?}: {answer}");
    }
}
