//! What the server in memory answers, route by route.

use super::*;

pub(super) async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

pub(super) async fn about(State(fake): App) -> Json<ServerAnswer> {
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

pub(super) async fn sign_in(State(fake): App, Json(body): Json<SignIn>) -> Response {
    if body.email != EMAIL || body.password != PASSWORD {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

pub(super) async fn refresh(State(fake): App, Json(body): Json<Refresh>) -> Response {
    if !body.refresh_token.starts_with("psr_") {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

pub(super) async fn claim(State(fake): App, Json(body): Json<PairingClaim>) -> Response {
    if body.code.as_deref() != Some(CODE) {
        return refuse(401, "unauthorised");
    }
    Json(fake.session()).into_response()
}

pub(super) async fn devices() -> Json<Devices> {
    let device = Device {
        id: "device-1".into(),
        name: "desk".into(),
        this: true,
        created_at_ms: 0,
        last_seen_at_ms: 0,
        inventory_at_ms: None,
        overdue: false,
        has_upload_token: false,
        is_browser: false,
    };
    Json(Devices { devices: vec![device] })
}

pub(super) async fn endpoints(State(fake): App) -> Json<SignedEndpoints> {
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
pub(super) async fn read_body(body: Body, cut: Option<u64>) -> (Vec<u8>, bool) {
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

pub(super) async fn put_asset(State(fake): App, headers: HeaderMap, body: Body) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let name = parse_wire_name(text("photosync-name").unwrap().as_bytes()).unwrap();
    let claimed = text("repr-digest").and_then(|text| Digest::from_repr_digest(text).unwrap());
    let (bytes, _) = read_body(body, None).await;
    fake.arrive(&name);
    if fake.lock().poison.as_ref() == Some(&name) {
        return refuse(422, "bad_request");
    }
    if fake.lock().is_full {
        return refuse(507, "QUOTA_EXCEEDED");
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

pub(super) async fn list(
    State(fake): App,
    Query(query): Query<HashMap<String, String>>,
) -> Json<AssetPage> {
    let inner = fake.lock();
    let after: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    // Small pages, so that there is always more than one.
    let assets: Vec<AssetRow> =
        inner.assets.iter().skip(after).take(3).map(|(row, _)| row.clone()).collect();
    let end = after + assets.len();
    let next = (end < inner.assets.len()).then(|| end.to_string());
    Json(AssetPage { assets, total: inner.assets.len().try_into().unwrap(), next })
}

pub(super) async fn row(State(fake): App, Path(id): Path<String>) -> Response {
    match fake.lock().assets.iter().find(|(row, _)| row.id == id) {
        Some((row, _)) => Json(row).into_response(),
        None => refuse(404, "not_found"),
    }
}

pub(super) async fn original(
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

pub(super) async fn missing(State(fake): App, body: Bytes) -> Vec<u8> {
    let mut inner = fake.lock();
    let mut answer = Vec::new();
    for digest in body.chunks(32) {
        let digest = Digest(digest.try_into().unwrap());
        let presence = if inner.assets.iter().any(|(row, _)| row.digest == digest) {
            Presence::Held
        } else if inner.deleted.contains(&digest) {
            Presence::Deleted
        } else if inner.uploads.values().any(|upload| upload.digest == Some(digest)) {
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

pub(super) async fn sync(State(fake): App, headers: HeaderMap, body: Bytes) -> Response {
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

pub(super) async fn forget(State(fake): App, body: Bytes) -> StatusCode {
    for digest in body.chunks(32) {
        fake.lock().settled.remove(digest);
    }
    StatusCode::NO_CONTENT
}

pub(super) async fn tell(
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

pub(super) async fn moves(State(fake): App, Json(body): Json<MovesRequest>) -> StatusCode {
    for gone in body.moves {
        for (row, _) in &mut fake.lock().assets {
            if row.digest == gone.digest {
                row.claims.leave(&gone.from, &gone.to);
            }
        }
    }
    StatusCode::NO_CONTENT
}

pub(super) async fn receipts(
    State(fake): App,
    Json(body): Json<ReceiptsRequest>,
) -> Json<Receipts> {
    let inner = fake.lock();
    let other = Ed25519KeyPair::generate().unwrap();
    let key = if inner.forge_receipts { &other } else { &fake.key };
    let receipts = body.digests.iter().map(|digest| {
        let held = inner.assets.iter().find(|(row, _)| row.digest == *digest);
        let Some((row, _)) = held else {
            return FileSafety {
                digest: *digest,
                state: Safety::Known,
                receipt: None,
                second_copy_at_ms: None,
            };
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
        FileSafety {
            digest: *digest,
            state: Safety::Verified,
            receipt: Some(receipt),
            second_copy_at_ms: None,
        }
    });
    Json(Receipts { receipts: receipts.collect(), queued: 0 })
}

pub(super) async fn create(State(fake): App, headers: HeaderMap) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let pairs: HashMap<String, String> = read_metadata(text("upload-metadata").unwrap())
        .unwrap()
        .into_iter()
        .map(|(key, value)| (key, String::from_utf8(value).unwrap()))
        .collect();
    let digest = pairs.get("digest").map(|digest| Digest::from_hex(digest).unwrap());
    let length: u64 = text("upload-length").unwrap().parse().unwrap();
    let mut inner = fake.lock();
    let known = inner
        .uploads
        .iter()
        .find(|(_, upload)| digest.is_some() && upload.digest == digest && upload.length == length)
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

pub(super) async fn standing(State(fake): App, Path(id): Path<String>) -> Response {
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

pub(super) async fn piece(
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
        let arrived = Digest(sha2::Sha256::digest(&bytes).into());
        if digest.is_some_and(|digest| digest != arrived) {
            fake.lock().uploads.remove(&id);
            return refuse(400, "digest_mismatch");
        }
        let row = fake.keep(arrived, name, claims, bytes.into());
        fake.lock().uploads.get_mut(&id).unwrap().asset = Some(row.id);
    }
    let headers = standing_headers(&fake.lock().uploads[&id]);
    let mut answer = StatusCode::NO_CONTENT.into_response();
    for (name, value) in headers {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}
