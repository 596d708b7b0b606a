//! Where this server can be reached, signed by its identity: a client that moves from Wi-Fi to mobile tries the list and
//! knows by the key that it is the same server.

use photosync_protocol::v2::session::{
    ENDPOINTS_DOMAIN, Endpoint, EndpointKind, Endpoints, SignedEndpoints,
};

use crate::accounts::rules::is_private;
use crate::boot::App;
use crate::error::{Error, Result};

/// The list as of now.
pub fn signed(app: &App) -> Result<SignedEndpoints> {
    let own = app.presence.reachable().into_iter().map(|host| Endpoint {
        kind: if is_private(host.ip()) { EndpointKind::Lan } else { EndpointKind::Public },
        url: format!("https://{host}"),
    });
    let public = app
        .config
        .public_url
        .iter()
        .map(|url| Endpoint { kind: EndpointKind::Public, url: url.clone() });
    let list = Endpoints {
        server_id: app.presence.server_id().to_owned(),
        issued_at_ms: app.clock.now_ms(),
        endpoints: own.chain(public).collect(),
    };
    let payload = serde_json::to_string(&list)
        .map_err(|source| Error::internal("write the list of addresses").caused_by(source))?;
    let signature = app.identity.sign(&[ENDPOINTS_DOMAIN, payload.as_bytes()].concat());
    Ok(SignedEndpoints { payload, signature, public_key: app.identity.public_key() })
}
