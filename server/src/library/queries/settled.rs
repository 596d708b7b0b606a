//! The SQL of what is settled for each device, with its count and sum.
//!
//! Every function keeps one sentence: a device's count and sum are those of the rows of its current set.

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::settled::{Presence, Sum, Tally};
use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// The set of a device that counts at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentSet {
    /// Its number; a set that was emptied never comes back.
    pub set_no: i64,
    /// Count and sum of its rows.
    pub tally: Tally,
    /// When the device last found that all it has is settled.
    pub inventory_at_ms: Option<i64>,
}

fn current_set(row: &Row) -> DbResult<CurrentSet> {
    let count = u64::try_from(row.integer(1)?).unwrap_or(0);
    let tally = Tally { count, sum: Sum(row.digest(2)?) };
    Ok(CurrentSet { set_no: row.integer(0)?, tally, inventory_at_ms: row.find_integer(3)? })
}

/// What is settled for a device; `None` if there is no such device.
pub fn find_current(tx: &mut dyn Tx, device_id: &str) -> DbResult<Option<CurrentSet>> {
    let row = find(
        tx,
        "SELECT settled_set, settled_count, settled_sum, inventory_at_ms FROM devices WHERE device_id = ?1",
        params![device_id],
    )?;
    row.as_ref().map(current_set).transpose()
}

fn store_tally(tx: &mut dyn Tx, device_id: &str, tally: &Tally) -> DbResult<()> {
    let count = i64::try_from(tally.count).unwrap_or(i64::MAX);
    tx.execute(
        "UPDATE devices SET settled_count = ?2, settled_sum = ?3 WHERE device_id = ?1",
        params![device_id, count, &tally.sum.0[..]],
    )?;
    Ok(())
}

/// Adds digests to what is settled for a device. Does nothing for those that are, or if the device was removed.
pub fn settle(tx: &mut dyn Tx, device_id: &str, digests: &[Digest]) -> DbResult<()> {
    let Some(CurrentSet { set_no, mut tally, .. }) = find_current(tx, device_id)? else {
        return Ok(());
    };
    let before = tally;
    for digest in digests {
        let added = tx.execute(
            "INSERT INTO settled (device_id, set_no, digest) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![device_id, set_no, &digest.0[..]],
        )?;
        if added > 0 {
            tally.add(digest);
        }
    }
    if tally == before { Ok(()) } else { store_tally(tx, device_id, &tally) }
}

/// Takes digests out of what is settled for a device.
pub fn unsettle(tx: &mut dyn Tx, device_id: &str, digests: &[Digest]) -> DbResult<()> {
    let Some(CurrentSet { set_no, mut tally, .. }) = find_current(tx, device_id)? else {
        return Ok(());
    };
    let before = tally;
    for digest in digests {
        let removed = tx.execute(
            "DELETE FROM settled WHERE device_id = ?1 AND set_no = ?2 AND digest = ?3",
            params![device_id, set_no, &digest.0[..]],
        )?;
        if removed > 0 {
            tally.remove(digest);
        }
    }
    if tally == before { Ok(()) } else { store_tally(tx, device_id, &tally) }
}

/// Takes a digest out of what is settled for every device of an account that has it.
pub fn unsettle_everywhere(tx: &mut dyn Tx, account: Uuid, digest: &Digest) -> DbResult<()> {
    let mut after = String::new();
    loop {
        let rows = tx.query(
            "SELECT device_id FROM devices
             WHERE account_uuid = ?1 AND device_id > ?2 AND settled_count > 0
             ORDER BY device_id
             LIMIT 1000",
            params![account, &after],
        )?;
        for row in &rows {
            after = row.text(0)?;
            unsettle(tx, &after, &[*digest])?;
        }
        if rows.len() < 1000 {
            return Ok(());
        }
    }
}

/// Empties what is settled for every device of an account, at once however much it is. The rows are left to
/// [`sweep_emptied`].
pub fn empty_all(tx: &mut dyn Tx, account: Uuid) -> DbResult<()> {
    tx.execute(
        "UPDATE devices SET settled_set = settled_set + 1, settled_count = 0, settled_sum = ?2
         WHERE account_uuid = ?1 AND settled_count > 0",
        params![account, &Sum::default().0[..]],
    )?;
    Ok(())
}

/// A device with rows of a set that was emptied, and the number of its set now.
pub fn find_emptied(tx: &mut dyn Tx) -> DbResult<Option<(String, i64)>> {
    let row = find(
        tx,
        "SELECT d.device_id, d.settled_set FROM devices d
         WHERE d.settled_set > 1
           AND EXISTS (SELECT 1 FROM settled s WHERE s.device_id = d.device_id AND s.set_no < d.settled_set)
         LIMIT 1",
        &[],
    )?;
    row.map(|row| Ok((row.text(0)?, row.integer(1)?))).transpose()
}

/// Removes up to 1,000 rows of sets that were emptied before set `set_no`. No tally counts them.
pub fn sweep_emptied(tx: &mut dyn Tx, device_id: &str, set_no: i64) -> DbResult<()> {
    tx.execute(
        "DELETE FROM settled
         WHERE (device_id, set_no, digest) IN (SELECT s.device_id, s.set_no, s.digest FROM settled s
                                               WHERE s.device_id = ?1 AND s.set_no < ?2
                                               LIMIT 1000)",
        params![device_id, set_no],
    )?;
    Ok(())
}

/// Whether a digest is settled for a device.
pub fn is_settled(
    tx: &mut dyn Tx,
    device_id: &str,
    set_no: i64,
    digest: &Digest,
) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM settled WHERE device_id = ?1 AND set_no = ?2 AND digest = ?3",
        params![device_id, set_no, &digest.0[..]],
    )?;
    Ok(row.is_some())
}

/// The next digests of a set after `after`, in order.
pub fn list_settled(
    tx: &mut dyn Tx,
    device_id: &str,
    set_no: i64,
    after: &[u8],
    limit: i64,
) -> DbResult<Vec<Digest>> {
    let rows = tx.query(
        "SELECT digest FROM settled
         WHERE device_id = ?1 AND set_no = ?2 AND digest > ?3
         ORDER BY digest
         LIMIT ?4",
        params![device_id, set_no, after, limit],
    )?;
    rows.iter().map(|row| row.digest(0).map(Digest)).collect()
}

/// Notes that a device found all it has settled, if its set is still the one it was compared with.
pub fn store_inventory(
    tx: &mut dyn Tx,
    device_id: &str,
    compared: &CurrentSet,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "UPDATE devices SET inventory_at_ms = ?2
         WHERE device_id = ?1 AND settled_set = ?3 AND settled_sum = ?4",
        params![device_id, now_ms, compared.set_no, &compared.tally.sum.0[..]],
    )?;
    Ok(())
}

/// What a client is told about a digest. No file is looked at: damage is found by opening, checking and verifying.
pub fn find_presence(
    tx: &mut dyn Tx,
    account: Uuid,
    digest: &Digest,
    now_ms: i64,
) -> DbResult<Presence> {
    let row = find(
        tx,
        "SELECT listed, quarantined_at_ms, trashed_by_person FROM assets WHERE account_uuid = ?1 AND digest = ?2",
        params![account, &digest.0[..]],
    )?;
    match row {
        Some(row) if row.boolean(0)? => return Ok(Presence::Held),
        Some(row) if row.boolean(2)? => return Ok(Presence::Deleted),
        Some(row) if row.find_integer(1)?.is_some() => return Ok(Presence::Wanted),
        // In the trash because a device emptied its library.
        Some(_) => {}
        None if was_removed_by_person(tx, account, digest)? => return Ok(Presence::Deleted),
        None => {}
    }
    let half = find(
        tx,
        "SELECT 1 FROM tus_uploads
         WHERE account_uuid = ?1 AND digest = ?2 AND asset_id IS NULL AND kind <> 'partial' AND expires_at_ms > ?3
         LIMIT 1",
        params![account, &digest.0[..], now_ms],
    )?;
    Ok(if half.is_some() { Presence::Partial } else { Presence::Missing })
}

fn was_removed_by_person(tx: &mut dyn Tx, account: Uuid, digest: &Digest) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM removed_assets WHERE account_uuid = ?1 AND digest = ?2 AND by_person = 1",
        params![account, &digest.0[..]],
    )?;
    Ok(row.is_some())
}
