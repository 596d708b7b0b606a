//! The drill that a sealed backup exists for: the server's database is gone, all computers are gone, and there are the 24
//! words.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{CHEAP, Home, copy_tree};
use crate::places::require_equal;
use crate::real::{self, EMAIL, binary, server};
use crate::stand::{noise, write_old};

/// Photos of the drill; a number in this variable asks for another count, as for the long one.
const VARIABLE: &str = "PHOTOSYNC_TEST_ASSETS";
const ASSETS: u64 = 1000;
const NEW: &str = "what I chose afterwards";

/// Small files in some folders; every tenth has the bytes of an earlier one, and names are as people write them.
fn write_assets(photos: &Path, count: u64) {
    for number in 0..count {
        let name = match number % 7 {
            0 => format!("Urlaub 🏝️/Familie 👨‍👩‍👧 {number}.jpg"),
            // The same letter in two ways of writing it.
            1 => format!("Été/cafe\u{301} {number}.jpg"),
            2 => format!("Été/café {number}.jpg"),
            3 => format!("a: b?/\"{number}\" \\ <x>.jpg"),
            _ => format!("{}/IMG_{:04}.JPG", 2000 + number % 20, number / 20),
        };
        let is_twin = number % 10 == 9;
        let seed = if is_twin { number - 5 } else { number };
        let length = match seed % 500 {
            17 => (4 << 20) + 1000,
            _ => 1 + usize::try_from(seed * 37 % 3000).unwrap(),
        };
        write_old(&photos.join(name), &noise(length, seed + 1), number);
    }
}

fn command(data: &Path, arguments: &[&str], lines: &str) {
    let mut command: Command = server(&binary(), data);
    let mut child = command.args(arguments).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn without_database_and_computers_the_24_words_bring_back_every_photo() {
    let count = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(ASSETS);
    let mut home = Home::new();
    let desk = home.computer("desk");
    let words = desk.begin(&[]);
    let mut times = Vec::new();
    let mut step = |name: &'static str, work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        times.push(format!("{name} {:.1} s", began.elapsed().as_secs_f64()));
    };
    step("written in", &mut || write_assets(&desk.photos, count));
    step("sealed in", &mut || assert_eq!(desk.backup(&[])["sent_files"], count));
    home.stop();

    for entry in fs::read_dir(&home.data).unwrap() {
        let path = entry.unwrap().path();
        if super::name_of(&path).starts_with("photosync.db") {
            fs::remove_file(path).unwrap();
        }
    }
    step("rebuilt in", &mut || command(&home.data, &["rebuild"], ""));
    let twice = format!("{0}\n{0}\n", real::PASSWORD);
    command(&home.data, &["user", "passwd", EMAIL], &twice);
    let data = home.data.clone();
    home.start_on(&data);
    let new = home.computer("new");
    let recover = [&["recover"][..], &CHEAP].concat();
    new.relay(&recover, &[&words, NEW]);
    step("restored from the server in", &mut || {
        require_equal(&desk.photos, &new.restore(&[], "back"));
    });
    step("read back in", &mut || {
        let verified = new.relay(&["verify", "--read"], &[]);
        assert_eq!((&verified["files"], &verified["lost_files"]), (&count.into(), &0.into()));
    });
    // The computer that sealed them goes on where it was.
    desk.login(&home);
    assert_eq!(desk.backup(&[])["sent_files"], 0);

    // Nothing but what the server kept for the account, on a disk.
    let disk = home.folder.path().join("disk");
    copy_tree(&home.sealed(), &disk);
    home.stop();
    let place = ["--from-dir", disk.to_str().unwrap()];
    let bare = home.stranger("bare");
    bare.relay(&[&place, &recover[..]].concat(), &[&words, NEW]);
    step("restored from a bare folder in", &mut || {
        require_equal(&desk.photos, &bare.restore(&place, "back"));
    });
    println!("relay: {count} photos {}", times.join(", "));
}
