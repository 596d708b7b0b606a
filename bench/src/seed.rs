//! Libraries of many rows without files, made in the database of a stopped server.
//!
//! The only file of the bench that knows the server's tables. The server never looks for the files:
//! listings come from rows, and nothing is downloaded.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use crate::Failure;
use crate::payload::split_mix;
use crate::photosync::{self, PhotoSync};

/// Bytes that each row claims: a phone photo.
const CLAIMED_BYTES: i64 = 3 * 1024 * 1024;
/// Arrival of the first row, 2024-01-01 in ms UTC; each further one comes a second later.
const FIRST_ARRIVAL_MS: i64 = 1_704_067_200_000;

/// What every picture shows, 427 × 320.
const THUMBNAIL: &[u8] = include_bytes!("thumbnail.webp");
/// Names that one file may have on every file system.
const LINKS: usize = 10_000;
/// From Lisbon to Helsinki, spread evenly.
const ADD_PLACES: &str =
    "INSERT INTO asset_facts (asset_id, account_uuid, latitude_e7, longitude_e7)
     SELECT asset_id, account_uuid, 380000000 + seq * 7919 % 220000000, -90000000 + seq * 104729 % 340000000
     FROM assets WHERE true
     ON CONFLICT DO NOTHING;";

/// As [`make_library`], with pictures that were taken over ten years, and words by which they are found: one that all have,
/// one that every thousandth has, and two that half of them have each.
pub fn make_pictures(server: &PhotoSync, home: &Path, rows: u64) -> Result<(), Failure> {
    make_library(server, home, rows)?;
    let database = photosync::data_dir(home).join("photosync.db");
    describe(&database).map_err(|error| {
        format!("could not describe the rows of {}: {error}", database.display()).into()
    })
}

fn describe(database: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(database)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -524288;")?;
    let transaction = connection.transaction()?;
    describe_rows(&transaction)?;
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn describe_rows(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "UPDATE assets
         SET taken_ms = 1388534400000 + seq * (315360000000 / (SELECT MAX(seq) FROM assets)), kind = 'photo',
             width = 4000, height = 3000 - seq % 5 * 400, media_state = 'done', media_due_at_ms = NULL,
             placeholder = randomblob(25);
         INSERT INTO timeline_days (account_uuid, day)
           SELECT DISTINCT account_uuid, taken_ms / 86400000 FROM assets WHERE true
         ON CONFLICT DO NOTHING;
         INSERT INTO search_words (account_uuid, word, asset_id)
           SELECT account_uuid, 'img', asset_id FROM assets ORDER BY asset_id;
         INSERT INTO search_words (account_uuid, word, asset_id)
           SELECT account_uuid, 'holiday', asset_id FROM assets WHERE seq % 1000 = 0 ORDER BY asset_id;
         INSERT INTO search_words (account_uuid, word, asset_id)
           SELECT account_uuid, iif(seq % 2, 'odd', 'even'), asset_id FROM assets ORDER BY 2, asset_id;
         INSERT INTO facts (name, value) VALUES ('search_words', '1')
         ON CONFLICT (name) DO UPDATE SET value = excluded.value;",
    )
}

/// Makes a data folder below `home` whose one account lists `rows` assets; the server is stopped
/// again afterwards.
pub fn make_library(server: &PhotoSync, home: &Path, rows: u64) -> Result<(), Failure> {
    eprintln!("bench: making a library of {rows} assets");
    let ready = server.start_bare(home)?;
    photosync::register(ready.address)?;
    ready.process.stop()?;
    let database = photosync::data_dir(home).join("photosync.db");
    insert_assets(&database, rows.cast_signed())
        .map_err(|error| format!("could not add rows to {}: {error}", database.display()).into())
}

/// Gives every picture of a library a thumbnail, the same few files under many names, and a place somewhere in Europe.
pub fn add_thumbnails_and_places(home: &Path) -> Result<(), Failure> {
    let data = photosync::data_dir(home);
    let database = data.join("photosync.db");
    let ids = (|| {
        let mut connection = Connection::open(&database)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(ADD_PLACES)?;
        transaction.commit()?;
        let mut asked = connection.prepare("SELECT account_uuid, asset_id FROM assets")?;
        let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
    })()
    .map_err(|error| format!("could not add places to {}: {error}", database.display()))?;
    let renditions = data.join("renditions");
    let store = || -> std::io::Result<()> {
        let mut source = home.to_owned();
        for (number, (account, id)) in ids.iter().enumerate() {
            if number % LINKS == 0 {
                source = home.join(format!("thumbnail-{number}.webp"));
                std::fs::write(&source, THUMBNAIL)?;
            }
            let folder = renditions.join(account).join(&id[..2]);
            std::fs::create_dir_all(&folder)?;
            std::fs::hard_link(&source, folder.join(format!("{id}.thumb.webp")))?;
        }
        Ok(())
    };
    store().map_err(|error| format!("could not store thumbnails: {error}").into())
}

fn insert_assets(database: &Path, rows: i64) -> rusqlite::Result<()> {
    let mut connection = Connection::open(database)?;
    // The folder is thrown away after the run: speed counts here, not durability.
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -524288;")?;
    let transaction = connection.transaction()?;
    insert_rows(&transaction, rows)?;
    transaction.commit()?;
    // An unfinished log would be charged to the next start of the server.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn insert_rows(transaction: &Transaction<'_>, rows: i64) -> rusqlite::Result<()> {
    let (account, next_seq): (String, i64) = transaction.query_row(
        "SELECT account_uuid, next_seq FROM accounts ORDER BY created_at_ms LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut insert = transaction.prepare(
        "INSERT INTO assets (asset_id, account_uuid, seq, digest, size_bytes, name, stored_name,
                             name_fold, stored_fold, media_type, retention, arrived_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?7, 'image/jpeg', 'keep', ?8)",
    )?;
    let mut random: u64 = 1;
    for number in 0..rows {
        let name = format!("IMG_{number:07}.jpg");
        insert.execute(params![
            format!("{:016x}{:016x}", split_mix(&mut random), split_mix(&mut random)),
            account,
            next_seq + number,
            random_digest(&mut random),
            CLAIMED_BYTES,
            name,
            name.to_lowercase(),
            FIRST_ARRIVAL_MS + number * 1000,
        ])?;
    }
    transaction.execute(
        "UPDATE accounts
         SET next_seq = next_seq + ?2,
             library_version = library_version + 1,
             held_count = held_count + ?2,
             held_bytes = held_bytes + ?3
         WHERE account_uuid = ?1",
        params![account, rows, rows * CLAIMED_BYTES],
    )?;
    Ok(())
}

fn random_digest(random: &mut u64) -> Vec<u8> {
    (0..4).flat_map(|_| split_mix(random).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's own migrations, in order: this test fails when they and this file part ways.
    fn migrated() -> Connection {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/db/migrations");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let connection = Connection::open_in_memory().unwrap();
        for file in files {
            connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
        connection
    }

    #[test]
    fn rows_and_the_accounts_counters_agree() {
        let mut connection = migrated();
        connection
            .execute_batch(
                "INSERT INTO accounts (account_uuid, user_id, email, generation, role, created_at_ms)
                 VALUES ('a', 1, 'bench@example.com', 1, 'admin', 0)",
            )
            .unwrap();
        let transaction = connection.transaction().unwrap();
        insert_rows(&transaction, 1_200).unwrap();
        describe_rows(&transaction).unwrap();
        transaction.execute_batch(ADD_PLACES).unwrap();
        let counted: (i64, i64, i64) = transaction
            .query_row(
                "SELECT (SELECT count(*) FROM assets WHERE listed = 1), held_count, next_seq
                 FROM accounts",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(counted, (1_200, 1_200, 1_201));
    }
}
