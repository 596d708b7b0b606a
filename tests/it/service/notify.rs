//! What the server tells a service manager, asked by one that only listens.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::{Duration, Instant};

use photosync_tests::http::Request;
use rustix::process::Signal;
use tempfile::TempDir;

use super::{run, said};
use crate::stand::{SOON, Stand};

/// The watchdog's time in these tests, µs: looked at four times in it.
const WATCHDOG_USEC: &str = "400000";

/// A service manager that only listens.
struct Manager(UnixDatagram);

impl Manager {
    fn at_path(folder: &TempDir) -> (Manager, String) {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        (Manager(socket), path.to_string_lossy().into_owned())
    }

    fn without_path(folder: &TempDir) -> (Manager, String) {
        let name = folder.path().to_string_lossy().into_owned();
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        (Manager(UnixDatagram::bind_addr(&address).expect("a socket")), format!("@{name}"))
    }

    /// The next message; `None` if none comes within `wait`.
    fn next(&self, wait: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(wait)).expect("a time-out");
        let mut bytes = [0; 4096];
        let count = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// Waits for a message that begins with `start`; returns those before it and itself.
    fn wait_for(&self, start: &str) -> Vec<String> {
        let end = Instant::now() + SOON;
        let mut heard = Vec::new();
        while let Some(message) =
            self.next(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
        {
            let found = message.starts_with(start);
            heard.push(message);
            if found {
                return heard;
            }
        }
        panic!("no {start:?}, only {heard:?}");
    }
}

fn start(folder: TempDir, socket: &str, more: &[(&str, &str)]) -> Stand {
    let data = folder.path().join("data");
    let mut settings = vec![("NOTIFY_SOCKET", socket)];
    settings.extend_from_slice(more);
    Stand::start_in(folder, data, &settings)
}

#[test]
fn ready_is_told_once_watchdog_is_answered_reload_and_stop_are_told_in_their_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::at_path(&folder);
    let stand = start(folder, &socket, &[("WATCHDOG_USEC", WATCHDOG_USEC)]);
    let first = manager.wait_for("READY=1");
    assert_eq!(first.first().map(String::as_str), Some("STATUS=Starting"), "{first:?}");
    let ready = first.last().expect("the ready message");
    assert!(
        ready.contains("STATUS=Ready") && ready.contains(&stand.address().to_string()),
        "{ready}"
    );
    stand.require_health();
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");

    stand.with_server(|server| server.signal(Signal::HUP)).expect("a signal");
    let reloading = manager.wait_for("RELOADING=1");
    let stamp = reloading.last().and_then(|text| text.split_once("MONOTONIC_USEC="));
    let stamp: u64 = stamp.and_then(|(_, number)| number.parse().ok()).expect("a time");
    assert!(stamp > 0);
    let after = manager.wait_for("READY=1");
    assert_eq!(after.len(), 1, "nothing between RELOADING and READY: {after:?}");
    stand.require_health();

    stand.stop();
    let stopping = manager.wait_for("STOPPING=1");
    assert!(!stopping.iter().any(|text| text.starts_with("READY=1")), "{stopping:?}");
    assert_eq!(manager.next(Duration::from_millis(1)), None, "nothing after STOPPING");
}

#[test]
fn a_socket_without_a_file_is_told_too_and_without_a_watchdog_nothing_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::without_path(&folder);
    let stand = start(folder, &socket, &[]);
    manager.wait_for("READY=1");
    assert_eq!(manager.next(Duration::from_millis(500)), None);
    stand.stop();
    assert_eq!(manager.wait_for("STOPPING=1").len(), 1);
}

#[test]
fn a_watchdog_of_another_process_is_not_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::at_path(&folder);
    let settings = [("WATCHDOG_USEC", WATCHDOG_USEC), ("WATCHDOG_PID", "1")];
    let stand = start(folder, &socket, &settings);
    manager.wait_for("READY=1");
    assert_eq!(manager.next(Duration::from_millis(500)), None);
    stand.stop();
}

/// The disk of the originals goes away: requests would fail, so the watchdog must not hear that all is well.
#[test]
fn the_watchdog_is_not_answered_while_the_disk_of_the_originals_is_away() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::at_path(&folder);
    let stand = start(folder, &socket, &[("WATCHDOG_USEC", WATCHDOG_USEC)]);
    manager.wait_for("WATCHDOG=1");
    let (there, away) = (stand.uploads(), stand.data().join("away"));
    fs::rename(&there, &away).expect("the disk goes");
    manager.wait_for("STATUS=Not ready: ");
    let ready = stand.send(Request::new("GET", "/health/ready"));
    assert_eq!(ready.status(), 500, "{}", ready.text());
    // Twice the time in which a watchdog that is answered hears something.
    let end = Instant::now() + Duration::from_millis(800);
    while Instant::now() < end {
        if let Some(message) = manager.next(Duration::from_millis(100)) {
            assert!(message.starts_with("STATUS=Not ready: "), "{message}");
        }
    }
    fs::rename(&away, &there).expect("the disk comes back");
    let after = manager.wait_for("WATCHDOG=1");
    assert!(after.iter().any(|text| text.starts_with("STATUS=Ready")), "{after:?}");
    stand.require_health();
    stand.stop();
}

#[test]
fn a_start_that_fails_says_why_to_the_service_manager() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::at_path(&folder);
    let data = folder.path().join("data");
    let settings = [("NOTIFY_SOCKET", socket.as_str()), ("PHOTOSYNC_TLS_CERT", "/nowhere/c.pem")];
    photosync_tests::server::ServerProcess::start(&data, &settings)
        .expect_err("half a certificate");
    let said = manager.wait_for("STATUS=tls.cert and tls.key").pop().expect("a message");
    assert!(!said.trim_end().contains('\n'), "one line: {said}");
}

#[test]
fn without_a_service_manager_sighup_ends_the_server_as_a_closed_terminal_must() {
    let stand = Stand::new(&[]);
    let code = stand.with_server(|server| {
        server.signal(Signal::HUP).expect("a signal");
        server.wait_for_end(SOON).expect("an end")
    });
    assert_eq!(code, 128 + 1);
}

fn make_certificate(folder: &Path, subject: &str) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-addext",
            "subjectAltName=DNS:photos.example.org",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    );
    assert!(made.status.success(), "{}", said(&made));
}

fn shown_certificate(stand: &Stand) -> String {
    let address = stand.address().to_string();
    let asked = run(
        "sh",
        &[
            "-c",
            "openssl s_client -connect \"$0\" -servername photos.example.org </dev/null 2>/dev/null | openssl x509 -noout -subject",
            &address,
        ],
    );
    said(&asked)
}

#[test]
fn sighup_shows_a_new_certificate_and_keeps_the_old_one_where_the_new_is_broken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = tempfile::tempdir().expect("a temporary folder");
    let (manager, socket) = Manager::at_path(&folder);
    make_certificate(files.path(), "/CN=first");
    let cert = files.path().join("cert.pem").to_string_lossy().into_owned();
    let key = files.path().join("key.pem").to_string_lossy().into_owned();
    let settings = [("PHOTOSYNC_TLS_CERT", cert.as_str()), ("PHOTOSYNC_TLS_KEY", key.as_str())];
    let stand = start(folder, &socket, &settings);
    manager.wait_for("READY=1");
    assert!(shown_certificate(&stand).contains("first"));

    make_certificate(files.path(), "/CN=second");
    stand.with_server(|server| server.signal(Signal::HUP)).expect("a signal");
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    assert!(shown_certificate(&stand).contains("second"));

    fs::write(&cert, "broken").expect("a broken file");
    stand.with_server(|server| server.signal(Signal::HUP)).expect("a signal");
    manager.wait_for("RELOADING=1");
    let after = manager.wait_for("READY=1").pop().expect("a message");
    assert!(after.contains("reload failed") && after.contains("cert.pem"), "{after}");
    assert!(shown_certificate(&stand).contains("second"));
    stand.stop();
}
