//! The native routes as an OpenAPI 3.1 document, generated from the handlers and the types of `protocol`.
//! `photosync-server openapi` prints it; `docs/openapi.json` is a copy that a test compares.

use photosync_protocol::error::ErrorBody;
use photosync_protocol::v2::session::{Endpoints, QrPayload};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::accounts::admin::routes as people;
use crate::accounts::own::routes as own;
use crate::accounts::routes as sessions;
use crate::accounts::web::routes as browsers;
use crate::albums::routes as albums;
use crate::library::routes::{self as library, acts, browse, downloads};
use crate::media::routes as renditions;
use crate::overview::routes as overview;
use crate::pairing::routes as pairing;
use crate::relay::routes as relay;
use crate::uploads::routes as uploads;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "PhotoSync native API",
        description = "JSON is snake_case, digests are lower hexadecimal, times are Unix milliseconds (`_ms`), sizes are \
                       bytes (`_bytes`). Readers ignore keys they do not know. docs/API.md says what each route promises.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(
        pairing::describe,
        sessions::sign_in,
        sessions::sign_out,
        sessions::refresh,
        pairing::offer,
        pairing::claim,
        pairing::endpoints,
        sessions::list_devices,
        sessions::revoke_device,
        sessions::issue_upload_token,
        sessions::revoke_upload_token,
        browsers::state,
        browsers::set_up,
        browsers::sign_in,
        browsers::enter,
        browsers::sign_out,
        browsers::look_at_invitation,
        browsers::accept_invitation,
        own::rename,
        own::change_password,
        own::sign_out_elsewhere,
        people::list,
        people::invite,
        people::edit,
        people::set_password,
        people::offer_link,
        people::sign_out,
        people::delete,
        people::restore,
        overview::storage,
        overview::jobs,
        overview::retry_media,
        overview::health,
        overview::updates,
        overview::look_for_updates,
        overview::settings,
        uploads::put_asset,
        library::missing,
        library::sync,
        library::forget,
        library::tell_claims,
        library::tell_moves,
        library::list_assets,
        library::get_asset,
        library::get_original,
        renditions::get,
        renditions::get_motion,
        renditions::playable,
        renditions::want_playable,
        library::list_changes,
        library::receipts,
        browse::me,
        browse::timeline,
        browse::timeline_tiles,
        browse::tiles,
        browse::chosen_tiles,
        browse::details,
        browse::search,
        browse::map,
        browse::duplicates,
        downloads::create,
        downloads::get,
        browse::events,
        acts::edit,
        acts::tell_apart,
        acts::trash,
        acts::restore,
        acts::empty_trash,
        albums::list,
        albums::create,
        albums::get,
        albums::edit,
        albums::delete,
        albums::tiles,
        albums::add,
        albums::remove,
        albums::order,
        relay::have,
        relay::put_object,
        relay::put_objects,
        relay::get_object,
        relay::list_objects,
        relay::fetch,
        relay::post_segment,
        relay::heads,
        relay::list_segments,
        relay::put_keyring,
        relay::get_keyring,
        tus::tus_options,
        tus::tus_create,
        tus::tus_head,
        tus::tus_patch,
        tus::tus_delete,
    ),
    components(schemas(ErrorBody, QrPayload, Endpoints)),
    modifiers(&Shared),
)]
struct Document;

/// A body of bytes as they are.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its description is used")]
pub struct RawBytes(Vec<u8>);

/// The document, as indented JSON.
pub fn text() -> Result<String, serde_json::Error> {
    Document::openapi().to_pretty_json()
}

/// What holds for all routes: the tokens, and the one error body.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |about: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(about.to_owned());
            SecurityScheme::Http(scheme)
        };
        components.add_security_scheme("access", bearer("An access token, for the whole library."));
        components.add_security_scheme(
            "upload_only",
            bearer("An upload-only token `psu_…`: adding files, asking what is missing, telling where files lie."),
        );
        components.add_security_scheme(
            "browser",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                photosync_protocol::v2::web::COOKIE,
                "A signed-in browser; `__Host-photosync` over HTTPS. It opens what an access token opens, and more.",
            ))),
        );
        let refused = ResponseBuilder::new()
            .description("Refused or failed; `code` says why.")
            .content(
                "application/json",
                ContentBuilder::new()
                    .schema(Some(RefOr::Ref(Ref::from_schema_name("ErrorBody"))))
                    .build(),
            )
            .build();
        for operation in document.paths.paths.values_mut().flat_map(operations_mut) {
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), RefOr::T(refused.clone()));
        }
    }
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, .. } = item;
    [get, put, post, delete, options, head, patch].into_iter().flatten()
}

/// One handler answers all methods of a path of tus, because `X-HTTP-Method-Override` may name another one than was
/// sent. So its operations are described here, one by one.
#[expect(dead_code, reason = "only what stands above each function is used")]
mod tus {
    /// What the server can do
    #[utoipa::path(
    options, path = "/api/v2/tus", tag = "tus 1.0",
    responses((status = 204, description = "Nothing but headers.",
        headers(("Tus-Version" = String), ("Tus-Extension" = String), ("Tus-Checksum-Algorithm" = String)))),
)]
    pub(super) fn tus_options() {}

    /// Begin an upload, or find the one that was begun
    ///
    /// The same account, digest and length again: 201 with the existing `Location`.
    #[utoipa::path(
    post, path = "/api/v2/tus", tag = "tus 1.0", security(("access" = []), ("upload_only" = [])),
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = Option<u64>, Header, description = "Length of the file; or `Upload-Defer-Length: 1`."),
        ("Upload-Metadata" = Option<String>, Header,
            description = "`filename`, `digest` (hex SHA-256) and the claims of docs/API.md, each in base64."),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and the parts."),
    ),
    request_body(content = super::RawBytes, content_type = "application/offset+octet-stream",
        description = "Optional first bytes (creation-with-upload)."),
    responses((status = 201, description = "`Location` says where; `Upload-Offset` if bytes were taken.",
        headers(("Location" = String), ("Upload-Offset" = u64), ("Upload-Expires" = String)))),
)]
    pub(super) fn tus_create() {}

    /// How far an upload is
    ///
    /// A finished one has `PhotoSync-Asset` for 7 days.
    #[utoipa::path(
    head, path = "/api/v2/tus/{id}", tag = "tus 1.0", security(("access" = []), ("upload_only" = [])),
    params(("id" = String, Path, description = "From `Location`."),
        ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 200, description = "Nothing but headers.",
        headers(("Upload-Offset" = u64), ("Upload-Length" = u64), ("PhotoSync-Asset" = String)))),
)]
    pub(super) fn tus_head() {}

    /// Add bytes at the offset
    ///
    /// A new one ends a silent one before it. A wrong offset is 409, a wrong checksum 460.
    #[utoipa::path(
    patch, path = "/api/v2/tus/{id}", tag = "tus 1.0", security(("access" = []), ("upload_only" = [])),
    params(("id" = String, Path, description = "From `Location`."),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Where the body begins."),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256`, a blank, base64.")),
    request_body(content = super::RawBytes, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "The bytes are kept.",
        headers(("Upload-Offset" = u64), ("Upload-Expires" = String), ("PhotoSync-Asset" = String)))),
)]
    pub(super) fn tus_patch() {}

    /// Give an unfinished upload up
    #[utoipa::path(
    delete, path = "/api/v2/tus/{id}", tag = "tus 1.0", security(("access" = []), ("upload_only" = [])),
    params(("id" = String, Path, description = "From `Location`."),
        ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 204, description = "Its bytes are gone.")),
)]
    pub(super) fn tus_delete() {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_is_the_one_in_the_documentation() {
        let stored = include_str!("../../../docs/openapi.json");
        assert!(
            stored.trim_end() == text().unwrap(),
            "run `photosync-server openapi > docs/openapi.json`"
        );
    }

    /// Path and method of every operation.
    fn described() -> BTreeSet<(String, String)> {
        let document: serde_json::Value = serde_json::from_str(&text().unwrap()).unwrap();
        assert_eq!(document["openapi"].as_str(), Some("3.1.0"));
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
                found.insert((path.clone(), method.clone()));
            }
        }
        found
    }

    /// Path and method of every native route in the text of the router: axum does not list them.
    fn routed() -> BTreeSet<(String, String)> {
        let source = include_str!("mod.rs");
        let mut found = BTreeSet::new();
        for call in source.split("route(").skip(1) {
            let call = call.split(".merge(").next().unwrap_or_default();
            let Some(path) = call.split('"').nth(1).filter(|path| path.starts_with("/api/v2/"))
            else {
                continue;
            };
            for method in ["get", "put", "post", "delete", "patch"] {
                let is_there = |before: &str| call.contains(&format!("{before}{method}("));
                if is_there(" ") || is_there(".") || is_there("\n") {
                    found.insert((path.to_owned(), method.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_native_route_is_described_and_nothing_else_is() {
        let mut routed = routed();
        assert!(routed.len() > 10, "{routed:?}");
        for (path, method) in [
            ("/api/v2/tus", "options"),
            ("/api/v2/tus", "post"),
            ("/api/v2/tus/{id}", "head"),
            ("/api/v2/tus/{id}", "patch"),
            ("/api/v2/tus/{id}", "delete"),
        ] {
            routed.insert((path.to_owned(), method.to_owned()));
        }
        assert_eq!(described(), routed);
    }
}
