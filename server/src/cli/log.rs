//! Where the log goes and what a line of it looks like: coloured for people on a terminal, with a priority for the
//! journal of a service manager, one JSON object for everybody else.

use std::io::IsTerminal;

use photosync_protocol::process::Exit;
use photosync_server::boot::BootError;
use photosync_server::clock::{Clock, iso_utc};
use photosync_server::config::{Config, LogFormat};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::failed;
use super::service::Service;

/// Starts logging to stderr; a service of Windows has none, and a file instead.
pub fn start(config: &Config, service: &Service) -> Result<(), BootError> {
    let filter = EnvFilter::try_new(&config.log_level).map_err(|error| {
        failed(Exit::Configuration, format!("log.level cannot be understood: {error}"))
    })?;
    #[cfg(windows)]
    if let Some(file) = service.log_file() {
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(file);
        match config.log_format {
            LogFormat::Human => builder.with_ansi(false).with_target(false).init(),
            _ => builder.json().flatten_event(true).with_target(false).init(),
        }
        return Ok(());
    }
    #[cfg(not(windows))]
    let _ = service;
    let terminal = std::io::stderr().is_terminal();
    let journal = is_journal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    match config.log_format {
        LogFormat::Auto if journal => builder.event_format(Journal::new()).init(),
        LogFormat::Auto if !terminal => {
            builder.json().flatten_event(true).with_target(false).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).init(),
        LogFormat::Human | LogFormat::Auto => builder.with_target(false).with_timer(Seconds).init(),
    }
    Ok(())
}

/// Whether stderr is the journal's, by `JOURNAL_STREAM` (systemd.exec(5)): the variable alone is inherited by
/// everything a service starts.
#[cfg(unix)]
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else { return false };
    named == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(not(unix))]
fn is_journal() -> bool {
    false
}

/// A line for the journal: `<3>` and its like say how bad it is (sd-daemon(3)), the time is the journal's own.
struct Journal(Format<Full, ()>);

impl Journal {
    fn new() -> Self {
        let plain = Format::default().without_time().with_target(false);
        Self(plain.with_level(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// Priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Time in the log of a terminal: to the second, in UTC. JSON logs keep microseconds.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let now = iso_utc(Clock::system().now_ms());
        write!(writer, "{}Z", now.get(..19).unwrap_or(&now).replace('T', " "))
    }
}
