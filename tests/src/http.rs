//! A small blocking HTTP/1.1 client for tests. It writes requests exactly as they are described (header order,
//! letter case and raw bytes included), because the server must be met the way old clients meet it.
//!
//! The one rule: nothing is added but `Host` and the header that frames the body, and nothing is repaired. A
//! redirect, an unasked-for compression or a wrong length comes back to the caller as it is.

mod framing;

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use framing::{Framing, copy_exactly, read_chunked, read_head};

/// Bytes moved per read or write of a streamed body.
const COPY_BYTES: usize = 64 * 1024;

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the TCP connection stands.
    pub connect: Duration,
    /// Longest silence while sending or receiving.
    pub idle: Duration,
    /// From the first byte sent to the last byte received; `None` for no limit.
    pub whole: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Some(Duration::from_secs(300)),
        }
    }
}

/// What follows the request's head.
pub enum Body<'a> {
    /// Nothing, and no header that says so (`GET`).
    None,
    /// `Content-Length` and these bytes; an empty slice sends `Content-Length: 0`.
    Bytes(&'a [u8]),
    /// `Content-Length: length_bytes`, read from a stream that must hold exactly as many.
    Sized {
        /// Announced length.
        length_bytes: u64,
        /// Where the bytes come from.
        reader: &'a mut dyn Read,
    },
    /// `Transfer-Encoding: chunked`, one chunk per read.
    Chunked {
        /// Where the bytes come from.
        reader: &'a mut dyn Read,
    },
}

/// One request, sent byte for byte as described.
pub struct Request<'a> {
    method: &'a str,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Body<'a>,
    expect_continue: bool,
}

impl<'a> Request<'a> {
    /// A request without a body. `target` goes out unescaped.
    pub fn new(method: &'a str, target: impl Into<Vec<u8>>) -> Self {
        let target = target.into();
        Request { method, target, headers: Vec::new(), body: Body::None, expect_continue: false }
    }

    /// Adds a header; the value may hold any byte but CR and LF.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds several headers in order.
    pub fn headers(mut self, headers: &[(String, String)]) -> Self {
        for (name, value) in headers {
            self.headers.push((name.clone(), value.clone().into_bytes()));
        }
        self
    }

    /// Sets the body; the framing header is added after the given headers.
    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }

    /// Sends `Expect: 100-continue` and holds the body back until the server asks for it. A final answer
    /// instead of the 100 is returned and the body is never sent.
    pub fn expect_continue(mut self) -> Self {
        self.expect_continue = true;
        self
    }

    fn head_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(self.method.as_bytes());
        head.push(b' ');
        head.extend_from_slice(&self.target);
        head.extend_from_slice(b" HTTP/1.1\r\n");
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        if self.expect_continue {
            head.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        let framing = match &self.body {
            Body::None => String::new(),
            Body::Bytes(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
            Body::Sized { length_bytes, .. } => format!("Content-Length: {length_bytes}\r\n"),
            Body::Chunked { .. } => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        head.extend_from_slice(framing.as_bytes());
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Status line and headers of an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// For example 200.
    pub status: u16,
    /// In the order received, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The first header of this name (any letter case), when it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first header of this name (any letter case), byte for byte.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }
}

/// A whole answer, body in memory.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status and headers.
    pub head: Head,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// For example 200.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// See [`Head::header`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value, HttpError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| HttpError::Malformed(format!("a body that is not JSON: {}", self.text())))
    }

    /// The first 400 characters of the body, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(400).collect()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpError {
    /// The connection could not be opened.
    Connect(SocketAddr, io::Error),
    /// The request could not be sent, and no answer explained why.
    Send(io::Error),
    /// The answer stopped before it was whole.
    Receive(io::Error),
    /// Reading the request's body, or writing the answer's body, failed on this side.
    Local(io::Error),
    /// The peer was silent for too long, or the whole took too long.
    TimedOut(&'static str),
    /// What came is not HTTP/1.1 as this client knows it.
    Malformed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Connect(address, source) => {
                write!(out, "could not connect to {address}: {source}")
            }
            HttpError::Send(source) => write!(out, "could not send the request: {source}"),
            HttpError::Receive(source) => write!(out, "could not receive the answer: {source}"),
            HttpError::Local(source) => write!(out, "could not read or write the body: {source}"),
            HttpError::TimedOut(what) => write!(out, "timed out while {what}"),
            HttpError::Malformed(what) => write!(out, "received {what}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl HttpError {
    fn sending(source: io::Error) -> Self {
        match is_timeout(&source) {
            true => HttpError::TimedOut("sending the request"),
            false => HttpError::Send(source),
        }
    }

    fn receiving(source: io::Error) -> Self {
        match source.kind() {
            _ if is_timeout(&source) => HttpError::TimedOut("waiting for the answer"),
            io::ErrorKind::InvalidData => HttpError::Malformed(source.to_string()),
            _ => HttpError::Receive(source),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// One client with at most one open connection, which is kept and used again while the server allows it.
pub struct Client {
    address: SocketAddr,
    host: String,
    timeouts: Timeouts,
    connection: Option<BufReader<Timed>>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(address: SocketAddr) -> Self {
        Self::with_timeouts(address, Timeouts::default())
    }

    /// As [`Client::new`], with other time-outs.
    pub fn with_timeouts(address: SocketAddr, timeouts: Timeouts) -> Self {
        Client { address, host: address.to_string(), timeouts, connection: None }
    }

    /// Sends a request and returns the answer with its body in memory.
    pub fn send(&mut self, request: Request<'_>) -> Result<Answer, HttpError> {
        let mut body = Vec::new();
        let head = self.send_into(request, &mut body)?;
        Ok(Answer { head, body })
    }

    /// Sends a request and writes the answer's body to `sink` as it arrives.
    ///
    /// After an error the connection is given up, and `sink` may hold a part of the body.
    pub fn send_into(
        &mut self,
        mut request: Request<'_>,
        sink: &mut dyn Write,
    ) -> Result<Head, HttpError> {
        let mut connection = match self.connection.take() {
            Some(kept) if kept.get_ref().is_still_open() => kept,
            _ => self.connect()?,
        };
        connection.get_mut().deadline = self.timeouts.whole.map(|whole| Instant::now() + whole);
        let body_was_sent = self.send_request(&mut connection, &mut request);
        let early_end = match body_was_sent {
            Ok(early_head) => early_head,
            // A server that refuses a body answers and closes; the answer says more than the broken pipe.
            Err(HttpError::Send(source)) => match read_final_head(&mut connection) {
                Ok(head) => Some((head, true)),
                Err(_) => return Err(HttpError::Send(source)),
            },
            Err(other) => return Err(other),
        };
        let (head, give_up_connection) = match early_end {
            Some(early) => early,
            None => (read_final_head(&mut connection).map_err(HttpError::receiving)?, false),
        };
        let ends_connection = match Framing::of(&head, request.method == "HEAD") {
            Ok(framing) => self.receive_body(&mut connection, framing, sink)?,
            Err(source) => return Err(HttpError::receiving(source)),
        };
        let closes = head
            .header("connection")
            .is_some_and(|value| value.to_ascii_lowercase().contains("close"));
        if !closes && !ends_connection && !give_up_connection {
            self.connection = Some(connection);
        }
        Ok(head)
    }

    /// Whether a connection is kept for the next request.
    pub fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|kept| kept.get_ref().is_still_open())
    }

    fn connect(&self) -> Result<BufReader<Timed>, HttpError> {
        let connected = TcpStream::connect_timeout(&self.address, self.timeouts.connect)
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = connected.map_err(|source| HttpError::Connect(self.address, source))?;
        let timed = Timed { stream, idle: self.timeouts.idle, deadline: None };
        Ok(BufReader::with_capacity(COPY_BYTES, timed))
    }

    /// Sends head and body. `Some(head, true)` when a final answer came instead of `100 Continue`.
    fn send_request(
        &self,
        connection: &mut BufReader<Timed>,
        request: &mut Request<'_>,
    ) -> Result<Option<(Head, bool)>, HttpError> {
        let head = request.head_bytes(&self.host);
        // A small body travels with its head, as every common HTTP stack sends it.
        if let (Body::Bytes(bytes), false) = (&request.body, request.expect_continue)
            && bytes.len() <= COPY_BYTES
        {
            let together = [head.as_slice(), bytes].concat();
            connection.get_mut().write_all(&together).map_err(HttpError::sending)?;
            return Ok(None);
        }
        connection.get_mut().write_all(&head).map_err(HttpError::sending)?;
        if request.expect_continue {
            let interim = read_head(connection).map_err(HttpError::receiving)?;
            if interim.status != 100 {
                return Ok(Some((interim, true)));
            }
        }
        let stream = connection.get_mut();
        match &mut request.body {
            Body::None => {}
            Body::Bytes(bytes) => stream.write_all(bytes).map_err(HttpError::sending)?,
            Body::Sized { length_bytes, reader } => send_sized(stream, *length_bytes, *reader)?,
            Body::Chunked { reader } => send_chunked(stream, *reader)?,
        }
        Ok(None)
    }

    /// Returns true when the end of the body was the end of the connection.
    fn receive_body(
        &self,
        connection: &mut BufReader<Timed>,
        framing: Framing,
        sink: &mut dyn Write,
    ) -> Result<bool, HttpError> {
        match framing {
            Framing::Empty => Ok(false),
            Framing::Length(length_bytes) => {
                copy_exactly(connection, length_bytes, sink)?;
                Ok(false)
            }
            Framing::Chunked => read_chunked(connection, sink).map(|()| false),
            Framing::UntilClose => {
                framing::copy_until_end(connection, sink)?;
                Ok(true)
            }
        }
    }
}

/// Sends these bytes on a connection of their own and returns everything that came back before the server
/// closed it or fell silent for `quiet`. For requests that no client would make.
pub fn exchange_raw(
    address: SocketAddr,
    request: &[u8],
    quiet: Duration,
) -> Result<Vec<u8>, HttpError> {
    let mut stream = TcpStream::connect_timeout(&address, quiet)
        .map_err(|source| HttpError::Connect(address, source))?;
    stream.set_read_timeout(Some(quiet)).map_err(HttpError::Local)?;
    stream.write_all(request).map_err(HttpError::sending)?;
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(received),
            Ok(count) => received.extend_from_slice(&piece[..count]),
            // A reset after an answer is how a server ends a connection it no longer reads from.
            Err(error) if is_timeout(&error) || !received.is_empty() => return Ok(received),
            Err(error) => return Err(HttpError::receiving(error)),
        }
    }
}

fn read_final_head(connection: &mut BufReader<Timed>) -> io::Result<Head> {
    loop {
        let head = read_head(connection)?;
        if head.status >= 200 || head.status == 101 {
            return Ok(head);
        }
    }
}

fn send_sized(
    stream: &mut Timed,
    length_bytes: u64,
    reader: &mut dyn Read,
) -> Result<(), HttpError> {
    let mut piece = vec![0; COPY_BYTES];
    let mut left = length_bytes;
    while left > 0 {
        let want = COPY_BYTES.min(usize::try_from(left).unwrap_or(COPY_BYTES));
        let count = reader.read(&mut piece[..want]).map_err(HttpError::Local)?;
        if count == 0 {
            let message = format!("the body is {left} bytes shorter than announced");
            return Err(HttpError::Local(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
        stream.write_all(&piece[..count]).map_err(HttpError::sending)?;
        left -= count as u64;
    }
    Ok(())
}

fn send_chunked(stream: &mut Timed, reader: &mut dyn Read) -> Result<(), HttpError> {
    let mut piece = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut piece).map_err(HttpError::Local)?;
        let mut framed = format!("{count:x}\r\n").into_bytes();
        framed.extend_from_slice(&piece[..count]);
        framed.extend_from_slice(b"\r\n");
        stream.write_all(&framed).map_err(HttpError::sending)?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// A socket whose every read and write ends at the idle limit or the deadline, whichever comes first.
struct Timed {
    stream: TcpStream,
    idle: Duration,
    deadline: Option<Instant>,
}

impl Timed {
    fn wait_at_most(&self) -> io::Result<Duration> {
        let Some(deadline) = self.deadline else { return Ok(self.idle) };
        match deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left.min(self.idle)),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// False once the server has closed its side, or has sent something nobody asked for.
    fn is_still_open(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let looked = self.stream.peek(&mut [0]);
        let silent = matches!(&looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        silent && self.stream.set_nonblocking(false).is_ok()
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.wait_at_most()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.wait_at_most()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests;
