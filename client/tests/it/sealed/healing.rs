//! Bits that turn over on the server's disk: all are found in one time through everything that is stored, and the owner's
//! next backup puts every one of them right.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use super::{Home, name_of};
use crate::places::require_equal;
use crate::real::{binary, files_below, last_event, run, server};
use crate::stand::{noise, write_old};
use photosync_protocol::digest::Digest;
use sha2::{Digest as _, Sha256};

/// Files, and as many sealed objects: so many bits turn over in each.
const EACH: usize = 500;

/// `photosync-server …` beside the server that runs.
fn operate(home: &Home, arguments: &[&str]) -> Output {
    server(&binary(), &home.data).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Turns one bit of each of these files over, somewhere.
fn turn_over(files: &[PathBuf]) {
    for (number, path) in files.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let dice = noise(5, number as u64 + 77);
        let place = dice[..4].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        let index = place % bytes.len();
        bytes[index] ^= 1 << (dice[4] % 8);
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_thousand_bits_that_turned_over_are_all_found_in_one_scrub_and_healed_by_the_next_backup() {
    let home = Home::new();
    let desk = home.computer("desk");
    for number in 0..EACH {
        let length = 1000 + number * 7 % 3000;
        write_old(
            &desk.photos.join(format!("{}/IMG_{number}.JPG", number % 9)),
            &noise(length, number as u64),
            5,
        );
    }
    let photos = desk.photos.to_str().unwrap();
    let backup = || {
        let output = run(&desk.profile, &["backup", "--json", photos]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        last_event(&output)
    };
    assert_eq!(backup()["sent_files"], EACH);
    desk.begin(&[]);
    assert_eq!(desk.backup(&[])["sent_files"], EACH);
    let clean = operate(&home, &["scrub"]);
    assert_eq!(clean.status.code(), Some(0), "{}", said(&clean));
    assert!(said(&clean).ends_with("; 0 are missing or damaged and asked for again"));

    let mut originals = files_below(&home.data.join("uploads"));
    originals.retain(|path| name_of(path).ends_with(".JPG"));
    assert_eq!(originals.len(), EACH);
    turn_over(&originals);
    let mut sealed = files_below(&home.sealed().join("chunks"));
    // Of every kind, from everywhere in the order of ids.
    let step = sealed.len() / EACH;
    assert!(step >= 2, "{} objects", sealed.len());
    sealed = sealed.into_iter().step_by(step).take(EACH).collect();
    turn_over(&sealed);

    let found = operate(&home, &["scrub"]);
    assert_eq!(found.status.code(), Some(3), "{}", said(&found));
    let lost = format!("; {} are missing or damaged and asked for again", 2 * EACH);
    assert!(said(&found).ends_with(&lost), "{}", said(&found));
    let again = operate(&home, &["scrub"]);
    assert!(said(&again).ends_with("; 0 are missing or damaged and asked for again"), "once each");

    assert_eq!(backup()["sent_files"], EACH, "all of them are wanted again");
    desk.try_relay(&["verify"], &[]);
    desk.backup(&[]);
    let healed = operate(&home, &["check", "--read"]);
    assert_eq!(healed.status.code(), Some(0), "{}", said(&healed));
    for path in files_below(&home.sealed().join("chunks")) {
        assert_eq!(
            Digest(Sha256::digest(fs::read(&path).unwrap()).into()).to_string(),
            name_of(&path)
        );
    }
    let back = desk.at.join("back");
    let restored = run(&desk.profile, &["restore", back.to_str().unwrap()]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    require_equal(&desk.photos, &back);
    require_equal(&desk.photos, &desk.restore(&[], "unsealed"));
}
