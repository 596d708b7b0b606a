//! Reading everything that is stored back, in the same order every time, once in `storage.scrub_days`: at low priority,
//! no faster than twice what is needed, and from where it was after a restart. What is missing or damaged is wanted again
//! from the devices that have it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{sealed, verify};
use crate::accounts;
use crate::accounts::queries::{Account, find_fact, set_fact};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// Pause after a failure of the disk or the database, and of a store with nothing to read.
const PAUSE: Duration = Duration::from_secs(60);
/// Files between two notes of how far the reading is: so many are read again after a crash.
const NOTE_EVERY: u32 = 100;
/// Bytes that a file counts as at least: opening one costs as much as reading this.
const LEAST_BYTES: i64 = 16 * 1024;
/// Slowest reading, bytes a second.
const LEAST_RATE: i64 = 256 * 1024;

/// What is read back in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Originals, by account and arrival.
    Originals,
    /// Sealed objects of the relay, by account and id.
    Sealed,
}

/// Both, in the order of [`Rounds`].
pub const STORES: [Store; 2] = [Store::Originals, Store::Sealed];

impl Store {
    /// As in the fact that says how far the reading is, and in the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Originals => "originals",
            Self::Sealed => "sealed",
        }
    }

    fn fact(self) -> String {
        format!("scrub:{}", self.name())
    }

    /// What reading all of an account counts as, at most, in bytes. How many sealed objects there are is not known.
    fn weight(self, account: &Account) -> i64 {
        match self {
            Self::Originals => {
                account.held_count.saturating_mul(LEAST_BYTES).saturating_add(account.held_bytes)
            }
            Self::Sealed => account.relay_bytes,
        }
    }

    /// Reads the next file after a place back; `None` at the end. One that was read since `since_ms` may be passed over.
    async fn read_next(self, app: &App, place: &Place, since_ms: i64) -> Result<Option<Passed>> {
        match self {
            Self::Originals => verify::read_next(app, place, since_ms).await,
            Self::Sealed => sealed::read_next(app, place).await,
        }
    }
}

/// Where the reading is: after this file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub account: String,
    /// In the order of the store; empty before the first of the account.
    pub after: String,
}

/// A file that was passed.
pub(super) struct Passed {
    pub place: Place,
    /// Bytes that were read; 0 if it was passed over.
    pub read_bytes: i64,
    pub outcome: Looked,
}

/// What looking at a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It is right, or it was read lately, or it is known to be lost.
    Well,
    /// It is missing or damaged, and wanted again now.
    Lost,
    /// It could not be read, and nobody knows.
    Unread,
}

/// One time through a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Round {
    began_at_ms: i64,
    /// When the last one that came to its end began: whatever this one has not reached was read since then.
    last_began_at_ms: Option<i64>,
    is_done: bool,
    /// Files that could not be read.
    #[serde(default)]
    unread: u64,
    place: Place,
}

impl Round {
    /// The next one.
    fn after(last: Option<&Self>, now_ms: i64) -> Self {
        let last_began_at_ms = last.and_then(Self::oldest_ms);
        let (is_done, unread, place) = (false, 0, Place::default());
        Self { began_at_ms: now_ms, last_began_at_ms, is_done, unread, place }
    }

    /// Every byte of the store was read, or came, at this time or later; `None` before the first round is done.
    fn oldest_ms(&self) -> Option<i64> {
        let is_whole = self.is_done && self.unread == 0;
        if is_whole { Some(self.began_at_ms) } else { self.last_began_at_ms }
    }
}

/// A round that goes on.
struct Reading {
    round: Round,
    /// Bytes a second.
    rate: i64,
    unnoted: u32,
}

/// How far the reading of each of [`STORES`] is. Whoever reads holds it.
#[derive(Default)]
pub struct Rounds([Mutex<Option<Reading>>; 2]);

impl Rounds {
    fn of(&self, store: Store) -> &Mutex<Option<Reading>> {
        &self.0[store as usize]
    }
}

/// What reading everything back came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them are missing or damaged, and wanted again now.
    pub lost: u64,
    /// How many could not be read, so that nobody knows.
    pub unread: u64,
}

impl Totals {
    fn count(&mut self, passed: &Passed) {
        self.files += u64::from(passed.read_bytes > 0);
        self.bytes += u64::try_from(passed.read_bytes).unwrap_or(0);
        self.lost += u64::from(passed.outcome == Looked::Lost);
        self.unread += u64::from(passed.outcome == Looked::Unread);
    }
}

/// Runs until it is dropped.
pub async fn run(app: App) {
    if app.config.scrub_days > 0 {
        tokio::join!(keep_reading(&app, Store::Originals), keep_reading(&app, Store::Sealed));
    }
}

async fn keep_reading(app: &App, store: Store) {
    loop {
        let rest = match step(app, store).await {
            Ok((_, rest)) => rest,
            Err(error) => {
                let (store, causes) = (store.name(), error.cause_chain());
                tracing::warn!(store, %error, causes, "reading back stopped; it goes on later");
                PAUSE
            }
        };
        tokio::time::sleep(rest).await;
    }
}

/// Reads the next file back, if its round is not over, and says how long to rest.
async fn step(app: &App, store: Store) -> Result<(Option<Passed>, Duration)> {
    let mut held = app.verifier.rounds.of(store).lock().await;
    let reading = match held.take() {
        Some(reading) => held.insert(reading),
        None => held.insert(load(app, store).await?),
    };
    if !reading.round.is_done
        && let Some(passed) = pass_next(app, store, reading).await?
    {
        let cost_ms = passed.read_bytes.max(LEAST_BYTES).saturating_mul(1000) / reading.rate;
        return Ok((Some(passed), Duration::from_millis(u64::try_from(cost_ms).unwrap_or(0))));
    }
    let now_ms = app.clock.now_ms();
    let over_at_ms = reading.round.began_at_ms.saturating_add(period_ms(app));
    // One that began in the future did so by a clock that was wrong.
    let is_over = over_at_ms <= now_ms || now_ms < reading.round.began_at_ms;
    let rest_ms = if is_over { 0 } else { over_at_ms - now_ms };
    if is_over {
        if store == Store::Originals {
            verify::take_back_all(app).await?;
        }
        let next = Round::after(Some(&reading.round), now_ms);
        *reading = begin(app, store, next).await?;
        note(app, store, reading).await?;
    }
    // Looked at every day, for a clock may be set. At least a minute: an empty store has nothing to read.
    let rest_ms = u64::try_from(rest_ms.clamp(0, DAY_MS)).unwrap_or(0);
    Ok((None, Duration::from_millis(rest_ms).max(PAUSE)))
}

/// Goes on with the round of a store to its end without a rest, or begins the next one if its days are over.
#[cfg(test)]
pub(crate) async fn read_due(app: &App, store: Store) -> Result<Totals> {
    let mut totals = Totals::default();
    while let (Some(passed), _) = step(app, store).await? {
        totals.count(&passed);
    }
    Ok(totals)
}

/// Reads everything back now, without a rest, in a round of its own.
pub async fn read_all(app: &App) -> Result<Totals> {
    let mut totals = Totals::default();
    verify::take_back_all(app).await?;
    for store in STORES {
        let mut held = app.verifier.rounds.of(store).lock().await;
        let before = match held.take() {
            Some(reading) => reading,
            None => load(app, store).await?,
        };
        let round = Round::after(Some(&before.round), app.clock.now_ms());
        let reading = held.insert(begin(app, store, round).await?);
        while let Some(passed) = pass_next(app, store, reading).await? {
            totals.count(&passed);
        }
    }
    Ok(totals)
}

/// Every byte of a store was read back, or came, at this time or later. While nothing was read through yet: when the
/// first account was made. `None` if there is nothing to read.
pub async fn oldest_ms(app: &App, store: Store) -> Result<Option<i64>> {
    Ok(app.db.read(move |tx| oldest_in(tx, store)).await?)
}

/// The same, for who has the database open.
pub fn oldest_in(tx: &mut dyn Tx, store: Store) -> DbResult<Option<i64>> {
    let accounts = accounts::queries::list(tx)?;
    if accounts.iter().all(|account| store.weight(account) == 0) {
        return Ok(None);
    }
    let known = find_in(tx, store)?.and_then(|round| round.oldest_ms());
    Ok(known.or_else(|| accounts.iter().map(|account| account.created_at_ms).min()))
}

/// Reads the next file back and notes it now and then; `None` at the end of the round.
async fn pass_next(app: &App, store: Store, reading: &mut Reading) -> Result<Option<Passed>> {
    let round = &mut reading.round;
    let passed = store.read_next(app, &round.place, round.began_at_ms).await?;
    reading.unnoted += 1;
    match &passed {
        Some(passed) => {
            round.place = passed.place.clone();
            round.unread += u64::from(passed.outcome == Looked::Unread);
        }
        None => round.is_done = true,
    }
    if passed.is_none() || reading.unnoted >= NOTE_EVERY {
        note(app, store, reading).await?;
    }
    Ok(passed)
}

async fn load(app: &App, store: Store) -> Result<Reading> {
    let found = find(app, store).await?;
    let round = found.unwrap_or_else(|| Round::after(None, app.clock.now_ms()));
    begin(app, store, round).await
}

async fn begin(app: &App, store: Store, round: Round) -> Result<Reading> {
    let weight: i64 = accounts::list(app).await?.iter().map(|one| store.weight(one)).sum();
    // Twice as fast as needed, for the server does not run all the time.
    let rate = (weight / (period_ms(app) / 1000).max(1)).saturating_mul(2).max(LEAST_RATE);
    Ok(Reading { round, rate, unnoted: 0 })
}

fn period_ms(app: &App) -> i64 {
    app.config.scrub_days.max(1).saturating_mul(DAY_MS)
}

async fn find(app: &App, store: Store) -> Result<Option<Round>> {
    Ok(app.db.read(move |tx| find_in(tx, store)).await?)
}

fn find_in(tx: &mut dyn Tx, store: Store) -> DbResult<Option<Round>> {
    let text = find_fact(tx, &store.fact())?;
    // What cannot be read was written by nobody: the reading begins anew.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

async fn note(app: &App, store: Store, reading: &mut Reading) -> Result<()> {
    let text = serde_json::to_string(&reading.round)
        .map_err(|source| Error::internal("note how far the reading is").caused_by(source))?;
    app.db.write::<(), Error, _>(move |tx| Ok(set_fact(tx, &store.fact(), &text)?)).await?;
    reading.unnoted = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_byte_is_as_old_as_the_last_round_that_came_to_its_end() {
        let mut first = Round::after(None, 10);
        assert_eq!(first.oldest_ms(), None);
        first.is_done = true;
        assert_eq!(first.oldest_ms(), Some(10));
        let mut second = Round::after(Some(&first), 50);
        assert_eq!(second.oldest_ms(), Some(10), "not all of it was read again yet");
        let third = Round::after(Some(&second), 90);
        assert_eq!(third.oldest_ms(), Some(10), "the second was given up");
        second.is_done = true;
        assert_eq!(second.oldest_ms(), Some(50));
        second.unread = 1;
        assert_eq!(second.oldest_ms(), Some(10), "nobody knows of one");
    }
}
