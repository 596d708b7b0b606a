//! A full disk and a failing disk: the right refusal, nothing left behind, and the next upload works.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use photosync_tests::account::Session;
use photosync_tests::http::{Answer, Body, Client, Request};
use photosync_tests::relay::opaque_bytes;
use photosync_tests::server::find_binary;

use super::send::{Operation, Way, get, sign_up};
use super::torture::process::{
    Running, Started, check, clean_command, serve_command, start, wait_until,
};
use super::torture::{binaries, list_below};

/// Space that uploads leave free in the tests with a small disk.
pub(super) const RESERVE: &str = "1048576";
/// A given-up upload is removed in the background.
pub(super) const TIDY_WITHIN: Duration = Duration::from_secs(10);

/// A file system in memory of a given size; gone when dropped.
pub(super) struct SmallDisk(pub(super) PathBuf);

impl SmallDisk {
    /// `None`, after saying so, without the right to mount.
    pub(super) fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(folder).expect("a folder");
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .output()
            .expect("mount is installed");
        if !mount.status.success() {
            let why = String::from_utf8_lossy(&mount.stderr).into_owned();
            assert!(!rustix::process::geteuid().is_root(), "root could not mount: {why}");
            println!("crash: SKIPPED, only root can mount a small disk: {}", why.trim());
            return None;
        }
        Some(Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("could not unmount {}", self.0.display());
        }
    }
}

fn run(command: Command, data: &Path) -> Running {
    start(command, &data.with_extension("log")).and_then(Started::ready).expect("a start")
}

fn upload(client: &mut Client, session: &Session, name: &str, seed: u64, size: usize) -> Answer {
    let operation = Operation::new(name.to_owned(), Way::Raw, format!("{name}.jpg"), seed, size);
    operation.send(client, session).expect("an answer")
}

fn listed_names(client: &mut Client, session: &Session) -> Vec<String> {
    let answer = get(client, session, "/api/files").expect("a list");
    let json = answer.json().expect("JSON");
    let files = json["files"].as_array().expect("files");
    files.iter().filter_map(|file| file["filename"].as_str().map(str::to_owned)).collect()
}

fn require_nothing_staged(data: &Path) {
    let mut left = Vec::new();
    let tidy = wait_until(TIDY_WITHIN, || {
        left = list_below(&data.join("uploads"), ".staging").expect("the uploads");
        left.is_empty()
    });
    assert!(tidy, "left behind: {left:?}");
}

#[test]
fn a_full_disk_refuses_with_507_and_recovers_without_a_restart() {
    let scratch = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&scratch.path().join("disk"), "24m") else { return };
    let data = disk.0.join("data");
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 6 << 20]).expect("ballast");
    let binary = find_binary().expect("the server");
    let mut command = serve_command(&binary, &data);
    command.env("PHOTOSYNC_STORAGE_RESERVE_BYTES", RESERVE);
    let server = run(command, &data);
    let session = sign_up(server.address);
    let mut client = Client::new(server.address);
    let mut stored = 0;
    let refusal = loop {
        let answer = upload(&mut client, &session, &format!("fill-{stored}"), stored, 1 << 20);
        if answer.status() != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 24, "24 MiB cannot hold {stored} MiB and 6 MiB of ballast");
    };
    require_full(&refusal);
    // A body without a length is refused where the disk ends, not where it begins.
    let body = opaque_bytes(9999, 8 << 20);
    let mut reader = body.as_slice();
    let chunked = Request::new("POST", "/api/upload/raw")
        .headers(&session.headers())
        .header("X-Filename", "chunked.jpg")
        .header("Content-Type", "application/octet-stream")
        .body(Body::Chunked { reader: &mut reader });
    require_full(&client.send(chunked).expect("an answer"));
    // The connection ends with a body that is refused half-way, sooner or later.
    let mut client = Client::new(server.address);
    require_nothing_staged(&data);
    let listed = listed_names(&mut client, &session);
    assert_eq!(listed.len() as u64, stored);
    let read = get(&mut client, &session, "/api/files/fill-0.jpg").expect("a download");
    assert_eq!(read.body, opaque_bytes(0, 1 << 20), "reading still works");
    std::fs::remove_file(&ballast).expect("the ballast");
    let answer = upload(&mut client, &session, "after", 4242, 1 << 20);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    drop(client);
    server.stop().expect("a clean stop");
    check(&binary, &data).expect("index and disk agree");
    println!("crash: a full disk refused after {stored} MiB and recovered");
}

pub(super) fn require_full(answer: &Answer) {
    assert_eq!(answer.status(), 507, "{}", answer.text());
    let json = answer.json().expect("JSON");
    assert_eq!(json["code"], "storage_full");
    assert!(json["freeBytes"].as_u64().is_some(), "freeBytes is missing: {}", answer.text());
}

#[test]
fn a_database_without_room_refuses_and_recovers_without_a_restart() {
    let scratch = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&scratch.path().join("disk"), "2m") else { return };
    let data = scratch.path().join("data");
    let binary = find_binary().expect("the server");
    let mut command = serve_command(&binary, &data);
    command.env("DB_PATH", disk.0.join("photosync.db"));
    let server = run(command, &data);
    let session = sign_up(server.address);
    let mut client = Client::new(server.address);
    let ballast = disk.0.join("ballast");
    // Fails when the disk is full, which is what is wanted.
    let _ = std::fs::write(&ballast, vec![1; 2 << 20]);
    let mut stored = 0;
    let refusal = loop {
        let answer = upload(&mut client, &session, &format!("row-{stored}"), stored, 2000);
        if answer.status() != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 1000, "a full disk took a thousand rows");
    };
    assert_eq!(refusal.status(), 507, "{}", refusal.text());
    require_nothing_staged(&data);
    assert_eq!(listed_names(&mut client, &session).len() as u64, stored, "reading still works");
    std::fs::remove_file(&ballast).expect("the ballast");
    let name = format!("row-{stored}");
    let answer = upload(&mut client, &session, &name, stored, 2000);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(listed_names(&mut client, &session).len() as u64, stored + 1);
    println!("crash: a database without room refused after {stored} rows and recovered");
}

/// The server with fault points, and a data folder `data` in which somebody has signed up.
fn stopped_with_an_account() -> (PathBuf, Session, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path().join("data");
    let binary = binaries::fault_server().expect("the server with fault points");
    let server = run(serve_command(&binary, &data), &data);
    let session = sign_up(server.address);
    server.stop().expect("a clean stop");
    (binary, session, scratch)
}

#[test]
fn a_failing_call_is_answered_and_leaves_nothing() {
    let (binary, session, scratch) = stopped_with_an_account();
    let data = scratch.path().join("data");
    let faults = [
        ("write:1:enospc", 507),
        ("write:1:eio", 500),
        ("sync:1:enospc", 507),
        ("sync:1:eio", 500),
        ("publish:1:enospc", 507),
        ("publish:1:eio", 500),
        ("sync_dir:1:enospc", 507),
        ("sync_dir:1:eio", 500),
        ("commit:1:enospc", 507),
        ("commit:1:eio", 500),
    ];
    for (number, (fault, status)) in faults.into_iter().enumerate() {
        let mut command = serve_command(&binary, &data);
        command.env("PHOTOSYNC_FAULT", fault);
        let server = run(command, &data);
        let mut client = Client::new(server.address);
        let name = format!("fault-{number}");
        let answer = upload(&mut client, &session, &name, number as u64, 3000);
        assert_eq!(answer.status(), status, "{fault}: {}", answer.text());
        let code = answer.json().expect("JSON")["code"].as_str().unwrap_or_default().to_owned();
        let expected = if status == 507 { "storage_full" } else { "storage_failed" };
        assert_eq!(code, expected, "{fault}: {}", answer.text());
        require_nothing_staged(&data);
        assert_eq!(listed_names(&mut client, &session).len(), number, "{fault}: nothing is listed");
        let again = upload(&mut client, &session, &name, number as u64, 3000);
        assert_eq!(again.status(), 200, "{fault}: {}", again.text());
        let json = again.json().expect("JSON");
        assert_eq!(json["filename"], format!("{name}.jpg"), "{fault}: under its own name");
        drop(client);
        server.stop().expect("a clean stop");
        check(&binary, &data).unwrap_or_else(|found| panic!("{fault}: {found}"));
    }
    println!("crash: {} failing calls, each answered, nothing left", faults.len());
}

#[test]
fn a_folder_that_could_not_be_made_durable_is_relied_on_by_no_later_upload() {
    let (binary, session, scratch) = stopped_with_an_account();
    let data = scratch.path().join("data");
    let mut command = serve_command(&binary, &data);
    command.env("PHOTOSYNC_FAULT", "sync_new_dir:1+:eio");
    let server = run(command, &data);
    let mut client = Client::new(server.address);
    for number in 0..3 {
        let answer = upload(&mut client, &session, &format!("photo-{number}"), number, 3000);
        assert_eq!(answer.status(), 500, "upload {number}: {}", answer.text());
        require_nothing_staged(&data);
    }
    drop(client);
    server.stop().expect("a clean stop");
    // The folders are there now, left by a run that could not make them durable.
    let server = run(serve_command(&binary, &data), &data);
    let mut client = Client::new(server.address);
    assert!(listed_names(&mut client, &session).is_empty(), "something is listed");
    assert_eq!(upload(&mut client, &session, "photo", 1, 3000).status(), 200);
    drop(client);
    server.stop().expect("a clean stop");
    check(&binary, &data).expect("index and disk agree");
}

#[test]
fn a_kernel_that_fails_calls_is_survived() {
    let has_fiu = Command::new("fiu-run").arg("-h").output().is_ok();
    assert!(has_fiu, "fiu-run is not installed: apt-get install fiu-utils");
    for point in ["posix/io/sync/fsync", "posix/io/sync/fdatasync", "posix/io/rw/write"] {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path().join("data");
        let binary = find_binary().expect("the server");
        let serve = serve_command(&binary, &data);
        let control = scratch.path().join("fiu");
        let mut command = Command::new("fiu-run");
        command.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["-x", "-f"]).arg(&control).arg(serve.get_program()).args(serve.get_args());
        let server = run(command, &data);
        let session = sign_up(server.address);
        let tell = |what: &str| {
            let told = clean_command(Path::new("fiu-ctrl"))
                .args(["-f".as_ref(), control.as_os_str(), "-c".as_ref(), what.as_ref()])
                .arg(server.pid.to_string())
                .output()
                .expect("fiu-ctrl");
            assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        };
        let mut client = Client::new(server.address);
        // 5 is EIO.
        tell(&format!("enable name={point},failinfo=5"));
        let operation = Operation::new("failing".into(), Way::Raw, "failing.jpg".into(), 1, 3000);
        let failed = operation.send(&mut client, &session);
        tell(&format!("disable name={point}"));
        let mut server = server;
        if point.ends_with("/write") {
            // The runtime wakes its own threads by the same call, which no real disk ever fails, and does not
            // survive it. What counts is that nothing is promised and nothing is left.
            assert!(
                !failed.as_ref().is_ok_and(|answer| answer.status() < 500),
                "{point}: promised"
            );
            server.kill();
            server = run(serve_command(&binary, &data), &data);
        } else {
            let answer = failed.as_ref().expect("an answer");
            assert_eq!(answer.status(), 500, "{point}: {}", answer.text());
        }
        let mut client = Client::new(server.address);
        require_nothing_staged(&data);
        assert!(listed_names(&mut client, &session).is_empty(), "{point}: something is listed");
        let again = operation.send(&mut client, &session).expect("an answer");
        assert_eq!(again.status(), 200, "{point}: {}", again.text());
        drop(client);
        server.stop().expect("a clean stop");
        check(&binary, &data).unwrap_or_else(|found| panic!("{point}: {found}"));
        let answered = failed.map(|answer| answer.status());
        println!("crash: {point} failed, answered {answered:?}, the next upload worked");
    }
}
