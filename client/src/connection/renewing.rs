//! A live access token for every request: renewed before it ends, once for all tasks and processes of a profile.

use photosync_protocol::v2::session::{Refresh, Session};
use reqwest::Method;

use super::{Connection, RENEW_BEFORE_MS, SMALL_REQUEST, now_ms, read_json, wrong_server};
use crate::backup::blocking;
use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::pause::Pauses;

impl Connection {
    /// A token with some life left; `None` on an anonymous connection.
    pub(super) async fn live_token(&self) -> Result<Option<String>> {
        let Some(signed) = &self.session else { return Ok(None) };
        let (token, ends) = {
            let credentials = signed.credentials.lock().await;
            (credentials.access_token.clone(), credentials.access_expires_at_ms)
        };
        if ends.saturating_sub(RENEW_BEFORE_MS) > now_ms() {
            return Ok(Some(token));
        }
        self.renew(&token).await?;
        Ok(Some(signed.credentials.lock().await.access_token.clone()))
    }

    /// Gets a new token unless somebody else (a task, another process) did so since `stale` was read.
    pub(super) async fn renew(&self, stale: &str) -> Result<()> {
        let Some(signed) = &self.session else { return Ok(()) };
        let mut credentials = signed.credentials.lock().await;
        if credentials.access_token != stale {
            return Ok(());
        }
        let profile = signed.profile.clone();
        let (lock, stored) = blocking(move || {
            let lock = profile.lock()?;
            Ok((lock, Credentials::get(&profile)?))
        })
        .await?;
        if stored.access_token != stale {
            *credentials = stored;
            return Ok(());
        }
        let renewed = self.refresh(&stored).await?;
        if renewed.fingerprint != stored.fingerprint {
            return Err(wrong_server(&stored.fingerprint, &renewed.fingerprint));
        }
        let mut renewed = Credentials::of(&stored.url, stored.trust, renewed, now_ms());
        renewed.key_store_entry = stored.key_store_entry;
        let profile = signed.profile.clone();
        *credentials = blocking(move || {
            let _lock = lock;
            renewed.store(&profile)?;
            Ok(renewed)
        })
        .await?;
        Ok(())
    }

    async fn refresh(&self, stored: &Credentials) -> Result<Session> {
        let body = Refresh { refresh_token: stored.refresh_token.clone() };
        let mut pauses = Pauses::default();
        loop {
            let request = self.request(Method::POST, "/session/refresh").json(&body);
            let answer = self.send(request.timeout(SMALL_REQUEST), None).await;
            match self.receive(answer).await {
                Ok(answer) => return read_json(answer).await,
                Err(failure) if failure.error.kind == Kind::SignIn => {
                    return Err(Error::new(Kind::SignIn, "this device was signed out")
                        .coded("unauthorised")
                        .hint(format!("photosync login {} {}", stored.url, stored.email)));
                }
                Err(failure) => self.wait_or_fail(failure, &mut pauses).await?,
            }
        }
    }
}
