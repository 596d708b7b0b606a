//! `import`: takes the photos of a folder into an account. The client program beside this one does it, signed in by this
//! one for as long as it takes, so that they come in on the one road of every upload (decision 0023).
//!
//! Who types the command reads the folder: a service that sees no home is handed the bytes. Without a running server this
//! process is one, for this machine alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command as Program, ExitStatus, Stdio};
use std::sync::Arc;

use photosync_protocol::process::Exit;
use photosync_server::blobs::{create_private_dir, volume};
use photosync_server::boot::{App, BootError, BootOptions, IdentityKey, boot};
use photosync_server::config::Config;
use photosync_server::control::import::Ticket;
use photosync_server::control::{Command, Outcome, execute, remote};
use photosync_server::http::router;
use photosync_server::secrets::Secrets;
use photosync_server::serve::{self, Listener, Speaks, Tls};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::arguments::Import;
use super::run::stop_signal;
use super::service::Service;
use super::update::attempt_of_a_command;
use super::{absolute, ask_server, failed, refusal, require_data};

/// Who carries out commands: the server that runs, or this process.
enum Holder {
    Server(PathBuf),
    Here(App),
}

impl Holder {
    async fn ask(&self, command: Command) -> Result<Outcome, BootError> {
        match self {
            Self::Server(data_dir) => ask_server(data_dir.clone(), command).await,
            Self::Here(app) => execute(app, command).await.map_err(|error| refusal(&error)),
        }
    }
}

/// Imports a folder.
pub async fn import(config: Config, wanted: Import) -> Result<Exit, BootError> {
    let dir = absolute(&wanted.dir)?;
    require_apart(&dir, &config)?;
    let client = client_program()?;
    if wanted.dry_run {
        // It looks at nothing of a profile, and makes none.
        let unused = config.data_dir.join("imports");
        return run_to_end(&client, &unused, &dir, &wanted).await;
    }
    require_data(&config)?;
    let data_dir = config.data_dir.clone();
    let is_held = volume::is_held(&data_dir).map_err(|error| {
        failed(Exit::Storage, format!("{error}; run this as root, or as the account of the server"))
    })?;
    if is_held {
        let holder = Holder::Server(data_dir.clone());
        return with_sign_in(&holder, &data_dir, &client, &dir, &wanted).await;
    }
    let options = BootOptions {
        identity: identity(&data_dir)?,
        attempt: attempt_of_a_command(),
        ..BootOptions::default()
    };
    let app = boot(config, options).await?;
    let result = serve_meanwhile(&app, async |holder: &Holder| {
        with_sign_in(holder, &data_dir, &client, &dir, &wanted).await
    })
    .await;
    app.stop();
    app.db.close().await;
    result
}

/// As whom this process serves. Data without a key of its own gets none from a command (a service manager may hand one to
/// the server); the client would take a key made each time for another server, and read everything again.
fn identity(data_dir: &Path) -> Result<IdentityKey, BootError> {
    if data_dir.join("secrets/identity").exists() || !is_ours(data_dir) {
        return Ok(IdentityKey::Unneeded);
    }
    let made = Secrets::open(&data_dir.join("imports")).and_then(|own| own.get_or_make("identity"));
    let made = made.map_err(|error| {
        failed(Exit::Storage, format!("could not make a key in {}: {error}", data_dir.display()))
    })?;
    let mut seed = [0; 32];
    hex::decode_to_slice(made, &mut seed).map_err(|error| {
        failed(Exit::Storage, format!("the key imports/secrets/identity is damaged: {error}"))
    })?;
    Ok(IdentityKey::HandedOver(seed))
}

/// Photos are not taken out of the data into the data.
fn require_apart(dir: &Path, config: &Config) -> Result<(), BootError> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let from = real(dir);
    if !from.is_dir() {
        let message = format!("{} is no folder, or cannot be looked into", dir.display());
        return Err(failed(Exit::Usage, message));
    }
    let roots = [&config.data_dir, &config.uploads, &config.relay];
    for root in roots.into_iter().map(|root| real(root)) {
        if from.starts_with(&root) || root.starts_with(&from) {
            let message = format!(
                "{} and the data of the server in {} lie in each other; name the folder of the photos alone",
                dir.display(),
                root.display()
            );
            return Err(failed(Exit::Usage, message));
        }
    }
    Ok(())
}

/// The client program beside this one.
fn client_program() -> Result<PathBuf, BootError> {
    let own = std::env::current_exe().map_err(|error| {
        failed(Exit::Unexpected, format!("could not find this program: {error}"))
    })?;
    let client = own.with_file_name(format!("photosync{}", std::env::consts::EXE_SUFFIX));
    if client.is_file() {
        return Ok(client);
    }
    let message = format!(
        "the program {} is missing: it does the work; the installer puts it beside this one",
        client.display()
    );
    Err(failed(Exit::Unexpected, message))
}

/// Serves for this machine alone while `work` lasts.
async fn serve_meanwhile<T>(
    app: &App,
    work: impl AsyncFnOnce(&Holder) -> Result<T, BootError>,
) -> Result<T, BootError> {
    let unusable = |error: io::Error| {
        failed(Exit::Unexpected, format!("could not listen for the import: {error}"))
    };
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (socket, control) = (bind().await.map_err(unusable)?, bind().await.map_err(unusable)?);
    let address: SocketAddr = socket.local_addr().map_err(unusable)?;
    app.presence.set_listening(vec![address]);
    let speaks = Speaks::Tls(Arc::new(Tls::of_identity(&app.identity)?));
    let control_port = control.local_addr().map_err(unusable)?.port();
    // Other commands, and the doctor, find who holds the data.
    let routes = remote::router(app).map_err(unusable)?;
    let control = Listener { socket: control, speaks: Speaks::Plain, router: routes };
    remote::announce(&app.config.data_dir, control_port, "import").map_err(unusable)?;
    tokio::spawn(serve::serve_to_the_end(app.clone(), control));
    let listener = Listener { socket, speaks, router: router(app) };
    let running = tokio::spawn(serve::serve(app.clone(), vec![listener], std::future::pending()));
    let result = work(&Holder::Here(app.clone())).await;
    app.stop();
    let _ = running.await;
    remote::withdraw(&app.config.data_dir);
    result
}

/// Signs the client in, lets it work, and signs it out.
async fn with_sign_in(
    holder: &Holder,
    data_dir: &Path,
    client: &Path,
    dir: &Path,
    wanted: &Import,
) -> Result<Exit, BootError> {
    let begin = Command::ImportBegin { email: wanted.account.clone() };
    let ticket = holder.ask(begin).await?.import;
    let ticket = ticket.ok_or_else(|| {
        failed(Exit::Unexpected, "the server is of another version than this program; restart it")
    })?;
    let profile = profile_of(data_dir, &ticket)?;
    let _lock = lock(&profile)?;
    sign_in(client, &profile, &ticket).await?;
    let ended = run_to_end(client, &profile, dir, wanted).await;
    let end = async {
        let device_id = device_of(&profile)?;
        holder.ask(Command::ImportEnd { account: ticket.account, device_id }).await
    };
    if let Err(error) = end.await {
        tracing::warn!("the import could not be signed out, and is at its next run: {error}");
    }
    ended
}

/// What the client remembers of the folders it has read: beside the data if it is ours, else with the settings of who
/// runs this, for root leaves nothing in the data of another account.
fn profile_of(data_dir: &Path, ticket: &Ticket) -> Result<PathBuf, BootError> {
    let own = if is_ours(data_dir) {
        data_dir.join("imports")
    } else {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let settings = set("XDG_CONFIG_HOME").map(PathBuf::from);
        let settings = settings.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
        let message = "no folder for the settings of this account is known: HOME is not set";
        settings.ok_or_else(|| failed(Exit::Storage, message))?.join("photosync/imports")
    };
    let profile = own.join(ticket.account.to_string());
    create_private_dir(&profile).map_err(|error| {
        failed(Exit::Storage, format!("could not make {}: {error}", profile.display()))
    })?;
    Ok(profile)
}

#[cfg(unix)]
fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(folder).map(|metadata| metadata.uid());
    owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn is_ours(_folder: &Path) -> bool {
    true
}

/// Two imports into one account would sign each other out.
fn lock(profile: &Path) -> Result<File, BootError> {
    let path = profile.join("import.lock");
    let failed_to = |error: io::Error| {
        failed(Exit::Storage, format!("could not lock {}: {error}", path.display()))
    };
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&path).map_err(failed_to)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = "another import into this account is at work; let it end first";
            Err(failed(Exit::DataHeld, message))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed_to(error)),
    }
}

/// The client, on this profile and with nothing of its user's.
fn program(client: &Path, profile: &Path) -> Program {
    let mut program = Program::new(client);
    program.arg("--profile").arg(profile);
    program.env("PHOTOSYNC_CLIENT_KEYSTORE", "off").env("PHOTOSYNC_DISCOVERY", "off");
    program
}

fn not_run(error: io::Error) -> BootError {
    failed(Exit::Unexpected, format!("the program photosync could not be run: {error}"))
}

/// Signs in with the code of the ticket, which goes by standard input: a command line is seen by everybody.
async fn sign_in(client: &Path, profile: &Path, ticket: &Ticket) -> Result<(), BootError> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let mut last = failed(Exit::Unexpected, "the server listens nowhere");
    for url in &ticket.urls {
        let mut program = program(client, profile);
        program.args(["pair", url, "--fingerprint", &ticket.fingerprint]);
        program.args(["--device-name", &format!("Import on {host}")]);
        program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = program.spawn().map_err(not_run)?;
        if let Some(mut input) = child.stdin.take() {
            // One that ended already says why.
            let _ = writeln!(input, "{}", ticket.code);
        }
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
        let output = ended.map_err(|error| not_run(io::Error::other(error)))?.map_err(not_run)?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        last =
            failed(exit_of(output.status), format!("the import could not be signed in: {words}"));
        if last.exit != Exit::Unreachable {
            break;
        }
    }
    Err(last)
}

/// Which device the client is.
fn device_of(profile: &Path) -> Result<String, BootError> {
    #[derive(Deserialize)]
    struct Credentials {
        device_id: String,
    }
    let path = profile.join("credentials.json");
    let read = std::fs::read(&path)
        .and_then(|text| serde_json::from_slice::<Credentials>(&text).map_err(io::Error::from));
    let read = read.map_err(|error| {
        failed(Exit::Storage, format!("could not read {}: {error}", path.display()))
    })?;
    Ok(read.device_id)
}

/// Lets the client work. It speaks for itself, on this command's terminal; what ends this process ends it too, in order.
async fn run_to_end(
    client: &Path,
    profile: &Path,
    dir: &Path,
    wanted: &Import,
) -> Result<Exit, BootError> {
    let stop = stop_signal(&Service::default())?;
    let mut program = program(client, profile);
    if wanted.json {
        program.arg("--json");
    }
    program.args(["backup", "--until-stdin-closes"]);
    if wanted.dry_run {
        program.arg("--dry-run");
    }
    if wanted.hidden {
        program.arg("--hidden");
    }
    for pattern in &wanted.exclude {
        program.arg("--exclude").arg(pattern);
    }
    program.arg(OsStr::new("--")).arg(dir).stdin(Stdio::piped());
    let mut child = program.spawn().map_err(not_run)?;
    let mut leash: Option<ChildStdin> = child.stdin.take();
    let mut waiting = tokio::task::spawn_blocking(move || child.wait());
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        () = stop => {
            // Ctrl-C reached it as well; SIGTERM reached only this process.
            drop(leash.take());
            waiting.await
        }
    };
    let status = ended.map_err(|error| not_run(io::Error::other(error)))?.map_err(not_run)?;
    Ok(exit_of(status))
}

/// The client's codes are of the same list.
fn exit_of(status: ExitStatus) -> Exit {
    status.code().and_then(Exit::from_code).unwrap_or(Exit::Unexpected)
}
