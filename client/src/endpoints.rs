//! Where else the server can be reached: its own list, signed by the key this device trusts, kept in the profile.
//!
//! The list is a hint of where to look; who answers there is decided by the key (see [`crate::elsewhere`]). It is
//! fetched at sign-in and later, when it is older than a day, by runs that talk to the server anyway. Nothing here
//! fails a run: without a list the typed address is all there is.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photosync_protocol::v2::session::{ENDPOINTS_DOMAIN, Endpoints, SignedEndpoints, fingerprint};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, now_ms, read_json};
use crate::error::Result;
use crate::profile::Profile;

/// A list older than this is fetched again, and one signed further in the future is not kept, for no true one could
/// replace it until then: 1 day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Longest wait for the list.
const FETCH: Duration = Duration::from_secs(10);

/// What the profile knows of the server's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The newest list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<SignedEndpoints>,
    /// When it was fetched, Unix milliseconds.
    #[serde(default)]
    pub fetched_at_ms: i64,
    /// Where the server was last found, if not at the typed address. Always `https` with the pinned key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<String>,
}

impl Known {
    /// What the profile knows. A file that cannot be read, or not be understood, is the same as none; a list that the
    /// pinned key did not sign is none.
    pub fn find(profile: &Profile, pinned: &str) -> Self {
        let text = std::fs::read(profile.endpoints_file()).unwrap_or_default();
        let mut known: Self = serde_json::from_slice(&text).unwrap_or_default();
        known.list = known.list.filter(|list| open(list, pinned).is_some());
        known
    }

    /// Writes it for the next run.
    pub fn store(&self, profile: &Profile) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        profile.write(&profile.endpoints_file(), &text)
    }

    /// The addresses of the list, most likely first, all as `https`: a server speaks both on the same port, and
    /// nobody typed these.
    pub fn urls(&self, pinned: &str) -> Vec<String> {
        let list = self.list.as_ref().and_then(|list| open(list, pinned));
        let all = list.into_iter().flat_map(|list| list.endpoints);
        all.map(|endpoint| endpoint.url.replacen("http://", "https://", 1)).collect()
    }

    /// Takes a list unless it is not genuine, older than the one there is, or from the future. Answers whether it did.
    pub fn take(&mut self, list: SignedEndpoints, pinned: &str, now_ms: i64) -> bool {
        let Some(opened) = open(&list, pinned) else { return false };
        let before = self.list.as_ref().and_then(|list| open(list, pinned));
        let is_older = before.is_some_and(|before| before.issued_at_ms > opened.issued_at_ms);
        if is_older || opened.issued_at_ms > now_ms.saturating_add(DAY_MS) {
            return false;
        }
        self.list = Some(list);
        true
    }
}

/// The list, if the key with that fingerprint signed it.
fn open(signed: &SignedEndpoints, pinned: &str) -> Option<Endpoints> {
    let key = URL_SAFE_NO_PAD.decode(&signed.public_key).ok()?;
    let key = <[u8; 32]>::try_from(key).ok()?;
    if fingerprint(&key) != pinned {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(&signed.signature).ok()?;
    let message = [ENDPOINTS_DOMAIN, signed.payload.as_bytes()].concat();
    UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).ok()?;
    serde_json::from_str(&signed.payload).ok()
}

/// Fetches the list if the profile has none of today. One small request at most once a day; called by runs that talk to
/// the server anyway, never by a backup on which nothing changed.
pub async fn keep_fresh(connection: &Connection, profile: &Profile) {
    let Ok(credentials) = connection.credentials().await else { return };
    let pinned = &credentials.fingerprint;
    let mut known = Known::find(profile, pinned);
    let is_fresh = (0..DAY_MS).contains(&now_ms().saturating_sub(known.fetched_at_ms));
    if known.list.is_some() && is_fresh {
        return;
    }
    let request = connection.request(Method::GET, "/endpoints").timeout(FETCH);
    let Ok(answer) = connection.attempt(request).await else { return };
    let Ok(list) = read_json::<SignedEndpoints>(answer).await else { return };
    // The connection may have found another address meanwhile.
    known.preferred = Known::find(profile, pinned).preferred;
    if known.take(list, pinned, now_ms()) {
        known.fetched_at_ms = now_ms();
    }
    let _ = known.store(profile);
}

/// Somebody signed in at an address just typed: that one counts from now on, and a list of the same server stays.
pub fn begin_anew(profile: &Profile, pinned: &str) {
    let known = Known { preferred: None, fetched_at_ms: 0, ..Known::find(profile, pinned) };
    let _ = known.store(profile);
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use photosync_protocol::v2::session::{Endpoint, EndpointKind};

    fn key(seed: u8) -> (Ed25519KeyPair, String) {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let pinned = fingerprint(key.public_key().as_ref().try_into().unwrap());
        (key, pinned)
    }

    fn signed(key: &Ed25519KeyPair, issued_at_ms: i64, url: &str) -> SignedEndpoints {
        let endpoints = vec![Endpoint { kind: EndpointKind::Lan, url: url.into() }];
        let list = Endpoints { server_id: "s".into(), issued_at_ms, endpoints };
        let payload = serde_json::to_string(&list).unwrap();
        let signature = key.sign(&[ENDPOINTS_DOMAIN, payload.as_bytes()].concat());
        SignedEndpoints {
            payload,
            signature: URL_SAFE_NO_PAD.encode(signature),
            public_key: URL_SAFE_NO_PAD.encode(key.public_key()),
        }
    }

    #[test]
    fn only_a_newer_list_of_the_pinned_key_replaces_the_one_there_is() {
        let (right, pinned) = key(1);
        let (wrong, _) = key(2);
        let now = 1_000 * DAY_MS;
        let mut known = Known::default();
        assert!(!known.take(signed(&wrong, now, "https://evil:1"), &pinned, now));
        assert!(known.take(signed(&right, now, "http://10.0.0.2:3000"), &pinned, now));
        assert_eq!(known.urls(&pinned), ["https://10.0.0.2:3000"]);
        assert!(!known.take(signed(&right, now - 1, "https://old:1"), &pinned, now));
        assert!(!known.take(signed(&right, now + 2 * DAY_MS, "https://later:1"), &pinned, now));
        let mut forged = signed(&right, now + 1, "https://10.0.0.3:3000");
        forged.payload = forged.payload.replace("10.0.0.3", "10.0.0.4");
        assert!(!known.take(forged, &pinned, now));
        assert_eq!(known.urls(&pinned), ["https://10.0.0.2:3000"]);
    }

    #[test]
    fn a_kept_list_counts_only_for_the_key_that_signed_it() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::at(folder.path());
        let (right, pinned) = key(1);
        let list = Some(signed(&right, 5, "https://10.0.0.2:3000"));
        let known = Known { list, fetched_at_ms: 5, preferred: Some("https://b:1".into()) };
        known.store(&profile).unwrap();
        assert_eq!(Known::find(&profile, &pinned), known);
        assert_eq!(Known::find(&profile, &key(2).1).list, None);
        begin_anew(&profile, &pinned);
        let after = Known::find(&profile, &pinned);
        assert_eq!((after.list, after.preferred), (known.list, None));
        std::fs::write(profile.endpoints_file(), "{").unwrap();
        assert_eq!(Known::find(&profile, &pinned), Known::default());
    }
}
