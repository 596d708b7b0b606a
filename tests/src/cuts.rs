//! One file sent by tus over a connection that is cut again and again, or that is slow and stalls: how much is sent
//! twice, and whether it ends. Run by the tests and by `photosync-cuts`.
//!
//! The one rule: what counts as sent is what left the client, heads of requests included, wherever on the way it was
//! lost, so that every figure errs to the disadvantage of the server. How much can be on the way at once is a property
//! of the network, here of the proxy: each of its sockets holds some 32 KiB, and it holds [`PIECE_BYTES`] between them.
//! That is what a line of 10 Mbit/s with 100 ms has in flight.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::http::Timeouts;
use crate::proxy::{Cut, Fault, FaultProxy, Plan};
use crate::seeded::{Dice, SeededFile};
use crate::tus_client::{State, TusClient, TusError};

/// Bytes the proxy holds at once.
const PIECE_BYTES: usize = 8 * 1024;

/// What to do.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// Length of the file.
    pub size_bytes: u64,
    /// How many connections are cut before one is left alone.
    pub cuts: usize,
    /// Bytes of the file and places of the cuts follow from it.
    pub seed: u64,
    /// Longest body of one request.
    pub piece_bytes: u64,
}

/// Where uploads are created.
#[derive(Clone, Debug)]
pub struct Place {
    /// Address of the server.
    pub address: SocketAddr,
    /// Path of the route.
    pub path: String,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The finished upload.
    pub state: State,
    /// Its path.
    pub upload: String,
    /// For each cut the bytes that had left the client and were not kept, in rising order.
    pub sent_twice: Vec<u64>,
    /// Of these, the bytes that had even reached the server's socket, in rising order.
    pub arrived_twice: Vec<u64>,
    /// All bytes that left the client.
    pub up_bytes: u64,
    /// From the first byte to the last answer.
    pub took: Duration,
}

impl Figures {
    /// The middle one of all cuts.
    pub fn median_sent_twice(&self) -> u64 {
        median(&self.sent_twice)
    }

    /// The worst cut.
    pub fn most_sent_twice(&self) -> u64 {
        self.sent_twice.last().copied().unwrap_or(0)
    }
}

/// The middle one of numbers in rising order.
fn median(numbers: &[u64]) -> u64 {
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} cuts, sent twice per cut: median {} bytes, most {} bytes (of these had reached the server: median {}, \
             most {}); {} bytes up in {:.1} s",
            self.sent_twice.len(),
            self.median_sent_twice(),
            self.most_sent_twice(),
            median(&self.arrived_twice),
            self.arrived_twice.last().copied().unwrap_or(0),
            self.up_bytes,
            self.took.as_secs_f64()
        )
    }
}

/// Why it did not come to an end.
#[derive(Debug)]
pub enum CutsError {
    /// The proxy could not be started.
    Proxy(std::io::Error),
    /// The upload could not be created, or an answer forbids to go on.
    Tus(TusError),
    /// The server forgot acknowledged bytes: offset before and after.
    WentBack(u64, u64),
    /// No progress although the connection was left alone.
    Stuck(TusError),
}

impl fmt::Display for CutsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutsError::Proxy(source) => write!(out, "could not start the proxy: {source}"),
            CutsError::Tus(source) => write!(out, "{source}"),
            CutsError::WentBack(before, after) => {
                write!(out, "the server knew {before} bytes and then only {after}")
            }
            CutsError::Stuck(source) => write!(out, "does not resume: {source}"),
        }
    }
}

impl std::error::Error for CutsError {}

/// Sends the file. Cuts fall at random bytes of heads, bodies and answers; most are resets.
pub fn run(cuts: &Cuts, place: &Place, metadata: &[(&str, &[u8])]) -> Result<Figures, CutsError> {
    let mut dice = Dice::new(cuts.seed);
    // Together the cut connections carry four fifths of the file on average, so that no cut comes too late.
    let longest = cuts.size_bytes * 8 / 5 / (cuts.cuts.max(1) as u64);
    let count = cuts.cuts;
    let planner = move |number: usize| {
        let mut plan = match dice.below(10) {
            _ if number >= count => return Plan::pass(),
            0 => Plan::cut_down(dice.below(300), Cut::Reset),
            1 => Plan::cut_up(dice.below(longest), Cut::Close),
            _ => Plan::cut_up(dice.below(longest), Cut::Reset),
        };
        plan.up.piece_bytes = Some(PIECE_BYTES);
        plan
    };
    let timeouts = Timeouts { idle: Duration::from_secs(10), ..Timeouts::default() };
    send(cuts, planner, timeouts, place, metadata)
}

/// Sends the file over a slow connection that stalls again and again and is never cut: `bytes_per_s` up, and after
/// each `stall_every_bytes` nothing for `stall`.
pub fn run_slow(
    slow: &Slow,
    place: &Place,
    metadata: &[(&str, &[u8])],
) -> Result<Figures, CutsError> {
    let mut plan = Plan::pass().up_rate(slow.bytes_per_s);
    let mut at = slow.stall_every_bytes;
    while at < slow.size_bytes {
        plan = plan.up_fault(at, Fault::Stall(slow.stall));
        at += slow.stall_every_bytes;
    }
    // The client's own kernel takes megabytes at once, and the rest of the time is a wait for the answer.
    let moving = Duration::from_secs(slow.size_bytes / slow.bytes_per_s.max(1));
    let stalls = u32::try_from(plan.up.faults.len()).unwrap_or(u32::MAX);
    let idle = moving + slow.stall.saturating_mul(stalls) + Duration::from_secs(60);
    let timeouts = Timeouts { idle, whole: None, ..Timeouts::default() };
    let cuts =
        Cuts { size_bytes: slow.size_bytes, cuts: 0, seed: slow.seed, piece_bytes: u64::MAX };
    send(&cuts, move |_| plan.clone(), timeouts, place, metadata)
}

/// A slow connection.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Length of the file.
    pub size_bytes: u64,
    /// Bytes of the file follow from it.
    pub seed: u64,
    /// Speed between stalls.
    pub bytes_per_s: u64,
    /// Bytes between stalls.
    pub stall_every_bytes: u64,
    /// How long nothing passes.
    pub stall: Duration,
}

fn send(
    cuts: &Cuts,
    planner: impl FnMut(usize) -> Plan + Send + 'static,
    timeouts: Timeouts,
    place: &Place,
    metadata: &[(&str, &[u8])],
) -> Result<Figures, CutsError> {
    let mut file = SeededFile::new(cuts.seed, cuts.size_bytes);
    let began = Instant::now();
    let upload = TusClient::new(place.address, &place.path, &place.headers)
        .create(cuts.size_bytes, metadata)
        .map_err(CutsError::Tus)?;
    let proxy = FaultProxy::start(place.address, planner).map_err(CutsError::Proxy)?;
    let mut asking = TusClient::new(place.address, &place.path, &place.headers);
    let (mut sent_twice, mut arrived_twice) = (Vec::new(), Vec::new());
    let mut known = 0;
    loop {
        let (path, headers) = (&place.path, &place.headers);
        let mut client = TusClient::with_timeouts(proxy.address(), path, headers, timeouts);
        match client.resume(&upload, &mut file, cuts.size_bytes, cuts.piece_bytes) {
            Ok(state) => {
                sent_twice.sort_unstable();
                arrived_twice.sort_unstable();
                let up_bytes = proxy.total().left_client_bytes;
                let took = began.elapsed();
                return Ok(Figures { state, upload, sent_twice, arrived_twice, up_bytes, took });
            }
            Err(error @ TusError::Http(_)) if sent_twice.len() >= cuts.cuts => {
                return Err(CutsError::Stuck(error));
            }
            Err(TusError::Http(_)) => {}
            Err(other) => return Err(CutsError::Tus(other)),
        }
        // Asked beside the proxy: what the server kept of this connection.
        let now = asking.state(&upload).map_err(CutsError::Tus)?.offset;
        if now < known {
            return Err(CutsError::WentBack(known, now));
        }
        let passed = proxy.passed().last().copied().unwrap_or_default();
        sent_twice.push((known + passed.left_client_bytes).saturating_sub(now));
        arrived_twice.push((known + passed.up_bytes).saturating_sub(now));
        known = now;
    }
}
