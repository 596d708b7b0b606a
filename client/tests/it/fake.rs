//! A server in memory that speaks the wire of `/api/v2` as far as the client does, and can be told to misbehave.

mod answers;
mod sealed;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, head, post, put};
use axum::{Extension, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_protocol::digest::Digest;
use photosync_protocol::names::{numbered_name, parse_wire_name};
use photosync_protocol::v2::claims::{Claims, header_of};
use photosync_protocol::v2::places::{
    DigestClaims, MAX_TOLD, MovesRequest, TellAnswer, TellRequest, Told,
};
use photosync_protocol::v2::session::{
    Device, Devices, ENDPOINTS_DOMAIN, Endpoint, EndpointKind, Endpoints, PairingClaim, Refresh,
    Session, SignIn, SignedEndpoints, fingerprint,
};
use photosync_protocol::v2::settled::{
    FileSafety, MAX_NEGENTROPY_BYTES, NEGENTROPY_TYPE, Presence, Receipt, Receipts,
    ReceiptsRequest, Tally,
};
use photosync_protocol::v2::tus::read_metadata;
use photosync_protocol::v2::{AssetAnswer, AssetPage, AssetRow, Limits, Safety, ServerAnswer};
use sha2::Digest as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use answers::*;
use sealed::*;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "correct horse";
pub const CODE: &str = "AB12CD34";
const ACCOUNT: &str = "11111111-2222-3333-4444-555555555555";

type OnArrival = Box<dyn FnMut(&str) + Send>;
/// What was asked: method, path, length of the body.
pub type Asked = (String, String, u64);

#[derive(Default)]
pub struct Inner {
    pub assets: Vec<(AssetRow, Bytes)>,
    pub settled: BTreeSet<[u8; 32]>,
    pub deleted: HashSet<Digest>,
    pub asked: Vec<Asked>,
    /// Addresses this server tells.
    pub endpoints: Vec<String>,
    uploads: HashMap<String, Upload>,
    /// Access tokens that work.
    tokens: HashSet<String>,
    counter: u64,
    // What goes wrong.
    /// Cut the connection of each of the next PATCHes after so many bytes.
    pub cuts: Vec<u64>,
    /// Cut each of the next downloads after so many bytes.
    pub download_cuts: Vec<u64>,
    /// Answer 413 to bodies above.
    pub max_body_bytes: Option<u64>,
    /// Answer every upload of this name with 422.
    pub poison: Option<String>,
    /// Answer every upload in one request with 507.
    pub is_full: bool,
    /// Answer 503 to so many requests.
    pub busy: u32,
    /// Sign receipts with another key.
    pub forge_receipts: bool,
    /// Do what `claims` tells and lose so many answers.
    pub lost_answers: u32,
    /// Know no route `claims`, as a server of before.
    pub has_no_places: bool,
    /// Names of sealed objects, of version 2 and of version 1 alike.
    pub sealed: BTreeSet<Digest>,
    /// Answer every page of these as if it were the first.
    pub repeats_pages: bool,
    /// Called with the name of each file that arrives, before it is kept.
    pub on_arrival: Option<OnArrival>,
}

struct Upload {
    length: u64,
    digest: Option<Digest>,
    name: String,
    claims: Claims,
    bytes: Vec<u8>,
    asset: Option<String>,
}

pub struct Fake {
    inner: Mutex<Inner>,
    key: Ed25519KeyPair,
    pub address: SocketAddr,
    pub is_tls: bool,
    /// Ends the server and every connection to it.
    closing: CancellationToken,
    closed: CancellationToken,
}

type App = State<Arc<Fake>>;

impl Fake {
    /// Plain HTTP on a free port of this machine.
    pub async fn start() -> Arc<Self> {
        Self::start_with(&rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), false, None)
            .await
    }

    /// With TLS by an identity certificate; `port` stands for a server that was replaced by another.
    pub async fn start_with(key: &rcgen::KeyPair, is_tls: bool, port: Option<u16>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(0))).await.unwrap();
        let fake = Arc::new(Self {
            inner: Mutex::default(),
            key: Ed25519KeyPair::from_pkcs8(&key.serialize_der()).unwrap(),
            address: listener.local_addr().unwrap(),
            is_tls,
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        });
        let (closing, closed) = (fake.closing.clone(), fake.closed.clone());
        let acceptor = is_tls.then(|| acceptor(key));
        let router = router(fake.clone());
        tokio::spawn(async move {
            while let Some(Ok((socket, _))) = closing.run_until_cancelled(listener.accept()).await {
                let (router, acceptor) = (router.clone(), acceptor.clone());
                let serving = async move {
                    match acceptor {
                        None => serve(socket, router).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, router).await;
                            }
                        }
                    }
                };
                let closing = closing.clone();
                tokio::spawn(async move { closing.run_until_cancelled(serving).await });
            }
            drop(listener);
            closed.cancel();
        });
        fake
    }

    pub fn url(&self) -> String {
        format!("http{}://{}", if self.is_tls { "s" } else { "" }, self.address)
    }

    pub fn fingerprint(&self) -> String {
        fingerprint(self.key.public_key().as_ref().try_into().unwrap())
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// What was asked since the last call, without the body of the answers.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.lock().assets.iter().map(|(row, _)| row.name.clone()).collect();
        names.sort();
        names
    }

    fn session(&self) -> Session {
        let mut inner = self.lock();
        inner.counter += 1;
        let access_token = format!("access-{}", inner.counter);
        inner.tokens.insert(access_token.clone());
        Session {
            account_uuid: ACCOUNT.into(),
            email: EMAIL.into(),
            device_id: "device-1".into(),
            access_token,
            expires_in_s: 3600,
            refresh_token: format!("psr_{}", inner.counter),
            fingerprint: self.fingerprint(),
        }
    }

    /// Stops listening and ends every connection.
    pub async fn close(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// The sessions of another server work here too: it stands for the same one, moved.
    pub fn accept_tokens_of(&self, other: &Self) {
        let tokens = other.lock().tokens.clone();
        self.lock().tokens.extend(tokens);
    }

    /// Every access token stops working; refresh tokens go on.
    pub fn expire_tokens(&self) {
        self.lock().tokens.clear();
    }

    fn keep(&self, digest: Digest, name: String, claims: Claims, bytes: Bytes) -> AssetRow {
        let mut inner = self.lock();
        inner.settled.insert(digest.0);
        if let Some((row, _)) = inner.assets.iter_mut().find(|(row, _)| row.digest == digest) {
            let _ = row.claims.add(claims);
            return row.clone();
        }
        let number = (1..).find(|number| {
            let name = numbered_name(&name, *number);
            !inner.assets.iter().any(|(row, _)| row.name == name)
        });
        let row = AssetRow {
            id: format!("asset-{}", inner.assets.len() + 1),
            digest,
            size_bytes: bytes.len() as u64,
            name: numbered_name(&name, number.unwrap()),
            media_type: "application/octet-stream".into(),
            arrived_at_ms: 0,
            verified_at_ms: None,
            claims,
        };
        inner.assets.push((row.clone(), bytes));
        row
    }

    /// As after a disk was replaced.
    pub fn lose_everything(&self) {
        let mut inner = self.lock();
        inner.assets.clear();
        inner.settled.clear();
        inner.uploads.clear();
    }

    fn arrive(&self, name: &str) {
        let mut called = self.lock().on_arrival.take();
        if let Some(called) = &mut called {
            called(name);
        }
        self.lock().on_arrival = called;
    }
}

fn acceptor(key: &rcgen::KeyPair) -> TlsAcceptor {
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "PhotoSync");
    let certificate = parameters.self_signed(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one connection; a handler may cut it.
async fn serve<S>(socket: S, router: Router)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let cut = CancellationToken::new();
    let service =
        hyper_util::service::TowerToHyperService::new(router.layer(Extension(cut.clone())));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = connection => {}
        () = cut.cancelled() => {}
    }
}

fn router(fake: Arc<Fake>) -> Router {
    Router::new()
        .route("/api/v2/server", get(about))
        .route("/api/v2/session", post(sign_in).delete(no_content))
        .route("/api/v2/session/refresh", post(refresh))
        .route("/api/v2/pairing/claim", post(claim))
        .route("/api/v2/devices", get(devices))
        .route("/api/v2/endpoints", get(endpoints))
        .route("/api/v2/library/assets", put(put_asset).get(list))
        .route("/api/v2/library/assets/{id}", get(row))
        .route("/api/v2/library/assets/{id}/original", get(original))
        .route("/api/v2/library/missing", post(missing))
        .route("/api/v2/library/sync", post(sync))
        .route("/api/v2/library/forget", post(forget))
        .route("/api/v2/library/claims", post(tell))
        .route("/api/v2/library/moves", post(moves))
        .route("/api/v2/library/receipts", post(receipts))
        .route("/api/v2/relay/objects", get(sealed_objects))
        .route("/api/login", post(sign_in_as_before))
        .route("/api/cloud/manifests", get(manifests))
        .route("/api/v2/tus", post(create))
        .route("/api/v2/tus/{id}", head(standing).patch(piece))
        .route("/api/v2/tus/{id}", delete(no_content))
        .layer(axum::middleware::from_fn_with_state(fake.clone(), watch))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(fake)
}

fn refuse(status: u16, code: &str) -> Response {
    let body = serde_json::json!({"error": format!("refused: {code}"), "code": code});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// Notes every request, and refuses those without a token.
async fn watch(
    State(fake): App,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    match refused(&fake, &request) {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

fn refused(fake: &Fake, request: &axum::extract::Request) -> Option<Response> {
    let path = request.uri().path().to_owned();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let length: u64 = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let token = header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    {
        let mut inner = fake.lock();
        inner.asked.push((request.method().to_string(), path.clone(), length));
        let open = ["/server", "/session", "/session/refresh", "/pairing/claim"];
        let is_open = open.iter().any(|route| path == format!("/api/v2{route}"));
        let is_open = is_open || path == "/api/login";
        let is_known = token.is_some_and(|token| inner.tokens.contains(token));
        if inner.busy > 0 {
            inner.busy -= 1;
            Some(refuse(503, "busy"))
        } else if !is_open && !is_known {
            Some(refuse(401, "unauthorised"))
        } else if inner.max_body_bytes.is_some_and(|most| length > most) {
            // As a proxy says it: no JSON, no reason.
            Some(StatusCode::PAYLOAD_TOO_LARGE.into_response())
        } else {
            None
        }
    }
}
