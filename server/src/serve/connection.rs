//! One wrapper around every stream: closes so that the client gets to read the last answer.
//!
//! A server that answers before it has read the whole body and then closes makes the kernel send a reset, which
//! throws away the answer on its way. So after the answer is out the write side is closed, and what the client is
//! still sending is read and forgotten for a moment.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// Longest time spent reading what nobody wants any more.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes read that way.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A stream that can be served.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether both ends agreed on HTTP/2 (ALPN).
    fn speaks_h2(&self) -> bool;
}

impl Stream for TcpStream {
    fn speaks_h2(&self) -> bool {
        false
    }
}

impl Stream for TlsStream<TcpStream> {
    fn speaks_h2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

/// A stream that lingers when it is closed.
pub struct Connection<S> {
    stream: S,
    closed: bool,
    lingered_bytes: usize,
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl<S> Connection<S> {
    /// Wraps an accepted stream.
    pub fn new(stream: S) -> Self {
        Self { stream, closed: false, lingered_bytes: 0, deadline: None, ended: false }
    }
}

impl<S: Stream> Connection<S> {
    /// See [`Stream::speaks_h2`].
    pub fn speaks_h2(&self) -> bool {
        self.stream.speaks_h2()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(result) = &poll {
            self.ended =
                result.is_err() || (buffer.filled().len() == before && buffer.remaining() > 0);
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closed = true;
        }
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut scratch = [0; 8192];
        while !this.ended && this.lingered_bytes < LINGER_BYTES {
            if deadline.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    this.lingered_bytes += buffer.filled().len()
                }
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
