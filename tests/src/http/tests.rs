//! The client against a listener that answers with scripted bytes and keeps what it received.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;

/// Serves one scripted answer per request head; returns what each connection received.
pub(crate) fn serve(scripts: Vec<Vec<&'static [u8]>>) -> (SocketAddr, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let mut received = Vec::new();
        for answers in scripts {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            for answer in answers {
                read_request(&mut reader, &mut bytes);
                reader.get_mut().write_all(answer).expect("an answer");
            }
            received.push(bytes);
        }
        received
    });
    (address, server)
}

/// Reads one request by its framing headers.
fn read_request(reader: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(reader.read_until(b'\n', &mut head).expect("a line"), 0, "a whole head");
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    bytes.extend_from_slice(&head);
    if let Some(length) = text.split("content-length: ").nth(1) {
        let length = length.split('\r').next().and_then(|digits| digits.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        reader.read_exact(&mut body).expect("a body");
        bytes.extend_from_slice(&body);
    } else if text.contains("transfer-encoding: chunked") {
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            assert_ne!(reader.read_until(b'\n', &mut body).expect("a line"), 0, "a whole body");
        }
        bytes.extend_from_slice(&body);
    }
}

#[test]
fn a_request_goes_out_as_described_and_the_connection_is_kept() {
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\nX-Odd: \xe9\r\ncontent-length: 2\r\n\r\nok";
    let (address, server) = serve(vec![vec![answer, answer]]);
    let mut client = Client::new(address);
    let post = || {
        Request::new("POST", "/a b")
            .header("x-LOWER", b"\xe9\xff".as_slice())
            .body(Body::Bytes(b"hello"))
    };
    let first = client.send(post()).expect("an answer");
    assert_eq!((first.status(), first.body.as_slice()), (200, b"ok".as_slice()));
    assert_eq!(first.head.header_bytes("x-odd"), Some(b"\xe9".as_slice()));
    assert!(client.is_connected());
    client.send(post()).expect("a second answer");
    drop(client);
    let one = [
        b"POST /a b HTTP/1.1\r\nHost: ".as_slice(),
        address.to_string().as_bytes(),
        b"\r\nx-LOWER: \xe9\xff\r\nContent-Length: 5\r\n\r\nhello",
    ]
    .concat();
    let received = server.join().expect("the server");
    assert_eq!(received, [[one.clone(), one].concat()]);
}

#[test]
fn chunked_bodies_go_both_ways() {
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n";
    let (address, server) = serve(vec![vec![answer]]);
    let mut client = Client::new(address);
    let mut body: &[u8] = b"photo";
    let request = Request::new("POST", "/").body(Body::Chunked { reader: &mut body });
    let answer = client.send(request).expect("an answer");
    assert_eq!(answer.body, b"hello world");
    let received = server.join().expect("the server");
    assert!(received[0].ends_with(b"Transfer-Encoding: chunked\r\n\r\n5\r\nphoto\r\n0\r\n\r\n"));
}

#[test]
fn a_body_that_ends_early_is_an_error() {
    let (address, server) = serve(vec![vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]]);
    let error = Client::new(address).send(Request::new("GET", "/")).expect_err("an error");
    assert!(matches!(error, HttpError::Receive(_)), "{error}");
    server.join().expect("the server");
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let (address, server) = serve(vec![vec![b"HTTP/1.1 200 OK\r\n\r\nuntil the end"]]);
    let mut client = Client::new(address);
    let answer = client.send(Request::new("GET", "/")).expect("an answer");
    assert_eq!(answer.body, b"until the end");
    assert!(!client.is_connected());
    server.join().expect("the server");
}

#[test]
fn a_closed_connection_is_replaced() {
    let answer: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    let (address, server) = serve(vec![vec![answer], vec![answer]]);
    let mut client = Client::new(address);
    client.send(Request::new("GET", "/1")).expect("an answer");
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.is_connected() {
        assert!(Instant::now() < deadline, "the server closes after its script");
        thread::yield_now();
    }
    client.send(Request::new("GET", "/2")).expect("an answer on a new connection");
    assert_eq!(server.join().expect("the server").len(), 2);
}

#[test]
fn a_refusal_instead_of_100_keeps_the_body_back() {
    let (address, server) =
        serve(vec![vec![b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"]]);
    let mut unread: &[u8] = b"never sent";
    // The scripted server would wait for a body that the head promised.
    let request = Request::new("POST", "/")
        .expect_continue()
        .body(Body::Sized { length_bytes: 0, reader: &mut unread });
    let answer = Client::new(address).send(request).expect("an answer");
    assert_eq!(answer.status(), 413);
    assert_eq!(unread, b"never sent");
    server.join().expect("the server");
}

#[test]
fn silence_ends_in_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let timeouts = Timeouts { idle: Duration::from_millis(50), ..Timeouts::default() };
    let error = Client::with_timeouts(address, timeouts)
        .send(Request::new("GET", "/"))
        .expect_err("an error");
    assert!(matches!(error, HttpError::TimedOut(_)), "{error}");
}

#[test]
fn what_is_not_http_is_named() {
    let (address, server) = serve(vec![vec![b"SSH-2.0-OpenSSH\r\n\r\n"]]);
    let error = Client::new(address).send(Request::new("GET", "/")).expect_err("an error");
    assert!(error.to_string().contains("SSH-2.0"), "{error}");
    server.join().expect("the server");
}
