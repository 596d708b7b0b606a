//! Every row of the copied database gets its file, and the right one: from the server, or from whichever older generation
//! has it. What has no row, as keys and notes of a folder, is kept from older generations where the server has lost it.

use std::io;
use std::path::{Path, PathBuf};

use super::copying::{Copying, can_be_read, copy_file};
use super::{at, remove_file_if_there};
use crate::blobs::{
    CHAINS_FILE, Key, LocalStore, NAMES_FILE, OWNER_FILE, TRASH, create_private_dir, hash_file,
};

/// What a row of the copied database needs.
pub(super) struct Wanted {
    /// `uploads` or `relay`.
    pub top: &'static str,
    /// Where its file may be.
    pub keys: Vec<Key>,
    /// Length of the file.
    pub size_bytes: i64,
    /// Its SHA-256 in hexadecimal, if the row says it.
    pub digest: Option<String>,
    /// Whether the server knows that its own file is damaged.
    pub is_damaged: bool,
    /// What it is called in [`super::Made::missing`].
    pub name: String,
}

impl Wanted {
    fn is_whole(&self, file: &Path) -> bool {
        file.symlink_metadata()
            .is_ok_and(|found| found.is_file() && i64::try_from(found.len()) == Ok(self.size_bytes))
    }

    /// Also of the bytes.
    fn is_right(&self, file: &Path) -> bool {
        let is_right =
            |digest: &String| hash_file(file).is_ok_and(|(found, _)| hex::encode(found) == *digest);
        self.is_whole(file) && self.digest.as_ref().map_or_else(|| can_be_read(file), is_right)
    }
}

impl Copying {
    /// Sees to it that the copy has the file of each of these rows. What the server does not have whole stands in
    /// [`super::Made::missing`]. `live` is the store of their keys.
    pub(super) fn require_all(
        mut self,
        live: &LocalStore,
        wanted: Vec<Wanted>,
    ) -> io::Result<Self> {
        wanted.into_iter().try_for_each(|one| self.require(live, &one))?;
        Ok(self)
    }

    fn require(&mut self, live: &LocalStore, wanted: &Wanted) -> io::Result<()> {
        let in_top = |key: &Key| Path::new(wanted.top).join(key.relative());
        let places: Vec<PathBuf> = wanted.keys.iter().map(in_top).collect();
        let is_there = |copying: &Self, place: &Path| wanted.is_whole(&copying.partial.join(place));
        let mut place = places.iter().find(|place| is_there(self, place));
        if place.is_none() {
            // A disk that cannot say is one that does not have it.
            let is_live = |key: &Key| {
                let found = live.find_size_here(key).ok().flatten();
                found.is_some_and(|found| i64::try_from(found) == Ok(wanted.size_bytes))
            };
            for (key, here) in wanted.keys.iter().zip(&places).filter(|(key, _)| is_live(key)) {
                create_parent(&self.partial.join(here))?;
                self.copy(&live.path(key), here)?;
                if is_there(self, here) {
                    place = Some(here);
                    break;
                }
            }
        }
        for place in &places {
            self.unread.remove(place);
        }
        if let Some(place) = place {
            let suspect = self.suspects.remove(place);
            if suspect.is_none() && !wanted.is_damaged || wanted.is_right(&self.partial.join(place))
            {
                return Ok(());
            }
            // Of a copy and the server's file that differ without a reason, the one with the right hash counts.
            if let Some(from) = suspect.filter(|from| wanted.is_right(from)) {
                return self.replace(&from, place);
            }
        }
        let said = if self.keep_older(&places, |file| wanted.is_right(file))? {
            ", kept from an older backup"
        } else if place.is_some() {
            ", damaged, and no older backup has it whole"
        } else if self.keep_older(&places, |file| wanted.is_whole(file))? {
            ", kept from an older backup, and damaged there"
        } else {
            ""
        };
        self.missing.push(format!("{}{said}", wanted.name));
        Ok(())
    }

    /// Takes a file from the newest generation that has a good one in one of these places.
    fn keep_older(
        &mut self,
        places: &[PathBuf],
        is_good: impl Fn(&Path) -> bool,
    ) -> io::Result<bool> {
        for generation in &self.older {
            let Some(place) = places.iter().find(|place| is_good(&generation.join(place))) else {
                continue;
            };
            let (from, to) = (generation.join(place), self.partial.join(place));
            create_parent(&to)?;
            for other in places {
                remove_file_if_there(&self.partial.join(other))?;
            }
            let linked = std::fs::hard_link(&from, &to);
            linked
                .or_else(|_| copy_file(&from, &to, &from.symlink_metadata()?))
                .map_err(|error| at(&to, error))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Keeps what no row names from older generations, where the server does not have it any more or cannot read it.
    pub(super) fn keep_what_has_no_row(&mut self) -> io::Result<()> {
        let mut gone = std::mem::take(&mut self.unread);
        if let Some(previous) = self.older.first() {
            gone.extend(notes_and_keys(previous));
        }
        for place in gone {
            let to = self.partial.join(&place);
            if to.is_file() {
                continue;
            }
            let mut parts = place.iter();
            let (top, account) = (parts.next().unwrap_or_default(), parts.next());
            let is_key = top == "secrets";
            // The folder of an account that is gone for good went with it.
            let folder = account.map(|account| self.partial.join(top).join(account));
            if !is_key && !folder.is_some_and(|folder| folder.exists()) {
                continue;
            }
            let is_kept = self.keep_older(std::slice::from_ref(&place), can_be_read)?;
            let name = place.display();
            match (is_kept, is_key) {
                // It may have been moved out on purpose, as for a credential.
                (true, true) => tracing::warn!(
                    "{name} is not there any more; the backup keeps the one of before"
                ),
                (true, false) => self.missing.push(format!("{name}, kept from an older backup")),
                (false, _) => self.missing.push(name.to_string()),
            }
        }
        Ok(())
    }
}

/// Whether a row of the index may say which bytes belong at a place: originals, also in the trash, and sealed objects.
pub(super) fn has_row(place: &Path) -> bool {
    let mut parts = place.iter().map(|part| part.to_string_lossy());
    match (parts.next().as_deref(), parts.nth(1).as_deref()) {
        (Some("uploads"), Some(name)) => name == TRASH || !name.starts_with('.'),
        (Some("relay"), Some(folder)) => folder == "chunks",
        _ => false,
    }
}

/// The keys of the server, and what the folders of accounts say of themselves. What cannot be listed is not there.
fn notes_and_keys(generation: &Path) -> Vec<PathBuf> {
    let names = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(generation.join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| folder.join(entry.file_name())).collect()
    };
    let mut places = names(Path::new("secrets"));
    let notes =
        [("uploads", [OWNER_FILE, NAMES_FILE].as_slice()), ("relay", [CHAINS_FILE].as_slice())];
    for (top, notes) in notes {
        for account in names(Path::new(top)) {
            places.extend(notes.iter().map(|note| account.join(note)));
        }
    }
    places.retain(|place| generation.join(place).is_file());
    places
}

fn create_parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), create_private_dir)
}
