//! What a command beside this server needs to import photos into an account: to be signed in as a device, for as long as
//! it takes. The photos come in as those of any device do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::{self, devices};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::pairing;

/// With what an import begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Pairing code; it works once.
    pub code: String,
    /// Where this machine reaches the server, most likely first.
    pub urls: Vec<String>,
    /// Fingerprint of the server's key.
    pub fingerprint: String,
    /// Whose the photos are.
    pub account: Uuid,
}

/// Lets an import into an account begin.
pub async fn begin(app: &App, email: &str) -> Result<Ticket> {
    let account = accounts::get_by_email(app, email).await?;
    if account.disabled {
        return Err(Error::bad_request(format!("{} is disabled", account.email)));
    }
    let here = |ip: IpAddr| match ip {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let sockets = app.presence.listening().iter();
    let urls = sockets
        .map(|at| format!("https://{}", std::net::SocketAddr::new(here(at.ip()), at.port())))
        .collect();
    let offer = pairing::offer(app, account.account_uuid).await?;
    Ok(Ticket {
        code: offer.code,
        urls,
        fingerprint: app.identity.fingerprint().to_owned(),
        account: account.account_uuid,
    })
}

/// Ends the sign-in of an import. What it said of photos stays, and it comes back as the same device.
pub async fn end(app: &App, account: Uuid, device_id: &str) -> Result<()> {
    devices::let_go(app, account, device_id).await
}
