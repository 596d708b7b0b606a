//! Computers and the real server: every path that a computer backed up comes back to it, whoever sent the bytes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::places::{require_equal, tree, write_tree};
use crate::real::{Server, binary, last_event, login, run, spawn, start};
use crate::stand::{noise, write_old};

/// A server and a folder for its computers.
struct Home {
    folder: tempfile::TempDir,
    server: Server,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&binary(), &folder.path().join("data"));
        Self { folder, server }
    }

    fn computer(&self, name: &str) -> Computer {
        let at = self.folder.path().join(name);
        let computer = Computer { profile: at.join("profile"), photos: at.join("photos"), at };
        fs::create_dir_all(&computer.photos).unwrap();
        login(&self.server, &computer.profile);
        computer
    }

    /// Requests answered so far, of all routes.
    fn requests(&self) -> u64 {
        let mut socket = TcpStream::connect(&self.server.metrics).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let counts = text.lines().filter(|line| line.contains("http_requests_total{"));
        let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        counts.map(count).sum()
    }
}

struct Computer {
    at: PathBuf,
    profile: PathBuf,
    photos: PathBuf,
}

impl Computer {
    fn backup(&self) -> Value {
        let output = run(&self.profile, &["backup", "--json", self.photos.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        last_event(&output)
    }

    fn id(&self) -> String {
        let credentials = fs::read(self.profile.join("credentials.json")).unwrap();
        let credentials: Value = serde_json::from_slice(&credentials).unwrap();
        credentials["device_id"].as_str().unwrap().to_owned()
    }

    fn restore(&self, into: &str) -> PathBuf {
        let back = self.at.join(into);
        let output = run(&self.profile, &["restore", "--json", back.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        back
    }
}

#[test]
fn a_tree_with_equal_files_comes_back_whole_and_a_second_backup_is_one_request() {
    let home = Home::new();
    let desk = home.computer("desk");
    write_tree(&desk.photos);
    let first = desk.backup();
    assert_eq!((&first["files"], &first["sent_files"]), (&9.into(), &4.into()), "{first}");
    let before = home.requests();
    let again = desk.backup();
    assert_eq!((&again["sent_bytes"], &again["complete"]), (&0.into(), &true.into()), "{again}");
    assert_eq!(home.requests() - before, 1);
    let back = desk.restore("back");
    require_equal(&desk.photos, &back);
    desk.restore("back");
    require_equal(&desk.photos, &back);
}

#[test]
fn a_second_computer_with_the_same_photos_elsewhere_gets_its_own_folders_back() {
    let home = Home::new();
    let (desk, laptop) = (home.computer("desk"), home.computer("laptop"));
    let photos: Vec<Vec<u8>> = (0..5).map(|seed| noise(3000, seed + 50)).collect();
    for (number, bytes) in photos.iter().enumerate() {
        let age_s = number as u64 * 10;
        write_old(&desk.photos.join(format!("2024/{number}.jpg")), bytes, age_s);
        write_old(&laptop.photos.join(format!("🏔 Alpen/Bild {number}.jpg")), bytes, age_s + 500);
        write_old(&laptop.photos.join(format!("all/{number}.jpg")), bytes, age_s + 900);
    }
    write_old(&laptop.photos.join("only here.jpg"), b"only here", 7);
    assert_eq!(desk.backup()["sent_files"], 5);
    let summary = laptop.backup();
    assert_eq!((&summary["sent_files"], &summary["held_files"]), (&1.into(), &10.into()));
    let before = home.requests();
    assert_eq!(laptop.backup()["complete"], true);
    assert_eq!(home.requests() - before, 1);
    let theirs = tree(&laptop.restore("back"));
    assert_eq!(theirs, tree(&laptop.photos), "its own folders");
    // What another computer alone has comes back, too, under that one's path.
    let back = desk.restore("back");
    fs::remove_file(back.join("only here.jpg")).unwrap();
    require_equal(&desk.photos, &back);
    // A new computer has said nothing: it gets the folders of the first one that told paths, or of the one it names.
    let new = home.computer("new");
    let back = new.restore("back");
    fs::remove_file(back.join("only here.jpg")).unwrap();
    require_equal(&desk.photos, &back);
    let back = new.at.join("as the laptop");
    let arguments = ["restore", "--device", &laptop.id(), back.to_str().unwrap()];
    let output = run(&new.profile, &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    require_equal(&laptop.photos, &back);
    let nobody = ["restore", "--device", "no such computer", back.to_str().unwrap()];
    assert_ne!(run(&new.profile, &nobody).status.code(), Some(0));
}

/// Ends a backup without warning at the `count`th event of this name; true if it came to its end before.
fn backup_until(computer: &Computer, event: &str, count: usize) -> bool {
    let arguments = ["backup", "--json", "--parallel", "2", computer.photos.to_str().unwrap()];
    let mut child = spawn(&computer.profile, &arguments);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_it = |line: &String| line.contains(&format!("\"{event}\""));
    let seen = lines.map_while(Result::ok).filter(is_it).take(count).count();
    if seen == count {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    seen < count && status.success()
}

#[test]
fn a_backup_that_is_killed_again_and_again_loses_no_place() {
    let home = Home::new();
    let desk = home.computer("desk");
    for number in 0..12_u64 {
        for (folder, age_s) in [("a", 0), ("b", 40), ("c/d", 80)] {
            let path = desk.photos.join(format!("{folder}/{number}.jpg"));
            write_old(&path, &noise(2000, number + 70), age_s + number);
        }
    }
    write_tree(&desk.photos.join("more"));
    let mut kills = 0;
    while !backup_until(&desk, "file_done", 2 + kills % 4) {
        kills += 1;
        assert!(kills < 60, "no end of it");
    }
    assert!(kills > 2, "it was killed {kills} times only");
    assert_eq!(desk.backup()["complete"], true);
    require_equal(&desk.photos, &desk.restore("back"));
    if cfg!(unix) {
        // Sorted into other folders, and killed again.
        fs::create_dir(desk.photos.join("sorted")).unwrap();
        for (from, to) in [("c/d", "sorted/🏖 Meer"), ("a", "sorted/a"), ("more/films", "films")]
        {
            fs::rename(desk.photos.join(from), desk.photos.join(to)).unwrap();
        }
        fs::remove_dir(desk.photos.join("c")).unwrap();
        // After the look at the folders, while reading, when the server was asked, and in the middle of telling.
        for (event, count) in [("scanned", 1), ("progress", 1), ("file_done", 1), ("progress", 2)] {
            backup_until(&desk, event, count);
        }
        assert_eq!(desk.backup()["complete"], true);
        require_equal(&desk.photos, &desk.restore("back when sorted"));
    }
}

/// A restore that is stopped goes on, and a copy is never left half.
#[test]
fn a_restore_that_is_killed_again_and_again_ends_with_every_path() {
    let home = Home::new();
    let desk = home.computer("desk");
    write_tree(&desk.photos);
    for number in 0..10_u64 {
        for folder in ["n", "m"] {
            let path = desk.photos.join(format!("{folder}/{number}.jpg"));
            write_old(&path, &noise(200_000, number + 90), number);
        }
    }
    desk.backup();
    let back = desk.at.join("back");
    let arguments = ["restore", "--json", back.to_str().unwrap()];
    for files in 1..8 {
        let mut child = spawn(&desk.profile, &arguments);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_new = |line: &String| line.contains("\"restored\"");
        let restored = lines.map_while(Result::ok).filter(is_new).take(files).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(restored <= files);
        require_whole_files(&desk.photos, &back);
    }
    require_equal(&desk.photos, &desk.restore("back"));
}

/// What has a name is whole, whenever the run ended.
fn require_whole_files(photos: &Path, back: &Path) {
    let all = tree(photos);
    for (path, file) in tree(back) {
        let is_partial = path.extension().is_some_and(|extension| extension == "part");
        assert!(is_partial || all.get(&path) == Some(&file), "{}", path.display());
    }
}
