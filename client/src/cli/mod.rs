//! From the command line to an exit code. The only place that reads the environment, the terminal and signals.

mod account;
mod arguments;
mod bar;
mod care;
mod files;
mod relay;
mod show;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use photosync_client::error::{Error, Kind, Result};
use photosync_client::profile::Profile;
use photosync_client::report::{Event, Report};
use photosync_protocol::process::Exit;
use tokio_util::sync::CancellationToken;

use arguments::{Arguments, Command};

/// Environment variable: folder of this client. `--profile` wins.
const CLIENT_DIR: &str = "PHOTOSYNC_CLIENT_DIR";
/// Environment variable, the server's too: `off` keeps this program from asking the local network.
const DISCOVERY: &str = "PHOTOSYNC_DISCOVERY";
/// Environment variable: `off` keeps tokens in a file, for machines on which nobody unlocks a key store.
const KEY_STORE: &str = "PHOTOSYNC_CLIENT_KEYSTORE";

/// Whether a question stands on the terminal: reading its answer cannot be ended in any other way than with the process.
static IS_ASKING: AtomicBool = AtomicBool::new(false);

/// What every command gets.
struct Context {
    profile: Profile,
    report: Arc<dyn Report>,
    is_json: bool,
    stop: CancellationToken,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            return exit.code().into();
        }
    };
    let report: Arc<dyn Report> = if arguments.json {
        Arc::new(show::Json::default())
    } else {
        Arc::new(show::Text::new(moves(&arguments.command)))
    };
    match run(arguments, report.clone()) {
        Ok(exit) => exit.code().into(),
        Err(error) => {
            let hint = if error.kind == Kind::Interrupted && error.hint.is_empty() {
                "the same command goes on from here".to_owned()
            } else {
                error.hint
            };
            report.event(&Event::Failed { code: error.code, reason: error.message, hint });
            error.kind.exit().code().into()
        }
    }
}

/// Whether a command moves or reads files, which a bar shows.
fn moves(command: &Command) -> bool {
    use relay::Command as Sealed;
    match command {
        Command::Backup(_) | Command::Restore(_) | Command::Verify(_) | Command::Duplicates(_) => {
            true
        }
        Command::Relay(relay) => {
            matches!(relay.command, Sealed::Backup(_) | Sealed::Restore(_) | Sealed::Verify { .. })
        }
        _ => false,
    }
}

fn run(arguments: Arguments, report: Arc<dyn Report>) -> Result<Exit> {
    let from_environment = || std::env::var_os(CLIENT_DIR).filter(|value| !value.is_empty());
    let profile = match arguments.profile {
        Some(folder) => Profile::at(folder),
        None => match from_environment() {
            Some(folder) => Profile::at(folder),
            None => Profile::usual(|name| std::env::var_os(name)).ok_or_else(|| {
                Error::new(Kind::Storage, "no folder for this user's settings is known")
                    .hint("name one with --profile DIR")
            })?,
        },
    };
    let profile = profile.discovering(!is_off(DISCOVERY)).with_key_store(!is_off(KEY_STORE));
    let context =
        Context { profile, report, is_json: arguments.json, stop: CancellationToken::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| Error::unexpected(format!("could not start: {cause}")))?;
    let exit = runtime.block_on(async {
        stop_on_signal(context.stop.clone())?;
        command(&context, arguments.command).await
    });
    // A thread that waits for a password or a slow disk must not hold the process.
    runtime.shutdown_background();
    exit
}

/// Whether a variable says *off*.
fn is_off(variable: &str) -> bool {
    let value = std::env::var(variable).unwrap_or_default();
    matches!(value.trim().to_lowercase().as_str(), "off" | "no" | "false" | "0")
}

async fn command(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Login(login) => account::login(context, login).await,
        Command::Pair(pair) => account::pair(context, pair).await,
        Command::Logout => account::logout(context).await,
        Command::Status => account::status(context).await,
        Command::Backup(backup) => files::backup(context, backup).await,
        Command::Restore(restore) => files::restore(context, restore).await,
        Command::Verify(verify) => files::verify(context, verify).await,
        Command::List => files::list(context).await,
        Command::Get(get) => files::get(context, get).await,
        Command::Doctor(doctor) => care::doctor(context, doctor).await,
        Command::Duplicates(duplicates) => care::duplicates(context, duplicates).await,
        Command::Relay(relay) => relay::relay(context, relay).await,
    }
}

/// The first Ctrl-C (or SIGTERM) ends the run cleanly, the second at once.
fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    let failed =
        |cause: std::io::Error| Error::unexpected(format!("could not listen for signals: {cause}"));
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                end_if_due(&stop);
                stop.cancel();
            }
        });
    }
    #[cfg(not(unix))]
    {
        let _ = failed;
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                end_if_due(&stop);
                stop.cancel();
            }
        });
    }
    Ok(())
}

/// Ends the process at the second signal; at the first one while a person is asked, for then nothing is under way.
fn end_if_due(stop: &CancellationToken) {
    let is_asking = IS_ASKING.load(Ordering::Relaxed);
    if is_asking {
        eprintln!("\nphotosync: interrupted");
    }
    if is_asking || stop.is_cancelled() {
        std::process::exit(Exit::Interrupted.code().into());
    }
}

/// Asks yes or no on the terminal; `None` without one.
fn ask_on_terminal(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    IS_ASKING.store(true, Ordering::Relaxed);
    let read = std::io::stdin().read_line(&mut answer);
    IS_ASKING.store(false, Ordering::Relaxed);
    read.ok()?;
    Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
