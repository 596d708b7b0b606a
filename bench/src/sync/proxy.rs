//! A TCP relay on loopback that counts: what client and server say to each other, heads and bodies.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::Failure;

/// Bytes passed on at once: 256 KiB.
const PASS_BYTES: usize = 256 * 1024;

/// What went over the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// Connections opened.
    pub connections: u64,
    /// Times an answer began after something was sent, summed over connections.
    pub round_trips: u64,
    /// Bytes from the client.
    pub sent_bytes: u64,
    /// Bytes from the server.
    pub received_bytes: u64,
}

impl Wire {
    /// Bytes in both directions.
    pub fn bytes(&self) -> u64 {
        self.sent_bytes + self.received_bytes
    }

    /// The larger of each figure.
    pub fn max(self, other: Self) -> Self {
        Self {
            connections: self.connections.max(other.connections),
            round_trips: self.round_trips.max(other.round_trips),
            sent_bytes: self.sent_bytes.max(other.sent_bytes),
            received_bytes: self.received_bytes.max(other.received_bytes),
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    round_trips: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

/// A running relay; it accepts until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    counters: Arc<Counters>,
    ends: Arc<AtomicBool>,
}

impl Proxy {
    /// Relays from a free port of loopback to `server`.
    pub fn start(server: SocketAddr) -> Result<Self, Failure> {
        let failed = |error| format!("could not start the counting proxy: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (counters, ends) = (Arc::new(Counters::default()), Arc::new(AtomicBool::new(false)));
        let (counting, ending) = (counters.clone(), ends.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                // A server that is not there closes the client's connection, as it would without us.
                let _ = relay(client, server, &counting);
            }
        });
        Ok(Self { address, counters, ends })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What went over the wire since the last call. Everything a client has heard is counted.
    pub fn take(&self) -> Wire {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
        Wire {
            connections: take(&self.counters.connections),
            round_trips: take(&self.counters.round_trips),
            sent_bytes: take(&self.counters.sent_bytes),
            received_bytes: take(&self.counters.received_bytes),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; if it is gone already, so much the better.
        let _ = TcpStream::connect(self.address);
    }
}

fn relay(client: TcpStream, server: SocketAddr, counters: &Arc<Counters>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    counters.connections.fetch_add(1, Ordering::SeqCst);
    // Whether the client spoke last.
    let asked = Arc::new(AtomicBool::new(false));
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let (up, asks) = (counters.clone(), asked.clone());
    thread::spawn(move || {
        pass(from_client, to_server, |bytes| {
            up.sent_bytes.fetch_add(bytes, Ordering::SeqCst);
            asks.store(true, Ordering::SeqCst);
        });
    });
    let down = counters.clone();
    thread::spawn(move || {
        pass(server, client, |bytes| {
            down.received_bytes.fetch_add(bytes, Ordering::SeqCst);
            if asked.swap(false, Ordering::SeqCst) {
                down.round_trips.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    Ok(())
}

/// Passes bytes on until one side is done; each is counted before it is passed.
fn pass(mut from: TcpStream, mut to: TcpStream, count: impl Fn(u64)) {
    let mut buffer = vec![0; PASS_BYTES];
    while let Ok(bytes) = from.read(&mut buffer) {
        if bytes == 0 {
            break;
        }
        count(bytes as u64);
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    // Both fail only when that side is gone.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_questions_and_their_answers_are_two_round_trips_and_every_byte_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let mut question = [0; 3];
            while connection.read_exact(&mut question).is_ok() {
                connection.write_all(b"answer").unwrap();
            }
        });
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        for _ in 0..2 {
            client.write_all(b"abc").unwrap();
            client.read_exact(&mut [0; 6]).unwrap();
        }
        let expected = Wire { connections: 1, round_trips: 2, sent_bytes: 6, received_bytes: 12 };
        assert_eq!(proxy.take(), expected);
        assert_eq!(proxy.take(), Wire::default());
    }
}
