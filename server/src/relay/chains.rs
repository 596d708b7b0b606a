//! What puts sealed objects in order: the chain of segments of each writer, and the keyrings. Both grow at their end
//! only; nothing a device sends takes anything away.
//!
//! A segment comes with the plain list of the ids it makes live. The list decides what is never collected; its hash
//! stands in the sealed part, where clients check it. The objects are marked first and the segment gets its place
//! last: a crash in between leaves marks that a second try sets again, and no segment that names what is not here.
//! Every place is written beside the objects before its row, so that `rebuild` finds the order again.

use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::relay::{RelayHead, RelayHeads, RelayKeyring, RelaySegments};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::queries::chains::{self as queries, Link};
use super::queries::objects as objects_sql;
use super::rules::{self, Place, place_of};
use super::{Opened, journal, objects, plans};
use crate::accounts::native::{Member, Uploader};
use crate::blobs::Staged;
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// Ids that one transaction marks: others must not wait long behind it.
const STEP: usize = 1000;
/// Ids that an answer names at most when objects are missing.
const MAX_NAMED: usize = 20;
/// Chains of one account at most: as many as a segment can name.
const MAX_CHAINS: usize = 1000;

/// A segment that wants its place.
pub struct NewSegment {
    /// Whose chain.
    pub writer: String,
    /// Its number there.
    pub sequence: i64,
    /// What it makes live, each id greater than the one before.
    pub live: Vec<Digest>,
    /// The object.
    pub staged: Staged,
}

/// Puts a segment at the end of its chain. False if it was there already. Runs in a task of its own: a client that goes
/// away now changes nothing any more.
pub async fn post_segment(
    app: &App,
    caller: Uploader,
    new: NewSegment,
) -> Result<(RelayHead, bool)> {
    let app = app.clone();
    let task = tokio::spawn(async move { post_here(&app, caller, new).await });
    task.await.map_err(|source| Error::internal("keep a segment").caused_by(source))?
}

async fn post_here(app: &App, caller: Uploader, new: NewSegment) -> Result<(RelayHead, bool)> {
    let NewSegment { writer, sequence, live, staged } = new;
    let account = caller.account;
    if objects::require_sealed(&staged)? != 'S' {
        return Err(Error::bad_request("the object is no segment"));
    }
    let link = Link { writer, sequence, chunk_id: hex::encode(staged.digest) };
    let wanted = link.clone();
    let look = move |tx: &mut dyn Tx| require_place(tx, account, &wanted);
    app.db.read::<Place, Error, _>(look).await?;
    require_held(app, account, &live).await?;
    let id = objects::store(app, account, None, staged).await?.id;
    let now_ms = app.clock.now_ms();
    for step in live.chunks(STEP) {
        let ids: Vec<String> = step.iter().map(Digest::to_string).collect();
        let missing =
            app.db.write(move |tx| objects_sql::mark_live(tx, account, &ids, now_ms)).await?;
        require_none_missing(missing)?;
    }
    let head = RelayHead {
        writer: link.writer.clone(),
        sequence: u64::try_from(sequence).unwrap_or(0),
        id,
    };
    // One at a time, so that the journal's last line about a place is the one that counts.
    let _stripe = app.stripes.lock(account, &stripe_of_chain(&link.writer)).await;
    let wanted = link.clone();
    let look = move |tx: &mut dyn Tx| require_place(tx, account, &wanted);
    if app.db.read::<Place, Error, _>(look).await? == Place::Next {
        journal::note_segment(app, account, &link).await?;
    }
    let is_new = app
        .db
        .write(move |tx| -> Result<bool> {
            let place = require_place(tx, account, &link)?;
            let own = [link.chunk_id.clone()];
            require_none_missing(objects_sql::mark_live(tx, account, &own, now_ms)?)?;
            if place == Place::Next {
                queries::store_segment(tx, account, &link, &caller.device_id, now_ms)?;
            }
            Ok(place == Place::Next)
        })
        .await?;
    Ok((head, is_new))
}

/// What decides about a chain is serialised by; the keyrings are the chain without a writer.
fn stripe_of_chain(writer: &str) -> [u8; 32] {
    Sha256::digest(writer.as_bytes()).into()
}

/// Where the segment belongs; an error if that is nowhere.
fn require_place(tx: &mut dyn Tx, account: Uuid, link: &Link) -> Result<Place> {
    let last = queries::find_head(tx, account, &link.writer)?;
    let there = queries::find_segment(tx, account, &link.writer, link.sequence)?;
    let there = there.as_ref().map(|there| there.chunk_id.as_str());
    let sequence = last.as_ref().map(|last| last.sequence);
    let place = place_of(sequence, there, link.sequence, &link.chunk_id);
    if place == Place::Conflict {
        let message = "this chain goes on differently here; ask for its head";
        let error = Error::new(ErrorCode::Conflict, message);
        return Err(match last {
            Some(last) => error.with("sequence", last.sequence).with("id", last.chunk_id),
            None => error,
        });
    }
    if last.is_none() && queries::count_chains(tx, account)? >= MAX_CHAINS {
        let message = "the account has too many chains";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxChains", MAX_CHAINS));
    }
    Ok(place)
}

/// Refuses ids that are not held, before anything is written.
async fn require_held(app: &App, account: Uuid, ids: &[Digest]) -> Result<()> {
    let mut missing = Vec::new();
    for step in ids.chunks(STEP) {
        let asked: Vec<String> = step.iter().map(Digest::to_string).collect();
        let mut found = app
            .db
            .read(move |tx| -> DbResult<Vec<String>> {
                let mut missing = Vec::new();
                for id in asked {
                    if !objects_sql::is_held(tx, account, &id)? {
                        missing.push(id);
                    }
                }
                Ok(missing)
            })
            .await?;
        missing.append(&mut found);
        if missing.len() >= MAX_NAMED {
            break;
        }
    }
    require_none_missing(missing)
}

fn require_none_missing(mut missing: Vec<String>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    missing.truncate(MAX_NAMED);
    let message = "the segment names objects that are not held; send them first";
    Err(Error::new(ErrorCode::Missing, message).with("missing", missing))
}

fn head_of(link: Link) -> Option<RelayHead> {
    let id = Digest::from_hex(&link.chunk_id)?;
    Some(RelayHead { writer: link.writer, sequence: u64::try_from(link.sequence).ok()?, id })
}

fn keyring_of(link: &Link) -> Option<RelayKeyring> {
    let id = Digest::from_hex(&link.chunk_id)?;
    Some(RelayKeyring { sequence: u64::try_from(link.sequence).ok()?, id })
}

/// The end of every chain, and the newest keyring.
pub async fn heads(app: &App, account: Uuid) -> Result<RelayHeads> {
    let (heads, keyring) = app
        .db
        .read(move |tx| -> DbResult<_> {
            Ok((queries::list_heads(tx, account)?, queries::find_keyring(tx, account)?))
        })
        .await?;
    let keyring = keyring.as_ref().and_then(keyring_of);
    Ok(RelayHeads { heads: heads.into_iter().filter_map(head_of).collect(), keyring })
}

/// The segments of a chain after number `after`, oldest first.
pub async fn list_segments(
    app: &App,
    account: Uuid,
    writer: String,
    after: i64,
    limit: i64,
) -> Result<RelaySegments> {
    plans::require_readable(app, account).await?;
    let (mut after, mut segments) = (after, Vec::new());
    while (segments.len() as i64) < limit {
        let wanted = (limit - segments.len() as i64).min(STEP as i64);
        let asked = writer.clone();
        let step = app
            .db
            .read(move |tx| queries::list_segments(tx, account, &asked, after, wanted))
            .await?;
        let is_last = (step.len() as i64) < wanted;
        after = step.last().map_or(after, |link| link.sequence);
        segments.extend(step.into_iter().filter_map(head_of));
        if is_last {
            break;
        }
    }
    Ok(RelaySegments { segments })
}

/// Makes a keyring the newest one. False if it is that already. The ones before stay: without its keyring nothing of
/// an account can ever be opened again, so no device can take one away.
pub async fn put_keyring(
    app: &App,
    member: Member,
    sequence: i64,
    staged: Staged,
) -> Result<(RelayKeyring, bool)> {
    if objects::require_sealed(&staged)? != 'K' {
        return Err(Error::bad_request("the object is no keyring"));
    }
    if rules::keyring_sequence(&staged.head) != Some(sequence) {
        return Err(Error::bad_request("the keyring says another number than the request"));
    }
    let app = app.clone();
    let task = tokio::spawn(async move { put_keyring_here(&app, member, sequence, staged).await });
    task.await.map_err(|source| Error::internal("keep a keyring").caused_by(source))?
}

async fn put_keyring_here(
    app: &App,
    member: Member,
    sequence: i64,
    staged: Staged,
) -> Result<(RelayKeyring, bool)> {
    let account = member.account;
    let chunk_id = hex::encode(staged.digest);
    let link = Link { writer: String::new(), sequence, chunk_id };
    let wanted = link.clone();
    let look = move |tx: &mut dyn Tx| require_keyring_place(tx, account, &wanted);
    app.db.read::<Place, Error, _>(look).await?;
    let id = objects::store(app, account, None, staged).await?.id;
    let now_ms = app.clock.now_ms();
    let _stripe = app.stripes.lock(account, &stripe_of_chain("")).await;
    let wanted = link.clone();
    let look = move |tx: &mut dyn Tx| require_keyring_place(tx, account, &wanted);
    if app.db.read::<Place, Error, _>(look).await? == Place::Next {
        journal::note_keyring(app, account, &link).await?;
    }
    let is_new = app
        .db
        .write(move |tx| -> Result<bool> {
            let place = require_keyring_place(tx, account, &link)?;
            let own = [link.chunk_id.clone()];
            require_none_missing(objects_sql::mark_live(tx, account, &own, now_ms)?)?;
            if place == Place::Next {
                queries::store_keyring(tx, account, &link, &member.device_id, now_ms)?;
            }
            Ok(place == Place::Next)
        })
        .await?;
    Ok((RelayKeyring { sequence: u64::try_from(sequence).unwrap_or(0), id }, is_new))
}

/// As [`require_place`]; only the newest keyring counts as known.
fn require_keyring_place(tx: &mut dyn Tx, account: Uuid, link: &Link) -> Result<Place> {
    let last = queries::find_keyring(tx, account)?;
    let there = last.as_ref().filter(|last| last.sequence == link.sequence);
    let there = there.map(|there| there.chunk_id.as_str());
    let sequence = last.as_ref().map(|last| last.sequence);
    let place = place_of(sequence, there, link.sequence, &link.chunk_id);
    if place == Place::Conflict {
        let message = "another keyring came first; read it and begin again";
        let error = Error::new(ErrorCode::Conflict, message);
        return Err(match last {
            Some(last) => error.with("sequence", last.sequence).with("id", last.chunk_id),
            None => error,
        });
    }
    Ok(place)
}

/// The newest keyring, opened.
pub async fn open_keyring(app: &App, account: Uuid) -> Result<(RelayKeyring, Opened)> {
    let missing = || Error::not_found("there is no keyring");
    let found = app.db.read(move |tx| queries::find_keyring(tx, account)).await?;
    let keyring = found.as_ref().and_then(keyring_of).ok_or_else(missing)?;
    let opened = objects::open(app, account, keyring.id).await?;
    Ok((keyring, opened))
}
