//! Answers with the bytes of a file: whole, or one range that was asked for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use headers::{HeaderMapExt, IfModifiedSince, Range};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use photosync_protocol::error::ErrorCode;

use crate::clock::system_time;
use crate::error::{Error, Result};

/// Bytes read from disk at once: few system calls, little memory for a slow client.
const PIECE_BYTES: u64 = 256 * 1024;

/// Characters RFC 8187 allows unescaped in a `filename*`.
const UNESCAPED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b'!').remove(b'+');

/// A file that is answered with.
pub struct FileAnswer {
    /// The open file.
    pub file: File,
    /// Where the answer begins in it: 0, unless a part of it is the whole that is told.
    pub first_byte: u64,
    /// Length of what is told.
    pub size_bytes: u64,
    /// Media type.
    pub media_type: String,
    /// Name for saving it, if it has one.
    pub name: Option<String>,
    /// Unix milliseconds.
    pub modified_ms: i64,
    /// Strong entity tag without quotes: the hex digest.
    pub tag: String,
}

/// Builds the answer: 200, or 206/304/416 if and only if the request asks for it.
pub fn answer(request: &HeaderMap, found: FileAnswer) -> Result<Response> {
    let modified = system_time(found.modified_ms / 1000 * 1000);
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0"));
    let tag = format!("\"{}\"", found.tag);
    insert(&mut headers, header::ETAG, &tag);
    insert(&mut headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));

    let not_modified =
        match request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) {
            Some(tags) => tags
                .split(',')
                .any(|candidate| matches!(candidate.trim(), "*") || candidate.trim() == tag),
            None => request
                .typed_get::<IfModifiedSince>()
                .is_some_and(|since| !since.is_modified(modified)),
        };
    if not_modified {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    insert(&mut headers, header::CONTENT_TYPE, &found.media_type);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(name) = &found.name {
        insert(&mut headers, header::CONTENT_DISPOSITION, &disposition(name));
    }

    let wanted = match wanted_range(request, &tag, modified, found.size_bytes) {
        Ok(wanted) => wanted,
        // RFC 9110 §15.5.17: says how long the file is, so that a resuming client can ask again.
        Err(error) => {
            let mut response = error.into_response();
            let length = format!("bytes */{}", found.size_bytes);
            insert(response.headers_mut(), header::CONTENT_RANGE, &length);
            return Ok(response);
        }
    };
    let (start, length, status) = match wanted {
        Some((start, end)) => {
            insert(
                &mut headers,
                header::CONTENT_RANGE,
                &format!("bytes {start}-{end}/{}", found.size_bytes),
            );
            (start, end - start + 1, StatusCode::PARTIAL_CONTENT)
        }
        None => (0, found.size_bytes, StatusCode::OK),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok((status, headers, stream_file(found.file, found.first_byte + start, length)).into_response())
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Values are made of escaped names, dates and numbers: none can be refused, and a missing header is no harm.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `attachment` with the name in plain ASCII and, where that loses something, in RFC 8187 form.
pub fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '?' }
        })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        utf8_percent_encode(name, &UNESCAPED)
    )
}

/// First and last byte of the one range that was asked for and is still about this file; `None` for the whole file.
/// Several ranges are answered with the whole file, as RFC 9110 §14.2 allows.
fn wanted_range(
    request: &HeaderMap,
    tag: &str,
    modified: std::time::SystemTime,
    size_bytes: u64,
) -> Result<Option<(u64, u64)>> {
    let Some(range) = request.typed_get::<Range>() else { return Ok(None) };
    if let Some(condition) = request.get(header::IF_RANGE).and_then(|value| value.to_str().ok()) {
        let same_date = httpdate::parse_http_date(condition).is_ok_and(|date| date == modified);
        if condition != tag && !same_date {
            return Ok(None);
        }
    }
    let text = request.get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !text.starts_with("bytes=") || text.contains(',') {
        return Ok(None);
    }
    let satisfiable = range.satisfiable_ranges(size_bytes).next().and_then(|bounds| {
        let start = match bounds.0 {
            std::ops::Bound::Included(start) => start,
            _ => 0,
        };
        let end = match bounds.1 {
            std::ops::Bound::Included(end) => end.min(size_bytes.checked_sub(1)?),
            _ => size_bytes.checked_sub(1)?,
        };
        (start <= end).then_some((start, end))
    });
    match satisfiable {
        Some(range) => Ok(Some(range)),
        None => Err(Error::new(ErrorCode::RangeNotSatisfiable, "the range lies outside the file")
            .with("sizeBytes", size_bytes)),
    }
}

/// The bytes `start..start+length`, read as fast as the client takes them. A file that turns out shorter ends the
/// connection, so that nobody takes a part for the whole.
fn stream_file(file: File, start: u64, length: u64) -> Body {
    let pieces = stream::try_unfold((Some(file), start, length), |(file, at, left)| async move {
        let Some(file) = file.filter(|_| left > 0) else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || read_piece(file, at, left.min(PIECE_BYTES)));
        let (file, piece) = read.await.map_err(std::io::Error::other)??;
        let (at, left) = (at + piece.len() as u64, left - piece.len() as u64);
        Ok::<_, std::io::Error>(Some((piece, (Some(file), at, left))))
    });
    Body::from_stream(pieces)
}

fn read_piece(mut file: File, at: u64, wanted: u64) -> std::io::Result<(File, Bytes)> {
    crate::fault::point("read")?;
    file.seek(SeekFrom::Start(at))?;
    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<Option<(u64, u64)>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, text.parse().unwrap());
        wanted_range(&headers, "\"t\"", std::time::UNIX_EPOCH, 100)
    }

    #[test]
    fn one_range_is_served_and_nonsense_is_the_whole_file_or_an_error() {
        assert_eq!(range("bytes=0-0").unwrap(), Some((0, 0)));
        assert_eq!(range("bytes=10-").unwrap(), Some((10, 99)));
        assert_eq!(range("bytes=-5").unwrap(), Some((95, 99)));
        assert_eq!(range("bytes=90-500").unwrap(), Some((90, 99)));
        assert_eq!(range("bytes=0-1,5-6").unwrap(), None);
        assert_eq!(range("lines=1-2").unwrap(), None);
        assert!(range("bytes=100-").is_err());
    }

    #[test]
    fn names_in_headers_cannot_break_out() {
        assert_eq!(disposition("a b.jpg"), "attachment; filename=\"a b.jpg\"");
        let evil = disposition("x\"\r\nSet-Cookie: a=b 😀.jpg");
        assert!(!evil.contains('\r') && !evil.contains('\n'));
        assert!(evil.contains("filename*=UTF-8''x%22%0D%0ASet"));
    }
}
