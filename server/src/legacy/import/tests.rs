//! Imports of an old server that has everything an old server can have, good and bad.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use photosync_protocol::account::legacy_device_uuids;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::{Uuid, uuid};

use super::*;
use crate::auth::passwords::PasswordCost;
use crate::blobs::Key;
use crate::boot::{BootOptions, boot};
use crate::config::{self, Config};
use crate::library::queries::{Asset, list_all};
use crate::relay;

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse";
const SECOND: Uuid = uuid!("11111111-2222-4333-8444-555555555555");
const SHARED: Uuid = uuid!("22222222-2222-4333-8444-555555555555");
const ORPHAN: Uuid = uuid!("33333333-2222-4333-8444-555555555555");

/// The tables as WIRE describes them.
const TABLES: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, user_uuid TEXT, email TEXT UNIQUE, password TEXT,
                        hardware_device_id TEXT);
    CREATE TABLE user_plans (user_id INTEGER PRIMARY KEY, plan_gb INTEGER, rc_app_user_id TEXT, rc_product_id TEXT,
                             rc_entitlement TEXT, status TEXT, expires_at INTEGER, grace_until INTEGER,
                             trial_until INTEGER, deleted_at INTEGER, updated_at INTEGER);
    CREATE TABLE devices (id INTEGER PRIMARY KEY, user_id INTEGER, device_uuid TEXT, device_name TEXT,
                          UNIQUE (user_id, device_uuid));
    CREATE TABLE cloud_device_state (user_id INTEGER, device_uuid TEXT, state_json TEXT, updated_at INTEGER,
                                     PRIMARY KEY (user_id, device_uuid));";

/// An old server's data folder.
struct Old {
    dir: TempDir,
    first: Uuid,
}

impl Old {
    /// Two users; the database's rows are still in its log, as after a crash.
    fn new() -> Self {
        let (dir, build) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [first, _] = legacy_device_uuids(ALICE, PASSWORD);
        let database = build.path().join("backup.db");
        let connection = Connection::open(&database).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let user = "INSERT INTO users (user_uuid, email, password, hardware_device_id) VALUES (?1, ?2, ?3, ?4)";
        let hash = |password| bcrypt::hash(password, 4).unwrap();
        connection.execute(user, ("u-1", " Alice@Example.com ", hash(PASSWORD), "hw 1")).unwrap();
        connection
            .execute(user, ("u-2", "bob@example.com", hash("bob's own"), None::<&str>))
            .unwrap();
        let device =
            "INSERT INTO devices (user_id, device_uuid, device_name) VALUES (?1, ?2, 'phone')";
        for (user_id, uuid) in [(1, first), (1, SECOND), (1, SHARED), (2, SHARED)] {
            connection.execute(device, (user_id, uuid.to_string())).unwrap();
        }
        connection.execute(device, (9, ORPHAN.to_string())).unwrap();
        connection
            .execute_batch(
                "INSERT INTO user_plans (user_id, plan_gb, rc_app_user_id, status, updated_at)
                 VALUES (1, 200, 'customer', 'active', 5);
                 INSERT INTO cloud_device_state VALUES (1, 'phone', '{\"seen\":1}', 7);",
            )
            .unwrap();
        for suffix in ["", "-wal"] {
            let name = format!("backup.db{suffix}");
            std::fs::copy(build.path().join(&name), dir.path().join(&name)).unwrap();
        }
        let old = Self { dir, first };
        assert!(old.path("backup.db-wal").metadata().unwrap().len() > 0);
        old.with_files()
    }

    fn with_files(self) -> Self {
        let (first, second) = (format!("uploads/{}", self.first), format!("uploads/{SECOND}"));
        self.file(&format!("{first}/IMG_0001.jpg"), b"one", 1000);
        self.file(&format!("{first}/My%20Photo.jpg"), b"photo", 3000);
        self.file(&format!("{first}/100%.jpg"), b"percent", 4000);
        self.file(&format!("{first}/1700_a_x.jpg.uploading"), b"half", 5000);
        self.file(&format!("{first}/.DS_Store"), b"x", 5000);
        self.file(&format!("{first}/empty.jpg"), b"", 5000);
        self.file(&format!("{second}/same.jpg"), b"one", 2000);
        self.file(&format!("{second}/IMG_0001.jpg"), b"two", 2000);
        self.file(&format!("uploads/{SHARED}/whose.jpg"), b"whose", 6000);
        self.file(&format!("uploads/{ORPHAN}/lost.jpg"), b"lost", 7000);
        self.file("uploads/stray.jpg", b"stray", 7000);
        self.file(&format!("cloud/users/{}/notes.txt", self.first), b"notes", 7000);
        // The newest key and both older ones.
        let sealed = |key: &str, bytes: &[u8]| {
            let id = hex::encode(Sha256::digest(bytes));
            self.file(&format!("cloud/users/{key}/chunks/{id}"), bytes, 8000);
        };
        sealed(&self.first.to_string(), b"sealed 1");
        sealed("u-1", b"sealed 2");
        sealed("1", b"sealed 3");
        self.file(&format!("cloud/users/1/chunks/{}", "a".repeat(64)), b"rotten", 8000);
        let manifest = r#"{"manifestId":"m-1","encryptedManifest":"{\"v\": 1, \"é\":2}","createdAt":"2024-02-03T04:05:06.007Z"}"#;
        self.file(
            &format!("cloud/users/{}/manifests/m-1.json", self.first),
            manifest.as_bytes(),
            9000,
        );
        self.file("cloud/users/u-1/manifests/m-2.json", b"{torn", 9000);
        self
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn file(&self, relative: &str, bytes: &[u8], modified_ms: u64) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms)).unwrap();
    }

    fn sources(&self) -> Sources {
        Sources::find(Some(self.dir.path()), None, None, None, None).unwrap()
    }

    /// Every file with its bytes and time.
    fn snapshot(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.dir.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let modified = path.metadata().unwrap().modified().unwrap();
                    found.insert(path.clone(), (std::fs::read(&path).unwrap(), modified));
                }
            }
        }
        found
    }
}

fn config_of(dir: &Path) -> Config {
    Config::parse(&config::resolve(&config::Sources::default()).unwrap(), dir).unwrap()
}

async fn new_server(dir: &TempDir) -> App {
    let options = BootOptions { password_cost: PasswordCost::CHEAP, ..BootOptions::default() };
    boot(config_of(dir.path()), options).await.unwrap()
}

async fn import_all(app: &App, old: &Old) -> Imported {
    import(app, &old.sources(), &HashMap::new()).await.unwrap()
}

async fn account_of(app: &App, email: &str) -> Account {
    accounts::get_by_email(app, email).await.unwrap()
}

/// The account's assets in order of arrival.
async fn assets_of(app: &App, email: &str) -> Vec<Asset> {
    let account = account_of(app, email).await.account_uuid;
    let mut assets = app.db.read(|tx| list_all(tx, "", 1000)).await.unwrap();
    assets.retain(|asset| asset.account_uuid == account);
    assets.sort_by_key(|asset| asset.seq);
    assets
}

fn names(assets: &[Asset]) -> Vec<(&str, i64)> {
    assets.iter().map(|asset| (asset.name.as_str(), asset.arrived_at_ms)).collect()
}

#[tokio::test]
async fn folders_of_one_user_become_one_library_in_order_of_arrival() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let before = old.snapshot();
    let app = new_server(&dir).await;
    let report = import_all(&app, &old).await;

    let assets = assets_of(&app, ALICE).await;
    let expected = [
        ("IMG_0001.jpg", 1000),
        ("IMG_0001 (2).jpg", 2000),
        ("My Photo.jpg", 3000),
        ("100%.jpg", 4000),
    ];
    assert_eq!(names(&assets), expected);
    let account = account_of(&app, ALICE).await;
    for (asset, bytes) in assets.iter().zip([&b"one"[..], b"two", b"photo", b"percent"]) {
        let path = app.originals.path(&Key::original(account.account_uuid, &asset.stored_name));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let modified = path.metadata().unwrap().modified().unwrap();
        assert_eq!(
            modified.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64,
            asset.arrived_at_ms
        );
    }
    let tally = &report.accounts[&account.account_uuid];
    assert_eq!((tally.is_new, tally.files, tally.file_bytes, tally.duplicates), (true, 4, 18, 1));
    assert_eq!((account.held_count, account.held_bytes), (4, 18));
    assert!(crate::upkeep::check::check(&app, true).await.unwrap().disagreements.is_empty());
    assert_eq!(old.snapshot(), before);
    let scratch = std::fs::read_dir(dir.path()).unwrap().flatten();
    assert!(
        !scratch
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().starts_with(".import"))
    );
}

#[tokio::test]
async fn what_is_left_is_named_and_says_whether_it_needs_somebody() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    let report = import_all(&app, &old).await;
    let has = |lines: &[String], words: [&str; 2]| {
        assert!(
            lines.iter().any(|line| words.iter().all(|word| line.contains(word))),
            "{words:?}: {lines:#?}"
        );
    };
    has(&report.notes, ["x.jpg.uploading", "never became whole"]);
    has(&report.notes, [".DS_Store", "hidden"]);
    has(&report.notes, ["empty.jpg", "empty"]);
    has(&report.left, [&ORPHAN.to_string(), "--owner"]);
    has(&report.left, [&SHARED.to_string(), "alice@example.com and bob@example.com"]);
    has(&report.left, [&"a".repeat(64), "damaged"]);
    has(&report.left, ["m-2.json", "damaged"]);
    has(&report.left, ["stray.jpg", "nobody's"]);
    has(&report.left, ["notes.txt", "no folder of chunks"]);
    assert_eq!((report.notes.len(), report.left.len()), (3, 6), "{report}");
    assert!(report.to_string().contains("6 things need you"), "{report}");
}

#[tokio::test]
async fn the_old_password_signs_in_once_more_and_is_hashed_again() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    import_all(&app, &old).await;
    let account = account_of(&app, ALICE).await;
    assert!(account.password_hash.unwrap().starts_with("$2"));
    let hardware = hex::encode(Sha256::digest(b"hw 1"));
    assert_eq!(account.hardware_device_id, Some(hardware));

    let device = SECOND.to_string();
    assert!(accounts::sign_in(&app, ALICE, "wrong horse", &device, "phone").await.is_err());
    accounts::sign_in(&app, ALICE, PASSWORD, &device, "phone").await.unwrap();
    assert!(account_of(&app, ALICE).await.password_hash.unwrap().starts_with("$argon2id$"));
    accounts::sign_in(&app, ALICE, PASSWORD, &device, "phone").await.unwrap();
    // A device that two users used is nobody's until somebody proves it.
    let alias = {
        let shared = app.aliases.of_uuid(SHARED);
        app.db.read(move |tx| account_queries::find_alias(tx, &shared))
    }
    .await
    .unwrap();
    assert_eq!(alias, None);
}

#[tokio::test]
async fn sealed_objects_under_every_old_key_reach_the_account() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    let report = import_all(&app, &old).await;
    let account = account_of(&app, ALICE).await.account_uuid;
    let tally = &report.accounts[&account];
    assert_eq!((tally.chunks, tally.manifests, tally.device_states), (3, 1, 1));
    for bytes in [b"sealed 1", b"sealed 2", b"sealed 3"] {
        let id = hex::encode(Sha256::digest(bytes));
        relay::open_chunk(&app, account, &id).await.unwrap();
        let path = app.relay_chunks.path(&Key::chunk(account, &id));
        assert_eq!(std::fs::read(path).unwrap(), bytes);
    }
    assert!(relay::open_chunk(&app, account, &"a".repeat(64)).await.is_err());
    let manifest = relay::get_manifest(&app, account, "m-1").await.unwrap();
    assert_eq!(manifest.encrypted_manifest, r#"{"v": 1, "é":2}"#);
    assert_eq!(manifest.created_at, "2024-02-03T04:05:06.007Z");
    let state = relay::find_device_state(&app, account, "phone").await.unwrap();
    assert_eq!(state, Some((serde_json::json!({"seen": 1}), 7)));
    let plan = app.db.read(move |tx| relay_queries::find_plan(tx, account)).await.unwrap().unwrap();
    assert_eq!((plan.plan_gb, plan.status.as_str()), (Some(200), "active"));
    let customer = {
        let customer = app.aliases.of("customer");
        app.db.read(move |tx| relay_queries::find_by_customer(tx, &customer))
    }
    .await
    .unwrap();
    assert_eq!(customer, Some(account));
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_says_so() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    import_all(&app, &old).await;
    let before =
        (names(&assets_of(&app, ALICE).await).len(), account_of(&app, ALICE).await.relay_bytes);
    let again = import_all(&app, &old).await;
    assert!(!again.has_news(), "{again}");
    assert!(again.to_string().contains("nothing new"), "{again}");
    let tally = &again.accounts[&account_of(&app, ALICE).await.account_uuid];
    assert_eq!((tally.duplicates, tally.known_sealed), (5, 4));
    let after =
        (names(&assets_of(&app, ALICE).await).len(), account_of(&app, ALICE).await.relay_bytes);
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_was_deleted_here_is_not_brought_back_by_importing_again() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    import_all(&app, &old).await;
    let account = account_of(&app, ALICE).await.account_uuid;
    relay::purge(&app, account).await.unwrap();
    app.db.write(move |tx| crate::library::queries::trash_all(tx, account, 1)).await.unwrap();
    let again = import_all(&app, &old).await;
    assert!(!again.has_news(), "{again}");
    assert_eq!(again.accounts[&account].trashed, 9);
    assert_eq!(account_of(&app, ALICE).await.held_count, 0);

    accounts::delete(&app, account).await.unwrap();
    let again = import_all(&app, &old).await;
    assert!(again.left.iter().any(|line| line.contains("was deleted here")), "{again}");
    assert!(accounts::get_by_email(&app, ALICE).await.is_err());
}

#[tokio::test]
async fn a_run_that_was_killed_is_finished_by_the_next_one() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    // As after a kill between giving a file its name and storing its row, with a copy of the database left behind.
    let alice = accounts::take_over(&app, ALICE.into(), bcrypt::hash(PASSWORD, 4).ok(), None)
        .await
        .unwrap();
    let folder = app.originals.account_folder(alice.account_uuid);
    std::fs::write(folder.join("IMG_0001.jpg"), b"one").unwrap();
    std::fs::create_dir(dir.path().join(".import-killed")).unwrap();
    std::fs::write(dir.path().join(".import-killed/old.db"), b"hashes").unwrap();

    import_all(&app, &old).await;
    assert_eq!(assets_of(&app, ALICE).await.len(), 4);
    assert!(!dir.path().join(".import-killed").exists());
    assert!(crate::upkeep::check::check(&app, true).await.unwrap().disagreements.is_empty());
}

#[tokio::test]
async fn a_live_account_of_the_same_e_mail_keeps_its_password_and_gets_the_photos() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    let here = accounts::add(&app, ALICE, "a new password".into(), true).await.unwrap();
    let report = import_all(&app, &old).await;
    let after = account_of(&app, ALICE).await;
    assert_eq!(
        (after.account_uuid, &after.password_hash),
        (here.account_uuid, &here.password_hash)
    );
    assert_eq!(after.held_count, 4);
    assert!(!report.accounts[&here.account_uuid].is_new);
}

#[tokio::test]
async fn a_device_that_is_somebody_elses_here_stays_theirs_and_is_named() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    let eve = accounts::add(&app, "eve@example.com", "eve's own".into(), false)
        .await
        .unwrap()
        .account_uuid;
    let second = app.aliases.of_uuid(SECOND);
    let of_eve = second.clone();
    app.db.write(move |tx| account_queries::bind_presented(tx, &of_eve, eve, 1)).await.unwrap();
    let report = import_all(&app, &old).await;
    let alias = app.db.read(move |tx| account_queries::find_alias(tx, &second)).await.unwrap();
    assert_eq!(alias, Some(eve));
    assert!(report.left.iter().any(|line| line.contains(&SECOND.to_string())), "{report}");
    assert_eq!(assets_of(&app, ALICE).await.len(), 4);
}

#[tokio::test]
async fn the_operator_decides_whose_a_folder_is_that_nobody_or_two_people_own() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    let app = new_server(&dir).await;
    let owners = HashMap::from([
        (ORPHAN, "Bob@example.com".to_owned()),
        (SHARED, ALICE.to_owned()),
        (SECOND, "bob@example.com".to_owned()),
        (Uuid::nil(), "nobody@example.com".to_owned()),
    ]);
    let report = import(&app, &old.sources(), &owners).await.unwrap();
    assert_eq!(names(&assets_of(&app, "bob@example.com").await), [("lost.jpg", 7000)]);
    assert_eq!(assets_of(&app, ALICE).await.len(), 5);
    // The old database knows whose SECOND is, and nobody has the last one's e-mail: both are said.
    assert!(report.left.iter().any(|line| line.contains(&format!("--owner {SECOND}"))), "{report}");
    assert!(report.left.iter().any(|line| line.contains("no such account here")), "{report}");
}

#[tokio::test]
async fn two_spellings_of_one_e_mail_do_not_share_an_account() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    std::fs::remove_file(old.path("backup.db-wal")).unwrap();
    std::fs::remove_file(old.path("backup.db")).unwrap();
    let connection = Connection::open(old.path("backup.db")).unwrap();
    // An old version: no user_uuid, no hardware_device_id, no other tables but devices.
    connection
        .execute_batch(&format!(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE, password TEXT);
             CREATE TABLE devices (id INTEGER PRIMARY KEY, user_id INTEGER, device_uuid TEXT);
             INSERT INTO users VALUES (1, 'änne@example.com', 'plain'), (2, 'a\u{308}nne@example.com', '$2b$x');
             INSERT INTO devices VALUES (1, 1, '{}'), (2, 2, '{SECOND}');",
            old.first
        ))
        .unwrap();
    drop(connection);
    let app = new_server(&dir).await;
    let report = import_all(&app, &old).await;
    assert_eq!(assets_of(&app, "änne@example.com").await.len(), 3);
    assert_eq!(account_of(&app, "änne@example.com").await.password_hash, None);
    for words in ["same e-mail", "cannot be read", "user 2, who was not imported"] {
        assert!(report.left.iter().any(|line| line.contains(words)), "{words}: {report}");
    }
}

#[tokio::test]
async fn something_else_than_an_old_database_is_refused() {
    let (old, dir) = (Old::new(), tempfile::tempdir().unwrap());
    std::fs::remove_file(old.path("backup.db-wal")).unwrap();
    std::fs::write(old.path("backup.db"), b"not a database, but long enough to be read as one")
        .unwrap();
    let app = new_server(&dir).await;
    let error = import(&app, &old.sources(), &HashMap::new()).await.unwrap_err();
    assert!(error.message.contains("backup.db"), "{error}");
    assert!(accounts::list(&app).await.unwrap().is_empty());
}

#[test]
fn an_import_into_its_own_source_is_refused() {
    let old = Old::new();
    let sources = old.sources();
    for inside in ["", "uploads", "uploads/new", "cloud/x/y"] {
        let error = sources.require_apart(&config_of(&old.path(inside))).unwrap_err();
        assert!(error.contains("--data"), "{error}");
    }
    let around = Config { uploads: old.dir.path().to_owned(), ..config_of(Path::new("/nowhere")) };
    assert!(sources.require_apart(&around).is_err());
    sources.require_apart(&config_of(&old.path("new"))).unwrap();
    assert!(Sources::find(Some(Path::new("/nowhere")), None, None, None, None).is_err());
}
