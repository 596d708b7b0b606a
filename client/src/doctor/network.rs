//! Whether the server can be found by itself on the local network.

use reqwest::Url;

use super::{Finding, resolve};
use crate::address::is_private;
use crate::discovery::browse;
use crate::profile::Profile;

const CHECK: &str = "network";

pub(super) async fn announced(profile: &Profile, url: &Url, fingerprint: &str) -> Finding {
    if !profile.discovers() {
        return Finding::skipped(
            CHECK,
            "the local network is not asked: PHOTOSYNC_DISCOVERY is off",
        );
    }
    let found = match browse(fingerprint, true).await {
        Ok(found) => found,
        Err(error) => {
            let fix = "does this computer have a network, and may this program use it?";
            return Finding::warning(CHECK, error.message, fix);
        }
    };
    if let Some(own) = found.iter().find(|announced| announced.is_wanted) {
        let at = own.urls.first().map_or("no address", String::as_str);
        return Finding::fine(CHECK, format!("the server announces itself at {at}"));
    }
    let addresses: Vec<_> = resolve(url).await.unwrap_or_default();
    if addresses.iter().any(|address| address.ip().is_loopback()) {
        return Finding::skipped(CHECK, "the server is on this computer and need not be announced");
    }
    if !addresses.iter().any(|address| is_private(address.ip())) {
        return Finding::skipped(
            CHECK,
            "the server is not on this network, so nothing announces it",
        );
    }
    Finding::warning(
        CHECK,
        "the server is not announced on this network",
        "backups work; only a new address of the server would not be noticed. Is discovery on at the server, and is \
         this computer in the same network, with no guest Wi-Fi or VPN between?",
    )
}
