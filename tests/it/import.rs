//! `photosync-server import`: photos of a folder come into an account, whole, once, and whatever happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use photosync_tests::server::{CommandOutcome, find_binary, run_command};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::stand::{SOON, Stand};

const EMAIL: &str = "a@example.org";
const PASSWORD: &str = "geheim 12";

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(path, bytes).expect("a photo");
}

/// A folder as people have them: nested, with every kind of name, duplicates, a Takeout and a Live Photo.
fn photos(folder: &Path) {
    write(folder, "IMG_0001.jpg", &noise(1, 40_000));
    write(folder, "2019/Ferien am Meer/IMG_0001.jpg", &noise(2, 50_000));
    write(folder, "2019/Ferien am Meer/🏖️ Strand 日本.jpg", &noise(3, 60_000));
    write(folder, "2019/copies/the same.jpg", &noise(1, 40_000));
    write(folder, "Live/IMG_7.HEIC", &noise(4, 30_000));
    write(folder, "Live/IMG_7.MOV", &noise(5, 90_000));
    write(folder, "Takeout/Photos from 2017/old.jpg", &noise(6, 20_000));
    let sidecar =
        br#"{"title":"old.jpg","photoTakenTime":{"timestamp":"1500000000"},"favorited":true}"#;
    write(folder, "Takeout/Photos from 2017/old.jpg.supplemental-metadata.json", sidecar);
    write(folder, "2019/left out.tmp", b"nobody needs this");
}

/// Every file below a folder with its bytes, by its path there.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            found.insert(path.strip_prefix(folder).expect("below it").to_owned(), bytes);
        }
    }
    found
}

/// Digests of the originals of the one account below `data`.
fn stored(data: &Path) -> BTreeSet<Vec<u8>> {
    let Ok(accounts) = fs::read_dir(data.join("uploads")) else { return BTreeSet::new() };
    let folders =
        accounts.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    folders
        .flat_map(|folder| fs::read_dir(folder).expect("the originals"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .filter(|path| {
            !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
        .map(|path| Sha256::digest(fs::read(path).expect("an original")).to_vec())
        .collect()
}

fn digests(folder: &Path) -> BTreeSet<Vec<u8>> {
    tree(folder).values().map(|bytes| Sha256::digest(bytes).to_vec()).collect()
}

fn client(profile: &Path, words: &[&str], stdin: &str) -> Output {
    use std::io::Write;
    let program = find_binary().expect("the server").with_file_name("photosync");
    let mut command = Command::new(program);
    command.arg("--profile").arg(profile).args(words);
    command.env("PHOTOSYNC_DISCOVERY", "off").env("PHOTOSYNC_CLIENT_KEYSTORE", "off");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client");
    child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("its input");
    child.wait_with_output().expect("an end")
}

fn last_event(outcome: &CommandOutcome) -> Value {
    let last = outcome.stdout.lines().last().expect("a line");
    serde_json::from_str(last).expect("a line of JSON")
}

fn import(stand: &Stand, folder: &Path, more: &[&str]) -> CommandOutcome {
    let folder = folder.to_str().expect("a path");
    stand.command(&[&["import", folder, "--account", EMAIL], more].concat(), "")
}

#[test]
fn a_folder_comes_in_whole_with_what_is_known_of_it_and_a_second_run_does_nothing_new() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let (source, out) = (folder.path().join("photos"), folder.path().join("out"));
    photos(&source);
    let before = tree(&source);
    assert_eq!(stand.command(&["user", "add", EMAIL], &format!("{PASSWORD}\n")).code, 0);

    let looked = import(&stand, &source, &["--dry-run", "--exclude", "*.tmp", "--json"]);
    assert_eq!(
        (looked.code, last_event(&looked)["files"].as_u64()),
        (0, Some(8)),
        "{}",
        looked.stderr
    );
    assert!(stored(stand.data()).is_empty() && !stand.data().join("imports").exists());

    let first = import(&stand, &source, &["--exclude", "*.tmp", "--json"]);
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    let done = last_event(&first);
    assert_eq!(done["event"], "backup_done");
    let count = |name: &str| done[name].as_u64().unwrap_or(u64::MAX);
    // Two equal files may be on their way at once; one of them is stored.
    assert_eq!((count("files"), count("sent_files") + count("held_files")), (8, 8), "{done}");
    assert_eq!((count("failed_files"), done["complete"].as_bool()), (0, Some(true)), "{done}");
    let second = import(&stand, &source, &["--exclude", "*.tmp", "--json"]);
    let done = last_event(&second);
    assert_eq!(
        (done["sent_files"].as_u64(), done["hashed_files"].as_u64()),
        (Some(0), Some(0)),
        "{done}"
    );
    assert_eq!(tree(&source), before, "the folder is as it was");
    let mut wanted = digests(&source);
    wanted.remove(&Sha256::digest(b"nobody needs this").to_vec());
    assert_eq!(stored(stand.data()), wanted);

    // The import is signed out, and its device is there under its name.
    let profile = folder.path().join("profile");
    let url = format!("http://{}", stand.address());
    let login = client(&profile, &["login", &url, EMAIL], &format!("{PASSWORD}\n"));
    assert!(login.status.success(), "{login:?}");
    let listed = client(&profile, &["--json", "list"], "");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let rows: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let claims = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no {name} in {listed}"))["claims"].clone()
    };
    let old = claims("old.jpg");
    assert_eq!(
        (&old["captured"]["local"], &old["favourite"]),
        (&"2017-07-14T02:40:00".into(), &true.into())
    );
    assert_eq!(old["folder"], "Takeout/Photos from 2017");
    let (still, film) = (claims("IMG_7.HEIC"), claims("IMG_7.MOV"));
    assert_eq!(
        (&still["pair"]["role"], &film["pair"]["role"]),
        (&"still".into(), &"motion".into())
    );
    assert_eq!(still["pair"]["id"], film["pair"]["id"]);

    let name = client(&profile, &["--json", "status"], "");
    assert!(name.status.success(), "{name:?}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let device = format!("Import on {}", host.trim());
    let words = ["restore", out.to_str().expect("a path"), "--device", &device];
    let restored = client(&profile, &words, "");
    assert!(restored.status.success(), "{restored:?}");
    let mut wanted = before;
    wanted.remove(Path::new("2019/left out.tmp"));
    assert_eq!(tree(&out), wanted, "every path comes back, byte for byte");
    stand.require_agreement();
}

#[test]
fn what_cannot_be_imported_is_refused_before_anything_begins() {
    let stand = Stand::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(stand.command(&["user", "add", EMAIL], &format!("{PASSWORD}\n")).code, 0);
    let inside = import(&stand, &stand.uploads(), &[]);
    assert_eq!(inside.code, 64, "{}", inside.stderr);
    assert!(inside.stderr.contains("lie in each other"), "{}", inside.stderr);
    assert_eq!(import(&stand, &folder.path().join("missing"), &[]).code, 64);
    let words = ["import", folder.path().to_str().expect("a path"), "--account", "b@example.org"];
    let nobody = stand.command(&words, "");
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("b@example.org"), "{}", nobody.stderr);
    assert!(!stand.data().join("imports").exists());
}

/// The program as a person who is not root runs it, on data and photos of that person.
struct Person {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Person {
    const NUMBER: u32 = 65_534;

    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let binary = find_binary().expect("the server");
        let mut programs = binary.parent().expect("a folder").to_owned();
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
                .expect("a way in");
            programs = folder.path().join("bin");
            fs::create_dir(&programs).expect("a folder");
            for name in ["photosync-server", "photosync"] {
                fs::copy(binary.with_file_name(name), programs.join(name)).expect("a copy");
            }
            let home = folder.path().join("home");
            fs::create_dir(&home).expect("a folder");
            std::os::unix::fs::chown(home, Some(Self::NUMBER), Some(Self::NUMBER))
                .expect("an owner");
        } else {
            fs::create_dir(folder.path().join("home")).expect("a folder");
        }
        Self { folder, programs }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("photosync-server"));
        command.args(words).arg("--data").arg(self.at("data")).env_clear();
        command.env("PHOTOSYNC_DISCOVERY", "off").env("PHOTOSYNC_UPDATE_CHECK", "off");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if rustix::process::geteuid().is_root() {
            command.uid(Self::NUMBER).gid(Self::NUMBER);
        }
        command
    }

    fn add_account(&self) {
        use std::io::Write;
        let mut adding = self.command(&["user", "add", EMAIL]);
        let mut child = adding.stdin(Stdio::piped()).spawn().expect("the server");
        let line = format!("{PASSWORD}\n");
        child.stdin.take().expect("a pipe").write_all(line.as_bytes()).expect("a password");
        assert!(child.wait().expect("an end").success());
    }

    fn import(&self) -> Output {
        let source = self.at("photos");
        let words = ["import", source.to_str().expect("a path"), "--account", EMAIL];
        self.command(&words).output().expect("a command that ends")
    }

    fn own(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            let done = Command::new("chown")
                .args(["-R", &format!("{0}:{0}", Self::NUMBER)])
                .arg(path)
                .status();
            assert!(done.expect("chown").success());
        }
    }
}

#[test]
fn without_a_server_a_file_that_cannot_be_read_is_named_and_holds_no_other_up() {
    let person = Person::new();
    person.add_account();
    let source = person.at("photos");
    photos(&source);
    write(&source, "Live/shut.jpg", &noise(9, 1_000));
    person.own(&source);
    let shut = source.join("Live/shut.jpg");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).expect("a shut file");
    let output = person.import();
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{said}{told}");
    assert!(told.contains("shut.jpg") && told.contains("Permission denied"), "{told}");
    assert!(said.contains("1 NOT backed up"), "{said}");
    let mut wanted = digests_but(&source, &shut);
    assert_eq!(stored(&person.at("data")), wanted);
    assert!(!person.at("data").join("run.json").exists(), "nothing says that a server runs");

    fs::set_permissions(&shut, fs::Permissions::from_mode(0o644)).expect("an open file");
    let output = person.import();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    wanted.insert(Sha256::digest(noise(9, 1_000)).to_vec());
    assert_eq!(stored(&person.at("data")), wanted);
    let check = person.command(&["check", "--read"]).output().expect("a command that ends");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
}

fn digests_but(folder: &Path, left_out: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = tree(folder);
    found.remove(left_out.strip_prefix(folder).expect("below it"));
    found.values().map(|bytes| Sha256::digest(bytes).to_vec()).collect()
}

/// Waits until some but not all of the originals are there, then kills the import.
fn kill_in_the_middle(child: &mut Child, data: &Path, all: usize) -> usize {
    let end = Instant::now() + SOON;
    loop {
        let count = stored_names(data);
        if count > 0 {
            child.kill().expect("a process");
            child.wait().expect("an end");
            assert!(count < all, "all were there already");
            return count;
        }
        assert!(Instant::now() < end, "nothing was imported in time");
        thread::sleep(Duration::from_millis(1));
    }
}

fn stored_names(data: &Path) -> usize {
    let Ok(accounts) = fs::read_dir(data.join("uploads")) else { return 0 };
    let folders = accounts.flatten().filter_map(|entry| fs::read_dir(entry.path()).ok());
    folders
        .flat_map(|folder| folder.flatten())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".jpg"))
        .count()
}

#[test]
fn an_import_that_was_killed_is_gone_on_with_and_leaves_nobody_at_work() {
    const FILES: u64 = 120;
    for with_server in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, data) = (folder.path().join("photos"), folder.path().join("data"));
        for seed in 0..FILES {
            write(&source, &format!("{}/{seed}.jpg", seed % 7), &noise(seed + 1, 60_000));
        }
        let stand = with_server.then(|| {
            let inner = tempfile::tempdir().expect("a folder");
            Stand::start_in(inner, data.clone(), &[])
        });
        let shown = data.to_str().expect("a path").to_owned();
        let add = ["user", "add", EMAIL, "--data", &shown];
        let added = run_command(&add, format!("{PASSWORD}\n").as_bytes()).expect("an end");
        assert_eq!(added.code, 0, "{}", added.stderr);
        let words =
            ["import", source.to_str().expect("a path"), "--account", EMAIL, "--data", &shown];
        let mut command = Command::new(find_binary().expect("the server"));
        command.args(words).env("PHOTOSYNC_DISCOVERY", "off").env("PHOTOSYNC_UPDATE_CHECK", "off");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server");
        kill_in_the_middle(&mut child, &data, FILES as usize);
        // What it had begun ends with it: its profile is free again.
        let end = Instant::now() + SOON;
        let again = loop {
            let again = run_command(&words, b"").expect("an end");
            if again.code == 0 {
                break again;
            }
            assert!(Instant::now() < end, "{}{}", again.stdout, again.stderr);
        };
        assert!(again.stdout.contains("Everything is on the server."), "{}", again.stdout);
        assert_eq!(stored(&data), digests(&source), "with a server: {with_server}");
        let again = run_command(&words, b"").expect("an end");
        assert!(again.stdout.contains("Nothing has changed"), "{}", again.stdout);
        drop(stand);
        let check = run_command(&["check", "--read", "--data", &shown], b"").expect("an end");
        assert_eq!(check.code, 0, "{}{}", check.stdout, check.stderr);
    }
}
