//! Backups that the server makes by itself, and what it says when it cannot.

use std::fs;
use std::path::Path;

use photosync_protocol::control::BackupStatus;
use photosync_tests::http::{Client, Request};

use super::{back_up, generations, noise, require_well};
use crate::stand::{Stand, wait_until};
use crate::sync::control::Control;

fn status(stand: &Stand) -> BackupStatus {
    Control::of(stand.data()).status().backup
}

/// A figure of the metrics.
fn metric(stand: &Stand, name: &str) -> i64 {
    let address = stand.with_server(|server| server.metrics_address()).expect("metrics");
    let answer = Client::new(address).send(Request::new("GET", "/metrics")).expect("figures");
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a figure")
}

/// As if the newest backup had been made two days ago.
fn age(target: &Path) {
    let marker = generations(target).pop().expect("a backup").join("photosync-backup.json");
    let text = fs::read_to_string(&marker).expect("the marker");
    let mut made: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let made_at_ms = made["made_at_ms"].as_i64().expect("a time");
    made["made_at_ms"] = (made_at_ms - 48 * 3_600_000).into();
    fs::write(&marker, made.to_string()).expect("written");
}

#[test]
fn the_server_backs_itself_up_proves_it_and_says_when_the_disk_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let stand = Stand::new(&[
        ("PHOTOSYNC_BACKUP_TARGET", target.to_str().expect("a path")),
        ("PHOTOSYNC_BACKUP_KEEP", "1"),
    ]);
    let alice = stand.person();
    alice.keep("a.jpg", &noise(1, 20_000));
    // A folder that it does not know may be where a disk should be: nothing is made there.
    wait_until("the server says so", || status(&stand).failure.is_some());
    let said = status(&stand);
    assert!(said.failure.expect("a failure").contains("is the disk mounted?"));
    assert_eq!((said.made_at_ms, said.proved_at_ms), (None, None));
    assert!(!target.exists());
    assert!(stand.log().contains("no backup can be made"), "{}", stand.log());
    assert_eq!(metric(&stand, "photosync_backup_failing"), 1);
    assert_eq!(metric(&stand, "photosync_backup_made_seconds"), -1);

    // After the first one by hand it goes on by itself: with a trial, for none was ever made.
    require_well(&back_up(&stand, &target, &[]));
    stand.stop();
    stand.start();
    wait_until("a trial", || status(&stand).proved_at_ms.is_some());
    let said = status(&stand);
    assert_eq!(said.failure.or(said.drill_failure), None);
    assert_eq!(said.proved_made_at_ms, said.made_at_ms);
    assert_eq!(said.target.as_deref(), target.to_str());
    assert_eq!(generations(&target).len(), 1);
    assert_eq!(metric(&stand, "photosync_backup_failing"), 0);

    // When the newest is old, another one is made, and the older one goes.
    let first = generations(&target);
    stand.stop();
    age(&target);
    stand.start();
    alice.at(&stand).keep("b.jpg", &noise(2, 20_000));
    wait_until("another backup", || {
        let made = generations(&target);
        made != first && made.len() == 1
    });

    // Its disk is away, and there is an empty folder where it should be mounted.
    stand.stop();
    let away = folder.path().join("away");
    fs::rename(&target, &away).expect("renamed");
    fs::create_dir(&target).expect("a mount point");
    stand.start();
    wait_until("the server says so", || status(&stand).failure.is_some());
    assert_eq!(fs::read_dir(&target).expect("the mount point").count(), 0);
    fs::remove_dir(&target).expect("removed");
    fs::rename(&away, &target).expect("renamed");
    stand.stop();
    stand.start();
    wait_until("all is well again", || status(&stand).failure.is_none());
    stand.require_agreement();
}
