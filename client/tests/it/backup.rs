//! Backup: what is sent, what is not, and what a run leaves behind when something is wrong.

use std::fs;

use photosync_client::error::Kind;

use crate::stand::{Stand, noise, routes, write_old};

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_tree_is_neither_read_nor_sent_again_and_costs_one_small_request() {
    let stand = Stand::new().await;
    for number in 0..30_u8 {
        stand.photo(&format!("2024/{number}.jpg"), &[number; 1000], u64::from(number));
    }
    let first = stand.backup().await.unwrap();
    assert_eq!((first.sent_files, first.hashed_files, first.complete), (30, 30, true));
    assert_eq!(first.sent_bytes, 30_000);
    stand.fake.take_asked();
    let second = stand.backup().await.unwrap();
    assert_eq!((second.sent_files, second.hashed_files, second.complete), (0, 0, true));
    let asked = stand.fake.take_asked();
    assert_eq!(routes(&asked), ["POST /library/sync"]);
    assert!(asked[0].2 < 120, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_new_photos_among_many_cost_a_few_requests_and_the_newest_goes_first() {
    let stand = Stand::new().await;
    for number in 0..20_u8 {
        stand.photo(&format!("{number}.jpg"), &[number; 100], 1000);
    }
    stand.backup().await.unwrap();
    stand.fake.take_asked();
    stand.photo("older.jpg", b"older", 5);
    stand.photo("newer.jpg", b"newer", 1);
    let mut options = stand.options();
    options.parallel = 1;
    let summary =
        photosync_client::backup::run(stand.connection(), &stand.profile, &options).await.unwrap();
    assert_eq!((summary.sent_files, summary.hashed_files, summary.complete), (2, 2, true));
    let asked = routes(&stand.fake.take_asked());
    let puts = asked.iter().filter(|route| route.starts_with("PUT")).count();
    assert_eq!(puts, 2, "{asked:?}");
    assert!(asked.len() <= 5, "{asked:?}");
    let names: Vec<String> =
        stand.fake.lock().assets.iter().skip(20).map(|(row, _)| row.name.clone()).collect();
    assert_eq!(names, ["newer.jpg", "older.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_resumed_where_the_server_stopped_after_each_cut() {
    let stand = Stand::new().await;
    let bytes = noise(20 * MIB, 1);
    stand.photo("film.mp4", &bytes, 0);
    stand.fake.lock().cuts = vec![(3 * MIB) as u64, (7 * MIB) as u64];
    let summary = stand.backup().await.unwrap();
    assert!(summary.complete);
    assert_eq!(stand.fake.lock().assets[0].1, bytes);
    // Each PATCH offers what the server did not have yet, to the byte. (Cuts are taken from the end of the list.)
    let patches: Vec<u64> =
        stand.fake.take_asked().iter().filter(|asked| asked.0 == "PATCH").map(|a| a.2).collect();
    assert_eq!(patches, [20, 13, 10].map(|mib| mib * MIB as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_stopped_is_gone_on_with_by_the_next_one() {
    let stand = Stand::new().await;
    let bytes = noise(24 * MIB, 2);
    stand.photo("film.mp4", &bytes, 0);
    let mut options = stand.options();
    options.limit = Some(10 * MIB as u64);
    let running = {
        let (connection, profile) = (stand.connection(), stand.profile.clone());
        tokio::spawn(
            async move { photosync_client::backup::run(connection, &profile, &options).await },
        )
    };
    let begun = async {
        while !routes(&stand.fake.lock().asked).iter().any(|route| route.starts_with("PATCH")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), begun).await.unwrap();
    stand.stop.cancel();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(stand.fake.names().is_empty());
    let again = Stand { stop: tokio_util::sync::CancellationToken::new(), ..stand };
    let summary = again.backup().await.unwrap();
    assert_eq!((summary.complete, summary.hashed_files), (true, 0));
    assert_eq!(again.fake.lock().assets[0].1, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_caps_bodies_gets_smaller_pieces() {
    let stand = Stand::new().await;
    let (large, small) = (noise(9 * MIB, 3), noise(3 * MIB, 4));
    stand.photo("film.mp4", &large, 0);
    stand.photo("photo.jpg", &small, 1);
    stand.fake.lock().max_body_bytes = Some(MIB as u64);
    let summary = stand.backup().await.unwrap();
    assert!(summary.complete);
    let biggest = |route: &&crate::fake::Asked| route.0 == "PATCH" && route.2 <= MIB as u64;
    assert!(stand.fake.take_asked().iter().filter(biggest).count() >= 12);
    let mut kept: Vec<_> = stand.fake.lock().assets.iter().map(|(_, b)| b.to_vec()).collect();
    kept.sort_by_key(Vec::len);
    assert!(kept == [small, large]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_during_its_upload_is_sent_again_as_it_is_now() {
    let stand = Stand::new().await;
    let path = stand.photo("note.jpg", b"before", 0);
    let mut is_first = true;
    let target = path.clone();
    stand.fake.lock().on_arrival = Some(Box::new(move |_| {
        if std::mem::take(&mut is_first) {
            write_old(&target, b"after, and longer", 10);
        }
    }));
    let summary = stand.backup().await.unwrap();
    assert!(summary.complete);
    let kept: Vec<_> = stand.fake.lock().assets.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!(kept.iter().any(|bytes| bytes == "after, and longer"), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_stops_changing_is_reported_and_stops_nobody() {
    let stand = Stand::new().await;
    let path = stand.photo("log.jpg", b"0", 0);
    stand.photo("still.jpg", b"still", 1);
    let mut count = 0;
    stand.fake.lock().on_arrival = Some(Box::new(move |name| {
        if name == "log.jpg" {
            count += 1;
            write_old(&path, "x".repeat(count + 1).as_bytes(), count as u64);
        }
    }));
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.failed_files, summary.sent_files, summary.complete), (1, 1, false));
    assert_eq!(stand.failures(), [("log.jpg".into(), "changing")]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_and_poisoned_files_are_named_with_a_reason_and_the_rest_is_sent() {
    let stand = Stand::new().await;
    for number in 0..10_u8 {
        stand.photo(&format!("{number}.jpg"), &[number; 10], 0);
    }
    stand.photo("poison.jpg", b"poison", 1);
    // Even root cannot read through a name that leads nowhere: a folder where a file was, between two runs.
    let odd = stand.photo("vanishing.jpg", b"soon gone", 2);
    stand.fake.lock().poison = Some("poison.jpg".into());
    let target = odd.clone();
    stand.fake.lock().on_arrival = Some(Box::new(move |_| {
        let _ = fs::remove_file(&target);
        let _ = fs::create_dir(&target);
    }));
    let mut options = stand.options();
    options.parallel = 1;
    let summary =
        photosync_client::backup::run(stand.connection(), &stand.profile, &options).await.unwrap();
    assert_eq!((summary.sent_files, summary.failed_files, summary.complete), (10, 2, false));
    let mut failures = stand.failures();
    failures.sort();
    assert_eq!(failures[0], ("poison.jpg".into(), "bad_request"));
    assert_eq!(failures[1].0, "vanishing.jpg");
    // The next run tries the poisoned one again, and is done.
    stand.fake.lock().poison = None;
    stand.fake.lock().on_arrival = None;
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.failed_files, summary.complete), (1, 0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_bytes_under_two_names_are_sent_once() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"same", 0);
    stand.photo("copy of a.jpg", b"same", 1);
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.held_files, summary.complete), (1, 1, true));
    assert_eq!(stand.fake.lock().assets.len(), 1);
    let asked = routes(&stand.fake.take_asked());
    assert_eq!(asked.iter().filter(|route| *route == "POST /library/claims").count(), 1);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(routes(&stand.fake.take_asked()), ["POST /library/sync"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_lost_is_sent_again_and_what_is_gone_here_is_told() {
    let stand = Stand::new().await;
    for number in 0..5_u8 {
        stand.photo(&format!("{number}.jpg"), &[number; 10], 0);
    }
    stand.backup().await.unwrap();
    {
        let mut inner = stand.fake.lock();
        let (row, _) = inner.assets.remove(2);
        inner.settled.remove(&row.digest.0);
    }
    let here = stand.fake.lock().assets[0].0.name.clone();
    fs::remove_file(stand.photos().join(&here)).unwrap();
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.hashed_files, summary.complete), (1, 0, true));
    assert_eq!(stand.fake.lock().assets.len(), 5);
    assert_eq!(stand.fake.lock().settled.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_deleted_on_the_server_is_not_sent_again() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"a", 0);
    stand.backup().await.unwrap();
    {
        let mut inner = stand.fake.lock();
        let (row, _) = inner.assets.remove(0);
        inner.deleted.insert(row.digest);
        inner.settled.clear();
    }
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.deleted_files, summary.complete), (0, 1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_and_an_ended_token_are_no_reason_to_fail() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"a", 0);
    stand.fake.expire_tokens();
    stand.fake.lock().busy = 2;
    assert!(stand.backup().await.unwrap().complete);
    stand.fake.expire_tokens();
    stand.photo("b.jpg", b"b", 0);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(stand.fake.names(), ["a.jpg", "b.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_kind_arrive_as_they_are() {
    let stand = Stand::new().await;
    let long = format!("{}.jpg", "é".repeat(125) + "x");
    let mut names = vec!["🏖 Sommer/100%.jpg", "My%20Photo.jpg", "a, b; \"c\".jpg", &long];
    for (number, name) in names.iter().enumerate() {
        stand.photo(name, &noise(50, number as u64 + 10), number as u64);
    }
    assert!(stand.backup().await.unwrap().complete);
    names[0] = "100%.jpg";
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.sort();
    assert_eq!(stand.fake.names(), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_folder_that_the_server_lost_is_sent_again_with_its_own_folder() {
    let stand = Stand::new().await;
    stand.photo("summer/a.jpg", b"a", 0);
    assert!(stand.backup().await.unwrap().complete);
    {
        let mut inner = stand.fake.lock();
        inner.assets.clear();
        inner.settled.clear();
    }
    let other = stand.folder.path().join("other");
    write_old(&other.join("b.jpg"), b"b", 0);
    let mut options = stand.options();
    options.paths = vec![other];
    let summary =
        photosync_client::backup::run(stand.connection(), &stand.profile, &options).await.unwrap();
    assert_eq!((summary.sent_files, summary.complete), (2, true));
    let inner = stand.fake.lock();
    let (row, _) = inner.assets.iter().find(|(row, _)| row.name == "a.jpg").unwrap();
    assert_eq!(row.claims.folder.as_deref(), Some("summer"));
}
