//! The order of system calls for sealed bytes: each object is flushed, named, and its folder flushed; then the note of its
//! place, if it has one, and the database's log; then comes the answer.

use std::collections::BTreeSet;
use std::path::Path;

use photosync_tests::http::Client;
use photosync_tests::server::find_binary;

use super::super::order::{Call, between, is_sync, parse_trace, start_traced};
use super::super::torture::Dice;
use super::{Load, Owner, Step, keyring, round};

#[test]
fn sealed_bytes_are_flushed_before_their_name_and_all_of_it_before_the_answer() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (data, trace) = (scratch.path().join("data"), scratch.path().join("trace"));
    let server = start_traced(&find_binary().expect("the server"), &data, &trace);
    let owner = Owner::sign_up(server.address);
    let mut client = Client::new(server.address);
    let mut dice = Dice(99);
    let mut steps = round(&mut dice, 3, 1);
    steps.push(keyring(&mut dice, 1));
    for step in &steps {
        owner.require_sent(&mut client, step).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    drop(client);
    server.stop().expect("a clean stop");
    let text = std::fs::read_to_string(&trace).expect("the trace");
    let calls = parse_trace(&text);
    let mut before = 0;
    for step in &steps {
        before = require_order(&calls, before, step);
    }
    println!("crash: bytes, name, folder, place, log, answer: in order for sealed bytes");
}

/// Checks the calls between the answer before (line `after`) and this one; returns the line of this answer.
fn require_order(calls: &[Call], after: usize, step: &Step) -> usize {
    let is_answer = |call: &&Call| {
        let sends = ["sendto", "sendmsg", "write", "writev"].contains(&call.name.as_str());
        sends && call.arguments.contains("HTTP/1.1 20") && call.arguments.contains(&step.id)
    };
    let answer = calls.iter().find(is_answer).unwrap_or_else(|| panic!("{}: no answer", step.id));
    let between_answers: Vec<&Call> =
        calls.iter().filter(|call| call.begins > after && call.ends < answer.begins).collect();
    let renames = between_answers
        .iter()
        .filter(|call| call.name.starts_with("rename") && call.arguments.contains("/chunks/"));
    let wanted: BTreeSet<String> =
        step.objects().into_iter().map(|object| hex::encode(super::raw_id(object))).collect();
    let (mut named, mut last) = (BTreeSet::new(), after);
    for rename in renames {
        let mut paths = rename.arguments.split('"').skip(1).step_by(2).map(Path::new);
        let (from, to) = (paths.next().expect("a path"), paths.next().expect("a path"));
        named.insert(to.file_name().expect("a name").to_string_lossy().into_owned());
        let synced = |path: &Path, from: usize, to: usize| {
            between_answers.iter().find(|call| {
                let is_it = Path::new(between(&call.arguments, '<', '>')) == path;
                is_sync(call) && is_it && call.begins > from && call.ends < to
            })
        };
        let bytes = synced(from, after, rename.begins);
        assert!(bytes.is_some(), "{}: {} got its name unflushed", step.id, to.display());
        let folder = synced(to.parent().expect("a folder"), rename.ends, answer.begins);
        let folder = folder.unwrap_or_else(|| {
            panic!("{}: the folder of {} was not flushed", step.id, to.display())
        });
        last = last.max(folder.ends);
    }
    assert_eq!(named, wanted, "{}", step.id);
    let flushed = |what: &str, from: usize| {
        let found = between_answers.iter().find(|call| {
            let path = between(&call.arguments, '<', '>');
            is_sync(call) && path.ends_with(what) && call.begins > from
        });
        found
            .unwrap_or_else(|| panic!("{}: {what} was not flushed before the answer", step.id))
            .ends
    };
    if matches!(step.load, Load::Segment { .. } | Load::Keyring { .. }) {
        last = flushed(".chains.jsonl", last);
    }
    flushed("photosync.db-wal", last);
    answer.begins
}
