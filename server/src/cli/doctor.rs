//! `doctor`: gathers what the server, or this process in its place, finds in its data, and what can be seen from outside.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use photosync_protocol::findings::{Finding, Verdict, conclusion};
use photosync_protocol::process::Exit;
use photosync_server::blobs::volume;
use photosync_server::clock::Clock;
use photosync_server::config::Config;
use photosync_server::control::{Command, remote};
use photosync_server::doctor::{Examined, Server, Shown, examine, host, public, reach};

use super::arguments::{Doctor, Parsed};
use super::service::Service;
use super::{resolve, say};

/// A server that is asked to look at itself reads its database once, which may take minutes on a slow disk: 3.
const PATIENCE: Duration = Duration::from_secs(180);
/// A server that works answers within this, 5 s, also a busy one.
const ANSWER: Duration = Duration::from_secs(5);
/// Where the service of the installer keeps its data, if nobody chose another place.
const SERVICE_DATA: &str = "/var/lib/photosync";

/// Takes findings as they come.
struct Told {
    findings: Vec<Finding>,
    is_json: bool,
    width: Option<usize>,
    is_coloured: bool,
}

impl Told {
    fn new(is_json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let width = if is_terminal { terminal_width() } else { None };
        Self { findings: Vec::new(), is_json, width, is_coloured: is_terminal && !is_plain }
    }

    fn add(&mut self, finding: Finding) {
        if self.is_json {
            let line = serde_json::json!({"event": "finding", "finding": finding});
            say(&line.to_string());
        } else {
            say(&finding.lines(self.width, self.is_coloured));
        }
        // A person waits: what is found is shown at once, also through a pipe.
        let _ = std::io::stdout().flush();
        self.findings.push(finding);
    }

    fn end(self) -> Exit {
        if !self.is_json {
            say(&conclusion(&self.findings));
        }
        let is_broken = self.findings.iter().any(|finding| finding.verdict == Verdict::Broken);
        if is_broken { Exit::Disagreements } else { Exit::Success }
    }
}

/// Columns of the terminal; 80 where it does not say.
#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    Some(size.map_or(80, |size| usize::from(size.ws_col)).max(40))
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    Some(80)
}

/// Looks at everything and tells each finding as it comes.
pub fn doctor(parsed: &Parsed, wanted: &Doctor, service: &Service) -> Exit {
    const SETTINGS: &str = "settings";
    let mut told = Told::new(wanted.json);
    let read = resolve(parsed, service).map_err(|error| error.message);
    let read = read.and_then(|(resolved, data_dir)| {
        let config = Config::parse(&resolved, &data_dir).map_err(|error| error.0)?;
        Ok((resolved, config))
    });
    let (resolved, config) = match read {
        Ok(read) => read,
        Err(message) => {
            let fix = "correct it; `photosync-server config example` explains every setting";
            told.add(Finding::broken(SETTINGS, message, fix));
            host::service().into_iter().for_each(|finding| told.add(finding));
            return told.end();
        }
    };
    for warning in &resolved.warnings {
        let fix = "`photosync-server config show` lists what is in force, and where it came from";
        told.add(Finding::warning(SETTINGS, warning.clone(), fix));
    }
    if resolved.warnings.is_empty() {
        told.add(Finding::fine(SETTINGS, "they can all be understood"));
    }
    let (shown, server) = look_at_data(&mut told, &config);
    host::service().into_iter().for_each(|finding| told.add(finding));
    let Some(shown) = shown else { return told.end() };
    let ports = match server {
        Server::Runs => reach::answering(&shown),
        Server::Stopped => reach::free(&shown, config.hosts_are_explicit),
    };
    ports.into_iter().for_each(|finding| told.add(finding));
    told.add(reach::addresses(&shown));
    told.add(reach::announced(&shown, server));
    host::firewall(Path::new("/"), &shown).into_iter().for_each(|finding| told.add(finding));
    match (&shown.public_url, server) {
        (None, _) => {}
        (Some(url), Server::Stopped) => {
            let seen = format!("{url} is not asked while no server runs");
            told.add(Finding::skipped("public", seen));
        }
        (Some(url), Server::Runs) => {
            let bytes =
                if wanted.thorough { public::THOROUGH_PROBE } else { public::ORDINARY_PROBE };
            let found = public::look(url, &shown, &Clock::system(), bytes);
            found.into_iter().for_each(|finding| told.add(finding));
        }
    }
    told.end()
}

/// Has the data looked at by who holds it. Answers what a server shows, if that is known, and whether it runs.
fn look_at_data(told: &mut Told, config: &Config) -> (Option<Shown>, Server) {
    const CHECK: &str = "server";
    let dir = &config.data_dir;
    match volume::is_held(dir) {
        Ok(true) => {}
        Ok(false) => {
            let seen = "no server is running on this data";
            let fix =
                "start it: sudo systemctl start photosync, the tray, or photosync-server serve";
            told.add(Finding::warning(CHECK, seen, fix));
            let findings = examine(config, &Clock::system(), Server::Stopped);
            findings.into_iter().for_each(|finding| told.add(finding));
            note_service_data(told, dir);
            return (Some(Shown::planned(config)), Server::Stopped);
        }
        Err(_) => {
            // The folder says why, and more of it.
            let findings = examine(config, &Clock::system(), Server::Stopped);
            findings.into_iter().for_each(|finding| told.add(finding));
            return (None, Server::Stopped);
        }
    }
    let asked = remote::require_answer(dir, ANSWER)
        .and_then(|()| remote::send_within(dir, &Command::Doctor, Some(PATIENCE)));
    match asked {
        Ok(outcome) => {
            let Some(Examined { findings, shown }) = outcome.examined else {
                let fix = "restart the server, so that both are of one version";
                told.add(Finding::warning(CHECK, "it cannot look at itself", fix));
                return (None, Server::Runs);
            };
            let seen = format!("it runs: version {}, process {}", shown.version, shown.pid);
            told.add(match shown.version == env!("CARGO_PKG_VERSION") {
                true => Finding::fine(CHECK, seen),
                false => {
                    let fix = "restart it: this program is another version";
                    Finding::warning(CHECK, seen, fix)
                }
            });
            findings.into_iter().for_each(|finding| told.add(finding));
            (Some(shown), Server::Runs)
        }
        Err(message) => {
            let fix = "wait a moment if it was just started; otherwise restart it, and read its log. Root and the account \
                       of the server can ask it, nobody else";
            told.add(Finding::broken(CHECK, message, fix));
            (None, Server::Runs)
        }
    }
}

/// Who looks at an empty folder of their own may mean that of the service.
fn note_service_data(told: &mut Told, dir: &Path) {
    if dir.exists() || dir == Path::new(SERVICE_DATA) || !Path::new(SERVICE_DATA).exists() {
        return;
    }
    let seen = format!("the service photosync keeps its data in {SERVICE_DATA}");
    let fix = format!("to have that looked at: sudo photosync-server doctor --data {SERVICE_DATA}");
    told.add(Finding::skipped("data", seen).or_else(fix));
}
