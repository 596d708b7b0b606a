//! What only a clock that can be set shows.

use std::time::Duration;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::admin::{LinkKind, NewUser, Role};

use super::*;
use crate::accounts;
use crate::accounts::web::SignedIn;
use crate::auth::passwords::PasswordCost;
use crate::boot::{BootOptions, boot};
use crate::clock::Clock;
use crate::config::{self, Config};

struct Office {
    app: App,
    clock: Clock,
    admin: Admin,
    _folder: tempfile::TempDir,
}

/// A server with an administrator at a browser.
async fn office() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let settings = config::resolve(&config::Sources::default()).unwrap();
    let clock = Clock::manual(1_700_000_000_000);
    let options = BootOptions {
        password_cost: PasswordCost::CHEAP,
        clock: clock.clone(),
        ..BootOptions::default()
    };
    let app = boot(Config::parse(&settings, folder.path()).unwrap(), options).await.unwrap();
    accounts::add(&app, "ada@example.org", "password 1".into(), true).await.unwrap();
    let SignedIn { cookie, .. } =
        web::sign_in(&app, "ada@example.org", "password 1", "").await.unwrap();
    let person = web::authenticate(&app, &cookie).await.unwrap();
    let admin = authenticate(&app, person).await.unwrap();
    Office { app, clock, admin, _folder: folder }
}

fn days(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count * DAY_MS).unwrap())
}

fn secret(link: &HandedLink) -> String {
    link.path.split_once('#').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_link_to_choose_a_password_works_for_seven_days_and_not_a_moment_longer() {
    let office = office().await;
    let app = &office.app;
    let new = |email: &str| NewUser {
        email: email.into(),
        name: String::new(),
        role: Role::Member,
        quota_bytes: None,
    };
    let early = invite(app, &office.admin, new("ben@example.org")).await.unwrap();
    let late = invite(app, &office.admin, new("eve@example.org")).await.unwrap();
    office.clock.advance(days(7) - Duration::from_millis(1));
    web::accept_invitation(app, &secret(&early.link), "password 2".into(), "").await.unwrap();
    office.clock.advance(Duration::from_millis(1));
    let refused = web::accept_invitation(app, &secret(&late.link), "password 2".into(), "").await;
    assert_eq!(refused.err().map(|error| error.code), Some(ErrorCode::Unauthorised));
    let users = list(app, &office.admin).await.unwrap().users;
    let eve = users.iter().find(|user| user.email == "eve@example.org").unwrap();
    assert_eq!(eve.link_until_ms, None, "and the list says so");
    let account = Uuid::try_parse(&eve.id).unwrap();
    let again = offer_link(app, &office.admin, account, LinkKind::Password).await.unwrap();
    web::accept_invitation(app, &secret(&again), "password 3".into(), "").await.unwrap();
}

#[tokio::test]
async fn an_administrator_whose_session_is_over_changes_nothing_although_the_request_was_let_in() {
    let office = office().await;
    let ben = accounts::add(&office.app, "ben@example.org", "password 1".into(), false);
    let ben = ben.await.unwrap().account_uuid;
    accounts::disable(&office.app, office.admin.account()).await.unwrap();
    let change = UserEdit { role: Some(Role::Admin), ..UserEdit::default() };
    let refused = edit(&office.app, &office.admin, ben, change).await;
    assert_eq!(refused.err().map(|error| error.code), Some(ErrorCode::Unauthorised));
    let row = office.app.db.read(move |tx| rows::find_by_uuid(tx, ben)).await.unwrap().unwrap();
    assert_eq!(row.role, "creator");
}
