//! `photosync-tray`: reads its arguments, finds its places, and runs the loop beside the icon.

// On Windows a program with a console would open its window at every start.
#![cfg_attr(windows, windows_subsystem = "windows")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

use clap::Parser;
use photosync_protocol::control::WEB_PAGE_PATH;
use photosync_protocol::process::{Exit, usual_data_dir};
use photosync_tray::client_process::Client;
use photosync_tray::edges::Edges;
use photosync_tray::instance::Instance;
use photosync_tray::kept::Kept;
use photosync_tray::launcher::Launcher;
use photosync_tray::log::Log;
use photosync_tray::login::Login;
use photosync_tray::model::{Event, State};
use photosync_tray::server_process::{Program, beside_this_program};
use photosync_tray::{app, client_process, control, folders, native, network, old_data};

/// Keeps the PhotoSync server of this computer running and shows how a phone reaches it.
///
/// An icon in the panel shows whether the server runs, and the addresses to type into the phone. A second start
/// opens the web page of the first.
#[derive(Parser)]
#[command(name = "photosync-tray", version)]
struct Arguments {
    /// Folder with the photos and everything else the server keeps.
    #[arg(long, value_name = "DIR", env = "PHOTOSYNC_DATA_DIR")]
    data: Option<PathBuf>,
    /// The server program; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// The client program, which backs this computer up; by default the one beside the server program.
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            eprintln!("photosync-tray: {message}");
            // A program from a menu has no terminal: on these systems nobody would ever know.
            #[cfg(any(windows, target_os = "macos"))]
            let _ = photosync_tray::edges::show("PhotoSync could not be started", &message);
            ExitCode::from(exit.code())
        }
    }
}

fn run(arguments: Arguments) -> Result<(), (Exit, String)> {
    let data_dir = arguments
        .data
        .or_else(|| usual_data_dir(|name| std::env::var_os(name)))
        .ok_or((Exit::Usage, "no home folder is known; name a folder with --data".to_owned()))?;
    let unusable = |error: std::io::Error| {
        (Exit::Storage, format!("{} cannot be used: {error}", data_dir.display()))
    };
    let is_first_start = !data_dir.join("photosync.db").exists();
    std::fs::create_dir_all(&data_dir).map_err(unusable)?;
    let Some(_instance) = Instance::take(&data_dir).map_err(unusable)? else {
        return open_page(&data_dir);
    };
    let log = Log::open(&data_dir).map_err(unusable)?;
    let unfound = |error: std::io::Error| {
        (Exit::Unexpected, format!("this program does not know where it lies: {error}"))
    };
    let named =
        [("--server", arguments.server.as_deref()), ("--client", arguments.client.as_deref())];
    let again = arguments_of_later_starts(&data_dir, named);
    let binary = arguments.server.map_or_else(beside_this_program, Ok).map_err(unfound)?;
    let own = own_program(|name| std::env::var_os(name)).map_err(unfound)?;
    let login = Login::of_user(&own, |name| std::env::var_os(name))
        .map(|login| login.with_arguments(again.clone()));
    let launcher = Launcher::of_user(&own, &again, |name| std::env::var_os(name));
    let client = arguments.client.unwrap_or_else(|| client_process::beside(&binary));
    let kept = read_kept(&data_dir, &log);
    let usual = folders::usual(|name| std::env::var_os(name));
    let state = State::new(is_first_start, login.as_ref().map(Login::is_on)).remembering(
        kept,
        client.is_file(),
        usual,
    );
    let state = state.offering(old_data::find(&data_dir, |name| std::env::var_os(name)));
    let client = Client::new(client, log.clone());
    let program = Program { binary, data_dir, log: log.clone() };

    let (events, received) = channel();
    end_on_signals(events.clone(), &log);
    let news = events.clone();
    let watching = std::thread::Builder::new()
        .name("network".into())
        .stack_size(256 * 1024)
        .spawn(move || network::watch(news));
    if let Err(error) = watching {
        log.note(&format!("changes of the network will not be seen: {error}"));
    }
    let edges = Edges::new(events.clone(), program, client, login).with_launcher(launcher);
    let noted = log.clone();
    native::run(events, log, move |show| app::run(state, &received, edges, &noted, show));
    Ok(())
}

/// What later starts have to run. In an AppImage that is its file: the place where this program lies there goes with the
/// process.
fn own_program(variable: impl Fn(&str) -> Option<OsString>) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Both variables are inherited by whatever an AppImage starts, as a terminal may.
    let is_inside = variable("APPDIR").is_some_and(|folder| own.starts_with(folder));
    let file = variable("APPIMAGE").filter(|_| is_inside).map(PathBuf::from);
    Ok(file.filter(|file| file.is_file()).unwrap_or(own))
}

/// What a start from the desktop has to say so that it finds the same photos and programs.
fn arguments_of_later_starts(
    data_dir: &Path,
    programs: [(&str, Option<&Path>); 2],
) -> Vec<OsString> {
    let is_usual = usual_data_dir(|name| std::env::var_os(name)).is_some_and(|it| it == data_dir);
    [("--data", (!is_usual).then_some(data_dir))]
        .into_iter()
        .chain(programs)
        .filter_map(|(flag, path)| Some([flag.into(), std::path::absolute(path?).ok()?.into()]))
        .flatten()
        .collect()
}

/// What the tray remembers. A file that cannot be read is put aside: what it says is not lost.
fn read_kept(data_dir: &std::path::Path, log: &Log) -> Kept {
    Kept::load(data_dir).unwrap_or_else(|error| {
        log.note(&format!("what was chosen earlier cannot be read and is put aside: {error}"));
        let (file, aside) = (data_dir.join("tray.json"), data_dir.join("tray.json.unreadable"));
        if let Err(error) = std::fs::rename(&file, &aside) {
            log.note(&format!("{} could not be put aside: {error}", file.display()));
        }
        Kept::default()
    })
}

/// A second start opens the page of the server that the first one looks after.
fn open_page(data_dir: &Path) -> Result<(), (Exit, String)> {
    let mut port = None;
    let _ = control::follow(data_dir, |status| {
        port = Some(status.port);
        false
    });
    let Some(port) = port else {
        let message = "PhotoSync runs already, but its server does not; look at its icon";
        return Err((Exit::DataHeld, message.to_owned()));
    };
    let address = format!("http://127.0.0.1:{port}/");
    println!("PhotoSync runs already: {address}");
    let failed = |error| (Exit::Unexpected, format!("the page could not be opened: {error}"));
    let signed_in = control::open_page(data_dir, WEB_PAGE_PATH);
    open::that_detached(signed_in.unwrap_or(address)).map_err(failed)
}

/// SIGTERM, SIGINT and SIGHUP end the tray as its menu does: with the server that it started.
#[cfg(unix)]
fn end_on_signals(events: Sender<Event>, log: &Log) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let waiting =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).and_then(|mut signals| {
            std::thread::Builder::new().name("signals".into()).stack_size(128 * 1024).spawn(
                move || {
                    for _ in signals.forever() {
                        let _ = events.send(Event::SessionEnds);
                    }
                },
            )
        });
    if let Err(error) = waiting {
        log.note(&format!("signals will not be heard: {error}"));
    }
}

/// There are none here: the end of the session comes through the event loop.
#[cfg(not(unix))]
fn end_on_signals(_events: Sender<Event>, _log: &Log) {}
