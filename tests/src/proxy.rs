//! A TCP proxy that misbehaves on purpose: it stands between a client and a server and does to each connection
//! what a [`Plan`] says. It knows nothing of the programs on either side, and of HTTP only what a capped proxy must
//! know (`proxy/cap.rs`).
//!
//! The one rule: every byte is counted where it passes, and what a plan does not forbid passes unchanged. A cut at
//! byte n passes exactly n bytes.

mod cap;
mod lane;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use cap::BodyCap;
use lane::Lane;

/// How often a waiting connection looks whether it was told to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes the kernel may hold on the way to the proxy, and again on the way to the server (Linux doubles it). A reset
/// throws them away: without a bound a cut on loopback would lose megabytes in flight, which no real network holds.
const IN_FLIGHT_BYTES: usize = 32 * 1024;

/// Longest wait for a connection to the server.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both sides get a reset, as when a network changes or a program is killed.
    Reset,
    /// Both sides get a regular end.
    Close,
}

/// What happens once a number of bytes has passed in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends in both directions.
    Cut(Cut),
    /// Nothing passes in this direction for a time; the connection stays open.
    Stall(Duration),
    /// This direction ends regularly; the other goes on.
    HalfClose,
    /// Everything from here on is taken and thrown away: the sender believes that it arrived.
    Swallow,
}

/// Faults of one direction.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// After how many bytes what happens, in rising order.
    pub faults: Vec<(u64, Fault)>,
    /// How long each piece is held back.
    pub delay: Option<Duration>,
    /// Largest piece that passes at once; 64 KiB if `None`.
    pub piece_bytes: Option<usize>,
    /// Bytes per second.
    pub rate: Option<u64>,
}

/// What happens to one connection. [`Plan::default`] lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// From the client to the server.
    pub up: Way,
    /// From the server to the client.
    pub down: Way,
    /// Longest request body that passes. A longer one gets a 413 from the proxy, as a content delivery network
    /// answers, and the server never hears of it if its length was announced.
    pub cap_body_bytes: Option<u64>,
    /// Once so many bytes have gone up, nothing comes back any more: requests arrive, answers are lost.
    pub lose_answers_after_up_bytes: Option<u64>,
    /// When an answer was lost in this way, the connection is cut instead of staying silent.
    pub cut_after_lost_answer: Option<Cut>,
    /// Keeps everything that comes from the client: see [`FaultProxy::recorded`].
    pub records: bool,
}

impl Plan {
    /// Everything passes.
    pub fn pass() -> Self {
        Plan::default()
    }

    /// Everything passes, and what comes from the client is kept in memory.
    pub fn recorded() -> Self {
        Plan { records: true, ..Plan::default() }
    }

    /// Ends after `bytes` from the client have reached the server.
    pub fn cut_up(bytes: u64, cut: Cut) -> Self {
        Plan::default().up_fault(bytes, Fault::Cut(cut))
    }

    /// Ends after `bytes` from the server have reached the client.
    pub fn cut_down(bytes: u64, cut: Cut) -> Self {
        Plan::default().down_fault(bytes, Fault::Cut(cut))
    }

    /// Adds a fault on the way to the server.
    pub fn up_fault(mut self, after_bytes: u64, fault: Fault) -> Self {
        self.up.faults.push((after_bytes, fault));
        self
    }

    /// Adds a fault on the way to the client.
    pub fn down_fault(mut self, after_bytes: u64, fault: Fault) -> Self {
        self.down.faults.push((after_bytes, fault));
        self
    }

    /// A slow way to the server.
    pub fn up_rate(mut self, bytes_per_second: u64) -> Self {
        self.up.rate = Some(bytes_per_second);
        self
    }

    /// Refuses longer request bodies.
    pub fn capped(body_bytes: u64) -> Self {
        Plan { cap_body_bytes: Some(body_bytes), ..Plan::default() }
    }

    /// Requests arrive, but after `up_bytes` no answer comes back; the connection is then cut, or stays silent.
    pub fn lose_answers(up_bytes: u64, then: Option<Cut>) -> Self {
        Plan {
            lose_answers_after_up_bytes: Some(up_bytes),
            cut_after_lost_answer: then,
            ..Plan::default()
        }
    }
}

/// What passed on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes from the client that reached the server's socket.
    pub up_bytes: u64,
    /// Bytes that left the client: beside those above, what the proxy held and what waited in its socket at the end.
    pub left_client_bytes: u64,
    /// Bytes from the server that reached the client's socket.
    pub down_bytes: u64,
    /// Bytes from the server that were thrown away.
    pub lost_bytes: u64,
    /// Whether it is over.
    pub ended: bool,
}

/// Counters of a connection, shared between its thread and the test.
#[derive(Debug, Default)]
struct Counters {
    up: AtomicU64,
    left_client: AtomicU64,
    down: AtomicU64,
    lost: AtomicU64,
    ended: AtomicBool,
    cut: Mutex<Option<Cut>>,
    recorded: Mutex<Vec<u8>>,
}

impl Counters {
    fn read(&self) -> Passed {
        Passed {
            up_bytes: self.up.load(Ordering::SeqCst),
            left_client_bytes: self.left_client.load(Ordering::SeqCst),
            down_bytes: self.down.load(Ordering::SeqCst),
            lost_bytes: self.lost.load(Ordering::SeqCst),
            ended: self.ended.load(Ordering::SeqCst),
        }
    }
}

type Planner = dyn FnMut(usize) -> Plan + Send;

struct Shared {
    target: Mutex<SocketAddr>,
    planner: Mutex<Box<Planner>>,
    connections: Mutex<Vec<Arc<Counters>>>,
    stopped: AtomicBool,
}

/// A proxy on a free port of the loopback interface. Dropping it cuts every connection and frees the port.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<thread::JoinHandle<()>>,
}

impl FaultProxy {
    /// Forwards to `target`; `planner` is asked for the plan of each connection, counted from 0.
    pub fn start(
        target: SocketAddr,
        planner: impl FnMut(usize) -> Plan + Send + 'static,
    ) -> io::Result<FaultProxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        // Connections inherit it: set later, it would not bound what a client may send at once.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, IN_FLIGHT_BYTES)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            planner: Mutex::new(Box::new(planner)),
            connections: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        let thread = thread::spawn(move || accept(&listener, &accepting));
        Ok(FaultProxy { address, shared, listener: Some(thread) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go here from now on, for instance after a restart of the server on another port.
    pub fn set_target(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Replaces the planner for connections to come. Counting goes on.
    pub fn set_planner(&self, planner: impl FnMut(usize) -> Plan + Send + 'static) {
        *lock(&self.shared.planner) = Box::new(planner);
    }

    /// What passed on every connection so far, in the order they came.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared.connections).iter().map(|counters| counters.read()).collect()
    }

    /// What the clients of recorded connections sent, heads and bodies, in the order they came.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let connections = lock(&self.shared.connections);
        connections.iter().map(|counters| lock(&counters.recorded).clone()).collect()
    }

    /// Bytes up and down on all connections together.
    pub fn total(&self) -> Passed {
        self.passed().iter().fold(Passed { ended: true, ..Passed::default() }, |sum, one| Passed {
            up_bytes: sum.up_bytes + one.up_bytes,
            left_client_bytes: sum.left_client_bytes + one.left_client_bytes,
            down_bytes: sum.down_bytes + one.down_bytes,
            lost_bytes: sum.lost_bytes + one.lost_bytes,
            ended: sum.ended && one.ended,
        })
    }

    /// Ends every connection that is open now.
    pub fn cut_all(&self, cut: Cut) {
        for counters in lock(&self.shared.connections).iter() {
            *lock(&counters.cut) = Some(cut);
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.cut_all(Cut::Reset);
        if let Some(thread) = self.listener.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopped.load(Ordering::SeqCst) {
        wait(&mut [PollFd::new(listener, PollFlags::IN)], LOOK_EVERY);
        let Ok((client, _)) = listener.accept() else { continue };
        let counters = Arc::new(Counters::default());
        let number = {
            let mut all = lock(&shared.connections);
            all.push(counters.clone());
            all.len() - 1
        };
        let plan = (lock(&shared.planner))(number);
        let target = *lock(&shared.target);
        thread::spawn(move || {
            // A server that is not there was passed on to the client as a reset.
            if let Ok(mut connection) = Connection::open(client, target, plan, counters.clone()) {
                connection.run();
            }
            counters.ended.store(true, Ordering::SeqCst);
        });
    }
}

fn wait(sockets: &mut [PollFd<'_>], at_most: Duration) {
    if let Ok(limit) = at_most.try_into() {
        // Interrupted or not: the caller looks at the sockets again.
        let _ = poll(sockets, Some(&limit));
    }
}

/// One connection, served by one thread that owns both sockets, so that a reset leaves at once.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    up: Lane,
    down: Lane,
    cap: Option<BodyCap>,
    plan: Plan,
    counters: Arc<Counters>,
}

impl Connection {
    fn open(
        client: TcpStream,
        target: SocketAddr,
        plan: Plan,
        counters: Arc<Counters>,
    ) -> io::Result<Connection> {
        let server = match TcpStream::connect_timeout(&target, CONNECT_WITHIN) {
            Ok(server) => server,
            Err(error) => {
                reset(&client);
                return Err(error);
            }
        };
        for socket in [&client, &server] {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
        }
        rustix::net::sockopt::set_socket_send_buffer_size(&server, IN_FLIGHT_BYTES)?;
        let (up, down) = (Lane::new(plan.up.clone()), Lane::new(plan.down.clone()));
        let cap = plan.cap_body_bytes.map(BodyCap::new);
        Ok(Connection { client, server, up, down, cap, plan, counters })
    }

    fn run(&mut self) {
        loop {
            let told = *lock(&self.counters.cut);
            // A side that failed is passed on as a reset, which is what the other would have seen.
            let cut = told.or_else(|| self.step(Instant::now()).unwrap_or(Some(Cut::Reset)));
            if let Some(cut) = cut {
                return self.end(cut);
            }
            if self.up.is_over() && self.down.is_over() {
                return;
            }
            self.wait_for_something();
        }
    }

    /// Moves what can move now. `Some` when the plan ends the connection.
    fn step(&mut self, now: Instant) -> io::Result<Option<Cut>> {
        if let Some(cut) = self.up.take(&self.client, now)? {
            return Ok(Some(cut));
        }
        let fresh = self.up.fresh();
        if self.plan.records {
            lock(&self.counters.recorded).extend_from_slice(fresh);
        }
        if let Some(cap) = &mut self.cap
            && !cap.inspect(fresh)
        {
            return self.refuse().map(Some);
        }
        self.counters.left_client.store(self.up.taken(), Ordering::SeqCst);
        self.up.give(&self.server, now)?;
        self.counters.up.store(self.up.passed(), Ordering::SeqCst);

        let losing =
            self.plan.lose_answers_after_up_bytes.is_some_and(|limit| self.up.passed() >= limit);
        if losing {
            self.down.swallow();
        }
        if let Some(cut) = self.down.take(&self.server, now)? {
            return Ok(Some(cut));
        }
        self.down.give(&self.client, now)?;
        self.counters.down.store(self.down.passed(), Ordering::SeqCst);
        self.counters.lost.store(self.down.lost(), Ordering::SeqCst);
        if losing && self.down.lost() > 0 {
            return Ok(self.plan.cut_after_lost_answer);
        }
        // A cut at the byte that has just passed happens now, not with the next byte.
        Ok(self.up.due_cut().or(self.down.due_cut()))
    }

    /// Answers 413 in the server's place. What the client still sends is read for a while, so that the answer is
    /// not lost to a reset.
    fn refuse(&mut self) -> io::Result<Cut> {
        use std::io::{Read, Write};
        self.client.set_nonblocking(false)?;
        self.client.set_read_timeout(Some(Duration::from_millis(300)))?;
        (&self.client).write_all(cap::REFUSAL)?;
        self.client.shutdown(std::net::Shutdown::Write)?;
        let end = Instant::now() + Duration::from_secs(2);
        let mut piece = vec![0; 64 * 1024];
        while Instant::now() < end && matches!((&self.client).read(&mut piece), Ok(1..)) {}
        reset(&self.server);
        Ok(Cut::Close)
    }

    /// Both sockets are closed when the connection is dropped, right after this.
    fn end(&mut self, cut: Cut) {
        // A client that is gone already has nothing waiting.
        let waiting = rustix::io::ioctl_fionread(&self.client).unwrap_or(0);
        self.counters.left_client.store(self.up.taken() + waiting, Ordering::SeqCst);
        if cut == Cut::Reset {
            reset(&self.client);
            reset(&self.server);
        }
    }

    fn wait_for_something(&self) {
        let now = Instant::now();
        let mut until = now + LOOK_EVERY;
        let (up, down) = (&self.up, &self.down);
        let asked = |takes: bool, gives: bool| {
            let reading = if takes { PollFlags::IN } else { PollFlags::empty() };
            reading | if gives { PollFlags::OUT } else { PollFlags::empty() }
        };
        let client = asked(up.wants_to_take(now), down.wants_to_give(now));
        let server = asked(down.wants_to_take(now), up.wants_to_give(now));
        for wake in [up.wakes_at(now), down.wakes_at(now)].into_iter().flatten() {
            until = until.min(wake);
        }
        // A socket that is asked for nothing is left out: its hang-up would wake the loop for ever.
        let mut sockets = Vec::with_capacity(2);
        if !client.is_empty() {
            sockets.push(PollFd::new(&self.client, client));
        }
        if !server.is_empty() {
            sockets.push(PollFd::new(&self.server, server));
        }
        let at_most = until.saturating_duration_since(now).max(Duration::from_micros(500));
        wait(&mut sockets, at_most);
    }
}

/// The next close of this socket sends a reset and throws away what was not sent.
fn reset(socket: &TcpStream) {
    // Fails only on a socket that is gone.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
