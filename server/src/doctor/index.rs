//! The database, and what it tells: accounts, backups, how long ago bytes were read back, and whether the clock went back.

use std::collections::BTreeMap;
use std::path::Path;

use photosync_protocol::findings::Finding;

use super::data::quoted;
use super::{Server, queries};
use crate::accounts::queries::{find_fact, list};
use crate::blobs::volume;
use crate::boot;
use crate::clock::{Clock, DAY_MS, iso_utc};
use crate::config::{Config, RegistrationMode};
use crate::db::{self, APPLICATION_ID, DbError, schema_version};
use crate::upkeep::backup::PROVED_FACT;
use crate::upkeep::scrub::{STORES, oldest_in};

/// A backup that was proved longer ago may miss a month of photos: 35 days.
const OLD_BACKUP_MS: i64 = 35 * DAY_MS;
/// 2025-01-01: a clock before that was never set. Unix milliseconds.
const EARLIEST_MS: i64 = 1_735_689_600_000;
/// 2100-01-01. Unix milliseconds.
const LATEST_MS: i64 = 4_102_444_800_000;
/// A clock that is off by more spoils tokens and dates: 5 minutes, as on a device.
pub(super) const CLOCK_OFF_MS: i64 = 5 * 60 * 1000;

/// What the database tells.
pub(super) struct Index {
    /// Ids of the storage roots by role.
    pub volumes: BTreeMap<String, String>,
    active_accounts: usize,
    originals: i64,
    relay_bytes: i64,
    proved_ms: Option<i64>,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
}

/// Reads the database, if there is one, and checks it.
pub(super) fn look(config: &Config, server: Server) -> (Option<Index>, Finding) {
    const CHECK: &str = "database";
    let path = &config.database;
    let shown = path.display();
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        if boot::has_account_folders(&config.uploads) {
            let seen = format!("{shown} is missing, but {} holds photos", config.uploads.display());
            let fix = format!(
                "put the database back; or make a new one from the folders: photosync-server rebuild --data {}",
                quoted(&config.data_dir)
            );
            return (None, Finding::broken(CHECK, seen, fix));
        }
        if volume::find_id(&config.data_dir).is_ok_and(|id| id.is_some()) {
            let seen = format!("{shown} is missing, but this folder was used before");
            let fix = "if there were accounts, put it back before the next start, which makes an empty one";
            return (None, Finding::warning(CHECK, seen, fix));
        }
        return (None, Finding::skipped(CHECK, "there is none yet; the first start makes it"));
    }
    if let Some(Err(error)) = path.parent().map(boot::require_local_disk) {
        let fix = "set storage.database to a folder on a disk of this machine";
        return (None, Finding::broken(CHECK, error.message, fix));
    }
    let watch = crate::clock::Stopwatch::start();
    match db::look(path, |tx| -> Result<_, DbError> {
        let (program, schema) = queries::kind(tx)?;
        if program != APPLICATION_ID || schema != schema_version() {
            return Ok((program, schema, Vec::new(), None));
        }
        let wrong = queries::check(tx)?;
        let index = read(tx)?;
        Ok((program, schema, wrong, Some(index)))
    }) {
        Err(error) => (None, unusable(path, &error.to_string(), server)),
        Ok((program, ..)) if program != APPLICATION_ID => {
            let seen = format!("{shown} is the database of another program");
            let fix = "name the right folder with --data; that of an old (Node) server is taken over with `import-legacy`";
            (None, Finding::broken(CHECK, seen, fix))
        }
        Ok((_, schema, ..)) if schema > schema_version() => {
            let seen =
                format!("{shown} has schema {schema}, and this program knows {}", schema_version());
            let fix = "start the newer program, or put back the copy it made before it changed the database";
            (None, Finding::broken(CHECK, seen, fix))
        }
        Ok((_, schema, ..)) if schema < schema_version() => {
            let seen = format!(
                "schema {schema}; the next start copies it and makes it {}",
                schema_version()
            );
            (None, Finding::fine(CHECK, seen))
        }
        Ok((.., wrong, index)) if wrong.is_empty() => {
            let seen = format!("whole, as far as a quick check sees ({} ms)", watch.elapsed_ms());
            (index, Finding::fine(CHECK, seen))
        }
        Ok((.., wrong, index)) => (index, unusable(path, &wrong.join("; "), server)),
    }
}

fn unusable(path: &Path, why: &str, server: Server) -> Finding {
    let seen = format!("{} is damaged or cannot be read: {why}", path.display());
    let stop = if server == Server::Runs { "stop the server; " } else { "" };
    let fix = format!(
        "{stop}keep a copy of it with its -wal; then restore the newest backup (`restore-backup`), or move it away and \
         make a new one from the folders (`rebuild`)"
    );
    Finding::broken("database", seen, fix)
}

fn read(tx: &mut dyn db::Tx) -> Result<Index, DbError> {
    let accounts = list(tx)?;
    let mut volumes = BTreeMap::new();
    for role in ["data", "uploads", "relay", "relay_chunks"] {
        if let Some(id) = find_fact(tx, &format!("volume:{role}"))? {
            volumes.insert(role.to_owned(), id);
        }
    }
    let mut oldest_ms: Option<i64> = None;
    for store in STORES {
        if let Some(at_ms) = oldest_in(tx, store)? {
            oldest_ms = Some(oldest_ms.map_or(at_ms, |known| known.min(at_ms)));
        }
    }
    let can_sign_in = |account: &&crate::accounts::queries::Account| {
        account.deleted_at_ms.is_none() && !account.disabled
    };
    Ok(Index {
        volumes,
        active_accounts: accounts.iter().filter(can_sign_in).count(),
        originals: accounts.iter().map(|account| account.held_count).sum(),
        relay_bytes: accounts.iter().map(|account| account.relay_bytes).sum(),
        proved_ms: find_fact(tx, PROVED_FACT)?.and_then(|text| text.parse().ok()),
        oldest_ms,
        newest_ms: queries::newest_ms(tx)?,
    })
}

/// Whether the clock can be believed.
pub(super) fn clock(clock: &Clock, index: Option<&Index>) -> Finding {
    const CHECK: &str = "clock";
    const FIX: &str = "set it, and keep it right by the network: timedatectl set-ntp true";
    let now_ms = clock.now_ms();
    let shown = shown_time(now_ms);
    if !(EARLIEST_MS..LATEST_MS).contains(&now_ms) {
        let seen = format!("this machine believes that it is {shown}");
        return Finding::broken(CHECK, seen, FIX);
    }
    let newest_ms = index.and_then(|index| index.newest_ms).unwrap_or(i64::MIN);
    if newest_ms.saturating_sub(CLOCK_OFF_MS) > now_ms {
        let seen = format!(
            "this machine believes that it is {shown}, but it was {} here before",
            shown_time(newest_ms)
        );
        return Finding::broken(CHECK, seen, FIX);
    }
    Finding::fine(CHECK, format!("it is {shown}"))
}

/// `2026-01-31 12:00 UTC`
pub(super) fn shown_time(ms: i64) -> String {
    let iso = iso_utc(ms).replace('T', " ");
    format!("{} UTC", iso.get(..16).unwrap_or(&iso))
}

/// Who has an account, and who may make one.
pub(super) fn accounts(config: &Config, index: Option<&Index>) -> Finding {
    const CHECK: &str = "accounts";
    let known = match index.map_or(0, |index| index.active_accounts) {
        0 => "nobody can sign in yet".to_owned(),
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    };
    let everybody_comes = config.public_url.is_some() || !config.trusted_proxies.is_empty();
    let new = match config.registration {
        RegistrationMode::Auto => "new ones: by devices of this network, others by invitation",
        RegistrationMode::Invite => "new ones: by invitation",
        RegistrationMode::Closed => "nobody can make a new one",
        RegistrationMode::Open if everybody_comes => {
            let seen = format!(
                "{known}; anybody on the internet can make one: registration.mode is open, and this server has a \
                 public address"
            );
            let fix =
                "set registration.mode to auto or invite; `user invite E-MAIL` lets somebody in";
            return Finding::warning(CHECK, seen, fix);
        }
        RegistrationMode::Open => "new ones: by everybody who can reach this server",
    };
    Finding::fine(CHECK, format!("{known}; {new}"))
}

fn days(ms: i64) -> String {
    match ms / DAY_MS {
        ..1 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}

/// Whether there is a backup that was tried.
pub(super) fn backup(clock: &Clock, index: &Index) -> Finding {
    const CHECK: &str = "backup";
    const FIX: &str = "photosync-server backup /ANOTHER/DISK --verify; with backup.target set to that folder the server \
                       goes on by itself";
    match index.proved_ms.map(|at_ms| clock.now_ms().saturating_sub(at_ms)) {
        _ if index.originals == 0 && index.relay_bytes == 0 => {
            Finding::skipped(CHECK, "there is nothing to back up yet")
        }
        None => Finding::warning(CHECK, "no backup of this server was ever restored on trial", FIX),
        Some(age_ms) if age_ms > OLD_BACKUP_MS => {
            let seen =
                format!("the newest backup that was restored on trial is {} old", days(age_ms));
            Finding::warning(CHECK, seen, FIX)
        }
        Some(age_ms) => {
            let seen =
                format!("one that is {} old was restored on trial and was whole", days(age_ms));
            Finding::fine(CHECK, seen)
        }
    }
}

/// Since when every stored byte was read back, or came.
pub(super) fn scrub(config: &Config, clock: &Clock, index: &Index) -> Finding {
    const CHECK: &str = "scrub";
    let Some(oldest_ms) = index.oldest_ms else {
        return Finding::skipped(CHECK, "there is nothing to read back yet");
    };
    let age_ms = clock.now_ms().saturating_sub(oldest_ms).max(0);
    let seen = format!("every byte was read back or came within {}", days(age_ms));
    // A round may take as long as the pause before it.
    if config.scrub_days > 0 && age_ms > 2 * config.scrub_days.saturating_mul(DAY_MS) + DAY_MS {
        let seen = format!("some bytes were not read back for {}", days(age_ms));
        let fix = "the server reads them in turn while it runs; photosync-server scrub reads everything now";
        return Finding::warning(CHECK, seen, fix);
    }
    let seen = if age_ms < DAY_MS { seen.replace("less than a day", "the last day") } else { seen };
    Finding::fine(CHECK, seen)
}
