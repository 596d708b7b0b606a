//! The web app: its built files, inside the program, and the headers that keep a page from loading or sending anything
//! elsewhere.
//!
//! A program that was built without them shows a page that says how to build them. In a debug build they are read from
//! `web/build/app` at every request.

use std::borrow::Cow;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "../web/build/app"]
#[allow_missing = true]
struct Built;

/// The page of every address of the app.
const PAGE: &str = "index.html";
/// Below this, a file's name changes with its content.
const IMMUTABLE: &str = "_app/immutable/";
/// What a page may do: load from here, show pictures it made itself, speak with this server.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
                      font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'; script-src 'self'";
/// What runs beside the pages has a policy of its own: ask this server, and nothing else.
const WORKER: &str = "service-worker.js";
const WORKER_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'";

/// Answers what no route of the API took: a file of the app, or its page.
pub async fn answer(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if !matches!(method, Method::GET | Method::HEAD) {
        return not_found();
    }
    if let Some(file) = Built::get(path).filter(|_| path != PAGE) {
        return file_answer(path, file, &headers);
    }
    // An address of the app has no ending; a file that is not there is not there.
    let is_address = !path.rsplit('/').next().unwrap_or_default().contains('.');
    if !is_address {
        return not_found();
    }
    match Built::get(PAGE) {
        Some(page) => page_answer(page),
        None => unbuilt(),
    }
}

fn file_answer(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let cached = match path.starts_with(IMMUTABLE) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let kind = file.metadata.mimetype().to_owned();
    let packed = find_packed(path, headers);
    let described = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cached.to_owned()),
        (header::ETAG, tag),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    let mut answer = match packed {
        Some((encoding, bytes)) => {
            let encoding = [(header::CONTENT_ENCODING, encoding)];
            (described, encoding, body_of(bytes)).into_response()
        }
        None => (described, body_of(file.data)).into_response(),
    };
    if path == WORKER {
        let policy = HeaderValue::from_static(WORKER_POLICY);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// The file as the build packed it, in a way that the browser takes.
fn find_packed(path: &str, headers: &HeaderMap) -> Option<(&'static str, Cow<'static, [u8]>)> {
    let taken = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |wanted: &str| {
        taken.split(',').any(|one| one.split(';').next().is_some_and(|name| name.trim() == wanted))
    };
    [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(encoding, ending)| {
        let file = takes(encoding).then(|| Built::get(&format!("{path}.{ending}"))).flatten()?;
        Some((encoding, file.data))
    })
}

fn body_of(bytes: Cow<'static, [u8]>) -> Body {
    match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    }
}

fn page_answer(page: EmbeddedFile) -> Response {
    static KEPT: OnceLock<HeaderValue> = OnceLock::new();
    let policy = || policy_of(&String::from_utf8_lossy(&page.data));
    // A debug build reads the files anew.
    let policy = if cfg!(debug_assertions) { policy() } else { KEPT.get_or_init(policy).clone() };
    let described = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (described, body_of(page.data)).into_response()
}

/// The policy with the hashes of the scripts that stand in the page itself.
fn policy_of(page: &str) -> HeaderValue {
    let mut policy = POLICY.to_owned();
    for script in inline_scripts(page) {
        policy += &format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script)));
    }
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static(POLICY))
}

/// What stands between `<script>` and its end, of scripts that are not loaded.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=")).then_some(script)
    })
}

fn unbuilt() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let described = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (described, include_str!("front_page.html")).into_response()
}

fn not_found() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::NOT_FOUND, kind, "Not found\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_scripts_of_the_page_and_no_others() {
        let page = "<head><script>one()</script><script type=\"module\" src=\"/a.js\"></script></head><script type=\"x\">two()</script>";
        assert_eq!(inline_scripts(page).collect::<Vec<_>>(), ["one()", "two()"]);
        let policy = policy_of(page);
        let policy = policy.to_str().unwrap();
        let hash = STANDARD.encode(Sha256::digest("one()"));
        assert!(policy.contains(&format!("'sha256-{hash}'")) && !policy.contains("unsafe"));
        assert_eq!(policy.matches("sha256-").count(), 2);
    }
}
