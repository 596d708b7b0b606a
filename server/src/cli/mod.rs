//! The command line: reads flags, environment and file once, then does one thing.

mod arguments;
mod doctor;
mod import;
mod log;
mod pair;
mod run;
mod scm;
mod service;
mod update;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use photosync_protocol::config_names::{CONFIG_VARIABLE, DATA_DIR_VARIABLE};
use photosync_protocol::process::{Exit, usual_data_dir};
use photosync_server::boot::{BootError, BootOptions, boot};
use photosync_server::config::{self, Config, Resolved, Sources};
use photosync_server::control::{self, Command, Outcome, remote};
use photosync_server::http;
use photosync_server::media::worker::{self, Bounds, Task};
use photosync_server::upkeep;

use arguments::{Action, ConfigAction, MediaTask, Parsed, UpdateArgs, UserAction};
use service::Service;

/// Largest freed block that stays: ten buffers of a connection. Twice that may lie free in each heap.
const KEPT_BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Does what the command line says; returns the exit code.
pub fn run() -> Exit {
    let parsed = match arguments::parse() {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    if let Action::MediaWorker { task } = parsed.action {
        return media_worker(task);
    }
    let service = match parsed.action {
        Action::Serve => Service::from_environment(),
        #[cfg(windows)]
        Action::RunService => return scm::dispatch(),
        // Commands that a service runs beside its server do not speak for that.
        _ => Service::default(),
    };
    perform(parsed, &Arc::new(service))
}

/// Before anything else is read or started: a jail holds only what has one thread.
fn media_worker(task: MediaTask) -> Exit {
    let task = match task {
        MediaTask::Look => Task::Look,
        MediaTask::Draw => Task::Draw,
        MediaTask::Become { program, folder, bounds, arguments } => {
            let bounds = match *bounds.as_slice() {
                [memory_bytes, cpu_s, file_bytes] => Bounds { memory_bytes, cpu_s, file_bytes },
                _ => Bounds::default(),
            };
            Task::Become { program, arguments, folder, bounds }
        }
    };
    match worker::run(&task) {
        true => Exit::Success,
        false => Exit::Unexpected,
    }
}

/// Does it; says on stderr, and where a service says such things, why it could not.
fn perform(parsed: Parsed, service: &Arc<Service>) -> Exit {
    let serves = matches!(parsed.action, Action::Serve);
    let data_dir = find_data_dir(&parsed);
    match act(parsed, service) {
        Ok(exit) => exit,
        Err(error) => {
            let error = match serves {
                true => update::after_failed_start(data_dir.as_deref(), error),
                false => error,
            };
            complain(&error.message);
            #[cfg(windows)]
            if let Some(log) = service.log_file() {
                let _ = writeln!(&*log, "photosync-server: {}", error.message);
            }
            service.tell_status(&error.message);
            error.exit
        }
    }
}

fn complain(message: &str) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "photosync-server: {message}");
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn failed(exit: Exit, message: impl Into<String>) -> BootError {
    BootError { exit, message: message.into() }
}

fn act(parsed: Parsed, service: &Arc<Service>) -> Result<Exit, BootError> {
    if let Action::Config { action } = &parsed.action {
        match action {
            ConfigAction::Example => say(&config::example()),
            ConfigAction::Reference => say(&config::reference_page()),
            ConfigAction::Show => {
                let (resolved, data_dir) = resolve(&parsed, service)?;
                Config::parse(&resolved, &data_dir)
                    .map_err(|error| failed(Exit::Configuration, error.0))?;
                say(&format!("{:<32} {}\n{}", "data folder", data_dir.display(), resolved.show()));
            }
        }
        return Ok(Exit::Success);
    }
    if let Action::Openapi = &parsed.action {
        let text = http::openapi::text()
            .map_err(|error| failed(Exit::Unexpected, format!("could not write it: {error}")))?;
        say(&text);
        return Ok(Exit::Success);
    }
    if let (Action::Update(UpdateArgs { settle: true, .. }), Some(data)) =
        (&parsed.action, find_data_dir(&parsed))
    {
        return update::settle_before_start(&data);
    }
    if let Action::Doctor(wanted) = &parsed.action {
        return Ok(doctor::doctor(&parsed, wanted, service));
    }
    if let Action::Stop = &parsed.action {
        let stopped = remote::stop(&data_dir_of(&parsed)?);
        let stopped = stopped.map_err(|message| failed(Exit::Unexpected, message))?;
        say(if stopped { "the server has stopped" } else { "no server runs on this data" });
        return Ok(Exit::Success);
    }
    #[cfg(windows)]
    match &parsed.action {
        Action::InstallService { keep_firewall, no_start } => {
            return scm::install(&scm::Wanted {
                data: parsed.data.as_deref().map(absolute).transpose()?,
                open_firewall: !keep_firewall,
                start: !no_start,
            });
        }
        Action::UninstallService => return scm::uninstall(),
        _ => {}
    }
    let (resolved, data_dir) = resolve(&parsed, service)?;
    let mut config = Config::parse(&resolved, &data_dir)
        .map_err(|error| failed(Exit::Configuration, error.0))?;
    // Both block, and need neither data nor a runtime.
    match &parsed.action {
        Action::CheckUpdate { json } => return update::check(&config, *json),
        Action::Update(wanted) => return update::update(&config, wanted),
        _ => {}
    }
    if matches!(parsed.action, Action::Import(_)) {
        // The client tells how far it is; that this process serves it is nobody's concern.
        config.log_level = "warn".into();
    }
    log::start(&config, service)?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    keep_freed_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(64)
        .build()
        .map_err(|error| failed(Exit::Unexpected, format!("could not start: {error}")))?;
    let result = runtime.block_on(async {
        match parsed.action {
            Action::Serve => run::serve(config, &resolved, service.clone()).await,
            Action::Health => health(config.data_dir).await,
            Action::Rebuild { owner } => run::rebuild(config, owner).await,
            Action::Import(wanted) => import::import(config, wanted).await,
            Action::ImportLegacy(import) => run::import(config, import).await,
            Action::Backup { folder, keep, verify } => {
                let folder = absolute(&folder)?;
                let keep = keep.map(Into::into);
                command(config, Command::Backup { folder, keep, verify }).await
            }
            Action::VerifyBackup { folder } => {
                let folder = absolute(&folder)?;
                command(config, Command::VerifyBackup { folder }).await
            }
            Action::RestoreBackup { folder } => {
                let tried = upkeep::backup::restore(&config, folder).await;
                let outcome = control::tried(&tried.map_err(|error| refusal(&error))?);
                say(&outcome.text);
                Ok(if outcome.disagreements { Exit::Disagreements } else { Exit::Success })
            }
            Action::Sweep { dry_run } => command(config, Command::Sweep { dry_run }).await,
            Action::Scrub => command(config, Command::Scrub).await,
            Action::Check { read } => command(config, Command::Check { read_bytes: read }).await,
            Action::User { action } => command(config, user_command(action)?).await,
            Action::Pair { email } => command(config, Command::Pair { email }).await,
            Action::Trash { email, names } => {
                command(config, Command::Trash { email, names }).await
            }
            Action::TrashRestore { email } => {
                command(config, Command::TrashRestore { email }).await
            }
            Action::Config { .. }
            | Action::MediaWorker { .. }
            | Action::Openapi
            | Action::Doctor(_)
            | Action::Stop
            | Action::CheckUpdate { .. }
            | Action::Update(_) => Ok(Exit::Success),
            #[cfg(windows)]
            Action::InstallService { .. } | Action::UninstallService | Action::RunService => {
                Ok(Exit::Success)
            }
        }
    });
    // A blocking task that hangs on a broken disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// The data folder, if anything says where it is.
fn find_data_dir(parsed: &Parsed) -> Option<PathBuf> {
    let variable = || std::env::var_os(DATA_DIR_VARIABLE).filter(|value| value.to_str().is_some());
    let data_dir = parsed
        .data
        .clone()
        .or_else(|| variable().map(PathBuf::from))
        .or_else(|| usual_data_dir(|name| std::env::var_os(name)))?;
    Some(std::path::absolute(&data_dir).unwrap_or(data_dir))
}

/// The data folder: of the flag, of the variable, or the person's own.
fn data_dir_of(parsed: &Parsed) -> Result<PathBuf, BootError> {
    find_data_dir(parsed).ok_or_else(|| {
        failed(
            Exit::Configuration,
            "where shall the data live? Say --data DIR or set PHOTOSYNC_DATA_DIR",
        )
    })
}

/// The settings and the data folder.
fn resolve(parsed: &Parsed, service: &Service) -> Result<(Resolved, PathBuf), BootError> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let get = |name: &str| {
        environment.iter().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value))
    };
    let data_dir = data_dir_of(parsed)?;
    let chosen = parsed.config.clone().or_else(|| get(CONFIG_VARIABLE));
    let file = match chosen {
        Some(path) => Some(read_config(&path)?),
        None => [data_dir.join("photosync.toml"), PathBuf::from("/etc/photosync/photosync.toml")]
            .iter()
            .find(|path| path.exists())
            .map(|path| read_config(path))
            .transpose()?,
    };
    let sources = Sources {
        flags: parsed.settings.clone(),
        environment,
        credentials: service.read_settings()?,
        file,
    };
    let resolved =
        config::resolve(&sources).map_err(|error| failed(Exit::Configuration, error.0))?;
    Ok((resolved, data_dir))
}

fn read_config(path: &Path) -> Result<(PathBuf, String), BootError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        failed(Exit::Configuration, format!("could not read {}: {error}", path.display()))
    })?;
    Ok((path.to_owned(), text))
}

/// Carries a command out here, or by the server that holds the data.
async fn command(config: Config, command: Command) -> Result<Exit, BootError> {
    let data_dir = config.data_dir.clone();
    // Looking at a folder that does not exist must not make one and call it healthy.
    let makes_data = matches!(command, Command::UserAdd { .. } | Command::UserInvite { .. });
    if !makes_data {
        require_data(&config)?;
    }
    // A sweep says itself what it removes, and removes nothing when it is only asked.
    let keeps_staged = matches!(command, Command::Sweep { .. });
    let options = BootOptions {
        keeps_staged,
        attempt: update::attempt_of_a_command(),
        ..BootOptions::default()
    };
    let outcome = match boot(config, options).await {
        Ok(app) => {
            let outcome = control::execute(&app, command).await;
            app.db.close().await;
            outcome.map_err(|error| refusal(&error))?
        }
        Err(error) if error.exit == Exit::DataHeld => ask_server(data_dir, command).await?,
        Err(error) => return Err(error),
    };
    if let Some(offer) = &outcome.offer {
        say(&pair::show(offer, std::io::stdout().is_terminal()));
    }
    say(&outcome.text);
    Ok(if outcome.disagreements { Exit::Disagreements } else { Exit::Success })
}

fn require_data(config: &Config) -> Result<(), BootError> {
    if config.database.exists() || config.uploads.exists() {
        return Ok(());
    }
    let message = format!("there is no PhotoSync data in {}", config.data_dir.display());
    Err(failed(Exit::Storage, message))
}

/// Lets the C library keep a few megabytes of what is freed for the next request. By itself it hands every large buffer
/// back to the system at once, and each page that is fetched again costs more than receiving its bytes. The GNU library
/// learns by example: a block that is freed raises the size up to which it keeps blocks, and twice that is the most
/// that lies free at the end of a heap (mallopt(3), `M_MMAP_THRESHOLD`). Others do not mind.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BLOCK_BYTES)));
}

/// Asks the server on this data how it is. Opens nothing itself: a server that is stopped is not well.
async fn health(data_dir: PathBuf) -> Result<Exit, BootError> {
    if !remote::is_announced(&data_dir) {
        let message = format!("no server runs on {}", data_dir.display());
        return Err(failed(Exit::Unexpected, message));
    }
    say(&ask_server(data_dir, Command::Health).await?.text);
    Ok(Exit::Success)
}

async fn ask_server(data_dir: PathBuf, command: Command) -> Result<Outcome, BootError> {
    tokio::task::spawn_blocking(move || remote::send(&data_dir, &command))
        .await
        .map_err(|error| failed(Exit::Unexpected, error.to_string()))?
        .map_err(|message| failed(Exit::Unexpected, message))
}

fn refusal(error: &photosync_server::error::Error) -> BootError {
    let causes = error.cause_chain();
    let message = if causes.is_empty() {
        error.message.clone()
    } else {
        format!("{}: {causes}", error.message)
    };
    failed(Exit::Unexpected, message)
}

/// As the server that does the work would have to spell it.
fn absolute(folder: &Path) -> Result<PathBuf, BootError> {
    std::path::absolute(folder)
        .map_err(|error| failed(Exit::Usage, format!("{} is no folder: {error}", folder.display())))
}

fn user_command(action: UserAction) -> Result<Command, BootError> {
    Ok(match action {
        UserAction::Add { email, admin } => {
            Command::UserAdd { email, password: read_password()?, admin }
        }
        UserAction::List => Command::UserList,
        UserAction::Passwd { email } => Command::UserPasswd { email, password: read_password()? },
        UserAction::Disable { email } => Command::UserDisable { email },
        UserAction::Enable { email } => Command::UserEnable { email },
        UserAction::Remove { email } => Command::UserRemove { email },
        UserAction::Restore { email } => Command::UserRestore { email },
        UserAction::Invite { email } => Command::UserInvite { email },
        UserAction::Role { email, role } => Command::UserRole { email, role },
        UserAction::Link { email } => Command::UserLink { email },
    })
}

/// One line of standard input; on a terminal asked for twice, without showing it.
fn read_password() -> Result<String, BootError> {
    let unreadable = |error: std::io::Error| {
        failed(Exit::Usage, format!("could not read the password: {error}"))
    };
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("Password: ").map_err(unreadable)?;
    let second = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
    if first != second {
        return Err(failed(Exit::Usage, "the two passwords differ"));
    }
    Ok(first)
}
