//! Multipart forms: parts one after the other, their names read from the header's bytes.
//!
//! A form that was cut off is an error at the part that it was cut off in, so half a file is never a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use photosync_protocol::error::ErrorCode;

use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{broken_body, too_large, with_idle_limit};
use crate::uploads::{Stage, Staged};

/// Bytes given to the form's parser at once.
const BURST_BYTES: usize = 512 * 1024;
/// Bytes read without finding a part's beginning or giving out any of its content: far above what two network reads
/// and a head need, small enough that a form without end costs nothing.
const MAX_HEAD_BYTES: usize = 2 * 1024 * 1024;

/// The bytes of the wanted part and its name as it came on the wire.
pub struct FilePart {
    /// The bytes, synced.
    pub staged: Staged,
    /// Raw bytes of the `filename` parameter; empty if there is none.
    pub file_name: Vec<u8>,
}

/// A form that is being read.
pub struct Form {
    parts: Multipart,
    unread: Arc<AtomicUsize>,
}

impl Form {
    /// Begins to read a body, which must say that it is a form.
    pub async fn open(app: &App, headers: &HeaderMap, body: Body) -> Result<Self> {
        let unread = Arc::new(AtomicUsize::new(0));
        let pieces = in_bursts(with_idle_limit(body, app.config.body_idle), unread.clone());
        let mut request = Request::new(Body::from_stream(pieces));
        *request.headers_mut() = headers.clone();
        // The limits are ours: originals have none but the disk.
        DefaultBodyLimit::disable().apply(&mut request);
        let parts = Multipart::from_request(request, &()).await.map_err(|source| {
            Error::bad_request("the body must be multipart/form-data with a boundary")
                .caused_by(source)
        })?;
        Ok(Self { parts, unread })
    }

    /// The next part, once the one before was read to its end. `None` only behind the closing boundary.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>> {
        let field = self.parts.next_field().await.map_err(|source| broken_form(&source))?;
        self.unread.store(0, Ordering::Relaxed);
        Ok(field.map(|field| {
            let Disposition { name, file_name } = Disposition::parse(field.headers());
            Part { field, unread: self.unread.clone(), name, file_name }
        }))
    }
}

/// One part of a form.
pub struct Part<'a> {
    field: Field<'a>,
    unread: Arc<AtomicUsize>,
    /// Raw bytes of the `name` parameter.
    pub name: Vec<u8>,
    /// Raw bytes of the `filename` parameter; empty if there is none.
    pub file_name: Vec<u8>,
}

impl Part<'_> {
    /// The next bytes of the part; `None` at its end.
    pub async fn chunk(&mut self, app: &App) -> Result<Option<Bytes>> {
        let piece = self.field.chunk().await.map_err(|source| broken_form(&source))?;
        self.unread.store(0, Ordering::Relaxed);
        app.metrics.received_bytes.inc_by(piece.as_ref().map_or(0, Bytes::len) as u64);
        Ok(piece)
    }

    /// Reads what is left of the part and forgets it.
    pub async fn skip(&mut self, app: &App) -> Result<()> {
        while self.chunk(app).await?.is_some() {}
        Ok(())
    }
}

/// Streams the file part called `wanted` into `stage`; `None` if there is no such part. The form is read to its very end
/// before anything is finished.
pub async fn stage_file_part(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    wanted: &str,
    stage: Stage,
    max_bytes: u64,
) -> Result<Option<FilePart>> {
    let mut form = Form::open(app, headers, body).await?;
    let mut stage = Some(stage);
    let mut found = None;
    // A form without its closing boundary is noticed by asking for one more part.
    while let Some(mut part) = form.next().await? {
        let is_wanted = part.name == wanted.as_bytes();
        let mut taken = if is_wanted { stage.take() } else { None };
        if is_wanted && taken.is_none() {
            return Err(Error::bad_request("the form has more than one file"));
        }
        while let Some(piece) = part.chunk(app).await? {
            if let Some(stage) = &mut taken {
                stage.push(piece).await?;
                if stage.received_bytes() > max_bytes {
                    return Err(too_large(max_bytes));
                }
            }
        }
        if let Some(stage) = taken {
            found = Some((stage, part.file_name));
        }
    }
    match found {
        Some((stage, file_name)) => Ok(Some(FilePart { staged: stage.seal().await?, file_name })),
        None => Ok(None),
    }
}

/// Passes a body on in bursts, counting bytes in `unread`.
///
/// The form's parser takes everything that is ready before it gives anything out; a fast client would make it hold
/// megabytes. So after each burst it is told that nothing is ready for a moment.
fn in_bursts<S>(
    mut body: S,
    unread: Arc<AtomicUsize>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let mut burst_bytes = 0;
    stream::poll_fn(move |cx| {
        if burst_bytes >= BURST_BYTES {
            burst_bytes = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(piece) = body.poll_next_unpin(cx) else {
            burst_bytes = 0;
            return Poll::Pending;
        };
        let Some(Ok(bytes)) = &piece else { return Poll::Ready(piece) };
        burst_bytes += bytes.len();
        if unread.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > MAX_HEAD_BYTES {
            let endless =
                std::io::Error::new(std::io::ErrorKind::InvalidData, "a part's head has no end");
            return Poll::Ready(Some(Err(endless)));
        }
        Poll::Ready(piece)
    })
}

fn broken_form(error: &axum::extract::multipart::MultipartError) -> Error {
    let broken = broken_body(error);
    if broken.code == ErrorCode::Timeout {
        return broken;
    }
    Error::new(
        ErrorCode::BodyIncomplete,
        "the form ended before it was complete, or is none; nothing was stored",
    )
    .caused_by(crate::error::Context(error.body_text()))
}

/// What a part says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Disposition {
    name: Vec<u8>,
    file_name: Vec<u8>,
}

impl Disposition {
    fn parse(headers: &HeaderMap) -> Self {
        let bytes =
            headers.get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes).unwrap_or_default();
        let mut parsed = Self::default();
        let mut extended = None;
        for (name, value) in parameters(bytes) {
            match name.as_slice() {
                b"name" => parsed.name = value,
                b"filename" => parsed.file_name = value,
                // `UTF-8''na%20me`: the part after the second quote, still escaped.
                b"filename*" => {
                    extended = value.splitn(3, |byte| *byte == b'\'').nth(2).map(<[u8]>::to_vec)
                }
                _ => {}
            }
        }
        if parsed.file_name.is_empty() {
            parsed.file_name = extended.unwrap_or_default();
        }
        parsed
    }
}

/// `form-data; name="file"; filename="a.jpg"` → name and value pairs, names in lower case, quotes and backslash
/// escapes resolved. Values are bytes: old clients send Latin-1 and UTF-8.
fn parameters(header: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let Some(first) = header.iter().position(|byte| *byte == b';') else { return found };
    let mut rest = &header[first + 1..];
    while let Some(equals) = rest.iter().position(|byte| *byte == b'=') {
        let name = rest[..equals].trim_ascii().to_ascii_lowercase();
        let mut value = Vec::new();
        let mut bytes = rest[equals + 1..].iter().copied().enumerate();
        let quoted = rest.get(equals + 1) == Some(&b'"');
        if quoted {
            bytes.next();
        }
        let mut end = rest.len();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                // Only an escaped quote or backslash is an escape: browsers leave Windows paths as they are.
                b'\\' if quoted && matches!(rest.get(equals + at + 2), Some(b'"' | b'\\')) => {
                    value.extend(bytes.next().map(|(_, escaped)| escaped));
                }
                b'"' if quoted => {
                    let after = equals + at + 2;
                    let next = rest[after..].iter().position(|byte| *byte == b';');
                    end = next.map_or(rest.len(), |next| after + next + 1);
                    break;
                }
                b';' if !quoted => {
                    end = equals + at + 2;
                    break;
                }
                byte => value.push(byte),
            }
        }
        if !quoted {
            value = value.trim_ascii().to_vec();
        }
        found.push((name, value));
        rest = &rest[end.min(rest.len())..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &[u8]) -> (String, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_bytes(header).unwrap());
        let parsed = Disposition::parse(&headers);
        (String::from_utf8(parsed.name).unwrap(), parsed.file_name)
    }

    #[test]
    fn names_come_from_the_bytes_whatever_their_order_and_encoding() {
        assert_eq!(
            parse(b"form-data; name=\"file\"; filename=\"a b.jpg\""),
            ("file".into(), b"a b.jpg".to_vec())
        );
        assert_eq!(
            parse(b"form-data; filename=\"caf\xE9.jpg\"; name=file"),
            ("file".into(), b"caf\xE9.jpg".to_vec())
        );
        assert_eq!(
            parse(b"form-data; filename*=UTF-8''%41.jpg; filename=\"x;y.jpg\"; name=\"file\""),
            ("file".into(), b"x;y.jpg".to_vec())
        );
        assert_eq!(
            parse(b"form-data; name=\"file\"; filename*=UTF-8''%41.jpg"),
            ("file".into(), b"%41.jpg".to_vec())
        );
        assert_eq!(
            parse(b"form-data; name=\"file\"; filename=\"a\\\"b.jpg\""),
            ("file".into(), b"a\"b.jpg".to_vec())
        );
        assert_eq!(parse(b"form-data"), (String::new(), Vec::new()));
        assert_eq!(parse(b"form-data; name=\"file"), ("file".into(), Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(bytes in proptest::collection::vec(0x20u8..=0xff, 0..60)) {
            let _ = parameters(&bytes);
        }
    }
}
