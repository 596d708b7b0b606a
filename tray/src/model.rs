//! The tray's behaviour, without a display, a process or a clock: `update(state, event)` says what to do.
//!
//! One event at a time, in order. Times are milliseconds since the tray started. Everything that touches the world is an
//! [`Effect`]; its outcome comes back as another [`Event`].

mod backup;
mod care;
mod import;
mod kinds;
mod updates;

pub use backup::{AGAIN_MS, Account, Backup, Complete, EVERY_MS, Progress, RunEnd, Who, Work};
pub use care::QUIET_MS;
pub use import::ImportEnd;
pub use kinds::{Action, Effect, Ended, Event, Notice, Server, Then, Timer, Trouble};
pub use updates::{UpdateEnd, UpdateWork, Updates};

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use photosync_protocol::control::Status;
use photosync_protocol::process::{Exit, Ready};
use photosync_protocol::v1::DEFAULT_PORT;

use crate::addresses::Address;
use crate::budget::Budget;
use crate::kept::Kept;
use crate::moment::Moment;

/// How long a server that was asked to stop may take: it gives requests 5 s itself, then closes its database.
pub const STOP_GRACE_MS: u64 = 10_000;
/// How long a starting server may take until it is called slow: a large database is checked first.
pub const SLOW_START_MS: u64 = 30_000;
/// First pause before a crashed server is started again; each further one is twice as long.
pub const FIRST_PAUSE_MS: u64 = 500;
/// Pauses between two looks for a server that somebody else runs.
pub const LOOK_AGAIN_MS: u64 = 5_000;
/// A phone that did not reach the server this long after its first start is probably kept out by a firewall.
pub const UNREACHED_MS: u64 = 300_000;
/// Below this the disk is called nearly full: 2 GiB, some hundred photos and a few films.
pub const LOW_SPACE_BYTES: u64 = 2 << 30;

/// What the tray knows.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The server.
    pub server: Server,
    /// Addresses of this computer, best first.
    pub addresses: Vec<Address>,
    /// Whether it starts with the session; `None` where that cannot be arranged.
    pub starts_at_login: Option<bool>,
    /// What the running server last said.
    pub status: Option<Status>,
    /// Whether this is the first time that the tray runs on this data.
    pub is_first_start: bool,
    /// This computer's own backup.
    pub backup: Backup,
    /// Data of the server that came before, not taken over yet.
    pub old_data: Option<PathBuf>,
    /// What is known of a newer version.
    pub updates: Updates,
    /// Data of that server that was taken over.
    imported: Option<PathBuf>,
    /// The clock on the wall, set by the loop before each event.
    pub now: Moment,
    told_overdue: BTreeSet<String>,
    arriving: care::Arriving,
    keeps_awake: bool,
    starts: Budget,
    /// Told apart by it: a timer of an earlier server changes nothing.
    round: u64,
    told_low_space: bool,
    reached: bool,
}

impl State {
    /// Before the first event.
    pub fn new(is_first_start: bool, starts_at_login: Option<bool>) -> Self {
        Self {
            server: Server::Looking,
            addresses: Vec::new(),
            starts_at_login,
            status: None,
            is_first_start,
            backup: Backup::default(),
            old_data: None,
            updates: Updates::default(),
            imported: None,
            now: Moment::default(),
            told_overdue: BTreeSet::new(),
            arriving: care::Arriving::default(),
            keeps_awake: false,
            starts: Budget::default(),
            round: 0,
            told_low_space: false,
            reached: false,
        }
    }

    /// With what was kept, where a client program may do what the person asks for. `usual`: folders to offer by name.
    pub fn remembering(mut self, kept: Kept, has_client: bool, usual: Vec<PathBuf>) -> Self {
        let Kept { folders, last_complete, told_overdue, told_newer, imported } = kept;
        self.updates.told = told_newer;
        self.backup = Backup::new(has_client, folders, usual, last_complete);
        self.told_overdue = told_overdue;
        self.imported = imported;
        self
    }

    /// Offers to take over old data that was found, unless that was done.
    pub fn offering(mut self, found: Option<PathBuf>) -> Self {
        self.old_data = import::offered(found, self.imported.as_ref());
        self
    }

    /// What has to be remembered.
    fn kept(&self) -> Kept {
        Kept {
            folders: self.backup.folders.clone(),
            last_complete: self.backup.last,
            told_overdue: self.told_overdue.clone(),
            told_newer: self.updates.told.clone(),
            imported: self.imported.clone(),
        }
    }

    /// The port that phones dial: the running server's, otherwise the one apps expect.
    pub fn port(&self) -> u16 {
        match &self.server {
            Server::Running { port, .. } => *port,
            _ => DEFAULT_PORT,
        }
    }
}

/// Takes in one event.
pub fn update(state: &mut State, now_ms: u64, event: Event) -> Vec<Effect> {
    let before = state.kept();
    let mut effects = take_in(state, now_ms, event);
    effects.extend(backup::begin(state));
    effects.extend(care::keep_awake(state, now_ms));
    let kept = state.kept();
    if kept != before {
        // First: an end among the others would leave it out.
        effects.insert(0, Effect::Keep(kept));
    }
    effects
}

fn take_in(state: &mut State, now_ms: u64, event: Event) -> Vec<Effect> {
    match event {
        Event::Launched => {
            let mut effects = vec![Effect::Follow];
            effects.extend(backup::launch(state));
            effects
        }
        Event::Chosen(action) => choose(state, now_ms, action),
        Event::Attached(status) => {
            backup::way_changed(state);
            attach(state, now_ms, status)
        }
        Event::NobodyThere => nobody_there(state, now_ms),
        Event::Said(status) => hear(state, now_ms, status),
        Event::Detached => detach(state),
        Event::Ready(ready) => become_ready(state, &ready),
        Event::Exited(ended) => exited(state, now_ms, &ended),
        Event::NotStarted(why) => fail(state, Trouble::NotStarted(why)),
        Event::PortOwner(owner) => {
            if let Server::Stopped(Some(Trouble::PortTaken { owner: known, .. })) =
                &mut state.server
            {
                *known = owner;
            }
            Vec::new()
        }
        Event::Elapsed(Timer::BackUp, round) => backup::elapsed(state, round),
        Event::Elapsed(timer, round) if round == state.round => elapsed(state, now_ms, timer),
        Event::Elapsed(..) => Vec::new(),
        Event::Addresses(addresses) => {
            if state.addresses != addresses {
                backup::way_changed(state);
            }
            state.addresses = addresses;
            Vec::new()
        }
        Event::Copied(text) => vec![Effect::Notify(Notice::Copied(text))],
        Event::NotCopied(text) => vec![Effect::Notify(Notice::NotCopied(text))],
        Event::StartsAtLogin(now) => {
            state.starts_at_login = now;
            Vec::new()
        }
        Event::NoIcon => {
            vec![Effect::PutLauncher, Effect::Notify(Notice::NoIcon(state.port()))]
        }
        Event::SessionEnds => quit(state),
        Event::FoldersChosen(folders) => backup::chosen(state, folders),
        Event::NoFolderDialog => backup::no_dialog(state),
        Event::Client(account) => backup::answered(state, account),
        Event::NotSignedIn(why) => {
            backup::not_signed_in(state, why);
            Vec::new()
        }
        Event::SignInLost(why) => {
            backup::refused(state, why);
            Vec::new()
        }
        Event::NotTold(why) => backup::not_told(state, why),
        Event::BackupSaid(progress) => {
            backup::progress(state, progress);
            Vec::new()
        }
        Event::BackupEnded(end) => backup::ended(state, &end),
        Event::ImportSaid { done_files, total_files } => {
            import::progress(state, done_files, total_files);
            Vec::new()
        }
        Event::ImportEnded(end) => import::ended(state, end),
        Event::UpdateChecked(end) => updates::checked(state, end),
        Event::Updated(end) => updates::installed(state, end),
    }
}

fn choose(state: &mut State, now_ms: u64, action: Action) -> Vec<Effect> {
    match (action, &state.server) {
        (Action::Start, Server::Stopped(_)) => {
            // A person's wish is not a crash.
            state.starts = Budget::default();
            enter(state, Server::Looking);
            vec![Effect::Follow]
        }
        (Action::Start, Server::Pausing) => start(state, now_ms),
        (Action::Stop, _) => stop(state, Then::Rest),
        (Action::Restart, Server::Running { .. }) => stop(state, Then::Start),
        (Action::CopyAddress(text), _) => vec![Effect::Copy(text)],
        (Action::OpenPage, Server::Running { port, .. }) => vec![Effect::OpenPage(*port)],
        (Action::Pair, Server::Running { .. }) => vec![Effect::OpenPairing],
        (Action::OpenPhotos, _) => vec![Effect::OpenPhotos],
        (Action::OpenLog, _) => vec![Effect::OpenLog],
        (Action::ToggleLogin, _) => {
            state.starts_at_login.map(|now| Effect::SetLogin(!now)).into_iter().collect()
        }
        (Action::Import, _) => import::choose(state),
        (Action::CheckUpdate, _) => updates::check(state),
        (Action::Update(version), _) => updates::install(state, version),
        (Action::Quit, _) => quit(state),
        (
            action @ (Action::AddFolder
            | Action::AddThis(_)
            | Action::RemoveFolder(_)
            | Action::BackUpNow
            | Action::StopBackup
            | Action::SignInAs(_)),
            _,
        ) => backup::choose(state, action),
        // Entries that are grey can be clicked all the same on some desktops.
        (Action::Start | Action::Restart | Action::Pair | Action::OpenPage, _) => Vec::new(),
    }
}

/// Another state of the server; timers of the one before it no longer count.
fn enter(state: &mut State, server: Server) {
    state.server = server;
    state.round += 1;
}

fn start(state: &mut State, now_ms: u64) -> Vec<Effect> {
    state.starts.note(now_ms);
    enter(state, Server::Starting { is_slow: false });
    vec![Effect::StartServer, Effect::After(SLOW_START_MS, Timer::SlowStart, state.round)]
}

fn stop(state: &mut State, then: Then) -> Vec<Effect> {
    let is_ours = match &state.server {
        Server::Starting { .. } => true,
        Server::Running { is_ours, .. } => *is_ours,
        Server::Stopping { then: now, is_ours } => {
            // The later wish counts, but nobody takes back an end.
            let then = if *now == Then::Quit { Then::Quit } else { then };
            state.server = Server::Stopping { then, is_ours: *is_ours };
            return Vec::new();
        }
        // Nothing of a server runs.
        Server::Importing { .. } => return Vec::new(),
        Server::Pausing | Server::Looking | Server::Stopped(_) => {
            enter(state, Server::Stopped(None));
            return Vec::new();
        }
    };
    enter(state, Server::Stopping { then, is_ours });
    let ask = if is_ours { Effect::StopOurs } else { Effect::StopOther };
    vec![ask, Effect::After(STOP_GRACE_MS, Timer::Grace, state.round)]
}

/// Ends the tray: with the server it started, never with one it did not.
fn quit(state: &mut State) -> Vec<Effect> {
    let mut effects = backup::stop(state);
    effects.extend(match &state.server {
        Server::Starting { .. }
        | Server::Running { is_ours: true, .. }
        | Server::Stopping { is_ours: true, .. } => stop(state, Then::Quit),
        Server::Importing { .. } => vec![Effect::StopImport, Effect::Exit],
        _ => vec![Effect::Exit],
    });
    effects
}

fn attach(state: &mut State, now_ms: u64, status: Status) -> Vec<Effect> {
    match &state.server {
        Server::Running { is_ours, .. } => {
            state.server = Server::Running { port: status.port, is_ours: *is_ours, answers: true };
            hear(state, now_ms, status)
        }
        // Ours may be heard here before its ready line is read, which says the same; somebody else's may have won a race.
        Server::Looking | Server::Stopped(_) | Server::Pausing => {
            enter(state, Server::Running { port: status.port, is_ours: false, answers: true });
            hear(state, now_ms, status)
        }
        Server::Starting { .. } | Server::Stopping { .. } | Server::Importing { .. } => Vec::new(),
    }
}

fn nobody_there(state: &mut State, now_ms: u64) -> Vec<Effect> {
    match &state.server {
        Server::Looking => start(state, now_ms),
        // Still nobody: look again, for as long as a person leaves it at that.
        Server::Running { .. } | Server::Stopped(Some(Trouble::Gone | Trouble::DataBusy)) => {
            vec![Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, state.round)]
        }
        _ => Vec::new(),
    }
}

fn hear(state: &mut State, now_ms: u64, status: Status) -> Vec<Effect> {
    let mut effects = care::tell_overdue(state, &status);
    effects.extend(updates::hear(state, &status));
    state.arriving.hear(now_ms, &status);
    let is_low = status.free_bytes.filter(|free| *free < LOW_SPACE_BYTES);
    if let (Some(free), false) = (is_low, state.told_low_space) {
        effects.push(Effect::Notify(Notice::LowSpace(free)));
    }
    // Told again only after there was room in between.
    state.told_low_space = is_low.is_some();
    state.reached |= status.was_reached;
    state.status = Some(status);
    effects.extend(backup::offer(state));
    effects
}

fn detach(state: &mut State) -> Vec<Effect> {
    state.status = None;
    match &mut state.server {
        Server::Running { is_ours: false, .. } => {
            enter(state, Server::Stopped(Some(Trouble::Gone)));
            vec![Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, state.round)]
        }
        // Ours: if it ended, its exit says so; if not, it hangs.
        Server::Running { answers, .. } => {
            *answers = false;
            vec![Effect::After(LOOK_AGAIN_MS, Timer::LookAgain, state.round)]
        }
        Server::Stopping { then, is_ours: false } => {
            let then = *then;
            stopped(state, then)
        }
        _ => Vec::new(),
    }
}

/// What was asked for together with the stop.
fn stopped(state: &mut State, then: Then) -> Vec<Effect> {
    match then {
        Then::Rest => {
            enter(state, Server::Stopped(None));
            Vec::new()
        }
        Then::Start => {
            state.starts = Budget::default();
            enter(state, Server::Looking);
            vec![Effect::Follow]
        }
        Then::Import => import::begin(state),
        Then::Quit => vec![Effect::Exit],
    }
}

fn become_ready(state: &mut State, ready: &Ready) -> Vec<Effect> {
    if !matches!(state.server, Server::Starting { .. }) {
        return Vec::new();
    }
    let port = ready.listen.iter().find_map(|listen| listen.rsplit(':').next()?.parse().ok());
    let port = port.unwrap_or(DEFAULT_PORT);
    enter(state, Server::Running { port, is_ours: true, answers: true });
    let mut effects = vec![Effect::Follow];
    if std::mem::take(&mut state.is_first_start) {
        let first = state.addresses.first().map(|address| address.typed(state.port()));
        effects.push(Effect::Notify(Notice::FirstStart(first)));
        effects.push(Effect::After(UNREACHED_MS, Timer::Unreached, state.round));
    }
    effects
}

fn exited(state: &mut State, now_ms: u64, ended: &Ended) -> Vec<Effect> {
    state.status = None;
    if let Server::Stopping { then, is_ours: true } = state.server {
        return stopped(state, then);
    }
    let words = ended.last_words.clone();
    let exit = ended.code.and_then(Exit::from_code);
    match exit {
        // Somebody else asked it to stop.
        Some(Exit::Success) => {
            enter(state, Server::Stopped(None));
            Vec::new()
        }
        Some(Exit::Restart) => start(state, now_ms),
        Some(Exit::PortTaken) => {
            let port = port_in(&words);
            let mut effects = fail(state, Trouble::PortTaken { port, owner: None });
            effects.push(Effect::FindPortOwner(port));
            effects
        }
        Some(Exit::DataHeld) => {
            // Somebody else's server was quicker: follow that one.
            enter(state, Server::Stopped(Some(Trouble::DataBusy)));
            vec![Effect::Follow]
        }
        Some(Exit::Configuration | Exit::Usage) => fail(state, Trouble::Settings(words)),
        Some(Exit::Storage) => fail(state, Trouble::Storage(words)),
        _ => match state.starts.pause_ms(now_ms) {
            Some(pause_ms) => {
                enter(state, Server::Pausing);
                vec![Effect::After(pause_ms, Timer::Pause, state.round)]
            }
            None => fail(state, Trouble::KeepsFailing(words)),
        },
    }
}

/// The port of the address that the server names when it could not have it.
fn port_in(words: &str) -> u16 {
    let address = words.split_whitespace().find_map(|word| word.parse::<SocketAddr>().ok());
    address.map_or(DEFAULT_PORT, |address| address.port())
}

fn fail(state: &mut State, trouble: Trouble) -> Vec<Effect> {
    enter(state, Server::Stopped(Some(trouble.clone())));
    vec![Effect::Notify(Notice::Failed(trouble))]
}

fn elapsed(state: &mut State, now_ms: u64, timer: Timer) -> Vec<Effect> {
    match (timer, &mut state.server) {
        (Timer::Grace, Server::Stopping { is_ours: true, .. }) => vec![Effect::KillOurs],
        // Somebody else's that does not stop is left to its owner.
        (Timer::Grace, Server::Stopping { is_ours: false, .. }) => {
            enter(state, Server::Looking);
            vec![Effect::Follow]
        }
        (Timer::SlowStart, Server::Starting { is_slow }) => {
            *is_slow = true;
            Vec::new()
        }
        (Timer::Pause, Server::Pausing) => start(state, now_ms),
        (Timer::LookAgain, Server::Stopped(_) | Server::Running { answers: false, .. }) => {
            vec![Effect::Follow]
        }
        (Timer::Unreached, Server::Running { port, .. }) if !state.reached => {
            vec![Effect::Notify(Notice::Unreached(*port))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
