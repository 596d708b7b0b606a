//! One file sent by tus over a connection that is cut again and again: how much is sent twice. Run by the tests and
//! by `photosync-cuts`.
//!
//! The one rule: what counts as sent is what the proxy saw pass, heads of requests included, so that every figure
//! errs to the disadvantage of the server.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::http::Timeouts;
use crate::proxy::{Cut, FaultProxy, Plan};
use crate::seeded::{Dice, SeededFile};
use crate::tus_client::{State, TusClient, TusError};

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
    /// For each cut the bytes that had passed and were not kept, in rising order.
    pub sent_twice: Vec<u64>,
    /// All bytes that passed to the server.
    pub up_bytes: u64,
    /// From the first byte to the last answer.
    pub took: Duration,
}

impl Figures {
    /// The middle one of all cuts.
    pub fn median_sent_twice(&self) -> u64 {
        self.sent_twice.get(self.sent_twice.len() / 2).copied().unwrap_or(0)
    }

    /// The worst cut.
    pub fn most_sent_twice(&self) -> u64 {
        self.sent_twice.last().copied().unwrap_or(0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} cuts, sent twice per cut: median {} bytes, most {} bytes; {} bytes up in {:.1} s",
            self.sent_twice.len(),
            self.median_sent_twice(),
            self.most_sent_twice(),
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
    let mut file = SeededFile::new(cuts.seed, cuts.size_bytes);
    let began = Instant::now();
    let timeouts = Timeouts { idle: Duration::from_secs(10), ..Timeouts::default() };
    let upload = TusClient::new(place.address, &place.path, &place.headers)
        .create(cuts.size_bytes, metadata)
        .map_err(CutsError::Tus)?;
    let mut dice = Dice::new(cuts.seed);
    // Together the cut connections carry four fifths of the file on average, so that no cut comes too late.
    let longest = cuts.size_bytes * 8 / 5 / (cuts.cuts.max(1) as u64);
    let count = cuts.cuts;
    let planner = move |number: usize| match dice.below(10) {
        _ if number >= count => Plan::pass(),
        0 => Plan::cut_down(dice.below(300), Cut::Reset),
        1 => Plan::cut_up(dice.below(longest), Cut::Close),
        _ => Plan::cut_up(dice.below(longest), Cut::Reset),
    };
    let proxy = FaultProxy::start(place.address, planner).map_err(CutsError::Proxy)?;
    let mut asking = TusClient::new(place.address, &place.path, &place.headers);
    let mut sent_twice = Vec::new();
    let mut known = 0;
    loop {
        let (path, headers) = (&place.path, &place.headers);
        let mut client = TusClient::with_timeouts(proxy.address(), path, headers, timeouts);
        match client.resume(&upload, &mut file, cuts.size_bytes, cuts.piece_bytes) {
            Ok(state) => {
                sent_twice.sort_unstable();
                let up_bytes = proxy.total().up_bytes;
                return Ok(Figures { state, upload, sent_twice, up_bytes, took: began.elapsed() });
            }
            Err(error @ TusError::Http(_)) if sent_twice.len() >= count => {
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
        let passed = proxy.passed().last().map_or(0, |one| one.up_bytes);
        sent_twice.push((known + passed).saturating_sub(now));
        known = now;
    }
}
