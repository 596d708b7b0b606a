//! A server in memory that speaks the wire of `/api/v2` as far as the client does, and can be told to misbehave.

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
    /// Answer 503 to so many requests.
    pub busy: u32,
    /// Sign receipts with another key.
    pub forge_receipts: bool,
    /// Do what `claims` tells and lose so many answers.
    pub lost_answers: u32,
    /// Know no route `claims`, as a server of before.
    pub has_no_places: bool,
    /// Called with the name of each file that arrives, before it is kept.
    pub on_arrival: Option<OnArrival>,
}

struct Upload {
    length: u64,
    digest: Digest,
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

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn about(State(fake): App) -> Json<ServerAnswer> {
    Json(ServerAnswer {
        name: "attic".into(),
        version: "0.1.0".into(),
        server_id: "0".repeat(32),
        fingerprint: fake.fingerprint(),
        now_ms: photosync_client::connection::now_ms(),
        features: vec!["tus".into(), "sync".into(), "receipts".into(), "pairing".into()],
        limits: Limits { max_digests: 100_000, max_body_bytes: None, upload_expires_s: 604_800 },
        registration: "open".into(),
    })
}

async fn sign_in(State(fake): App, Json(body): Json<SignIn>) -> Response {
    if body.email != EMAIL || body.password != PASSWORD {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

async fn refresh(State(fake): App, Json(body): Json<Refresh>) -> Response {
    if !body.refresh_token.starts_with("psr_") {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

async fn claim(State(fake): App, Json(body): Json<PairingClaim>) -> Response {
    if body.code.as_deref() != Some(CODE) {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

async fn devices() -> Json<Devices> {
    let device = Device {
        id: "device-1".into(),
        name: "desk".into(),
        this: true,
        created_at_ms: 0,
        last_seen_at_ms: 0,
        inventory_at_ms: None,
        overdue: false,
        has_upload_token: false,
    };
    Json(Devices { devices: vec![device] })
}

async fn endpoints(State(fake): App) -> Json<SignedEndpoints> {
    let urls = fake.lock().endpoints.clone();
    let list = Endpoints {
        server_id: "0".repeat(32),
        issued_at_ms: photosync_client::connection::now_ms(),
        endpoints: urls.into_iter().map(|url| Endpoint { kind: EndpointKind::Lan, url }).collect(),
    };
    let payload = serde_json::to_string(&list).unwrap();
    let signature = fake.key.sign(&[ENDPOINTS_DOMAIN, payload.as_bytes()].concat());
    Json(SignedEndpoints {
        payload,
        signature: URL_SAFE_NO_PAD.encode(signature),
        public_key: URL_SAFE_NO_PAD.encode(fake.key.public_key()),
    })
}

/// Reads a body; up to `cut` bytes, then the connection ends.
async fn read_body(body: Body, cut: Option<u64>) -> (Vec<u8>, bool) {
    let (mut bytes, mut body) = (Vec::new(), body);
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend(frame.into_data().unwrap_or_default());
        if let Some(cut) = cut.filter(|cut| bytes.len() as u64 >= *cut) {
            bytes.truncate(usize::try_from(cut).unwrap());
            return (bytes, true);
        }
    }
    (bytes, false)
}

fn claims_of(headers: &HeaderMap) -> Claims {
    Claims::read(|key| {
        let value = headers.get(header_of(key))?.as_bytes();
        Some(percent_encoding::percent_decode(value).decode_utf8().unwrap().into_owned())
    })
    .unwrap()
}

async fn put_asset(State(fake): App, headers: HeaderMap, body: Body) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let name = parse_wire_name(text("photosync-name").unwrap().as_bytes()).unwrap();
    let claimed = text("repr-digest").and_then(|text| Digest::from_repr_digest(text).unwrap());
    let (bytes, _) = read_body(body, None).await;
    fake.arrive(&name);
    if fake.lock().poison.as_ref() == Some(&name) {
        return refuse(422, "bad_request");
    }
    let digest = Digest(sha2::Sha256::digest(&bytes).into());
    if claimed.is_some_and(|claimed| claimed != digest) {
        return refuse(400, "digest_mismatch");
    }
    let known = fake.lock().assets.iter().any(|(row, _)| row.digest == digest);
    let row = fake.keep(digest, name, claims_of(&headers), bytes.into());
    let answer = AssetAnswer { id: row.id, digest, name: row.name, state: Safety::Received };
    (if known { StatusCode::OK } else { StatusCode::CREATED }, Json(answer)).into_response()
}

async fn list(State(fake): App, Query(query): Query<HashMap<String, String>>) -> Json<AssetPage> {
    let inner = fake.lock();
    let after: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    // Small pages, so that there is always more than one.
    let assets: Vec<AssetRow> =
        inner.assets.iter().skip(after).take(3).map(|(row, _)| row.clone()).collect();
    let end = after + assets.len();
    let next = (end < inner.assets.len()).then(|| end.to_string());
    Json(AssetPage { assets, total: inner.assets.len().try_into().unwrap(), next })
}

async fn row(State(fake): App, Path(id): Path<String>) -> Response {
    match fake.lock().assets.iter().find(|(row, _)| row.id == id) {
        Some((row, _)) => Json(row).into_response(),
        None => refuse(404, "not_found"),
    }
}

async fn original(
    State(fake): App,
    Path(id): Path<String>,
    Extension(cut): Extension<CancellationToken>,
    headers: HeaderMap,
) -> Response {
    let found = fake.lock().assets.iter().find(|(row, _)| row.id == id).map(|(_, b)| b.clone());
    let Some(bytes) = found else { return refuse(404, "not_found") };
    let range = headers.get("range").map(|value| value.to_str().unwrap().to_owned());
    let from: usize = range.as_ref().map_or(0, |text| {
        text.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap()
    });
    let rest = bytes.slice(from..);
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = rest.len();
    let at = fake.lock().download_cuts.pop();
    let body = match at {
        None => Body::from(rest),
        Some(at) => {
            let first = rest.slice(..usize::try_from(at).unwrap().min(rest.len()));
            let pieces = futures_util::stream::unfold((Some(first), cut), async |(first, cut)| {
                if let Some(first) = first {
                    return Some((Ok::<_, std::io::Error>(first), (None, cut)));
                }
                // The piece before must have left: nothing tells when, so the end of the body is an error.
                Some((Err(std::io::Error::other("cut")), (None, cut)))
            });
            Body::from_stream(pieces)
        }
    };
    Response::builder().status(status).header("content-length", length).body(body).unwrap()
}

async fn missing(State(fake): App, body: Bytes) -> Vec<u8> {
    let mut inner = fake.lock();
    let mut answer = Vec::new();
    for digest in body.chunks(32) {
        let digest = Digest(digest.try_into().unwrap());
        let presence = if inner.assets.iter().any(|(row, _)| row.digest == digest) {
            Presence::Held
        } else if inner.deleted.contains(&digest) {
            Presence::Deleted
        } else if inner.uploads.values().any(|upload| upload.digest == digest) {
            Presence::Partial
        } else {
            Presence::Missing
        };
        if presence.is_settled() {
            inner.settled.insert(digest.0);
        }
        answer.push(presence as u8);
    }
    answer
}

async fn sync(State(fake): App, headers: HeaderMap, body: Bytes) -> Response {
    let settled: Vec<Digest> = fake.lock().settled.iter().copied().map(Digest).collect();
    if headers.get("content-type").is_some_and(|value| value == NEGENTROPY_TYPE) {
        let mut storage = NegentropyStorageVector::new();
        for digest in &settled {
            storage.insert(0, Id::from_byte_array(digest.0)).unwrap();
        }
        storage.seal().unwrap();
        let mut theirs = Negentropy::owned(storage, MAX_NEGENTROPY_BYTES as u64).unwrap();
        return theirs.reconcile(&body).unwrap().into_response();
    }
    let asked: Tally = serde_json::from_slice(&body).unwrap();
    let ours = Tally::of(&settled);
    if asked == ours {
        return StatusCode::NO_CONTENT.into_response();
    }
    Json(ours).into_response()
}

async fn forget(State(fake): App, body: Bytes) -> StatusCode {
    for digest in body.chunks(32) {
        fake.lock().settled.remove(digest);
    }
    StatusCode::NO_CONTENT
}

async fn tell(
    State(fake): App,
    Extension(cut): Extension<CancellationToken>,
    Json(body): Json<TellRequest>,
) -> Response {
    if fake.lock().has_no_places {
        return refuse(404, "not_found");
    }
    assert!(body.claims.len() <= MAX_TOLD);
    let told = {
        let mut inner = fake.lock();
        let mut add = |DigestClaims { digest, claims }| {
            let found = inner.assets.iter_mut().find(|(row, _)| row.digest == digest);
            match found.map(|(row, _)| row.claims.add(claims.checked().unwrap())) {
                Some(true) => Told::Known,
                Some(false) => Told::Full,
                None => Told::Unknown,
            }
        };
        body.claims.into_iter().map(&mut add).collect()
    };
    let is_lost = {
        let mut inner = fake.lock();
        let lost = inner.lost_answers;
        inner.lost_answers = lost.saturating_sub(1);
        lost > 0
    };
    if is_lost {
        cut.cancel();
        std::future::pending::<()>().await;
    }
    Json(TellAnswer { told }).into_response()
}

async fn moves(State(fake): App, Json(body): Json<MovesRequest>) -> StatusCode {
    for gone in body.moves {
        for (row, _) in &mut fake.lock().assets {
            if row.digest == gone.digest {
                row.claims.leave(&gone.from, &gone.to);
            }
        }
    }
    StatusCode::NO_CONTENT
}

async fn receipts(State(fake): App, Json(body): Json<ReceiptsRequest>) -> Json<Receipts> {
    let inner = fake.lock();
    let other = Ed25519KeyPair::generate().unwrap();
    let key = if inner.forge_receipts { &other } else { &fake.key };
    let receipts = body.digests.iter().map(|digest| {
        let held = inner.assets.iter().find(|(row, _)| row.digest == *digest);
        let Some((row, _)) = held else {
            return FileSafety { digest: *digest, state: Safety::Known, receipt: None };
        };
        let mut receipt = Receipt {
            fingerprint: fake.fingerprint(),
            account_uuid: ACCOUNT.into(),
            digest: *digest,
            size_bytes: row.size_bytes,
            verified_at_ms: 5,
            issued_at_ms: 6,
            public_key: URL_SAFE_NO_PAD.encode(fake.key.public_key()),
            signature: String::new(),
        };
        receipt.signature = URL_SAFE_NO_PAD.encode(key.sign(&receipt.signed_bytes()));
        FileSafety { digest: *digest, state: Safety::Verified, receipt: Some(receipt) }
    });
    Json(Receipts { receipts: receipts.collect(), queued: 0 })
}

async fn create(State(fake): App, headers: HeaderMap) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let pairs: HashMap<String, String> = read_metadata(text("upload-metadata").unwrap())
        .unwrap()
        .into_iter()
        .map(|(key, value)| (key, String::from_utf8(value).unwrap()))
        .collect();
    let digest = Digest::from_hex(&pairs["digest"]).unwrap();
    let length: u64 = text("upload-length").unwrap().parse().unwrap();
    let mut inner = fake.lock();
    let known = inner
        .uploads
        .iter()
        .find(|(_, upload)| upload.digest == digest && upload.length == length)
        .map(|(id, _)| id.clone());
    let id = known.unwrap_or_else(|| {
        inner.counter += 1;
        let id = format!("upload-{}", inner.counter);
        let upload = Upload {
            length,
            digest,
            name: pairs["filename"].clone(),
            claims: Claims::read(|key| pairs.get(key).cloned()).unwrap(),
            bytes: Vec::new(),
            asset: None,
        };
        inner.uploads.insert(id.clone(), upload);
        id
    });
    (StatusCode::CREATED, [("location", format!("/api/v2/tus/{id}"))]).into_response()
}

fn standing_headers(upload: &Upload) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("tus-resumable", "1.0.0".to_owned()),
        ("upload-offset", upload.bytes.len().to_string()),
        ("upload-length", upload.length.to_string()),
    ];
    headers.extend(upload.asset.clone().map(|id| ("photosync-asset", id)));
    headers
}

async fn standing(State(fake): App, Path(id): Path<String>) -> Response {
    match fake.lock().uploads.get(&id) {
        Some(upload) => {
            let headers = standing_headers(upload);
            let mut answer = StatusCode::OK.into_response();
            for (name, value) in headers {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            answer
        }
        None => refuse(404, "not_found"),
    }
}

async fn piece(
    State(fake): App,
    Path(id): Path<String>,
    Extension(cut): Extension<CancellationToken>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let offset: usize = headers["upload-offset"].to_str().unwrap().parse().unwrap();
    match fake.lock().uploads.get(&id) {
        None => return refuse(404, "not_found"),
        Some(upload) if upload.bytes.len() != offset => return refuse(409, "offset_mismatch"),
        Some(_) => {}
    }
    let at = fake.lock().cuts.pop();
    let (bytes, is_cut) = read_body(body, at).await;
    let finished = {
        let mut inner = fake.lock();
        let upload = inner.uploads.get_mut(&id).unwrap();
        upload.bytes.extend(bytes);
        (upload.bytes.len() as u64 == upload.length).then(|| {
            (upload.digest, upload.name.clone(), upload.claims.clone(), upload.bytes.clone())
        })
    };
    if is_cut {
        cut.cancel();
        std::future::pending::<()>().await;
    }
    if let Some((digest, name, claims, bytes)) = finished {
        fake.arrive(&name);
        if Digest(sha2::Sha256::digest(&bytes).into()) != digest {
            fake.lock().uploads.remove(&id);
            return refuse(400, "digest_mismatch");
        }
        let row = fake.keep(digest, name, claims, bytes.into());
        fake.lock().uploads.get_mut(&id).unwrap().asset = Some(row.id);
    }
    let headers = standing_headers(&fake.lock().uploads[&id]);
    let mut answer = StatusCode::NO_CONTENT.into_response();
    for (name, value) in headers {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}
