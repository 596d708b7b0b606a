//! The proxy before a server that sends back what it gets.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;

/// Sends back every byte of every connection; ends its direction when the client does.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = (&stream).read(&mut piece) {
                    if (&stream).write_all(&piece[..count]).is_err() {
                        return;
                    }
                }
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn proxy(plan: Plan) -> FaultProxy {
    FaultProxy::start(echo_server(), move |_| plan.clone()).unwrap()
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends from a thread of its own, ends that direction, and returns what came back and how it ended. A socket tells of a
/// reset once: whichever side asks first hears of it, and a read after that looks like a regular end. So an error that the
/// sender met counts as the end too.
fn exchange(proxy: &FaultProxy, bytes: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
    let stream = connect(proxy);
    let sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        (&sender).write_all(&bytes)?;
        sender.shutdown(Shutdown::Write)
    });
    let mut received = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let end = loop {
        match (&stream).read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(count) => received.extend_from_slice(&piece[..count]),
            Err(error) => break Err(error),
        }
    };
    let sent = sending.join().unwrap();
    (received, end.and(sent))
}

fn numbered(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn wait_for_end(proxy: &FaultProxy) -> Passed {
    let end = Instant::now() + Duration::from_secs(10);
    while !proxy.total().ended {
        assert!(Instant::now() < end, "the connection did not end: {:?}", proxy.passed());
        thread::sleep(Duration::from_millis(2));
    }
    proxy.total()
}

#[test]
fn without_faults_every_byte_passes_and_is_counted() {
    let proxy = proxy(Plan::pass());
    let sent = numbered(3_000_000);
    let (received, end) = exchange(&proxy, sent.clone());
    assert!(end.is_ok() && received == sent, "{} bytes, {end:?}", received.len());
    let passed = wait_for_end(&proxy);
    assert_eq!((passed.up_bytes, passed.down_bytes, passed.lost_bytes), (3_000_000, 3_000_000, 0));
}

#[test]
fn a_cut_on_the_way_up_passes_exactly_its_bytes() {
    for at in [0, 1, 65_536, 100_001] {
        let proxy = proxy(Plan::cut_up(at, Cut::Reset));
        let (received, end) = exchange(&proxy, numbered(1_000_000));
        let kind = end.unwrap_err().kind();
        let is_reset = matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        assert!(is_reset, "cut at {at}: {kind:?}");
        assert_eq!(wait_for_end(&proxy).up_bytes, at);
        assert!(received.len() as u64 <= at);
    }
}

#[test]
fn what_left_the_client_and_never_arrived_is_counted() {
    let proxy = proxy(Plan::cut_up(1000, Cut::Reset));
    // Less than the proxy takes at once, and than its socket holds: all of it leaves.
    assert!(exchange(&proxy, numbered(5000)).1.is_err());
    let passed = wait_for_end(&proxy);
    assert_eq!((passed.up_bytes, passed.left_client_bytes), (1000, 5000));
}

#[test]
fn a_cut_on_the_way_down_passes_exactly_its_bytes_and_can_be_a_regular_end() {
    for at in [0, 1, 70_000] {
        let proxy = proxy(Plan::cut_down(at, Cut::Close));
        let (received, end) = exchange(&proxy, numbered(70_001));
        assert_eq!(received, numbered(usize::try_from(at).unwrap()), "cut at {at}, end {end:?}");
        assert_eq!(wait_for_end(&proxy).down_bytes, at);
    }
}

#[test]
fn a_stall_keeps_the_connection_open_and_loses_nothing() {
    let pause = Duration::from_millis(300);
    let proxy = proxy(Plan::pass().up_fault(1000, Fault::Stall(pause)));
    let began = Instant::now();
    let (received, end) = exchange(&proxy, numbered(5000));
    assert!(began.elapsed() >= pause);
    assert!(end.is_ok() && received == numbered(5000));
}

#[test]
fn a_half_closed_way_ends_alone() {
    let proxy = proxy(Plan::pass().up_fault(1000, Fault::HalfClose));
    let (received, end) = exchange(&proxy, numbered(5000));
    // The server saw an end after 1,000 bytes and sent those back.
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(received, numbered(1000));
}

#[test]
fn lost_answers_are_lost_after_the_request_has_arrived() {
    let proxy = proxy(Plan::lose_answers(5000, Some(Cut::Reset)));
    let (received, end) = exchange(&proxy, numbered(5000));
    assert!(end.is_err(), "the client sees a cut");
    let passed = wait_for_end(&proxy);
    assert_eq!(passed.up_bytes, 5000);
    assert!(passed.lost_bytes > 0 && received.len() < 5000);
}

#[test]
fn a_silent_loss_leaves_the_connection_open() {
    let proxy = proxy(Plan::lose_answers(10, None));
    let stream = connect(&proxy);
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    (&stream).write_all(&numbered(10)).unwrap();
    let error = (&stream).read(&mut [0; 16]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    assert!(!proxy.passed()[0].ended);
    proxy.cut_all(Cut::Reset);
    wait_for_end(&proxy);
}

#[test]
fn swallowed_bytes_look_sent_and_never_arrive() {
    let proxy = proxy(Plan::pass().up_fault(100, Fault::Swallow));
    let (received, end) = exchange(&proxy, numbered(200_000));
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(received, numbered(100));
}

#[test]
fn a_slow_way_takes_its_time() {
    let proxy = proxy(Plan::pass().up_rate(100_000));
    let began = Instant::now();
    let (received, _) = exchange(&proxy, numbered(50_000));
    assert_eq!(received, numbered(50_000));
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[test]
fn every_piece_can_be_held_back() {
    let mut plan = Plan::pass();
    plan.up.delay = Some(Duration::from_millis(50));
    plan.up.piece_bytes = Some(100);
    let proxy = proxy(plan);
    let began = Instant::now();
    let (received, _) = exchange(&proxy, numbered(500));
    assert_eq!(received, numbered(500));
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[test]
fn a_body_over_the_cap_is_answered_by_the_proxy_and_never_arrives() {
    let proxy = proxy(Plan::capped(1000));
    let small =
        [b"PUT / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n".as_slice(), &[b'x'; 1000]].concat();
    assert_eq!(exchange(&proxy, small.clone()).0, small);
    // Two requests on one connection, with a pause between them.
    let stream = connect(&proxy);
    for _ in 0..2 {
        (&stream).write_all(&small).unwrap();
        let mut echoed = vec![0; small.len()];
        (&stream).read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, small);
    }
    let large = [b"PUT / HTTP/1.1\r\nContent-Length: 500000\r\n\r\n".as_slice(), &[b'x'; 500_000]];
    let (received, _) = exchange(&proxy, large.concat());
    assert!(received.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&received));
    assert_eq!(proxy.passed()[2].up_bytes, 0);
}

#[test]
fn each_connection_has_a_plan_and_the_server_may_move() {
    let proxy = FaultProxy::start(echo_server(), |number| match number {
        0 => Plan::cut_up(0, Cut::Reset),
        _ => Plan::pass(),
    })
    .unwrap();
    assert!(exchange(&proxy, numbered(10)).1.is_err());
    assert_eq!(exchange(&proxy, numbered(10)).0, numbered(10));
    let other = echo_server();
    proxy.set_target(other);
    proxy.set_planner(|_| Plan::pass());
    assert_eq!(exchange(&proxy, numbered(10)).0, numbered(10));
    assert_eq!(proxy.passed().len(), 3);
}
