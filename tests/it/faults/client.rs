//! The product's client behind something that caps bodies: it finds out by itself how large a piece may be, and ends.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use photosync_client::backup::{self, Options};
use photosync_client::connection::Connection;
use photosync_client::error::Result;
use photosync_client::profile::Profile;
use photosync_client::report::{BackupSummary, Quiet};
use photosync_client::scan::Rules;
use photosync_client::signing_in::{First, reach, sign_in};
use photosync_tests::proxy::{Cut, FaultProxy, Plan};
use photosync_tests::seeded::SeededFile;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::stand::{PASSWORD, Person, Stand};

const CAP_BYTES: u64 = 1_000_000;

/// One that is resumed from the beginning, and one that a single request would bring if it were let through.
const LARGE: (&str, u64) = ("large.mp4", 9 * 1024 * 1024);
const SMALL: (&str, u64) = ("small.jpg", 2_000_000);

/// A computer with two files and the client on it.
struct Computer {
    home: TempDir,
    profile: Profile,
}

impl Computer {
    fn new() -> Computer {
        let home = tempfile::tempdir().expect("a temporary folder");
        let photos = home.path().join("photos");
        fs::create_dir(&photos).expect("a folder");
        for (seed, (name, size_bytes)) in [LARGE, SMALL].into_iter().enumerate() {
            let bytes = SeededFile::new(seed as u64, size_bytes).to_vec();
            fs::write(photos.join(name), bytes).expect("a written file");
        }
        let profile = Profile::at(home.path().join("profile"));
        Computer { home, profile }
    }

    /// Signs in at this address and backs everything up, in a process of its own as it were.
    fn back_up(&self, address: SocketAddr, person: &Person) -> Result<BackupSummary> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (report, stop) = (Arc::new(Quiet), CancellationToken::new());
            let first = First { report: report.clone(), stop: stop.clone() };
            let url = format!("http://{address}");
            let server = reach(&first, &url, None, &|_, _| Ok(false)).await?;
            sign_in(&server, &self.profile, &person.email, PASSWORD, "Test computer").await?;
            let connection = Arc::new(Connection::signed_in(&self.profile, report, stop)?);
            backup::run(connection, &self.profile, &self.options()).await
        })
    }

    fn options(&self) -> Options {
        let rules = Rules::new(&[], false).expect("no patterns");
        // One after the other: what is learnt with the first file serves the second.
        Options { paths: vec![self.photos()], rules, parallel: 1, limit: None }
    }

    fn photos(&self) -> PathBuf {
        self.home.path().join("photos")
    }
}

fn require_both(stand: &Stand, person: &Person, summary: &BackupSummary) {
    assert!(summary.complete, "{summary:?}");
    assert_eq!((summary.sent_files, summary.failed_files), (2, 0), "{summary:?}");
    let bytes = |seed, size_bytes| SeededFile::new(seed, size_bytes).to_vec();
    person.require_library(&[(LARGE.0, &bytes(0, LARGE.1)), (SMALL.0, &bytes(1, SMALL.1))]);
    assert_eq!(person.staged(), 0, "no upload is left");
    stand.require_agreement();
}

/// How often the server itself refused a body, by its log.
fn refused(stand: &Stand) -> usize {
    stand.log().matches("too_large").count()
}

#[test]
fn a_client_behind_a_proxy_that_says_nothing_tries_smaller_pieces_until_they_pass() {
    let stand = Stand::new(&[]);
    let person = stand.person();
    let proxy = FaultProxy::start(stand.address(), |_| Plan::capped(CAP_BYTES)).expect("a proxy");
    let summary = Computer::new().back_up(proxy.address(), &person).expect("a backup");
    require_both(&stand, &person, &summary);
    // Neither file fits: each piece passed the cap, and the refusals were not paid with the whole file each time.
    let whole = LARGE.1 + SMALL.1;
    let up = proxy.total().up_bytes;
    assert!((whole..whole + whole / 10).contains(&up), "{up} bytes reached the server");
}

#[test]
fn a_client_that_is_told_the_limit_by_the_server_never_meets_it() {
    let cap = CAP_BYTES.to_string();
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_BODY_BYTES", &cap)]);
    let person = stand.person();
    let proxy = FaultProxy::start(stand.address(), |_| Plan::pass()).expect("a proxy");
    let summary = Computer::new().back_up(proxy.address(), &person).expect("a backup");
    require_both(&stand, &person, &summary);
    assert_eq!(refused(&stand), 0, "{}", stand.log());
    let whole = LARGE.1 + SMALL.1;
    let left = proxy.total().left_client_bytes;
    assert!((whole..whole + 64 * 1024).contains(&left), "{left} bytes left the client");
}

#[test]
fn a_limit_set_on_the_server_for_its_proxy_makes_pieces_that_fit_both() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_BODY_BYTES", "700000")]);
    let person = stand.person();
    let proxy = FaultProxy::start(stand.address(), |_| Plan::capped(CAP_BYTES)).expect("a proxy");
    let summary = Computer::new().back_up(proxy.address(), &person).expect("a backup");
    require_both(&stand, &person, &summary);
    assert_eq!(refused(&stand), 0, "{}", stand.log());
}

#[test]
fn a_cap_that_appears_in_the_middle_of_a_file_is_learnt_from_the_refusal() {
    let stand = Stand::new(&[("PHOTOSYNC_LIMITS_BODY_BYTES", "4000000")]);
    let person = stand.person();
    // The connections of the sign-in and of the backup: the second ends in the second piece of the large file, and behind
    // it less passes.
    let proxy = FaultProxy::start(stand.address(), |number| match number {
        0 => Plan::pass(),
        1 => Plan::cut_up(5_000_000, Cut::Reset),
        _ => Plan::capped(CAP_BYTES),
    });
    let proxy = proxy.expect("a proxy");
    let summary = Computer::new().back_up(proxy.address(), &person).expect("a backup");
    require_both(&stand, &person, &summary);
}

#[test]
fn every_place_at_which_an_answer_can_break_off_is_survived() {
    let stand = Stand::new(&[]);
    for at in (0..2000).step_by(180) {
        let person = stand.person();
        let proxy = FaultProxy::start(stand.address(), |_| Plan::pass()).expect("a proxy");
        let computer = Computer::new();
        fs::remove_file(computer.photos().join(LARGE.0)).expect("a removed file");
        // Signing in passes on the first connection; the backup's first one is cut.
        proxy.set_planner(move |number| match number {
            1 => Plan::cut_down(at, Cut::Reset),
            _ => Plan::pass(),
        });
        let summary = computer.back_up(proxy.address(), &person);
        let summary = summary.unwrap_or_else(|error| panic!("cut at {at}: {error}"));
        assert!(summary.complete && summary.failed_files == 0, "cut at {at}: {summary:?}");
        let small = SeededFile::new(1, SMALL.1).to_vec();
        person.require_library(&[(SMALL.0, &small)]);
    }
    stand.require_agreement();
}
