//! What time does to sealed objects, and what plans do: with a clock that stands still until a test moves it.

use std::path::PathBuf;
use std::time::Duration;

use photosync_protocol::digest::Digest as Id;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::relay::{HELD, MISSING};
use tempfile::TempDir;

use super::chains::NewSegment;
use super::frames::Frames;
use super::queries::Plan;
use super::*;
use crate::accounts;
use crate::accounts::native::Uploader;
use crate::auth::passwords::PasswordCost;
use crate::boot::{BootOptions, boot};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::upkeep::scrub::{self, Store};
use crate::upkeep::{check, sweep, trash};

struct Stand {
    app: App,
    account: Uuid,
    dir: TempDir,
}

impl Stand {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = config::resolve(&config::Sources::default()).unwrap();
        let mut config = Config::parse(&settings, dir.path()).unwrap();
        change(&mut config);
        let options = BootOptions {
            clock: Clock::manual(1_700_000_000_000),
            password_cost: PasswordCost::CHEAP,
            ..BootOptions::default()
        };
        let app = boot(config, options).await.unwrap();
        let added = accounts::add(&app, "a@example.org", "password 1".into(), false).await.unwrap();
        Self { app, account: added.account_uuid, dir }
    }

    async fn stage(&self, bytes: &[u8]) -> Staged {
        let mut stage = self.app.relay_chunks.stage(self.account, 0).await.unwrap();
        stage.push(bytes.to_vec().into()).await.unwrap();
        stage.seal().await.unwrap()
    }

    async fn store(&self, bytes: &[u8]) -> Result<Id> {
        let staged = self.stage(bytes).await;
        objects::store(&self.app, self.account, None, staged).await.map(|kept| kept.id)
    }

    async fn store_batch(&self, batch: &[Vec<u8>]) -> Result<(Vec<Id>, usize)> {
        let framed = batch.iter().map(|one| [&(one.len() as u32).to_le_bytes()[..], one].concat());
        let body = framed.collect::<Vec<_>>().concat();
        let bytes = body.len() as u64;
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from(body))]);
        let mut frames = Frames::new(body, bytes);
        let stored = objects::store_batch(&self.app, self.account, bytes, &mut frames).await?;
        Ok((stored.ids, stored.known))
    }

    async fn have(&self, ids: &[Id]) -> Vec<u8> {
        objects::find_held(&self.app, self.account, ids).await.unwrap()
    }

    async fn post(&self, sequence: i64, live: &[Id]) -> Result<(Id, bool)> {
        let writer = "a".repeat(32);
        let staged = self.stage(&object('S', sequence as u8)).await;
        let mut live = live.to_vec();
        live.sort_unstable();
        let caller = Uploader { account: self.account, device_id: "phone".into() };
        let new = NewSegment { writer, sequence, live, staged };
        let (head, is_new) = chains::post_segment(&self.app, caller, new).await?;
        Ok((head.id, is_new))
    }

    /// The days of a round of reading back are over.
    async fn next_round(&self) {
        self.app.clock.advance(Duration::from_hours(24 * 31));
        assert_eq!(scrub::read_due(&self.app, Store::Sealed).await.unwrap().files, 0);
    }

    fn file(&self, id: Id) -> PathBuf {
        self.app.relay_chunks.path(&Key::chunk(self.account, &id.to_string()))
    }

    async fn used_bytes(&self) -> i64 {
        let account = self.account;
        self.app.db.read(move |tx| queries::find_usage(tx, account)).await.unwrap().0
    }

    /// Days pass, and upkeep looks around.
    async fn pass(&self, days: u64) {
        self.app.clock.advance(Duration::from_hours(24 * days));
        sweep::sweep(&self.app).await.unwrap();
        trash::tidy(&self.app).await.unwrap();
    }

    async fn require_agreement(&self) {
        let report = check::check(&self.app, true).await.unwrap();
        assert_eq!((report.disagreements, report.spares), (vec![], vec![]));
    }
}

fn object(kind: char, seed: u8) -> Vec<u8> {
    let mut bytes = format!("PSYNC2{kind}\n").into_bytes();
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes.extend_from_slice(&[seed; 100]);
    bytes
}

#[tokio::test]
async fn only_what_version_2_sent_and_no_segment_names_is_collected_after_the_grace_time() {
    let stand = Stand::new().await;
    let live = stand.store(&object('C', 1)).await.unwrap();
    let orphan = stand.store(&object('C', 2)).await.unwrap();
    // Sent by both wires: an old client may use it.
    let shared = stand.store(&object('C', 3)).await.unwrap();
    let staged = stand.stage(&object('C', 3)).await;
    store_chunk(&stand.app, stand.account, None, staged).await.unwrap();
    let staged = stand.stage(b"version 1").await;
    let old = store_chunk(&stand.app, stand.account, None, staged).await.unwrap();
    let old = Id::from_hex(&old).unwrap();
    let (segment, _) = stand.post(1, &[live]).await.unwrap();
    let all = [live, orphan, shared, old, segment];
    let used_bytes = stand.used_bytes().await;
    stand.pass(29).await;
    assert_eq!(stand.have(&all).await, [HELD; 5], "within the grace time");
    let late = stand.store(&object('C', 4)).await.unwrap();
    stand.pass(2).await;
    assert_eq!(stand.have(&all).await, [HELD, MISSING, HELD, HELD, HELD]);
    assert_eq!(stand.have(&[late]).await, [HELD], "its own grace time has just begun");
    assert_eq!(stand.used_bytes().await, used_bytes, "112 bytes went, 112 came");
    assert!(stand.file(orphan).exists(), "in the trash");
    stand.require_agreement().await;
    stand.pass(31).await;
    assert!(!stand.file(orphan).exists() && stand.file(live).exists());
    assert_eq!(stand.have(&all).await, [HELD, MISSING, HELD, HELD, HELD]);
    stand.require_agreement().await;
}

#[tokio::test]
async fn what_was_collected_comes_back_when_it_is_sent_again_or_restored() {
    let stand = Stand::new().await;
    let ids =
        [stand.store(&object('C', 1)).await.unwrap(), stand.store(&object('C', 2)).await.unwrap()];
    stand.pass(31).await;
    assert_eq!((stand.have(&ids).await, stand.used_bytes().await), (vec![MISSING; 2], 0));
    let refused = stand.post(1, &ids).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Missing);
    stand.store(&object('C', 1)).await.unwrap();
    assert_eq!((stand.have(&ids).await, stand.used_bytes().await), (vec![HELD, MISSING], 112));
    assert_eq!(trash::restore(&stand.app, stand.account, 0).await.unwrap(), 1);
    assert_eq!((stand.have(&ids).await, stand.used_bytes().await), (vec![HELD; 2], 224));
    stand.post(1, &ids).await.unwrap();
    stand.pass(400).await;
    assert_eq!(stand.have(&ids).await, [HELD; 2]);
    stand.require_agreement().await;
}

#[tokio::test]
async fn an_object_that_is_sent_again_has_its_grace_time_again() {
    let stand = Stand::new().await;
    let id = stand.store(&object('C', 1)).await.unwrap();
    stand.pass(29).await;
    stand.store(&object('C', 1)).await.unwrap();
    stand.pass(29).await;
    assert_eq!(stand.have(&[id]).await, [HELD]);
    stand.pass(2).await;
    assert_eq!(stand.have(&[id]).await, [MISSING]);
}

#[tokio::test]
async fn emptying_the_relay_takes_both_versions_and_restoring_brings_chains_back_unless_newer_ones_are_there()
 {
    let stand = Stand::new().await;
    let (app, account) = (&stand.app, stand.account);
    let chunk = stand.store(&object('C', 1)).await.unwrap();
    let (first, _) = stand.post(1, &[chunk]).await.unwrap();
    let heads = chains::heads(app, account).await.unwrap();
    assert_eq!(purge(app, account).await.unwrap(), (2, 0));
    assert_eq!(chains::heads(app, account).await.unwrap(), Default::default());
    assert_eq!(stand.have(&[chunk, first]).await, [MISSING; 2]);
    assert_eq!(trash::restore(app, account, 0).await.unwrap(), 2);
    assert_eq!(chains::heads(app, account).await.unwrap(), heads);
    assert_eq!(stand.have(&[chunk, first]).await, [HELD; 2]);
    // Twice emptied, and begun again: the newest chain wins, nothing fails.
    purge(app, account).await.unwrap();
    stand.app.clock.advance(Duration::from_secs(1));
    stand.post(1, &[]).await.unwrap();
    stand.post(2, &[]).await.unwrap();
    purge(app, account).await.unwrap();
    stand.app.clock.advance(Duration::from_secs(1));
    trash::restore(app, account, 0).await.unwrap();
    assert_eq!(chains::heads(app, account).await.unwrap().heads[0].sequence, 2);
    purge(app, account).await.unwrap();
    stand.post(7, &[]).await.unwrap();
    trash::restore(app, account, 0).await.unwrap();
    assert_eq!(chains::heads(app, account).await.unwrap().heads[0].sequence, 7);
    stand.require_agreement().await;
    stand.pass(31).await;
    assert_eq!(chains::heads(app, account).await.unwrap().heads[0].sequence, 7);
}

/// A plan of 1 GB of which `left_bytes` are left.
async fn nearly_full(left_bytes: i64) -> Stand {
    let stand = Stand::with(|config| config.plans.enabled = true).await;
    let plan = Plan { plan_gb: Some(1), status: "active".into(), ..Plan::default() };
    let account = stand.account;
    let filler = NewObject {
        account,
        chunk_id: "f".repeat(64),
        size_bytes: 1_000_000_000 - left_bytes,
        kind: None,
        collectable: false,
        stored_at_ms: 1,
    };
    let write = move |tx: &mut dyn Tx| {
        queries::set_plan(tx, account, &plan, 1)?;
        objects_sql::store(tx, &filler)?;
        objects_sql::count_bytes(tx, account, filler.size_bytes)
    };
    stand.app.db.write(write).await.unwrap();
    stand
}

#[tokio::test]
async fn of_uploads_at_once_a_nearly_full_plan_takes_exactly_those_that_fit() {
    let stand = nearly_full(250).await;
    let sent = (0..8).map(|seed| {
        let object = object('C', seed);
        let stand = &stand;
        async move { stand.store(&object).await }
    });
    let answers = futures_util::future::join_all(sent).await;
    let kept: Vec<Id> = answers.iter().filter_map(|answer| answer.as_ref().ok().copied()).collect();
    assert_eq!(kept.len(), 2, "112 bytes each");
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|error| {
        error.code == ErrorCode::QuotaExceeded
            && error.details["usedBytes"].as_i64() <= Some(1_000_000_000)
    }));
    assert_eq!(stand.used_bytes().await, 1_000_000_000 - 250 + 224);
    for seed in 0..8 {
        let id = Id(Sha256::digest(object('C', seed)).into());
        assert_eq!(
            stand.file(id).exists(),
            kept.contains(&id),
            "no file of a refused object stays"
        );
    }
    // What is there already may always be sent again.
    let seed = (0..8).find(|seed| kept[0] == Id(Sha256::digest(object('C', *seed)).into()));
    stand.store(&object('C', seed.unwrap())).await.unwrap();
    assert!(
        store_chunk(&stand.app, stand.account, None, stand.stage(&[7; 112]).await).await.is_err()
    );
}

#[tokio::test]
async fn a_batch_that_passes_the_plan_leaves_nothing_and_one_that_fits_is_kept_whole() {
    let stand = nearly_full(250).await;
    let batch: Vec<Vec<u8>> = (0..3).map(|seed| object('C', seed)).collect();
    let refused = stand.store_batch(&batch).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    let ids: Vec<Id> = batch.iter().map(|one| Id(Sha256::digest(one).into())).collect();
    assert_eq!(stand.have(&ids).await, [MISSING; 3]);
    assert!(ids.iter().all(|id| !stand.file(*id).exists()));
    assert_eq!(stand.used_bytes().await, 1_000_000_000 - 250);

    assert_eq!(stand.store_batch(&batch[..2]).await.unwrap(), (ids[..2].to_vec(), 0));
    assert_eq!(stand.have(&ids).await, [HELD, HELD, MISSING]);
    assert_eq!(stand.used_bytes().await, 1_000_000_000 - 250 + 224);
    // What is there already takes nothing of the plan.
    assert_eq!(stand.store_batch(&batch[..2]).await.unwrap().1, 2);
}

#[tokio::test]
async fn giving_up_a_refused_batch_removes_no_file_that_came_back_to_its_row() {
    let stand = Stand::new().await;
    let held = stand.store(&object('C', 1)).await.unwrap();
    let stray = Id(Sha256::digest(object('C', 2)).into());
    std::fs::create_dir_all(stand.file(stray).parent().unwrap()).unwrap();
    std::fs::write(stand.file(stray), object('C', 2)).unwrap();
    let named = [held, stray].map(|id| super::Named {
        row: NewObject {
            account: stand.account,
            chunk_id: id.to_string(),
            size_bytes: 112,
            kind: None,
            collectable: true,
            stored_at_ms: 1,
        },
        is_new_file: true,
        was_whole: false,
    });
    super::give_up(&stand.app, stand.account, &named).await.unwrap();
    assert!(stand.file(held).exists());
    assert!(!stand.file(stray).exists());
}

#[tokio::test]
async fn batches_at_once_that_share_objects_store_each_once_and_answer_in_their_own_order() {
    let stand = Stand::new().await;
    let batch = |seeds: &[u8]| seeds.iter().map(|seed| object('C', *seed)).collect::<Vec<_>>();
    let batches = [batch(&[5, 1, 5, 2]), batch(&[2, 9, 1]), batch(&[9, 5])];
    let sent = batches.iter().map(|batch| stand.store_batch(batch));
    let answers = futures_util::future::join_all(sent).await;
    let mut known = 0;
    for (batch, answer) in batches.iter().zip(answers) {
        let (ids, some) = answer.unwrap();
        let expected: Vec<Id> = batch.iter().map(|one| Id(Sha256::digest(one).into())).collect();
        assert_eq!(ids, expected);
        known += some;
    }
    assert_eq!(known, 9 - 4, "four objects, each new once");
    assert_eq!(stand.used_bytes().await, 4 * 112);
    stand.require_agreement().await;
}

#[tokio::test]
async fn reading_back_finds_damage_and_calls_nothing_missing_on_a_disk_that_is_not_there() {
    let stand = Stand::new().await;
    let ids: Vec<Id> = {
        let mut ids = Vec::new();
        for seed in 0..5 {
            ids.push(stand.store(&object('C', seed)).await.unwrap());
        }
        ids
    };
    assert_eq!(scrub::read_due(&stand.app, Store::Sealed).await.unwrap().files, 5);
    assert_eq!(stand.have(&ids).await, [HELD; 5]);
    stand.next_round().await;
    let marker = stand.dir.path().join("relay/volume.json");
    std::fs::rename(&marker, marker.with_extension("away")).unwrap();
    std::fs::rename(stand.file(ids[1]), stand.file(ids[1]).with_extension("away")).unwrap();
    assert!(scrub::read_due(&stand.app, Store::Sealed).await.is_err());
    assert_eq!(stand.have(&ids).await, [HELD; 5]);
    std::fs::rename(marker.with_extension("away"), &marker).unwrap();
    std::fs::write(stand.file(ids[3]), object('C', 99)).unwrap();
    // It may have been read before the disk went: then the next round finds it.
    scrub::read_due(&stand.app, Store::Sealed).await.unwrap();
    stand.next_round().await;
    scrub::read_due(&stand.app, Store::Sealed).await.unwrap();
    assert_eq!(stand.have(&ids).await, [HELD, MISSING, HELD, MISSING, HELD]);
    let report = check::check(&stand.app, true).await.unwrap();
    assert_eq!(report.disagreements.len(), 2, "{:?}", report.disagreements);
    assert_eq!(report.spares.len(), 1, "the file that was moved away: {:?}", report.spares);
    std::fs::remove_file(stand.file(ids[1]).with_extension("away")).unwrap();
    for seed in [1, 3] {
        stand.store(&object('C', seed)).await.unwrap();
    }
    assert_eq!(stand.have(&ids).await, [HELD; 5]);
    stand.require_agreement().await;
}

#[test]
fn ids_from_the_wire_can_never_be_paths() {
    assert_eq!(sanitise_manifest_id("../../a b/ü_-9"), "ab_-9");
    assert_eq!(sanitise_manifest_id(&"x".repeat(500)).len(), 128);
    assert_eq!(parse_chunk_id(&"A".repeat(64)), Some("a".repeat(64)));
    assert_eq!(parse_chunk_id(&"g".repeat(64)), None);
    assert_eq!(parse_chunk_id("../x"), None);
}

#[tokio::test]
async fn reading_back_begins_again_after_its_days_and_not_before() {
    let stand = Stand::new().await;
    let id = stand.store(&object('C', 1)).await.unwrap();
    scrub::read_due(&stand.app, Store::Sealed).await.unwrap();
    std::fs::write(stand.file(id), b"damaged").unwrap();
    stand.app.clock.advance(Duration::from_hours(24 * 29));
    assert_eq!(scrub::read_due(&stand.app, Store::Sealed).await.unwrap().files, 0);
    assert_eq!(stand.have(&[id]).await, [HELD]);
    stand.next_round().await;
    assert_eq!(scrub::read_due(&stand.app, Store::Sealed).await.unwrap().files, 1);
    assert_eq!(stand.have(&[id]).await, [MISSING]);
}
