//! Registers the service of Windows with everything it needs, and takes that away again. Run by an administrator, by hand
//! or by the installer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use photosync_protocol::process::Exit;
use photosync_server::boot::BootError;
use photosync_server::config;
use windows_service::Error;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState,
    ServiceStatus, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::super::{complain, failed, say};
use super::rules::{self, ACCOUNT, NAME, RUN};

/// Pauses before the first, the second and every later restart.
const RESTARTS: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// After so long without a failure the first pause counts again.
const FORGET_FAILURES: Duration = Duration::from_secs(24 * 3600);
/// What Windows gives the service when the computer is shut down.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// Between two looks whether it has started or stopped.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// 60 s of them.
const LOOKS: u32 = 300;
/// `ERROR_ACCESS_DENIED`, `ERROR_INVALID_LEVEL`, `ERROR_SERVICE_DATABASE_LOCKED`, `ERROR_SERVICE_DOES_NOT_EXIST`, `ERROR_SERVICE_EXISTS`,
/// `ERROR_SERVICE_NOT_ACTIVE`.
const DENIED: i32 = 5;
const INVALID_LEVEL: i32 = 124;
const DATABASE_LOCKED: i32 = 1055;
const NO_SUCH_SERVICE: i32 = 1060;
const SERVICE_EXISTS: i32 = 1073;
const NOT_ACTIVE: i32 = 1062;

/// What `install-service` was asked for.
pub struct Wanted {
    /// The folder of the photos; `None`: `%ProgramData%\PhotoSync`.
    pub data: Option<PathBuf>,
    /// Whether others may reach it through the firewall.
    pub open_firewall: bool,
    /// Whether it starts now.
    pub start: bool,
}

/// Registers the service, or brings an older registration up to date. May be run again; what it has made before an
/// error stays, and the next run goes on from there.
pub fn install(wanted: &Wanted) -> Result<Exit, BootError> {
    let data = wanted.data.clone();
    let data = data.or_else(|| rules::usual_data(std::env::var_os("ProgramData").map(Into::into)));
    let data = data.ok_or_else(|| {
        failed(Exit::Usage, "where shall the photos go? Say --data DIR: %ProgramData% is not set")
    })?;
    let program = std::env::current_exe().map_err(|error| {
        failed(Exit::Unexpected, format!("could not find this program: {error}"))
    })?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: "PhotoSync server".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.clone(),
        launch_arguments: vec![RUN.into(), "--data".into(), data.clone().into()],
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    };
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let service = match manager.create_service(&info, ServiceAccess::ALL_ACCESS) {
        Err(error) if code_of(&error) == Some(SERVICE_EXISTS) => {
            let changed =
                manager.open_service(NAME, ServiceAccess::ALL_ACCESS).and_then(|service| {
                    service.change_config(&info)?;
                    Ok(service)
                });
            changed.map_err(|error| refused("change the service", &error))?
        }
        created => created.map_err(|error| refused("make the service", &error))?,
    };
    describe(&service)?;
    prepare(&data)?;
    if wanted.open_firewall {
        let _ = run("netsh.exe", &rules::close_firewall());
        if let Err(why) = run("netsh.exe", &rules::open_firewall(&program)) {
            complain(&format!("the firewall was not opened, so phones may not reach it: {why}"));
        }
    }
    say(&format!("the service {NAME} is set up; photos go to {}", data.display()));
    if wanted.start {
        start(&service)?;
        say("it runs");
    }
    Ok(Exit::Success)
}

/// Restarts, a description, and time for an orderly end. A system that knows one of them not (wine) does without.
fn describe(service: &Service) -> Result<(), BootError> {
    let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    let restarts = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGET_FAILURES),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTS.map(restart).to_vec()),
    };
    let description = "Keeps the photos of this household's phones and computers, bit for bit. Settings: \
                       photosync.toml beside the photos.";
    let steps = [
        ("describe the service", service.set_description(description)),
        // After the network and what a person waits for at the start.
        ("delay its start", service.set_delayed_auto_start(true)),
        ("give it time for its end", service.set_preshutdown_timeout(SHUTDOWN)),
        ("have it started again after failures", service.update_failure_actions(restarts)),
        // A service that says itself that it stopped has a reason that another start would not settle.
        ("tell failures apart", service.set_failure_actions_on_non_crash_failures(false)),
    ];
    for (what, done) in steps {
        match done {
            Err(error) if code_of(&error) == Some(INVALID_LEVEL) => {
                complain(&format!("this system cannot {what}"));
            }
            done => done.map_err(|error| refused(what, &error))?,
        }
    }
    Ok(())
}

/// The folder of the photos, for the service and administrators alone, and settings to look at.
fn prepare(data: &Path) -> Result<(), BootError> {
    let unusable = |what: String| failed(Exit::Storage, what);
    std::fs::create_dir_all(data)
        .map_err(|error| unusable(format!("could not make {}: {error}", data.display())))?;
    for words in rules::privacy(data) {
        run("icacls.exe", &words)
            .map_err(|why| unusable(format!("could not make {} private: {why}", data.display())))?;
    }
    let settings = data.join("photosync.toml");
    if !settings.exists() {
        std::fs::write(&settings, config::example()).map_err(|error| {
            unusable(format!("could not write {}: {error}", settings.display()))
        })?;
    }
    Ok(())
}

fn start(service: &Service) -> Result<(), BootError> {
    let status = service.query_status().map_err(|error| refused("ask for the service", &error))?;
    if status.current_state != ServiceState::Stopped {
        stop(service)?;
    }
    let mut started = service.start::<&str>(&[]);
    for _ in 0..LOOKS {
        // Just after the computer has started, the service manager starts others first.
        let Err(error) = &started else { break };
        if code_of(error) != Some(DATABASE_LOCKED) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        started = service.start::<&str>(&[]);
    }
    started.map_err(|error| refused("start the service", &error))?;
    let status = wait_for(service, ServiceState::Running)?;
    if status.current_state == ServiceState::Running {
        return Ok(());
    }
    let why = match status.exit_code {
        ServiceExitCode::ServiceSpecific(code) => format!(" (exit code {code})"),
        ServiceExitCode::Win32(_) => String::new(),
    };
    let message =
        format!("the service does not start{why}; logs\\server.log beside the photos says why");
    Err(failed(Exit::Unexpected, message))
}

/// Stops it; does nothing if it does not run.
fn stop(service: &Service) -> Result<(), BootError> {
    match service.stop() {
        Err(error) if code_of(&error) == Some(NOT_ACTIVE) => return Ok(()),
        other => other.map_err(|error| refused("stop the service", &error))?,
    };
    let status = wait_for(service, ServiceState::Stopped)?;
    if status.current_state == ServiceState::Stopped {
        return Ok(());
    }
    Err(failed(Exit::Unexpected, "the service does not stop; end it in the Task Manager"))
}

/// Waits until the service has this state, or has ended, or patience has.
fn wait_for(service: &Service, wanted: ServiceState) -> Result<ServiceStatus, BootError> {
    let look = || service.query_status().map_err(|error| refused("ask the service", &error));
    for _ in 0..LOOKS {
        let status = look()?;
        if status.current_state == wanted || status.current_state == ServiceState::Stopped {
            return Ok(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    look()
}

/// Stops the service and takes it away, with its firewall rule. Photos and settings stay. Does nothing if there is none.
pub fn uninstall() -> Result<Exit, BootError> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    match manager.open_service(NAME, ServiceAccess::ALL_ACCESS) {
        Err(error) if code_of(&error) == Some(NO_SUCH_SERVICE) => {
            say(&format!("there is no service {NAME}"));
        }
        opened => {
            let service = opened.map_err(|error| refused("open the service", &error))?;
            stop(&service)?;
            service.delete().map_err(|error| refused("remove the service", &error))?;
            say(&format!("the service {NAME} is removed; photos and settings stay"));
        }
    }
    // It complains when there is no rule.
    let _ = run("netsh.exe", &rules::close_firewall());
    Ok(Exit::Success)
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, BootError> {
    ServiceManager::local_computer(None::<&str>, access)
        .map_err(|error| refused("reach the service manager", &error))
}

fn code_of(error: &Error) -> Option<i32> {
    match error {
        Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn refused(what: &str, error: &Error) -> BootError {
    let cause = match error {
        Error::Winapi(error) => error.to_string(),
        other => other.to_string(),
    };
    let hint = match code_of(error) {
        Some(DENIED) => ". Run this as an administrator",
        _ => "",
    };
    failed(Exit::Unexpected, format!("could not {what}: {cause}{hint}"))
}

/// Runs a program of Windows, from its own folder: the search path may lead elsewhere.
fn run(program: &str, words: &[String]) -> Result<(), String> {
    let windows = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
    let path = Path::new(&windows).join("System32").join(program);
    let mut command = Command::new(&path);
    let command = command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
