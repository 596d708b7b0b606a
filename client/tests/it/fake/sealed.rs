//! Listings of sealed objects, in pages of two.

use photosync_protocol::v1::{ListedManifest, LoginAnswer, ManifestList};
use photosync_protocol::v2::relay::{RelayObject, RelayObjects};

use super::*;

const PAGE: usize = 2;

pub(super) async fn sealed_objects(
    State(fake): App,
    Query(asked): Query<HashMap<String, String>>,
) -> Json<RelayObjects> {
    let inner = fake.lock();
    let after = asked.get("after").map(|id| Digest::from_hex(id).unwrap());
    let after = after.filter(|_| !inner.repeats_pages);
    let rest = inner.sealed.iter().filter(|id| after.is_none_or(|after| **id > after));
    let object = |id: &Digest| RelayObject { id: *id, size_bytes: 1, kind: Some('M') };
    Json(RelayObjects { objects: rest.take(PAGE).map(object).collect() })
}

pub(super) async fn sign_in_as_before(State(fake): App) -> Json<LoginAnswer> {
    Json(LoginAnswer { token: fake.session().access_token, user_id: 1 })
}

pub(super) async fn manifests(
    State(fake): App,
    Query(asked): Query<HashMap<String, String>>,
) -> Json<ManifestList> {
    let inner = fake.lock();
    let offset: usize = asked["offset"].parse().unwrap();
    let offset = if inner.repeats_pages { 0 } else { offset };
    let rest = inner.sealed.iter().skip(offset).take(PAGE);
    let manifests = rest.map(|id| ListedManifest { manifest_id: id.to_string() }).collect();
    let total = i64::try_from(inner.sealed.len()).unwrap();
    Json(ManifestList { manifests, total })
}
