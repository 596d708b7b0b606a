//! What is on this computer: the cache, and room for it.

use super::{Finding, of};
use crate::backup;
use crate::credentials::Credentials;
use crate::profile::Profile;
use photosync_protocol::findings::size_for_people as for_people;

/// With less free space the cache and restored files may not fit: 200 MiB.
const LITTLE_BYTES: u64 = 200 << 20;

pub(super) async fn cache(profile: &Profile) -> Finding {
    match backup::open_cache(profile).await.and_then(|cache| cache.counts()) {
        Ok(counts) if counts.files == 1 => Finding::fine("cache", "1 file is known here"),
        Ok(counts) => Finding::fine("cache", format!("{} files are known here", counts.files)),
        Err(error) => {
            let fix = format!("make room, and check who owns {}", profile.folder().display());
            Finding::broken("cache", error.message, fix)
        }
    }
}

pub(super) fn space(profile: &Profile) -> Finding {
    let folder = profile.folder().display();
    match fs4::available_space(profile.folder()) {
        Ok(free) if free >= LITTLE_BYTES => {
            Finding::fine("space", format!("{} free for {folder}", for_people(free)))
        }
        Ok(free) => {
            let seen = format!("only {} free for {folder}", for_people(free));
            let fix = "make room on that disk: the list of what was backed up is kept there";
            Finding::warning("space", seen, fix)
        }
        Err(cause) => {
            let seen = format!("the free space for {folder} is not known: {cause}");
            Finding::warning("space", seen, "check that the folder is there and can be written")
        }
    }
}

/// Where the tokens lie, and whether they can be read by this user and nobody else.
pub(super) async fn credentials(profile: &Profile, public: &Credentials) -> Finding {
    if public.key_store_entry.is_some() {
        let profile = profile.clone();
        return match backup::blocking(move || Credentials::get(&profile)).await {
            Ok(_) => Finding::fine("secrets", "credentials: key store of the system"),
            Err(error) => of("secrets", error),
        };
    }
    let file = profile.credentials_file();
    if is_readable_by_others(&file) {
        let seen = format!("credentials: file {}, which others can read", file.display());
        let fix = format!("chmod 600 '{}', then sign in again", file.display());
        return Finding::warning("secrets", seen, fix);
    }
    let why = if profile.uses_key_store() { "no key store at sign-in" } else { "key store is off" };
    Finding::fine("secrets", format!("credentials: file {} ({why})", file.display()))
}

#[cfg(unix)]
fn is_readable_by_others(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// The folder of a user's settings is private to the user there.
#[cfg(not(unix))]
fn is_readable_by_others(_: &std::path::Path) -> bool {
    false
}
