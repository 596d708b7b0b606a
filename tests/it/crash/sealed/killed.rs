//! The server is killed at every named point that sealed bytes pass on their way in. After the restart everything that was
//! answered is there, and the same request is taken.

use photosync_tests::http::Client;
use photosync_tests::server::find_binary;

use super::super::torture::process::{Started, check, serve_command, start, wait_until};
use super::super::torture::{Dice, binaries, list_below};
use super::{Owner, Step, keyring, round};

/// Named points on the way from the first byte to the answer.
const POINTS: [&str; 6] = ["write", "sync", "publish", "published", "sync_dir", "commit"];
/// Passes of each point that are tried.
const PASSES: [u64; 4] = [1, 2, 3, 7];

#[test]
fn sealed_bytes_survive_a_kill_at_every_named_point_and_are_taken_again() {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let (binary, log) = (find_binary().expect("the server"), data.with_extension("log"));
    let faulty = binaries::fault_server().expect("the server with fault points");
    let plain = || start(serve_command(&binary, &data), &log).and_then(Started::ready);
    let server = plain().expect("a start");
    let owner = Owner::sign_up(server.address);
    server.stop().expect("a clean stop");
    let (mut dice, mut kept): (Dice, Vec<Step>) = (Dice(77), Vec::new());
    let (mut kills, mut sequence) = (0, 0);
    for point in POINTS {
        for nth in PASSES {
            sequence += 1;
            let mut steps = round(&mut dice, 5, sequence);
            steps.push(keyring(&mut dice, sequence));
            let mut offered = kept.clone();
            offered.extend(steps.iter().cloned());
            // One server after the other gets as far as it comes; the last one is never killed.
            let mut next = 0;
            while next < steps.len() {
                let mut command = serve_command(&faulty, &data);
                command.env("PHOTOSYNC_FAULT", format!("{point}:{nth}:kill"));
                // The start passes points, too: a server that dies there has promised nothing.
                if let Ok(server) = start(command, &log).and_then(Started::ready) {
                    let mut client = Client::new(server.address);
                    while let Some(step) = steps.get(next) {
                        let Ok(answer) = owner.send(&mut client, step) else { break };
                        let status = answer.status();
                        assert!([200, 201].contains(&status), "{}: {}", step.id, answer.text());
                        kept.push(step.clone());
                        next += 1;
                    }
                    server.kill();
                }
                kills += u64::from(next < steps.len());
                let case =
                    format!("{point}:{nth} at {}", steps.get(next).map_or("", |step| &step.id));
                let server = plain().unwrap_or_else(|error| panic!("{case}: {error}"));
                let staged = list_below(&data.join("relay"), ".staging").expect("the relay");
                assert!(staged.is_empty(), "{case} left {staged:?}");
                let mut client = Client::new(server.address);
                let found = owner.require_kept(&mut client, &kept, &offered);
                found.unwrap_or_else(|wrong| panic!("after {case}: {wrong}"));
                // The one that was hit is taken now.
                if let Some(step) = steps.get(next) {
                    let taken = owner.require_sent(&mut client, step);
                    taken.unwrap_or_else(|wrong| panic!("after {case}: {wrong}"));
                    kept.push(step.clone());
                    next += 1;
                }
                drop(client);
                server.stop().expect("a clean stop");
            }
        }
    }
    let server = plain().expect("a start");
    let mut found = Ok(());
    let agreed = wait_until(std::time::Duration::from_secs(20), || {
        found = check(&binary, &data);
        found.is_ok()
    });
    assert!(agreed, "{found:?}");
    let all = owner.require_kept(&mut Client::new(server.address), &kept, &kept);
    all.unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("crash: {kills} kills amid sealed bytes, {} requests kept", kept.len());
    assert!(kills >= 30, "{kills} kills");
}
