//! The one error body, and what a client may do about it.

use serde::{Deserialize, Serialize};

/// Body of every error below `/api`. Old clients read `error` only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// A sentence for people. No client may match on it.
    pub error: String,
    /// A stable code, see [`ErrorCode`].
    pub code: String,
    /// The id under which the server logged this request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// What a program needs besides the code: numbers, hints, names.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// When a client may try the same request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// The same request will fail again.
    Never,
    /// Later, by itself: after `Retry-After` or a growing pause.
    AfterPause,
    /// After signing in again.
    AfterSignIn,
}

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $retry:ident;)*) => {
        /// Every stable code a server may answer with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[doc = $doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// What a client may do after this error.
            pub fn retry_class(self) -> RetryClass {
                match self { $(ErrorCode::$name => RetryClass::$retry,)* }
            }
        }
    };
}

error_codes! {
    /// The request is not one this server understands.
    BadRequest = "bad_request", Never;
    /// The body ended before the declared length, or the multipart form has no end.
    BodyIncomplete = "body_incomplete", AfterPause;
    /// The file has no bytes.
    EmptyFile = "empty_file", Never;
    /// The file has no usable name.
    BadName = "bad_name", Never;
    /// The bytes do not have the declared digest.
    DigestMismatch = "digest_mismatch", AfterPause;
    /// No token, or e-mail and password do not belong together.
    Unauthorised = "unauthorised", AfterSignIn;
    /// The token is not valid here, or not for this device.
    Forbidden = "forbidden", AfterSignIn;
    /// The token is right, but does not open this: an upload-only token adds files and nothing else.
    OutOfScope = "out_of_scope", Never;
    /// This device UUID belongs to another account.
    DeviceTaken = "device_taken", Never;
    /// New accounts need an invitation, or are not made at all.
    RegistrationClosed = "registration_closed", Never;
    /// The reset was refused; the answer never says why.
    ResetRefused = "reset_refused", Never;
    /// There is nothing under this name.
    NotFound = "not_found", Never;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", Never;
    /// No byte of the body arrived for too long.
    Timeout = "timeout", AfterPause;
    /// The e-mail has an account already.
    EmailTaken = "email_taken", Never;
    /// The bytes go on somewhere else: ask for the offset.
    OffsetMismatch = "offset_mismatch", AfterPause;
    /// Another connection took this upload over.
    Preempted = "preempted", AfterPause;
    /// Something else has this place already: read what is there first.
    Conflict = "conflict", Never;
    /// What the request names is not held: send that first.
    Missing = "missing", Never;
    /// There was such an upload once; it was ended or expired.
    Gone = "gone", Never;
    /// The protocol version of the request is not spoken here.
    UnsupportedVersion = "unsupported_version", Never;
    /// The media type of the request is not taken here.
    UnsupportedType = "unsupported_type", Never;
    /// The bytes of this piece do not have its checksum; none of them was kept.
    ChecksumMismatch = "checksum_mismatch", AfterPause;
    /// The requested range lies outside the file.
    RangeNotSatisfiable = "range_not_satisfiable", Never;
    /// The body is larger than this route takes.
    TooLarge = "too_large", Never;
    /// The account's plan or quota is full.
    QuotaExceeded = "QUOTA_EXCEEDED", Never;
    /// The plan ran out: reading works, uploading does not.
    SubscriptionExpired = "SUBSCRIPTION_EXPIRED_SYNC_ONLY", Never;
    /// The trial ran out: reading works, uploading does not.
    TrialExpired = "TRIAL_EXPIRED_SYNC_ONLY", Never;
    /// There is no plan.
    SubscriptionRequired = "SUBSCRIPTION_REQUIRED", Never;
    /// The plan's data was deleted.
    SubscriptionDeleted = "SUBSCRIPTION_DATA_DELETED", Never;
    /// Too many attempts from this address.
    TooManyRequests = "too_many_requests", AfterPause;
    /// The stored bytes are damaged; they are asked for again at the next backup.
    Damaged = "damaged", Never;
    /// The server is busy; nothing was stored.
    Busy = "busy", AfterPause;
    /// The disk is full; nothing was stored.
    StorageFull = "storage_full", AfterPause;
    /// The disk failed; nothing was stored.
    StorageFailed = "storage_failed", AfterPause;
    /// Something that should not happen; the log has it under the request id.
    Internal = "internal", AfterPause;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_errors_share_a_code() {
        let texts: std::collections::HashSet<_> =
            ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
    }
}
