//! What the server and a service manager tell each other: readiness and the watchdog (`NOTIFY_SOCKET`), sockets that
//! are handed over (`LISTEN_FDS`), and secrets that only the service sees (`CREDENTIALS_DIRECTORY`).
//!
//! The messages are those of `sd_notify(3)`. Without a service manager every function here does nothing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::config_names::SETTINGS;
use photosync_protocol::process::Exit;
use photosync_server::boot::{App, BootError};
use photosync_server::serve::Tls;
use photosync_server::upkeep;

use super::failed;

/// What names of credentials begin with; the rest is the name of a setting.
const CREDENTIAL_PREFIX: &str = "photosync.";
/// Settings that name a file: as a credential, the file itself is handed over.
const FILE_SETTINGS: &[&str] = &["tls.cert", "tls.key"];
/// The credential that replaces `<data>/secrets/identity`.
const IDENTITY_CREDENTIAL: &str = "photosync.identity";
/// Name of a handed-over socket that speaks TLS only.
#[cfg(unix)]
const HTTPS_SOCKET: &str = "https";
/// Name of a handed-over socket that leads to HTTPS.
#[cfg(unix)]
const REDIRECT_SOCKET: &str = "redirect";

/// The service manager that started this process, if one did.
#[derive(Debug, Default)]
pub struct Service {
    notify: Option<Notifier>,
    watchdog: Option<Duration>,
    credentials: Option<PathBuf>,
    #[cfg(windows)]
    scm: Option<Arc<super::scm::Scm>>,
    #[cfg(windows)]
    log_file: Option<Arc<super::scm::LogFile>>,
}

#[cfg(windows)]
impl Service {
    /// Started by the service manager of Windows.
    pub fn of_windows(
        scm: Arc<super::scm::Scm>,
        log_file: Option<Arc<super::scm::LogFile>>,
    ) -> Self {
        Self { scm: Some(scm), log_file, ..Self::default() }
    }

    /// Where the log goes, if nobody sees stderr.
    pub fn log_file(&self) -> Option<Arc<super::scm::LogFile>> {
        self.log_file.clone()
    }

    /// The service manager of Windows, if it started this process.
    pub fn scm(&self) -> Option<Arc<super::scm::Scm>> {
        self.scm.clone()
    }
}

impl Service {
    /// Reads the variables of a service manager.
    pub fn from_environment() -> Self {
        let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let number = |name: &str| get(name)?.to_str()?.parse::<u64>().ok();
        // The variables are inherited: a watchdog that waits for another process is not ours.
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            notify: get("NOTIFY_SOCKET").map(Notifier),
            watchdog: number("WATCHDOG_USEC")
                .filter(|usec| is_ours && *usec > 0)
                .map(Duration::from_micros),
            credentials: get("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            #[cfg(windows)]
            scm: None,
            #[cfg(windows)]
            log_file: None,
        }
    }

    /// Tells the service manager `state`, lines of `NAME=value`. That it cannot be told is no reason to stop.
    pub fn tell(&self, state: &str) {
        #[cfg(windows)]
        if let Some(scm) = &self.scm {
            scm.tell(state);
        }
        let Some(notify) = &self.notify else { return };
        if let Err(error) = notify.send(state) {
            tracing::warn!(%error, "could not tell the service manager {state:?}");
        }
    }

    /// One line for `systemctl status`.
    pub fn tell_status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// Settings that were handed over as credentials: secrets by value, certificates as paths.
    pub fn read_settings(&self) -> Result<Vec<(String, String)>, BootError> {
        let Some(folder) = &self.credentials else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for setting in SETTINGS {
            let name = setting.name();
            let path = folder.join(format!("{CREDENTIAL_PREFIX}{name}"));
            if FILE_SETTINGS.contains(&name.as_str()) && path.exists() {
                found.push((name, path.display().to_string()));
            } else if setting.secret
                && let Some(value) = read_credential(&path)?
            {
                found.push((name, value));
            }
        }
        Ok(found)
    }

    /// The identity key that was handed over, as the 32 bytes of its seed.
    pub fn read_identity(&self) -> Result<Option<[u8; 32]>, BootError> {
        let Some(folder) = &self.credentials else { return Ok(None) };
        let path = folder.join(IDENTITY_CREDENTIAL);
        let Some(text) = read_credential(&path)? else { return Ok(None) };
        let mut seed = [0; 32];
        hex::decode_to_slice(&text, &mut seed).map_err(|_| {
            let message = format!("{} must be 64 hexadecimal digits", path.display());
            failed(Exit::Configuration, message)
        })?;
        Ok(Some(seed))
    }
}

/// A credential without the line end an editor leaves; `None` if it was not handed over.
fn read_credential(path: &Path) -> Result<Option<String>, BootError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("could not read the credential {}: {error}", path.display());
            Err(failed(Exit::Configuration, message))
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where `sd_notify` messages go: a path, or a name that begins with `@` and has no file.
#[derive(Debug)]
struct Notifier(std::ffi::OsString);

impl Notifier {
    #[cfg(unix)]
    fn send(&self, state: &str) -> std::io::Result<()> {
        use std::os::unix::net::UnixDatagram;
        let socket = UnixDatagram::unbound()?;
        // A service manager that does not read must not hold the server up.
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        #[cfg(target_os = "linux")]
        if let Some(name) =
            std::os::unix::ffi::OsStrExt::as_bytes(self.0.as_os_str()).strip_prefix(b"@")
        {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return socket.send_to_addr(state.as_bytes(), &address).map(drop);
        }
        socket.send_to(state.as_bytes(), &self.0).map(drop)
    }

    #[cfg(not(unix))]
    fn send(&self, _state: &str) -> std::io::Result<()> {
        let _ = &self.0;
        Ok(())
    }
}

/// A listening socket that somebody else has bound.
pub struct Passed {
    /// The socket, not blocking.
    pub socket: TcpListener,
    /// What its name asks for.
    pub purpose: Purpose,
}

/// What a handed-over socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// TLS and plain HTTP, as `listen.port`.
    Any,
    /// TLS only, as `tls.https_port`.
    Https,
    /// To lead to HTTPS, as `tls.redirect_port`.
    #[cfg_attr(windows, expect(dead_code, reason = "nobody hands sockets over on Windows"))]
    Redirect,
}

/// The sockets of socket activation, in their order. They replace `listen.host` and `listen.port`.
#[cfg(unix)]
pub fn take_sockets() -> Result<Vec<Passed>, BootError> {
    let unusable = |error: std::io::Error| {
        failed(
            Exit::Configuration,
            format!("a socket of the service manager cannot be used: {error}"),
        )
    };
    let mut handed = listenfd::ListenFd::from_env();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let purpose = match names.next() {
            Some(HTTPS_SOCKET) => Purpose::Https,
            Some(REDIRECT_SOCKET) => Purpose::Redirect,
            _ => Purpose::Any,
        };
        let Some(socket) = handed.take_tcp_listener(index).map_err(unusable)? else { continue };
        socket.set_nonblocking(true).map_err(unusable)?;
        sockets.push(Passed { socket, purpose });
    }
    Ok(sockets)
}

/// Other systems have no socket activation.
#[cfg(not(unix))]
pub fn take_sockets() -> Result<Vec<Passed>, BootError> {
    Ok(Vec::new())
}

/// SIGHUP as an order to read certificates again. Only under a service manager: for a program on a terminal the same
/// signal means that the terminal is gone.
#[cfg(unix)]
pub struct Reload(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Reload {
    /// Registered before the server is made: an early signal must not end it.
    pub fn listen(service: &Service) -> Result<Self, BootError> {
        use tokio::signal::unix::{SignalKind, signal};
        if service.notify.is_none() {
            return Ok(Self(None));
        }
        signal(SignalKind::hangup()).map(|signal| Self(Some(signal))).map_err(|error| {
            failed(Exit::Unexpected, format!("could not listen for signals: {error}"))
        })
    }

    async fn wanted(&mut self) {
        let Some(signal) = &mut self.0 else { return std::future::pending().await };
        if signal.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Other systems have no such signal.
#[cfg(not(unix))]
pub struct Reload;

#[cfg(not(unix))]
impl Reload {
    /// Nothing to listen for.
    pub fn listen(_service: &Service) -> Result<Self, BootError> {
        Ok(Self)
    }

    async fn wanted(&mut self) {
        std::future::pending().await
    }
}

/// Keeps the service manager informed until the server is told to stop: that it is ready (`status` says where), that
/// it still works, that it reads certificates again, and that it is stopping.
pub async fn accompany(
    service: Arc<Service>,
    app: App,
    tls: Arc<Tls>,
    mut reload: Reload,
    status: String,
) {
    let status = one_line(&status);
    service.tell(&format!("READY=1\nSTATUS={status}"));
    // Four looks in the time that is allowed without one: a single slow answer costs nothing.
    let every = service.watchdog.map(|allowed| allowed / 4);
    let mut healthy = true;
    loop {
        tokio::select! {
            () = app.stop_wanted() => {
                service.tell("STOPPING=1\nSTATUS=Stopping; requests have 5 s to finish");
                return;
            }
            () = reload.wanted() => {
                service.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
                match tls.reload(&app) {
                    Ok(()) => {
                        tracing::info!("read the certificates again");
                        service.tell(&format!("READY=1\nSTATUS={status}"));
                    }
                    Err(error) => {
                        tracing::error!(%error, "the certificates stay as they were");
                        let error = one_line(&error.message);
                        service.tell(&format!("READY=1\nSTATUS={status}; reload failed: {error}"));
                    }
                }
            }
            works = look(&app, every) => match works {
                Ok(()) => {
                    if !healthy {
                        tracing::info!("requests are answered again");
                        service.tell_status(&status);
                    }
                    healthy = true;
                    service.tell("WATCHDOG=1");
                }
                Err(why) => {
                    healthy = false;
                    tracing::error!(why, "the service manager is not told that all is well");
                    service.tell_status(&format!("Not ready: {why}"));
                }
            },
        }
    }
}

/// Waits for `every`, then says whether requests are answered, at most `every` later. Never ends without a watchdog.
async fn look(app: &App, every: Option<Duration>) -> Result<(), String> {
    let Some(every) = every else { return std::future::pending().await };
    tokio::time::sleep(every).await;
    match tokio::time::timeout(every, upkeep::require_ready(app)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer from database and disk within {} ms", every.as_millis())),
    }
}

/// The clock of `RELOADING=1`.
#[cfg(unix)]
fn monotonic_us() -> i64 {
    photosync_server::clock::monotonic_us()
}

#[cfg(not(unix))]
fn monotonic_us() -> i64 {
    0
}
