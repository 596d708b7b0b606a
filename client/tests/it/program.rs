//! The program itself: exit codes, what goes to which stream, secrets, Ctrl-C.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::process::Exit;

use crate::fake::{EMAIL, Fake, PASSWORD};
use crate::stand::{noise, routes, write_old};

fn program(profile: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photosync"));
    command.env("PHOTOSYNC_CLIENT_DIR", profile).env_remove("HTTP_PROXY").env_remove("http_proxy");
    command.envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_CLIENT_KEYSTORE", "off")]);
    command
}

/// Runs it with a line on standard input.
async fn run(profile: &Path, arguments: &[&str], line: &str) -> Output {
    let mut command = program(profile);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let line = format!("{line}\n");
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(line.as_bytes());
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

async fn signed_in() -> (Arc<Fake>, tempfile::TempDir) {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["login", &fake.url(), EMAIL], PASSWORD).await;
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    (fake, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_login_to_verify_every_step_ends_with_zero_and_says_what_it_did() {
    let (fake, folder) = signed_in().await;
    let photos = folder.path().join("photos");
    write_old(&photos.join("x/a.jpg"), &noise(2000, 1), 0);
    write_old(&photos.join("b.jpg"), &noise(3000, 2), 0);
    let photos = photos.to_str().unwrap();
    let output = run(folder.path(), &["backup", photos], "").await;
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("Everything is on the server."), "{output:?}");
    let output = run(folder.path(), &["list"], "").await;
    assert!(text(&output.stdout).contains("a.jpg  in x"), "{output:?}");
    let back = folder.path().join("back");
    let output = run(folder.path(), &["restore", back.to_str().unwrap()], "").await;
    assert_eq!(code(&output), 0);
    assert_eq!(std::fs::read(back.join("x/a.jpg")).unwrap(), noise(2000, 1));
    let output = run(folder.path(), &["verify"], "").await;
    assert_eq!(code(&output), 0);
    assert!(text(&output.stdout).contains("2 of 2 files verified"), "{output:?}");
    let one = folder.path().join("one.jpg");
    let output = run(folder.path(), &["get", "b.jpg", "-o", one.to_str().unwrap()], "").await;
    assert_eq!(code(&output), 0);
    assert_eq!(std::fs::read(&one).unwrap(), noise(3000, 2));
    let output = run(folder.path(), &["get", "b.jpg", "-o", one.to_str().unwrap()], "").await;
    assert_eq!(code(&output), i32::from(Exit::Incomplete.code()));
    let output = run(folder.path(), &["status"], "").await;
    assert!(text(&output.stdout).contains("2 of 2 different files"), "{output:?}");
    let output = run(folder.path(), &["logout"], "").await;
    assert_eq!(code(&output), 0);
    let output = run(folder.path(), &["status"], "").await;
    assert_eq!(code(&output), i32::from(Exit::SignInRefused.code()));
    assert_eq!(fake.names(), ["a.jpg", "b.jpg"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_store_credentials_lie_in_a_file_of_their_owner_and_that_is_said_once() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix:path={}", folder.path().join("no bus").display());
    let run = |arguments: Vec<String>| {
        let mut command = program(folder.path());
        command.env("PHOTOSYNC_CLIENT_KEYSTORE", "on").env("DBUS_SESSION_BUS_ADDRESS", &nowhere);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes());
        child.wait_with_output().unwrap()
    };
    let login = vec!["login".to_owned(), fake.url(), EMAIL.to_owned()];
    let status = || vec!["status".to_owned()];
    let outputs = tokio::task::block_in_place(|| [run(login), run(status()), run(status())]);
    let file = folder.path().join("credentials.json");
    let said = text(&outputs[0].stderr);
    assert!(said.starts_with(&format!("credentials: file {}", file.display())), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&file).unwrap().contains("psr_1"));
    for output in &outputs {
        assert_eq!(code(output), 0, "{output:?}");
    }
    assert!(outputs[1].stderr.is_empty(), "{:?}", outputs[1]);
    assert!(text(&outputs[2].stdout).contains("(no key store at sign-in)"), "{:?}", outputs[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_asks_nothing_about_a_known_key_and_trusts_no_other() {
    let key = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let fake = Fake::start_with(&key(), true, None).await;
    let other = Fake::start_with(&key(), true, None).await;
    let folder = tempfile::tempdir().unwrap();
    let refused = i32::from(Exit::WrongServer.code());
    let url = fake.url();
    let login = ["login", &url, EMAIL];
    assert_eq!(code(&run(folder.path(), &login, PASSWORD).await), refused);
    let fingerprint = fake.fingerprint();
    let known = [&login[..], &["--fingerprint", &fingerprint]].concat();
    assert_eq!(code(&run(folder.path(), &known, PASSWORD).await), 0);
    assert_eq!(code(&run(folder.path(), &login, PASSWORD).await), 0);
    let output = run(folder.path(), &["login", &other.url(), EMAIL], PASSWORD).await;
    assert_eq!(code(&output), refused);
    assert!(other.take_asked().iter().all(|(_, path, _)| path.ends_with("/server")));
    let status = run(folder.path(), &["status"], "").await;
    assert!(text(&status.stdout).contains(&fake.url()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_has_its_exit_code_and_no_secret_is_printed() {
    let (fake, folder) = signed_in().await;
    let at = folder.path();
    let cases: [(&[&str], &str, Exit); 5] = [
        (&["backup"], "", Exit::Usage),
        (&["login", &fake.url(), EMAIL], "wrong-password", Exit::SignInRefused),
        (&["login", "ftp://nas", EMAIL], PASSWORD, Exit::Usage),
        (&["login", "http://203.0.113.9", EMAIL], PASSWORD, Exit::Usage),
        (&["backup", "/nowhere/at/all"], "", Exit::Usage),
    ];
    for (arguments, line, exit) in cases {
        let output = run(at, arguments, line).await;
        assert_eq!(code(&output), i32::from(exit.code()), "{arguments:?} {output:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains(PASSWORD), "{said}");
        assert!(!said.contains("wrong-password") && !said.contains("access-"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_object_a_line_and_nothing_else() {
    let (_fake, folder) = signed_in().await;
    let photos = folder.path().join("photos");
    write_old(&photos.join("a.jpg"), b"a", 0);
    let output = run(folder.path(), &["backup", "--json", photos.to_str().unwrap()], "").await;
    assert!(output.stderr.is_empty(), "{output:?}");
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["complete"]), (&"backup_done".into(), &true.into()));
    assert!(events.iter().any(|event| event["event"] == "file_done" && event["how"] == "sent"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_with_130_and_the_next_run_finishes() {
    let (fake, folder) = signed_in().await;
    let photos = folder.path().join("photos");
    let bytes = noise(16 * 1024 * 1024, 3);
    write_old(&photos.join("film.mp4"), &bytes, 0);
    let photos = photos.to_str().unwrap().to_owned();
    let mut command = program(folder.path());
    command.args(["backup", "--limit-rate", "4M", &photos]);
    let child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let begun = async {
        while !routes(&fake.lock().asked).iter().any(|route| route.starts_with("PATCH")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(code(&output), i32::from(Exit::Interrupted.code()), "{output:?}");
    assert!(text(&output.stderr).contains("goes on from here"), "{output:?}");
    let output = run(folder.path(), &["backup", &photos], "").await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(fake.lock().assets[0].1, bytes);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_backup_is_not_begun_while_its_words_can_be_written_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = folder.path().join("sealed");
    let init = ["relay", "--dir", sealed.to_str().unwrap(), "init", "--password-memory", "64"];
    for json in [&[][..], &["--json"]] {
        let mut command = program(&folder.path().join("profile"));
        command.args(init).args(json).stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"four random words here\n");
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), i32::from(Exit::Storage.code()), "{output:?}");
        assert!(!sealed.exists(), "{json:?}");
    }
    let profile = folder.path().join("profile");
    let output = run(&profile, &[&init[..], &["--json"]].concat(), "four random words here").await;
    assert_eq!(code(&output), 0, "{output:?}");
    // The words come before what they open, and once more when all is done.
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["relay_words", "relay_begun"]);
    assert_eq!(lines[0]["words"], lines[1]["words"]);
}
