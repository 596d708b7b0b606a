//! Runs an [`App`] on listeners it is given, until a shutdown signal it is given.
//!
//! It owns the accept loop: the number of connections is bounded before accepting, the first byte decides between
//! TLS and plain HTTP, and every stream passes one [`Connection`] wrapper.

pub mod acme;
mod connection;
pub(crate) mod tls;

pub use tls::Tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use photosync_protocol::error::ErrorCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::accounts::rules::is_private;
use crate::boot::App;
use crate::error::Error;
use crate::http::extract::{Encryption, Peer, is_https_up_to_a_proxy};
use connection::Connection;
use tls::Accepted;

/// Time that requests get to finish after the order to stop. Half-open uploads are cut then: nothing of them was
/// acknowledged.
const GRACE: Duration = Duration::from_secs(5);

/// How long a connection may rest between two requests, the next head included: phones ask in bursts, and a new
/// connection over Wi-Fi is expensive. The first head has `limits.header_ms`.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What a listener speaks.
#[derive(Clone)]
pub enum Speaks {
    /// Plain HTTP only: listeners on loopback.
    Plain,
    /// TLS, and plain HTTP: for private peers only if a certificate is configured, for everybody otherwise.
    Both(Arc<Tls>),
    /// TLS only.
    Tls(Arc<Tls>),
    /// TLS, and plain HTTP that redirects to this HTTPS port.
    Redirect(u16, Arc<Tls>),
}

impl Speaks {
    fn tls(&self) -> Option<&Arc<Tls>> {
        match self {
            Self::Plain => None,
            Self::Both(tls) | Self::Tls(tls) | Self::Redirect(_, tls) => Some(tls),
        }
    }
}

/// A bound socket with what it speaks and the routes behind it.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What it speaks.
    pub speaks: Speaks,
    /// What it serves.
    pub router: Router,
}

/// Serves until `stop` is done or the app is told to stop, then stops accepting, lets requests finish for [`GRACE`], and drops the rest.
pub async fn serve(app: App, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
    let graceful = Arc::new(GracefulShutdown::new());
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(accept(app.clone(), listener, graceful.clone()));
    }
    tokio::select! {
        () = stop => app.stop(),
        () = app.stop_wanted() => {}
    }
    tracing::info!("stopping: no new connections; requests have 5 s to finish");
    tasks.shutdown().await;
    // The accepting tasks are gone, so this is the last holder.
    let Some(graceful) = Arc::into_inner(graceful) else { return };
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            "stopping: cut the connections that were still busy; nothing of them was acknowledged"
        );
    }
}

/// Serves until the process ends, also while other listeners stop.
pub async fn serve_to_the_end(app: App, listener: Listener) {
    accept(app, listener, Arc::new(GracefulShutdown::new())).await;
}

async fn accept(app: App, listener: Listener, graceful: Arc<GracefulShutdown>) {
    let Listener { socket, speaks, router } = listener;
    // Each listener has its own: a flood on the public port leaves control and metrics alone.
    let places = Arc::new(Semaphore::new(app.config.max_connections.max(1)));
    Accepting { app, speaks, router, places }.run(socket, graceful).await;
}

struct Accepting {
    app: App,
    speaks: Speaks,
    router: Router,
    places: Arc<Semaphore>,
}

impl Accepting {
    async fn run(self, socket: TcpListener, graceful: Arc<GracefulShutdown>) {
        // Connections live in tasks of their own: ending this one only ends accepting.
        let this = Arc::new(self);
        loop {
            let Ok(place) = this.places.clone().acquire_owned().await else { return };
            let (stream, peer) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of descriptors: trying again at once would only burn the processor.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let this = this.clone();
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _place = place;
                this.app.metrics.connections.inc();
                if let Ok(own) = stream.local_addr() {
                    this.app.presence.note_reached(peer, own);
                }
                this.serve_stream(stream, peer, watcher).await;
                this.app.metrics.connections.dec();
            });
        }
    }

    async fn serve_stream(&self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Answers are small: waiting to fill a packet would delay each by 40 ms.
        let _ = stream.set_nodelay(true);
        let address = peer.ip();
        // A client that connects and says nothing must not keep its place.
        let mut first = [0];
        let peeked =
            tokio::time::timeout(self.app.config.header_wait, stream.peek(&mut first)).await;
        let Ok(Ok(1..)) = peeked else { return };
        // A TLS handshake record begins with 22 (RFC 8446 §5.1); no HTTP method does.
        let is_tls = first == [0x16];
        let policy = match (&self.speaks, is_tls) {
            (Speaks::Tls(_), false) => return,
            (Speaks::Both(tls) | Speaks::Tls(tls) | Speaks::Redirect(_, tls), true) => {
                let handshake = tls.accept(stream);
                match tokio::time::timeout(self.app.config.header_wait, handshake).await {
                    Ok(Ok(Accepted::Stream(stream, encryption))) => {
                        let (stream, policy) =
                            (Connection::new(*stream), Policy::Serve(encryption));
                        self.serve_http(stream, address, watcher, policy).await;
                    }
                    Ok(Ok(Accepted::Challenge)) => {
                        tracing::info!(%address, "a certificate authority has looked at a proof");
                    }
                    Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
                }
                return;
            }
            (Speaks::Both(tls), false) if tls.wants_certificate() && !is_private(address) => {
                Policy::RefusePlain
            }
            // While there is no certificate yet, nobody of this network is sent where browsers turn back.
            (Speaks::Redirect(port, tls), false)
                if tls.has_certificate() || !is_private(address) =>
            {
                Policy::Redirect(*port)
            }
            (Speaks::Plain, _) | (Speaks::Both(_) | Speaks::Redirect(..), false) => {
                Policy::Serve(Encryption::None)
            }
        };
        self.serve_http(Connection::new(stream), address, watcher, policy).await;
    }

    async fn serve_http<S>(
        &self,
        stream: Connection<S>,
        address: IpAddr,
        watcher: Watcher,
        policy: Policy,
    ) where
        S: connection::Stream,
    {
        let router = self.router.clone();
        let (app, tls) = (self.app.clone(), self.speaks.tls().cloned());
        let asked = Arc::new(Notify::new());
        let first = asked.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            asked.notify_one();
            let (app, tls, router) = (app.clone(), tls.clone(), router.clone());
            async move {
                if let Some(text) =
                    tls.and_then(|tls| tls.find_challenge_text(request.uri().path()))
                {
                    return Ok(text.into_response());
                }
                let answer = answer(&app, router, request, address, policy).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        // Told, not guessed: guessing waits without a time-out for the first bytes.
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut builder =
            if stream.speaks_h2() { builder.http2_only() } else { builder.http1_only() };
        builder.http1().timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(60));
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(watcher.watch(connection));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            slow = tokio::time::timeout(self.app.config.header_wait, first.notified()) => match slow {
                Ok(()) => connection.await,
                // No head in time: the connection is dropped.
                Err(_) => return,
            },
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "a connection ended early");
        }
    }
}

/// What is done with the requests of a connection.
#[derive(Debug, Clone, Copy)]
enum Policy {
    Serve(Encryption),
    RefusePlain,
    Redirect(u16),
}

impl Policy {
    fn is_plain(self) -> bool {
        matches!(self, Self::Serve(Encryption::None) | Self::RefusePlain | Self::Redirect(_))
    }
}

async fn answer(
    app: &App,
    router: Router,
    request: Request<Incoming>,
    address: IpAddr,
    policy: Policy,
) -> Response<Body> {
    let is_https = policy.is_plain()
        && is_https_up_to_a_proxy(address, request.headers(), &app.config.trusted_proxies);
    let encryption = match policy {
        _ if is_https => Encryption::Proxy,
        Policy::Serve(encryption) => encryption,
        Policy::RefusePlain => {
            let message = "this server answers HTTPS only outside its own network";
            return Error::new(ErrorCode::Forbidden, message).into_response();
        }
        Policy::Redirect(port) => return redirect(&request, port),
    };
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer { address, encryption });
    if let Some(uri) = crate::http::normalise_path(request.uri()) {
        *request.uri_mut() = uri;
    }
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn redirect(request: &Request<Incoming>, port: u16) -> Response<Body> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else {
        return Error::bad_request("the Host header is missing").into_response();
    };
    let suffix = if port == 443 { String::new() } else { format!(":{port}") };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = format!("https://{}{suffix}{path}", authority.host());
    match (target.parse::<Uri>(), HeaderValue::from_str(&target)) {
        (Ok(_), Ok(target)) => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, target)]).into_response()
        }
        _ => Error::bad_request("this address cannot be redirected").into_response(),
    }
}
