//! What a tray asks of the server beside it, over the loopback control listener (`run.json`, token in
//! `secrets/control`).

use serde::{Deserialize, Serialize};

/// `GET` with the control token: lines of [`Status`] as JSON, one at once, another after every
/// [`STATUS_EVERY_MS`], until either end stops. An end of the stream is the end of the server.
pub const STATUS_PATH: &str = "/control/status";

/// `POST` with the control token: the server stops as after SIGTERM. The answer comes first.
pub const STOP_PATH: &str = "/control/stop";

/// `POST` with the control token: opens the page for pairing a phone; the answer is an [`OpenedPage`].
pub const PAIR_PAGE_PATH: &str = "/control/pages/pair";

/// `POST` with the control token: opens the web app, signed in; the answer is an [`OpenedPage`]. Where there are several
/// accounts, the page asks for whom.
pub const WEB_PAGE_PATH: &str = "/control/pages/web";

/// `POST` with the control token and a [`PairComputer`] as JSON: this computer's own client may sign in; the answer is a
/// [`PairingOffer`](crate::v2::session::PairingOffer). Nobody types a password: who holds the control token has the data.
pub const PAIR_COMPUTER_PATH: &str = "/control/devices";

/// Whose device this computer becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairComputer {
    /// E-mail of the account.
    pub email: String,
}

/// A page for the person at this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedPage {
    /// Where it is on the control listener. It can be opened once, within a minute.
    pub path: String,
}

/// Milliseconds between two lines of the status: what a tray shows is never older than twice this.
pub const STATUS_EVERY_MS: u64 = 1_000;

/// How a running server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the server program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Port of the public listener that a person types.
    pub port: u16,
    /// Fingerprint of its identity key: which server it is, wherever it listens.
    #[serde(default)]
    pub fingerprint: String,
    /// Accounts that can sign in.
    pub accounts: u64,
    /// Originals stored since this server started.
    pub stored: u64,
    /// Bytes of uploads received since this server started: it grows while somebody sends.
    pub received_bytes: u64,
    /// Whether another machine has reached this server since it started.
    pub was_reached: bool,
    /// Free bytes of the disk of the originals; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// E-mails of the accounts that can sign in, the first [`MAX_PEOPLE`] of the alphabet: whom this computer can back up as.
    #[serde(default)]
    pub people: Vec<String>,
    /// Devices that are signed in and have had no complete backup for longer than `sync.overdue_days`; at most a minute
    /// old.
    #[serde(default)]
    pub overdue: Vec<OverdueDevice>,
    /// A newer version that this server has found at its release source, if it looked and there is one.
    #[serde(default)]
    pub newer_version: Option<String>,
    /// How the backups of the server itself are doing; an earlier server does not say.
    #[serde(default)]
    pub backup: BackupStatus,
}

/// How the backups of a server are doing. Times are Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupStatus {
    /// The folder into which it backs itself up; `None` if it does not.
    #[serde(default)]
    pub target: Option<String>,
    /// When it last made a backup, by itself or by hand; `None` if it never did.
    #[serde(default)]
    pub made_at_ms: Option<i64>,
    /// Why the last backup that it wanted to make by itself came to nothing, or what it lacks.
    #[serde(default)]
    pub failure: Option<String>,
    /// When a backup was last restored on trial and found whole; `None` if none ever was.
    #[serde(default)]
    pub proved_at_ms: Option<i64>,
    /// When that backup was made.
    #[serde(default)]
    pub proved_made_at_ms: Option<i64>,
    /// What was wrong at the last trial, if anything was.
    #[serde(default)]
    pub drill_failure: Option<String>,
}

/// What `photosync-server check-update --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAnswer {
    /// The version that can be installed, if there is one.
    pub newer_version: Option<String>,
    /// The same for people, and what else there is to say.
    pub text: String,
}

/// Accounts named in a status at most: a menu with more cannot be used.
pub const MAX_PEOPLE: usize = 20;

/// A device without a backup for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OverdueDevice {
    /// Its id, which stays the same for as long as it is signed in.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// E-mail of its account.
    pub email: String,
    /// Whole days since its last complete backup or, before the first one, since it came.
    pub days: u64,
    /// Whether it never had a complete backup.
    pub is_first: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_later_or_an_earlier_server_is_read_too() {
        let line = r#"{"version":"9","pid":1,"port":3000,"accounts":2,"stored":3,"received_bytes":4,
                       "was_reached":true,"free_bytes":null,"new":{}}"#;
        let status: Status = serde_json::from_str(line).unwrap();
        assert_eq!((status.port, status.free_bytes), (3000, None));
        assert!(
            status.people.is_empty() && status.overdue.is_empty(),
            "an earlier server says neither"
        );
        assert_eq!(status.backup, BackupStatus::default());
    }
}
