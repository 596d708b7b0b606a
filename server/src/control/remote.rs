//! The loopback listener of a running server, and how a subcommand reaches it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use photosync_protocol::control::{
    PAIR_COMPUTER_PATH, PAIR_PAGE_PATH, PairComputer, STATUS_PATH, STOP_PATH, WEB_PAGE_PATH,
};
use photosync_protocol::error::{ErrorBody, ErrorCode};
use photosync_protocol::process::RunFile;
use sha2::{Digest, Sha256};

use super::pages::{self, Goal, Pages};
use super::{Command, Outcome, execute, status};
use crate::blobs::volume;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::secrets::Secrets;

const SECRET: &str = "control";
const RUN_FILE: &str = "run.json";
/// Between two looks whether a server has stopped.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// 20 s of them.
const LOOKS: u32 = 200;

/// Routes of the control listener, under the token of `<data>/secrets/control`; pages have keys of their own.
pub fn router(app: &App) -> io::Result<Router> {
    let wanted = Sha256::digest(format!("Bearer {}", app.secrets.get_or_make(SECRET)?));
    let guard = from_fn(move |request: Request, next: Next| async move {
        let presented = request.headers().get(header::AUTHORIZATION);
        if Sha256::digest(presented.map(HeaderValue::as_bytes).unwrap_or_default()) != wanted {
            let error = Error::new(ErrorCode::Unauthorised, "the control token is wrong");
            return error.into_response();
        }
        next.run(request).await
    });
    let command = |State(app): State<App>, Json(command): Json<Command>| async move {
        let outcome: Result<Outcome> = execute(&app, command).await;
        outcome.map(Json)
    };
    let pair_computer = |State(app): State<App>, Json(wanted): Json<PairComputer>| async move {
        let outcome = execute(&app, Command::Pair { email: wanted.email }).await?;
        outcome.offer.map(Json).ok_or_else(|| Error::internal("offer a pairing to this computer"))
    };
    let status = |State(app): State<App>| status::stream_status(app);
    let stop = |State(app): State<App>| async move {
        tracing::info!("asked to stop through the control listener");
        app.stop();
        StatusCode::NO_CONTENT
    };
    let pages = Arc::new(Pages::default());
    let opening = |goal: Goal| {
        let pages = pages.clone();
        move |State(app): State<App>| async move { Json(pages::open(&app, &pages, goal)) }
    };
    Ok(Router::new()
        .route("/control/command", post(command))
        .route(STATUS_PATH, get(status))
        .route(STOP_PATH, post(stop))
        .route(PAIR_PAGE_PATH, post(opening(Goal::Pair)))
        .route(WEB_PAGE_PATH, post(opening(Goal::Web)))
        .route(PAIR_COMPUTER_PATH, post(pair_computer))
        .layer(guard)
        .with_state(app.clone())
        .merge(pages::router(app, pages)))
}

/// Notes where a running server can be reached.
pub fn announce(data_dir: &Path, port: u16, started_by: &str) -> io::Result<()> {
    let run = RunFile { pid: std::process::id(), port, started_by: started_by.into() };
    crate::blobs::write_durably(&data_dir.join(RUN_FILE), &serde_json::to_vec(&run)?)
}

/// Takes the note back.
pub fn withdraw(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(RUN_FILE));
}

/// Whether a server noted that it runs on `data_dir`. One that was killed leaves its note.
pub fn is_announced(data_dir: &Path) -> bool {
    data_dir.join(RUN_FILE).exists()
}

/// Sends a command to the server that holds `data_dir`. Blocks until it is carried out: `check --read` over a large library
/// takes as long as it takes.
pub fn send(data_dir: &Path, command: &Command) -> std::result::Result<Outcome, String> {
    send_within(data_dir, command, None)
}

/// The same; a server that says nothing for longer than `patience` counts as one that cannot be reached.
pub fn send_within(
    data_dir: &Path,
    command: &Command,
    patience: Option<Duration>,
) -> std::result::Result<Outcome, String> {
    let body = serde_json::to_vec(command).map_err(|error| error.to_string())?;
    let answer = exchange(data_dir, "/control/command", &body, patience).map_err(unreachable)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or("the server's answer could not be understood")?;
    if head.split(' ').nth(1) == Some("200") {
        return serde_json::from_str(body).map_err(|error| error.to_string());
    }
    Err(serde_json::from_str::<ErrorBody>(body).map_or_else(|_| head.to_owned(), |body| body.error))
}

/// Whether the server that holds `data_dir` still answers at all, asked for nothing. Blocks for `patience` at most.
///
/// # Errors
/// It does not: why, for people.
pub fn require_answer(data_dir: &Path, patience: Duration) -> std::result::Result<(), String> {
    let ask = || -> io::Result<()> {
        let run: RunFile = serde_json::from_slice(&std::fs::read(data_dir.join(RUN_FILE))?)?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, run.port))?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /control/status HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        // Without a token it is refused, which is an answer.
        stream.read_exact(&mut [0])
    };
    ask().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("a server holds this data, and has not answered for {} s", patience.as_secs())
        }
        _ => unreachable(error),
    })
}

/// Asks the server that holds `data_dir` to stop, and waits until it has; false if there is none. Blocks, at most twice
/// as long as a server may take.
pub fn stop(data_dir: &Path) -> std::result::Result<bool, String> {
    let is_held = || volume::is_held(data_dir).map_err(|error| error.to_string());
    if !is_held()? {
        return Ok(false);
    }
    let answer = exchange(data_dir, STOP_PATH, b"", None).map_err(unreachable)?;
    if answer.split(' ').nth(1) != Some("204") {
        return Err("the server did not take the order to stop".to_owned());
    }
    for _ in 0..LOOKS {
        if !is_held()? {
            return Ok(true);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err("the server was asked to stop, and still runs".to_owned())
}

fn unreachable(error: io::Error) -> String {
    format!(
        "a server holds this data, but it cannot be reached: {error} (is it starting or stopping?)"
    )
}

/// One request to the server that holds `data_dir`, over loopback. HTTP/1.0, so that the answer is plain bytes until the
/// end.
fn exchange(
    data_dir: &Path,
    path: &str,
    body: &[u8],
    patience: Option<Duration>,
) -> io::Result<String> {
    let run: RunFile = serde_json::from_slice(&std::fs::read(data_dir.join(RUN_FILE))?)?;
    let token = Secrets::open(data_dir)?.get_or_make(SECRET)?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, run.port))?;
    // Without patience: `check --read` over a large library takes as long as it takes.
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
