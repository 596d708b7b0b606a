//! One run to a server in memory and into a sealed folder: what goes wrong in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use photosync_client::backup::Options;
use photosync_client::connection::Connection;
use photosync_client::error::{Error, Kind};
use photosync_client::relay::{Relay, Store, keys};
use photosync_client::report::{Destination, Event, Quiet, Report, To};
use photosync_client::restore;
use photosync_client::together::{self, Ended};
use photosync_protocol::format::keys::LEAST_COST;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::stand::{Stand, noise, routes, write_old};
use crate::together::{PASSWORD, tree};

/// Keeps what belongs to whom, and does something when all folders were looked through.
#[derive(Default)]
struct Kept {
    failures: Mutex<Vec<(Destination, String, &'static str)>>,
    on_scanned: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Report for Kept {
    fn event(&self, event: &Event) {
        let on_scanned = matches!(event, Event::Scanned { .. })
            .then(|| self.on_scanned.lock().unwrap().take())
            .flatten();
        if let Some(on_scanned) = on_scanned {
            on_scanned();
        }
    }

    fn event_of(&self, to: Destination, event: &Event) {
        if let Event::FileFailed { path, code, .. } = event {
            let name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
            self.failures.lock().unwrap().push((to, name, code));
        }
    }
}

const MIB: usize = 1 << 20;

/// A client of the server in memory, with keys to a folder of sealed objects.
struct InMemory {
    stand: Stand,
    kept: Arc<Kept>,
}

impl InMemory {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let password = Zeroizing::new(PASSWORD.to_owned());
        let store = Store::folder(&stand.folder.path().join("sealed"));
        keys::begin(&store, &stand.profile, password, LEAST_COST, |_, _| Ok(())).await.unwrap();
        stand.fake.take_asked();
        Self { stand, kept: Arc::default() }
    }

    async fn relay(&self, report: Arc<dyn Report>) -> Relay {
        let store = Store::folder(&self.stand.folder.path().join("sealed"));
        let stop = self.stand.stop.clone();
        Relay::open(Arc::new(store), &self.stand.profile, report, stop).await.unwrap()
    }

    async fn backup(&self, limit: Option<u64>) -> Result<Ended, Error> {
        let report: Arc<dyn Report> = self.kept.clone();
        let stop = &self.stand.stop;
        let to_server = To::new(Destination::Server, report.clone());
        let connection = Connection::signed_in(&self.stand.profile, to_server, stop.clone());
        let mut relay = self.relay(To::new(Destination::Relay, report.clone())).await;
        let options = Options { limit, ..self.stand.options() };
        let profile = &self.stand.profile;
        together::run(connection.map(Arc::new), Ok(&mut relay), profile, &options, &report, stop)
            .await
    }

    async fn sealed(&self) -> BTreeMap<String, Vec<u8>> {
        let mut relay = self.relay(Arc::new(Quiet)).await;
        let back = tempfile::tempdir().unwrap();
        let folder = back.path().join("back");
        let options = restore::Options { folder, device: None, parallel: 4, limit: None };
        let summary = photosync_client::relay::restore(&mut relay, &options).await.unwrap();
        assert_eq!(summary.failed_files, 0, "{summary:?}");
        tree(&options.folder)
    }

    /// Waits until so many parts were offered to the server.
    async fn parts_were_offered(&self, count: usize) {
        let is_part = |route: &&String| route.starts_with("PATCH");
        let offered = async {
            while routes(&self.stand.fake.lock().asked).iter().filter(is_part).count() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), offered).await.unwrap();
    }

    /// Bytes that were offered in parts.
    fn offered(&self) -> Vec<u64> {
        let asked = self.stand.fake.take_asked();
        asked.iter().filter(|asked| asked.0 == "PATCH").map(|asked| asked.2).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_went_away_before_it_was_read_fails_in_both_and_stops_nobody() {
    let both = InMemory::new().await;
    let gone = both.stand.photo("gone.jpg", b"gone", 0);
    both.stand.photo("here.jpg", b"here", 1);
    *both.kept.on_scanned.lock().unwrap() = Some(Box::new(move || fs::remove_file(gone).unwrap()));
    let ended = both.backup(None).await.unwrap();
    for summary in [ended.server.unwrap(), ended.relay.unwrap()] {
        assert_eq!(
            (summary.sent_files, summary.failed_files, summary.complete),
            (1, 1, false),
            "{summary:?}"
        );
    }
    let mut failures = both.kept.failures.lock().unwrap().clone();
    failures.sort_by_key(|(to, ..)| *to == Destination::Relay);
    let failure = |to| (to, "gone.jpg".to_owned(), "unreadable");
    assert_eq!(failures, [failure(Destination::Server), failure(Destination::Relay)]);
    assert_eq!(both.stand.fake.names(), ["here.jpg"]);
    assert_eq!(both.sealed().await.into_keys().collect::<Vec<_>>(), ["here.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_keeps_nothing_from_being_sealed() {
    let both = InMemory::new().await;
    for number in 0..20_u8 {
        both.stand.photo(&format!("{number}.jpg"), &noise(3 * MIB, number.into()), number.into());
    }
    both.stand.photo("film.mp4", &noise(9 * MIB, 99), 99);
    both.stand.fake.lock().is_full = true;
    let ended = both.backup(None).await.unwrap();
    assert_eq!(ended.server.unwrap_err().kind, Kind::Refused);
    let summary = ended.relay.unwrap();
    assert_eq!((summary.sent_files, summary.complete), (21, true), "{summary:?}");
    assert!(both.sealed().await == tree(&both.stand.photos()));
    assert_eq!(both.stand.fake.names(), Vec::<String>::new());

    both.stand.fake.lock().is_full = false;
    let ended = both.backup(None).await.unwrap();
    assert_eq!(ended.relay.unwrap().sent_files, 0);
    assert!(ended.server.unwrap().complete);
    assert_eq!(both.stand.fake.lock().assets.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_a_film_is_mended_from_what_was_read_already() {
    let both = InMemory::new().await;
    let bytes = noise(13 * MIB + 5, 1);
    both.stand.photo("film.mp4", &bytes, 0);
    both.stand.fake.lock().cuts = vec![MIB as u64, 3 * MIB as u64];
    let ended = both.backup(None).await.unwrap();
    assert!(ended.server.unwrap().complete && ended.relay.unwrap().complete);
    assert_eq!(both.stand.fake.lock().assets[0].1, bytes);
    assert!(both.sealed().await["film.mp4"] == bytes);
    // Cuts are taken from the end of the list: the rest of the part that was cut is offered again, to the byte.
    let whole = 4 * MIB as u64;
    let rest = MIB as u64;
    assert_eq!(both.offered(), [whole, rest, whole, whole, rest + 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_sends_only_the_rest_of_a_film_and_what_it_sent_is_still_one_photo() {
    let both = InMemory::new().await;
    let bytes = noise(24 * MIB, 2);
    both.stand.photo("film.mp4", &bytes, 0);
    let stopping = async {
        // The first two parts are there, for the third one has been begun.
        both.parts_were_offered(3).await;
        both.stand.stop.cancel();
    };
    let (ended, ()) = tokio::join!(both.backup(Some(8 * MIB as u64)), stopping);
    assert_eq!(ended.map(|_| ()).unwrap_err().kind, Kind::Interrupted);
    assert!(both.stand.fake.names().is_empty());
    both.offered();

    let stand = Stand { stop: CancellationToken::new(), ..both.stand };
    let again = InMemory { stand, ..both };
    let ended = again.backup(None).await.unwrap();
    assert!(ended.server.unwrap().complete && ended.relay.unwrap().complete);
    assert!(again.offered().iter().sum::<u64>() <= 16 * MIB as u64);
    assert_eq!(again.stand.fake.lock().assets.len(), 1);
    assert_eq!(again.stand.fake.lock().assets[0].1, bytes);
    assert!(again.sealed().await["film.mp4"] == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_changes_while_it_goes_out_lies_in_both_places_only_as_it_is_now() {
    let both = InMemory::new().await;
    let path = both.stand.photo("film.mp4", &noise(40 * MIB, 3), 0);
    let now = noise(9 * MIB, 4);
    let changing = async {
        // The limit and the room hold the reader back: it has not come to the end.
        both.parts_were_offered(1).await;
        write_old(&path, &now, 60);
    };
    let (ended, ()) = tokio::join!(both.backup(Some(16 * MIB as u64)), changing);
    let ended = ended.unwrap();
    let (server, relay) = (ended.server.unwrap(), ended.relay.unwrap());
    assert!(server.complete && relay.complete, "{server:?} {relay:?}");
    let kept: Vec<_> =
        both.stand.fake.lock().assets.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!(kept == [now.clone()]);
    assert!(both.sealed().await == BTreeMap::from([("film.mp4".to_owned(), now)]));
    assert!(both.kept.failures.lock().unwrap().is_empty());
}
