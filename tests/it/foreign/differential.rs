//! The same tus requests, played against this server and `@tus/server`: statuses and headers of the protocol agree,
//! but for a written list of differences.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use photosync_tests::http::{Answer, Body, Client, Request};
use photosync_tests::tus_client::path_of;

use super::TusServer;
use super::scripts::{DIFFERENCES, scripts};
use crate::stand::Stand;
use crate::sync::Native;

/// Headers that are compared, value by value.
const COMPARED: &[&str] = &[
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Metadata",
    "Upload-Concat",
    "Cache-Control",
];

/// Headers of which only the presence is compared.
const PRESENT: &[&str] = &["Location", "Upload-Expires"];

/// What every `POST` says of the file, unless the line says something else: `filename` is `a.jpg`.
const NAMED: &str = "filename YS5qcGc=";

/// A server that speaks tus, and what it was asked to create.
struct Player {
    address: SocketAddr,
    path: &'static str,
    authorization: String,
    created: Vec<String>,
}

impl Player {
    fn play(&mut self, line: &str) -> Answer {
        let (line, body) = match line.split_once(" <") {
            Some((line, body)) => (line, Some(body.strip_prefix(' ').unwrap_or(body))),
            None => (line, None),
        };
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let method = words.next().expect("a method");
        let mut target = match method {
            "POST" | "OPTIONS" => self.path.to_owned(),
            _ => self.created.last().cloned().unwrap_or_else(|| self.none()),
        };
        let mut headers = BTreeMap::from([("Tus-Resumable", "1.0.0".to_owned())]);
        if method == "POST" {
            headers.insert("Upload-Metadata", NAMED.to_owned());
        }
        if method == "PATCH" {
            headers.insert("Content-Type", "application/offset+octet-stream".to_owned());
        }
        for word in words {
            match (word, word.split_once('=')) {
                ("@1", _) => target = self.created.first().cloned().unwrap_or_else(|| self.none()),
                ("@none", _) => target = self.none(),
                (_, Some(("Upload-Metadata", value))) => {
                    headers.insert("Upload-Metadata", value.replace('~', " "));
                }
                (_, Some((name, ""))) => {
                    headers.remove(name);
                }
                (_, Some((name, value))) => {
                    headers.insert(name, value.replace('~', " "));
                }
                _ => panic!("cannot read {word:?} of {line:?}"),
            }
        }
        let mut request = Request::new(method, target);
        if !self.authorization.is_empty() {
            request = request.header("Authorization", &self.authorization);
        }
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let body = match (body, method) {
            (Some(bytes), _) => Body::Bytes(bytes.as_bytes()),
            (None, "POST" | "PATCH") => Body::Bytes(b""),
            _ => Body::None,
        };
        let answer = Client::new(self.address).send(request.body(body)).expect("an answer");
        if method == "POST" && answer.status() == 201 {
            let location = answer.header("location").expect("a location").to_owned();
            self.created.push(path_of(&location).to_owned());
        }
        answer
    }

    fn none(&self) -> String {
        format!("{}/00000000000000000000000000000000", self.path)
    }
}

/// What is compared of an answer.
fn shown(answer: &Answer) -> BTreeMap<&'static str, String> {
    let mut shown = BTreeMap::from([("status", answer.status().to_string())]);
    for name in COMPARED {
        if let Some(value) = answer.header(name) {
            shown.insert(name, value.to_owned());
        }
    }
    for name in PRESENT {
        if answer.header(name).is_some() {
            shown.insert(name, "there".to_owned());
        }
    }
    shown
}

#[test]
fn another_tus_server_answers_the_same_but_for_a_written_list() {
    let theirs = TusServer::start();
    let stand = Stand::new(&[]);
    let phone = Native::sign_in(&stand, &stand.person());
    let scripts = scripts();
    assert!(scripts.len() >= 40, "{} sequences", scripts.len());
    let mut unexpected = Vec::new();
    let mut used = vec![false; DIFFERENCES.len()];
    for (script, lines) in scripts {
        let authorization = format!("Bearer {}", phone.access);
        let address = stand.address();
        let mut our = Player { address, path: "/api/v2/tus", authorization, created: Vec::new() };
        let mut other = Player {
            address: theirs.address,
            path: TusServer::PATH,
            authorization: String::new(),
            created: Vec::new(),
        };
        for (number, line) in lines.iter().enumerate() {
            let (ours, others) = (our.play(line), other.play(line));
            let (ours_shown, others_shown) = (shown(&ours), shown(&others));
            let every = ["status"].iter().chain(COMPARED).chain(PRESENT);
            for what in every {
                let (a, b) = (ours_shown.get(what), others_shown.get(what));
                if a == b {
                    continue;
                }
                let fits = |wanted: &str, found: Option<&String>| {
                    found.map_or("", String::as_str) == wanted
                };
                let method = line.split(' ').next().unwrap_or_default();
                let known = DIFFERENCES.iter().position(|difference| {
                    difference.place.is(script, number, method)
                        && difference.what == *what
                        && fits(difference.here, a)
                        && fits(difference.there, b)
                });
                match known {
                    Some(index) => used[index] = true,
                    None => unexpected.push(format!(
                        "{script:?}, line {number} ({line}): {what}: here {a:?}, there {b:?}"
                    )),
                }
            }
        }
    }
    assert!(unexpected.is_empty(), "{} differences:\n{}", unexpected.len(), unexpected.join("\n"));
    let gone = DIFFERENCES.iter().zip(used).filter(|(_, used)| !used);
    let gone: Vec<String> = gone
        .map(|(difference, _)| {
            format!("{:?} {}: {}", difference.place, difference.what, difference.why)
        })
        .collect();
    assert!(gone.is_empty(), "these differences do not show any more:\n{}", gone.join("\n"));
}
