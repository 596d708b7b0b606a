//! The one table from error code to status, and the one error body.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::tus::CHECKSUM_MISMATCH_STATUS;
use serde_json::{Map, Value};

use crate::error::Error;

/// The status tus has for a wrong checksum; no other protocol knows it.
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(CHECKSUM_MISMATCH_STATUS) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Status of a code. Exhaustive on purpose: a new code does not compile without its status.
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest
        | ErrorCode::BodyIncomplete
        | ErrorCode::EmptyFile
        | ErrorCode::BadName
        | ErrorCode::DigestMismatch => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorised => StatusCode::UNAUTHORIZED,
        ErrorCode::SubscriptionExpired
        | ErrorCode::TrialExpired
        | ErrorCode::SubscriptionRequired => StatusCode::PAYMENT_REQUIRED,
        ErrorCode::Forbidden
        | ErrorCode::OutOfScope
        | ErrorCode::DeviceTaken
        | ErrorCode::RegistrationClosed
        | ErrorCode::ResetRefused => StatusCode::FORBIDDEN,
        ErrorCode::NotFound | ErrorCode::Damaged => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::EmailTaken
        | ErrorCode::OffsetMismatch
        | ErrorCode::Preempted
        | ErrorCode::Conflict
        | ErrorCode::Missing => StatusCode::CONFLICT,
        ErrorCode::SubscriptionDeleted | ErrorCode::Gone => StatusCode::GONE,
        ErrorCode::UnsupportedVersion => StatusCode::PRECONDITION_FAILED,
        ErrorCode::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        // tus 1.0.0, extension checksum.
        ErrorCode::ChecksumMismatch => CHECKSUM_MISMATCH,
        ErrorCode::TooLarge | ErrorCode::QuotaExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Internal | ErrorCode::StorageFailed => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// What the log needs of an answered error; the middleware writes the one line.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Stable code.
    pub code: &'static str,
    /// The causes, outermost first.
    pub causes: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let answered = Answered { code: self.code.as_str(), causes: self.cause_chain() };
        let request_id = super::current_request_id();
        // Old clients look for numbers and hints beside `error`, native ones in `details`.
        let mut body: Map<String, Value> = self.details.clone();
        body.insert("error".into(), self.message.into());
        body.insert("code".into(), self.code.as_str().into());
        if !request_id.is_empty() {
            body.insert("request_id".into(), request_id.into());
        }
        if !self.details.is_empty() {
            body.insert("details".into(), self.details.into());
        }
        let mut response = (status_of(self.code), Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(answered);
        response
    }
}
