//! Sidecars, duplicates, watching, and the doctor.

use std::fs;
use std::time::Duration;

use photosync_client::doctor::{Finding, ORDINARY_PROBE, Options, Verdict, examine};
use photosync_client::duplicates::{clean, find, verified};
use photosync_client::error::{Error, Kind};
use photosync_client::scan::Rules;
use photosync_client::signing_in::First;
use photosync_client::watch;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;
use crate::stand::{Stand, write_old};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_takeout_or_icloud_sidecar_says_goes_with_the_photo() {
    let stand = Stand::new().await;
    stand.photo("t/a.jpg", b"a", 0);
    let json = br#"{"photoTakenTime":{"timestamp":"1563040440"},"favorited":true}"#;
    stand.photo("t/a.jpg.supplemental-metadata.json", json, 0);
    stand.photo("i/b.jpg", b"b", 0);
    let csv = b"imgName,favorite,originalCreationDate\nb.jpg,yes,\"Monday January 1,2024 12:05 AM GMT\"\n";
    stand.photo("i/Photo Details.csv", csv, 0);
    stand.photo("c.jpg", b"c", 0);
    assert!(stand.backup().await.unwrap().complete);
    let captured = |name: &str| {
        let inner = stand.fake.lock();
        let (row, _) = inner.assets.iter().find(|(row, _)| row.name == name).unwrap();
        row.claims.captured.as_ref().map(|captured| captured.to_text())
    };
    assert_eq!(captured("a.jpg").as_deref(), Some("2019-07-13T17:54:00Z"));
    assert_eq!(captured("b.jpg").as_deref(), Some("2024-01-01T00:05:00Z"));
    assert_eq!(captured("c.jpg"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_that_stays_was_taken_first_or_changed_longest_ago_or_has_the_shortest_path() {
    let stand = Stand::new().await;
    let photo = |name: &str, bytes: &[u8], age_s: u64, taken: Option<u64>| {
        stand.photo(name, bytes, age_s);
        if let Some(taken) = taken {
            let json = format!("{{\"photoTakenTime\":{{\"timestamp\":\"{taken}\"}}}}");
            stand.photo(&format!("{name}.json"), json.as_bytes(), 0);
        }
    };
    photo("t/1.jpg", b"all have a sidecar", 10, Some(1_000_000_000));
    photo("t/2.jpg", b"all have a sidecar", 90, Some(1_000_000_500));
    photo("s/1.jpg", b"some have a sidecar", 10, Some(1_000_000_000));
    photo("s/2.jpg", b"some have a sidecar", 90, None);
    let then = std::time::SystemTime::now() - Duration::from_secs(7200);
    for name in ["p/a longer name.jpg", "p/z.jpg"] {
        let path = stand.photo(name, b"same time", 0);
        fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }
    let paths = ["t", "s", "p"].map(|folder| stand.photos().join(folder)).to_vec();
    let rules = Rules::new(&["*.json".into()], false).unwrap();
    let (report, stop) = (stand.kept.clone(), stand.stop.clone());
    let groups = find(&stand.profile, paths, rules, report, stop).await.unwrap();
    let root = stand.photos().canonicalize().unwrap();
    let name = |group: &photosync_client::duplicates::Group| {
        group.oldest.path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()
    };
    let mut kept: Vec<String> = groups.iter().map(name).collect();
    kept.sort();
    assert_eq!(kept, ["p/z.jpg", "s/2.jpg", "t/1.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_younger_copies_of_verified_files_go_to_the_trash() {
    let stand = Stand::new().await;
    let oldest = stand.photo("x/oldest.jpg", b"same", 100);
    let younger = stand.photo("younger.jpg", b"same", 50);
    let youngest = stand.photo("youngest.jpg", b"same", 10);
    stand.photo("other.jpg", b"else", 10);
    stand.backup().await.unwrap();
    // Equal too, and never backed up.
    stand.photo("new 1.jpg", b"not safe yet", 1);
    stand.photo("new 2.jpg", b"not safe yet", 2);
    let groups = find(
        &stand.profile,
        vec![stand.photos()],
        Rules::new(&[], false).unwrap(),
        stand.kept.clone(),
        stand.stop.clone(),
    )
    .await
    .unwrap();
    assert_eq!(groups.len(), 2);
    let safe = verified(&stand.connection(), groups.clone()).await.unwrap();
    assert_eq!(safe.len(), 1);
    assert_eq!(safe[0].oldest.path, oldest.canonicalize().unwrap());
    stand.fake.lock().forge_receipts = true;
    assert!(verified(&stand.connection(), groups).await.unwrap().is_empty());
    // One changed since it was found: it stays.
    write_old(&youngest, b"mine", 10);
    let moved = clean(&safe[0], &stand.stop, &|path| {
        fs::remove_file(path).map_err(|cause| Error::file("move", path, &cause))
    });
    assert_eq!(moved.unwrap(), 1);
    assert!(oldest.exists() && youngest.exists() && !younger.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_backs_up_what_appears_and_outlives_a_busy_server() {
    let stand = Stand::new().await;
    stand.photo("first.jpg", b"1", 0);
    let (connection, profile, options) =
        (stand.connection(), stand.profile.clone(), stand.options());
    let watching = tokio::spawn(async move { watch::run(connection, &profile, &options).await });
    let until = async |count: usize| {
        let reached = async {
            while stand.fake.names().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
    };
    until(1).await;
    stand.fake.lock().busy = 2;
    stand.photo("second.jpg", b"2", 0);
    until(2).await;
    stand.stop.cancel();
    assert_eq!(watching.await.unwrap().unwrap_err().kind, Kind::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_broken_and_names_a_closed_port_with_a_way_out() {
    let stand = Stand::new().await;
    let first = First { report: stand.kept.clone(), stop: CancellationToken::new() };
    let findings = look(&stand, &first, None).await;
    let checks: Vec<_> = findings.iter().map(|finding| finding.check.as_ref()).collect();
    let here = ["cache", "space", "secrets"];
    let there = ["name", "port", "key", "clock", "bodies", "network", "session", "upload"];
    assert_eq!(checks, [&here[..], &there].concat());
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Broken), "{findings:?}");
    assert!(stand.fake.names().is_empty());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let findings = look(&stand, &first, Some(format!("http://{free}"))).await;
    let last = findings.last().unwrap();
    assert_eq!((last.check.as_ref(), last.verdict), ("port", Verdict::Broken));
    assert!(last.fix.contains("firewall"), "{last:?}");
}

async fn look(stand: &Stand, first: &First, url: Option<String>) -> Vec<Finding> {
    let options = Options { url, probe_bytes: ORDINARY_PROBE };
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |finding: &Finding| told.lock().unwrap().push(finding.clone());
    let findings = examine(&stand.profile, &options, first, &tell).await.unwrap();
    assert_eq!(*told.lock().unwrap(), findings);
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_size_a_proxy_lets_through_and_leaves_nothing_on_the_server() {
    let stand = Stand::new().await;
    let first = First { report: stand.kept.clone(), stop: CancellationToken::new() };
    stand.fake.lock().max_body_bytes = Some(1 << 20);
    let findings = look(&stand, &first, None).await;
    let upload = findings.last().unwrap();
    assert_eq!((upload.check.as_ref(), upload.verdict), ("upload", Verdict::Warning));
    assert!(upload.seen.contains("900 KiB comes through"), "{upload:?}");
    // The refusal, or the end of the connection while the rest of the body was on its way.
    assert!(upload.seen.contains("one of 1.5 MiB does not: "), "{upload:?}");
    assert!(upload.fix.contains("client_max_body_size"), "{upload:?}");
    stand.fake.lock().max_body_bytes = Some(1000);
    let upload = look(&stand, &first, None).await.pop().unwrap();
    assert_eq!((upload.check.as_ref(), upload.verdict), ("upload", Verdict::Broken));
    assert!(stand.fake.names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_where_a_server_that_moved_is_and_calls_it_no_fault() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let fake = Fake::start_with(&key, true, None).await;
    let moved = Fake::start_with(&key, true, None).await;
    fake.lock().endpoints = vec![moved.url()];
    let stand = Stand::on(fake.clone()).await;
    moved.accept_tokens_of(&fake);
    fake.close().await;
    let first = First { report: stand.kept.clone(), stop: CancellationToken::new() };
    let findings = look(&stand, &first, None).await;
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Broken), "{findings:?}");
    let port = findings.iter().find(|finding| finding.check == "port").unwrap();
    assert_eq!(port.verdict, Verdict::Warning);
    let elsewhere = findings.iter().find(|finding| finding.check == "elsewhere").unwrap();
    assert!(elsewhere.seen.contains(&moved.url()), "{elsewhere:?}");
    moved.close().await;
    let last = look(&stand, &first, None).await.pop().unwrap();
    assert_eq!((last.check.as_ref(), last.verdict), ("elsewhere", Verdict::Broken));
}
