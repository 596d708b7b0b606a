//! The process as an operator meets it: configuration errors, exit codes, stopping, losing a disk or a database.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use photosync_tests::account::phone_device_uuid;
use photosync_tests::relay::opaque_bytes;
use photosync_tests::server::{ServerError, ServerProcess, run_command};
use rustix::process::Signal;

use crate::stand::{PASSWORD, SOON, Stand, files_below, wait_until};

/// Exit code and log of a server that must not start.
fn refused(data: &Path, settings: &[(&str, &str)]) -> (i32, String) {
    match ServerProcess::start(data, settings) {
        Ok(_) => panic!("a server started with {settings:?}"),
        Err(ServerError::NotReady { what, log_tail }) => {
            let code =
                what.rsplit("exit status: ").next().and_then(|code| code.trim().parse().ok());
            (code.unwrap_or_else(|| panic!("no exit code in {what}")), log_tail)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_configuration_that_cannot_be_meant_ends_with_78_and_names_the_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value, named) in [
        ("PORT", "eighty", "listen.port"),
        ("PHOTOSYNC_LISTEN_HOST", "nowhere", "listen.host"),
        ("PHOTOSYNC_REGISTRATION_MODE", "everybody", "registration.mode"),
        ("PHOTOSYNC_AUTH_TRUSTED_PROXIES", "10.0.0.0/99", "auth.trusted_proxies"),
        ("PHOTOSYNC_METRICS_LISTEN", "0.0.0.0:0", "metrics.listen"),
        ("PHOTOSYNC_STORAGE_TRASH_DAYS", "a month", "storage.trash_days"),
        ("PHOTOSYNC_LOG_FORMAT", "xml", "log.format"),
        ("ENABLE_HTTPS", "true", "tls.cert"),
        ("FORCE_HTTPS_REDIRECT", "true", "tls.cert"),
        ("TLS_CERT_PATH", "/absent.pem", "tls.key"),
        ("JWT_SECRET_FILE", "/absent/secret", "JWT_SECRET_FILE"),
    ] {
        let (code, log) = refused(&folder.path().join("data"), &[(name, value)]);
        assert_eq!(code, 78, "{name}={value}: {log}");
        assert!(log.contains(named), "{name}={value}: {log}");
    }
}

#[test]
fn a_misspelt_key_of_the_file_ends_with_78_and_names_the_nearest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, nearest) in [
        ("[listen]\nprot = 3000\n", "listen.port"),
        ("[storage]\ntrash_day = 5\n", "storage.trash_days"),
        ("[auth]\nthrotle_max = 5\n", "auth.throttle_max"),
    ] {
        fs::write(folder.path().join("photosync.toml"), text).expect("a configuration file");
        let (code, log) = refused(folder.path(), &[]);
        assert_eq!(code, 78, "{log}");
        assert!(log.contains(nearest), "{text}: {log}");
        assert!(!folder.path().join("photosync.db").exists(), "nothing is made before");
    }
}

#[test]
fn the_help_and_the_example_work_without_data_and_nonsense_is_a_usage_error() {
    for words in [&["--help"][..], &["serve", "--help"], &["--version"], &["config", "example"]] {
        let outcome = run_command(words, b"").expect("an end");
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.stderr);
        assert!(!outcome.stdout.is_empty());
    }
    for words in [&["srve"][..], &["serve", "--listen-prot", "1"], &["user"], &[]] {
        let outcome = run_command(words, b"").expect("an end");
        assert_eq!(outcome.code, 64, "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_stops_when_a_command_asks_it_to_and_the_command_waits_for_it() {
    let stand = Stand::new(&[]);
    stand.person().keep("a.jpg", b"photo");
    let asked = stand.command(&["stop"], "");
    assert_eq!(
        (asked.code, asked.stdout.trim()),
        (0, "the server has stopped"),
        "{}",
        asked.stderr
    );
    assert_eq!(stand.command(&["check", "--read"], "").code, 0, "nobody holds the data any more");
    let again = stand.command(&["stop"], "");
    assert_eq!((again.code, again.stdout.trim()), (0, "no server runs on this data"));
    let ended = stand.with_server(|server| server.wait_for_end(SOON));
    assert_eq!(ended.expect("an end"), 0);
}

#[test]
fn a_taken_port_ends_with_69_and_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let (code, log) = refused(folder.path(), &[("PORT", &port)]);
    assert_eq!(code, 69, "{log}");
    assert!(log.contains(&format!("127.0.0.1:{port}")), "{log}");
    let metrics = format!("127.0.0.1:{port}");
    let (code, _) = refused(folder.path(), &[("PHOTOSYNC_METRICS_LISTEN", &metrics)]);
    assert_eq!(code, 69, "a metrics port that was asked for");
}

#[test]
fn a_second_server_on_the_same_data_ends_with_73_and_disturbs_nothing() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    let (code, log) = refused(stand.data(), &[]);
    assert_eq!(code, 73, "{log}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let uploads = stand.uploads().to_string_lossy().into_owned();
    let (code, log) = refused(elsewhere.path(), &[("UPLOAD_DIR", &uploads)]);
    assert_eq!(code, 73, "the same originals under another data folder: {log}");
    alice.keep("a.jpg", b"photo");
    alice.require_library(&[("a.jpg", b"photo")]);
    stand.require_agreement();
}

#[test]
fn originals_on_a_disk_that_is_not_mounted_end_the_start_with_74_and_stay_missing_nowhere() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"photo");
    stand.stop();
    let (mounted, away) = (stand.uploads(), stand.data().join("uploads-away"));
    fs::rename(&mounted, &away).expect("an unmounted disk");
    fs::create_dir(&mounted).expect("an empty mount point");
    let (code, log) = refused(stand.data(), &[]);
    assert_eq!(code, 74, "{log}");
    assert!(log.contains("volume.json") && log.contains("uploads"), "{log}");
    let written: Vec<_> = files_below(&mounted)
        .into_iter()
        .filter(|path| path.file_name().is_none_or(|name| name != ".lock"))
        .collect();
    assert!(written.is_empty(), "written below the mount point: {written:?}");
    fs::remove_dir_all(&mounted).expect("the mount point");
    fs::rename(&away, &mounted).expect("the disk again");
    stand.start();
    alice.at(&stand).require_library(&[("a.jpg", b"photo")]);
    stand.require_agreement();
}

#[test]
fn a_lost_database_ends_the_start_with_74_and_the_command_it_names_brings_every_photo_back() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    let photos: Vec<(String, Vec<u8>)> = ["a.jpg", "Zoë 🏖.jpg", "odd:name?.jpg", "IMG (2).jpg"]
        .iter()
        .enumerate()
        .map(|(number, name)| ((*name).to_owned(), opaque_bytes(number as u64, 3000)))
        .collect();
    for (name, bytes) in &photos {
        alice.keep(name, bytes);
    }
    let before = alice.library();
    stand.stop();
    for file in files_below(stand.data()) {
        if file.to_string_lossy().contains("photosync.db") {
            fs::remove_file(file).expect("a lost database");
        }
    }
    let (code, log) = refused(stand.data(), &[]);
    assert_eq!(code, 74, "{log}");
    assert!(log.contains("photosync-server rebuild"), "{log}");
    let rebuilt = stand.command(&["rebuild"], "");
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.stdout, rebuilt.stderr);
    stand.start();
    let uuid = phone_device_uuid(&alice.email, "new password 1");
    assert_eq!(stand.login(&alice.email, PASSWORD, &alice.device_uuid).status(), 401, "locked");
    let unlocked = stand.command(&["user", "passwd", &alice.email], "new password 1\n");
    assert_eq!(unlocked.code, 0, "{}", unlocked.stderr);
    let alice = alice.at(&stand);
    let alice = alice.with_login(&stand.login(&alice.email, "new password 1", &uuid), &uuid);
    assert!(alice.library() == before, "{:?}", alice.names());
    stand.require_agreement();
}

#[test]
fn a_database_that_exists_is_never_rebuilt_over() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"photo");
    stand.stop();
    let refused = stand.command(&["rebuild"], "");
    assert_eq!(refused.code, 74, "{}{}", refused.stdout, refused.stderr);
    stand.start();
    alice.at(&stand).require_library(&[("a.jpg", b"photo")]);
}

#[test]
fn the_server_stops_within_ten_seconds_although_uploads_stand_still() {
    let stand = Stand::new(&[]);
    let alice = stand.person_called("alice@example.org");
    alice.keep("a.jpg", b"photo");
    let part = opaque_bytes(90, 1_500_000);
    let held: Vec<_> =
        (0..4).map(|number| alice.begin_raw(&format!("{number}.mov"), 9_000_000, &part)).collect();
    wait_until("four uploads are in the middle", || alice.staged() == 4);
    let code = stand.with_server(|server| {
        server.signal(Signal::TERM).expect("a signal");
        server.wait_for_end(Duration::from_secs(10)).expect("an end within ten seconds")
    });
    assert_eq!(code, 0);
    drop(held);
    stand.start();
    let alice = alice.at(&stand);
    assert_eq!(alice.staged(), 0);
    alice.require_library(&[("a.jpg", b"photo")]);
    stand.require_agreement();
}

#[test]
fn standard_output_carries_the_ready_line_and_nothing_else_and_metrics_are_served() {
    let stand = Stand::new(&[]);
    let alice = stand.person();
    alice.keep("a.jpg", b"photo");
    assert_eq!(alice.get("/api/nothing").status(), 404);
    let metrics = stand.with_server(|server| {
        assert_eq!(server.ready().pid, server.pid());
        assert!(!server.ready().version.is_empty());
        server.metrics_address().expect("metrics")
    });
    let mut client = photosync_tests::http::Client::new(metrics);
    let answer = client.send(photosync_tests::http::Request::new("GET", "/metrics"));
    let answer = answer.expect("an answer");
    assert!(answer.status() == 200 && answer.body.ends_with(b"# EOF\n"), "{}", answer.text());
    assert_eq!(stand.with_server(|server| server.extra_stdout()), Vec::<String>::new());
}

#[test]
fn an_idle_connection_may_rest_longer_than_a_head_may_take() {
    use std::io::{ErrorKind, Read, Write};
    // A connection between two requests is kept for 75 s, whatever the time for sending a head.
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_HEADER_MS", "400")]);
    let mut stream = std::net::TcpStream::connect(stand.address()).expect("a connection");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").expect("a sent request");
    let answer = crate::stand::read_answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream.set_read_timeout(Some(Duration::from_millis(1500))).expect("a time-out");
    let idle = stream.read(&mut [0; 16]);
    let still_open = matches!(&idle, Err(error)
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(still_open, "the server ended an idle connection: {idle:?}");
    // A head that never ends is another matter.
    let mut half = std::net::TcpStream::connect(stand.address()).expect("a connection");
    half.write_all(b"GET /health HTTP/1.1\r\nHost:").expect("half a head");
    half.set_read_timeout(Some(crate::stand::SOON)).expect("a time-out");
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).expect("the server closes it");
    assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_busy_server_says_so_and_when_to_come_back_and_stores_nothing() {
    // Two passwords are checked at once; with no patience for the queue, some of eight must be told to wait.
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_QUEUE_MS", "20")]);
    let answers: Vec<(u16, bool)> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|n| {
                let stand = &stand;
                scope.spawn(move || {
                    let json = serde_json::json!({"email": format!("b{n}@example.org"), "password": "password 1"});
                    let answer = stand.post_json("/api/register", &json);
                    (answer.status(), answer.header("retry-after").is_some())
                })
            })
            .collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let busy = answers.iter().filter(|(status, _)| *status == 503).count();
    assert!(busy > 0, "{answers:?}");
    assert!(
        answers.iter().all(|(status, wait)| matches!((status, wait), (201, false) | (503, true))),
        "{answers:?}"
    );
    let made = stand.command(&["user", "list"], "").stdout.matches("@example.org").count();
    assert_eq!(made, answers.len() - busy);
}
