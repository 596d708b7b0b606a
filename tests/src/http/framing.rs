//! Reads heads and bodies of HTTP/1.1 answers. Called by the client only. Every size is bounded before it is
//! believed, and a body that ends early is an error, never a short success.

use std::io::{self, BufRead, Read, Write};

use super::{COPY_BYTES, Head, HttpError};

/// Longest head accepted.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How the end of a body is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(super) fn of(head: &Head, answers_head: bool) -> io::Result<Framing> {
        if answers_head || matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(Framing::Empty);
        }
        let encoding = head.header("transfer-encoding").map(str::to_ascii_lowercase);
        match (encoding.as_deref().map(str::trim), head.header("content-length")) {
            (Some("chunked"), None) => Ok(Framing::Chunked),
            (Some(_), _) => {
                Err(invalid("a transfer encoding other than chunked, or one with a length"))
            }
            (None, None) => Ok(Framing::UntilClose),
            (None, Some(text)) => {
                let length = text.trim().parse();
                length
                    .map(Framing::Length)
                    .map_err(|_| invalid(&format!("Content-Length {text:?}")))
            }
        }
    }
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// One status line with its headers, interim answers included.
pub(super) fn read_head(reader: &mut dyn BufRead) -> io::Result<Head> {
    let mut budget = MAX_HEAD_BYTES;
    let status_line = read_line(reader, &mut budget)?;
    let shown = String::from_utf8_lossy(&status_line).into_owned();
    let mut words = shown.splitn(3, ' ');
    let is_http = words.next() == Some("HTTP/1.1");
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    let (true, Some(status)) = (is_http, status) else {
        return Err(invalid(&format!("the status line {shown:?}")));
    };
    let mut head = Head { status, headers: Vec::new() };
    loop {
        let line = read_line(reader, &mut budget)?;
        if line.is_empty() {
            return Ok(head);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err(invalid(&format!("the header {:?}", String::from_utf8_lossy(&line))));
        };
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        head.headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

/// A line without its CR LF; `budget` shrinks by what was read.
fn read_line(reader: &mut dyn BufRead, budget: &mut usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let limit = *budget as u64 + 1;
    let count = reader.take(limit).read_until(b'\n', &mut line)?;
    if count > *budget {
        return Err(invalid("a head longer than 64 KiB"));
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in a head"));
    }
    *budget -= count;
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Copies exactly `length_bytes`; fewer is an error.
pub(super) fn copy_exactly(
    reader: &mut dyn BufRead,
    length_bytes: u64,
    sink: &mut dyn Write,
) -> Result<(), HttpError> {
    let mut piece = vec![0; COPY_BYTES];
    let mut left = length_bytes;
    while left > 0 {
        let want = COPY_BYTES.min(usize::try_from(left).unwrap_or(COPY_BYTES));
        let count = reader.read(&mut piece[..want]).map_err(HttpError::receiving)?;
        if count == 0 {
            let message = format!("the body ended {left} bytes early");
            return Err(HttpError::Receive(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
        sink.write_all(&piece[..count]).map_err(HttpError::Local)?;
        left -= count as u64;
    }
    Ok(())
}

/// Copies a chunked body and reads past its trailers.
pub(super) fn read_chunked(
    reader: &mut dyn BufRead,
    sink: &mut dyn Write,
) -> Result<(), HttpError> {
    loop {
        let mut budget = MAX_HEAD_BYTES;
        let line = read_line(reader, &mut budget).map_err(HttpError::receiving)?;
        let shown = String::from_utf8_lossy(&line).into_owned();
        let digits = shown.split(';').next().unwrap_or_default().trim();
        let Ok(length_bytes) = u64::from_str_radix(digits, 16) else {
            return Err(HttpError::Malformed(format!("the chunk size {shown:?}")));
        };
        if length_bytes == 0 {
            return skip_trailers(reader).map_err(HttpError::receiving);
        }
        copy_exactly(reader, length_bytes, sink)?;
        if !read_line(reader, &mut budget).map_err(HttpError::receiving)?.is_empty() {
            return Err(HttpError::Malformed("a chunk longer than its size".to_owned()));
        }
    }
}

fn skip_trailers(reader: &mut dyn BufRead) -> io::Result<()> {
    let mut budget = MAX_HEAD_BYTES;
    while !read_line(reader, &mut budget)?.is_empty() {}
    Ok(())
}

/// Copies until the server closes the connection.
pub(super) fn copy_until_end(
    reader: &mut dyn BufRead,
    sink: &mut dyn Write,
) -> Result<(), HttpError> {
    let mut piece = vec![0; COPY_BYTES];
    loop {
        match reader.read(&mut piece).map_err(HttpError::receiving)? {
            0 => return Ok(()),
            count => sink.write_all(&piece[..count]).map_err(HttpError::Local)?,
        }
    }
}
