//! Follows the status of the server that holds a data folder, over its loopback control listener.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use photosync_protocol::control::{
    OpenedPage, PAIR_COMPUTER_PATH, PAIR_PAGE_PATH, PairComputer, STATUS_EVERY_MS, STATUS_PATH,
    STOP_PATH, Status,
};
use photosync_protocol::process::RunFile;
use photosync_protocol::v2::session::PairingOffer;

/// Longest wait for the first line: a server that is starting has opened its port, but not its database.
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// Longest silence between two lines; what is shown is never older.
const NEXT_WAIT: Duration = Duration::from_millis(2 * STATUS_EVERY_MS);

/// Calls `heard` with each status until the stream ends or `heard` says stop. An error means that there was no server.
pub fn follow(data_dir: &Path, mut heard: impl FnMut(Status) -> bool) -> io::Result<()> {
    let mut lines = BufReader::new(ask(data_dir, "GET", STATUS_PATH, "")?);
    skip_head(&mut lines)?;
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let first: Status = serde_json::from_str(&line)?;
    lines.get_ref().set_read_timeout(Some(NEXT_WAIT))?;
    let mut goes_on = heard(first);
    while goes_on {
        line.clear();
        let Ok(1..) = lines.read_line(&mut line) else { break };
        let Ok(status) = serde_json::from_str(&line) else { break };
        goes_on = heard(status);
    }
    Ok(())
}

/// Asks the server to stop.
pub fn stop(data_dir: &Path) -> io::Result<()> {
    skip_head(&mut BufReader::new(ask(data_dir, "POST", STOP_PATH, "")?))
}

/// Opens the page for pairing a phone: its address, which works once.
pub fn open_pair_page(data_dir: &Path) -> io::Result<String> {
    let stream = ask(data_dir, "POST", PAIR_PAGE_PATH, "")?;
    let port = stream.peer_addr()?.port();
    let mut answer = BufReader::new(stream);
    skip_head(&mut answer)?;
    let page: OpenedPage = serde_json::from_reader(answer)?;
    Ok(format!("http://127.0.0.1:{port}{}", page.path))
}

/// Asks for a code with which this computer's client signs in as that account.
pub fn pair_computer(data_dir: &Path, email: &str) -> io::Result<PairingOffer> {
    let wanted = serde_json::to_string(&PairComputer { email: email.to_owned() })?;
    let mut answer = BufReader::new(ask(data_dir, "POST", PAIR_COMPUTER_PATH, &wanted)?);
    skip_head(&mut answer)?;
    Ok(serde_json::from_reader(answer)?)
}

/// Sends a request; a body is JSON. HTTP/1.0, so that the answer is plain bytes until the end.
fn ask(data_dir: &Path, method: &str, path: &str, body: &str) -> io::Result<TcpStream> {
    let run: RunFile = serde_json::from_slice(&std::fs::read(data_dir.join("run.json"))?)?;
    let token = std::fs::read_to_string(data_dir.join("secrets").join("control"))?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, run.port))?;
    stream.set_read_timeout(Some(FIRST_WAIT))?;
    stream.set_write_timeout(Some(FIRST_WAIT))?;
    let (token, length) = (token.trim(), body.len());
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

/// Reads the head of an answer. Anything but success is an error: then it is not our server, or not with our token.
fn skip_head(answer: &mut impl BufRead) -> io::Result<()> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    if !line.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        return Err(io::Error::other(format!("the server answered {}", line.trim())));
    }
    while line.trim() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok(())
}
