//! What the header fields of tus mean. Pure: fields in, meaning or a sentence out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::tus::{DIGEST_KEY, FILENAME_KEY, MAX_METADATA_BYTES, read_metadata};
use photosync_protocol::{digest::Digest, names::parse_wire_name};

/// Most parts of one concatenation: as many as fit a request head comfortably.
pub const MAX_PARTS: usize = 256;

/// What an upload is, by `Upload-Concat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concat {
    /// A file of its own.
    Whole,
    /// A piece of a file that is put together later.
    Partial,
    /// The file made of these uploads, in this order.
    Final(Vec<String>),
}

/// Algorithm of `Upload-Checksum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, which every tus server must know.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// Checksum of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// How it was made.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What `Upload-Metadata` says about a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// Name of the file without folders, if it was sent.
    pub name: Option<String>,
    /// Its declared digest.
    pub digest: Option<Digest>,
    /// What the device claims.
    pub claims: Claims,
}

/// A length or an offset: digits only, and no more than a file can have.
pub fn parse_bytes(field: &str) -> Option<u64> {
    let digits = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = field.parse::<u64>().ok().filter(|_| digits)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

/// Whether this can be the id of an upload: 32 lower-case hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `Upload-Concat`: `partial`, or `final;` and the addresses of the parts, as paths or as whole URLs, separated by
/// blanks. `None` if it is neither.
pub fn parse_concat(field: &str, base_path: &str) -> Option<Concat> {
    if field.trim() == "partial" {
        return Some(Concat::Partial);
    }
    let list = field.trim().strip_prefix("final;")?;
    let parts: Option<Vec<String>> =
        list.split_ascii_whitespace().map(|address| part_id(address, base_path)).collect();
    parts.filter(|parts| (1..=MAX_PARTS).contains(&parts.len())).map(Concat::Final)
}

/// The id in `/api/v2/tus/<id>` or `https://any.host/api/v2/tus/<id>`. A host is not compared: a client behind a proxy
/// knows this server by a name that the server does not.
fn part_id(address: &str, base_path: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => address,
    };
    let id = path.strip_prefix(base_path)?.strip_prefix('/')?;
    let id = id.strip_suffix('/').unwrap_or(id);
    is_id(id).then(|| id.to_owned())
}

/// `Upload-Checksum`: algorithm, a blank, base64. `None` if it is not of that form or of an unknown algorithm.
pub fn parse_checksum(field: &str) -> Option<Checksum> {
    let (name, value) = field.trim().split_once(' ')?;
    let (algorithm, length) = match name {
        "sha1" => (Algorithm::Sha1, 20),
        "sha256" => (Algorithm::Sha256, 32),
        _ => return None,
    };
    let bytes = STANDARD.decode(value.trim()).ok()?;
    (bytes.len() == length).then_some(Checksum { algorithm, bytes })
}

/// Reads `Upload-Metadata`; an error is a sentence for the client.
pub fn parse_metadata(field: &str) -> Result<Described, String> {
    if field.len() > MAX_METADATA_BYTES {
        return Err(format!("Upload-Metadata is longer than {MAX_METADATA_BYTES} bytes"));
    }
    let pairs = read_metadata(field)
        .ok_or("Upload-Metadata must be pairs of a key and base64, separated by commas")?;
    let find = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
    let name = match find(FILENAME_KEY).or_else(|| find("name")) {
        Some(bytes) => Some(parse_wire_name(bytes).map_err(|error| error.to_string())?),
        None => None,
    };
    let text = |key: &str| find(key).and_then(|value| String::from_utf8(value.clone()).ok());
    // A key without a value says nothing: some clients send every key they were configured with.
    let digest = match find(DIGEST_KEY).filter(|value| !value.is_empty()) {
        Some(_) => {
            let digest = text(DIGEST_KEY).and_then(|hex| Digest::from_hex(&hex));
            Some(digest.ok_or("the metadata digest must be a SHA-256 in hexadecimal")?)
        }
        None => None,
    };
    let claims = Claims::read(text).map_err(|error| error.to_string())?;
    Ok(Described { name, digest, claims })
}

/// Whether bytes at `offset` continue an upload of which `held_bytes` are here. The one rule that keeps every byte in
/// its place.
pub fn continues(offset: u64, held_bytes: u64) -> bool {
    offset == held_bytes
}

/// How many more bytes an upload takes; `None` while its length is not known.
pub fn room(length_bytes: Option<u64>, held_bytes: u64) -> Option<u64> {
    length_bytes.map(|length| length.saturating_sub(held_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::v2::tus::write_metadata;
    use proptest::prelude::*;

    const BASE: &str = "/api/v2/tus";

    #[test]
    fn lengths_are_digits_and_fit_a_file() {
        for (field, bytes) in [("0", Some(0)), ("9223372036854775807", Some(i64::MAX as u64))] {
            assert_eq!(parse_bytes(field), bytes);
        }
        for field in ["", "-1", "+1", " 1", "1 ", "0x1", "9223372036854775808", "1,1", "١"] {
            assert_eq!(parse_bytes(field), None, "{field}");
        }
    }

    #[test]
    fn parts_are_named_by_path_or_url_and_keep_their_order() {
        let (a, b) = ("a".repeat(32), "0".repeat(32));
        let field = format!("final;{BASE}/{a} https://photos.example:3000{BASE}/{b}/");
        assert_eq!(parse_concat(&field, BASE), Some(Concat::Final(vec![a.clone(), b])));
        assert_eq!(parse_concat("partial", BASE), Some(Concat::Partial));
        for field in [
            "final;",
            "final",
            "whole",
            "",
            "final;/elsewhere/a",
            &format!("final;{BASE}/../{a}"),
            &format!("final;{BASE}/{a} {BASE}/short"),
            &format!("final;https://host-without-path{a}"),
        ] {
            assert_eq!(parse_concat(field, BASE), None, "{field}");
        }
    }

    #[test]
    fn a_checksum_is_one_of_two_algorithms_and_of_its_length() {
        let sha1 = parse_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert_eq!((sha1.algorithm, sha1.bytes.len()), (Algorithm::Sha1, 20));
        for field in ["md5 AAAA", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1", "sha1 !", ""] {
            assert_eq!(parse_checksum(field), None, "{field}");
        }
    }

    #[test]
    fn metadata_names_the_file_and_its_digest() {
        let hex = "ab".repeat(32);
        let field = write_metadata([
            ("filename", "DCIM/Über.jpg".as_bytes()),
            ("digest", hex.as_bytes()),
            ("folder", b"DCIM"),
        ]);
        let described = parse_metadata(&field).unwrap();
        assert_eq!(described.name.as_deref(), Some("Über.jpg"));
        assert_eq!(described.digest, Digest::from_hex(&hex));
        assert_eq!(described.claims.folder.as_deref(), Some("DCIM"));
        assert!(parse_metadata(&write_metadata([("digest", &b"abc"[..])])).is_err());
        let unsaid = parse_metadata(&write_metadata([("digest", &b""[..])])).unwrap();
        assert_eq!(unsaid.digest, None);
        assert!(parse_metadata(&write_metadata([("favourite", &b"maybe"[..])])).is_err());
        assert!(parse_metadata("filename !").is_err());
        assert_eq!(parse_metadata("").unwrap(), Described::default());
    }

    proptest! {
        #[test]
        fn no_field_panics_and_every_final_reads_back(
            junk in "\\PC{0,80}",
            ids in proptest::collection::vec("[0-9a-f]{32}", 1..9),
            hosts in any::<bool>(),
        ) {
            let _ = (parse_bytes(&junk), parse_checksum(&junk), parse_metadata(&junk));
            let _ = parse_concat(&junk, BASE);
            let _ = parse_concat(&format!("final;{junk}"), BASE);
            let host = if hosts { "http://h" } else { "" };
            let list: Vec<String> = ids.iter().map(|id| format!("{host}{BASE}/{id}")).collect();
            let field = format!("final;{}", list.join(" "));
            prop_assert_eq!(parse_concat(&field, BASE), Some(Concat::Final(ids)));
        }

        #[test]
        fn every_checksum_reads_back(bytes in proptest::collection::vec(any::<u8>(), 32)) {
            let read = parse_checksum(&format!("sha256 {}", STANDARD.encode(&bytes)));
            prop_assert_eq!(read, Some(Checksum { algorithm: Algorithm::Sha256, bytes }));
        }

        #[test]
        fn bytes_are_taken_only_where_the_file_ends(offset in any::<u64>(), held in any::<u64>()) {
            prop_assert_eq!(continues(offset, held), offset == held);
            prop_assert_eq!(room(None, held), None);
            let more = room(Some(offset), held).unwrap();
            prop_assert_eq!(held.saturating_add(more), offset.max(held));
        }
    }
}
