//! tus 1.0.0 (the resumable upload protocol) as this server speaks it, at `/api/v2/tus`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The only version, as in `Tus-Resumable`.
pub const VERSION: &str = "1.0.0";
/// Extensions of this server, as in `Tus-Extension`.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";
/// Algorithms of `Upload-Checksum`.
pub const CHECKSUM_ALGORITHMS: &str = "sha1,sha256";
/// Media type of every `PATCH`.
pub const PATCH_TYPE: &str = "application/offset+octet-stream";
/// Status of a piece whose checksum is wrong.
pub const CHECKSUM_MISMATCH_STATUS: u16 = 460;
/// Metadata key of the whole file's SHA-256 in hexadecimal. With it, creating the same upload again finds the one begun.
pub const DIGEST_KEY: &str = "digest";
/// Metadata key of the file's name; `name` is read too.
pub const FILENAME_KEY: &str = "filename";
/// Longest `Upload-Metadata` field.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;

/// `Upload-Metadata`: comma-separated pairs of a key and base64 text. `None` if it is not of that form. Values may be
/// any bytes.
pub fn read_metadata(field: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for pair in field.split(',').map(str::trim) {
        if pair.is_empty() && field.trim().is_empty() {
            continue;
        }
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let fits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || pairs.iter().any(|(known, _)| known == key) {
            return None;
        }
        pairs.push((key.to_owned(), STANDARD.decode(value.trim()).ok()?));
    }
    Some(pairs)
}

/// Writes what [`read_metadata`] reads.
pub fn write_metadata<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let texts: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_back_whatever_its_bytes() {
        let pairs: [(&str, &[u8]); 3] =
            [("filename", "Über 🏖.jpg".as_bytes()), ("empty", b""), ("raw", &[0, 255])];
        let read = read_metadata(&write_metadata(pairs)).unwrap();
        assert!(read.iter().map(|(k, v)| (k.as_str(), v.as_slice())).eq(pairs));
        // A key alone is a key with an empty value.
        assert_eq!(read_metadata("is_private").unwrap(), [("is_private".to_owned(), vec![])]);
        assert_eq!(read_metadata("").unwrap(), []);
    }

    #[test]
    fn damaged_metadata_is_refused() {
        for field in ["filename !!!", "a YQ==,a YQ==", "a YQ==,,b YQ==", ",", "é YQ=="] {
            assert_eq!(read_metadata(field), None, "{field}");
        }
    }
}
