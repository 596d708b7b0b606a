//! The server as a service of Windows: what the service manager (SCM) is told, and what it asks for.
//!
//! `run-service` is what it starts. A service is never asked to stop by a console: Windows tells every console program
//! when *anybody* signs out, and no photo server ends because of that.

#[cfg(any(windows, test))]
mod log_file;
#[cfg(windows)]
mod manage;
#[cfg(any(windows, test))]
#[cfg_attr(not(windows), expect(dead_code, reason = "used on Windows; tested everywhere"))]
mod rules;

#[cfg(windows)]
pub use manage::{Wanted, install, uninstall};
#[cfg(windows)]
pub use {log_file::LogFile, running::Scm, running::dispatch};

#[cfg(windows)]
mod running {
    use std::ffi::OsString;
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use photosync_protocol::process::Exit;
    use tokio::sync::watch;
    use windows_service::service::{
        ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus,
        ServiceType,
    };
    use windows_service::service_control_handler::{
        ServiceControlHandlerResult, ServiceStatusHandle, register,
    };
    use windows_service::{define_windows_service, service_dispatcher};

    use super::super::arguments::{self, Action};
    use super::super::service::Service;
    use super::super::{complain, data_dir_of, perform};
    use super::log_file::LogFile;
    use super::rules::{Leaving, NAME, leaving};

    /// How long a start may take before the service manager thinks it hangs: an index that is read anew takes minutes.
    const STARTING: Duration = Duration::from_secs(300);
    /// As long for stopping: requests get 5 s, the database the rest.
    const STOPPING: Duration = Duration::from_secs(20);
    /// `ERROR_FAILED_SERVICE_CONTROLLER_CONNECT`: a person ran it.
    const NOT_A_SERVICE: i32 = 1063;

    define_windows_service!(service_entry, service_main);

    /// Hands this thread to the service manager until the service has ended.
    pub fn dispatch() -> Exit {
        match service_dispatcher::start(NAME, service_entry) {
            Ok(()) => Exit::Success,
            Err(windows_service::Error::Winapi(error))
                if error.raw_os_error() == Some(NOT_A_SERVICE) =>
            {
                complain("only the service manager runs this; use `serve`, or `install-service`");
                Exit::Usage
            }
            Err(error) => {
                complain(&format!("could not speak with the service manager: {error}"));
                Exit::Unexpected
            }
        }
    }

    /// Called by the service manager, on a thread of its own.
    fn service_main(_arguments: Vec<OsString>) {
        // Without a handle there is nobody to tell; the service manager sees the process end.
        let Ok(scm) = Scm::register() else { return };
        let scm = Arc::new(scm);
        scm.report(ServiceState::StartPending, STARTING, ServiceExitCode::NO_ERROR);
        let exit = match arguments::parse() {
            Ok(mut parsed) => {
                parsed.action = Action::Serve;
                let log = data_dir_of(&parsed).ok().and_then(|data| LogFile::open(&data).ok());
                let service = Service::of_windows(scm.clone(), log.map(Arc::new));
                perform(parsed, &Arc::new(service))
            }
            Err(exit) => exit,
        };
        let code = match leaving(exit) {
            Leaving::InOrder => ServiceExitCode::NO_ERROR,
            Leaving::ForGood(code) => ServiceExitCode::ServiceSpecific(code),
            Leaving::ToBeStartedAgain => std::process::exit(i32::from(exit.code())),
        };
        scm.report(ServiceState::Stopped, Duration::ZERO, code);
    }

    /// The service manager that started this process.
    #[derive(Debug)]
    pub struct Scm {
        handle: ServiceStatusHandle,
        stop: watch::Receiver<bool>,
    }

    impl Scm {
        fn register() -> windows_service::Result<Self> {
            let (ask, stop) = watch::channel(false);
            let handle = register(NAME, move |control| match control {
                ServiceControl::Stop | ServiceControl::Preshutdown => {
                    let _ = ask.send(true);
                    ServiceControlHandlerResult::NoError
                }
                ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
                _ => ServiceControlHandlerResult::NotImplemented,
            })?;
            Ok(Self { handle, stop })
        }

        /// Ends when the service manager asks for it.
        pub async fn stop_asked(&self) {
            if self.stop.clone().wait_for(|asked| *asked).await.is_err() {
                std::future::pending().await
            }
        }

        /// Tells what `sd_notify` messages say, as far as Windows has words for it.
        pub fn tell(&self, state: &str) {
            for line in state.lines() {
                match line {
                    "READY=1" => {
                        self.report(
                            ServiceState::Running,
                            Duration::ZERO,
                            ServiceExitCode::NO_ERROR,
                        );
                    }
                    "STOPPING=1" => {
                        self.report(ServiceState::StopPending, STOPPING, ServiceExitCode::NO_ERROR);
                    }
                    _ => {}
                }
            }
        }

        fn report(&self, state: ServiceState, wait_hint: Duration, exit_code: ServiceExitCode) {
            let accepts = match state {
                ServiceState::Running => {
                    ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN
                }
                _ => ServiceControlAccept::empty(),
            };
            let told = self.handle.set_service_status(ServiceStatus {
                service_type: ServiceType::OWN_PROCESS,
                current_state: state,
                controls_accepted: accepts,
                exit_code,
                checkpoint: 0,
                wait_hint,
                process_id: None,
            });
            if let Err(error) = told {
                let _ = writeln!(std::io::stderr(), "could not tell the service manager: {error}");
            }
        }
    }
}
