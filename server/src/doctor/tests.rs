//! What depends on the clock: no machine's own is set for a test.

use photosync_protocol::findings::{Finding, Verdict};

use super::{Server, examine};
use crate::accounts;
use crate::auth::passwords::PasswordCost;
use crate::boot::{BootOptions, boot};
use crate::clock::{Clock, DAY_MS};
use crate::config::{self, Config, Sources};

/// 2030-01-01, Unix milliseconds.
const THEN_MS: i64 = 1_893_456_000_000;

/// Data that was used in 2030.
async fn used(dir: &std::path::Path) -> Config {
    let settings = config::resolve(&Sources::default()).unwrap();
    let config = Config::parse(&settings, dir).unwrap();
    let clock = Clock::manual(THEN_MS);
    let options =
        BootOptions { password_cost: PasswordCost::CHEAP, clock, ..BootOptions::default() };
    let app = boot(config.clone(), options).await.unwrap();
    accounts::add(&app, "a@example.org", "password 1".into(), false).await.unwrap();
    app.db.close().await;
    config
}

fn at(config: &Config, now_ms: i64, check: &str) -> Finding {
    let findings = examine(config, &Clock::manual(now_ms), Server::Stopped);
    findings.into_iter().find(|finding| finding.check == check).unwrap()
}

#[tokio::test]
async fn a_clock_that_was_never_set_or_went_back_is_broken_and_one_that_went_on_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = used(dir.path()).await;
    let never = at(&config, 0, "clock");
    assert_eq!(never.verdict, Verdict::Broken);
    assert!(never.seen.contains("believes that it is 1970-01-01"), "{}", never.seen);
    let back = at(&config, THEN_MS - DAY_MS, "clock");
    assert_eq!(back.verdict, Verdict::Broken);
    assert!(back.seen.contains("but it was 2030-01-01 00:00 UTC here before"), "{}", back.seen);
    let off_by_a_minute = at(&config, THEN_MS - 60_000, "clock");
    assert_eq!(off_by_a_minute.verdict, Verdict::Fine);
    assert_eq!(at(&config, THEN_MS + 400 * DAY_MS, "clock").verdict, Verdict::Fine);
}

#[tokio::test]
async fn nothing_is_said_to_be_missing_in_a_library_without_photos() {
    let dir = tempfile::tempdir().unwrap();
    let config = used(dir.path()).await;
    for check in ["backup", "scrub"] {
        assert_eq!(at(&config, THEN_MS + 400 * DAY_MS, check).verdict, Verdict::Skipped);
    }
    assert_eq!(at(&config, THEN_MS, "accounts").seen.split(';').next(), Some("1 account"));
}
