//! Which folder belongs to which credentials.
//!
//! (e-mail, password) → legacy device UUID → alias → account → `uploads/<account UUID>/`. The account UUID
//! comes from the e-mail alone and is stored at creation; the legacy UUID comes from e-mail *and* password and
//! is only ever an alias, because an unsalted hash of a password must not lie on a disk.

use unicode_normalization::UnicodeNormalization;
use uuid::{Uuid, uuid};

/// Namespace of account UUIDs (UUIDv5, RFC 9562 §5.5).
pub const ACCOUNT_NAMESPACE: Uuid = uuid!("bfc2761d-bebc-5e99-9f75-dc21aab0f99a");

/// Namespace of the UUIDs that old clients derive (the RFC's DNS namespace).
pub const LEGACY_NAMESPACE: Uuid = uuid!("6ba7b810-9dad-11d1-80b4-00c04fd430c8");

/// The one spelling of an e-mail that names an account: trimmed, NFC, Unicode lower case.
///
/// Idempotent: normalising twice changes nothing.
pub fn normalise_email(typed: &str) -> String {
    let lower = typed.trim().nfc().collect::<String>().to_lowercase();
    // Lower-casing may decompose (İ → i + U+0307), so compose again.
    lower.nfc().collect()
}

/// Why an e-mail cannot name an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailError {
    /// Nothing but blanks.
    Empty,
    /// More than 254 bytes (RFC 5321 §4.5.3.1.3 leaves that much for an address).
    TooLong,
    /// A control character: it would let two names look alike in a terminal or a log.
    Control,
}

impl std::fmt::Display for EmailError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the e-mail is empty",
            Self::TooLong => "the e-mail is longer than 254 bytes",
            Self::Control => "the e-mail contains a control character",
        })
    }
}

impl std::error::Error for EmailError {}

/// [`normalise_email`], refusing what cannot be an account's name. There is no format check beyond that: the
/// old clients have none, and a home server needs no mail to be deliverable.
pub fn parse_email(typed: &str) -> Result<String, EmailError> {
    let email = normalise_email(typed);
    if email.is_empty() {
        return Err(EmailError::Empty);
    }
    if email.len() > 254 {
        return Err(EmailError::TooLong);
    }
    if email.chars().any(char::is_control) {
        return Err(EmailError::Control);
    }
    Ok(email)
}

/// The account UUID of a normalised e-mail. `generation` is 1 for the first account of that name ever on a
/// server, 2 for the next, …: a UUID once used is never given out again.
pub fn account_uuid(email: &str, generation: u32) -> Uuid {
    if generation <= 1 {
        return Uuid::new_v5(&ACCOUNT_NAMESPACE, email.as_bytes());
    }
    Uuid::new_v5(&ACCOUNT_NAMESPACE, format!("{email}\0{generation}").as_bytes())
}

/// The two UUIDs old clients derive from what a person typed: `[phone, desktop]`.
///
/// The phone lower-cases the e-mail, the desktop client trims it first; they agree for e-mails without outer
/// blanks. The password goes in exactly as typed.
pub fn legacy_device_uuids(typed_email: &str, password: &str) -> [Uuid; 2] {
    let derive =
        |email: String| Uuid::new_v5(&LEGACY_NAMESPACE, format!("{email}:{password}").as_bytes());
    [derive(typed_email.to_lowercase()), derive(typed_email.trim().to_lowercase())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn account_uuids_match_the_published_vectors() {
        let of =
            |typed: &str, generation| account_uuid(&normalise_email(typed), generation).to_string();
        assert_eq!(of("alice@example.com", 1), "0e0ffb54-1dc5-5f79-a254-fe7ab9784646");
        assert_eq!(of("alice@example.com", 2), "8c285f88-cab1-595e-b1c3-d9594975d102");
        assert_eq!(of(" SP@X.org ", 1), "aa993713-6cee-525c-885b-e65b28ed71c6");
        assert_eq!(of("ÄNNE@Example.com", 1), "6023edd5-f681-5420-ba1c-2f44e51e2de5");
    }

    #[test]
    fn legacy_uuids_match_the_published_vectors() {
        let of = |email: &str, password: &str| {
            legacy_device_uuids(email, password).map(|u| u.to_string())
        };
        assert_eq!(
            of("alice@example.com", "CorrectHorse9!"),
            ["27cc13aa-5b6a-5a3b-8f98-42819cef7229"; 2].map(String::from)
        );
        assert_eq!(
            of("bob@example.com", "пароль"),
            ["1f6fd5f7-f386-5012-9e05-fcca984096d4"; 2].map(String::from)
        );
        assert_eq!(
            of("a@b.c", "x:y"),
            ["4fd2d96b-90e2-5128-968f-1e5d5ec56cca"; 2].map(String::from)
        );
        assert_eq!(
            of(" sp@x.org ", "pw"),
            ["94798a1a-9791-5892-8763-958327f4e8af", "98fa1978-aae3-58a0-98bf-4ae22019223b"]
                .map(String::from)
        );
    }

    #[test]
    fn an_email_in_either_unicode_form_names_the_same_account() {
        assert_eq!(normalise_email("A\u{308}nne@x.org"), normalise_email("Änne@x.org"));
    }

    #[test]
    fn unusable_emails_are_refused() {
        assert_eq!(parse_email("  "), Err(EmailError::Empty));
        assert_eq!(parse_email("a\u{7}@b"), Err(EmailError::Control));
        assert_eq!(parse_email(&"a".repeat(255)), Err(EmailError::TooLong));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(typed in "\\PC{0,40}") {
            let once = normalise_email(&typed);
            prop_assert_eq!(normalise_email(&once), once);
        }
    }
}
