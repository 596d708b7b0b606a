//! What is there twice: the same picture with other metadata, and pictures that look alike. Suggestions only: nothing is
//! changed here but what a person says of them.

use std::collections::{BTreeSet, VecDeque};

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::library::{
    Different, DuplicateGroup, DuplicateKind, Duplicates, MAX_GROUP_TILES, Tile,
};
use uuid::Uuid;

use super::edits::distinct;
use super::queries::{self, alike, search, tiles};
use super::tiles::no_cursor;
use crate::boot::App;
use crate::clock::Stopwatch;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// Groups of one page.
const MAX_GROUPS: usize = 100;
/// Pictures that one read looks at.
const STEP_FIRST: i64 = 50;
/// Milliseconds after which a page is answered with what it has.
const MAX_MS: u64 = 250;
/// Pictures that are looked at to find those that belong to one group.
const MAX_LOOKED_AT: usize = 200;

/// A page of groups of one kind.
pub async fn list(
    app: &App,
    account: Uuid,
    kind: DuplicateKind,
    after: Option<&str>,
) -> Result<Duplicates> {
    let after = after.unwrap_or_default();
    match kind {
        DuplicateKind::Same => list_same(app, account, after).await,
        DuplicateKind::Similar => list_similar(app, account, after).await,
    }
}

async fn list_same(app: &App, account: Uuid, after: &str) -> Result<Duplicates> {
    let after = hex::decode(after).map_err(|_| no_cursor())?;
    let limit = MAX_GROUPS as i64 + 1;
    let hashes = app.db.read(move |tx| search::list_same(tx, account, &after, limit)).await?;
    let more = hashes.len() > MAX_GROUPS;
    let mut groups = Vec::new();
    let mut next = None;
    for hash in hashes.into_iter().take(MAX_GROUPS) {
        next = Some(hex::encode(&hash));
        let found = app.db.read(move |tx| find_same(tx, account, &hash)).await?;
        groups.extend(group(DuplicateKind::Same, found));
    }
    Ok(Duplicates { groups, next: next.filter(|_| more) })
}

fn find_same(tx: &mut dyn Tx, account: Uuid, hash: &[u8]) -> DbResult<Vec<Tile>> {
    let mut together = Together::default();
    for id in search::list_with_payload(tx, account, hash, MAX_GROUP_TILES as i64)? {
        together.add(tx, id)?;
    }
    list_tiles(tx, account, &together.ids)
}

async fn list_similar(app: &App, account: Uuid, after: &str) -> Result<Duplicates> {
    if after.len() > 64 || !after.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(no_cursor());
    }
    let watch = Stopwatch::start();
    let mut after = after.to_owned();
    let mut groups = Vec::new();
    loop {
        let from = after.clone();
        let step = app
            .db
            .read(move |tx| -> DbResult<_> {
                let firsts = alike::list_first(tx, account, &from, STEP_FIRST)?;
                let mut found = Vec::new();
                for first in &firsts {
                    found.push(find_similar(tx, account, first)?);
                }
                Ok((firsts, found))
            })
            .await?;
        let (firsts, found) = step;
        let is_end = (firsts.len() as i64) < STEP_FIRST;
        after = firsts.last().cloned().unwrap_or(after);
        groups.extend(found.into_iter().filter_map(|tiles| group(DuplicateKind::Similar, tiles)));
        if is_end {
            return Ok(Duplicates { groups, next: None });
        }
        if groups.len() >= MAX_GROUPS || watch.elapsed_ms() >= MAX_MS {
            return Ok(Duplicates { groups, next: Some(after) });
        }
    }
}

/// The group whose smallest id this is; empty if it has a smaller one, which tells the group.
fn find_similar(tx: &mut dyn Tx, account: Uuid, first: &str) -> DbResult<Vec<Tile>> {
    // What looks like one that is not shown any more stands in pairs of its own, if it looks like anything else.
    if !tiles::find_tile(tx, account, first)?.is_some_and(|found| found.is_listed) {
        return Ok(Vec::new());
    }
    let mut together = Together::default();
    together.add(tx, first.to_owned())?;
    let mut waiting = VecDeque::from([first.to_owned()]);
    while let Some(id) = waiting.pop_front() {
        for other in alike::list_alike(tx, &id)? {
            if together.ids.len() >= MAX_LOOKED_AT || !together.add(tx, other.clone())? {
                continue;
            }
            if other.as_str() < first {
                return Ok(Vec::new());
            }
            waiting.push_back(other);
        }
    }
    together.ids.truncate(MAX_GROUP_TILES);
    list_tiles(tx, account, &together.ids)
}

fn list_tiles(tx: &mut dyn Tx, account: Uuid, ids: &[String]) -> DbResult<Vec<Tile>> {
    let mut all = Vec::new();
    for id in ids {
        all.extend(tiles::find_tile(tx, account, id)?.map(|found| found.tile));
    }
    Ok(all)
}

fn group(kind: DuplicateKind, tiles: Vec<Tile>) -> Option<DuplicateGroup> {
    (tiles.len() > 1).then_some(DuplicateGroup { kind, tiles })
}

/// Ids of which nobody said that two of them are different.
#[derive(Default)]
struct Together {
    ids: Vec<String>,
    apart: BTreeSet<String>,
}

impl Together {
    /// False if it is in already, or different from one that is.
    fn add(&mut self, tx: &mut dyn Tx, id: String) -> DbResult<bool> {
        if self.apart.contains(&id) || self.ids.contains(&id) {
            return Ok(false);
        }
        self.apart.extend(alike::list_apart(tx, &id)?);
        self.ids.push(id);
        Ok(true)
    }
}

/// Notes that a person says that no two of these are to be suggested together, or takes it back.
pub async fn tell_apart(app: &App, account: Uuid, said: Different) -> Result<()> {
    let ids = distinct(said.ids);
    if ids.len() > MAX_GROUP_TILES {
        let message = "a request tells at most 50 pictures apart";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxIds", MAX_GROUP_TILES));
    }
    if ids.len() < 2 {
        return Err(Error::bad_request("it takes two pictures to be different"));
    }
    app.db
        .write(move |tx| -> DbResult<()> {
            let mut known = Vec::new();
            for id in &ids {
                if queries::find_by_id(tx, account, id)?.is_some() {
                    known.push(id);
                }
            }
            for (index, one) in known.iter().enumerate() {
                for other in &known[index + 1..] {
                    alike::tell_apart(tx, one, other, said.different)?;
                }
            }
            Ok(())
        })
        .await?;
    Ok(())
}
