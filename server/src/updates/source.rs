//! Gets a release from its source: a static folder behind a URL, or on a disk. Blocks; nothing here decides anything.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use self_update::Download;

use super::rules::{Manifest, ReleaseKey, read_manifest};
use super::{UpdateError, failed};

/// Longest manifest, bytes: some thousand releases.
const MANIFEST_BYTES: u64 = 1 << 20;
/// Longest archive, bytes (512 MiB): a source must not be able to fill the disk.
const ARCHIVE_BYTES: u64 = 512 << 20;
/// For a manifest and its signature.
const SOON: Duration = Duration::from_secs(30);
/// For an archive: 30 MB at 10 kB/s.
const LONG: Duration = Duration::from_secs(3600);

fn is_url(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}

/// Writes what `from` (a URL, or a path) holds to `to`: at most `limit` bytes.
fn get(from: &str, to: &mut dyn Write, limit: u64, within: Duration) -> Result<(), UpdateError> {
    let broken = |cause: String| UpdateError::Failed(format!("could not get {from}: {cause}"));
    crate::fault::point("update.download").map_err(|error| broken(error.to_string()))?;
    if is_url(from) {
        return Download::from_url(from)
            .show_download_progress(false)
            .timeout(within)
            .max_download_size(limit)
            .download_to(to)
            .map_err(|error| broken(error.to_string()));
    }
    let file = File::open(from).map_err(|error| broken(error.to_string()))?;
    let copied = std::io::copy(&mut file.take(limit + 1), to);
    match copied.map_err(|error| broken(error.to_string()))? {
        bytes if bytes > limit => Err(broken(format!("it has more than {limit} bytes"))),
        _ => Ok(()),
    }
}

/// The signed manifest of `source`.
pub fn manifest(source: &str, key: &ReleaseKey) -> Result<Manifest, UpdateError> {
    let url = format!("{source}/manifest.json");
    let (mut bytes, mut signature) = (Vec::new(), Vec::new());
    get(&url, &mut bytes, MANIFEST_BYTES, SOON)?;
    get(&format!("{url}.sig"), &mut signature, MANIFEST_BYTES, SOON)?;
    read_manifest(&bytes, &signature, key, &url)
}

/// Writes an archive to `to`, durably. What is left after an error is the caller's to remove.
pub fn archive(url: &str, to: &Path) -> Result<(), UpdateError> {
    let mut file = File::create(to).map_err(failed("write", to))?;
    get(url, &mut file, ARCHIVE_BYTES, LONG)?;
    file.sync_all().map_err(failed("write", to))
}
