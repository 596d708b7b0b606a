//! The HTTP edge: every route on one page, and what happens to every request before and after its handler.

mod app_files;
pub mod body;
mod error;
pub mod extract;
pub mod files;
pub mod form;
pub mod openapi;

pub use error::{Answered, status_of};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, patch, post, put};
use photosync_protocol::error::ErrorCode;

use crate::accounts::admin::routes as people;
use crate::accounts::own::routes as own;
use crate::accounts::routes as sessions;
use crate::accounts::web::routes as browsers;
use crate::albums::routes as albums;
use crate::auth::random_id;
use crate::boot::App;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::legacy::{accounts, files as originals, relay};
use crate::library::routes::{self as library, acts, browse, downloads};
use crate::media::routes as renditions;
use crate::metrics::RequestLabels;
use crate::overview::routes as overview;
use crate::pairing::routes as pairing;
use crate::relay::routes as sealed;
use crate::upkeep;
use crate::uploads::{routes as uploads, share};
use extract::{Encryption, Peer};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT_REQUEST_ID: String;
}

/// Id of the request this task answers; empty outside of one.
pub fn current_request_id() -> String {
    CURRENT_REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Every public route.
pub fn router(app: &App) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(health))
        .route("/health/ready", get(ready))
        .route("/api/capacity", get(relay::capacity))
        .route("/.well-known/photolynk-capacity.json", get(relay::capacity))
        .route("/.well-known/photosync-capacity.json", get(relay::capacity))
        .route("/api/register", post(accounts::register))
        .route("/api/login", post(accounts::login))
        .route("/api/reset-password-device", post(accounts::reset_password))
        .route("/api/account", delete(accounts::delete_account))
        .route("/api/subscription/status", get(accounts::subscription))
        .route("/api/revenuecat/webhook", post(accounts::webhook))
        .route("/api/upload", post(originals::upload_multipart))
        .route("/api/upload/raw", post(originals::upload_raw))
        .route("/api/files", get(originals::list))
        .route("/api/files/purge", post(originals::purge).get(originals::download))
        .route("/api/files/{name}", get(originals::download))
        .route("/api/cloud/chunks", post(relay::put_chunk))
        .route("/api/cloud/chunks/{id}", get(relay::get_chunk))
        .route("/api/cloud/manifests", get(relay::list_manifests).post(relay::put_manifest))
        .route("/api/cloud/manifests/{id}", get(relay::get_manifest))
        .route("/api/cloud/usage", get(relay::usage))
        .route("/api/cloud/purge", post(relay::purge))
        .route("/api/cloud/device-state", get(relay::get_device_state).put(relay::put_device_state))
        .route("/api/v2/session", post(sessions::sign_in).delete(sessions::sign_out))
        .route("/api/v2/session/refresh", post(sessions::refresh))
        .route("/api/v2/web", get(browsers::state))
        .route("/api/v2/web/setup", post(browsers::set_up))
        .route("/api/v2/web/session", post(browsers::sign_in).delete(browsers::sign_out))
        .route("/api/v2/web/link", post(browsers::enter))
        .route(
            "/api/v2/web/invitation",
            post(browsers::look_at_invitation).put(browsers::accept_invitation),
        )
        .route("/api/v2/server", get(pairing::describe))
        .route("/api/v2/pairing", post(pairing::offer))
        .route("/api/v2/pairing/claim", post(pairing::claim))
        .route("/api/v2/endpoints", get(pairing::endpoints))
        .route("/api/v2/devices", get(sessions::list_devices))
        .route("/api/v2/devices/{id}", delete(sessions::revoke_device))
        .route(
            "/api/v2/devices/{id}/upload-token",
            post(sessions::issue_upload_token).delete(sessions::revoke_upload_token),
        )
        .merge(crate::uploads::tus::routes::routes(app))
        .route(
            "/api/v2/library/assets",
            put(uploads::put_asset).get(library::list_assets).patch(acts::edit),
        )
        .route("/api/v2/library/assets/{id}", get(library::get_asset))
        .route("/api/v2/library/assets/{id}/original", get(library::get_original))
        .route("/api/v2/library/assets/{id}/renditions/{recipe}", get(renditions::get))
        .route("/api/v2/library/assets/{id}/motion", get(renditions::get_motion))
        .route(
            "/api/v2/library/assets/{id}/playable",
            get(renditions::playable).post(renditions::want_playable),
        )
        .route("/api/v2/me", get(browse::me).patch(own::rename))
        .route("/api/v2/me/password", post(own::change_password))
        .route("/api/v2/me/sign-out", post(own::sign_out_elsewhere))
        .route("/api/v2/admin/users", get(people::list).post(people::invite))
        .route("/api/v2/admin/users/{id}", patch(people::edit).delete(people::delete))
        .route("/api/v2/admin/users/{id}/password", post(people::set_password))
        .route("/api/v2/admin/users/{id}/link", post(people::offer_link))
        .route("/api/v2/admin/users/{id}/sign-out", post(people::sign_out))
        .route("/api/v2/admin/users/{id}/restore", post(people::restore))
        .route("/api/v2/admin/storage", get(overview::storage))
        .route("/api/v2/admin/jobs", get(overview::jobs))
        .route("/api/v2/admin/jobs/media/retry", post(overview::retry_media))
        .route("/api/v2/admin/health", get(overview::health))
        .route("/api/v2/admin/updates", get(overview::updates))
        .route("/api/v2/admin/updates/look", post(overview::look_for_updates))
        .route("/api/v2/admin/settings", get(overview::settings))
        .route("/api/v2/library/timeline", get(browse::timeline))
        .route("/api/v2/library/timeline/tiles", get(browse::timeline_tiles))
        .route("/api/v2/library/tiles", get(browse::tiles).post(browse::chosen_tiles))
        .route("/api/v2/library/assets/{id}/details", get(browse::details))
        .route("/api/v2/library/trash", post(acts::trash))
        .route("/api/v2/library/restore", post(acts::restore))
        .route("/api/v2/library/trash/empty", post(acts::empty_trash))
        .route("/api/v2/library/search", get(browse::search))
        .route("/api/v2/library/map", get(browse::map))
        .route("/api/v2/library/duplicates", get(browse::duplicates))
        .route("/api/v2/library/duplicates/different", post(acts::tell_apart))
        .route("/api/v2/library/downloads", post(downloads::create))
        .route("/api/v2/library/downloads/{id}", get(downloads::get))
        .route("/api/v2/library/events", get(browse::events))
        .route("/api/v2/library/receipts", post(library::receipts))
        .route("/api/v2/library/changes", get(library::list_changes))
        .route("/api/v2/library/missing", post(library::missing))
        .route("/api/v2/library/sync", post(library::sync))
        .route("/api/v2/library/forget", post(library::forget))
        .route("/api/v2/library/claims", post(library::tell_claims))
        .route("/api/v2/library/moves", post(library::tell_moves))
        .route("/api/v2/albums", get(albums::list).post(albums::create))
        .route("/api/v2/albums/{id}", get(albums::get).patch(albums::edit).delete(albums::delete))
        .route("/api/v2/albums/{id}/tiles", get(albums::tiles))
        .route("/api/v2/albums/{id}/assets", post(albums::add))
        .route("/api/v2/albums/{id}/remove", post(albums::remove))
        .route("/api/v2/albums/{id}/order", post(albums::order))
        .route("/share-target", post(share::take_in))
        .route("/api/v2/relay/have", post(sealed::have))
        .route("/api/v2/relay/objects", post(sealed::put_objects).get(sealed::list_objects))
        .route("/api/v2/relay/objects/{id}", put(sealed::put_object).get(sealed::get_object))
        .route("/api/v2/relay/fetch", post(sealed::fetch))
        .route("/api/v2/relay/segments", post(sealed::post_segment).get(sealed::list_segments))
        .route("/api/v2/relay/heads", get(sealed::heads))
        .route("/api/v2/relay/keyring", put(sealed::put_keyring).get(sealed::get_keyring))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), edge))
        .with_state(app.clone())
}

/// The loopback listener for Prometheus.
pub fn metrics_router(app: &App) -> Router {
    let text = |State(app): State<App>| async move {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], crate::metrics::text(&app).await)
    };
    Router::new().route("/metrics", get(text)).fallback(any(no_such_route)).with_state(app.clone())
}

/// One slash at the end of a path means nothing.
pub fn normalise_path(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') {
        return None;
    }
    let trimmed = &path[..path.len() - 1];
    let text = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Around every handler: request id, CORS for old clients, headers, metrics, and the one log line.
async fn edge(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Stopwatch::start();
    let request_id = request_id_of(request.headers());
    let method = request.method().clone();
    let route =
        request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    // Over the identity's certificate it would lock browsers out, who cannot trust that one.
    let strict = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| matches!(peer.encryption, Encryption::Certificate | Encryption::Proxy));
    let open_to_pages = is_version_1(request.uri().path());
    let preflight = method == Method::OPTIONS && open_to_pages;
    let wanted_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();

    // What a new version stores before it has proved itself could be lost with it.
    let stores = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else if stores && app.is_on_trial() {
        CURRENT_REQUEST_ID
            .scope(request_id.clone(), async { Error::on_trial().into_response() })
            .await
    } else {
        CURRENT_REQUEST_ID.scope(request_id.clone(), next.run(request)).await
    };

    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if strict {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    if open_to_pages {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if preflight {
            let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            if let Some(wanted) = wanted_headers {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
            }
        }
    }

    let status = response.status();
    let labels =
        RequestLabels { route: route.clone(), method: method.to_string(), status: status.as_u16() };
    app.metrics.requests.get_or_create(&labels).inc();
    let took_ms = began.elapsed_ms();
    let status = status.as_u16();
    match response.extensions().get::<Answered>() {
        Some(Answered { code, causes }) if status >= 500 => {
            tracing::error!(%request_id, %method, %route, status, took_ms, code, causes, "request failed");
        }
        Some(Answered { code, causes }) => {
            tracing::info!(%request_id, %method, %route, status, took_ms, code, causes, "request refused");
        }
        None => tracing::debug!(%request_id, %method, %route, status, took_ms, "request answered"),
    }
    response
}

/// The client's own id if it is harmless, otherwise a new one.
fn request_id_of(headers: &HeaderMap) -> String {
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let harmless = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
    if !own.is_empty() && own.len() <= 64 && own.bytes().all(harmless) {
        return own.to_owned();
    }
    random_id()
}

/// Routes any web page may call, as with the old servers: no cookie ever opens them.
fn is_version_1(path: &str) -> bool {
    let version_1 = path.starts_with("/api/") && !path.starts_with("/api/v2/");
    version_1 || path.starts_with("/health") || path.starts_with("/.well-known/")
}

async fn health() -> impl IntoResponse {
    axum::Json(photosync_protocol::v1::Ok { ok: true })
}

/// Whether requests would be answered now: see [`upkeep::require_ready`].
async fn ready(State(app): State<App>) -> Response {
    match upkeep::require_ready(&app).await {
        Ok(()) => health().await.into_response(),
        Err(error) => error.into_response(),
    }
}

/// What is no route of an API is the web app's.
async fn no_such_route(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let is_api = ["/api", "/health", "/.well-known", "/control"]
        .iter()
        .any(|start| uri.path().starts_with(start));
    if is_api {
        return Error::not_found("there is no such route").into_response();
    }
    app_files::answer(method, uri, headers).await
}

async fn no_such_method() -> Response {
    Error::new(ErrorCode::MethodNotAllowed, "this route does not take this method").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_forgiven_and_the_query_survives() {
        let of = |text: &str| normalise_path(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(of("/api/files/?limit=5").as_deref(), Some("/api/files?limit=5"));
        assert_eq!(of("/api/files"), None);
        assert_eq!(of("/"), None);
    }

    #[test]
    fn a_strange_request_id_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, "abc-1_2".parse().unwrap());
        assert_eq!(request_id_of(&headers), "abc-1_2");
        headers.insert(REQUEST_ID, "a b\"".parse().unwrap());
        assert_eq!(request_id_of(&headers).len(), 32);
    }
}
