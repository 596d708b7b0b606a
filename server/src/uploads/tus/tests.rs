//! What a restart under another boot leaves, with real files and a real database.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::tus::write_metadata;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::accounts::queries as account_queries;
use crate::auth::passwords::PasswordCost;
use crate::boot::{BootOptions, boot};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::db::DbError;

const NOW_MS: i64 = 1_800_000_000_000;

async fn server(dir: &TempDir) -> (App, Uploader) {
    let config =
        Config::parse(&config::resolve(&config::Sources::default()).unwrap(), dir.path()).unwrap();
    let options = BootOptions {
        clock: Clock::manual(NOW_MS),
        password_cost: PasswordCost::CHEAP,
        ..BootOptions::default()
    };
    let app = boot(config, options).await.unwrap();
    let account = Uuid::from_u128(7);
    let row = account_queries::Account {
        account_uuid: account,
        user_id: 7,
        email: "alice@example.org".into(),
        generation: 1,
        role: "member".into(),
        password_hash: None,
        hardware_device_id: None,
        disabled: false,
        created_at_ms: NOW_MS,
        deleted_at_ms: None,
        held_count: 0,
        held_bytes: 0,
        relay_bytes: 0,
        display_name: String::new(),
        quota_bytes: None,
    };
    let known = app.db.read::<_, DbError, _>(move |tx| account_queries::find_by_uuid(tx, account));
    if known.await.unwrap().is_none() {
        app.db.write(move |tx| account_queries::store(tx, &row)).await.unwrap();
        app.originals.create_account_folder(account).unwrap();
    }
    (app, Uploader { account, device_id: "phone".into() })
}

async fn stop(app: App) {
    app.db.close().await;
    drop(app);
}

async fn begin(app: &App, uploader: &Uploader, length: u64) -> String {
    let metadata = write_metadata([("filename", &b"a.jpg"[..])]);
    let described = rules::parse_metadata(&metadata).unwrap();
    let creation = Creation { length_bytes: Some(length), metadata, described, is_partial: false };
    create(app, uploader, creation).await.unwrap().upload.upload_id
}

async fn send(app: &App, uploader: &Uploader, id: &str, offset: u64, bytes: &[u8]) -> u64 {
    let piece = Piece {
        offset,
        length_bytes: None,
        checksum: None,
        declared_bytes: bytes.len() as u64,
        drains: true,
    };
    let body = Body::from(bytes.to_vec());
    append(app, uploader.account, id, piece, body).await.unwrap().offset
}

async fn row(app: &App, account: Uuid, id: &str) -> Option<Upload> {
    let id = id.to_owned();
    app.db.read(move |tx| queries::find_upload(tx, account, &id)).await.unwrap()
}

/// Waits for a state, for 20 s at most.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held).await.unwrap();
}

/// Waits until the background sync has noted so many bytes.
async fn until_durable(app: &App, account: Uuid, id: &str, bytes: i64) {
    until(async || row(app, account, id).await.unwrap().synced_bytes >= bytes).await;
}

/// As if the machine had lost its power: another boot, and bytes that nobody synced.
async fn lose_power(app: &App, uploader: &Uploader, id: &str, unsynced: &[u8]) {
    let file = app.originals.account_folder(uploader.account).join(".staging");
    let mut file =
        std::fs::File::options().append(true).open(file.join(format!("tus-{id}"))).unwrap();
    std::io::Write::write_all(&mut file, unsynced).unwrap();
    app.db
        .write::<_, DbError, _>(|tx| account_queries::set_fact(tx, "tus:boot", "another"))
        .await
        .unwrap();
}

#[tokio::test]
async fn after_a_power_cut_only_the_durable_prefix_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let id = begin(&app, &uploader, 6).await;
    assert_eq!(send(&app, &uploader, &id, 0, b"abc").await, 3);
    until_durable(&app, uploader.account, &id, 3).await;
    lose_power(&app, &uploader, &id, b"\0\0").await;
    stop(app).await;

    let (app, uploader) = server(&dir).await;
    assert_eq!(look(&app, uploader.account, &id).await.unwrap().offset, 3);
    assert_eq!(send(&app, &uploader, &id, 3, b"def").await, 6);
    let done = row(&app, uploader.account, &id).await.unwrap();
    let asset = done.asset_id.expect("a finished upload");
    let file = app.originals.account_folder(uploader.account).join("a.jpg");
    assert_eq!(std::fs::read(file).unwrap(), b"abcdef");
    assert_eq!(look(&app, uploader.account, &id).await.unwrap().upload.asset_id, Some(asset));
    stop(app).await;
}

/// A request whose client sends what comes through the channel, and then nothing until that is closed.
fn send_slowly(
    app: &App,
    uploader: &Uploader,
    id: &str,
) -> (mpsc::UnboundedSender<Bytes>, JoinHandle<Result<Progress>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let body = stream::unfold(receiver, async |mut receiver| {
        let bytes: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(bytes), receiver))
    });
    let piece =
        Piece { offset: 0, length_bytes: None, checksum: None, declared_bytes: 9, drains: true };
    let (app, account, id) = (app.clone(), uploader.account, id.to_owned());
    let body = Body::from_stream(body);
    (sender, tokio::spawn(async move { append(&app, account, &id, piece, body).await }))
}

#[tokio::test]
async fn a_server_that_stops_makes_every_unfinished_upload_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let (waiting, receiving) = (begin(&app, &uploader, 6).await, begin(&app, &uploader, 9).await);
    let (client, request) = send_slowly(&app, &uploader, &receiving);
    client.send(Bytes::from_static(b"abcd")).unwrap();
    until(async || app.tus.is_receiving(&receiving, 0)).await;
    send(&app, &uploader, &waiting, 0, b"abc").await;
    make_all_durable(&app).await;
    assert_eq!(row(&app, uploader.account, &waiting).await.unwrap().synced_bytes, 3);
    assert_eq!(row(&app, uploader.account, &receiving).await.unwrap().synced_bytes, 4);
    assert_eq!(request.await.unwrap().unwrap_err().code, ErrorCode::Preempted);
    lose_power(&app, &uploader, &receiving, b"\0\0").await;
    stop(app).await;

    let (app, uploader) = server(&dir).await;
    assert_eq!(look(&app, uploader.account, &waiting).await.unwrap().offset, 3);
    assert_eq!(look(&app, uploader.account, &receiving).await.unwrap().offset, 4);
    stop(app).await;
}

#[tokio::test]
async fn a_request_that_takes_long_becomes_durable_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let id = begin(&app, &uploader, 9).await;
    let (client, request) = send_slowly(&app, &uploader, &id);
    let path = app.originals.account_folder(uploader.account).join(format!(".staging/tus-{id}"));
    client.send(Bytes::from_static(b"abc")).unwrap();
    until(async || std::fs::metadata(&path).unwrap().len() >= 3).await;
    app.clock.advance(Duration::from_secs(11));
    client.send(Bytes::from_static(b"def")).unwrap();
    until_durable(&app, uploader.account, &id, 3).await;
    assert!(!request.is_finished());
    client.send(Bytes::from_static(b"ghi")).unwrap();
    drop(client);
    assert_eq!(request.await.unwrap().unwrap().offset, 9);
    stop(app).await;
}

#[tokio::test]
async fn a_killed_process_keeps_every_byte_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let id = begin(&app, &uploader, 6).await;
    let folder = app.originals.account_folder(uploader.account).join(".staging");
    std::fs::write(folder.join(format!("tus-{id}")), b"abcd").unwrap();
    stop(app).await;
    let (app, uploader) = server(&dir).await;
    assert_eq!(look(&app, uploader.account, &id).await.unwrap().offset, 4);
    stop(app).await;
}

#[tokio::test]
async fn rows_without_bytes_and_bytes_without_rows_end_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let (lost, fresh) = (begin(&app, &uploader, 6).await, begin(&app, &uploader, 6).await);
    send(&app, &uploader, &lost, 0, b"abc").await;
    until_durable(&app, uploader.account, &lost, 3).await;
    let folder = app.originals.account_folder(uploader.account).join(".staging");
    for id in [&lost, &fresh] {
        std::fs::remove_file(folder.join(format!("tus-{id}"))).unwrap();
    }
    std::fs::write(folder.join(format!("tus-{}", "0".repeat(32))), b"nobody's").unwrap();
    stop(app).await;

    let (app, uploader) = server(&dir).await;
    assert_eq!(row(&app, uploader.account, &lost).await, None);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    // Nothing of this one was durable yet: it simply begins at 0.
    assert_eq!(look(&app, uploader.account, &fresh).await.unwrap().offset, 0);
    stop(app).await;
}

#[tokio::test]
async fn an_expired_upload_is_swept_and_one_that_moved_on_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let (old, young) = (begin(&app, &uploader, 6).await, begin(&app, &uploader, 6).await);
    app.clock.advance(Duration::from_secs(4 * 24 * 3600));
    send(&app, &uploader, &young, 0, b"abc").await;
    until_durable(&app, uploader.account, &young, 3).await;
    app.clock.advance(Duration::from_secs(4 * 24 * 3600));
    let gone = look(&app, uploader.account, &old).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::Gone);
    assert_eq!(sweep_expired(&app).await.unwrap().count, 1);
    assert_eq!(row(&app, uploader.account, &old).await, None);
    assert_eq!(look(&app, uploader.account, &young).await.unwrap().offset, 3);
    let folder = app.originals.account_folder(uploader.account).join(".staging");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    stop(app).await;
}

#[tokio::test]
async fn a_failed_sync_costs_the_bytes_after_the_durable_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let (app, uploader) = server(&dir).await;
    let id = begin(&app, &uploader, 9).await;
    send(&app, &uploader, &id, 0, b"abc").await;
    until_durable(&app, uploader.account, &id, 3).await;
    send(&app, &uploader, &id, 3, b"def").await;
    until_durable(&app, uploader.account, &id, 6).await;
    let key = id.clone();
    // As a disk that failed after the third byte.
    app.db
        .write::<_, DbError, _>(move |tx| {
            queries::remove(tx, &key)?;
            Ok(())
        })
        .await
        .unwrap();
    let mut upload = new_upload(
        &app,
        &uploader,
        &Creation {
            length_bytes: Some(9),
            metadata: String::new(),
            described: Described { name: Some("a.jpg".into()), ..Described::default() },
            is_partial: false,
        },
    )
    .unwrap();
    upload.upload_id.clone_from(&id);
    upload.synced_bytes = 3;
    app.db.write(move |tx| queries::store(tx, &upload)).await.unwrap();
    app.tus.try_idle(&id).unwrap().entry.note_damage();
    assert_eq!(look(&app, uploader.account, &id).await.unwrap().offset, 3);
    assert_eq!(send(&app, &uploader, &id, 3, b"DEFGHI").await, 9);
    let file = app.originals.account_folder(uploader.account).join("a.jpg");
    assert_eq!(std::fs::read(file).unwrap(), b"abcDEFGHI");
    stop(app).await;
}
