//! Keyrings that a stranger put into the place, and those that were replaced: the right one is the newest that opens.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use photosync_client::connection::Connection;
use photosync_client::error::{Error, Kind};
use photosync_client::profile::Profile;
use photosync_client::relay::kit::Kit;
use photosync_client::relay::{Relay, Space, Store, backup, keys, verify};
use photosync_client::report::{Quiet, Report};
use photosync_client::scan::Rules;
use photosync_protocol::crypto::{Key, SALT_BYTES};
use photosync_protocol::digest::Digest;
use photosync_protocol::format::keyring::{Contents, Epoch, Keyring, PasswordLock, recovery_lock};
use photosync_protocol::format::keys::{LEAST_COST, MasterKey, RecoveryKey};
use photosync_protocol::format::object::recovery_wrap;

use reqwest::Method;
use tokio_util::sync::CancellationToken;

use crate::real::{binary, login, start};
use crate::relay::{Computer, Failed, PASSWORD, of_kind, secret};

/// A keyring of another sealed backup with this number, as somebody who can write to the place puts it there.
fn plant(computer: &Computer, sequence: u64, epochs: u32, password: &str) -> PathBuf {
    // It looks as if it were ours: it has the wrap that every object of ours carries.
    let ours = of_kind(&computer.place, "keyrings").first().map(|path| fs::read(path).unwrap());
    let (id, object) = foreign(ours.as_deref(), sequence, epochs, password);
    let path = computer.place.join("keyrings").join(id.to_string());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, object).unwrap();
    path
}

fn foreign(ours: Option<&[u8]>, sequence: u64, epochs: u32, password: &str) -> (Digest, Vec<u8>) {
    let (master, words) = (MasterKey(Key::new([7; 32])), RecoveryKey(Key::new([8; 32])));
    let lock = PasswordLock::new(&master, password, LEAST_COST, [9; SALT_BYTES], &[1; 24]).unwrap();
    let wrap = ours.map(|object| recovery_wrap(object).unwrap());
    let epoch = |epoch| Epoch { epoch, began_at_ms: 0, closed: vec![] };
    let keyring = Keyring {
        sequence,
        recovery_wrap: wrap.unwrap_or_else(|| recovery_lock(&master, &words, &[2; 24])),
        master,
        contents: Contents { epochs: (1..=epochs).map(epoch).collect() },
    };
    keyring.seal(&lock).unwrap()
}

fn space_of(computer: &Computer) -> Space {
    Space::find(&computer.profile, &computer.store().name()).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_keyring_with_a_higher_number_shadows_nothing_and_is_kept() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let words = mine.begin().await;
    mine.write("a.jpg", b"a");
    mine.backup().await.unwrap();
    let planted = plant(&mine, 99, 2, "a stranger's password");

    // By the password, on another computer; it is told of the other keyring.
    let two = Computer::new(disk.path(), "b");
    let space = two.unlock().await.unwrap();
    assert_eq!((space.keyring_sequence, space.foreign.len()), (1, 1));
    assert_eq!(two.restore().await.1.len(), 1);
    // By the words, on a third one.
    let (three, new) = (Computer::new(disk.path(), "c"), secret("another password"));
    let store = three.store();
    keys::recover(&store, &three.profile, &words, new.clone(), LEAST_COST).await.unwrap();
    assert_eq!(three.restore().await.1.len(), 1);
    // By the keys, on the first one: it looks new at first, and after unlocking it never counts again.
    mine.write("b.jpg", b"b");
    assert_eq!(mine.backup().await.unwrap_err().code, "new_epoch");
    let (store, password) = (mine.store(), new.clone());
    keys::unlock(&store, &mine.profile, password).await.unwrap();
    assert!(mine.backup().await.unwrap().complete);

    // Changing the password and the epoch goes on from the right one.
    let mut relay = mine.open(Arc::new(Failed::default())).await;
    let newer = secret("a third password");
    relay.change_password(new.clone(), newer.clone(), LEAST_COST, &mine.profile).await.unwrap();
    assert_eq!(relay.rotate(newer.clone(), &mine.profile).await.unwrap(), 2);
    assert_eq!(space_of(&mine).keyring_sequence, 4);
    let refused = keys::unlock(&two.store(), &two.profile, new).await.err().unwrap();
    assert_eq!(refused.code, "wrong_secret");
    assert!(refused.message.contains("replaced by a newer one"), "{refused}");
    keys::unlock(&two.store(), &two.profile, newer).await.unwrap();
    assert_eq!(two.restore().await.1.len(), 2);
    assert!(planted.exists(), "nothing of anybody is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_costs_a_fortune_or_is_damaged_is_not_tried_before_the_right_one() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    let good = of_kind(&mine.place, "keyrings").remove(0);
    let mut dear = fs::read(&good).unwrap();
    // Passes and memory stand behind magic, epoch and number: 32 passes over 4 GiB, and number 9.
    dear[12] = 9;
    dear[20..24].copy_from_slice(&32u32.to_le_bytes());
    dear[24..28].copy_from_slice(&(4u32 << 20).to_le_bytes());
    for object in [dear, b"PSYNC2K\nno keyring at all".to_vec()] {
        let id = photosync_protocol::format::object::id_of(&object);
        fs::write(mine.place.join("keyrings").join(id.to_string()), object).unwrap();
    }
    let two = Computer::new(disk.path(), "b");
    let space = two.unlock().await.unwrap();
    assert_eq!((space.keyring_sequence, space.foreign.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_where_only_a_strangers_keyring_is_left_is_refused_and_the_words_still_open_it() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let words = mine.begin().await;
    mine.write("a.jpg", b"a");
    mine.backup().await.unwrap();
    let planted = plant(&mine, 5, 1, PASSWORD);
    for keyring in of_kind(&mine.place, "keyrings").iter().filter(|path| **path != planted) {
        fs::remove_file(keyring).unwrap();
    }
    // The stranger even knows the password: what it opens is still not what this computer knows.
    let refused = mine.unlock().await.err().unwrap();
    assert_eq!(refused.code, "other_relay", "{refused}");
    let other = secret("not that either");
    let refused = keys::unlock(&mine.store(), &mine.profile, other).await.err().unwrap();
    assert_eq!(refused.code, "gone", "{refused}");
    assert_eq!(space_of(&mine).keyring_sequence, 1);
    let (store, new) = (mine.store(), secret("another password"));
    keys::recover(&store, &mine.profile, &words, new, LEAST_COST).await.unwrap();
    let space = space_of(&mine);
    assert_eq!((space.keyring_sequence, space.foreign.len()), (2, 1));
    mine.write("b.jpg", b"b");
    assert!(mine.backup().await.unwrap().complete);
    assert_eq!(mine.restore().await.1.len(), 2);
    assert!(planted.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_keyring_put_back_is_refused_by_whoever_saw_the_newer_one() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    let old = of_kind(&mine.place, "keyrings").remove(0);
    let mut relay = mine.open(Arc::new(Failed::default())).await;
    let new = secret("a better password");
    relay.change_password(secret(PASSWORD), new, LEAST_COST, &mine.profile).await.unwrap();
    for keyring in of_kind(&mine.place, "keyrings").iter().filter(|path| **path != old) {
        fs::remove_file(keyring).unwrap();
    }
    assert_eq!(mine.unlock().await.err().unwrap().code, "rolled_back");
    mine.write("a.jpg", b"a");
    assert_eq!(mine.backup().await.unwrap_err().code, "rolled_back");
    assert_eq!(space_of(&mine).keyring_sequence, 2, "what was seen is not forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_emptied_is_not_begun_anew_over_the_keys_to_what_was_there() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    mine.begin().await;
    let before = space_of(&mine).writer;
    fs::remove_dir_all(&mine.place).unwrap();
    let refused = mine.begin_with(|_, _| panic!("no words are made")).await.err().unwrap();
    assert_eq!(refused.code, "emptied");
    assert!(!mine.place.exists());
    assert_eq!(space_of(&mine).writer, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_are_known_before_there_is_anything_that_they_open() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    // They could not be written down: nothing was begun, here or there.
    let full = |_: &str, _: &Kit| Err(Error::new(Kind::Storage, "no room for the words"));
    assert_eq!(mine.begin_with(full).await.err().unwrap().kind, Kind::Storage);
    assert!(!mine.place.exists());
    assert!(Space::find(&mine.profile, &mine.store().name()).unwrap().is_none());

    // They are known, and the place takes nothing: whoever has them is told what they are good for.
    let mut known = String::new();
    let refused = mine.begin_with(|words, sheet| {
        known = words.to_owned();
        assert!(words.split(' ').all(|word| sheet.text().contains(word)));
        assert!(!mine.place.exists());
        fs::create_dir(&mine.place).unwrap();
        fs::write(mine.place.join("keyrings"), "no folder").unwrap();
        Ok(())
    });
    let refused = refused.await.err().unwrap();
    assert_eq!(known.split(' ').count(), 24);
    assert!(refused.hint.contains("photosync relay init again"), "{refused}: {}", refused.hint);
    fs::remove_file(mine.place.join("keyrings")).unwrap();

    let begun = mine.begin_with(|words, _| {
        known = words.to_owned();
        Ok(())
    });
    assert_eq!(*begun.await.unwrap().words, known);
    let (two, new) = (Computer::new(disk.path(), "b"), secret("another password"));
    keys::recover(&two.store(), &two.profile, &known, new, LEAST_COST).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sheet_is_written_anew_from_words_that_open_it_and_from_no_others() {
    let disk = tempfile::tempdir().unwrap();
    let mine = Computer::new(disk.path(), "a");
    let words = mine.begin().await;
    let typed = words.to_uppercase().replace(' ', "  ");
    let sheet = Kit::of_typed(&mine.store(), &mine.profile, &typed).await.unwrap();
    sheet.write(&mine.home.join("kit.svg")).unwrap();
    let page = fs::read_to_string(mine.home.join("kit.svg")).unwrap();
    assert!(words.split(' ').all(|word| page.contains(&format!(">{word}</text>"))));
    let others = RecoveryKey(Key::new([8; 32])).words();
    for wrong in [others.as_str(), "not 24 words"] {
        let refused = Kit::of_typed(&mine.store(), &mine.profile, wrong).await.err().unwrap();
        assert_eq!(refused.code, "wrong_secret", "{refused}");
    }
    assert_eq!(of_kind(&mine.place, "keyrings").len(), 1, "nothing is changed there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_a_strangers_keyring_is_asked_for_ours_and_ours_goes_on_behind_it() {
    let disk = tempfile::tempdir().unwrap();
    let server = start(&binary(), &disk.path().join("data"));
    let at = |name: &str| disk.path().join(name);
    for profile in ["a", "b"] {
        login(&server, &at(profile));
    }
    let (report, stop): (Arc<dyn Report>, _) = (Arc::new(Quiet), CancellationToken::new());
    let connect = |name: &str| {
        let profile = Profile::at(at(name));
        let connection = Connection::signed_in(&profile, report.clone(), stop.clone()).unwrap();
        (profile, Arc::new(connection))
    };
    let (mine, connection) = connect("a");
    let store = Store::remote(connection.clone()).await.unwrap();
    keys::begin(&store, &mine, secret(PASSWORD), LEAST_COST, |_, _| Ok(())).await.unwrap();
    let (_, planted) = foreign(None, 2, 2, "a stranger's password");
    let put = |connection: &Connection| {
        let request = connection.request(Method::PUT, "/relay/keyring").body(planted.clone());
        let request = request.header("Content-Type", "application/octet-stream");
        request.header("PhotoSync-Sequence", "2")
    };
    connection.call(put).await.unwrap();

    // Another computer has only what the server says, and that keeps every keyring.
    let (other, second) = connect("b");
    let store = Store::remote(second).await.unwrap();
    let space = keys::unlock(&store, &other, secret(PASSWORD)).await.unwrap();
    assert_eq!((space.keyring_sequence, space.foreign.len()), (1, 1));
    let wrong = keys::unlock(&store, &other, secret("not the password")).await.err().unwrap();
    assert_eq!(wrong.code, "wrong_secret", "{wrong}");
    // It goes on with its keys, and a new password follows what the server shows.
    let store = Arc::new(store);
    let open = || Relay::open(store.clone(), &other, report.clone(), stop.clone());
    let mut relay = open().await.unwrap();
    fs::create_dir(at("photos")).unwrap();
    fs::write(at("photos").join("a.jpg"), "a").unwrap();
    let options = backup::Options {
        paths: vec![at("photos")],
        rules: Rules::new(&[], false).unwrap(),
        parallel: 2,
        limit: None,
    };
    assert!(backup::run(&mut relay, &options).await.unwrap().complete);
    let new = secret("another password");
    relay.change_password(secret(PASSWORD), new.clone(), LEAST_COST, &other).await.unwrap();
    assert_eq!(relay.space.keyring_sequence, 3);
    let store = Store::remote(connection).await.unwrap();
    let space = keys::unlock(&store, &mine, new).await.unwrap();
    assert_eq!((space.keyring_sequence, space.chains.heads().len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_that_counts_is_not_called_a_failure_for_want_of_a_copy_here() {
    let disk = tempfile::tempdir().unwrap();
    let computer = Computer::new(disk.path(), "a");
    computer.begin().await;
    computer.write("a.jpg", b"a");
    computer.backup().await.unwrap();
    let mut relay = computer.open(Arc::new(Failed::default())).await;
    // Nothing can be renamed onto a folder that is not empty.
    let copy = relay.space.cache_file().parent().unwrap().join("keyring");
    fs::remove_file(&copy).unwrap();
    fs::create_dir_all(copy.join("in the way")).unwrap();
    let (old, new) = (secret(PASSWORD), secret("a better password"));
    relay.change_password(old, new.clone(), LEAST_COST, &computer.profile).await.unwrap();
    let other = Computer::new(disk.path(), "b");
    keys::unlock(&other.store(), &other.profile, new).await.unwrap();
    assert_eq!(other.restore().await.1.len(), 1);

    fs::remove_dir_all(&copy).unwrap();
    let mut relay = computer.open(Arc::new(Failed::default())).await;
    verify(&mut relay, false).await.unwrap();
    assert!(
        of_kind(&computer.place, "keyrings")
            .iter()
            .any(|there| { fs::read(there).unwrap() == fs::read(&copy).unwrap() })
    );
}
