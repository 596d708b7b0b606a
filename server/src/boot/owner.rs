//! Whose data folder it is.

use std::path::Path;

use super::BootError;

/// Root could open everybody's data, and would leave files in it that their owner cannot open any more. Makes nothing. Data
/// that a server holds is said to be held: that server can be asked.
#[cfg(unix)]
pub(super) fn require_own_data(data_dir: &Path) -> Result<(), BootError> {
    use std::os::unix::fs::MetadataExt;

    use crate::blobs::volume::{self, VolumeError};
    use photosync_protocol::process::Exit;

    let owner = std::fs::metadata(data_dir).map_or(0, |folder| folder.uid());
    if owner == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if volume::is_held(data_dir)? {
        return Err(VolumeError::Held(data_dir.to_owned()).into());
    }
    Err(BootError::new(
        Exit::Usage,
        format!(
            "{} belongs to another account (number {owner}): run this as that, for a service with\n  \
             sudo -u photosync photosync-server … --data {}",
            data_dir.display(),
            data_dir.display()
        ),
    ))
}

#[cfg(not(unix))]
pub(super) fn require_own_data(_data_dir: &Path) -> Result<(), BootError> {
    Ok(())
}
