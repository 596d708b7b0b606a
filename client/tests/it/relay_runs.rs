//! Several runs of one computer on one sealed backup: one writes at a time, and whoever comes second learns it before it has
//! changed anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use photosync_client::error::{Error, Kind};
use photosync_client::relay::{Relay, Space, backup, keys, verify};
use photosync_client::report::{BackupSummary, Event, Report};
use photosync_client::scan::Rules;
use photosync_protocol::format::keys::LEAST_COST;
use tokio_util::sync::CancellationToken;

use crate::relay::{Computer, Failed, PASSWORD, objects, of_kind, secret};

/// How long the other run may take to come where it is waited for.
const SOON: Duration = Duration::from_secs(30);

/// Stops a run when it has looked through the folders, until it is let go on.
struct Pausing {
    scanned: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Report for Pausing {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Scanned { .. }) {
            self.scanned.send(()).unwrap();
            let _ = self.go_on.lock().unwrap().recv_timeout(SOON);
        }
    }
}

async fn run(relay: &mut Relay, computer: &Computer) -> Result<BackupSummary, Error> {
    let rules = Rules::new(&[], false).unwrap();
    let options =
        backup::Options { paths: vec![computer.photos()], rules, parallel: 2, limit: None };
    backup::run(relay, &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_run_writes_every_other_is_refused_and_the_chain_stays_one() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Arc::new(Computer::new(disk.path(), "a"));
    let words = mine.begin().await;
    mine.write("a.jpg", b"a");
    mine.backup().await.unwrap();
    mine.write("b.jpg", b"b");
    let (scanned, is_scanned) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let pausing = Arc::new(Pausing { scanned, go_on: Mutex::new(may_go_on) });
    let first = tokio::spawn({
        let mine = mine.clone();
        async move {
            let mut relay = mine.open(pausing).await;
            run(&mut relay, &mine).await
        }
    });
    tokio::task::spawn_blocking(move || is_scanned.recv_timeout(SOON).unwrap()).await.unwrap();

    let before = objects(&mine.place);
    let (store, profile, new) = (mine.store(), &mine.profile, || secret("another password"));
    let mut relay = mine.open(Arc::new(Failed::default())).await;
    let refused = [
        mine.backup().await.map(drop),
        verify(&mut relay, true).await.map(drop),
        relay.rotate(secret(PASSWORD), profile).await.map(drop),
        relay.change_password(secret(PASSWORD), new(), LEAST_COST, profile).await,
        mine.unlock().await.map(drop),
        keys::recover(&store, profile, &words, new(), LEAST_COST).await.map(drop),
        mine.begin_with(|_, _| Ok(())).await.map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        let error = refused.expect_err(&format!("the run of number {number}"));
        assert_eq!((error.kind, error.code), (Kind::Storage, "busy"), "{number}: {error}");
        assert!(!error.hint.is_empty());
    }
    assert_eq!(objects(&mine.place), before, "nothing was written");
    // Who only reads is let in.
    assert_eq!(mine.restore().await.1.len(), 1);

    go_on.send(()).unwrap();
    let summary = tokio::time::timeout(SOON, first).await.unwrap().unwrap().unwrap();
    assert!(summary.complete && summary.sent_files == 1, "{summary:?}");
    mine.write("c.jpg", b"c");
    assert_eq!(mine.backup().await.unwrap().sent_files, 1);
    assert_eq!(of_kind(&mine.place, "segments").len(), 3);
    assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0);
    // Somebody who reads the chain for the first time finds one chain.
    let two = Computer::new(disk.path(), "b");
    two.unlock().await.unwrap();
    assert_eq!(two.restore().await.1.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_run_noted_after_this_one_was_opened_is_not_taken_back() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    let mut early = mine.open(Arc::new(Failed::default())).await;
    let mut other = mine.open(Arc::new(Failed::default())).await;
    assert_eq!(other.rotate(secret(PASSWORD), &mine.profile).await.unwrap(), 2);
    mine.write("a.jpg", b"a");
    assert!(run(&mut early, &mine).await.unwrap().complete);
    let space = Space::find(&mine.profile, &mine.store().name()).unwrap().unwrap();
    assert_eq!((space.keyring_sequence, space.keys.current().0), (2, 2));
    assert_eq!(space.chains.heads().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_early_keeps_nobody_out() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    mine.write("a.jpg", b"a");
    let (store, stop) = (Arc::new(mine.store()), CancellationToken::new());
    stop.cancel();
    let report = Arc::new(Failed::default());
    let mut relay = Relay::open(store, &mine.profile, report, stop).await.unwrap();
    assert_eq!(run(&mut relay, &mine).await.unwrap_err().code, "interrupted");
    assert!(mine.backup().await.unwrap().complete, "while the relay of the first is still there");
}

/// Stops a run as soon as something was set aside in the place.
struct StopAtDamage(CancellationToken, PathBuf, Failed);

impl Report for StopAtDamage {
    fn event(&self, event: &Event) {
        self.2.event(event);
        if set_aside(&self.1).next().is_some() {
            self.0.cancel();
        }
    }
}

/// Names that objects had which were set aside.
fn set_aside(place: &Path) -> impl Iterator<Item = PathBuf> {
    let damaged = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "damaged");
    objects(place).into_iter().filter(damaged).map(|path| path.with_extension(""))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reading_found_before_it_was_stopped_is_named_and_sealed_again() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    for number in 0..12 {
        mine.write(&format!("{number}.jpg"), format!("photo {number}").as_bytes());
    }
    mine.backup().await.unwrap();
    for chunk in of_kind(&mine.place, "chunks") {
        let mut bytes = fs::read(&chunk).unwrap();
        bytes[100] ^= 1;
        fs::write(&chunk, bytes).unwrap();
    }
    let (store, stop) = (Arc::new(mine.store()), CancellationToken::new());
    let report = StopAtDamage(stop.clone(), mine.place.clone(), Failed::default());
    let report = Arc::new(report);
    let opened = Relay::open(store, &mine.profile, report.clone(), stop).await;
    assert_eq!(verify(&mut opened.unwrap(), true).await.unwrap_err().code, "interrupted");
    let lost: Vec<PathBuf> = set_aside(&mine.place).collect();
    assert_eq!(lost.len(), 1, "it was stopped at the first one");
    assert_eq!(report.2.0.lock().unwrap().len(), 1, "and that is named");

    assert!(!lost[0].exists());
    let summary = mine.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.held_files), (0, 1), "that photo, and no other");
    assert!(lost[0].exists());
    let mut relay = mine.open(Arc::new(Failed::default())).await;
    assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 11);
    assert!(mine.backup().await.unwrap().complete);
    assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0);
    assert_eq!(mine.restore().await.1.len(), 12);
}
