//! Files of renditions: `<data>/renditions/<account>/<ab>/<asset id>.<recipe>.<extension>`. A cache: renamed into place,
//! not synced, in no backup, and made again when it is gone. Everything here blocks.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::facts::Rendition;
use crate::blobs::{create_private_dir, free_bytes};

/// The name of the folder below the data.
pub const FOLDER: &str = "renditions";
/// What tools write, inside of it.
const WORK: &str = ".work";
/// Extensions with their media types, the more frequent first.
const EXTENSIONS: [(&str, &str); 2] = [("webp", "image/webp"), ("jpg", "image/jpeg")];
/// The film that every browser plays.
const PLAYABLE: (&str, &str) = ("playable", "mp4");
/// What is being written, until it is renamed.
const UNFINISHED: &str = "new";

/// What there is of each picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Short side 320 where the long one is not above 640.
    Thumb,
    /// Long side 2,048.
    Screen,
}

impl Recipe {
    /// By its name in paths.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Thumb, Self::Screen].into_iter().find(|recipe| recipe.name() == name)
    }

    /// Its name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thumb => "thumb",
            Self::Screen => "screen",
        }
    }
}

/// More than the renditions of some dozen pictures, and what a tool writes meanwhile: 64 MiB.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// The folder of all renditions.
pub struct Renditions {
    root: PathBuf,
}

impl Renditions {
    /// Those below a data folder. Makes nothing.
    pub fn of(data_dir: &Path) -> Self {
        Self { root: data_dir.join(FOLDER) }
    }

    /// Whether the disk has room for some more besides what must stay free: the index needs that, and originals come first.
    /// Where the disk cannot tell, it is not asked.
    pub fn has_room(&self, reserve_bytes: u64) -> bool {
        free_bytes(&self.root)
            .map_or(true, |free| free >= reserve_bytes.saturating_add(BATCH_BYTES))
    }

    fn account_folder(&self, account: Uuid) -> PathBuf {
        self.root.join(account.to_string())
    }

    fn folder(&self, account: Uuid, asset_id: &str) -> PathBuf {
        self.account_folder(account).join(asset_id.get(..2).unwrap_or("00"))
    }

    fn path(&self, account: Uuid, asset_id: &str, recipe: &str, extension: &str) -> PathBuf {
        self.folder(account, asset_id).join(format!("{asset_id}.{recipe}.{extension}"))
    }

    /// Where the tool for this asset may write.
    pub fn work_folder(&self, asset_id: &str) -> PathBuf {
        self.root.join(WORK).join(asset_id)
    }

    /// Makes the folder, and removes what an earlier run left of its work.
    pub fn prepare(&self) -> io::Result<()> {
        create_private_dir(&self.root)?;
        remove_tree(&self.root.join(WORK))
    }

    /// Puts renditions in place of those that were there.
    pub fn store(&self, account: Uuid, asset_id: &str, made: &[Rendition]) -> io::Result<()> {
        let folder = self.folder(account, asset_id);
        create_private_dir(&folder)?;
        for rendition in made {
            let path = self.path(account, asset_id, rendition.recipe, rendition.extension);
            let fresh = path.with_extension(UNFINISHED);
            std::fs::write(&fresh, &rendition.bytes)?;
            std::fs::rename(&fresh, &path)?;
            // Of another kind, from before.
            for (extension, _) in EXTENSIONS.iter().filter(|(e, _)| *e != rendition.extension) {
                let other = self.path(account, asset_id, rendition.recipe, extension);
                remove_one(&other)?;
            }
        }
        Ok(())
    }

    /// A rendition with its media type; `None` if it is not there.
    pub fn open(
        &self,
        account: Uuid,
        asset_id: &str,
        recipe: Recipe,
    ) -> io::Result<Option<(File, &'static str)>> {
        for (extension, media_type) in EXTENSIONS {
            match File::open(self.path(account, asset_id, recipe.name(), extension)) {
                Ok(file) => return Ok(Some((file, media_type))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes those of one asset, and what a server that was killed left of one.
    pub fn remove(&self, account: Uuid, asset_id: &str) -> io::Result<()> {
        for recipe in [Recipe::Thumb, Recipe::Screen] {
            for (extension, _) in EXTENSIONS {
                remove_one(&self.path(account, asset_id, recipe.name(), extension))?;
            }
            remove_one(&self.path(account, asset_id, recipe.name(), UNFINISHED))?;
        }
        self.remove_playable(account, asset_id)
    }

    fn playable_path(&self, account: Uuid, asset_id: &str) -> PathBuf {
        self.path(account, asset_id, PLAYABLE.0, PLAYABLE.1)
    }

    /// Moves a film to its place; its length.
    pub fn store_playable(&self, account: Uuid, asset_id: &str, made: &Path) -> io::Result<u64> {
        create_private_dir(&self.folder(account, asset_id))?;
        let size_bytes = made.metadata()?.len();
        std::fs::rename(made, self.playable_path(account, asset_id))?;
        Ok(size_bytes)
    }

    /// The film that every browser plays; `None` if it is not there.
    pub fn open_playable(&self, account: Uuid, asset_id: &str) -> io::Result<Option<File>> {
        match File::open(self.playable_path(account, asset_id)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes it.
    pub fn remove_playable(&self, account: Uuid, asset_id: &str) -> io::Result<()> {
        remove_one(&self.playable_path(account, asset_id))
    }

    /// Removes from one of the 256 folders of an account what was begun so long ago that nobody goes on with it: a server
    /// that was killed left it.
    pub fn sweep_unfinished(
        &self,
        account: Uuid,
        part: u8,
        begun_before: SystemTime,
    ) -> io::Result<()> {
        let folder = self.account_folder(account).join(format!("{part:02x}"));
        for name in list_names(&folder)? {
            let path = folder.join(name);
            if path.extension().is_some_and(|extension| extension == UNFINISHED)
                && path
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .is_ok_and(|at| at < begun_before)
            {
                remove_one(&path)?;
            }
        }
        Ok(())
    }

    /// Removes those of an account.
    pub fn remove_account(&self, account: Uuid) -> io::Result<()> {
        remove_tree(&self.account_folder(account))
    }

    /// Accounts that have any.
    pub fn list_accounts(&self) -> io::Result<Vec<Uuid>> {
        let names = list_names(&self.root)?;
        Ok(names.iter().filter_map(|name| Uuid::try_parse(name).ok()).collect())
    }

    /// Assets that have any in one of the 256 folders of an account.
    pub fn list_assets(&self, account: Uuid, part: u8) -> io::Result<Vec<String>> {
        let folder = self.account_folder(account).join(format!("{part:02x}"));
        let names = list_names(&folder)?;
        let mut ids: Vec<String> = names
            .iter()
            .filter_map(|name| name.split_once('.'))
            .map(|(id, _)| id.to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }
}

fn list_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_one(path: &Path) -> io::Result<()> {
    gone_is_fine(std::fs::remove_file(path))
}

fn remove_tree(path: &Path) -> io::Result<()> {
    gone_is_fine(std::fs::remove_dir_all(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendition_replaces_the_one_of_another_kind_and_goes_with_its_asset() {
        let dir = tempfile::tempdir().unwrap();
        let renditions = Renditions::of(dir.path());
        renditions.prepare().unwrap();
        assert!(renditions.has_room(0) && !renditions.has_room(u64::MAX));
        let (account, id) = (Uuid::from_u128(7), "ab12");
        let made = |extension, byte| Rendition { recipe: "thumb", extension, bytes: vec![byte] };
        renditions.store(account, id, &[made("jpg", 1)]).unwrap();
        renditions.store(account, id, &[made("webp", 2)]).unwrap();
        let (file, media_type) = renditions.open(account, id, Recipe::Thumb).unwrap().unwrap();
        assert_eq!((file.metadata().unwrap().len(), media_type), (1, "image/webp"));
        assert_eq!(std::fs::read_dir(renditions.folder(account, id)).unwrap().count(), 1);
        assert_eq!(renditions.list_assets(account, 0xab).unwrap(), ["ab12"]);
        renditions.remove(account, id).unwrap();
        renditions.remove(account, id).unwrap();
        assert!(renditions.open(account, id, Recipe::Thumb).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_server_left_half_written_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let renditions = Renditions::of(dir.path());
        let (account, id) = (Uuid::from_u128(7), "ab12");
        let made = Rendition { recipe: "thumb", extension: "webp", bytes: vec![1] };
        renditions.store(account, id, &[made]).unwrap();
        let half = renditions.path(account, "ab34", "thumb", UNFINISHED);
        std::fs::write(&half, b"half").unwrap();
        let written = half.metadata().unwrap().modified().unwrap();
        renditions.sweep_unfinished(account, 0xab, written).unwrap();
        assert!(half.exists());
        let later = written + std::time::Duration::from_secs(1);
        renditions.sweep_unfinished(account, 0xab, later).unwrap();
        assert!(!half.exists());
        assert!(renditions.open(account, id, Recipe::Thumb).unwrap().is_some());
    }
}
