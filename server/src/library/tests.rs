//! What is settled, against a model: whatever happens, count and sum are those of the rows, and reconciling finds
//! exactly the difference.

use std::collections::BTreeSet;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::settled::{Presence, Sum, Tally};
use proptest::prelude::*;
use sha2::Digest as _;
use tempfile::TempDir;
use uuid::Uuid;

use super::queries::settled::find_current;
use super::{delete_by_person, purge, quarantine, queries, settled};
use crate::accounts::native::Uploader;
use crate::accounts::queries::{NewDevice, store_device};
use crate::auth::passwords::PasswordCost;
use crate::boot::{App, BootOptions, boot};
use crate::config::{self, Config};
use crate::error::Result;
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
        let options = BootOptions { password_cost: PasswordCost::CHEAP, ..BootOptions::default() };
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
            claims: Claims::default(),
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
        let mut client = Negentropy::borrowed(&set, 0).unwrap();
        let mut message = client.initiate().unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        loop {
            let answer =
                settled::reconcile(&self.app, &self.devices[device], message).await.unwrap();
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
            for step in steps {
                take(&stand, &mut model, step).await;
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
