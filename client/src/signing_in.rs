//! Signing in by password or by pairing, and signing out.
//!
//! No secret leaves this machine before the server has shown a key somebody vouched for: the person, the pairing
//! code's QR text, or the operating system's list of certificates.

use std::sync::Arc;

use photosync_protocol::v2::ServerAnswer;
use photosync_protocol::v2::session::normalise_code;
use photosync_protocol::v2::session::{PairingClaim, QR_TYPE, QrPayload, Session, SignIn};
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use crate::address;
use crate::connection::{Connection, now_ms, read_json, wrong_server};
use crate::credentials::{Credentials, Place, Trust};
use crate::endpoints;
use crate::error::{Error, Kind, Result};
use crate::profile::Profile;
use crate::report::{Event, Report};

/// Asks a person whether a key is the right one: server name, fingerprint.
pub type AskKey<'a> = &'a (dyn Fn(&str, &str) -> Result<bool> + Send + Sync);

/// A server that was reached and is trusted.
pub struct Server {
    /// Connection on which nobody is signed in.
    pub connection: Connection,
    /// How it proved who it is.
    pub trust: Trust,
    /// What it says of itself.
    pub answer: ServerAnswer,
}

/// Everything needed to reach a server for the first time.
#[derive(Clone)]
pub struct First {
    /// Where events go.
    pub report: Arc<dyn Report>,
    /// Ends the attempt.
    pub stop: CancellationToken,
}

/// Reaches a server and finds out how to trust it. `known` is a fingerprint somebody vouched for already; without one,
/// and without a certificate the system trusts, `ask` decides.
pub async fn reach(
    first: &First,
    typed: &str,
    known: Option<String>,
    ask: AskKey<'_>,
) -> Result<Server> {
    let url = address::read(typed)?;
    let base = address::base_of(&url);
    let connect = |trust, pin| {
        Connection::anonymous(&base, trust, pin, first.report.clone(), first.stop.clone())
    };
    if url.scheme() == "http" {
        address::require_private(&url).await?;
        let connection = connect(Trust::Nothing, None)?;
        let answer = about(&connection).await?;
        if let Some(known) = known.filter(|known| *known != answer.fingerprint) {
            return Err(wrong_server(&known, &answer.fingerprint));
        }
        return Ok(Server { connection, trust: Trust::Nothing, answer });
    }
    if known.is_none() {
        let connection = connect(Trust::Certificate, None)?;
        // One try: a certificate that is not trusted stays so, and a dead server is found by the next step.
        let request = connection.request(Method::GET, "/server");
        let request = request.timeout(crate::connection::SMALL_REQUEST);
        if let Ok(answer) = connection.attempt(request).await {
            let answer: ServerAnswer = read_json(answer).await?;
            return Ok(Server { connection, trust: Trust::Certificate, answer });
        }
    }
    let connection = connect(Trust::Key, known.clone())?;
    let answer = about(&connection).await?;
    let seen = connection.seen_key().unwrap_or_default();
    if answer.fingerprint != seen {
        return Err(wrong_server(&answer.fingerprint, &seen));
    }
    if known.is_none() && !ask(&answer.name, &seen)? {
        return Err(Error::new(
            Kind::WrongServer,
            "the server's key was not accepted. Nothing was sent",
        ));
    }
    // From here on only this key.
    let connection = connect(Trust::Key, Some(seen))?;
    Ok(Server { connection, trust: Trust::Key, answer })
}

/// What the server says of itself. One try: a person waits, and can type the command again.
async fn about(connection: &Connection) -> Result<ServerAnswer> {
    let request = connection.request(Method::GET, "/server");
    let request = request.timeout(crate::connection::SMALL_REQUEST);
    read_json(connection.attempt(request).await.map_err(|failure| failure.error)?).await
}

/// Signs in by password and keeps the session in the profile.
pub async fn sign_in(
    server: &Server,
    profile: &Profile,
    email: &str,
    password: &str,
    device_name: &str,
) -> Result<Credentials> {
    let body = SignIn {
        email: email.to_owned(),
        password: password.to_owned(),
        device_name: device_name.to_owned(),
        device_id: device_id(profile, server),
    };
    let build = |connection: &Connection| connection.request(Method::POST, "/session").json(&body);
    let answer = server.connection.call(build).await.map_err(|error| match error.kind {
        Kind::SignIn => Error::new(Kind::SignIn, "e-mail and password do not belong together")
            .coded(error.code)
            .hint("both are typed exactly as in the phone app"),
        _ => error,
    })?;
    keep(server, profile, read_json(answer).await?).await
}

/// Signs in by a pairing code (typed) or token (from a QR code) and keeps the session in the profile.
pub async fn pair(
    server: &Server,
    profile: &Profile,
    secret: Secret,
    device_name: &str,
) -> Result<Credentials> {
    let (code, token) = match secret {
        Secret::Code(code) => (Some(code), None),
        Secret::Token(token) => (None, Some(token)),
    };
    let body = PairingClaim {
        code,
        token,
        device_name: device_name.to_owned(),
        device_id: device_id(profile, server),
    };
    let request = server.connection.request(Method::POST, "/pairing/claim").json(&body);
    // Once only: a repeated wrong code would use up the few tries there are.
    let answer =
        server.connection.attempt(request).await.map_err(|failure| match failure.error.kind {
            Kind::SignIn | Kind::File => {
                Error::new(Kind::SignIn, format!("the code was refused: {}", failure.error.message))
                    .coded(failure.error.code)
                    .hint("codes live 5 minutes and work once; make a new one")
            }
            _ => failure.error,
        })?;
    keep(server, profile, read_json(answer).await?).await
}

/// What a pairing was given as.
pub enum Secret {
    /// 8 characters, in their one spelling.
    Code(String),
    /// From a QR code.
    Token(String),
}

/// What was typed or scanned to pair with.
pub struct PairingText {
    /// Addresses to try, most likely first; empty for a code.
    pub urls: Vec<String>,
    /// Fingerprint to insist on, if it was told.
    pub fingerprint: Option<String>,
    /// The secret.
    pub secret: Secret,
}

/// Reads a typed code, or the JSON text of a QR code.
pub fn read_pairing(text: &str) -> Result<PairingText> {
    let text = text.trim();
    if let Some(code) = normalise_code(text) {
        return Ok(PairingText { urls: vec![], fingerprint: None, secret: Secret::Code(code) });
    }
    let wrong = || {
        Error::new(Kind::Usage, "this is neither a pairing code nor the text of a QR code")
            .hint("a code has 8 letters and digits, as AB12-CD34")
    };
    let payload: QrPayload = serde_json::from_str(text).map_err(|_| wrong())?;
    if payload.kind != QR_TYPE {
        return Err(wrong());
    }
    let mut urls = payload.urls;
    if urls.is_empty() {
        let host = if payload.ip.contains(':') { format!("[{}]", payload.ip) } else { payload.ip };
        urls.push(format!("https://{host}:{}", payload.port));
    }
    let fingerprint = Some(payload.fingerprint).filter(|text| !text.is_empty());
    if fingerprint.is_some() {
        // The key is known, so every connection can be a safe one.
        urls.iter_mut().for_each(|url| *url = url.replacen("http://", "https://", 1));
    }
    Ok(PairingText { urls, fingerprint, secret: Secret::Token(payload.token) })
}

/// Ends the session at the server and forgets it here. The second happens whatever the first says; the answer is
/// whether the server knows.
pub async fn sign_out(connection: &Connection, profile: &Profile) -> Result<bool> {
    let request = connection.request(Method::DELETE, "/session");
    let told = connection.attempt(request.timeout(crate::connection::SMALL_REQUEST)).await;
    Credentials::remove(profile)?;
    Ok(told.is_ok())
}

/// The id this profile had on the same server: it stays the same device then.
fn device_id(profile: &Profile, server: &Server) -> Option<String> {
    let before = Credentials::find_public(profile).ok().flatten()?;
    (before.fingerprint == server.answer.fingerprint).then_some(before.device_id)
}

async fn keep(server: &Server, profile: &Profile, session: Session) -> Result<Credentials> {
    if session.fingerprint != server.answer.fingerprint {
        return Err(wrong_server(&server.answer.fingerprint, &session.fingerprint));
    }
    endpoints::begin_anew(profile, &session.fingerprint);
    let base = server.connection.base();
    let mut credentials = Credentials::of(&base, server.trust, session, now_ms());
    let lock = profile.lock()?;
    if let Place::FileInstead(why) = credentials.store_new(profile)? {
        let file = profile.credentials_file();
        let text = format!("credentials: file {} (no key store: {why})", file.display());
        server.connection.report().event(&Event::Note { text });
    }
    drop(lock);
    let (report, stop) = (server.connection.report().clone(), server.connection.stop().clone());
    endpoints::keep_fresh(&Connection::signed_in(profile, report, stop)?, profile).await;
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_a_qr_text_are_told_apart_and_a_known_key_means_https() {
        let code = read_pairing("ab12-cd3o").unwrap();
        assert!(matches!(code.secret, Secret::Code(code) if code == "AB12CD30"));
        let text = r#"{"type":"photolynk-local","ip":"10.0.0.2","port":3000,"token":"psp_x","name":"nas",
            "urls":["http://10.0.0.2:3000"],"fingerprint":"abc","version":2,"new":true}"#;
        let qr = read_pairing(text).unwrap();
        assert_eq!(qr.urls, ["https://10.0.0.2:3000"]);
        assert_eq!(qr.fingerprint.as_deref(), Some("abc"));
        assert!(matches!(qr.secret, Secret::Token(token) if token == "psp_x"));
        for wrong in ["", "hello", r#"{"type":"other"}"#] {
            assert_eq!(read_pairing(wrong).err().map(|e| e.kind), Some(Kind::Usage), "{wrong}");
        }
    }
}
