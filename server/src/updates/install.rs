//! `check-update` and `update`: run by who may replace the programs, never by the server itself. Blocks.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use photosync_protocol::control::UpdateAnswer;
use self_update::{ArchiveKind, Compression, Extract};
use sha2::{Digest, Sha256};

use super::ledger::{InstallerList, Ledger, Stage, Update, lock, sync_folder};
use super::rules::{self, Manifest, Offer, ReleaseKey};
use super::{
    PROGRAMS, Programs, UpdateError, failed, release_key, running_version, settle, source,
    source_url,
};
use crate::auth::random_id;

/// What an update needs to know of the outside.
pub struct Updater {
    /// The programs to replace.
    pub programs: Programs,
    /// The list of install.sh of whoever runs this.
    pub list: InstallerList,
    /// `update.url`.
    pub url: Option<String>,
}

/// What a look at the source found.
pub struct Found {
    /// The newer version for this machine, if there is one.
    pub offer: Option<Offer>,
    /// Whether the running version has a known hole.
    pub is_unsafe: bool,
    /// The manifest.
    pub manifest: Manifest,
}

/// Looks at a source without changing anything. `highest_seen`: a lower number is refused.
pub fn look(url: Option<&str>, highest_seen: u64, to: Option<&str>) -> Result<Found, UpdateError> {
    let (key, from) = require_source(url)?;
    let manifest = source::manifest(&from, &key)?;
    rules::require_sequence(&manifest, highest_seen)?;
    let running = running_version();
    let offer = rules::choose(&manifest, running, self_update::get_target(), to)?;
    let is_unsafe = rules::compare(running, &manifest.minimum_version).is_lt();
    Ok(Found { offer, is_unsafe, manifest })
}

/// The key and the source, or what is missing.
pub fn require_source(url: Option<&str>) -> Result<(ReleaseKey, String), UpdateError> {
    let unavailable = |text: &str| UpdateError::Unavailable(text.into());
    let key = release_key().ok_or_else(|| {
        unavailable("this build has no release key, and so no updates: it was not built by the project's release script")
    })?;
    let from = source_url(url).ok_or_else(|| {
        unavailable("there is no release source: name one with PHOTOSYNC_UPDATE_URL or update.url")
    })?;
    Ok((key, from))
}

/// Why updates of a program at `exe` are not ours to make, if a package has put it there: packages say so in a file beside
/// (`installers/linux/stage`), and some folders belong to package managers alone.
pub fn package_manager(exe: &Path) -> Option<&'static str> {
    let mark = exe.ancestors().nth(2)?.join("lib/photosync/installed-by");
    match fs::read_to_string(mark).map(|text| text.trim().to_owned()).as_deref() {
        Ok("apt") => return Some("apt (sudo apt update && sudo apt upgrade)"),
        Ok("rpm") => return Some("dnf or zypper (sudo dnf upgrade)"),
        Ok("appimage") => return Some("the next AppImage, which takes the place of this one"),
        Ok("brew") => return Some("Homebrew (brew upgrade)"),
        Ok(_) => return Some("a package manager"),
        Err(_) => {}
    }
    let below = |folder: &&str| exe.starts_with(folder);
    let foreign = ["/nix/store", "/opt/homebrew", "/home/linuxbrew", "/snap", "/app", "/usr"];
    let is_foreign = foreign.iter().any(below) && !exe.starts_with("/usr/local");
    is_foreign.then_some("a package manager")
}

impl Updater {
    fn require_own_programs(&self) -> Result<(), UpdateError> {
        let exe = self.programs.server();
        match package_manager(&exe) {
            Some(manager) if !self.list.has(&exe) => Err(UpdateError::Unavailable(format!(
                "{} was installed by a package, and updates are left to {manager}",
                exe.display()
            ))),
            _ => Ok(()),
        }
    }

    /// What `check-update` says.
    pub fn check(&self) -> Result<UpdateAnswer, UpdateError> {
        let ledger = Ledger::read(&self.programs)?;
        let found = look(self.url.as_deref(), ledger.highest_sequence, None)?;
        let running = running_version();
        let mut text = match &found.offer {
            Some(offer) => format!("version {} is there; this is {running}", offer.version),
            None => format!("this is {running}; there is no newer version"),
        };
        if found.is_unsafe {
            let oldest = &found.manifest.minimum_version;
            text += &format!("\n{running} has a known hole: update to {oldest} or later soon");
        }
        match (&ledger.update, &found.offer) {
            (Some(update), Some(offer))
                if update.to == offer.version && update.stage == Stage::GoneBack =>
            {
                text += "\nIt was installed before, did not become healthy, and was put back";
            }
            (Some(update), Some(offer))
                if update.to == offer.version && update.stage == Stage::Installed =>
            {
                text += "\nIt is installed and takes effect when the server is restarted";
            }
            (_, Some(_)) => match self.require_own_programs() {
                Ok(()) => text += "\nTo install it: photosync-server update",
                Err(error) => text += &format!("\n{error}"),
            },
            _ => {}
        }
        // Whoever may not write here has seen it all the same.
        if let Ok(_lock) = lock(&self.programs) {
            let ledger = Ledger::read(&self.programs)?;
            let highest_sequence = ledger.highest_sequence.max(found.manifest.sequence);
            let _ = Ledger { highest_sequence, ..ledger }.write(&self.programs);
        }
        Ok(UpdateAnswer { newer_version: found.offer.map(|offer| offer.version), text })
    }

    /// Installs `to`, or the newest version, beside the running one. Says what was done.
    pub fn update(&self, to: Option<&str>) -> Result<String, UpdateError> {
        self.require_own_programs()?;
        let (key, _) = require_source(self.url.as_deref())?;
        let _lock = lock(&self.programs)?;
        let ledger = self.require_no_trial()?;
        let found = look(self.url.as_deref(), ledger.highest_sequence, to)?;
        let ledger = Ledger { highest_sequence: found.manifest.sequence, ..ledger };
        ledger.write(&self.programs)?;
        let Some(offer) = found.offer else {
            return Ok(format!("this is {}; there is no newer version", running_version()));
        };
        let failed_before =
            |update: &Update| update.to == offer.version && update.stage == Stage::GoneBack;
        if to.is_none() && ledger.update.as_ref().is_some_and(failed_before) {
            return Err(UpdateError::Refused(format!(
                "{} was installed before, did not become healthy, and was put back; to try it again: update --to {}",
                offer.version, offer.version
            )));
        }
        let staging = self.programs.staging();
        let _ = fs::remove_dir_all(&staging);
        let installed =
            self.stage(&offer, &key).and_then(|staged| self.replace(&offer, staged, ledger));
        // Also after a download that filled the disk.
        let _ = fs::remove_dir_all(&staging);
        installed?;
        Ok(format!(
            "{} is installed, {} is kept beside it. Restart the server when you like; a version that does not become healthy \
             within a minute is put back",
            offer.version,
            running_version()
        ))
    }

    /// Goes back to the version that was replaced.
    pub fn roll_back(&self) -> Result<String, UpdateError> {
        self.require_own_programs()?;
        let _lock = lock(&self.programs)?;
        let ledger = Ledger::read(&self.programs)?;
        let Some(update) = ledger.update.clone().filter(|update| update.stage != Stage::GoneBack)
        else {
            return Err(UpdateError::Unavailable("there is no update to go back from".into()));
        };
        let from = update.from.clone();
        settle::put_back(&self.programs, &self.list, ledger, update)?;
        Ok(format!(
            "{from} is back. Restart the server; if it says that the database is newer than it knows, OPERATIONS.md \
             (Updates) tells how to go on"
        ))
    }

    /// The version that is kept must be one that works: not one that is being tried right now.
    fn require_no_trial(&self) -> Result<Ledger, UpdateError> {
        let mut ledger = Ledger::read(&self.programs)?;
        let Some(update) = ledger.update.as_mut().filter(|update| update.stage == Stage::Installed)
        else {
            return Ok(ledger);
        };
        for (data, seen) in &mut update.seen {
            settle::refresh(&update.id, Path::new(data), seen);
        }
        if update.seen.is_empty() || update.is_proven() {
            return Ok(ledger);
        }
        Err(UpdateError::Refused(format!(
            "{} was started and has not proved itself yet; try again in a minute",
            update.to
        )))
    }

    /// Downloads and unpacks beside the programs; returns the new ones by name. Nothing is used unsigned.
    fn stage(
        &self,
        offer: &Offer,
        key: &ReleaseKey,
    ) -> Result<Vec<(String, PathBuf)>, UpdateError> {
        let staging = self.programs.staging();
        fs::create_dir(&staging).map_err(failed("make", &staging))?;
        let archive = staging.join(&offer.archive);
        source::archive(&offer.url, &archive)?;
        let refused =
            |why: &str| UpdateError::Refused(format!("{} {why}; nothing was changed", offer.url));
        if digest(&archive)? != offer.sha256 {
            return Err(refused("is damaged or was changed: its checksum is not the signed one"));
        }
        // The same key once more, inside the archive and under its name.
        self_update::verify_signature(&archive, std::slice::from_ref(key))
            .map_err(|error| refused(&format!("is not signed by the release key ({error})")))?;
        let unpacked = staging.join("release");
        crate::fault::point("update.unpack").map_err(failed("unpack into", &unpacked))?;
        Extract::from_source(&archive)
            .archive(ArchiveKind::Tar(Some(Compression::Gz)))
            .extract_into(&unpacked)
            .map_err(|error| {
                UpdateError::Failed(format!(
                    "could not unpack {} into {}: {error}",
                    offer.archive,
                    unpacked.display()
                ))
            })?;
        let bin = unpacked.join(offer.archive.trim_end_matches(".tar.gz")).join("bin");
        let mut staged = Vec::new();
        for name in PROGRAMS {
            let is_server = name == "photosync-server";
            let here = if is_server { self.programs.server.as_str() } else { name };
            let new = bin.join(format!("{name}{}", super::EXE));
            if !self.programs.path(here).exists() || (!is_server && !new.exists()) {
                continue;
            }
            let file = File::open(&new).map_err(failed("open", &new))?;
            file.sync_all().map_err(failed("make durable", &new))?;
            if is_server {
                require_starts(&new, &offer.version)?;
            }
            staged.push((here.to_owned(), new));
        }
        Ok(staged)
    }

    /// Puts the new programs in place, each in one step, and keeps the old ones. Can be run again after a crash.
    fn replace(
        &self,
        offer: &Offer,
        staged: Vec<(String, PathBuf)>,
        mut ledger: Ledger,
    ) -> Result<(), UpdateError> {
        let programs = &self.programs;
        let mut list_sums = Vec::new();
        let mut list_paths = Vec::new();
        let running = running_version();
        // A version that was installed and never started, or only in part, is not the one to go back to.
        let unused = ledger.update.take().filter(|update| {
            update.seen.is_empty()
                && update.stage != Stage::GoneBack
                && (update.from == running || update.to == running)
        });
        if unused.is_none() {
            // From here on a kept program is one of the version that goes.
            for (name, _) in &staged {
                remove_if_there(&programs.previous(name))?;
            }
            sync_folder(&programs.server()).map_err(failed("make durable", &programs.server()))?;
        }
        for (name, new) in &staged {
            let (now, kept) = (programs.path(name), programs.previous(name));
            let old = if kept.exists() { &kept } else { &now };
            list_sums.push((digest(new)?, now.to_string_lossy().into_owned()));
            list_sums.push((digest(old)?, kept.to_string_lossy().into_owned()));
            list_paths.extend([now, kept].map(|path| path.to_string_lossy().into_owned()));
        }
        let unlisted = |error| failed("write", &self.list.0)(error);
        self.list.note(&list_sums, &[]).map_err(unlisted)?;
        let update = Update {
            id: random_id(),
            from: unused.map_or_else(|| running.to_owned(), |update| update.from),
            to: offer.version.clone(),
            programs: staged.iter().map(|(name, _)| name.clone()).collect(),
            stage: Stage::Replacing,
            seen: Default::default(),
        };
        ledger.update = Some(update.clone());
        ledger.write(programs)?;
        for (name, new) in &staged {
            let (now, kept) = (programs.path(name), programs.previous(name));
            if !kept.exists() {
                keep(&now, &kept)?;
            }
            crate::fault::point("update.replace").map_err(failed("replace", &now))?;
            if *name == programs.server {
                // Before the last rename: whoever starts the new server must find who may take it back.
                ledger.update = Some(Update { stage: Stage::Installed, ..update.clone() });
                ledger.write(programs)?;
            }
            fs::rename(new, &now).map_err(failed("replace", &now))?;
        }
        sync_folder(&programs.server()).map_err(failed("make durable", &programs.server()))?;
        self.list.note(&list_sums, &list_paths).map_err(unlisted)
    }
}

fn remove_if_there(path: &Path) -> Result<(), UpdateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Keeps `now` as `kept`. Where a program can be replaced while it runs, it never is without its name.
fn keep(now: &Path, kept: &Path) -> Result<(), UpdateError> {
    if cfg!(windows) {
        let _ = fs::remove_file(kept);
        return fs::rename(now, kept).map_err(failed("keep", now));
    }
    let mut half = kept.as_os_str().to_owned();
    half.push(".new");
    let half = PathBuf::from(half);
    let _ = fs::remove_file(&half);
    // A disk without links: a copy.
    fs::hard_link(now, &half)
        .or_else(|_| fs::copy(now, &half).and_then(|_| File::open(&half)?.sync_all()))
        .map_err(failed("keep", now))?;
    fs::rename(&half, kept).map_err(failed("keep", now))
}

/// A program that this machine cannot run, or that is another version than its archive says, replaces nothing.
fn require_starts(program: &Path, version: &str) -> Result<(), UpdateError> {
    let outcome = Command::new(program).arg("--version").output();
    let outcome = outcome.map_err(failed("start", program))?;
    let said = String::from_utf8_lossy(&outcome.stdout).trim().to_owned();
    if outcome.status.success() && said.split_whitespace().last() == Some(version) {
        return Ok(());
    }
    Err(UpdateError::Refused(format!(
        "the new program does not run here or is not {version} (it said {said:?}, {}); nothing was changed",
        outcome.status
    )))
}

/// SHA-256 of a file, lower hex.
pub(super) fn digest(path: &Path) -> Result<String, UpdateError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let (mut hash, mut part) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut part).map_err(failed("read", path))? {
            0 => return Ok(hex::encode(hash.finalize())),
            bytes => hash.update(&part[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_packages_are_left_to_their_manager_and_all_others_are_ours() {
        for path in ["/usr/bin/photosync-server", "/nix/store/x/bin/photosync-server"] {
            assert!(package_manager(Path::new(path)).is_some(), "{path}");
        }
        for path in [
            "/usr/local/bin/photosync-server",
            "/opt/photosync/photosync-server",
            "/home/a/.local/bin/photosync-server",
        ] {
            assert_eq!(package_manager(Path::new(path)), None, "{path}");
        }
        let prefix = tempfile::tempdir().unwrap();
        let exe = prefix.path().join("bin/photosync-server");
        assert_eq!(package_manager(&exe), None);
        fs::create_dir_all(prefix.path().join("lib/photosync")).unwrap();
        fs::write(prefix.path().join("lib/photosync/installed-by"), "apt\n").unwrap();
        assert!(package_manager(&exe).unwrap().starts_with("apt"));
    }
}
