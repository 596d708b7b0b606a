//! Slow, capped, silent and forgetful networks: uploads end whole all the same.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use photosync_tests::http::{Body, Client, Timeouts};
use photosync_tests::proxy::{Cut, Fault, FaultProxy, Plan};
use photosync_tests::seeded::SeededFile;
use photosync_tests::tus_client::{TusClient, TusError};

use crate::stand::{Person, Stand, wait_until};
use crate::sync::{Native, json_of, repr_digest};

const PATH: &str = "/api/v2/tus";

fn bearer(phone: &Native) -> Vec<(String, String)> {
    vec![("Authorization".to_owned(), format!("Bearer {}", phone.access))]
}

fn client_at(address: std::net::SocketAddr, phone: &Native) -> TusClient {
    // Longer than any stall here.
    let timeouts = Timeouts { idle: Duration::from_secs(90), ..Timeouts::default() };
    TusClient::with_timeouts(address, PATH, &bearer(phone), timeouts)
}

fn require_file(stand: &Stand, person: &Person, name: &str, file: &SeededFile) {
    person.require_library(&[(name, &file.to_vec())]);
    wait_until("no upload is left", || person.staged() == 0);
    stand.require_agreement();
}

#[test]
fn fifty_kilobytes_a_second_with_a_stall_of_thirty_seconds_finish_in_one_request() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let phone = Native::sign_in(&stand, &person);
    let plan = Plan::pass().up_rate(50_000).up_fault(90_000, Fault::Stall(Duration::from_secs(30)));
    let proxy = FaultProxy::start(stand.address(), move |_| plan.clone()).expect("a proxy");
    let mut file = SeededFile::new(11, 200_000);
    let mut client = client_at(proxy.address(), &phone);
    let upload = client.create(200_000, &[("filename", b"slow.jpg")]).expect("an upload");
    let began = Instant::now();
    let state = client.resume(&upload, &mut file, 200_000, u64::MAX).expect("a finished upload");
    assert!(began.elapsed() > Duration::from_secs(30), "the stall was there");
    assert_eq!((state.offset, proxy.passed().len()), (200_000, 1), "one connection sufficed");
    require_file(&stand, &person, "slow.jpg", &file);
}

#[test]
fn a_file_passes_a_proxy_with_a_cap_in_pieces_and_never_in_one() {
    for (cap_bytes, size_bytes) in [(1_000_000, 3_500_000), (100_000_000, 101_000_000)] {
        let stand = Stand::new(&[]);
        let person = stand.person();
        let phone = Native::sign_in(&stand, &person);
        let proxy = FaultProxy::start(stand.address(), move |_| Plan::capped(cap_bytes));
        let proxy = proxy.expect("a proxy");
        let mut file = SeededFile::new(12, size_bytes);
        let mut client = client_at(proxy.address(), &phone);
        let upload = client.create(size_bytes, &[("filename", b"capped.mp4")]).expect("an upload");
        let whole = client.resume(&upload, &mut file, size_bytes, u64::MAX);
        let refused = matches!(whole, Err(TusError::Refused { status: 413, .. }));
        assert!(refused, "{:?} with a cap of {cap_bytes}", whole.err());
        let state = client.resume(&upload, &mut file, size_bytes, cap_bytes);
        assert_eq!(state.expect("a finished upload").offset, size_bytes);
        require_file(&stand, &person, "capped.mp4", &file);
    }
}

#[test]
fn a_finished_upload_whose_answer_was_lost_is_found_finished_within_a_second() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let phone = Native::sign_in(&stand, &person);
    let mut file = SeededFile::new(13, 500_000);
    let mut direct = client_at(stand.address(), &phone);
    let upload = direct.create(500_000, &[("filename", b"last.jpg")]).expect("an upload");
    // The answer to HEAD passes; that to the last byte of PATCH does not.
    let plan = || Plan::lose_answers(500_000, Some(Cut::Reset));
    let proxy = FaultProxy::start(stand.address(), move |_| plan()).expect("a proxy");
    let cut = client_at(proxy.address(), &phone).resume(&upload, &mut file, 500_000, u64::MAX);
    assert!(matches!(cut, Err(TusError::Http(_))), "{cut:?}");
    let asked = Instant::now();
    let state = direct.state(&upload).expect("a state");
    assert!(asked.elapsed() < Duration::from_secs(1), "after {:?}", asked.elapsed());
    assert_eq!((state.offset, state.length), (500_000, Some(500_000)));
    // One request with the same bytes names the same asset.
    let put = phone.put("other.jpg", &[], &file.to_vec());
    assert_eq!(put.status(), 200, "{}", put.text());
    assert_eq!(json_of(&put)["id"].as_str(), state.asset.as_deref());
    require_file(&stand, &person, "last.jpg", &file);
}

#[test]
fn a_silent_predecessor_gives_way_within_half_a_second() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let phone = Native::sign_in(&stand, &person);
    let mut file = SeededFile::new(14, 1_000_000);
    let mut client = client_at(stand.address(), &phone);
    let upload = client.create(1_000_000, &[("filename", b"wifi.jpg")]).expect("an upload");
    // A phone that left the network: its connection is open and nothing comes any more.
    let mut silent = TcpStream::connect(stand.address()).expect("a connection");
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 1000000\r\n\r\n",
        phone.access
    );
    silent.write_all(head.as_bytes()).expect("a sent head");
    silent.write_all(&file.to_vec()[..400_000]).expect("a sent beginning");
    // Asking ends the predecessor, so that the wait is for bytes on the disk, not for an answer.
    wait_until("its bytes are on the disk", || bytes_staged(&person) >= 400_000);
    let asked = Instant::now();
    let state = client.state(&upload).expect("a state");
    let took = asked.elapsed();
    assert_eq!(state.offset, 400_000, "what the predecessor sent is kept");
    let state = client.resume(&upload, &mut file, 1_000_000, u64::MAX).expect("a finished upload");
    assert_eq!(state.offset, 1_000_000);
    // Twice the promise: other tests run beside this one.
    assert!(took < Duration::from_secs(1), "asking took {took:?}");
    drop(silent);
    require_file(&stand, &person, "wifi.jpg", &file);
}

/// Lengths of all files of unfinished uploads together.
fn bytes_staged(person: &Person) -> u64 {
    let files = crate::stand::files_below(&person.folder.join(".staging"));
    files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

#[test]
fn the_same_upload_begun_again_goes_on_where_it_was() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let phone = Native::sign_in(&stand, &person);
    let mut file = SeededFile::new(15, 600_000);
    let digest = hex::encode(file.digest());
    let metadata: [(&str, &[u8]); 2] = [("filename", b"again.jpg"), ("digest", digest.as_bytes())];
    let mut client = client_at(stand.address(), &phone);
    let first = client.create(600_000, &metadata).expect("an upload");
    assert_eq!(client.patch(&first, &mut file, 0, 250_000).expect("a piece"), 250_000);
    // The app was killed and remembers nothing.
    let mut client = client_at(stand.address(), &phone);
    let second = client.create(600_000, &metadata).expect("an upload");
    assert_eq!(second, first);
    assert_eq!(client.state(&second).expect("a state").offset, 250_000);
    client.resume(&second, &mut file, 600_000, u64::MAX).expect("a finished upload");
    require_file(&stand, &person, "again.jpg", &file);
}

#[test]
fn three_ways_of_sending_may_be_mixed_for_one_file() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let phone = Native::sign_in(&stand, &person);
    let mut file = SeededFile::new(16, 600_000);
    let mut client = client_at(stand.address(), &phone);
    let upload = client.create(600_000, &[("filename", b"tus.jpg")]).expect("an upload");
    client.patch(&upload, &mut file, 0, 100_000).expect("a piece");
    // One request is cut in the middle, an old client is faster, and tus comes last.
    let proxy = FaultProxy::start(stand.address(), |_| Plan::cut_up(300_000, Cut::Reset));
    let proxy = proxy.expect("a proxy");
    let bytes = file.to_vec();
    let request = phone
        .request("PUT", "/library/assets")
        .header("PhotoSync-Name", "put.jpg")
        .header("Repr-Digest", repr_digest(&bytes))
        .body(Body::Bytes(&bytes));
    assert!(Client::new(proxy.address()).send(request).is_err(), "the connection was cut");
    person.keep("old.jpg", &bytes);
    client.resume(&upload, &mut file, 600_000, u64::MAX).expect("a finished upload");
    let again = phone.put("put.jpg", &[("Repr-Digest", &repr_digest(&bytes))], &bytes);
    assert_eq!(again.status(), 200, "{}", again.text());
    require_file(&stand, &person, "old.jpg", &file);
}
