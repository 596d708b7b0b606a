//! Taking over the photos of the server that came before, from the menu.

use std::path::{Path, PathBuf};

use crate::desk::Desk;

const DEVICE: &str = "11111111-2222-4333-8444-555555555555";

/// The tables that the old server had, with one user and one device.
const TABLES: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, user_uuid TEXT, email TEXT UNIQUE, password TEXT,
                        hardware_device_id TEXT);
    CREATE TABLE user_plans (user_id INTEGER PRIMARY KEY, plan_gb INTEGER, rc_app_user_id TEXT, rc_product_id TEXT,
                             rc_entitlement TEXT, status TEXT, expires_at INTEGER, grace_until INTEGER,
                             trial_until INTEGER, deleted_at INTEGER, updated_at INTEGER);
    CREATE TABLE devices (id INTEGER PRIMARY KEY, user_id INTEGER, device_uuid TEXT, device_name TEXT,
                          UNIQUE (user_id, device_uuid));
    CREATE TABLE cloud_device_state (user_id INTEGER, device_uuid TEXT, state_json TEXT, updated_at INTEGER,
                                     PRIMARY KEY (user_id, device_uuid));
    INSERT INTO users (user_uuid, email, password)
        VALUES ('u-1', 'ada@example.org', '$2b$04$abcdefghijklmnopqrstuuKxmJHNZ1sJqk2rRTkVfw0YDXvAo7Wcm');
    INSERT INTO devices (user_id, device_uuid, device_name)
        VALUES (1, '11111111-2222-4333-8444-555555555555', 'phone');";

/// Old data where the old desktop program kept it.
fn old_data(desk: &Desk) -> PathBuf {
    let folder = desk.dir.path().join("home/.config/photolynk-server-tray");
    let uploads = folder.join("uploads").join(DEVICE);
    std::fs::create_dir_all(&uploads).unwrap();
    let database = rusqlite::Connection::open(folder.join("backup.db")).unwrap();
    database.execute_batch(TABLES).unwrap();
    for name in ["one.jpg", "two.jpg"] {
        std::fs::write(uploads.join(name), name).unwrap();
    }
    folder
}

/// Every file below a folder, with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(content(&path)),
            path => found.push((path.clone(), std::fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn old_photos_are_offered_copied_and_left_as_they_were_and_then_offered_no_more() {
    let desk = Desk::new();
    let old = old_data(&desk);
    let before = content(&old);
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    let first = desk.server_pid(None);
    panel.click("Import from the old PhotoSync");
    let told = desk.bubble("The photos of the old PhotoSync are here");
    assert!(told.contains("ada@example.org (new account): 2 files"), "{told}");
    desk.server_pid(Some(first));
    panel.line("● Running");
    let is_offered =
        || panel.entries().iter().any(|entry| entry.label.starts_with("Import from the old"));
    assert!(!is_offered());
    let copied: Vec<Vec<u8>> = content(&desk.data().join("uploads"))
        .into_iter()
        .filter(|(path, _)| path.extension() == Some("jpg".as_ref()))
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(copied, [b"one.jpg", b"two.jpg"]);
    assert_eq!(content(&old), before, "the old data is as it was");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));

    let mut tray = desk.tray(None);
    panel.line("● Running");
    assert!(!is_offered(), "nor by the next tray");
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}

#[test]
fn where_no_old_server_was_nothing_is_offered() {
    let desk = Desk::new();
    let panel = desk.panel();
    let mut tray = desk.tray(None);
    panel.line("● Running");
    assert!(!panel.entries().iter().any(|entry| entry.label.starts_with("Import")));
    panel.click("Quit");
    assert_eq!(tray.end(), Some(0));
}
