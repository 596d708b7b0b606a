//! A disk that does not give an object back, as one with a bad sector: the photos made of it are named, all others come back.
//!
//! What stands for such an object is a link to a file that every reading of fails with an error of the disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use photosync_client::error::Kind;
use photosync_client::relay::version1::{self, Source};
use photosync_client::relay::{keys, verify};
use photosync_client::report::Report;
use photosync_client::restore::Options;
use photosync_protocol::format::keys::LEAST_COST;
use photosync_protocol::format::v1::desktop_master_key;
use tokio_util::sync::CancellationToken;

use crate::relay::{Computer, Failed, noise, objects, of_kind, read_tree, restore_options, secret};
use crate::version1::write_old_backup;

/// Makes an object one that cannot be read.
fn spoil(path: &Path) {
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", path).unwrap();
    assert!(fs::metadata(path).unwrap().is_file() && fs::read(path).is_err());
}

fn fill(computer: &Computer) {
    for number in 0..4_u8 {
        computer.write(&format!("{number}.jpg"), &noise(number.into(), 2000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_cannot_be_read_costs_its_photo_and_is_sealed_again_after_a_reading() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    fill(&mine);
    mine.backup().await.unwrap();
    let before = objects(&mine.place);
    let whole = read_tree(&mine.photos());
    for kind in ["chunks", "manifests"] {
        let bad = of_kind(&mine.place, kind).remove(1);
        let good = fs::read(&bad).unwrap();
        spoil(&bad);
        let (summary, files, failed) = mine.restore().await;
        // What a manifest says the index says too.
        let lost = u64::from(kind == "chunks");
        assert_eq!((summary.restored_files, summary.failed_files), (4 - lost, lost), "{failed:?}");
        assert_eq!((files.len(), failed.len() as u64), (4 - failed.len(), lost));
        assert!(files.iter().all(|(name, bytes)| whole[name] == *bytes && !failed.contains(name)));

        let report = Arc::new(Failed::default());
        let mut relay = mine.open(report.clone()).await;
        let verified = verify(&mut relay, true).await.unwrap();
        assert_eq!((verified.files, verified.lost_files), (4, 1), "{kind}");
        assert_eq!((report.0.lock().unwrap().len(), verified.read), (1, 8), "{kind}");
        assert!(mine.backup().await.unwrap().complete);
        assert_eq!(fs::read(&bad).unwrap(), good, "it has the name again");
        assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0);
        assert_eq!(mine.restore().await.1, whole);
        let aside = bad.with_extension("damaged");
        fs::remove_file(aside).unwrap();
    }
    assert_eq!(objects(&mine.place), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_any_other_object_will_do_the_words_need_none_that_cannot_be_read() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let words = mine.begin().await;
    fill(&mine);
    mine.backup().await.unwrap();
    let found = Computer { place: disk.path().join("found"), ..Computer::new(disk.path(), "b") };
    fs::create_dir(&found.place).unwrap();
    for kind in ["chunks", "manifests"] {
        for object in of_kind(&mine.place, kind) {
            fs::copy(&object, found.place.join(object.file_name().unwrap())).unwrap();
        }
    }
    // The first manifest and a piece, perhaps of the same photo.
    let name = |kind| of_kind(&mine.place, kind)[0].file_name().unwrap().to_owned();
    let (manifest, piece) = (name("manifests"), name("chunks"));
    spoil(&found.place.join(&manifest));
    spoil(&found.place.join(piece));
    let (store, password) = (found.store(), secret("another password"));
    keys::recover(&store, &found.profile, &words, password, LEAST_COST).await.unwrap();
    let (summary, files, failed) = found.restore().await;
    assert!((2..=3).contains(&files.len()), "{failed:?}");
    assert_eq!(summary.restored_files, files.len() as u64);
    assert!(failed.contains(&format!("photo {}", manifest.to_string_lossy())), "{failed:?}");
    // The piece is named by its photo, and by itself if the manifest of that photo is the one that is lost.
    assert_eq!(failed.len() as u64, summary.failed_files);
    assert_eq!(failed.len(), 2, "{failed:?}");
    let whole = read_tree(&mine.photos());
    assert!(files.iter().all(|(name, bytes)| whole[name] == *bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_version_1_backup_a_manifest_that_cannot_be_read_costs_its_photo_alone() {
    let disk = tempfile::tempdir().unwrap();
    let (copy, back) = (disk.path().join("copy"), disk.path().join("back"));
    let master = desktop_master_key("ada@example.org", "an old password");
    let (manifests, chunks) = write_old_backup(&copy, &master);
    let restore = async |source| {
        let report = Arc::new(Failed::default());
        let (told, stop): (Arc<dyn Report>, _) = (report.clone(), CancellationToken::new());
        let options = Options { folder: back.clone(), ..restore_options() };
        let keys = [desktop_master_key("ada@example.org", "an old password")];
        let ended = version1::restore(source, &keys, &options, &told, &stop).await;
        (ended, std::mem::take(&mut *report.0.lock().unwrap()))
    };
    // They are found when the folder is looked through, and cannot be read afterwards.
    let source = Source::folder(&copy).unwrap();
    spoil(&manifests[0]);
    spoil(&chunks[1][0]);
    let (ended, failed) = restore(source).await;
    let summary = ended.unwrap();
    assert_eq!((summary.restored_files, summary.failed_files), (1, 2), "{failed:?}");
    let name = format!("photo {}", manifests[0].file_stem().unwrap().to_string_lossy());
    assert!(failed.len() == 2 && failed.contains(&name), "{failed:?}");
    assert_eq!(read_tree(&back).len(), 1, "and nothing half-written");

    // A disk that gives nothing back is no wrong password.
    for manifest in &manifests {
        fs::remove_file(manifest).unwrap();
        fs::write(manifest, "{}").unwrap();
    }
    let source = Source::folder(&copy).unwrap();
    manifests.iter().for_each(|manifest| spoil(manifest));
    let (ended, _) = restore(source).await;
    let error = ended.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::File, "unreadable"), "{error}");
}
