//! Finds a server that moved: asks at the other addresses it may have, and takes the first that holds the right key.
//!
//! Asking means `GET /server` without any token, over TLS with the pinned key; an address that a person typed is asked
//! in the way it was typed. Whoever has another key hears no more than a handshake.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use photosync_protocol::v2::ServerAnswer;
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, read_json};
use crate::credentials::{Credentials, Trust};
use crate::endpoints::Known;
use crate::profile::Profile;
use crate::report::Quiet;
use crate::{address, discovery};

/// An address that does not answer by then is not the one. All are asked at once.
const ASK: Duration = Duration::from_secs(4);
/// Most addresses that are asked.
const MOST: usize = 16;

/// Who is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The address that was typed at sign-in.
    pub typed: String,
    /// How the server proves itself there.
    pub trust: Trust,
    /// Fingerprint of its key.
    pub fingerprint: String,
}

impl Wanted {
    /// The server of these credentials.
    pub fn of(credentials: &Credentials) -> Self {
        Self {
            typed: credentials.url.clone(),
            trust: credentials.trust,
            fingerprint: credentials.fingerprint.clone(),
        }
    }

    /// How the server proves itself at that address: by its key, unless a person typed it.
    pub fn trust_at(&self, url: &str) -> Trust {
        if url == self.typed { self.trust } else { Trust::Key }
    }
}

/// Where the server answers, other than at `failed`: the typed address, the first of its list that works, or what the
/// local network says. `None` if nowhere. Takes at most 4 seconds, and 2 more with the local network.
pub async fn find(profile: &Profile, wanted: &Wanted, failed: &str) -> Option<String> {
    let known = Known::find(profile, &wanted.fingerprint);
    let mut urls = vec![wanted.typed.clone()];
    urls.extend(known.preferred.clone());
    urls.extend(known.urls(&wanted.fingerprint));
    if let Some(url) = first(wanted, failed, urls.clone()).await {
        return Some(url);
    }
    if !profile.discovers() {
        return None;
    }
    let found = discovery::browse(&wanted.fingerprint, true).await.ok()?;
    let mut announced: Vec<String> =
        found.into_iter().filter(|found| found.is_wanted).flat_map(|found| found.urls).collect();
    announced.retain(|url| !urls.contains(url));
    first(wanted, failed, announced).await
}

/// The first of these addresses, in their order, at which the wanted server answers.
async fn first(wanted: &Wanted, failed: &str, urls: Vec<String>) -> Option<String> {
    let mut seen = vec![failed.to_owned()];
    let mut open = Vec::new();
    for url in urls {
        let Ok(url) = address::read(&url) else { continue };
        let url = address::base_of(&url);
        if !seen.contains(&url) {
            seen.push(url.clone());
            open.push(url);
        }
    }
    let asked =
        open.into_iter().take(MOST).map(async |url| is_there(wanted, &url).await.then_some(url));
    let mut answers = std::pin::pin!(futures_util::stream::iter(asked).buffered(MOST));
    while let Some(answer) = answers.next().await {
        if answer.is_some() {
            return answer;
        }
    }
    None
}

async fn is_there(wanted: &Wanted, url: &str) -> bool {
    let asked = async {
        let pin = Some(wanted.fingerprint.clone());
        let (report, stop) = (Arc::new(Quiet), CancellationToken::new());
        let connection =
            Connection::anonymous(url, wanted.trust_at(url), pin, report, stop).ok()?;
        let answer = connection.attempt(connection.request(Method::GET, "/server")).await.ok()?;
        let answer: ServerAnswer = read_json(answer).await.ok()?;
        Some(answer.fingerprint == wanted.fingerprint)
    };
    matches!(tokio::time::timeout(ASK, asked).await, Ok(Some(true)))
}
