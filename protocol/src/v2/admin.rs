//! What administrators see and do. Only a person at a browser whose account has the role `admin` gets in; everybody else,
//! and every token, gets 403.

use serde::{Deserialize, Deserializer, Serialize};

use crate::control::BackupStatus;
use crate::findings::Finding;

/// What an account may do on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Its own library, and everything here.
    Admin,
    /// Its own library.
    Creator,
    /// Its own library.
    Member,
    /// Looks at its library and downloads from it; adds nothing.
    Viewer,
}

impl Role {
    /// Every role, the strongest first.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Creator, Self::Member, Self::Viewer];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Creator => "creator",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    /// The role of this word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Whether an account can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum UserState {
    /// It can sign in.
    Active,
    /// Nobody has chosen its password yet.
    Pending,
    /// An administrator locked it: nothing signs in, nothing is deleted.
    Locked,
    /// It was deleted; until [`User::erased_after_ms`] it can be brought back.
    Deleted,
}

/// An account, as an administrator sees it. Never what is in its library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// UUID of the account.
    pub id: String,
    /// How it signs in.
    pub email: String,
    /// What its owner is called; may be empty.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it can be used.
    pub state: UserState,
    /// Originals that are held.
    pub held_count: i64,
    /// Their bytes: what a quota bounds.
    pub held_bytes: i64,
    /// Bytes of its sealed backups.
    pub sealed_bytes: i64,
    /// Most bytes of originals that it may hold; absent: as much as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<i64>,
    /// When the account was made.
    pub created_at_ms: i64,
    /// Phones and computers that are signed in.
    pub device_count: i64,
    /// When any of its sessions was last used (exact to 15 minutes); absent if none is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<i64>,
    /// When a device of it last found that everything it has is settled here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup_at_ms: Option<i64>,
    /// When its newest original arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_arrival_at_ms: Option<i64>,
    /// Until when the link works by which its password can be chosen, if one was handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_until_ms: Option<i64>,
    /// When its bytes are removed for good, if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_after_ms: Option<i64>,
}

/// `GET /api/v2/admin/users`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Users {
    /// By e-mail; deleted ones as long as they can be brought back.
    pub users: Vec<User>,
}

/// `POST /api/v2/admin/users`: 201 [`InvitedUser`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewUser {
    /// E-mail of the account; nothing is sent to it.
    pub email: String,
    /// What the person is called.
    #[serde(default)]
    pub name: String,
    /// What the account may do.
    pub role: Role,
    /// Most bytes of originals; absent: as much as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<i64>,
}

/// A new account, and the link by which its owner chooses a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvitedUser {
    /// The account.
    pub user: User,
    /// For its owner.
    pub link: HandedLink,
}

/// A link that works once. Whoever has it can use it; the server shows it this one time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandedLink {
    /// Path and secret: what follows the address of the server.
    pub path: String,
    /// Addresses of the server for browsers, the public one first.
    pub addresses: Vec<String>,
    /// When it stops working.
    pub expires_at_ms: i64,
}

/// `PATCH /api/v2/admin/users/{id}`: 200 [`User`]. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserEdit {
    /// Another role. Its browsers have to sign in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What the person is called, at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another quota in bytes; `null` takes it away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub quota_bytes: Option<Option<i64>>,
    /// Locks it, which ends its sessions, or unlocks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// `POST /api/v2/admin/users/{id}/password`: 200 [`Ended`].
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewPassword {
    /// At least 8 characters.
    pub password: String,
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LinkKind {
    /// Signs one browser in; works for a day.
    SignIn,
    /// Whoever opens it chooses a new password; works for 7 days.
    Password,
}

/// `POST /api/v2/admin/users/{id}/link`: 200 [`HandedLink`]. An earlier one of the same kind ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLink {
    /// What it is for.
    pub kind: LinkKind,
}

/// How many sessions were ended: browsers, phones and computers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ended {
    /// Those that were alive.
    pub sessions: i64,
}

/// `GET /api/v2/admin/storage`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// Folders that hold what is stored.
    pub places: Vec<StoragePlace>,
    /// Bytes of each disk that uploads leave free.
    pub reserve_bytes: u64,
    /// Originals of all accounts.
    pub held_count: i64,
    /// Their bytes.
    pub held_bytes: i64,
    /// Bytes of all sealed backups.
    pub sealed_bytes: i64,
    /// Originals in the trash of all accounts.
    pub trash_count: i64,
    /// Their bytes.
    pub trash_bytes: i64,
    /// Days that something stays in the trash.
    pub trash_days: i64,
}

/// A folder that holds what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoragePlace {
    /// `originals` or `sealed`.
    pub holds: String,
    /// Path on the server.
    pub path: String,
    /// Bytes that are free on its disk; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// `GET /api/v2/admin/jobs`: what the server does by itself, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Jobs {
    /// Previews.
    pub media: MediaJobs,
    /// Reading everything that is stored back.
    pub reading: Vec<ReadingBack>,
    /// Every byte is to be read back within so many days.
    pub reading_days: i64,
    /// Backups of the server itself.
    pub backup: BackupStatus,
    /// Devices without a complete backup for too long, the longest first; at most 20.
    pub overdue: Vec<crate::control::OverdueDevice>,
}

/// How far the making of previews is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaJobs {
    /// Originals that wait.
    pub waiting: i64,
    /// Those without a preview, by the class of the failure.
    pub failed: Vec<MediaFailure>,
    /// Programs that are not on the server.
    pub missing_programs: Vec<MissingProgram>,
}

/// A class of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaFailure {
    /// Stable word, as in docs/OPERATIONS.md.
    pub class: String,
    /// Originals that failed so.
    pub count: i64,
}

/// A program without which some previews are not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingProgram {
    /// What it is for.
    pub purpose: String,
    /// Package of Debian that has it.
    pub package: String,
}

/// How far the reading back of one kind of bytes is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadingBack {
    /// `originals` or `sealed`.
    pub holds: String,
    /// Every byte was read back, or came, at this time or later; absent if there is nothing to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at_ms: Option<i64>,
}

/// `POST /api/v2/admin/jobs/media/retry`: 200 [`Retried`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetryMedia {
    /// Only failures of this class; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// How many are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retried {
    /// Originals.
    pub count: i64,
}

/// `GET /api/v2/admin/health`: what `photosync-server doctor` says of the data, looked at now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// When it was looked at.
    pub looked_at_ms: i64,
    /// In the order in which they are told.
    pub findings: Vec<Finding>,
}

/// `GET /api/v2/admin/updates`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Updates {
    /// Version that runs.
    pub version: String,
    /// A newer one that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_version: Option<String>,
    /// Whether the server looks for one every day (setting `update.check`).
    pub looks_daily: bool,
    /// Whether there is a place where releases come from: without one nothing can be looked for.
    pub has_source: bool,
    /// What keeps the program up to date, if a package brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_manager: Option<String>,
}

/// `GET /api/v2/admin/settings`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// The data folder.
    pub data_folder: String,
    /// In the order of docs/CONFIG.md.
    pub settings: Vec<SettingShown>,
}

/// Where the value of a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SettingOrigin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// A credential of the service.
    Credential,
    /// The environment.
    Variable,
    /// The command line.
    Flag,
}

/// A setting and its value. A secret has none here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingShown {
    /// `section.key`
    pub name: String,
    /// As text; absent if it is not set, and of every secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether it is a secret: then only [`Self::is_set`] tells of it.
    pub is_secret: bool,
    /// Whether it has a value.
    pub is_set: bool,
    /// Where the value came from.
    pub origin: SettingOrigin,
    /// Name of the file or the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_name: Option<String>,
    /// The variable by which it is set.
    pub variable: String,
    /// What it means, in English.
    pub help: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_can_be_left_alone_changed_and_taken_away() {
        let of = |text: &str| serde_json::from_str::<UserEdit>(text).unwrap().quota_bytes;
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"{"quota_bytes":5}"#), Some(Some(5)));
        assert_eq!(of(r#"{"quota_bytes":null}"#), Some(None));
    }

    #[test]
    fn every_role_is_found_by_its_word_and_nothing_else_is_one() {
        for role in Role::ALL {
            assert_eq!(Role::find(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!(Role::find("Admin"), None);
    }
}
