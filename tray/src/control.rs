//! Follows the status of the server that holds a data folder, over its loopback control listener.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use photosync_protocol::control::{
    OpenedPage, PAIR_COMPUTER_PATH, PairComputer, STATUS_EVERY_MS, STATUS_PATH, STOP_PATH, Status,
};
use photosync_protocol::process::RunFile;
use photosync_protocol::v2::session::PairingOffer;

/// Longest wait for the first line: a server that is starting has opened its port, but not its database.
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// Longest silence between two lines; what is shown is never older.
pub const NEXT_WAIT: Duration = Duration::from_millis(2 * STATUS_EVERY_MS);

/// Why a server is not followed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its stream ended, or the follower had heard enough.
    Over,
    /// It said nothing for [`NEXT_WAIT`].
    Silent,
}

/// Calls `heard` with each status until the stream ends or `heard` says stop. An error means that there was no server.
pub fn follow(data_dir: &Path, heard: impl FnMut(Status) -> bool) -> io::Result<()> {
    follow_patiently(data_dir, || false, heard).map(drop)
}

/// The same, and goes on waiting on the same connection for as long as `is_patient` says so in a silence.
///
/// # Errors
/// There was no server.
pub fn follow_patiently(
    data_dir: &Path,
    is_patient: impl Fn() -> bool,
    mut heard: impl FnMut(Status) -> bool,
) -> io::Result<End> {
    let mut lines = BufReader::new(ask(data_dir, "GET", STATUS_PATH, "")?);
    skip_head(&mut lines)?;
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let first: Status = serde_json::from_str(&line)?;
    lines.get_ref().set_read_timeout(Some(NEXT_WAIT))?;
    let mut goes_on = heard(first);
    while goes_on {
        line.clear();
        // What came of a line before a silence stays in it.
        let read = loop {
            match lines.read_line(&mut line) {
                Err(error) if is_silence(&error) && is_patient() => {}
                read => break read,
            }
        };
        match read {
            Ok(1..) => {}
            Err(error) if is_silence(&error) => return Ok(End::Silent),
            Ok(0) | Err(_) => break,
        }
        let Ok(status) = serde_json::from_str(&line) else { break };
        goes_on = heard(status);
    }
    Ok(End::Over)
}

/// Whether nothing came within the time limit; systems have two words for it.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Asks the server to stop.
pub fn stop(data_dir: &Path) -> io::Result<()> {
    skip_head(&mut BufReader::new(ask(data_dir, "POST", STOP_PATH, "")?))
}

/// The same, if it is this process. An error if another one holds the data, or none yet.
#[cfg(any(not(unix), test))]
pub fn stop_process(data_dir: &Path, pid: u32) -> io::Result<()> {
    let run = run_file(data_dir)?;
    if run.pid != pid {
        return Err(io::Error::other(format!("process {} runs, not process {pid}", run.pid)));
    }
    stop(data_dir)
}

/// Opens a page of the control listener (`PAIR_PAGE_PATH`, `WEB_PAGE_PATH`): its address, which works once.
pub fn open_page(data_dir: &Path, path: &str) -> io::Result<String> {
    let stream = ask(data_dir, "POST", path, "")?;
    let port = stream.peer_addr()?.port();
    let mut answer = BufReader::new(stream);
    skip_head(&mut answer)?;
    let page: OpenedPage = serde_json::from_reader(answer)?;
    Ok(format!("http://127.0.0.1:{port}{}", page.path))
}

fn run_file(data_dir: &Path) -> io::Result<RunFile> {
    Ok(serde_json::from_slice(&std::fs::read(data_dir.join("run.json"))?)?)
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
    let run = run_file(data_dir)?;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use super::*;

    /// A server that says one line, then nothing until it is told to go.
    fn follow_a_silent_one(is_patient: impl Fn(u32) -> bool) -> (End, u32) {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let run = RunFile { pid: 7, port, started_by: "terminal".into() };
        std::fs::write(dir.path().join("run.json"), serde_json::to_vec(&run).unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("secrets")).unwrap();
        std::fs::write(dir.path().join("secrets/control"), "token").unwrap();
        let (go, told) = channel::<()>();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let status = r#"{"version":"1","pid":7,"port":1,"accounts":0,"stored":0,"received_bytes":0,"was_reached":false,"free_bytes":null}"#;
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{status}\n").unwrap();
            // Ends when the sender goes, too.
            let _ = told.recv();
        });
        let silences = Cell::new(0);
        let go = Cell::new(Some(go));
        let asked = || {
            silences.set(silences.get() + 1);
            let goes_on = is_patient(silences.get());
            if goes_on && silences.get() == 2 {
                drop(go.take());
            }
            goes_on
        };
        let mut lines = 0;
        let end = follow_patiently(dir.path(), asked, |_| {
            lines += 1;
            true
        });
        assert_eq!(lines, 1);
        drop(go.take());
        server.join().unwrap();
        (end.unwrap(), silences.get())
    }

    #[test]
    fn a_silent_server_is_left_at_once_and_a_stopping_one_when_its_stream_ends() {
        assert_eq!(follow_a_silent_one(|_| false), (End::Silent, 1));
        let (end, silences) = follow_a_silent_one(|_| true);
        // More of them on a machine with other work.
        assert!(end == End::Over && silences >= 2, "{end:?} after {silences}");
        assert_eq!(follow_a_silent_one(|silences| silences < 2), (End::Silent, 2));
    }
}
