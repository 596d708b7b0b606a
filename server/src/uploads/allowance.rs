//! What an account may still add: its quota, and whether it may add anything at all. Asked before bytes are read, so that
//! nobody sends in vain, and once more in the transaction that stores the row: that one decides.
//!
//! Bytes that are held already cost nothing. Neither do those that a person takes back out of the trash, and those that heal
//! what was damaged: neither an undo nor a repair is ever refused.

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::Role;
use uuid::Uuid;

use crate::accounts::admin::queries::{Allowance, find_allowance};
use crate::boot::App;
use crate::db::Tx;
use crate::error::{Error, Result};

/// A form around a file is smaller than this: a length that was announced may be so much more than the file's.
const FORM_BYTES: u64 = 4096;

/// Refuses an upload that cannot end well, by the length that was announced; 0 is an unknown one.
pub async fn require_before(app: &App, account: Uuid, announced_bytes: u64) -> Result<()> {
    let found = app.db.read(move |tx| find_allowance(tx, account)).await?;
    // One byte at least will come.
    require(found, announced_bytes.saturating_sub(FORM_BYTES).max(1))
}

/// Refuses `size_bytes` more, in the transaction that would store them; 0 is never refused.
pub fn require_in(tx: &mut dyn Tx, account: Uuid, size_bytes: u64) -> Result<()> {
    let found = find_allowance(tx, account)?;
    require(found, size_bytes)
}

fn require(found: Option<Allowance>, more_bytes: u64) -> Result<()> {
    let Some(Allowance { role, held_bytes, quota_bytes }) = found.filter(|_| more_bytes > 0) else {
        return Ok(());
    };
    if role == Role::Viewer.as_str() {
        let message = "this account looks at pictures and adds none; nothing was stored";
        return Err(Error::new(ErrorCode::OutOfScope, message));
    }
    let Some(quota_bytes) = quota_bytes else { return Ok(()) };
    let remaining_bytes = quota_bytes.saturating_sub(held_bytes).max(0);
    if i64::try_from(more_bytes).is_ok_and(|more| more <= remaining_bytes) {
        return Ok(());
    }
    let message = "this account may not store more; nothing was stored";
    Err(Error::new(ErrorCode::QuotaExceeded, message)
        .with("usedBytes", held_bytes)
        .with("quotaBytes", quota_bytes)
        .with("remainingBytes", remaining_bytes))
}

/// Whether an error says that the row is certainly not there because of the allowance.
pub fn refused(error: &Error) -> bool {
    matches!(error.code, ErrorCode::QuotaExceeded | ErrorCode::OutOfScope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(role: &str, quota_bytes: Option<i64>, more_bytes: u64) -> Option<ErrorCode> {
        let held = Allowance { role: role.into(), held_bytes: 90, quota_bytes };
        require(Some(held), more_bytes).err().map(|error| error.code)
    }

    #[test]
    fn the_last_byte_of_a_quota_is_still_taken() {
        assert_eq!(ask("member", Some(100), 10), None);
        assert_eq!(ask("member", Some(100), 11), Some(ErrorCode::QuotaExceeded));
        assert_eq!(ask("admin", Some(0), 1), Some(ErrorCode::QuotaExceeded));
        assert_eq!(ask("member", Some(100), u64::MAX), Some(ErrorCode::QuotaExceeded));
        assert_eq!(ask("member", None, u64::MAX), None);
    }

    #[test]
    fn what_costs_nothing_is_never_refused() {
        assert_eq!((ask("viewer", None, 0), ask("member", Some(0), 0)), (None, None));
    }

    #[test]
    fn who_only_looks_adds_not_a_byte() {
        assert_eq!(ask("viewer", None, 1), Some(ErrorCode::OutOfScope));
    }
}
