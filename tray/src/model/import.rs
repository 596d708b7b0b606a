//! Taking over the photos of the server that came before: the server stops, the photos are copied, the server starts.

use std::path::PathBuf;

use photosync_protocol::process::Exit;

use super::{Effect, Notice, Server, State, Then, enter};

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportEnd {
    /// Exit code; `None` if a signal ended it or it could not be started.
    pub code: Option<i32>,
    /// What it did, for people: a line for each account, and one for each thing that was left.
    pub report: String,
    /// What it said last, if it failed.
    pub words: String,
}

pub(super) fn choose(state: &mut State) -> Vec<Effect> {
    if state.old_data.is_none() {
        return Vec::new();
    }
    match state.server {
        Server::Running { .. } | Server::Starting { .. } => super::stop(state, Then::Import),
        Server::Stopped(_) | Server::Pausing => begin(state),
        Server::Looking | Server::Stopping { .. } | Server::Importing { .. } => Vec::new(),
    }
}

/// No server runs now: the copy can begin.
pub(super) fn begin(state: &mut State) -> Vec<Effect> {
    let Some(folder) = state.old_data.clone() else {
        enter(state, Server::Looking);
        return vec![Effect::Follow];
    };
    enter(state, Server::Importing { done_files: 0, total_files: 0 });
    vec![Effect::Import(folder)]
}

pub(super) fn progress(state: &mut State, done: u64, total: u64) {
    if let Server::Importing { done_files, total_files } = &mut state.server {
        (*done_files, *total_files) = (done, total);
    }
}

/// The copy ended, well or not: the server starts again. What is settled is not offered any more.
pub(super) fn ended(state: &mut State, end: ImportEnd) -> Vec<Effect> {
    if !matches!(state.server, Server::Importing { .. }) {
        return Vec::new();
    }
    let notice = match end.code.and_then(Exit::from_code) {
        Some(Exit::Success) => {
            state.imported = state.old_data.take();
            Notice::Imported(end.report)
        }
        Some(Exit::Disagreements) => Notice::ImportedInPart(end.report),
        _ => Notice::ImportFailed(end.words),
    };
    enter(state, Server::Looking);
    vec![Effect::Notify(notice), Effect::Follow]
}

/// What is offered: a folder that was found and not taken over before.
pub(super) fn offered(found: Option<PathBuf>, imported: Option<&PathBuf>) -> Option<PathBuf> {
    found.filter(|found| Some(found) != imported)
}
