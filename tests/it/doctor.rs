//! `photosync-server doctor`: what it says of servers that are well and of servers that are not, running and stopped.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use photosync_tests::proxy::{FaultProxy, Plan};
use photosync_tests::server::{CommandOutcome, ServerProcess, find_binary, run_command};
use serde_json::Value;

/// A server that listens for this machine only, on any port.
const HERE: [&str; 4] = ["--listen-host", "127.0.0.1", "--listen-port", "0"];

/// Findings by what was looked at; the worst of several.
struct Findings {
    code: i32,
    all: Vec<Value>,
}

impl Findings {
    fn of(outcome: &CommandOutcome) -> Self {
        let lines = outcome.stdout.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            assert_eq!(line["event"], "finding", "{line}");
            line["finding"].clone()
        });
        let all: Vec<Value> = lines.collect();
        assert!(!all.is_empty(), "{}", outcome.stderr);
        for finding in &all {
            let is_well = ["fine", "skipped"].contains(&finding["verdict"].as_str().expect("one"));
            let has_fix = !finding["fix"].as_str().expect("a text").is_empty();
            assert!(is_well || has_fix, "{finding} names no way out");
        }
        let is_broken = all.iter().any(|finding| finding["verdict"] == "broken");
        assert_eq!(outcome.code, if is_broken { 3 } else { 0 }, "{all:?}");
        Self { code: outcome.code, all }
    }

    fn require(&self, check: &str, verdict: &str, seen: &str) -> &Value {
        let found = self.all.iter().find(|finding| {
            finding["check"] == check
                && finding["verdict"] == verdict
                && finding["seen"].as_str().is_some_and(|text| text.contains(seen))
        });
        found.unwrap_or_else(|| panic!("no {verdict} {check} `{seen}` in {:#?}", self.all))
    }

    /// Nothing but these is worse than fine.
    fn require_only(&self, checks: &[&str]) {
        let others: Vec<&Value> = self
            .all
            .iter()
            .filter(|one| one["verdict"] == "warning" || one["verdict"] == "broken")
            .filter(|one| !checks.contains(&one["check"].as_str().expect("a text")))
            .collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

fn doctor(data: &Path, more: &[&str]) -> Findings {
    let data = data.to_str().expect("a path");
    let words = [&["doctor", "--json", "--data", data], &HERE[..], more].concat();
    Findings::of(&run_command(&words, b"").expect("a command that ends"))
}

/// Data as a first run leaves it, with an account, and no server.
fn used_data(data: &Path) {
    let words = ["user", "add", "a@example.org", "--data", data.to_str().expect("a path")];
    let made = run_command(&words, b"geheim 1\n").expect("a command that ends");
    assert_eq!(made.code, 0, "{}", made.stderr);
}

/// Every file and folder but the log of the database, which a server writes to at any time, with length, permissions and time of
/// change.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().contains("photosync.db-") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).expect("an entry");
            let length = if metadata.is_dir() { 0 } else { metadata.len() };
            let changed = if metadata.is_dir() { 0 } else { metadata.mtime_nsec() };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (length, metadata.mode(), changed));
        }
    }
    found
}

#[test]
fn a_server_that_runs_well_is_told_so_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = ServerProcess::start(&data, &[]).expect("a ready server");
    let before = tree(&data);
    let found = doctor(&data, &[]);
    found.require("server", "fine", &format!("process {}", server.pid()));
    for check in ["data", "secrets", "volumes", "space", "disk", "database", "clock", "tls", "port"]
    {
        found.require(check, "fine", "");
    }
    found.require("network", "skipped", "PHOTOSYNC_DISCOVERY");
    // It listens for this machine only, and that is what it says.
    found.require("address", "warning", "no phone can reach the server");
    found.require_only(&["address", "service", "limits", "space"]);
    assert_eq!(tree(&data), before);
    assert_eq!(server.stop().expect("an end"), 0);
}

#[test]
fn a_stopped_server_is_told_from_a_folder_that_was_never_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, unused) = (folder.path().join("data"), folder.path().join("unused"));
    used_data(&data);
    // Two of its threads that closed the database at once leave an empty one.
    let log = data.join("photosync.db-wal");
    let (before, had_log) = (tree(&data), log.exists());
    let found = doctor(&data, &[]);
    found.require("server", "warning", "no server is running");
    found.require("accounts", "fine", "1 account");
    found.require("port", "fine", "any port of 127.0.0.1");
    found.require_only(&["server", "address", "service", "space"]);
    assert_eq!(tree(&data), before, "a look changes nothing");
    assert_eq!(log.exists(), had_log, "nor makes a log");

    let found = doctor(&unused, &[]);
    found.require("data", "warning", "there is nothing in");
    assert!(!unused.exists(), "a look makes no data");
}

#[test]
fn a_port_that_is_taken_is_broken_and_its_holder_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let data = data.to_str().expect("a path");
    let words = ["doctor", "--json", "--data", data, "--listen-host", "127.0.0.1"];
    let words = [&words[..], &["--listen-port", &port]].concat();
    let look = || Findings::of(&run_command(&words, b"").expect("a command that ends"));
    let found = look();
    let holder = format!("(process {})", std::process::id());
    found.require("port", "broken", &format!("127.0.0.1:{port} is taken by"));
    found.require("port", "broken", &holder);
    drop(taken);
    let found = look();
    found.require("port", "fine", &port);
    assert_eq!(found.code, 0);
}

#[test]
fn keys_that_others_can_read_are_broken_until_their_permissions_are_put_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("new permissions");
    };
    let (secrets, key) = (data.join("secrets"), data.join("secrets/jwt"));
    set(&key, 0o644);
    doctor(&data, &[]).require("secrets", "warning", "only the folder keeps others out");
    set(&secrets, 0o755);
    set(&data, 0o755);
    let found = doctor(&data, &[]);
    let broken = found.require("secrets", "broken", "can sign in as anybody");
    let fix = broken["fix"].as_str().expect("a fix").to_owned();
    assert_eq!(fix, format!("chmod 600 '{}'", key.display()));
    found.require("data", "warning", "can look into");
    // The way out is one.
    assert!(Command::new("sh").args(["-c", &fix]).status().expect("a shell").success());
    set(&data, 0o700);
    let found = doctor(&data, &[]);
    found.require("secrets", "fine", "");
    found.require("data", "fine", "");
}

#[test]
fn a_disk_that_is_not_there_or_another_one_is_broken_and_nothing_is_written_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, disk) = (folder.path().join("data"), folder.path().join("disk"));
    let place = disk.to_str().expect("a path").to_owned();
    let setting = [("PHOTOSYNC_STORAGE_UPLOADS", place.as_str())];
    ServerProcess::start(&data, &setting).expect("a ready server").stop().expect("an end");
    let flags = ["--storage-uploads", &place];
    doctor(&data, &flags).require("volumes", "fine", "");

    let away = folder.path().join("away");
    fs::rename(&disk, &away).expect("a disk that is taken out");
    doctor(&data, &flags).require("volumes", "broken", "is not there");
    fs::create_dir(&disk).expect("an empty mount point");
    doctor(&data, &flags).require("volumes", "broken", "it has no volume.json");
    assert_eq!(fs::read_dir(&disk).expect("the folder").count(), 0);
    fs::write(disk.join("volume.json"), r#"{"format":"photosync-volume-1","id":"other"}"#)
        .expect("another disk");
    doctor(&data, &flags).require("volumes", "broken", "has another id");
    fs::remove_dir_all(&disk).expect("the wrong disk");
    fs::rename(&away, &disk).expect("the right disk");
    doctor(&data, &flags).require("volumes", "fine", "");
}

#[test]
fn a_disk_without_room_and_a_damaged_database_are_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    let found = doctor(&data, &["--storage-reserve-bytes", "1000000000000000"]);
    found.require("space", "broken", "uploads are refused");
    let database = data.join("photosync.db");
    let whole = fs::read(&database).expect("the database");
    let mut damaged = whole.clone();
    damaged[4096..].fill(0x55);
    fs::write(&database, &damaged).expect("a damaged database");
    doctor(&data, &[]).require("database", "broken", "damaged or cannot be read");
    assert_eq!(fs::read(&database).expect("the database"), damaged);
    fs::write(&database, whole).expect("the database");
    doctor(&data, &[]).require("database", "fine", "");
    fs::remove_file(&database).expect("a lost database");
    let found = doctor(&data, &[]);
    let fix =
        found.require("database", "broken", "is missing, but")["fix"].as_str().expect("a fix");
    assert!(fix.contains("photosync-server rebuild"), "{fix}");
    let uploads = data.join("uploads");
    let folders =
        fs::read_dir(&uploads).expect("the originals").map(|entry| entry.expect("one").path());
    folders
        .filter(|path| path.is_dir())
        .for_each(|path| fs::remove_dir_all(path).expect("no originals"));
    doctor(&data, &[]).require("database", "warning", "this folder was used before");
}

/// A certificate of 2020, with its key.
fn old_certificate(folder: &Path) {
    let script = "openssl req -new -newkey ed25519 -nodes -subj /CN=photos.example.org -keyout key.pem -out csr.pem
        touch index.txt; echo 01 >serial
        printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nnew_certs_dir=.\\nserial=serial\\ndefault_md=default\\npolicy=p\\nx509_extensions=e\\n[e]\\nsubjectAltName=DNS:photos.example.org\\n[p]\\ncommonName=supplied\\n' >ca.cnf
        openssl ca -batch -notext -selfsign -config ca.cnf -keyfile key.pem -in csr.pem -out cert.pem \\
          -startdate 20200101000000Z -enddate 20210101000000Z";
    let made = Command::new("sh").args(["-ec", script]).current_dir(folder).output();
    let made = made.expect("openssl is needed: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_certificate_that_ended_or_has_another_key_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    old_certificate(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let found = doctor(&data, &["--tls-cert", &at("cert.pem"), "--tls-key", &at("key.pem")]);
    found.require("tls", "broken", "ended on 2021-01-01");
    let other = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out", &at("other.pem")])
        .status();
    assert!(other.expect("openssl").success());
    let found = doctor(&data, &["--tls-cert", &at("cert.pem"), "--tls-key", &at("other.pem")]);
    found.require("tls", "broken", "cannot be used");
    let found = doctor(&data, &["--tls-cert", &at("missing.pem"), "--tls-key", &at("key.pem")]);
    found.require("tls", "broken", "missing.pem cannot be used");
}

#[test]
fn a_data_folder_that_cannot_be_read_and_settings_that_cannot_be_understood_are_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    let mut command = Command::new(find_binary().expect("the program"));
    command.args(["doctor", "--json", "--data"]).arg(&data);
    command.args(HERE).env_clear();
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a way in");
        // `nobody`: root reads everything. Somebody else must be able to start the program.
        let program = folder.path().join("photosync-server");
        fs::copy(find_binary().expect("the program"), &program).expect("a copy");
        command = Command::new(program);
        command.args(["doctor", "--json", "--data"]).arg(&data).args(HERE).env_clear();
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(&data, fs::Permissions::from_mode(0o000)).expect("no way in");
    }
    let output = command.output().expect("a command that ends");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("the way back");
    let found = Findings::of(&CommandOutcome {
        code: output.status.code().expect("a code"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    });
    found.require("data", "broken", data.to_str().expect("a path"));

    let found = doctor(&data, &["--registration-mode", "sometimes"]);
    found.require("settings", "broken", "registration.mode");
}

#[test]
fn a_public_address_is_tried_and_what_a_proxy_refuses_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = nowhere.local_addr().expect("an address");
    let proxy = FaultProxy::start(nowhere, |_| Plan::capped(1_000_000)).expect("a proxy");
    let url = format!("http://{}", proxy.address());
    let settings =
        [("PHOTOSYNC_SERVER_PUBLIC_URL", url.as_str()), ("PHOTOSYNC_REGISTRATION_MODE", "open")];
    let server = ServerProcess::start(&data, &settings).expect("a ready server");
    proxy.set_target(server.address());
    let found = doctor(&data, &[]);
    found.require("public", "warning", "nothing on the way is encrypted");
    found.require("clock", "fine", "agree on the time");
    found.require("proxy", "warning", "1.5 MiB");
    found.require("accounts", "warning", "anybody on the internet");
    proxy.set_planner(|_| Plan::pass());
    let found = doctor(&data, &[]);
    found.require("proxy", "fine", "comes through, and byte by byte");
    let other = folder.path().join("other");
    let another = ServerProcess::start(&other, &[]).expect("a ready server");
    proxy.set_target(another.address());
    doctor(&data, &[]).require("public", "broken", "not with this server");
}

#[test]
fn the_certificate_of_a_public_address_is_judged_as_a_browser_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", &at("key.pem"), "-out", &at("cert.pem")])
        .output();
    assert!(made.expect("openssl is needed: apt-get install openssl").status.success());
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = nowhere.local_addr().expect("an address");
    let proxy = FaultProxy::start(nowhere, |_| Plan::pass()).expect("a proxy");
    let url = format!("https://{}", proxy.address());
    let public = ("PHOTOSYNC_SERVER_PUBLIC_URL", url.as_str());

    let data = folder.path().join("own-key");
    let server = ServerProcess::start(&data, &[public]).expect("a ready server");
    proxy.set_target(server.address());
    let found = doctor(&data, &[]);
    found.require("public", "fine", "with the server's own key");
    found.require("proxy", "fine", "byte by byte");
    assert_eq!(found.code, 0);

    let data = folder.path().join("own-certificate");
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let tls = [public, ("TLS_CERT_PATH", &cert), ("TLS_KEY_PATH", &key)];
    let server = ServerProcess::start(&data, &tls).expect("a ready server");
    proxy.set_target(server.address());
    let found = doctor(&data, &[]);
    found.require("tls", "fine", "is valid until");
    found.require("public", "broken", "with a certificate that is not trusted");
}

#[test]
fn a_server_that_hangs_is_broken_and_does_not_hold_the_doctor_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = ServerProcess::start(&data, &[]).expect("a ready server");
    server.signal(rustix::process::Signal::STOP).expect("a stopped process");
    let found = doctor(&data, &[]);
    found.require("server", "broken", "has not answered for 5 s");
    server.signal(rustix::process::Signal::CONT).expect("a process that goes on");
    doctor(&data, &[]).require("server", "fine", "it runs");
}

#[test]
fn a_person_gets_aligned_coloured_lines_of_80_columns_and_a_pipe_gets_neither() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    used_data(&data);
    let binary = find_binary().expect("the program");
    let typed = format!(
        "stty cols 80; '{}' doctor --data '{}' --listen-host 127.0.0.1 --listen-port 0 \
         --storage-reserve-bytes 1000000000000000",
        binary.display(),
        data.display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &typed, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    let shown = terminal.output().expect("script is needed: apt-get install bsdutils");
    assert_eq!(shown.status.code(), Some(3));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\u{1b}[1;31mBROKEN\u{1b}[0m   space"), "{shown}");
    for line in shown.lines() {
        let mut bare = line.trim_end_matches('\r').to_owned();
        for colour in ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[1;31m", "\u{1b}[2m", "\u{1b}[0m"] {
            bare = bare.replace(colour, "");
        }
        assert!(!bare.contains('\u{1b}'), "{bare:?}");
        // A path or a command is never broken.
        let is_wide = bare.chars().count() > 80;
        assert!(!is_wide || bare.split_whitespace().any(|word| word.len() > 55), "{bare}");
    }
    let words = ["doctor", "--data", data.to_str().expect("a path")];
    let words = [&words[..], &HERE].concat();
    let piped = run_command(&words, b"").expect("a command that ends").stdout;
    assert!(!piped.contains('\u{1b}'), "{piped}");
    assert!(
        piped.lines().last().is_some_and(|line| line.starts_with("Nothing is broken")),
        "{piped}"
    );
}
