//! The wire of the existing phone and desktop clients (version 1). Field names are theirs.

use serde::{Deserialize, Serialize};

/// The port existing phone and desktop apps dial.
pub const DEFAULT_PORT: u16 = 3000;

/// Header with the device UUID, required beside the token on every authenticated version-1 route.
pub const DEVICE_UUID_HEADER: &str = "x-device-uuid";
/// Header with the name of a raw upload.
pub const FILENAME_HEADER: &str = "x-filename";
/// Other spelling of [`FILENAME_HEADER`].
pub const FILENAME_HEADER_ALIAS: &str = "x-file-name";
/// Header with the hex SHA-256 of a relay chunk.
pub const CHUNK_ID_HEADER: &str = "x-chunk-id";

/// Failures of the device-bound password reset carry this hint, whatever the reason.
pub const RESET_HINT: &str = "device_mismatch";

/// `POST /api/register`
#[derive(Debug, Deserialize)]
pub struct RegisterRequest {
    /// E-mail as typed.
    pub email: Option<String>,
    /// Password as typed.
    pub password: Option<String>,
    /// Derived device UUID.
    pub device_uuid: Option<String>,
    /// Other spelling of `device_uuid`.
    #[serde(rename = "deviceUuid")]
    pub device_uuid_camel: Option<String>,
    /// Opaque id of the hardware, for the device-bound reset.
    pub hardware_device_id: Option<String>,
    /// Wished plan in GB; only 100, 200, 400 and 1000 count.
    pub plan_gb: Option<serde_json::Value>,
}

/// Answer to `POST /api/register` (201).
#[derive(Debug, Serialize, Deserialize)]
pub struct RegisterAnswer {
    /// A sentence for people.
    pub message: String,
    /// Token for the device UUID that was sent.
    pub token: String,
    /// Random 53-bit account number.
    #[serde(rename = "userId")]
    pub user_id: i64,
}

/// `POST /api/login`
#[derive(Debug, Deserialize)]
pub struct LoginRequest {
    /// E-mail as typed.
    pub email: Option<String>,
    /// Password as typed.
    pub password: Option<String>,
    /// Derived device UUID.
    pub device_uuid: Option<String>,
    /// What the person calls the device.
    pub device_name: Option<String>,
}

/// Answer to `POST /api/login` (200).
#[derive(Debug, Serialize, Deserialize)]
pub struct LoginAnswer {
    /// Token for the device UUID that was sent.
    pub token: String,
    /// Random 53-bit account number.
    #[serde(rename = "userId")]
    pub user_id: i64,
}

/// `POST /api/reset-password-device`
#[derive(Debug, Deserialize)]
pub struct ResetRequest {
    /// E-mail as typed.
    pub email: Option<String>,
    /// What was stored at registration.
    pub hardware_device_id: Option<String>,
    /// New password, at least 6 characters.
    #[serde(rename = "newPassword")]
    pub new_password: Option<String>,
}

/// `{message}`
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    /// A sentence for people.
    pub message: String,
}

/// `{ok: true}`
#[derive(Debug, Serialize, Deserialize)]
pub struct Ok {
    /// Always true.
    pub ok: bool,
}

/// Answer to both uploads (200).
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadAnswer {
    /// A sentence for people.
    pub message: String,
    /// The listed name the bytes are stored under.
    pub filename: String,
    /// Present and true only if the same bytes were held when the request began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// One row of `GET /api/files`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedFile {
    /// Listed name.
    pub filename: String,
    /// Bytes.
    pub size: i64,
    /// Time of arrival, ISO 8601 UTC with milliseconds.
    pub created_at: String,
}

/// `GET /api/files`
#[derive(Debug, Serialize, Deserialize)]
pub struct FileList {
    /// In order of arrival.
    pub files: Vec<ListedFile>,
    /// All held files, whatever the page.
    pub total: i64,
}

/// `POST /api/files/purge`
#[derive(Debug, Serialize, Deserialize)]
pub struct FilesPurged {
    /// Always true.
    pub ok: bool,
    /// How many.
    pub deleted: FilesDeleted,
}

/// Part of [`FilesPurged`].
#[derive(Debug, Serialize, Deserialize)]
pub struct FilesDeleted {
    /// Files moved to the trash.
    pub files: i64,
}

/// `POST /api/cloud/chunks`
#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkStored {
    /// Hex SHA-256 of the body.
    #[serde(rename = "chunkId")]
    pub chunk_id: String,
    /// Always true, also for a chunk that was there already.
    pub stored: bool,
}

/// `POST /api/cloud/manifests`
#[derive(Debug, Deserialize)]
pub struct ManifestRequest {
    /// Chosen by the client.
    #[serde(rename = "manifestId")]
    pub manifest_id: Option<String>,
    /// Opaque text; the envelope of the old clients is a JSON string.
    #[serde(rename = "encryptedManifest")]
    pub encrypted_manifest: Option<String>,
    /// How many chunks the file has; 0 and less are refused.
    #[serde(rename = "chunkCount")]
    pub chunk_count: Option<serde_json::Value>,
}

/// Answer to `POST /api/cloud/manifests`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ManifestStored {
    /// Always true.
    pub ok: bool,
    /// The id as kept.
    #[serde(rename = "manifestId")]
    pub manifest_id: String,
    /// Present and true if the id was there already; the first writer wins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// `manifestId` if skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One row of [`ManifestList`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedManifest {
    /// Id of the manifest.
    #[serde(rename = "manifestId")]
    pub manifest_id: String,
}

/// `GET /api/cloud/manifests`
#[derive(Debug, Serialize, Deserialize)]
pub struct ManifestList {
    /// In order of ids.
    pub manifests: Vec<ListedManifest>,
    /// All manifests, whatever the page.
    pub total: i64,
}

/// `GET /api/cloud/manifests/{id}`; also the stored file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Id of the manifest.
    #[serde(rename = "manifestId")]
    pub manifest_id: String,
    /// Exactly the text that was posted.
    #[serde(rename = "encryptedManifest")]
    pub encrypted_manifest: String,
    /// ISO 8601 UTC with milliseconds.
    #[serde(rename = "createdAt")]
    pub created_at: String,
}

/// Subscription object of `GET /api/subscription/status`, also part of [`Usage`]. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// Whether uploading is allowed at all (true also in the grace period).
    pub allowed: bool,
    /// `active`, `trial`, `trial_expired`, `grace`, `grace_expired`, `deleted` or `none`.
    pub status: String,
    /// End of the paid period.
    #[serde(rename = "expiresAt")]
    pub expires_at: Option<i64>,
    /// End of the grace period.
    #[serde(rename = "graceUntil")]
    pub grace_until: Option<i64>,
    /// Size of the plan.
    #[serde(rename = "planGb")]
    pub plan_gb: Option<i64>,
    /// End of the trial; only in trial states and `none`.
    #[serde(rename = "trialUntil", skip_serializing_if = "Option::is_none")]
    pub trial_until: Option<i64>,
    /// When the plan's data was deleted; only in `deleted`.
    #[serde(rename = "deletedAt", skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<i64>,
}

/// `GET /api/cloud/usage`
#[derive(Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Size of the plan in GB (10⁹ bytes).
    #[serde(rename = "planGb")]
    pub plan_gb: Option<i64>,
    /// Plan and margin.
    #[serde(rename = "quotaBytes")]
    pub quota_bytes: i64,
    /// Sealed bytes stored.
    #[serde(rename = "usedBytes")]
    pub used_bytes: i64,
    /// What still fits; old clients refuse to start below 1.1 × their selection.
    #[serde(rename = "remainingBytes")]
    pub remaining_bytes: i64,
    /// Tolerance over the plan.
    #[serde(rename = "marginBytes")]
    pub margin_bytes: i64,
    /// The plan.
    pub subscription: Subscription,
    /// Free bytes of the disk.
    #[serde(rename = "serverFreeBytes")]
    pub server_free_bytes: Option<i64>,
}

/// `POST /api/cloud/purge`
#[derive(Debug, Serialize, Deserialize)]
pub struct RelayPurged {
    /// Always true.
    pub ok: bool,
    /// How many.
    pub deleted: RelayDeleted,
}

/// Part of [`RelayPurged`].
#[derive(Debug, Serialize, Deserialize)]
pub struct RelayDeleted {
    /// Chunks moved to the trash.
    pub chunks: i64,
    /// Manifests moved to the trash.
    pub manifests: i64,
}

/// `GET /api/cloud/device-state`; both null when none was put.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceState {
    /// Opaque object.
    pub state: Option<serde_json::Value>,
    /// Unix milliseconds.
    #[serde(rename = "updatedAt")]
    pub updated_at: Option<i64>,
}

/// `PUT /api/cloud/device-state`
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceStatePut {
    /// Always true.
    pub ok: bool,
    /// Unix milliseconds.
    #[serde(rename = "updatedAt")]
    pub updated_at: i64,
}

/// `DELETE /api/account`
#[derive(Debug, Serialize, Deserialize)]
pub struct AccountDeleted {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: String,
}
