//! The subcommands that hold the data themselves.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use photosync_protocol::process::{Exit, Ready};
use photosync_server::accounts::web::find_setup_code;
use photosync_server::boot::{App, BootError, BootOptions, IdentityKey, boot};
use photosync_server::config::{Config, Resolved};
use photosync_server::control::remote;
use photosync_server::http::{metrics_router, router};
use photosync_server::legacy;
use photosync_server::pairing::presence::browser_urls;
use photosync_server::pairing::{discovery, rules};
use photosync_server::serve::{self, Listener, Speaks, Tls};
use photosync_server::updates::rules::Progress;
use photosync_server::upkeep;
use photosync_server::uploads::tus;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::arguments::ImportArgs;
use super::service::{self, Passed, Purpose, Reload, Service};
use super::update::{Trying, attempt_of_a_command};
use super::{failed, refusal, say};

/// Runs the server until SIGTERM or Ctrl-C.
pub async fn serve(
    config: Config,
    resolved: &Resolved,
    service: Arc<Service>,
) -> Result<Exit, BootError> {
    // Registered first: a signal during start must not kill the process half-way.
    let stop = stop_signal(&service)?;
    let reload = Reload::listen(&service)?;
    let passed = service::take_sockets()?;
    service.tell_status("Starting");
    let identity = service.read_identity()?.map_or(IdentityKey::Kept, IdentityKey::HandedOver);
    let trying = Trying::prepare(&config)?;
    let attempt = trying.as_ref().map(Trying::attempt);
    let media_program = own_program();
    let options = BootOptions { identity, attempt, media_program, ..BootOptions::default() };
    let app = boot(config, options).await?;
    let tls = Arc::new(Tls::load(&app)?);
    let public = match passed.is_empty() {
        true => bind_public(&app, &tls)?,
        false => adopt_public(&app, &tls, passed)?,
    };
    let plain = public.iter().find(|listener| !matches!(listener.speaks, Speaks::Tls(_)));
    let asked_at = plain.and_then(|listener| own_address(&listener.socket));
    let mut listen: Vec<SocketAddr> = Vec::new();
    for listener in &public {
        listen.extend(listener.socket.local_addr());
    }
    let mut listeners = public;
    let metrics = bind_metrics(&app).await?;
    let metrics_at = metrics.as_ref().and_then(|socket| socket.local_addr().ok());
    if let Some(socket) = metrics {
        listeners.push(Listener { socket, speaks: Speaks::Plain, router: metrics_router(&app) });
    }
    let unusable = |error: std::io::Error| {
        failed(Exit::Storage, format!("could not open the control port: {error}"))
    };
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unusable)?;
    let control_port = control.local_addr().map_err(unusable)?.port();
    let routes = remote::router(&app).map_err(unusable)?;
    let control = Listener { socket: control, speaks: Speaks::Plain, router: routes };
    let started_by = if std::io::stderr().is_terminal() { "terminal" } else { "service" };
    remote::announce(&app.config.data_dir, control_port, started_by).map_err(unusable)?;

    app.presence.set_listening(listen.clone());
    let urls = rules::typed_urls(&app.presence.reachable(), tls.wants_certificate());
    let ready = Ready {
        version: photosync_server::updates::running_version().into(),
        pid: std::process::id(),
        listen: listen.iter().map(SocketAddr::to_string).collect(),
        urls: urls.clone(),
        metrics: metrics_at.map(|address| address.to_string()),
    };
    let looked_after = app.clone();
    let upkeep = tokio::spawn(async move {
        if let Some(trying) = trying {
            trying.prove(&looked_after, asked_at).await;
        }
        upkeep::run(looked_after).await;
    });
    tokio::spawn(serve::serve_to_the_end(app.clone(), control));
    let ports = listen.iter().map(SocketAddr::port).collect();
    let certificates = tokio::spawn(serve::acme::keep(app.clone(), tls.clone(), ports));
    let running = tokio::spawn(serve::serve(app.clone(), listeners, stop));
    let announcement = discovery::announce(&app);
    greet(&app, &urls, resolved).await;
    print_ready(&ready)?;
    let status = match urls.as_slice() {
        [] => format!("Ready on {}", ready.listen.join(" ")),
        urls => format!("Ready; type into the phone app: {}", urls.join(" ")),
    };
    let accompanying = tokio::spawn(service::accompany(service, app.clone(), tls, reload, status));
    let ended = running.await;
    // Says that the server is stopping, unless that is said already.
    app.stop();
    let _ = accompanying.await;
    upkeep.abort();
    if let Some(trial) = app.trial()
        && app.is_on_trial()
        && let Err(error) = trial.note(Progress::Stopped)
    {
        tracing::warn!(%error, "could not note that the new version was stopped before it had proved itself");
    }
    certificates.abort();
    if let Some(announcement) = announcement {
        let _ = tokio::task::spawn_blocking(|| announcement.withdraw()).await;
    }
    remote::withdraw(&app.config.data_dir);
    tus::make_all_durable(&app).await;
    app.db.close().await;
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(error) => {
            Err(failed(Exit::Unexpected, format!("the server ended unexpectedly: {error}")))
        }
    }
}

/// The running program, also while an update has put another one in its place.
fn own_program() -> Option<PathBuf> {
    if cfg!(target_os = "linux") {
        return Some(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().ok()
}

/// Where this server reaches a listener of its own.
fn own_address(socket: &TcpListener) -> Option<SocketAddr> {
    let mut address = socket.local_addr().ok()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(address)
}

pub(super) fn stop_signal(
    service: &Service,
) -> Result<impl Future<Output = ()> + Send + use<>, BootError> {
    let broken = |error: std::io::Error| {
        failed(Exit::Unexpected, format!("could not listen for signals: {error}"))
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let _ = service;
        let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(windows)]
    {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
        let mut interrupt = ctrl_c().map_err(broken)?;
        let mut end = ctrl_break().map_err(broken)?;
        // A window that closes, a session or a system that ends: the process has some 5 s from then on.
        let mut close = ctrl_close().map_err(broken)?;
        let mut logoff = ctrl_logoff().map_err(broken)?;
        let mut shutdown = ctrl_shutdown().map_err(broken)?;
        let scm = service.scm();
        Ok(async move {
            // Every service hears when somebody signs out or closes a window: that is nothing to one. Only the service
            // manager stops it.
            if let Some(scm) = scm {
                return scm.stop_asked().await;
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = end.recv() => {}
                _ = close.recv() => {}
                _ = logoff.recv() => {}
                _ = shutdown.recv() => {}
            }
        })
    }
}

/// Serves on sockets that somebody else has bound.
fn adopt_public(
    app: &App,
    tls: &Arc<Tls>,
    passed: Vec<Passed>,
) -> Result<Vec<Listener>, BootError> {
    let unusable = |error: std::io::Error| {
        failed(Exit::Unexpected, format!("a socket of the service manager cannot be used: {error}"))
    };
    let https = passed.iter().find(|passed| passed.purpose == Purpose::Https);
    let https_port = https.and_then(|passed| passed.socket.local_addr().ok()).map(|at| at.port());
    // Without one for HTTPS alone, a redirect leads to one that speaks both.
    let any = passed.iter().find(|passed| passed.purpose == Purpose::Any);
    let first_port = any.and_then(|passed| passed.socket.local_addr().ok()).map(|at| at.port());
    let mut listeners = Vec::new();
    for Passed { socket, purpose } in passed {
        let speaks = match (purpose, https_port) {
            (Purpose::Https, _) => Speaks::Tls(tls.clone()),
            (Purpose::Redirect, port) => {
                Speaks::Redirect(port.or(first_port).unwrap_or(app.config.port), tls.clone())
            }
            (Purpose::Any, Some(port)) if app.config.force_redirect => {
                Speaks::Redirect(port, tls.clone())
            }
            (Purpose::Any, _) => Speaks::Both(tls.clone()),
        };
        let socket = TcpListener::from_std(socket).map_err(unusable)?;
        listeners.push(Listener { socket, speaks, router: router(app) });
    }
    Ok(listeners)
}

fn bind_public(app: &App, tls: &Arc<Tls>) -> Result<Vec<Listener>, BootError> {
    let config = &app.config;
    let mut listeners = Vec::new();
    let (mut port, mut https_port) = (config.port, config.https_port);
    let wants_https = config.https_listener || config.force_redirect;
    for host in &config.hosts {
        let mut https = None;
        if wants_https {
            let bound = bind(*host, https_port);
            match bound {
                Ok(socket) => {
                    // Bound before the redirect to it is made: 0 stands for any free port.
                    https_port = socket.local_addr().map_or(https_port, |address| address.port());
                    let speaks = Speaks::Tls(tls.clone());
                    https = Some(Listener { socket, speaks, router: router(app) });
                }
                Err(error) if host.is_ipv6() && !config.hosts_are_explicit => {
                    tracing::warn!(%error, "IPv6 is not available here; listening on IPv4 only");
                }
                Err(error) => return Err(not_bound(*host, https_port, &error)),
            }
        }
        let speaks = if config.force_redirect {
            Speaks::Redirect(https_port, tls.clone())
        } else {
            Speaks::Both(tls.clone())
        };
        let bound = bind(*host, port);
        match bound {
            Ok(socket) => {
                // Any free port means one port for all addresses.
                port = socket.local_addr().map_or(port, |address| address.port());
                listeners.push(Listener { socket, speaks, router: router(app) });
            }
            Err(error) if host.is_ipv6() && !config.hosts_are_explicit => {
                tracing::warn!(%error, "IPv6 is not available here; listening on IPv4 only");
            }
            Err(error) => return Err(not_bound(*host, port, &error)),
        }
        listeners.extend(https);
        if let Some(redirect_port) = config.redirect_port {
            match bind(*host, redirect_port) {
                Ok(socket) => {
                    // The first port speaks TLS too.
                    let target = if wants_https { https_port } else { port };
                    let speaks = Speaks::Redirect(target, tls.clone());
                    listeners.push(Listener { socket, speaks, router: router(app) });
                }
                Err(error) if host.is_ipv6() && !config.hosts_are_explicit => {
                    tracing::warn!(%error, "IPv6 is not available here; listening on IPv4 only");
                }
                Err(error) => return Err(not_bound(*host, redirect_port, &error)),
            }
        }
    }
    if listeners.is_empty() {
        return Err(failed(Exit::Configuration, "listen.host names no address that could be used"));
    }
    Ok(listeners)
}

fn not_bound(host: IpAddr, port: u16, error: &std::io::Error) -> BootError {
    let address = SocketAddr::new(host, port);
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let message = format!(
            "{address} is taken by another program; stop that, or choose another with --listen-port"
        );
        return failed(Exit::PortTaken, message);
    }
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need a permission of their own (OPERATIONS.md, *HTTPS*)"
        }
        _ => "",
    };
    failed(Exit::PortTaken, format!("could not listen on {address}: {error}{hint}"))
}

/// Binds one address; `[::]` takes IPv6 only, because `0.0.0.0` has a socket of its own.
fn bind(host: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let domain = if host.is_ipv6() { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    if host.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the last run to be forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn bind_metrics(app: &App) -> Result<Option<TcpListener>, BootError> {
    let Some(address) = app.config.metrics else { return Ok(None) };
    match bind(address.ip(), address.port()) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if !app.config.metrics_is_explicit => {
            tracing::warn!(%address, %error, "the metrics port is taken; no metrics");
            Ok(None)
        }
        Err(error) => Err(not_bound(address.ip(), address.port(), &error)),
    }
}

/// What a person at a terminal wants to know first.
async fn greet(app: &App, urls: &[String], resolved: &Resolved) {
    tracing::info!(data = %app.config.data_dir.display(), "PhotoSync {} is ready", photosync_server::updates::running_version());
    for url in urls {
        tracing::info!("type into the phone app: {}", url.trim_start_matches("http://"));
    }
    tracing::info!("key of this server: {}", app.identity.fingerprint());
    if urls.is_empty() {
        tracing::warn!("this machine has no network address a phone could reach");
    }
    match (find_setup_code(app).await, browser_urls(app).first()) {
        (Ok(Some(code)), Some(url)) => tracing::info!(
            "nobody has an account yet: open {url}/setup and type the code {code}, or register in the phone app"
        ),
        (Ok(_), _) => {}
        (Err(error), _) => tracing::warn!(%error, "whether anybody has an account is not known"),
    }
    if resolved.value("registration.mode") == "auto" {
        tracing::info!(
            "new accounts: free for devices on this network, by invitation for everybody else"
        );
    }
}

fn print_ready(ready: &Ready) -> Result<(), BootError> {
    let line = ready.to_line().map_err(|error| failed(Exit::Unexpected, error.to_string()))?;
    let mut stdout = std::io::stdout().lock();
    // Whoever started us may have closed the pipe: the server runs all the same.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    Ok(())
}

/// `UUID=EMAIL` pairs.
fn parse_owners(pairs: &[String]) -> Result<HashMap<Uuid, String>, BootError> {
    pairs
        .iter()
        .map(|pair| {
            let parsed = pair
                .split_once('=')
                .and_then(|(uuid, email)| Some((uuid.parse().ok()?, email.to_owned())));
            parsed
                .ok_or_else(|| failed(Exit::Usage, format!("--owner {pair}: must be UUID=E-MAIL")))
        })
        .collect()
}

/// Makes a new index from the folders alone.
pub async fn rebuild(config: Config, owners: Vec<String>) -> Result<Exit, BootError> {
    let owners = parse_owners(&owners)?;
    if config.database.exists() {
        let message = format!(
            "the database {} exists; `check` compares it with the folders. To rebuild all the same, move it (and \
             its -wal and -shm files) away first",
            config.database.display()
        );
        return Err(failed(Exit::Storage, message));
    }
    let database = config.database.clone();
    let options = BootOptions { allow_lost_database: true, ..BootOptions::default() };
    let app = boot(config, options).await?;
    let report = upkeep::rebuild::rebuild(&app, &owners).await;
    app.db.close().await;
    if report.is_err() {
        // Half an index must not look like one: the folders are untouched, and the command can be run again.
        for suffix in ["", "-wal", "-shm"] {
            let mut file = database.clone().into_os_string();
            file.push(suffix);
            let _ = std::fs::remove_file(file);
        }
    }
    let report = report.map_err(|error| refusal(&error))?;
    for (email, originals) in &report.accounts {
        say(&format!(
            "{email}: {originals} originals; unlock it with `photosync-server user passwd {email}`"
        ));
    }
    say(&format!(
        "{} accounts and {} sealed objects are back",
        report.accounts.len(),
        report.relay_objects
    ));
    say(
        "lost with the database: passwords, signed-in devices, plans, and which files were in the trash",
    );
    for left in &report.left {
        say(&format!("left alone: {left}"));
    }
    Ok(if report.left.is_empty() { Exit::Success } else { Exit::Disagreements })
}

/// Takes over an old server's data.
pub async fn import(config: Config, import: ImportArgs) -> Result<Exit, BootError> {
    let owners = parse_owners(&import.owner)?;
    let ImportArgs { dir, db, uploads, cloud, chunks, .. } = import;
    let usage = |message: String| failed(Exit::Usage, message);
    let sources =
        legacy::import::Sources::find(dir.as_deref(), db, uploads, cloud, chunks).map_err(usage)?;
    // Before `boot`, which already makes folders.
    sources.require_apart(&config).map_err(usage)?;
    let options = BootOptions { attempt: attempt_of_a_command(), ..BootOptions::default() };
    let app = boot(config, options).await?;
    let report = legacy::import::import(&app, &sources, &owners).await;
    app.db.close().await;
    let report = report.map_err(|error| {
        let cause = refusal(&error);
        let hint = "what was imported so far is whole and stays; settle this, then run the same command again";
        failed(cause.exit, format!("{}\n{hint}", cause.message))
    })?;
    say(&report.to_string());
    Ok(if report.left.is_empty() { Exit::Success } else { Exit::Disagreements })
}
