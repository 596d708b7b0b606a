//! Restore and verify: everything comes back as it was, and nothing that is there is touched.

use std::fs;

use crate::stand::{Stand, noise};

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_with_its_folder_name_and_time_and_a_second_run_receives_nothing() {
    let stand = Stand::new().await;
    let long = format!("{}.jpg", "é".repeat(125) + "x");
    // Three have one name, in three folders: the server lists them under numbers.
    let names = ["a/IMG_1.jpg", "b/IMG_1.jpg", "IMG_1.jpg", "🏖/c d.jpg", &long];
    for (number, name) in names.iter().enumerate() {
        stand.photo(name, &noise(1000 + number, number as u64 + 1), number as u64 * 100);
    }
    assert!(stand.backup().await.unwrap().complete);
    let back = stand.folder.path().join("back");
    let summary = stand.restore(&back).await;
    assert_eq!((summary.files, summary.restored_files, summary.failed_files), (5, 5, 0));
    for name in names {
        let (was, is) = (stand.photos().join(name), back.join(name));
        assert_eq!(fs::read(&was).unwrap(), fs::read(&is).unwrap(), "{name}");
        let ms = |path| {
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
        };
        assert_eq!(ms(was), ms(is), "{name}");
    }
    let summary = stand.restore(&back).await;
    assert_eq!((summary.present_files, summary.received_bytes), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_never_overwritten() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"from the server", 0);
    stand.backup().await.unwrap();
    let back = stand.folder.path().join("back");
    fs::create_dir(&back).unwrap();
    fs::write(back.join("a.jpg"), "another photo, mine").unwrap();
    let summary = stand.restore(&back).await;
    assert_eq!((summary.restored_files, summary.failed_files), (1, 0));
    assert_eq!(fs::read_to_string(back.join("a.jpg")).unwrap(), "another photo, mine");
    assert_eq!(fs::read_to_string(back.join("a (2).jpg")).unwrap(), "from the server");
    assert_eq!(stand.restore(&back).await.present_files, 1);
    assert_eq!(fs::read_dir(&back).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_goes_on_where_it_stopped_and_a_wrong_partial_file_is_not_believed() {
    let stand = Stand::new().await;
    let bytes = noise(3_000_000, 5);
    stand.photo("film.mp4", &bytes, 0);
    stand.backup().await.unwrap();
    stand.fake.lock().download_cuts = vec![500_000, 1_000_000];
    let back = stand.folder.path().join("back");
    let summary = stand.restore(&back).await;
    assert_eq!((summary.restored_files, summary.failed_files), (1, 0));
    assert_eq!(summary.received_bytes, 3_000_000);
    assert_eq!(fs::read(back.join("film.mp4")).unwrap(), bytes);
    let digest = stand.fake.lock().assets[0].0.digest.to_string();
    let third = stand.folder.path().join("third");
    fs::create_dir(&third).unwrap();
    fs::write(third.join(format!(".photosync-{}.part", &digest[..32])), [0; 1000]).unwrap();
    let summary = stand.restore(&third).await;
    assert_eq!((summary.restored_files, summary.failed_files), (1, 0));
    assert_eq!(fs::read(third.join("film.mp4")).unwrap(), bytes);
    assert_eq!(fs::read_dir(&third).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_keeps_genuine_receipts_and_names_forged_ones_and_lost_files() {
    let stand = Stand::new().await;
    stand.photo("a.jpg", b"a", 0);
    stand.photo("b.jpg", b"b", 0);
    stand.backup().await.unwrap();
    let summary = stand.verify().await;
    assert_eq!((summary.files, summary.verified, summary.bad_receipts), (2, 2, 0));
    stand.fake.lock().forge_receipts = true;
    assert_eq!(stand.verify().await.bad_receipts, 2);
    stand.fake.lock().forge_receipts = false;
    stand.fake.lock().assets.clear();
    assert_eq!(stand.verify().await.not_held, 2);
    assert_eq!(stand.failures().len(), 4);
}
