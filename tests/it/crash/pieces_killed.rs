//! The server is killed at every named point that an upload in several requests passes, or stopped in order amid it.
//! After the restart the client goes on, and the file is whole.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use photosync_tests::account::Session;
use photosync_tests::http::Client;
use photosync_tests::names::encode_uri_component;
use photosync_tests::relay::chunk_id;
use photosync_tests::seeded::SeededFile;
use photosync_tests::server::find_binary;
use photosync_tests::tus_client::TusClient;

use super::pieces::Left;
use super::send::{Operation, WAYS_IN_PIECES, get, sign_up};
use super::torture::process::{Started, check, serve_command, start, wait_until};
use super::torture::{binaries, list_below};

/// Named points on the way from the first byte to the last answer.
const POINTS: [&str; 6] = ["write", "sync", "publish", "published", "sync_dir", "commit"];

/// Passes of one point that are tried; a run that meets fewer ends the row.
const PASSES: u64 = 12;

/// Adoption runs in the background after a start.
const ADOPTED_WITHIN: Duration = Duration::from_secs(20);

/// A client that is silent has what it sent written at once.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// Whether a file of the library has these bytes, now or in a moment.
fn is_held(client: &mut Client, session: &Session, operation: &Operation) -> bool {
    let wanted = chunk_id(&operation.body);
    wait_until(ADOPTED_WITHIN, || {
        let answer = get(client, session, "/api/files").expect("a list");
        let json = answer.json().expect("JSON");
        let files = json["files"].as_array().expect("files");
        files.iter().filter_map(|file| file["filename"].as_str()).any(|name| {
            let path = format!("/api/files/{}", encode_uri_component(name));
            get(client, session, &path).is_ok_and(|answer| chunk_id(&answer.body) == wanted)
        })
    })
}

#[test]
fn an_upload_in_pieces_goes_on_after_a_kill_at_every_named_point() {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let (binary, log) = (find_binary().expect("the server"), data.with_extension("log"));
    let faulty = binaries::fault_server().expect("the server with fault points");
    let plain = || start(serve_command(&binary, &data), &log).and_then(Started::ready);
    let server = plain().expect("a start");
    let session = sign_up(server.address);
    server.stop().expect("a clean stop");
    let (mut kills, mut resumed) = (0, 0);
    for way in WAYS_IN_PIECES {
        for point in POINTS {
            for nth in 1..=PASSES {
                let id = format!("{way:?}-{point}-{nth}");
                let seed = kills * 1000 + nth;
                let operation = Operation::new(id.clone(), way, format!("{id}.jpg"), seed, 9000);
                let mut command = serve_command(&faulty, &data);
                command.env("PHOTOSYNC_FAULT", format!("{point}:{nth}:kill"));
                // The start passes points, too: a server that dies there has promised nothing.
                let Ok(server) = start(command, &log).and_then(Started::ready) else {
                    kills += 1;
                    continue;
                };
                let sent = operation.send(&mut Client::new(server.address), &session);
                server.kill();
                let is_killed = sent.is_err();
                if let Ok(answer) = sent {
                    assert_eq!(answer.status(), way.stored_status(), "{id}: {}", answer.text());
                }
                kills += u64::from(is_killed);
                let server = plain().unwrap_or_else(|error| panic!("{id}: {error}"));
                let mut client = Client::new(server.address);
                if operation.is_begun() {
                    let left = operation.go_on(&mut client, &session);
                    let left = left.unwrap_or_else(|wrong| panic!("after {id}: {wrong}"));
                    let is_finished = matches!(left, Left::Finished { .. });
                    resumed += u64::from(is_finished && is_killed);
                    assert!(is_held(&mut client, &session, &operation), "{id} is lost");
                }
                drop(client);
                server.stop().expect("a clean stop");
                if !is_killed {
                    break;
                }
            }
        }
    }
    check(&binary, &data).expect("index and disk agree");
    println!("crash: {kills} kills in uploads of several requests, {resumed} of these went on");
    assert!(kills >= 25 && resumed >= 15, "{kills} kills, {resumed} went on");
}

#[test]
fn a_restart_of_the_machine_costs_no_byte_when_the_server_was_stopped_in_order() {
    const FIRST_BYTES: u64 = 70_000;
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let log = data.with_extension("log");
    let begin = |command| start(command, &log).and_then(Started::ready).expect("a start");
    let server = begin(serve_command(&find_binary().expect("the server"), &data));
    let session = sign_up(server.address);
    let client = |address| TusClient::new(address, "/api/v2/tus", &session.headers());
    let mut file = SeededFile::new(17, 200_000);
    let mut before = client(server.address);
    let upload = before.create(200_000, &[("filename", b"a.jpg")]).expect("an upload");
    // Half a request: its client holds the connection and says nothing more.
    let mut half = TcpStream::connect(server.address).expect("a connection");
    write!(half, "PATCH {upload} HTTP/1.1\r\nHost: {}\r\n", server.address).expect("a head");
    for (name, value) in session.headers() {
        write!(half, "{name}: {value}\r\n").expect("a head");
    }
    let kind = "Content-Type: application/offset+octet-stream";
    write!(
        half,
        "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n{kind}\r\nContent-Length: 200000\r\n\r\n"
    )
    .expect("a head");
    std::io::copy(&mut (&mut file).take(FIRST_BYTES), &mut half).expect("the first bytes");
    let staged = |wanted| {
        let all = list_below(&data.join("uploads"), ".staging").expect("files");
        all.iter().any(|path| path.metadata().is_ok_and(|metadata| metadata.len() == wanted))
    };
    assert!(wait_until(WRITTEN_WITHIN, || staged(FIRST_BYTES)), "the first bytes are not written");
    server.stop().expect("a clean stop");

    let mut command = serve_command(&binaries::fault_server().expect("the server"), &data);
    command.env("PHOTOSYNC_FAULT", "boot_id:1+:eio");
    let server = begin(command);
    let mut after = client(server.address);
    assert_eq!(after.state(&upload).expect("its state").offset, FIRST_BYTES);
    let rest = 200_000 - FIRST_BYTES;
    assert_eq!(after.patch(&upload, &mut file, FIRST_BYTES, rest).expect("the rest"), 200_000);
    drop((before, half, after));
    server.stop().expect("a clean stop");
    check(&find_binary().expect("the server"), &data).expect("index and disk agree");
}
