//! The PhotoSync server as a contestant, and the few of its routes the bench calls.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::contestant::{Contestant, OURS, Server, Shelf};
use crate::http::{Answer, Connection, HttpError};
use crate::load::Uploader;
use crate::payload::Content;
use crate::process::{Running, clean_command};

/// Longest wait for the ready line: 60 s.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// What the ready line starts with.
const READY_MARK: &str = "PHOTOSYNC-READY ";
/// The one account of a run. The device UUID only has to be well formed and the same throughout.
pub const EMAIL: &str = "bench@example.com";
/// The account's password; nothing else ever has it.
pub const PASSWORD: &str = "correct horse battery staple";
const DEVICE_UUID: &str = "5b0c7a4e-5d0f-4d43-9c39-0a8f4be8e001";

/// The server binary to measure.
#[derive(Debug, Clone)]
pub struct PhotoSync {
    program: PathBuf,
}

/// Header lines that prove who asks; each ends in CR LF.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The lines.
    pub headers: String,
}

/// A started server before anybody signed in.
#[derive(Debug)]
pub struct Ready {
    /// The process.
    pub process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// From spawn to the ready line.
    pub took: Duration,
}

/// Sends a file by `POST /api/upload/raw`.
struct Raw {
    sign_in: SignIn,
}

impl Uploader for Raw {
    fn upload(&self, connection: &mut Connection, file: &Content) -> Result<Answer, HttpError> {
        let headers = format!(
            "{}Content-Type: image/jpeg\r\nX-Filename: {}\r\n",
            self.sign_in.headers,
            file.name()
        );
        connection.send("POST", "/api/upload/raw", &headers, Some(file))
    }

    fn objection(&self, answer: &Answer) -> Option<String> {
        let body = String::from_utf8_lossy(&answer.body);
        body.contains("\"duplicate\"").then(|| format!("called a duplicate: {body}"))
    }
}

impl PhotoSync {
    /// The contestant, when the binary is there.
    pub fn find(program: Option<&Path>) -> Option<Self> {
        let program = program?.canonicalize().ok()?;
        program.is_file().then_some(Self { program })
    }

    /// Starts the server on the data in `home/data`, which may be empty.
    pub fn start_bare(&self, home: &Path) -> Result<Ready, Failure> {
        let mut command = clean_command(&self.program, home);
        command.arg("serve").arg("--data").arg(data_dir(home));
        command.envs([
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0"),
            ("PHOTOSYNC_REGISTRATION_MODE", "open"),
            ("PHOTOSYNC_DISCOVERY", "off"),
            ("PHOTOSYNC_UPDATE_CHECK", "off"),
        ]);
        command.stdout(Stdio::piped());
        let begun = Instant::now();
        let mut process = Running::start(OURS, command, home)?;
        let line = first_line(&mut process)?;
        let took = begun.elapsed();
        let address = listen_address(&line).ok_or_else(|| {
            process.complaint(&format!("printed a ready line without an address: {line}"))
        })?;
        Ok(Ready { process, address, took })
    }
}

impl Contestant for PhotoSync {
    fn name(&self) -> &str {
        OURS
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn start(&self, home: &Path) -> Result<Server, Failure> {
        let Ready { process, address, .. } = self.start_bare(home)?;
        let sign_in = register(address).and_then(|()| sign_in(address))?;
        let uploader = Box::new(Raw { sign_in: sign_in.clone() });
        Ok(Server { process, address, uploader, shelf: Shelf::Listing(sign_in) })
    }
}

/// The server's data folder below a contestant's home.
pub fn data_dir(home: &Path) -> PathBuf {
    home.join("data")
}

/// Reads standard output in a thread of its own, because a pipe has no time limit.
fn first_line(process: &mut Running) -> Result<String, Failure> {
    let output = process.take_output().ok_or("the server's standard output is not piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines();
        // The receiver may have given up; then nobody wants the line.
        let _ = sender.send(lines.next());
    });
    match receiver.recv_timeout(READY_LIMIT) {
        Ok(Some(Ok(line))) => Ok(line),
        Ok(_) => Err(process.complaint("ended without a ready line")),
        Err(_) => Err(process.complaint(&format!("was not ready within {READY_LIMIT:?}"))),
    }
}

fn listen_address(line: &str) -> Option<SocketAddr> {
    let ready: Value = serde_json::from_str(line.strip_prefix(READY_MARK)?).ok()?;
    ready.get("listen")?.get(0)?.as_str()?.parse().ok()
}

/// Makes the run's account.
pub fn register(address: SocketAddr) -> Result<(), Failure> {
    let body = json!({
        "email": EMAIL, "password": PASSWORD, "device_uuid": DEVICE_UUID, "plan_gb": 1000,
    });
    succeed("register", Connection::new(address).post_json("/api/register", &body.to_string())?)?;
    Ok(())
}

/// Signs the run's account in.
pub fn sign_in(address: SocketAddr) -> Result<SignIn, Failure> {
    let body = json!({
        "email": EMAIL, "password": PASSWORD, "device_uuid": DEVICE_UUID, "device_name": "bench",
    });
    let answer = Connection::new(address).post_json("/api/login", &body.to_string())?;
    let answer = succeed("sign in", answer)?;
    let token = answer.get("token").and_then(Value::as_str).ok_or("no token in the sign-in")?;
    let headers = format!("Authorization: Bearer {token}\r\nX-Device-UUID: {DEVICE_UUID}\r\n");
    Ok(SignIn { headers })
}

/// Number of files the account's listing claims.
pub fn listed_total(address: SocketAddr, sign_in: &SignIn) -> Result<u64, Failure> {
    let answer = Connection::new(address).get("/api/files?offset=0&limit=1", &sign_in.headers)?;
    let page = succeed("list", answer)?;
    Ok(page.get("total").and_then(Value::as_u64).ok_or("the listing has no total")?)
}

/// The JSON of a successful answer.
pub fn succeed(attempt: &str, answer: Answer) -> Result<Value, Failure> {
    if !answer.is_success() {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        return Err(format!("could not {attempt}: status {}: {body}", answer.status).into());
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("the answer to {attempt} is not JSON: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_first_one_listened_on() {
        let line = r#"PHOTOSYNC-READY {"pid":1,"listen":["127.0.0.1:40123","[::1]:2"]}"#;
        assert_eq!(listen_address(line).unwrap().port(), 40123);
        assert!(listen_address("something else").is_none());
    }
}
