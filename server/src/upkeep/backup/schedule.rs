//! Backups that the server makes by itself, and trials of them: when the next one is due, and what came of the last.
//!
//! A backup is due `backup.every_hours` after the newest one in `backup.target`, whoever made that; a trial
//! `backup.drill_days` after the last success, and after every backup while the last one failed. Nothing is made in a folder
//! that does not say that it holds this server's backups: a disk that is not mounted looks like an empty folder.

use std::io;
use std::time::Duration;

use photosync_protocol::control::BackupStatus;
use serde::{Deserialize, Serialize};

use super::{Made, Tried, blocking, generations, make, prove, proved_made_at_ms};
use crate::accounts::queries::{find_fact, set_fact};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::config::Backups;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::upkeep::verify;

/// The fact that says what came of the last backup and the last trial.
const FACT: &str = "backup_state";
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;
/// Longest rest: a clock may be set, a disk may come back.
const MOST_REST_MS: i64 = HOUR_MS;
/// Shortest rest, also after a failure.
const LEAST_REST_MS: i64 = 60_000;
/// Sentences of what is wrong that are told of one trial; the log has no more either, `verify-backup` names all.
const TOLD: usize = 3;

/// What is remembered between two runs of the server. Times are Unix milliseconds.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    #[serde(default)]
    made_at_ms: Option<i64>,
    /// When the last backup failed; `None` if it did not.
    #[serde(default)]
    failed_at_ms: Option<i64>,
    #[serde(default)]
    failure: Option<String>,
    /// Why no backup can be made where they belong; `None` once it can.
    #[serde(default)]
    away: Option<String>,
    #[serde(default)]
    proved_at_ms: Option<i64>,
    #[serde(default)]
    drill_failure: Option<String>,
    /// When a trial was last made, whatever came of it.
    #[serde(default)]
    tried_at_ms: Option<i64>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Backup,
    Drill,
    /// Nothing, for so many milliseconds.
    Rest(i64),
}

/// Milliseconds until `period_ms` after `since_ms`; 0 if there is no such time, or it was by a clock that was wrong.
fn wait_ms(since_ms: Option<i64>, period_ms: i64, now_ms: i64) -> i64 {
    let over =
        since_ms.filter(|since| *since <= now_ms).map(|since| since.saturating_add(period_ms));
    over.map_or(0, |over| (over - now_ms).max(0))
}

/// What is due, if the newest backup in the folder is of `newest_ms`.
fn due(backups: &Backups, state: &State, newest_ms: Option<i64>, now_ms: i64) -> Due {
    let every_ms = backups.every_hours.saturating_mul(HOUR_MS);
    // What failed is tried again every hour, for a disk that comes back.
    let again_ms = wait_ms(state.failed_at_ms, HOUR_MS.min(every_ms), now_ms);
    let again_ms = state.failed_at_ms.map_or(0, |_| again_ms);
    let backup_ms = wait_ms(newest_ms, every_ms, now_ms).max(again_ms);
    if backup_ms == 0 {
        return Due::Backup;
    }
    let drill_ms = match (backups.drill_days, newest_ms) {
        (..=0, _) | (_, None) => i64::MAX,
        // Another look at the same copy says the same: the next backup replaces what is damaged.
        (_, Some(newest)) if state.drill_failure.is_some() => {
            if state.tried_at_ms.is_none_or(|tried| tried < newest) { 0 } else { i64::MAX }
        }
        (days, Some(_)) => wait_ms(state.proved_at_ms, days.saturating_mul(DAY_MS), now_ms),
    };
    if drill_ms == 0 { Due::Drill } else { Due::Rest(backup_ms.min(drill_ms)) }
}

/// Makes backups and trials for as long as it is not dropped; does nothing without `backup.target`.
pub async fn run(app: App) {
    let Some(backups) = app.config.backups.clone() else { return };
    loop {
        let rest_ms = match verify::unasked(step(&app, &backups)).await {
            Ok(rest_ms) => rest_ms,
            Err(error) => {
                tracing::error!(%error, causes = error.cause_chain(), "nobody knows when the next backup is due; it is looked at again");
                LEAST_REST_MS
            }
        };
        let rest_ms = u64::try_from(rest_ms.clamp(0, MOST_REST_MS)).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
}

/// Does what is due, and says how many milliseconds to rest. An error says that not even a failure could be noted.
pub(crate) async fn step(app: &App, backups: &Backups) -> Result<i64> {
    let newest_ms = match find_newest(app, backups).await {
        Ok(newest_ms) => newest_ms,
        Err(error) => {
            let text = in_full(&error);
            tracing::error!("no backup can be made: {text}");
            change(app, move |state| state.away = Some(text.clone())).await?;
            return Ok(MOST_REST_MS);
        }
    };
    change(app, |state| state.away = None).await?;
    match due(backups, &load(app).await?, newest_ms, app.clock.now_ms()) {
        Due::Rest(rest_ms) => return Ok(rest_ms.max(LEAST_REST_MS)),
        Due::Backup => match make(app, backups.target.clone(), backups.keep).await {
            Ok(made) => note_lacks(app, &made).await?,
            Err(error) => note_failure(app, &error).await?,
        },
        Due::Drill => {
            // What it finds is noted by it.
            if let Err(error) = prove(app, backups.target.clone()).await {
                note_drill(app, Some(in_full(&error))).await?;
            }
        }
    }
    Ok(0)
}

/// When the newest backup in the folder was made. Refused unless the folder says that it is this server's.
async fn find_newest(app: &App, backups: &Backups) -> Result<Option<i64>> {
    let (target, server_id) = (backups.target.clone(), app.presence.server_id().to_owned());
    let look = move || -> io::Result<Option<i64>> {
        if !generations::is_own(&target, &server_id)? {
            let message = format!(
                "{} holds no backups of this server; is the disk mounted? The first one there is made by hand: photosync-server backup {}",
                target.display(),
                target.display()
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let newest = generations::list(&target)?.pop();
        Ok(newest.map(|newest| generations::read_marker(&newest).made_at_ms))
    };
    blocking("look at the backups", look).await
}

async fn load(app: &App) -> Result<State> {
    Ok(parse(app.db.read(|tx| find_fact(tx, FACT)).await?))
}

/// What cannot be read was written by nobody.
fn parse(text: Option<String>) -> State {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

async fn change(app: &App, change: impl Fn(&mut State) + Send + 'static) -> Result<()> {
    let before = load(app).await?;
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        // A transaction that writes nothing would still wake the disk.
        return Ok(());
    }
    let write = move |tx: &mut dyn Tx| -> Result<()> {
        let mut state = parse(find_fact(tx, FACT)?);
        change(&mut state);
        let text = serde_json::to_string(&state)
            .map_err(|source| Error::internal("note what came of a backup").caused_by(source))?;
        Ok(set_fact(tx, FACT, &text)?)
    };
    app.db.write(write).await
}

/// Notes that a backup was made, whoever wanted it.
pub(super) async fn note_made(app: &App, made: &Made) -> Result<()> {
    let made_at_ms = Some(made.generation.made_at_ms);
    let note = move |state: &mut State| {
        (state.made_at_ms, state.failed_at_ms, state.failure) = (made_at_ms, None, None);
    };
    change(app, note).await
}

/// Says what a backup that the server made by itself lacks.
async fn note_lacks(app: &App, made: &Made) -> Result<()> {
    let (folder, files) = (made.folder.display(), made.generation.files);
    tracing::info!(%folder, files, new_bytes = made.copied_bytes, removed = made.removed, "backed up");
    if made.is_same_disk {
        tracing::warn!(%folder, "the backup is on the disk of the photos, and would be lost with them");
    }
    if made.missing.is_empty() {
        return Ok(());
    }
    let text = told("the server itself has lost", &made.missing);
    tracing::error!(%folder, "{text}");
    change(app, move |state| state.failure = Some(text.clone())).await
}

/// Notes that a backup that the server wanted to make by itself came to nothing.
async fn note_failure(app: &App, error: &Error) -> Result<()> {
    let (text, now_ms) = (in_full(error), app.clock.now_ms());
    tracing::error!("no backup was made, it is tried again: {text}");
    let note = move |state: &mut State| {
        (state.failed_at_ms, state.failure) = (Some(now_ms), Some(text.clone()));
    };
    change(app, note).await
}

/// Notes what came of a trial, whoever wanted it.
pub(super) async fn note_tried(app: &App, tried: &Tried) -> Result<()> {
    let wrong = &tried.report.disagreements;
    let failure = Some(wrong).filter(|wrong| !wrong.is_empty());
    note_drill(app, failure.map(|wrong| told("the backup is not whole", wrong))).await
}

async fn note_drill(app: &App, failure: Option<String>) -> Result<()> {
    let now_ms = app.clock.now_ms();
    match &failure {
        None => tracing::info!("a backup was restored on trial and found whole"),
        Some(failure) => tracing::error!("the restore of a backup on trial failed: {failure}"),
    }
    let note = move |state: &mut State| {
        state.tried_at_ms = Some(now_ms);
        if failure.is_none() {
            state.proved_at_ms = Some(now_ms);
        }
        state.drill_failure = failure.clone();
    };
    change(app, note).await
}

/// An error with its causes.
fn in_full(error: &Error) -> String {
    match error.cause_chain() {
        causes if causes.is_empty() => error.message.clone(),
        causes => format!("{}: {causes}", error.message),
    }
}

fn told(what: &str, names: &[String]) -> String {
    let shown = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    match names.len().saturating_sub(TOLD) {
        0 => format!("{what}: {shown}"),
        more => format!("{what}: {shown}; and {more} more"),
    }
}

/// How the backups are doing.
pub async fn status(app: &App) -> Result<BackupStatus> {
    let state = load(app).await?;
    Ok(BackupStatus {
        target: app.config.backups.as_ref().map(|backups| backups.target.display().to_string()),
        made_at_ms: state.made_at_ms,
        failure: state.away.or(state.failure),
        proved_at_ms: state.proved_at_ms,
        proved_made_at_ms: proved_made_at_ms(app).await?,
        drill_failure: state.drill_failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backups() -> Backups {
        Backups { target: "/mnt/backups".into(), every_hours: 24, keep: Some(3), drill_days: 7 }
    }

    #[test]
    fn a_backup_is_due_a_day_after_the_newest_and_a_trial_a_week_after_the_last_success() {
        let now = 100 * DAY_MS;
        let proved =
            |days: i64| State { proved_at_ms: Some(now - days * DAY_MS), ..State::default() };
        let due = |state: &State, newest: Option<i64>| due(&backups(), state, newest, now);
        assert_eq!(due(&proved(1), None), Due::Backup);
        assert_eq!(due(&proved(1), Some(now - DAY_MS)), Due::Backup);
        assert_eq!(due(&proved(1), Some(now - DAY_MS + 5)), Due::Rest(5));
        assert_eq!(due(&proved(1), Some(now + 1)), Due::Backup, "made by a clock that was wrong");
        assert_eq!(due(&State::default(), Some(now - 5)), Due::Drill, "never proved");
        assert_eq!(due(&proved(7), Some(now - 5)), Due::Drill);
        assert_eq!(due(&proved(6), Some(now - 5)), Due::Rest(DAY_MS - 5));
    }

    #[test]
    fn a_failure_is_tried_again_after_an_hour_and_a_failed_trial_after_the_next_backup() {
        let now = 100 * DAY_MS;
        let failed = State { failed_at_ms: Some(now - HOUR_MS + 7), ..State::default() };
        assert_eq!(due(&backups(), &failed, None, now), Due::Rest(7));
        assert_eq!(due(&backups(), &failed, None, now + 7), Due::Backup);
        let wrong = State {
            proved_at_ms: Some(now - DAY_MS),
            drill_failure: Some("damaged".into()),
            tried_at_ms: Some(now - 10),
            ..State::default()
        };
        assert_eq!(due(&backups(), &wrong, Some(now - 20), now), Due::Rest(DAY_MS - 20));
        assert_eq!(due(&backups(), &wrong, Some(now - 5), now), Due::Drill);
        let none = Backups { drill_days: 0, ..backups() };
        assert_eq!(due(&none, &State::default(), Some(now - 5), now), Due::Rest(DAY_MS - 5));
    }
}
