//! Sealed backups in a folder: everything comes back, from whatever is left, and nothing that was touched does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use photosync_client::error::Error;
use photosync_client::profile::Profile;
use photosync_client::relay::kit::Kit;
use photosync_client::relay::{Relay, Space, Store, backup, keys, restore, verify};
use photosync_client::report::{BackupSummary, Event, Report, RestoreSummary};
use photosync_client::restore::Options;
use photosync_client::scan::Rules;
use photosync_protocol::format::keys::LEAST_COST;
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub const PASSWORD: &str = "four random words here";

/// Names of the files that failed.
#[derive(Default)]
pub struct Failed(pub Mutex<Vec<String>>);

impl Report for Failed {
    fn event(&self, event: &Event) {
        if let Event::FileFailed { path, .. } = event {
            self.0.lock().unwrap().push(path.clone());
        }
    }
}

pub struct Computer {
    pub home: PathBuf,
    pub profile: Profile,
    pub place: PathBuf,
}

impl Computer {
    pub fn new(disk: &Path, name: &str) -> Self {
        let home = disk.join(name);
        fs::create_dir_all(home.join("photos")).unwrap();
        Self { profile: Profile::at(home.join("profile")), place: disk.join("sealed"), home }
    }

    pub fn store(&self) -> Store {
        Store::folder(&self.place)
    }

    pub fn photos(&self) -> PathBuf {
        self.home.join("photos")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.photos().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    }

    pub async fn begin(&self) -> Zeroizing<String> {
        self.begin_with(|_, _| Ok(())).await.unwrap().words
    }

    pub async fn begin_with(
        &self,
        make_known: impl FnOnce(&str, &Kit) -> Result<(), Error>,
    ) -> Result<keys::Begun, Error> {
        let password = secret(PASSWORD);
        keys::begin(&self.store(), &self.profile, password, LEAST_COST, make_known).await
    }

    pub async fn unlock(&self) -> Result<Space, Error> {
        keys::unlock(&self.store(), &self.profile, secret(PASSWORD)).await
    }

    pub async fn open(&self, report: Arc<dyn Report>) -> Relay {
        let stop = CancellationToken::new();
        Relay::open(Arc::new(self.store()), &self.profile, report, stop).await.unwrap()
    }

    pub async fn backup(&self) -> Result<BackupSummary, Error> {
        let mut relay = self.open(Arc::new(Failed::default())).await;
        let options = backup::Options {
            paths: vec![self.photos()],
            rules: Rules::new(&[], false).unwrap(),
            parallel: 3,
            limit: None,
        };
        backup::run(&mut relay, &options).await
    }

    /// Restores into a new folder; what came back, and the names of what did not.
    pub async fn restore(&self) -> (RestoreSummary, BTreeMap<String, Vec<u8>>, Vec<String>) {
        let report = Arc::new(Failed::default());
        let mut relay = self.open(report.clone()).await;
        let folder = tempfile::tempdir_in(&self.home).unwrap();
        let options = Options { folder: folder.path().join("back"), ..restore_options() };
        let summary = restore(&mut relay, &options).await.unwrap();
        let mut failed = std::mem::take(&mut *report.0.lock().unwrap());
        failed.sort();
        (summary, read_tree(&options.folder), failed)
    }
}

pub fn restore_options() -> Options {
    Options { folder: PathBuf::new(), parallel: 3, limit: None, device: None }
}

pub fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

pub fn read_tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Bytes that do not repeat.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn fill(computer: &Computer) {
    computer.write("2024/big.mov", &noise(1, (9 << 20) + 17));
    computer.write("2024/IMG_0001.JPG", &noise(2, 300_000));
    computer.write("copy/IMG_0001.JPG", &noise(2, 300_000));
    computer.write("copy/again 👪.jpg", &noise(2, 300_000));
    computer.write("2023/IMG_0001.JPG", &noise(3, 20_000));
    computer.write("one byte", b"x");
}

pub fn objects(place: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = read_tree(place).keys().map(|name| place.join(name)).collect();
    files.sort();
    files
}

pub fn of_kind(place: &Path, kind: &str) -> Vec<PathBuf> {
    objects(&place.join(kind))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_comes_back_and_an_unchanged_tree_is_left_alone() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    fill(&computer);
    let first = computer.backup().await.unwrap();
    assert!(first.complete && first.sent_files == 6, "{first:?}");
    let before = objects(&computer.place);
    let again = computer.backup().await.unwrap();
    assert!(again.complete && again.sent_files + again.held_files == 0, "{again:?}");
    assert_eq!(objects(&computer.place), before, "an unchanged backup writes nothing");

    let (summary, files, failed) = computer.restore().await;
    assert_eq!((summary.restored_files, failed), (6, vec![]));
    assert_eq!(files, read_tree(&computer.photos()));
    // Equal bytes are sealed once: three pieces of the video and one each of three different files.
    assert_eq!(of_kind(&computer.place, "chunks").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flat_folder_without_index_or_keyring_and_the_words_give_everything_back() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    let words = computer.begin().await;
    fill(&computer);
    computer.backup().await.unwrap();
    let found = Computer { place: disk.path().join("found"), ..Computer::new(disk.path(), "b") };
    fs::create_dir(&found.place).unwrap();
    for kind in ["chunks", "manifests"] {
        for object in of_kind(&computer.place, kind) {
            fs::copy(&object, found.place.join(object.file_name().unwrap())).unwrap();
        }
    }
    let wrong = words.replacen(words.split(' ').next().unwrap(), "zebra", 1);
    let (store, new) = (found.store(), secret("another password"));
    let refused = keys::recover(&store, &found.profile, &wrong, new.clone(), LEAST_COST).await;
    assert_eq!(refused.err().unwrap().code, "wrong_secret");
    keys::recover(&store, &found.profile, &words, new.clone(), LEAST_COST).await.unwrap();
    let (summary, files, failed) = found.restore().await;
    assert_eq!((summary.restored_files, failed), (6, vec![]));
    assert_eq!(files, read_tree(&computer.photos()));
    // The new password opens it on a third computer.
    let third = Computer { place: found.place.clone(), ..Computer::new(disk.path(), "c") };
    keys::unlock(&third.store(), &third.profile, new).await.unwrap();
    assert_eq!(third.restore().await.1.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_any_one_object_costs_only_the_photos_that_use_it_each_named() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    let words = computer.begin().await;
    fill(&computer);
    computer.backup().await.unwrap();
    let (whole, sealed) = (read_tree(&computer.photos()), read_tree(&computer.place));
    for name in sealed.keys() {
        // A computer that knows nothing of how it was, and a place with one flipped bit.
        let other = Computer::new(disk.path(), "other");
        let other = Computer { place: other.home.join("sealed"), ..other };
        for (name_of_copy, bytes) in &sealed {
            let path = other.place.join(name_of_copy);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= u8::from(name_of_copy == name);
            fs::write(path, bytes).unwrap();
        }
        if name.starts_with("keyrings") {
            assert!(other.unlock().await.is_err());
            fs::remove_dir_all(other.place.join("keyrings")).unwrap();
            let (store, password) = (other.store(), secret(PASSWORD));
            keys::recover(&store, &other.profile, &words, password, LEAST_COST).await.unwrap();
        } else {
            other.unlock().await.unwrap();
        }
        let (summary, files, failed) = other.restore().await;
        // A segment repeats what manifests say, and the other way round: only chunks are there once.
        let lost = 6 - files.len();
        assert_eq!(lost > 0, name.starts_with("chunks"), "{name}: {failed:?}");
        assert!(lost <= 3 && failed.len() >= lost, "{name}: {failed:?}");
        assert_eq!(summary.restored_files, files.len() as u64);
        for (name, content) in &files {
            assert_eq!(whole.get(name), Some(content), "{name}");
            assert!(!failed.contains(name), "{name}");
        }
        fs::remove_dir_all(&other.home).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_has_seen_cannot_be_taken_back_unnoticed() {
    let disk = tempfile::tempdir().unwrap();
    let (one, two) = (Computer::new(disk.path(), "a"), Computer::new(disk.path(), "b"));
    one.begin().await;
    one.write("first.jpg", b"first");
    one.backup().await.unwrap();
    let old = of_kind(&one.place, "segments");
    one.write("second.jpg", b"second");
    one.backup().await.unwrap();
    two.unlock().await.unwrap();
    two.write("third.jpg", b"third");
    two.backup().await.unwrap();
    let segments = of_kind(&one.place, "segments");
    assert_eq!(segments.len(), 3);
    let newest_of_one = segments.iter().find(|segment| {
        let name = segment.file_name().unwrap().to_str().unwrap();
        !old.contains(segment) && two_names_no(&two, name)
    });
    let newest_of_one = newest_of_one.unwrap();
    let kept = fs::read(newest_of_one).unwrap();
    fs::remove_file(newest_of_one).unwrap();
    for computer in [&one, &two] {
        let refused = computer.backup().await.unwrap_err();
        assert_eq!(refused.code, "rolled_back", "{refused}");
    }
    // Somebody who never saw it learns of it from the segment of the second computer.
    let three = Computer::new(disk.path(), "c");
    three.unlock().await.unwrap();
    assert_eq!(three.backup().await.unwrap_err().code, "rolled_back");
    fs::write(newest_of_one, kept).unwrap();
    one.backup().await.unwrap();
    assert_eq!(one.restore().await.1.len(), 3);
}

/// Whether a segment is not the newest one of that computer's own chain.
fn two_names_no(computer: &Computer, id: &str) -> bool {
    let space = Space::find(&computer.profile, &computer.store().name()).unwrap().unwrap();
    space.chains.head(space.writer).unwrap().id.to_string() != id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_computer_reads_and_adds_nothing_after_the_keys_were_changed() {
    let disk = tempfile::tempdir().unwrap();
    let (mine, stolen) = (Computer::new(disk.path(), "a"), Computer::new(disk.path(), "b"));
    let words = mine.begin().await;
    stolen.unlock().await.unwrap();
    stolen.write("before.jpg", b"before");
    stolen.backup().await.unwrap();
    let keyring = of_kind(&mine.place, "keyrings").remove(0);
    let old_keyring = fs::read(&keyring).unwrap();

    let mut relay = mine.open(Arc::new(Failed::default())).await;
    assert_eq!(relay.rotate(secret(PASSWORD), &mine.profile).await.unwrap(), 2);
    mine.write("after.jpg", b"after");
    mine.backup().await.unwrap();
    assert_eq!(stolen.backup().await.unwrap_err().code, "new_epoch");

    // The thief puts the old keyring back, so that his program goes on, and removes what it cannot open.
    let newer: Vec<_> =
        of_kind(&mine.place, "keyrings").into_iter().filter(|path| *path != keyring).collect();
    let kept: Vec<_> = newer.iter().map(|path| fs::read(path).unwrap()).collect();
    newer.iter().for_each(|path| fs::remove_file(path).unwrap());
    let hidden: Vec<_> = of_kind(&mine.place, "segments")
        .into_iter()
        .filter(|path| fs::read(path).unwrap()[8] == 2)
        .map(|path| (fs::read(&path).unwrap(), fs::remove_file(&path).unwrap(), path))
        .collect();
    assert_eq!(fs::read(&keyring).unwrap(), old_keyring);
    stolen.write("planted.jpg", b"planted");
    stolen.backup().await.unwrap();
    for (bytes, (), path) in hidden {
        fs::write(path, bytes).unwrap();
    }
    for (path, bytes) in newer.iter().zip(kept) {
        fs::write(path, bytes).unwrap();
    }
    mine.backup().await.unwrap();
    let mut relay = mine.open(Arc::new(Failed::default())).await;
    let verified = verify(&mut relay, true).await.unwrap();
    assert_eq!((verified.files, verified.lost_files), (2, 0), "the planted one is not listed");

    // Had it been an honest computer that did not know yet, its owner would type the words, and nothing is lost.
    let (store, password) = (stolen.store(), secret(PASSWORD));
    keys::recover(&store, &stolen.profile, &words, password, LEAST_COST).await.unwrap();
    assert_eq!(stolen.backup().await.unwrap().sent_files, 1);
    assert_eq!(mine.restore().await.1.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_touches_no_photo_and_the_old_one_is_out() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    computer.write("a.jpg", b"a");
    computer.backup().await.unwrap();
    let before = objects(&computer.place);
    let mut relay = computer.open(Arc::new(Failed::default())).await;
    let (old, new) = (secret(PASSWORD), secret("a better password"));
    let wrong = secret("not the password");
    let refused =
        relay.change_password(wrong, new.clone(), LEAST_COST, &computer.profile).await.unwrap_err();
    assert_eq!(refused.code, "wrong_secret");
    relay.change_password(old, new.clone(), LEAST_COST, &computer.profile).await.unwrap();
    let written: Vec<_> =
        objects(&computer.place).into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(written.len(), 1);
    assert!(fs::metadata(&written[0]).unwrap().len() < 4096);
    let other = Computer::new(disk.path(), "b");
    assert_eq!(other.unlock().await.err().unwrap().code, "wrong_secret");
    keys::unlock(&other.store(), &other.profile, new).await.unwrap();
    assert_eq!(other.restore().await.1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_was_sealed_can_be_found_in_the_place() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    let words = computer.begin().await;
    let marks = [
        "MARKED-PIXELS",
        "Marked Name",
        "MarkedFolder",
        "2011-03-04T05:06:07",
        "48.8583701",
        "Marked Person",
    ];
    let folder = "MarkedFolder";
    computer.write(&format!("{folder}/Marked Name.jpg"), marks.join("|").repeat(2000).as_bytes());
    let sidecar = r#"{"title":"Marked Name.jpg","photoTakenTime":{"timestamp":"1299215167"},
        "geoData":{"latitude":48.8583701,"longitude":2.2944813},"people":[{"name":"Marked Person"}],"favorited":true}"#;
    computer.write(&format!("{folder}/Marked Name.jpg.json"), sidecar.as_bytes());
    computer.backup().await.unwrap();
    let digest = photosync_protocol::format::object::id_of(
        &fs::read(computer.photos().join(folder).join("Marked Name.jpg")).unwrap(),
    );
    let mut hidden: Vec<Vec<u8>> = marks.iter().map(|mark| mark.as_bytes().to_vec()).collect();
    hidden.extend([b"1299215167".to_vec(), digest.0.to_vec(), digest.to_string().into_bytes()]);
    hidden.extend([PASSWORD.as_bytes().to_vec(), words.as_bytes().to_vec(), b"jpg".to_vec()]);
    for object in objects(&computer.place) {
        let name = object.to_string_lossy().into_owned().into_bytes();
        let bytes = fs::read(&object).unwrap();
        for mark in &hidden {
            for text in [&bytes, &name] {
                // Three letters may turn up by chance among random bytes; longer ones do not.
                let is_there = text.windows(mark.len()).any(|window| window == mark.as_slice());
                assert!(!is_there || mark.len() < 4, "{mark:?} in {}", object.display());
            }
        }
        // Sizes fall into buckets: no object is exactly as long as what it holds.
        assert!(bytes.len() >= 1024);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_is_gone_is_found_and_sealed_again() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    fill(&computer);
    computer.backup().await.unwrap();
    let chunk = of_kind(&computer.place, "chunks").remove(0);
    fs::remove_file(&chunk).unwrap();
    let report = Arc::new(Failed::default());
    let mut relay = computer.open(report.clone()).await;
    let verified = verify(&mut relay, false).await.unwrap();
    assert!(verified.lost_files > 0);
    assert_eq!(report.0.lock().unwrap().len() as u64, verified.lost_files);
    assert!(computer.backup().await.unwrap().complete);
    assert!(chunk.exists(), "the same piece has the same name");
    let mut relay = computer.open(Arc::new(Failed::default())).await;
    assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_piece_is_found_by_reading_and_sealed_again() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    fill(&computer);
    computer.backup().await.unwrap();
    for kind in ["chunks", "manifests"] {
        let object = of_kind(&computer.place, kind).remove(0);
        let good = fs::read(&object).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&object, bad).unwrap();
        let mut relay = computer.open(Arc::new(Failed::default())).await;
        assert!(verify(&mut relay, true).await.unwrap().lost_files > 0, "{kind}");
        assert!(computer.backup().await.unwrap().complete, "{kind}");
        assert_eq!(fs::read(&object).unwrap(), good, "{kind}");
        let mut relay = computer.open(Arc::new(Failed::default())).await;
        assert_eq!(verify(&mut relay, true).await.unwrap().lost_files, 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_and_lists_nothing_twice() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    fill(&computer);
    struct StopAt(CancellationToken, Mutex<u32>, u32);
    impl Report for StopAt {
        fn event(&self, event: &Event) {
            if let Event::Progress(progress) = event
                && progress.files_done > 0
            {
                *self.1.lock().unwrap() += 1;
            }
            if matches!(event, Event::Scanned { .. }) && self.2 == 0 {
                self.0.cancel();
            }
        }
    }
    let stop = CancellationToken::new();
    let report = Arc::new(StopAt(stop.clone(), Mutex::new(0), 0));
    let mut relay =
        Relay::open(Arc::new(computer.store()), &computer.profile, report, stop).await.unwrap();
    let options = backup::Options {
        paths: vec![computer.photos()],
        rules: Rules::new(&[], false).unwrap(),
        parallel: 1,
        limit: None,
    };
    assert_eq!(backup::run(&mut relay, &options).await.unwrap_err().code, "interrupted");
    // A crash between the index and this computer's own note of it: it learns of its segment like anybody else.
    assert!(computer.backup().await.unwrap().complete);
    let cache: Vec<_> = read_tree(&computer.home.join("profile")).into_keys().collect();
    for name in cache.iter().filter(|name| name.contains("cache.db")) {
        fs::remove_file(computer.home.join("profile").join(name)).unwrap();
    }
    let again = computer.backup().await.unwrap();
    assert_eq!((again.sent_files, again.held_files), (0, 6), "{again:?}");
    assert_eq!(of_kind(&computer.place, "segments").len(), 1);
    assert_eq!(computer.restore().await.1, read_tree(&computer.photos()));
}
