//! What a tray shows of this server: a line a second over the loopback listener, until one of both ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use photosync_protocol::control::{MAX_PEOPLE, OverdueDevice, STATUS_EVERY_MS, Status};

use crate::accounts::{devices, queries};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::upkeep::backup;

/// Overdue devices are looked for this often: a minute is little of the days that they count.
const OVERDUE_EVERY_MS: i64 = 60_000;

/// What one listener was told of overdue devices, and when that was found.
#[derive(Default)]
struct Overdue {
    devices: Vec<OverdueDevice>,
    found_at_ms: Option<i64>,
}

impl Overdue {
    /// Those devices, looked for anew when that was too long ago.
    async fn look(&mut self, app: &App) -> Result<Vec<OverdueDevice>> {
        let now_ms = app.clock.now_ms();
        // A clock that was set back counts as too long ago, too.
        let is_fresh = |at: i64| (0..OVERDUE_EVERY_MS).contains(&(now_ms - at));
        if !self.found_at_ms.is_some_and(is_fresh) {
            self.devices = devices::list_overdue(app).await?;
            self.found_at_ms = Some(now_ms);
        }
        Ok(self.devices.clone())
    }
}

/// How this server is now.
async fn status(app: &App, overdue: &mut Overdue) -> Result<Status> {
    let read = |tx: &mut dyn crate::db::Tx| -> crate::db::DbResult<(i64, Vec<String>)> {
        Ok((queries::count_active(tx)?, queries::list_active_emails(tx, MAX_PEOPLE)?))
    };
    let (accounts, people) = app.db.read(read).await?;
    Ok(Status {
        version: crate::updates::running_version().into(),
        pid: std::process::id(),
        port: app.presence.listening().first().map_or(0, std::net::SocketAddr::port),
        fingerprint: app.identity.fingerprint().to_string(),
        accounts: u64::try_from(accounts).unwrap_or(0),
        stored: app.metrics.stored.get(),
        received_bytes: app.metrics.received_bytes.get(),
        was_reached: app.presence.was_reached(),
        free_bytes: app.originals.free_bytes().await.ok(),
        people,
        overdue: overdue.look(app).await?,
        newer_version: app.newer_version(),
        backup: backup::status(app).await?,
    })
}

async fn line(app: &App, overdue: &mut Overdue) -> Result<String> {
    let mut line = serde_json::to_string(&status(app, overdue).await?)
        .map_err(|source| Error::internal("write down the state").caused_by(source))?;
    line.push('\n');
    Ok(line)
}

/// Lines of [`Status`], the first at once. The stream ends with the process: until then the data folder is held, and who
/// waits for the end of a server must not start another.
pub async fn stream_status(app: App) -> Result<Response> {
    let mut overdue = Overdue::default();
    let first = line(&app, &mut overdue).await?;
    let later = stream::unfold((app, overdue), |(app, mut overdue)| async {
        tokio::time::sleep(Duration::from_millis(STATUS_EVERY_MS)).await;
        match line(&app, &mut overdue).await {
            Ok(line) => Some((Ok::<_, Infallible>(line), (app, overdue))),
            // Closed already: nothing more to tell.
            Err(_) if app.is_stopping() => std::future::pending().await,
            Err(_) => None,
        }
    });
    let lines = stream::iter([Ok(first)]).chain(later);
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    Ok(([kind], Body::from_stream(lines)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use photosync_protocol::v2::session::PairingClaim;

    use crate::accounts::native::Uploader;
    use crate::auth::passwords::PasswordCost;
    use crate::boot::{BootOptions, boot};
    use crate::clock::{Clock, DAY_MS};
    use crate::config::{self, Config};
    use crate::{accounts, library, pairing};

    fn days(count: i64) -> Duration {
        Duration::from_millis(u64::try_from(count * DAY_MS).unwrap())
    }

    #[tokio::test]
    async fn a_device_is_overdue_from_the_eighth_day_until_a_complete_backup_and_gone_once_signed_out()
     {
        let dir = tempfile::tempdir().unwrap();
        let settings = config::resolve(&config::Sources::default()).unwrap();
        let clock = Clock::manual(1_700_000_000_000);
        let options = BootOptions {
            password_cost: PasswordCost::CHEAP,
            clock: clock.clone(),
            ..BootOptions::default()
        };
        let app = boot(Config::parse(&settings, dir.path()).unwrap(), options).await.unwrap();
        let account =
            accounts::add(&app, "a@example.org", "password 1".into(), false).await.unwrap();
        let offer = pairing::offer(&app, account.account_uuid).await.unwrap();
        let claim = PairingClaim {
            code: Some(offer.code),
            token: None,
            device_name: "Anna's phone".into(),
            device_id: None,
        };
        let session = pairing::claim(&app, claim).await.unwrap();
        let mut listener = Overdue::default();
        let before = status(&app, &mut listener).await.unwrap();
        assert_eq!(
            (before.people.as_slice(), before.overdue.len()),
            (&["a@example.org".to_owned()][..], 0)
        );

        clock.advance(days(7));
        assert!(listener.look(&app).await.unwrap().is_empty(), "not on the seventh day");
        clock.advance(days(1));
        let late = listener.look(&app).await.unwrap();
        let wanted = OverdueDevice {
            id: session.device_id.clone(),
            name: "Anna's phone".into(),
            email: "a@example.org".into(),
            days: 8,
            is_first: true,
        };
        assert_eq!(late, std::slice::from_ref(&wanted));

        let phone =
            Uploader { account: account.account_uuid, device_id: session.device_id.clone() };
        let nothing = library::settled::compare(&app, &phone, Default::default()).await.unwrap();
        assert!(nothing.is_none(), "it has what the server thinks it has");
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(listener.look(&app).await.unwrap(), [wanted], "a minute old at most");
        clock.advance(Duration::from_millis(1));
        assert!(listener.look(&app).await.unwrap().is_empty());
        clock.advance(days(9));
        let again = listener.look(&app).await.unwrap();
        assert_eq!((again[0].days, again[0].is_first), (9, false));

        accounts::disable(&app, account.account_uuid).await.unwrap();
        clock.advance(days(1));
        let after = status(&app, &mut listener).await.unwrap();
        assert!(
            after.people.is_empty() && after.overdue.is_empty(),
            "nobody can do anything about it"
        );
    }
}
