//! One direction of a connection: takes a piece from one socket, applies the faults of its [`Way`], and gives it to
//! the other. Called by the connection's thread only; never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{Cut, Fault, Way};

/// Largest piece if the way says nothing else. Small, so that little is in flight inside the proxy.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) struct Lane {
    way: Way,
    piece: Vec<u8>,
    given: usize,
    inspected: usize,
    release_at: Option<Instant>,
    stalled_until: Option<Instant>,
    passed: u64,
    taken: u64,
    lost: u64,
    swallowing: bool,
    source_ended: bool,
    over: bool,
}

impl Lane {
    pub(super) fn new(mut way: Way) -> Lane {
        // Read from the end.
        way.faults.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Lane {
            way,
            piece: Vec::new(),
            given: 0,
            inspected: 0,
            release_at: None,
            stalled_until: None,
            passed: 0,
            taken: 0,
            lost: 0,
            swallowing: false,
            source_ended: false,
            over: false,
        }
    }

    /// Bytes that reached the other side.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Bytes read from the source, passed on or not.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that were thrown away.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Nothing will pass any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// From now on everything is thrown away.
    pub(super) fn swallow(&mut self) {
        self.swallowing = true;
    }

    /// Bytes taken and not yet shown to the caller. Each byte is shown once.
    pub(super) fn fresh(&mut self) -> &[u8] {
        let from = self.inspected.min(self.piece.len());
        self.inspected = self.piece.len();
        &self.piece[from..]
    }

    fn is_stalled(&self, now: Instant) -> bool {
        self.stalled_until.is_some_and(|until| now < until)
    }

    fn is_held(&self, now: Instant) -> bool {
        self.is_stalled(now) || self.release_at.is_some_and(|at| now < at)
    }

    pub(super) fn wants_to_take(&self, now: Instant) -> bool {
        !self.over && !self.source_ended && self.piece.is_empty() && !self.is_stalled(now)
    }

    pub(super) fn wants_to_give(&self, now: Instant) -> bool {
        !self.over && !self.piece.is_empty() && !self.is_held(now)
    }

    /// When to look again although no socket moved.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.over {
            return None;
        }
        let times = [self.stalled_until, self.release_at];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// The cut that the bytes passed so far bring, if any.
    pub(super) fn due_cut(&self) -> Option<Cut> {
        match self.way.faults.last() {
            Some((at, Fault::Cut(cut))) if *at <= self.passed && (*at > 0 || self.lost > 0) => {
                Some(*cut)
            }
            _ => None,
        }
    }

    /// Reads the next piece if there is room. `Some` when a fault ends the connection here.
    pub(super) fn take(&mut self, source: &TcpStream, now: Instant) -> io::Result<Option<Cut>> {
        if !self.wants_to_take(now) {
            return Ok(None);
        }
        let largest = self.way.piece_bytes.unwrap_or(PIECE_BYTES);
        // A slow way takes small pieces, ten a second, so that its speed is even.
        let largest = match self.way.rate {
            Some(rate) => largest.min(usize::try_from(rate / 10).unwrap_or(largest).max(1)),
            None => largest,
        };
        self.piece = vec![0; largest];
        let count = match (&*source).read(&mut self.piece) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.piece.clear();
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.piece.clear();
                return Ok(Some(Cut::Reset));
            }
            Err(error) => return Err(error),
        };
        self.piece.truncate(count);
        self.taken += count as u64;
        (self.given, self.inspected) = (0, 0);
        if count == 0 {
            self.source_ended = true;
            return Ok(None);
        }
        self.release_at = self.way.delay.map(|delay| now + delay);
        if let Some(rate) = self.way.rate {
            let pause = Duration::from_secs_f64(count as f64 / rate.max(1) as f64);
            self.release_at = Some(self.release_at.unwrap_or(now) + pause);
        }
        // A cut after 0 bytes: the first byte came, and none passes.
        match self.way.faults.last() {
            Some((0, Fault::Cut(cut))) if self.passed == 0 => Ok(Some(*cut)),
            _ => Ok(None),
        }
    }

    /// Writes as much of the piece as the plan and the socket allow.
    pub(super) fn give(&mut self, sink: &TcpStream, now: Instant) -> io::Result<()> {
        self.meet_faults(sink, now)?;
        while self.wants_to_give(now) {
            if self.swallowing {
                self.lost += (self.piece.len() - self.given) as u64;
                self.piece.clear();
                break;
            }
            let left = (self.piece.len() - self.given) as u64;
            let allowed = match self.way.faults.last() {
                Some((at, _)) => left.min(at.saturating_sub(self.passed)),
                None => left,
            };
            let end = self.given + usize::try_from(allowed).unwrap_or(usize::MAX);
            if allowed == 0 {
                // Only a cut stands at this byte after `meet_faults`; the connection sees it next.
                return Ok(());
            }
            match (&*sink).write(&self.piece[self.given..end]) {
                Ok(count) => {
                    self.given += count;
                    self.passed += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.given == self.piece.len() {
                self.piece.clear();
            }
            self.meet_faults(sink, now)?;
        }
        if self.source_ended && self.piece.is_empty() && !self.over && !self.is_held(now) {
            self.finish(sink);
        }
        Ok(())
    }

    /// Applies every fault but cuts that stands at or before the bytes passed.
    fn meet_faults(&mut self, sink: &TcpStream, now: Instant) -> io::Result<()> {
        while let Some((at, fault)) = self.way.faults.last().copied() {
            if at > self.passed || self.over {
                return Ok(());
            }
            match fault {
                Fault::Cut(_) => return Ok(()),
                // At byte 0 a stall begins with the first byte, not with the connection.
                Fault::Stall(_) if at == 0 && self.piece.is_empty() => return Ok(()),
                Fault::Stall(time) => self.stalled_until = Some(now + time),
                Fault::HalfClose => self.finish(sink),
                Fault::Swallow => self.swallowing = true,
            }
            self.way.faults.pop();
        }
        Ok(())
    }

    fn finish(&mut self, sink: &TcpStream) {
        self.over = true;
        self.piece.clear();
        // A peer that is gone needs no end.
        let _ = sink.shutdown(Shutdown::Write);
    }
}
