//! One life of a sealed backup, step by step as a person types it, each step against the server.

use super::{CHEAP, Home, SECRET};
use crate::places::{require_equal, tree, write_tree};
use crate::stand::{noise, write_old};

/// The second password.
const NEW: &str = "quite another password";
/// The one that is set with the words.
const LAST: &str = "the last of the passwords";

#[test]
fn what_was_sealed_on_the_real_server_comes_back_through_every_change_of_keys() {
    let home = Home::new();
    let desk = home.computer("desk");
    let words = desk.begin(&[]);
    assert_eq!(desk.refused(&["init"], &[SECRET]), "exists");
    write_tree(&desk.photos);
    let files = tree(&desk.photos).len() as u64;
    let first = desk.backup(&[]);
    assert_eq!((&first["sent_files"], &first["complete"]), (&files.into(), &true.into()));

    let sealed = home.objects();
    let again = desk.backup(&[]);
    assert_eq!((&again["sent_bytes"], &again["complete"]), (&0.into(), &true.into()), "{again}");
    assert_eq!((&again["sent_files"], &again["held_files"]), (&0.into(), &0.into()), "{again}");
    assert!(home.objects() == sealed, "an unchanged backup changes nothing on the server");
    let verified = desk.relay(&["verify", "--read"], &[]);
    assert_eq!((&verified["files"], &verified["lost_files"]), (&files.into(), &0.into()));
    // All but the index and the keyring.
    assert_eq!(verified["objects"], sealed.len() as u64 - 2, "{verified}");
    assert_eq!(verified["read"], verified["objects"], "{verified}");

    let laptop = home.computer("laptop");
    assert_eq!(laptop.refused(&["restore", "nowhere"], &[]), "locked");
    assert_eq!(laptop.refused(&["unlock"], &["not the password"]), "wrong_secret");
    laptop.relay(&["unlock"], &[SECRET]);
    require_equal(&desk.photos, &laptop.restore(&[], "back"));

    desk.relay(&[&["passwd"][..], &CHEAP].concat(), &[SECRET, NEW]);
    let changed = home.objects().into_keys().filter(|name| !sealed.contains_key(name)).count();
    assert_eq!(changed, 1, "a new password is one object");
    let tablet = home.computer("tablet");
    assert_eq!(tablet.refused(&["unlock"], &[SECRET]), "wrong_secret");
    tablet.relay(&["unlock"], &[NEW]);
    require_equal(&desk.photos, &tablet.restore(&[], "back"));

    desk.relay(&["rotate"], &[NEW]);
    write_old(&laptop.photos.join("laptop/new.jpg"), &noise(70_000, 77), 5);
    let photos = laptop.photos.to_str().unwrap();
    assert_eq!(laptop.refused(&["backup", photos], &[]), "new_epoch");
    laptop.relay(&["unlock"], &[NEW]);
    assert_eq!(laptop.backup(&[])["sent_files"], 1);
    assert_eq!(desk.backup(&[])["sent_files"], 0, "what the old keys sealed still counts");

    let found = home.computer("found");
    let mut wrong: Vec<&str> = words.split(' ').collect();
    wrong.swap(0, 1);
    let recover = [&["recover"][..], &CHEAP].concat();
    assert_eq!(found.refused(&recover, &[&wrong.join(" "), LAST]), "wrong_secret");
    found.relay(&recover, &[&words.to_uppercase(), LAST]);
    let back = found.restore(&[], "back");
    let both = home.folder.path().join("both");
    super::copy_tree(&desk.photos, &both);
    super::copy_tree(&laptop.photos, &both);
    let (was, is) = (tree(&both), tree(&back));
    assert_eq!(was.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>());
    for (path, (bytes, modified_ms)) in &is {
        let of = if path.starts_with("laptop") { &laptop } else { &desk };
        let (source, wanted_ms) = &tree(&of.photos)[path];
        assert!(bytes == source && modified_ms == wanted_ms, "{}", path.display());
    }
    assert_eq!(tablet.refused(&["unlock"], &[NEW]), "wrong_secret", "the words end the old one");
    tablet.relay(&["unlock"], &[LAST]);
    let verified = tablet.relay(&["verify", "--read"], &[]);
    let all = files + 1;
    assert_eq!((&verified["files"], &verified["lost_files"]), (&all.into(), &0.into()));
}
