//! What only a clock that can be moved shows of pairing.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::accounts;
use crate::accounts::native::Member;
use crate::auth::passwords::PasswordCost;
use crate::boot::{BootOptions, boot};
use crate::clock::Clock;
use crate::config::{self, Config};

async fn server(dir: &Path) -> (App, Clock, Uuid) {
    let settings = config::resolve(&config::Sources::default()).unwrap();
    let clock = Clock::manual(1_700_000_000_000);
    let options = BootOptions {
        password_cost: PasswordCost::CHEAP,
        clock: clock.clone(),
        ..BootOptions::default()
    };
    let app = boot(Config::parse(&settings, dir).unwrap(), options).await.unwrap();
    let account = accounts::add(&app, "a@example.org", "password 1".into(), false).await.unwrap();
    (app, clock, account.account_uuid)
}

fn by_code(code: &str) -> PairingClaim {
    PairingClaim {
        code: Some(code.to_owned()),
        token: None,
        device_name: "phone".into(),
        device_id: None,
    }
}

async fn opens(app: &App, code: &str) -> bool {
    match claim(app, by_code(code)).await {
        Ok(_) => true,
        Err(error) if error.code == ErrorCode::Unauthorised => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn an_offer_lives_five_minutes_and_not_a_millisecond_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (app, clock, account) = server(dir.path()).await;
    let first = offer(&app, account).await.unwrap();
    let second = offer(&app, account).await.unwrap();
    clock.advance(Duration::from_millis(299_999));
    assert!(opens(&app, &first.code).await);
    clock.advance(Duration::from_millis(1));
    assert!(!opens(&app, &second.code).await);
}

#[tokio::test]
async fn a_fifth_offer_ends_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (app, clock, account) = server(dir.path()).await;
    let mut offers = Vec::new();
    for _ in 0..5 {
        offers.push(offer(&app, account).await.unwrap());
        clock.advance(Duration::from_millis(1));
    }
    assert!(!opens(&app, &offers[0].code).await);
    for offer in &offers[1..] {
        assert!(opens(&app, &offer.code).await);
    }
}

#[tokio::test]
async fn a_device_without_an_inventory_is_overdue_a_week_after_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let (app, clock, account) = server(dir.path()).await;
    let offer = offer(&app, account).await.unwrap();
    let session = claim(&app, by_code(&offer.code)).await.unwrap();
    let member =
        Member { account, session_id: String::new(), device_id: session.device_id.clone() };
    clock.advance(Duration::from_secs(7 * 86_400));
    let listed = accounts::devices::list(&app, &member).await.unwrap();
    assert!(!listed.devices[0].overdue && listed.devices[0].this);
    clock.advance(Duration::from_millis(1));
    let listed = accounts::devices::list(&app, &member).await.unwrap();
    assert_eq!((listed.devices.len(), listed.devices[0].overdue), (1, true));
    // Half a year without a word: its session is over, and it is not shown as signed in.
    clock.advance(Duration::from_secs(180 * 86_400));
    assert!(accounts::devices::list(&app, &member).await.unwrap().devices.is_empty());
}
