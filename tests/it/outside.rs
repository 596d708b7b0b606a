//! Programs of others that tests run beside the server: an authority for certificates, reverse proxies.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::stand::wait_until;

/// The public name of every server here.
pub(crate) const NAME: &str = "photos.example.org";

/// Ends what it holds.
pub(crate) struct Held(pub(crate) Child);

impl Held {
    /// Starts a program of a Debian package, without a word of it on the terminal but its errors in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Held {
        let log = std::fs::File::create(log).expect("a log");
        let errors = log.try_clone().expect("a second handle");
        let started = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        Held(started.unwrap_or_else(|error| {
            panic!("{program} is needed (scripts/test installs it): {error}")
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port for a program that cannot take any free one. Below those that the system gives away by itself, and in another
/// stretch for each process of tests.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let stretch = u16::try_from(std::process::id() % 300).expect("a small number") * 40;
    for _ in 0..200 {
        let port = 20_000 + (stretch + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 32000");
}

/// 127.0.0.1 with this port.
pub(crate) fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until somebody listens.
pub(crate) fn wait_for_port(port: u16, log: &Path) {
    wait_until(&format!("port {port} answers, see {}", log.display()), || {
        std::net::TcpStream::connect(here(port)).is_ok()
    });
}

/// `curl` on an address of the public name, led to this machine; head and body in lower case. Fails the test without an answer.
pub(crate) fn curl(port: u16, roots: &Path, more: &[&str]) -> String {
    let got = curl_command(port, roots, more).output().expect("curl is needed");
    let said = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.success(), "{more:?} on port {port}: {said}");
    String::from_utf8_lossy(&got.stdout).to_lowercase()
}

/// The command of [`curl`].
pub(crate) fn curl_command(port: u16, roots: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--include", "--max-time", "60", "--http1.1"])
        .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--cacert"])
        .arg(roots)
        .args(more);
    command
}
