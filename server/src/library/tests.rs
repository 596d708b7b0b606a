//! What is settled, against a model: whatever happens, count and sum are those of the rows, and reconciling finds
//! exactly the difference.

mod following;

use std::collections::BTreeSet;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::{CaptureSource, Captured, Claims};
use photosync_protocol::v2::settled::{MAX_NEGENTROPY_BYTES, Presence, Sum, Tally};
use photosync_protocol::v2::{ChangeKind, Changes};
use proptest::prelude::*;
use sha2::Digest as _;
use tempfile::TempDir;
use uuid::Uuid;

use super::queries::settled::find_current;
use super::{delete_by_person, listing, purge, quarantine, queries, settled};
use crate::accounts::native::Uploader;
use crate::accounts::queries::sessions::{NewDevice, store_device};
use crate::auth::passwords::PasswordCost;
use crate::boot::{App, BootOptions, boot};
use crate::clock::{Clock, DAY_MS};
use crate::config::{self, Config};
use crate::db::Tx;
use crate::error::Result;
use crate::params;
use crate::upkeep::trash;
use crate::uploads::{self, Arrived, Origin};

const FILES: u8 = 12;

/// A server with one account and two devices.
struct Stand {
    app: App,
    devices: [Uploader; 2],
    _dir: TempDir,
}

impl Stand {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config::parse(&config::resolve(&config::Sources::default()).unwrap(), dir.path())
                .unwrap();
        let options = BootOptions {
            clock: Clock::manual(1_700_000_000_000),
            password_cost: PasswordCost::CHEAP,
            ..BootOptions::default()
        };
        let app = boot(config, options).await.unwrap();
        let account =
            crate::accounts::add(&app, "alice@example.org", "correct horse".into(), false)
                .await
                .unwrap()
                .account_uuid;
        let mut devices = Vec::new();
        for device_id in ["phone", "laptop"] {
            let new = NewDevice {
                device_id: device_id.into(),
                account_uuid: account,
                label: device_id.into(),
                now_ms: 1,
            };
            app.db.write(move |tx| -> Result<()> { Ok(store_device(tx, &new)?) }).await.unwrap();
            devices.push(Uploader { account, device_id: device_id.into() });
        }
        Self { app, devices: devices.try_into().unwrap(), _dir: dir }
    }

    fn account(&self) -> Uuid {
        self.devices[0].account
    }

    async fn upload(&self, device: usize, file: u8) {
        let mut stage = uploads::begin(&self.app, self.account(), 0).await.unwrap();
        stage.push(bytes_of(file).into()).await.unwrap();
        let staged = stage.seal().await.unwrap();
        let origin = Origin {
            device_id: Some(self.devices[device].device_id.clone()),
            claims: Claims { captured: Some(taken(file)), ..Claims::default() },
        };
        let arrived = Arrived {
            account: self.account(),
            name: format!("{file}.jpg"),
            staged,
            arrived_at_ms: None,
            origin,
        };
        uploads::finish(&self.app, arrived).await.unwrap();
    }

    async fn find(&self, file: u8) -> Option<queries::Asset> {
        let (account, digest) = (self.account(), digest_of(file).0);
        let found = self
            .app
            .db
            .read(move |tx| -> Result<_> { Ok(queries::find_by_digest(tx, account, &digest)?) })
            .await
            .unwrap();
        found.filter(|asset| asset.listed)
    }

    /// Count and sum as they are kept, and the rows they should be of.
    async fn settled(&self, device: usize) -> (Tally, BTreeSet<Digest>) {
        let id = self.devices[device].device_id.clone();
        self.app
            .db
            .read(move |tx| -> Result<_> {
                let current = find_current(tx, &id)?.unwrap();
                let rows = queries::settled::list_settled(tx, &id, current.set_no, &[], 1000)?;
                Ok((current.tally, rows.into_iter().collect()))
            })
            .await
            .unwrap()
    }

    /// What a client with these digests learns: what it has beside the set, and what the set has beside it.
    async fn reconcile(
        &self,
        device: usize,
        have: &BTreeSet<Digest>,
    ) -> (BTreeSet<Digest>, BTreeSet<Digest>) {
        let mut set = NegentropyStorageVector::new();
        for digest in have {
            set.insert(0, Id::from_byte_array(digest.0)).unwrap();
        }
        set.seal().unwrap();
        let limit = u64::try_from(MAX_NEGENTROPY_BYTES).unwrap();
        let mut client = Negentropy::borrowed(&set, limit).unwrap();
        let mut message = client.initiate().unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        loop {
            let answer =
                settled::reconcile(&self.app, &self.devices[device], message).await.unwrap();
            assert!(answer.len() <= MAX_NEGENTROPY_BYTES, "{} bytes", answer.len());
            match client.reconcile_with_ids(&answer, &mut ours, &mut theirs).unwrap() {
                Some(next) => message = next,
                None => break,
            }
        }
        let read = |ids: Vec<Id>| ids.into_iter().map(|id| Digest(id.to_bytes())).collect();
        (read(ours), read(theirs))
    }
}

fn bytes_of(file: u8) -> Vec<u8> {
    vec![file; 50 + usize::from(file)]
}

/// Three days, and times that some share.
fn taken(file: u8) -> Captured {
    let local = format!("2024-05-{:02}T12:00:0{}", file % 3 + 1, file % 2);
    Captured { local, offset_minutes: None, source: CaptureSource::Library }
}

fn digest_of(file: u8) -> Digest {
    Digest(sha2::Sha256::digest(bytes_of(file)).into())
}

#[derive(Debug, Clone)]
enum Step {
    Upload(usize, u8),
    Missing(usize, BTreeSet<u8>),
    Forget(usize, BTreeSet<u8>),
    Damage(u8),
    Delete(u8),
    Purge,
}

fn any_step() -> impl Strategy<Value = Step> {
    let files = || prop::collection::btree_set(0..FILES, 0..FILES as usize);
    prop_oneof![
        6 => (0..2_usize, 0..FILES).prop_map(|(device, file)| Step::Upload(device, file)),
        4 => (0..2_usize, files()).prop_map(|(device, files)| Step::Missing(device, files)),
        2 => (0..2_usize, files()).prop_map(|(device, files)| Step::Forget(device, files)),
        2 => (0..FILES).prop_map(Step::Damage),
        2 => (0..FILES).prop_map(Step::Delete),
        1 => Just(Step::Purge),
    ]
}

/// What the server should know.
#[derive(Debug, Default)]
struct Model {
    held: BTreeSet<u8>,
    wanted: BTreeSet<u8>,
    deleted: BTreeSet<u8>,
    settled: [BTreeSet<u8>; 2],
}

impl Model {
    fn presence(&self, file: u8) -> Presence {
        match () {
            () if self.held.contains(&file) => Presence::Held,
            () if self.deleted.contains(&file) => Presence::Deleted,
            () if self.wanted.contains(&file) => Presence::Wanted,
            () => Presence::Missing,
        }
    }
}

async fn take(stand: &Stand, model: &mut Model, step: Step) {
    let Stand { app, devices, .. } = stand;
    match step {
        Step::Upload(device, file) => {
            stand.upload(device, file).await;
            model.deleted.remove(&file);
            model.wanted.remove(&file);
            model.held.insert(file);
            model.settled[device].insert(file);
        }
        Step::Missing(device, files) => {
            let asked: Vec<Digest> = files.iter().map(|file| digest_of(*file)).collect();
            let answers = settled::find_missing(app, &devices[device], &asked).await.unwrap();
            let expected: Vec<Presence> = files.iter().map(|file| model.presence(*file)).collect();
            assert_eq!(answers, expected);
            let both = files.into_iter().zip(expected);
            model.settled[device]
                .extend(both.filter(|(_, now)| now.is_settled()).map(|(file, _)| file));
        }
        Step::Forget(device, files) => {
            let named: Vec<Digest> = files.iter().map(|file| digest_of(*file)).collect();
            settled::forget(app, &devices[device], &named).await.unwrap();
            model.settled[device].retain(|file| !files.contains(file));
        }
        Step::Damage(file) => {
            let Some(asset) = stand.find(file).await else { return };
            quarantine(app, asset).await.unwrap();
            model.held.remove(&file);
            model.wanted.insert(file);
            model.settled.iter_mut().for_each(|set| set.retain(|settled| *settled != file));
        }
        Step::Delete(file) => {
            let Some(asset) = stand.find(file).await else { return };
            delete_by_person(app, stand.account(), &asset.asset_id).await.unwrap();
            model.held.remove(&file);
            model.deleted.insert(file);
        }
        Step::Purge => {
            purge(app, stand.account()).await.unwrap();
            model.held.clear();
            model.settled.iter_mut().for_each(BTreeSet::clear);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_tally_is_always_that_of_its_rows_and_reconciling_finds_the_exact_difference(
        steps in prop::collection::vec(any_step(), 0..30),
        have in prop::collection::btree_set(0..FILES, 0..FILES as usize),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let stand = Stand::new().await;
            let mut model = Model::default();
            let mut follower = following::Follower::default();
            for step in steps {
                take(&stand, &mut model, step).await;
                follower.follow(&stand, model.held.len()).await;
                for device in 0..2 {
                    let (tally, rows) = stand.settled(device).await;
                    let expected: BTreeSet<Digest> =
                        model.settled[device].iter().map(|file| digest_of(*file)).collect();
                    assert_eq!(rows, expected);
                    assert_eq!(tally, Tally::of(&expected));
                }
            }
            settled::sweep(&stand.app).await.unwrap();
            let have: BTreeSet<Digest> = have.into_iter().map(digest_of).collect();
            for device in 0..2 {
                let (tally, rows) = stand.settled(device).await;
                assert_eq!(tally, Tally::of(&rows), "sweeping emptied sets touches none that counts");
                let (ours, theirs) = stand.reconcile(device, &have).await;
                assert_eq!(ours, have.difference(&rows).copied().collect());
                assert_eq!(theirs, rows.difference(&have).copied().collect());
            }
            stand.app.db.close().await;
        });
    }
}

#[tokio::test]
async fn reconciling_large_sets_finds_every_difference_in_messages_of_bounded_size() {
    let stand = Stand::new().await;
    let digest = |number: u32| Digest(sha2::Sha256::digest(number.to_be_bytes()).into());
    let rows: Vec<Digest> = (0..30_000).map(digest).collect();
    for step in rows.chunks(1000) {
        let step = step.to_vec();
        stand
            .app
            .db
            .write(move |tx| -> Result<()> { Ok(queries::settled::settle(tx, "phone", &step)?) })
            .await
            .unwrap();
    }
    // Nothing in common: more than one message can carry.
    let have: BTreeSet<Digest> = (30_000..60_000).map(digest).collect();
    let (ours, theirs) = stand.reconcile(0, &have).await;
    assert_eq!(ours, have);
    assert_eq!(theirs, rows.into_iter().collect());
    let (tally, _) = stand.settled(0).await;
    assert_eq!(tally.count, 30_000);
    // Emptied at once, whatever the size; the rows go afterwards and no tally ever counts them.
    purge(&stand.app, stand.account()).await.unwrap();
    assert_eq!(stand.settled(0).await.0, Tally { count: 0, sum: Sum::default() });
    settled::sweep(&stand.app).await.unwrap();
    assert_eq!(stand.settled(0).await.1, BTreeSet::new());
    stand.app.db.close().await;
}

impl Stand {
    async fn missing(&self, files: &[u8]) -> Vec<Presence> {
        let asked: Vec<Digest> = files.iter().map(|file| digest_of(*file)).collect();
        settled::find_missing(&self.app, &self.devices[0], &asked).await.unwrap()
    }

    async fn delete(&self, file: u8) {
        let asset = self.find(file).await.unwrap();
        delete_by_person(&self.app, self.account(), &asset.asset_id).await.unwrap();
    }

    /// Lets the trash period end.
    async fn wait_for_the_end_of_the_trash(&self) {
        let days = u64::try_from((self.app.config.trash_days + 1) * DAY_MS).unwrap();
        self.app.clock.advance(std::time::Duration::from_millis(days));
        trash::tidy(&self.app).await.unwrap();
    }

    async fn changes(&self, since: Option<&str>, limit: i64) -> Changes {
        listing::list_changes(&self.app, self.account(), since, limit).await.unwrap()
    }

    /// What a client knows that follows the feed in pages of `limit` from `since` on.
    async fn follow(
        &self,
        known: &mut BTreeSet<Digest>,
        mut since: Option<String>,
        limit: i64,
    ) -> String {
        loop {
            let page = self.changes(since.as_deref(), limit).await;
            for change in page.changes {
                match change.kind {
                    ChangeKind::Held => known.insert(change.digest),
                    _ => known.remove(&change.digest),
                };
            }
            if !page.more {
                return page.next;
            }
            since = Some(page.next);
        }
    }

    async fn held(&self) -> BTreeSet<Digest> {
        let page = {
            let viewer = listing::Viewer { asking: "phone".into(), instead: None };
            listing::list_assets(&self.app, self.account(), viewer, None, 1000).await.unwrap()
        };
        page.assets.into_iter().map(|row| row.digest).collect()
    }
}

#[tokio::test]
async fn what_a_person_deleted_is_not_asked_for_again_and_what_a_device_purged_is() {
    let stand = Stand::new().await;
    for file in [1, 2] {
        stand.upload(0, file).await;
    }
    stand.delete(1).await;
    assert_eq!(stand.missing(&[1, 2]).await, [Presence::Deleted, Presence::Held]);
    assert_eq!(stand.settled(0).await.1.len(), 2, "what a person deleted stays settled");
    purge(&stand.app, stand.account()).await.unwrap();
    assert_eq!(stand.missing(&[1, 2]).await, [Presence::Deleted, Presence::Missing]);
    stand.wait_for_the_end_of_the_trash().await;
    assert_eq!(stand.missing(&[1, 2]).await, [Presence::Deleted, Presence::Missing]);
    assert_eq!(stand.settled(0).await.1, BTreeSet::from([digest_of(1)]));
    stand.app.db.close().await;
}

#[tokio::test]
async fn bytes_that_a_person_deleted_and_that_arrive_all_the_same_are_held() {
    let stand = Stand::new().await;
    stand.upload(0, 1).await;
    // From the trash, and then again after the trash period.
    for emptied in [false, true] {
        stand.delete(1).await;
        if emptied {
            stand.wait_for_the_end_of_the_trash().await;
        }
        assert!(stand.find(1).await.is_none());
        stand.upload(1, 1).await;
        assert!(stand.find(1).await.is_some());
        assert_eq!(stand.missing(&[1]).await, [Presence::Held]);
    }
    // Nothing remembers the person's decision any more: a purge asks for it again.
    purge(&stand.app, stand.account()).await.unwrap();
    stand.wait_for_the_end_of_the_trash().await;
    assert_eq!(stand.missing(&[1]).await, [Presence::Missing]);
    stand.app.db.close().await;
}

#[tokio::test]
async fn restoring_the_trash_undoes_what_a_person_deleted() {
    let stand = Stand::new().await;
    stand.upload(0, 1).await;
    stand.delete(1).await;
    trash::tidy(&stand.app).await.unwrap();
    assert_eq!(trash::restore(&stand.app, stand.account(), 0).await.unwrap(), 1);
    assert_eq!(stand.missing(&[1]).await, [Presence::Held]);
    purge(&stand.app, stand.account()).await.unwrap();
    assert_eq!(stand.missing(&[1]).await, [Presence::Missing], "the tombstone is gone too");
    stand.app.db.close().await;
}

#[tokio::test]
async fn a_client_that_follows_the_feed_knows_what_is_held_whatever_the_size_of_its_pages() {
    for limit in [1, 2, 1000] {
        let stand = Stand::new().await;
        for file in 0..6 {
            stand.upload(0, file).await;
        }
        stand.delete(0).await;
        quarantine(&stand.app, stand.find(1).await.unwrap()).await.unwrap();
        // A client that begins now is told of nothing that it never had.
        let first = stand.changes(None, limit).await;
        assert!(first.changes.iter().all(|change| change.kind == ChangeKind::Held));
        // While it pages, what it was told goes away.
        let mut known: BTreeSet<Digest> =
            first.changes.iter().map(|change| change.digest).collect();
        stand.delete(2).await;
        stand.upload(1, 1).await;
        let next = stand.follow(&mut known, Some(first.next), limit).await;
        assert_eq!(known, stand.held().await);
        assert_eq!(stand.changes(Some(&next), limit).await.changes, []);
        stand.wait_for_the_end_of_the_trash().await;
        let next = stand.follow(&mut known, Some(next), limit).await;
        assert_eq!(known, stand.held().await);
        purge(&stand.app, stand.account()).await.unwrap();
        stand.upload(0, 3).await;
        stand.follow(&mut known, Some(next), limit).await;
        assert_eq!(known, BTreeSet::from([digest_of(3)]));
        // What is gone for good shows to those who knew it, and not to those who begin.
        let mut fresh = BTreeSet::new();
        stand.follow(&mut fresh, None, limit).await;
        assert_eq!(fresh, known);
        stand.app.db.close().await;
    }
}

#[tokio::test]
async fn a_half_upload_is_gone_on_with_until_it_expires_or_is_finished() {
    let stand = Stand::new().await;
    let account = stand.account();
    let expires_at_ms = stand.app.clock.now_ms() + DAY_MS;
    for (id, file, asset_id) in [("half", 1, None), ("done", 2, Some("x".to_owned()))] {
        let digest = digest_of(file).0;
        stand
            .app
            .db
            .write(move |tx| -> Result<i64> {
                let sql = "INSERT INTO tus_uploads (upload_id, account_uuid, device_id, digest, name, claims_json, metadata,
                                                    kind, asset_id, created_at_ms, expires_at_ms)
                           VALUES (?1, ?2, 'phone', ?3, 'a.jpg', '{}', '', 'whole', ?4, 0, ?5)";
                let asset_id = asset_id.clone();
                Ok(tx.execute(sql, params![id, account, &digest[..], asset_id, expires_at_ms])?)
            })
            .await
            .unwrap();
    }
    assert_eq!(stand.missing(&[1, 2]).await, [Presence::Partial, Presence::Missing]);
    assert_eq!(stand.settled(0).await.1, BTreeSet::new());
    stand.app.clock.advance(std::time::Duration::from_millis(DAY_MS as u64 + 1));
    assert_eq!(stand.missing(&[1]).await, [Presence::Missing]);
    stand.app.db.close().await;
}

#[tokio::test]
async fn the_inventory_date_is_when_a_device_found_all_it_has_settled() {
    let stand = Stand::new().await;
    let date = async || {
        let read = |tx: &mut dyn Tx| -> Result<_> { Ok(find_current(tx, "phone")?.unwrap()) };
        stand.app.db.read(read).await.unwrap().inventory_at_ms
    };
    let compare =
        async |tally| settled::compare(&stand.app, &stand.devices[0], tally).await.unwrap();
    stand.upload(0, 1).await;
    let all = Tally::of(&[digest_of(1)]);
    assert_eq!(compare(Tally::default()).await, Some(all));
    assert_eq!(date().await, None, "a device that has something else found nothing out");
    assert_eq!(compare(all).await, None);
    let first = stand.app.clock.now_ms();
    assert_eq!(date().await, Some(first));
    // Written once a minute at most: a watching client asks often.
    stand.app.clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(compare(all).await, None);
    assert_eq!(date().await, Some(first));
    stand.app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(compare(all).await, None);
    assert_eq!(date().await, Some(first + 60_000));
    stand.app.db.close().await;
}
