//! What it means that a request failed: refused by the server, by something in between, or not answered at all.

use std::time::Duration;

use photosync_protocol::error::{ErrorBody, ErrorCode, RetryClass};
use reqwest::{Response, StatusCode};

use super::SMALL_REQUEST;
use crate::error::{Error, Kind, chain, root_cause};
use crate::trust::{KeyVerifier, grouped};

/// One try that failed.
#[derive(Debug)]
pub struct Failure {
    /// What to say.
    pub error: Error,
    /// The server's answer, `None` if there was none.
    pub status: Option<StatusCode>,
    /// What may be done now.
    pub retry: RetryClass,
    /// How long the server asks to wait.
    pub after: Option<Duration>,
    /// Largest body the server (or a proxy) says it takes, in bytes.
    pub max_body_bytes: Option<u64>,
}

impl Failure {
    /// A failure after which no try makes sense.
    pub fn of(error: Error) -> Self {
        Self { error, status: None, retry: RetryClass::Never, after: None, max_body_bytes: None }
    }

    /// Whether what was asked for is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self.status, Some(StatusCode::NOT_FOUND | StatusCode::GONE))
    }

    /// An answer that began and did not end: as good as none.
    pub fn broken(path: &str, cause: &reqwest::Error) -> Self {
        let text = format!("the answer to {path} broke off: {}", chain(cause));
        let error = Error::new(Kind::Unreachable, text);
        Self { retry: RetryClass::AfterPause, ..Self::of(error) }
    }
}

/// The explanation for a different key.
pub fn wrong_server(wanted: &str, seen: &str) -> Error {
    let seen = if seen.is_empty() { "no identity key at all".into() } else { grouped(seen) };
    let message = format!(
        "this is not the server this device was paired with: its key is {seen}, not {}. Nothing was sent",
        grouped(wanted)
    );
    Error::new(Kind::WrongServer, message).hint(
        "if the server was set up anew, compare the key it prints at start and sign in again; if not, something \
         stands between this computer and the server",
    )
}

/// What an answer other than success means.
pub(super) async fn refusal(base: &str, answer: Response) -> Failure {
    let status = answer.status();
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    let after = header("retry-after").and_then(|text| text.trim().parse().ok());
    let max_body_bytes = header("upload-limit").and_then(|text| read_upload_limit(&text));
    let body = tokio::time::timeout(SMALL_REQUEST, answer.bytes()).await;
    let body: Option<ErrorBody> =
        body.ok().and_then(std::result::Result::ok).and_then(|b| serde_json::from_slice(&b).ok());
    let known =
        |body: &ErrorBody| ErrorCode::ALL.iter().copied().find(|code| code.as_str() == body.code);
    let code = body.as_ref().and_then(known);
    let (kind, retry) = match code {
        Some(code) => (kind_of(code), code.retry_class()),
        None => kind_of_status(status),
    };
    let said = match &body {
        Some(body) => body.error.trim_end_matches('.').to_owned(),
        None => format!("the answer was {status}, and not one of a PhotoSync server"),
    };
    let mut error = Error::new(kind, said).coded(code.map_or("http", ErrorCode::as_str));
    if let Some(body) = body.filter(|body| !body.request_id.is_empty() && status.as_u16() >= 500) {
        error = error.hint(format!("the server's log has it under {}", body.request_id));
    }
    if code.is_none() && matches!(status.as_u16(), 300..=412) {
        error = error.hint(format!("is {} the address of a PhotoSync server?", base));
    }
    let after = after.map(Duration::from_secs);
    Failure { error, status: Some(status), retry, after, max_body_bytes }
}

/// What no answer means.
pub(super) fn no_answer(
    base: &str,
    verifier: Option<&KeyVerifier>,
    cause: &reqwest::Error,
) -> Failure {
    if let Some((verifier, seen)) = verifier.and_then(|v| v.refused().map(|seen| (v, seen))) {
        let wanted = verifier.wanted().unwrap_or_default();
        return Failure::of(wrong_server(wanted, &seen));
    }
    let cause_text = said_plainly(root_cause(cause));
    let host = base.split("://").last().unwrap_or_default();
    let is_foreign = verifier.is_some_and(|v| v.seen().as_deref() == Some(""));
    let text = if cause.is_connect() && is_foreign {
        format!(
            "{host} is no PhotoSync server, or something stands before it: it shows a key of another kind"
        )
    } else if cause.is_connect() {
        format!("could not connect to {host}: {cause_text}")
    } else if cause.is_timeout() {
        format!("{host} does not answer")
    } else {
        format!("the connection to {host} broke off: {cause_text}")
    };
    let error = Error::new(Kind::Unreachable, text)
        .hint(format!("is the server running at {}? photosync doctor looks closer", base));
    Failure { retry: RetryClass::AfterPause, ..Failure::of(error) }
}

/// In plain words what TLS says of an answer that is not TLS.
fn said_plainly(text: String) -> String {
    if text.contains("InvalidContentType") { "no TLS is spoken there".to_owned() } else { text }
}

/// `max-size=…` or `max-append-size=…` of an `Upload-Limit` field: the smaller one that bounds a request.
pub(crate) fn read_upload_limit(text: &str) -> Option<u64> {
    let limit = |part: &str| {
        let (key, value) = part.trim().split_once('=')?;
        matches!(key, "max-append-size" | "max-append").then(|| value.trim().parse().ok())?
    };
    text.split(',').filter_map(limit).min()
}

fn kind_of(code: ErrorCode) -> Kind {
    use ErrorCode as C;
    match code {
        C::Unauthorised | C::Forbidden | C::OutOfScope | C::DeviceTaken => Kind::SignIn,
        C::QuotaExceeded
        | C::SubscriptionExpired
        | C::TrialExpired
        | C::SubscriptionRequired
        | C::SubscriptionDeleted
        | C::StorageFull
        | C::StorageFailed => Kind::Refused,
        C::TooManyRequests | C::Busy | C::Timeout | C::BodyIncomplete => Kind::Unreachable,
        _ => Kind::File,
    }
}

/// For answers of something between us and the server.
fn kind_of_status(status: StatusCode) -> (Kind, RetryClass) {
    match status.as_u16() {
        401 | 403 => (Kind::SignIn, RetryClass::AfterSignIn),
        408 | 429 | 500..=599 => (Kind::Unreachable, RetryClass::AfterPause),
        _ => (Kind::File, RetryClass::Never),
    }
}
