//! SHA-256 digests: 32 bytes inside, 64 lower-case hexadecimal digits in JSON, base64 in `Repr-Digest`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of whole bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits of either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads the SHA-256 of a `Repr-Digest` or `Content-Digest` field (RFC 9530 §2), which may list others beside it:
    /// `sha-256=:<base64>:`. `Ok(None)` if SHA-256 is not among them, an error if it is but cannot be read.
    pub fn from_repr_digest(field: &str) -> Result<Option<Self>, BadDigest> {
        for member in field.split(',') {
            let Some((algorithm, value)) = member.trim().split_once('=') else {
                return Err(BadDigest);
            };
            if !algorithm.trim().eq_ignore_ascii_case("sha-256") {
                continue;
            }
            // Parameters may follow a structured value (RFC 8941 §3.1.2); none is defined here.
            let value = value.split(';').next().unwrap_or_default().trim();
            let inner = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
            let bytes = inner.and_then(|text| STANDARD.decode(text).ok()).ok_or(BadDigest)?;
            return Ok(Some(Self(bytes.try_into().map_err(|_| BadDigest)?)));
        }
        Ok(None)
    }

    /// The value of a `Repr-Digest` field.
    pub fn to_repr_digest(self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text)
            .ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal digits of SHA-256"))
    }
}

/// A digest field that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadDigest;

impl std::fmt::Display for BadDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the digest is not of the form sha-256=:<base64 of 32 bytes>:")
    }
}

impl std::error::Error for BadDigest {}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9530, appendix B.1 (the digest of {"hello": "world"} and a line break).
    const FIELD: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn a_digest_field_reads_back_and_others_beside_it_do_not_matter() {
        let digest = Digest::from_repr_digest(FIELD).unwrap().unwrap();
        assert_eq!(digest.to_repr_digest(), FIELD);
        let among = format!("sha-512=:AAAA:, {FIELD}");
        assert_eq!(Digest::from_repr_digest(&among), Ok(Some(digest)));
        assert_eq!(Digest::from_repr_digest("sha-512=:AAAA:"), Ok(None));
    }

    #[test]
    fn a_damaged_digest_field_is_an_error_not_a_missing_one() {
        for field in ["sha-256=:AAAA:", "sha-256=RK/0", "sha-256", "sha-256=:*:", ""] {
            assert_eq!(Digest::from_repr_digest(field), Err(BadDigest), "{field}");
        }
    }
}
