//! The order of system calls, from bytes to answer, for every way in: what a trace of the real process shows.

use std::path::Path;
use std::process::Command;

use photosync_tests::http::Client;
use photosync_tests::server::find_binary;

use super::send::{Operation, WAYS, Way, sign_up};
use super::torture::process::{Running, Started, serve_command, start};

/// One finished system call of a trace: the lines where it began and ended.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) begins: usize,
    pub(super) ends: usize,
}

#[test]
fn every_way_in_syncs_bytes_name_and_row_before_the_first_byte_of_the_answer() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (data, trace) = (scratch.path().join("data"), scratch.path().join("trace"));
    let server = start_traced(&find_binary().expect("the server"), &data, &trace);
    let session = sign_up(server.address);
    let mut client = Client::new(server.address);
    for (number, way) in WAYS.into_iter().enumerate() {
        let seed = 77 + number as u64;
        let name = format!("traced-{number}");
        let operation = Operation::new(format!("traced-{number}"), way, name, seed, 5000);
        let answer = operation.send(&mut client, &session).expect("an answer");
        assert_eq!(answer.status(), way.stored_status(), "{way:?}: {}", answer.text());
    }
    drop(client);
    server.stop().expect("a clean stop");
    let text = std::fs::read_to_string(&trace).expect("the trace");
    let calls = parse_trace(&text);
    let mut before = 0;
    for (number, way) in WAYS.into_iter().enumerate() {
        before = require_order(&calls, before, way, &format!("traced-{number}"));
    }
    println!("crash: bytes, name, folder, log, answer: in order for {} ways in", WAYS.len());
}

/// Starts a server whose flushes, renames and answers are written to `trace`.
pub(super) fn start_traced(binary: &Path, data: &Path, trace: &Path) -> Running {
    let has_strace =
        Command::new("strace").arg("-V").output().is_ok_and(|out| out.status.success());
    assert!(has_strace, "strace is not installed: apt-get install strace");
    let serve = serve_command(binary, data);
    // Only for the answers' heads and the paths: the bodies are longer than what is shown of them.
    let traced = "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    let mut command = Command::new("strace");
    command.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-f", "-y", "-s", "600", "-e", traced, "-o"]).arg(trace);
    command.arg(serve.get_program()).args(serve.get_args());
    start(command, &data.with_extension("log")).and_then(Started::ready).expect("a start")
}

/// Checks the calls between the answer before (line `after`) and this one; returns the line of this answer.
fn require_order(calls: &[Call], after: usize, way: Way, request_id: &str) -> usize {
    let status_line = format!("HTTP/1.1 {}", way.stored_status());
    let is_answer = |call: &&Call| {
        let sends = ["sendto", "sendmsg", "write", "writev"].contains(&call.name.as_str());
        sends && call.arguments.contains(&status_line) && call.arguments.contains(request_id)
    };
    let answer = calls.iter().find(is_answer).unwrap_or_else(|| panic!("{way:?}: no answer"));
    // Every step must have ended before the next one begins.
    let step = |what: &str, from: usize, wanted: &dyn Fn(&Call) -> bool| -> &Call {
        let found = calls
            .iter()
            .find(|call| call.begins > from && call.ends < answer.begins && wanted(call));
        found.unwrap_or_else(|| panic!("{way:?}: {what} is not between line {from} and the answer"))
    };
    let staged = step("a flush of the staged bytes", after, &|call| {
        is_sync(call) && call.arguments.contains("/.staging/")
    });
    let staged_path = between(&staged.arguments, '<', '>').to_owned();
    let renamed = step("the rename", staged.ends, &|call| {
        call.name.starts_with("rename") && call.arguments.contains(&format!("\"{staged_path}\""))
    });
    let target = renamed.arguments.split('"').nth(3).expect("the final name");
    let folder = Path::new(target).parent().expect("a folder").display().to_string();
    assert!(!folder.contains(".staging"), "{way:?}: renamed to {target}");
    let synced = step("a flush of the final folder", renamed.ends, &|call| {
        is_sync(call) && between(&call.arguments, '<', '>') == folder
    });
    step("a flush of the database's log", synced.ends, &|call| {
        is_sync(call) && between(&call.arguments, '<', '>').ends_with("photosync.db-wal")
    });
    answer.begins
}

pub(super) fn is_sync(call: &Call) -> bool {
    call.name == "fsync" || call.name == "fdatasync"
}

pub(super) fn between(text: &str, open: char, close: char) -> &str {
    let inner = text.split_once(open).map_or("", |(_, rest)| rest);
    inner.split_once(close).map_or(inner, |(inner, _)| inner)
}

/// Finished calls; `<unfinished ...>` and `<... resumed>` of one thread are put together.
pub(super) fn parse_trace(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut waiting: Vec<(String, Call)> = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let Some((thread, rest)) = content.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            if let Some(index) = waiting.iter().position(|(waits, _)| waits == thread) {
                let (_, mut call) = waiting.swap_remove(index);
                call.ends = line;
                if !rest.contains("= -1 ") {
                    calls.push(call);
                }
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let call = Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            begins: line,
            ends: line,
        };
        if rest.ends_with("<unfinished ...>") {
            waiting.push((thread.to_owned(), call));
        } else if !rest.contains(") = -1 ") {
            calls.push(call);
        }
    }
    calls.sort_by_key(|call| call.begins);
    calls
}
