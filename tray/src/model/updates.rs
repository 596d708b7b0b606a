//! Newer versions: told once each, installed when a person chooses it, and in use after the next restart.

use photosync_protocol::control::Status;

use super::{Effect, Notice, State};

/// What is known of newer versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Updates {
    /// A newer version, if one is known.
    pub newer: Option<String>,
    /// What is under way or done.
    pub work: UpdateWork,
    /// The version that the person was told of last.
    pub(super) told: Option<String>,
}

/// What is under way or done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum UpdateWork {
    /// Nothing.
    #[default]
    Nothing,
    /// A person wants to know.
    Checking,
    /// This version is being installed.
    Installing(String),
    /// This version is installed, and another one runs.
    Installed(String),
}

/// How a look or an update ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateEnd {
    /// Whether it did what it was asked to.
    pub is_done: bool,
    /// The version that was found or installed.
    pub version: Option<String>,
    /// What the program said.
    pub words: String,
}

/// Takes in what the server says of newer versions and of itself.
pub(super) fn hear(state: &mut State, status: &Status) -> Vec<Effect> {
    let updates = &mut state.updates;
    if updates.work == UpdateWork::Installed(status.version.clone()) {
        // It was restarted.
        updates.work = UpdateWork::Nothing;
        updates.newer = None;
    }
    if status.newer_version.is_some() {
        updates.newer.clone_from(&status.newer_version);
    }
    match &status.newer_version {
        Some(version) if updates.told.as_ref() != Some(version) => {
            updates.told = Some(version.clone());
            vec![Effect::Notify(Notice::Newer(version.clone()))]
        }
        _ => Vec::new(),
    }
}

/// A person wants to know.
pub(super) fn check(state: &mut State) -> Vec<Effect> {
    if state.updates.work != UpdateWork::Nothing {
        return Vec::new();
    }
    state.updates.work = UpdateWork::Checking;
    vec![Effect::CheckUpdate]
}

/// The answer.
pub(super) fn checked(state: &mut State, end: UpdateEnd) -> Vec<Effect> {
    if state.updates.work == UpdateWork::Checking {
        state.updates.work = UpdateWork::Nothing;
    }
    if end.is_done {
        state.updates.newer.clone_from(&end.version);
    }
    match end.version {
        Some(version) if end.is_done => {
            state.updates.told = Some(version.clone());
            vec![Effect::Notify(Notice::Newer(version))]
        }
        _ => vec![Effect::Notify(Notice::Checked(end.words))],
    }
}

/// A person chose to install `version`.
pub(super) fn install(state: &mut State, version: String) -> Vec<Effect> {
    if state.updates.work != UpdateWork::Nothing {
        return Vec::new();
    }
    state.updates.work = UpdateWork::Installing(version.clone());
    vec![Effect::Update(version)]
}

/// It is installed, or not.
pub(super) fn installed(state: &mut State, end: UpdateEnd) -> Vec<Effect> {
    let notice = match end.version {
        Some(version) if end.is_done => {
            state.updates.work = UpdateWork::Installed(version.clone());
            Notice::UpdateInstalled(version)
        }
        _ => {
            state.updates.work = UpdateWork::Nothing;
            Notice::NotUpdated(end.words)
        }
    };
    vec![Effect::Notify(notice)]
}
