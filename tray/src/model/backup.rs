//! Backing up this computer: which folders, as whom, when, and what became of it.
//!
//! The work itself is done by the client program, a process of its own. It runs when something was chosen, an hour after
//! it last ended, and when the network came back; a run on which nothing changed costs one small request.

use std::path::{Path, PathBuf};

use photosync_protocol::process::Exit;

use super::{Action, Effect, Notice, Server, State, Then, Timer};
use crate::moment::Moment;

/// Between the end of a run and the next one: 1 hour.
pub const EVERY_MS: u64 = 3_600_000;
/// After a run that did not reach its server: 10 minutes.
pub const AGAIN_MS: u64 = 600_000;

/// What the tray knows of this computer's own backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backup {
    /// Whether the client program is there; without it nothing of this is shown.
    pub has_client: bool,
    /// What is backed up, as the person chose it.
    pub folders: Vec<PathBuf>,
    /// Folders with photos that most people have: offered by name.
    pub usual: Vec<PathBuf>,
    /// Whose backup it is.
    pub who: Who,
    /// What happens now.
    pub work: Work,
    /// The last run that left nothing to do.
    pub last: Option<Complete>,
    /// What stands in the way; empty if nothing does.
    pub trouble: String,
    /// Whether a dialog for choosing folders is open.
    is_choosing: bool,
    is_due: bool,
    /// Whether this computer ever was signed in somewhere, as far as this tray knows. Who signs in afterwards takes the
    /// place of that account, perhaps on another server: only a person says so.
    had_account: bool,
    /// Whether what stands in the way may go with a change of the network: the way to the server, mostly.
    is_unreached: bool,
    /// Told apart by it: a timer set before the last run changes nothing.
    round: u64,
}

/// Whose backup it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Who {
    /// Nobody asked the client yet.
    #[default]
    Unknown,
    /// The client is being asked, or signed in.
    Asking,
    /// Nobody is signed in on this computer.
    Nobody,
    /// It is signed in.
    As(Account),
}

/// The account that this computer backs up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its e-mail.
    pub email: String,
    /// Address of its server.
    pub url: String,
    /// Fingerprint of its server's key; empty if the client does not tell.
    pub fingerprint: String,
    /// Whether that address is one of this computer.
    pub is_here: bool,
    /// Whether this computer also keeps a sealed backup there.
    pub is_sealed: bool,
}

/// What happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Work {
    /// Nothing.
    #[default]
    Resting,
    /// A run is under way.
    Running(Progress),
}

/// How far a run is; all zero while it looks through the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files that need nothing more.
    pub done_files: u64,
    /// Files of this run.
    pub total_files: u64,
}

/// A run that left nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Complete {
    /// When it ended.
    pub at: Moment,
    /// Files in the folders.
    pub files: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunEnd {
    /// Exit code; `None` if a signal ended it or it could not be started.
    pub code: Option<i32>,
    /// Files in the folders.
    pub files: u64,
    /// Files that could not be backed up.
    pub failed_files: u64,
    /// Whether everything in the folders is safe now.
    pub is_complete: bool,
    /// Chosen folders that are not there: a disk that was taken out.
    pub missing: Vec<PathBuf>,
    /// What the program said last, if it failed; of two that failed, the plain part's words.
    pub words: String,
    /// Whether the sealed part alone failed: the account is as good as before.
    pub is_sealed_part_only: bool,
}

/// Asks at the start, if there is anything to back up.
pub(super) fn launch(state: &mut State) -> Vec<Effect> {
    state.backup.is_due = true;
    ask(state)
}

fn ask(state: &mut State) -> Vec<Effect> {
    let backup = &mut state.backup;
    if !backup.has_client || backup.folders.is_empty() {
        return Vec::new();
    }
    match backup.who {
        Who::Unknown => {
            backup.who = Who::Asking;
            vec![Effect::AskClient]
        }
        _ => Vec::new(),
    }
}

/// Asks anew where the last question got no answer and it is time again.
fn ask_if_due(state: &mut State) -> Vec<Effect> {
    if state.backup.is_due { ask(state) } else { Vec::new() }
}

pub(super) fn choose(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::AddFolder if !state.backup.is_choosing => {
            state.backup.is_choosing = true;
            vec![Effect::ChooseFolders]
        }
        Action::AddThis(folder) => add(state, vec![folder]),
        Action::RemoveFolder(folder) => {
            state.backup.folders.retain(|chosen| *chosen != folder);
            // A run that still reads it is ended; the next one does without.
            state.backup.is_due = true;
            stop(state)
        }
        Action::BackUpNow => {
            state.backup.is_due = true;
            state.backup.trouble.clear();
            if !matches!(state.backup.who, Who::Asking) {
                // Somebody may have signed in, or begun a sealed backup, in a terminal since.
                state.backup.who = Who::Unknown;
            }
            ask(state)
        }
        Action::StopBackup => stop(state),
        Action::SignInAs(email) => sign_in(state, email),
        _ => Vec::new(),
    }
}

/// Ends a run; nothing that it did is lost.
pub(super) fn stop(state: &State) -> Vec<Effect> {
    match state.backup.work {
        Work::Running(_) => vec![Effect::StopBackup],
        Work::Resting => Vec::new(),
    }
}

/// Folders that a person chose in the dialog; none if it was closed.
pub(super) fn chosen(state: &mut State, folders: Vec<PathBuf>) -> Vec<Effect> {
    state.backup.is_choosing = false;
    add(state, folders)
}

/// There is no dialog on this desktop.
pub(super) fn no_dialog(state: &mut State) -> Vec<Effect> {
    state.backup.is_choosing = false;
    vec![Effect::Notify(Notice::NoFolderDialog)]
}

fn add(state: &mut State, folders: Vec<PathBuf>) -> Vec<Effect> {
    let backup = &mut state.backup;
    // What is kept is JSON, and JSON has no such name: one would keep everything else from being remembered.
    let (folders, unnamed): (Vec<_>, Vec<_>) =
        folders.into_iter().partition(|folder| folder.to_str().is_some());
    let unnamed = unnamed.into_iter().map(|folder| Effect::Notify(Notice::UnnamedFolder(folder)));
    let mut effects: Vec<_> = unnamed.collect();
    for folder in folders {
        // One inside another would be told twice.
        if backup.folders.iter().any(|chosen| folder.starts_with(chosen)) {
            continue;
        }
        backup.folders.retain(|chosen| !chosen.starts_with(&folder));
        backup.folders.push(folder);
        backup.is_due = true;
        // Why nobody is signed in is no matter of folders.
        if backup.who != Who::Nobody {
            backup.trouble.clear();
        }
    }
    effects.extend(ask(state));
    effects
}

/// The client says who is signed in; `None` if nobody ever was, or signed out.
pub(super) fn answered(state: &mut State, account: Option<Account>) -> Vec<Effect> {
    let backup = &mut state.backup;
    backup.had_account |= account.is_some();
    backup.who = account.map_or(Who::Nobody, Who::As);
    // What kept the question from being answered does no longer.
    backup.trouble.clear();
    offer(state)
}

/// The client could not be signed in.
pub(super) fn not_signed_in(state: &mut State, why: String) {
    state.backup.who = Who::Nobody;
    state.backup.trouble = why;
}

/// There is an account, but what proves it is gone or refused: only a person can sign in again.
pub(super) fn refused(state: &mut State, why: String) {
    state.backup.had_account = true;
    not_signed_in(state, why);
}

/// The client could not tell who is signed in, as while the key store is locked: it is asked again after a while.
pub(super) fn not_told(state: &mut State, why: String) -> Vec<Effect> {
    let backup = &mut state.backup;
    backup.who = Who::Unknown;
    backup.trouble = why;
    backup.is_due = false;
    backup.is_unreached = true;
    backup.round += 1;
    vec![Effect::After(AGAIN_MS, Timer::BackUp, backup.round)]
}

/// Where this server has one account only, and this computer never had another, there is nobody else to be. Tried once:
/// what stands in the way is shown.
pub(super) fn offer(state: &mut State) -> Vec<Effect> {
    let backup = &state.backup;
    let is_wanted = matches!(backup.who, Who::Nobody)
        && !backup.had_account
        && backup.has_client
        && !backup.folders.is_empty()
        && backup.trouble.is_empty();
    match state.status.as_ref().map(|status| status.people.as_slice()) {
        Some([only]) if is_wanted => sign_in(state, only.clone()),
        _ => Vec::new(),
    }
}

fn sign_in(state: &mut State, email: String) -> Vec<Effect> {
    let (Server::Running { port, .. }, Who::Nobody) = (&state.server, &state.backup.who) else {
        return Vec::new();
    };
    let port = *port;
    state.backup.who = Who::Asking;
    state.backup.trouble.clear();
    vec![Effect::SignIn { email, port }]
}

/// Begins a run that is due, as soon as it can succeed.
pub(super) fn begin(state: &mut State) -> Vec<Effect> {
    // Nobody would be there to hear its end.
    if matches!(state.server, Server::Stopping { then: Then::Quit, .. }) {
        return Vec::new();
    }
    let asking = ask_if_due(state);
    if !asking.is_empty() {
        return asking;
    }
    // Heard, not only ready: only then is it known which server it is.
    let status = state.status.as_ref();
    let runs = matches!(state.server, Server::Running { answers: true, .. }) && status.is_some();
    let backup = &mut state.backup;
    let Who::As(account) = &backup.who else { return Vec::new() };
    let can = backup.is_due
        && backup.has_client
        && backup.work == Work::Resting
        && !backup.folders.is_empty()
        && (runs || !account.is_here);
    if !can {
        return Vec::new();
    }
    // The same server at another port: the client cannot find that out, the tray knows.
    let moved = status.filter(|status| {
        account.is_here
            && !status.fingerprint.is_empty()
            && status.fingerprint == account.fingerprint
            && account.url.rsplit(':').next() != Some(status.port.to_string().as_str())
    });
    if let Some(port) = moved.map(|status| status.port) {
        let email = account.email.clone();
        backup.who = Who::Asking;
        return vec![Effect::SignIn { email, port }];
    }
    backup.is_due = false;
    backup.is_unreached = false;
    backup.work = Work::Running(Progress::default());
    vec![Effect::BackUp { folders: backup.folders.clone(), sealed: account.is_sealed }]
}

/// A run says how far it is.
pub(super) fn progress(state: &mut State, progress: Progress) {
    if let Work::Running(known) = &mut state.backup.work {
        *known = progress;
    }
}

/// A run ended.
pub(super) fn ended(state: &mut State, end: &RunEnd) -> Vec<Effect> {
    let now = state.now;
    let backup = &mut state.backup;
    backup.work = Work::Resting;
    backup.round += 1;
    let exit = end.code.and_then(Exit::from_code);
    let mut effects = Vec::new();
    let (trouble, pause_ms) = match exit {
        Some(Exit::Success) if end.is_complete && end.missing.is_empty() => {
            backup.last = Some(Complete { at: now, files: end.files });
            (String::new(), EVERY_MS)
        }
        // A person stopped it.
        Some(Exit::Interrupted) => (String::new(), EVERY_MS),
        Some(Exit::Unreachable) => {
            backup.is_unreached = true;
            (end.words.clone(), AGAIN_MS)
        }
        // Nothing gets better by itself: said once, for each new reason.
        Some(Exit::SignInRefused | Exit::WrongServer) => {
            if exit == Some(Exit::SignInRefused) && !end.is_sealed_part_only {
                backup.who = Who::Nobody;
            }
            if backup.trouble != end.words {
                effects.push(Effect::Notify(Notice::BackupStopped(end.words.clone())));
            }
            (end.words.clone(), EVERY_MS)
        }
        _ => (crate::texts::backup::incomplete(end), EVERY_MS),
    };
    backup.trouble = trouble;
    effects.push(Effect::After(pause_ms, Timer::BackUp, backup.round));
    effects
}

/// An hour is over; what stood in the way is looked at anew.
pub(super) fn elapsed(state: &mut State, round: u64) -> Vec<Effect> {
    if round == state.backup.round {
        state.backup.is_due = true;
    }
    Vec::new()
}

/// The network changed, or this computer's server came: what could not be reached may be now.
pub(super) fn way_changed(state: &mut State) {
    state.backup.is_due |= state.backup.is_unreached;
}

impl Backup {
    /// As the person left it; nobody was asked yet.
    pub(super) fn new(
        has_client: bool,
        folders: Vec<PathBuf>,
        usual: Vec<PathBuf>,
        last: Option<Complete>,
    ) -> Self {
        let had_account = last.is_some();
        Self { has_client, folders, usual, last, had_account, ..Self::default() }
    }

    /// Usual folders that are not backed up yet.
    pub fn offered(&self) -> impl Iterator<Item = &Path> {
        let is_in = |folder: &Path| self.folders.iter().any(|chosen| folder.starts_with(chosen));
        self.usual.iter().map(PathBuf::as_path).filter(move |folder| !is_in(folder))
    }

    /// Whether a run moves something now.
    pub fn is_moving(&self) -> bool {
        matches!(self.work, Work::Running(Progress { done_files, total_files }) if done_files < total_files)
    }
}
