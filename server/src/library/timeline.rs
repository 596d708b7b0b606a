//! The timeline: days with a byte for each picture. Days that changed are made again when somebody asks, in steps that
//! neither hold up the writer nor keep a snapshot open (decision 0027).

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::calendar::day_text;
use photosync_protocol::v2::library::{Day, Timeline};
use uuid::Uuid;

use super::STEP_ROWS;
use super::queries::timeline::{self as sql, DayRow, MadeDay, StaleDay};
use super::queries::{self};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::Result;

/// Only one request of an account makes its days; this stands for them among the stripes.
const TURN: [u8; 32] = *b"the days of a timeline, in turns";

/// What is told of a timeline.
#[derive(Debug)]
pub enum Told {
    /// It is still at the version that the client has.
    Unchanged(i64),
    /// The days.
    Changed(Timeline),
}

/// The days of an account that have pictures, or, with `since`, those that were made after that version. `known` is the
/// version whose answer the client has.
pub async fn get(app: &App, account: Uuid, since: Option<i64>, known: Option<i64>) -> Result<Told> {
    refresh(app, account).await?;
    // The version first: what changes while the days are read is told again with the next one.
    let (version, is_stale) = app
        .db
        .read(move |tx| -> DbResult<(i64, bool)> {
            Ok((queries::listed::find_totals(tx, account)?.1, sql::has_stale(tx, account)?))
        })
        .await?;
    if known == Some(version) && !is_stale {
        return Ok(Told::Unchanged(version));
    }
    // A version that is still to come is from before the database was put back to an older state.
    let since = since.filter(|since| *since <= version);
    let mut timeline = Timeline { version, total: 0, days: Vec::new() };
    let mut before = i64::MAX;
    loop {
        let step = app
            .db
            .read(move |tx| match since {
                Some(since) => sql::list_changed_days(tx, account, since, before, STEP_ROWS),
                None => sql::list_days(tx, account, before, STEP_ROWS),
            })
            .await?;
        let is_last = (step.len() as i64) < STEP_ROWS;
        before = step.last().map_or(before, |row| row.day);
        timeline.days.extend(step.into_iter().map(day_of));
        if is_last {
            break;
        }
    }
    timeline.total = match since {
        Some(_) => app.db.read(move |tx| sql::count_all(tx, account)).await?,
        None => timeline.days.iter().map(|day| day.count).sum(),
    };
    Ok(Told::Changed(timeline))
}

fn day_of(row: DayRow) -> Day {
    Day {
        day: day_text(row.day),
        count: row.count,
        shape: STANDARD.encode(&row.shape),
        starts: row.starts.split_whitespace().map(str::to_owned).collect(),
    }
}

/// Makes every stale day again, once: one that changes meanwhile is made for the next request.
pub async fn refresh(app: &App, account: Uuid) -> Result<()> {
    if !app.db.read(move |tx| sql::has_stale(tx, account)).await? {
        return Ok(());
    }
    let _turn = app.stripes.lock(account, &TURN).await;
    let mut before = i64::MAX;
    loop {
        let stale = app.db.read(move |tx| sql::list_stale(tx, account, before, STEP_ROWS)).await?;
        let Some(last) = stale.last() else { return Ok(()) };
        before = last.day;
        make(app, account, stale).await?;
    }
}

/// Days that wait, the one that is made, and those that are.
struct Work {
    waiting: VecDeque<StaleDay>,
    current: Option<MadeDay>,
    made: Vec<MadeDay>,
}

/// Makes these days: reads a step at a time, however large a day is, and stores what is made in short writes.
async fn make(app: &App, account: Uuid, stale: Vec<StaleDay>) -> Result<()> {
    let mut work = Work { waiting: stale.into(), current: None, made: Vec::new() };
    while !work.waiting.is_empty() || work.current.is_some() {
        work = app.db.read(move |tx| read_step(tx, account, work)).await?;
        let made = std::mem::take(&mut work.made);
        if !made.is_empty() {
            app.db.write(move |tx| sql::store_days(tx, account, &made)).await?;
        }
    }
    Ok(())
}

fn read_step(tx: &mut dyn Tx, account: Uuid, mut work: Work) -> DbResult<Work> {
    let mut left = STEP_ROWS;
    while left > 0 {
        let next = || work.waiting.pop_front().map(MadeDay::begin);
        let Some(mut day) = work.current.take().or_else(next) else { break };
        let had = day.shape.len();
        let more = sql::continue_day(tx, account, &mut day, left)?;
        // A day without pictures costs a look too.
        left -= (day.shape.len() - had) as i64 + 1;
        if more {
            work.current = Some(day);
        } else {
            work.made.push(day);
        }
    }
    Ok(work)
}
