//! Equal bytes in several places: each is told, once, and each comes back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use photosync_protocol::v2::claims::{Claims, PairRole, PairSource};

use crate::stand::{Stand, noise, routes, write_old};

/// Every file below a folder: path, bytes, time of change in milliseconds.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u128)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let ms = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            let relative = path.strip_prefix(root).unwrap().to_owned();
            found.insert(relative, (fs::read(&path).unwrap(), ms));
        }
    }
    found
}

/// Asserts that two trees are one; says where they are not, without their bytes.
pub fn require_equal(was: &Path, is: &Path) {
    let (was, is) = (tree(was), tree(is));
    let names = |tree: &BTreeMap<PathBuf, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&was), names(&is));
    for (path, file) in &was {
        assert!(file == &is[path], "{}", path.display());
    }
}

/// Three places of the same bytes, two with one name, one in a folder of pictures; and some that are alone.
pub fn write_tree(photos: &Path) {
    let (small, large) = (noise(5000, 1), noise(9 << 20, 2));
    let files: [(&str, &[u8]); 9] = [
        ("a/x.jpg", &small),
        ("b/x.jpg", &small),
        ("🏖 Sommer/ein Name.jpg", &small),
        ("x.jpg", &small),
        ("x (2).jpg", &small),
        ("films/1.mp4", &large),
        ("films/copy of 1.mp4", &large),
        ("b/alone.jpg", b"alone"),
        ("c/x.jpg", b"other bytes under the same name"),
    ];
    for (number, (name, bytes)) in files.iter().enumerate() {
        write_old(&photos.join(name), bytes, number as u64 * 100);
    }
}

fn claims(stand: &Stand) -> Vec<Claims> {
    stand.fake.lock().assets.iter().map(|(row, _)| row.claims.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_comes_back_although_equal_bytes_were_sent_once() {
    let stand = Stand::new().await;
    write_tree(&stand.photos());
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.files, summary.sent_files, summary.complete), (9, 4, true));
    stand.fake.take_asked();
    assert!(stand.backup().await.unwrap().complete);
    let asked = stand.fake.take_asked();
    assert_eq!(routes(&asked), ["POST /library/sync"]);
    assert!(asked[0].2 < 120, "{asked:?}");
    let back = stand.folder.path().join("back");
    let summary = stand.restore(&back).await;
    assert_eq!((summary.files, summary.restored_files, summary.failed_files), (9, 9, 0));
    let all = tree(&stand.photos());
    let different: std::collections::BTreeSet<_> = all.values().map(|(bytes, _)| bytes).collect();
    let received: usize = different.iter().map(|bytes| bytes.len()).sum();
    assert_eq!(summary.received_bytes, received as u64, "each is received once");
    require_equal(&stand.photos(), &back);
    // What is missing is copied from what is there; what is there is left alone.
    fs::remove_file(back.join("b/x.jpg")).unwrap();
    fs::remove_file(back.join("films/1.mp4")).unwrap();
    let summary = stand.restore(&back).await;
    assert_eq!((summary.present_files, summary.restored_files), (7, 2));
    assert_eq!(summary.received_bytes, 0);
    require_equal(&stand.photos(), &back);
}

fn ids(claims: &Claims) -> Vec<String> {
    claims.places().filter_map(|place| place.device_asset_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_appears_later_is_told_and_one_that_is_removed_is_not_forgotten() {
    let stand = Stand::new().await;
    let first = stand.photo("a/x.jpg", b"same", 0);
    stand.backup().await.unwrap();
    stand.photo("b/y.jpg", b"same", 5);
    fs::remove_file(&first).unwrap();
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.sent_bytes, summary.complete), (0, 0, true));
    assert_eq!(ids(&claims(&stand)[0]), ["path:a/x.jpg", "path:b/y.jpg"]);
    stand.fake.take_asked();
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(routes(&stand.fake.take_asked()), ["POST /library/sync"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_folder_comes_back_where_it_is_now_and_nothing_of_it_is_sent_again() {
    let stand = Stand::new().await;
    write_tree(&stand.photos());
    stand.backup().await.unwrap();
    stand.fake.take_asked();
    fs::create_dir(stand.photos().join("sorted")).unwrap();
    for (from, to) in [("films", "sorted/films"), ("a/x.jpg", "sorted/x.jpg"), ("c", "d")] {
        fs::rename(stand.photos().join(from), stand.photos().join(to)).unwrap();
    }
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.sent_files, summary.complete), (0, true));
    let asked = routes(&stand.fake.take_asked());
    assert_eq!(asked.iter().filter(|route| *route == "POST /library/moves").count(), 1);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(routes(&stand.fake.take_asked()), ["POST /library/sync"]);
    fs::remove_dir(stand.photos().join("a")).unwrap();
    let back = stand.folder.path().join("back");
    stand.restore(&back).await;
    require_equal(&stand.photos(), &back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_told_again_and_a_server_of_before_stops_nothing() {
    let stand = Stand::new().await;
    write_tree(&stand.photos());
    stand.fake.lock().lost_answers = 1;
    assert!(stand.backup().await.unwrap().complete);
    let back = stand.folder.path().join("back");
    stand.restore(&back).await;
    require_equal(&stand.photos(), &back);
    let old = Stand::new().await;
    write_tree(&old.photos());
    old.fake.lock().has_no_places = true;
    assert!(old.backup().await.unwrap().complete);
    old.fake.lock().has_no_places = false;
    assert!(old.backup().await.unwrap().complete);
    let back = old.folder.path().join("back");
    old.restore(&back).await;
    require_equal(&old.photos(), &back);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_lost_is_told_again_with_all_its_places() {
    let stand = Stand::new().await;
    write_tree(&stand.photos());
    stand.backup().await.unwrap();
    stand.fake.lose_everything();
    let summary = stand.backup().await.unwrap();
    assert_eq!((summary.hashed_files, summary.complete), (0, true));
    let back = stand.folder.path().join("back");
    assert_eq!(stand.restore(&back).await.files, 9);
    require_equal(&stand.photos(), &back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_somebody_changed_is_not_copied() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"right", 0);
    stand.photo("b.jpg", b"right", 1);
    stand.backup().await.unwrap();
    let back = stand.folder.path().join("back");
    stand.restore(&back).await;
    // The half-received file of a stopped run has wrong bytes, and a.jpg was changed by hand.
    fs::remove_file(back.join("b.jpg")).unwrap();
    fs::write(back.join("a.jpg"), "wrong").unwrap();
    let summary = stand.restore(&back).await;
    assert_eq!((summary.restored_files, summary.failed_files), (2, 0));
    let found: Vec<_> = tree(&back)
        .into_iter()
        .map(|(path, (bytes, _))| (path.to_str().unwrap().to_owned(), bytes))
        .collect();
    let expected = [("a (2).jpg", b"right"), ("a.jpg", b"wrong"), ("b.jpg", b"right")];
    assert_eq!(found, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_comes_back_as_it_was_last_and_its_older_version_with_a_number() {
    let stand = Stand::new().await;
    stand.photo("d/a.jpg", b"first version", 500);
    stand.photo("d/copy.jpg", b"first version", 500);
    stand.photo("d/a (2).jpg", b"had this name itself", 900);
    stand.backup().await.unwrap();
    stand.photo("d/a.jpg", b"second version", 100);
    stand.backup().await.unwrap();
    let back = stand.folder.path().join("back");
    for run in 0..3 {
        let summary = stand.restore(&back).await;
        let counts = (summary.files, summary.restored_files, summary.present_files);
        assert_eq!(counts, if run == 0 { (4, 4, 0) } else { (4, run - 1, 5 - run) });
        let now = tree(&back);
        assert_eq!(now[Path::new("d/a (3).jpg")].0, b"first version");
        for (path, file) in tree(&stand.photos()) {
            assert!(now[&path] == file, "{}", path.display());
        }
        assert_eq!(now.len(), 4);
        if run == 1 {
            // What is missing comes back to where it was, whatever else is there.
            fs::remove_file(back.join("d/a.jpg")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_photo_is_claimed_as_a_guess_and_its_neighbours_are_not() {
    let stand = Stand::new().await;
    for name in ["d/IMG_1.HEIC", "d/IMG_1.MOV", "d/IMG_2.HEIC", "d/IMG_3.MOV", "e/IMG_2.MOV"] {
        stand.photo(name, name.as_bytes(), 0);
    }
    fs::write(stand.photos().join("d/IMG_3.HEIC"), "").unwrap();
    assert!(stand.backup().await.unwrap().complete);
    let mut pairs: Vec<_> = stand
        .fake
        .lock()
        .assets
        .iter()
        .filter_map(|(row, _)| row.claims.pair.clone().map(|pair| (row.name.clone(), pair)))
        .collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let told: Vec<_> = pairs.iter().map(|(name, pair)| (name.as_str(), pair.role)).collect();
    assert_eq!(told, [("IMG_1.HEIC", PairRole::Still), ("IMG_1.MOV", PairRole::Motion)]);
    let is_ours = |(_, pair): &(String, photosync_protocol::v2::claims::Pair)| {
        pair.id == "path:d/IMG_1" && pair.source == PairSource::Name
    };
    assert!(pairs.iter().all(is_ours), "{pairs:?}");
}
