//! The HTTP/1.1 client of the load tools: blocking, one kept-alive connection, written by hand.
//!
//! Client and server share the cores, so the client must cost little: a request goes out in gathered
//! writes straight from the shared buffer, an answer is read into one reused buffer, and there is no
//! event loop. It speaks what the measured servers speak and no more: plain TCP to loopback, answers
//! with a length, in chunks or until close.

use std::fmt::Write as _;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::payload::Content;

/// No single read or write waits longer than this: 120 s.
const STALL_LIMIT: Duration = Duration::from_secs(120);
/// Longest answer that is kept: the unpaged listing is never asked for.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Largest piece handed to the kernel at once.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// What went wrong between request and answer.
#[derive(Debug)]
pub struct HttpError {
    attempt: String,
    source: io::Error,
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not {}", self.attempt)
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An answer: status, head and body.
#[derive(Debug)]
pub struct Answer {
    /// The status number.
    pub status: u16,
    /// Status line and header lines as they came.
    head: String,
    /// The body, freed of chunk framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header field, without blanks around it.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

impl HttpError {
    /// An answer that came whole and does not say what it must.
    pub fn unusable(attempt: String, what: &str) -> Self {
        Self { attempt, source: malformed(what) }
    }
}

/// One connection that is opened again when the server closes it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    /// A connection that is opened by the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, received: Vec::new() }
    }

    /// Opens the connection now, so that a clock started afterwards does not see it.
    pub fn open(&mut self) -> Result<(), HttpError> {
        self.with_attempt(format!("connect to {}", self.address), |me| me.stream().map(|_| ()))
    }

    /// Sends a request without a body.
    pub fn get(&mut self, target: &str, headers: &str) -> Result<Answer, HttpError> {
        self.send("GET", target, headers, None)
    }

    /// Sends a JSON body.
    pub fn post_json(&mut self, target: &str, json: &str) -> Result<Answer, HttpError> {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            self.address,
            json.len()
        );
        self.with_attempt(format!("POST {target}"), |me| {
            me.stream()?.write_all(head.as_bytes())?;
            me.read_answer()
        })
    }

    /// Sends a file; `headers` are whole lines that each end in CR LF.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        content: Option<&Content>,
    ) -> Result<Answer, HttpError> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}", self.address);
        if let Some(content) = content {
            // Writing to a String cannot fail.
            let _ = write!(head, "Content-Length: {}\r\n", content.bytes);
        }
        head.push_str("\r\n");
        self.with_attempt(format!("{method} {target}"), |me| {
            if let Err(failed) = me.write_request(head.as_bytes(), content) {
                // A server that refuses early says so before it closes: prefer its words.
                return me.read_answer().map_err(|_| failed);
            }
            me.read_answer()
        })
    }

    fn with_attempt<T>(
        &mut self,
        attempt: String,
        act: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> Result<T, HttpError> {
        act(self).map_err(|source| {
            self.stream = None;
            HttpError { attempt, source }
        })
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, STALL_LIMIT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(STALL_LIMIT))?;
            stream.set_write_timeout(Some(STALL_LIMIT))?;
            self.received.clear();
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Head, number and first piece leave in one system call; a small file is one packet train.
    fn write_request(&mut self, head: &[u8], content: Option<&Content>) -> io::Result<()> {
        let stream = self.stream()?;
        let Some(content) = content else {
            return stream.write_all(head);
        };
        let number = content.piece(0, WRITE_BYTES);
        let first = content.piece(number.len() as u64, WRITE_BYTES);
        write_gathered(stream, &mut [head, number, first].map(IoSlice::new))?;
        let mut sent_bytes = (number.len() + first.len()) as u64;
        while sent_bytes < content.bytes {
            let piece = content.piece(sent_bytes, WRITE_BYTES);
            stream.write_all(piece)?;
            sent_bytes += piece.len() as u64;
        }
        Ok(())
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        loop {
            let (head, status) = self.read_head()?;
            if (100..200).contains(&status) {
                continue;
            }
            let body = match Framing::of(&head, status)? {
                Framing::Length(bytes) => self.take(bytes)?,
                Framing::Chunked => self.read_chunks()?,
                Framing::UntilClose => self.read_until_close()?,
            };
            if header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            {
                self.stream = None;
            }
            return Ok(Answer { status, head, body });
        }
    }

    fn read_head(&mut self) -> io::Result<(String, u16)> {
        let end = self.fill_until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        self.received.drain(..end);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|number| number.get(..3))
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| malformed("status line"))?;
        Ok((head, status))
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.fill_until(b"\r\n")?;
            let line = String::from_utf8_lossy(&self.received[..end - 2]).into_owned();
            self.received.drain(..end);
            let digits = line.split(';').next().unwrap_or_default().trim();
            let bytes = usize::from_str_radix(digits, 16).map_err(|_| malformed("chunk size"))?;
            let chunk = self.take(bytes)?;
            self.take(2)?;
            if bytes == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn read_until_close(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        self.stream = None;
        Ok(std::mem::take(&mut self.received))
    }

    /// Reads until the mark is there and returns the position behind it.
    fn fill_until(&mut self, mark: &[u8]) -> io::Result<usize> {
        loop {
            let found = self.received.windows(mark.len()).position(|window| window == mark);
            if let Some(start) = found {
                return Ok(start + mark.len());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < bytes {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.received.drain(..bytes).collect())
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.received.len() > ANSWER_LIMIT_BYTES {
            return Err(malformed("length: the answer is too long"));
        }
        let mut piece = [0; 16 * 1024];
        let received = self.stream()?.read(&mut piece)?;
        self.received.extend_from_slice(&piece[..received]);
        Ok(received)
    }
}

enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(head: &str, status: u16) -> io::Result<Self> {
        if status == 204 || status == 304 {
            return Ok(Self::Length(0));
        }
        let encoding = header(head, "transfer-encoding").unwrap_or_default();
        if encoding.eq_ignore_ascii_case("chunked") {
            return Ok(Self::Chunked);
        }
        header(head, "content-length").map_or(Ok(Self::UntilClose), |value| {
            value.parse().map(Self::Length).map_err(|_| malformed("content length"))
        })
    }
}

fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn write_gathered(stream: &mut TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match stream.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("answer with a malformed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves one connection: for each canned answer waits for a blank line, then sends it.
    fn canned(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    connection.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn every_framing_yields_the_body_and_keeps_the_connection() {
        let mut connection = Connection::new(canned(&[
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n2;x\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\nuntil close",
        ]));
        let bodies: Vec<_> = (0..4).map(|_| connection.get("/", "").unwrap()).collect();
        assert_eq!(bodies[0].header("content-LENGTH"), Some("2"));
        let texts: Vec<_> =
            bodies.iter().map(|answer| String::from_utf8_lossy(&answer.body)).collect();
        assert_eq!(texts, ["ab", "cde", "", "until close"]);
        assert!(!bodies[3].is_success());
    }
}
