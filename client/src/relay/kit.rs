//! The recovery kit: one sheet of paper with everything that somebody needs who has only it and the sealed objects.
//!
//! As text for a terminal or a typewriter, and as a page to print ([`page`]). Nothing else of the program ever writes
//! the words down.

mod page;

use std::fs::File;
use std::path::{Path, PathBuf};

use photosync_protocol::calendar::{MONTHS, civil_from_days};
use zeroize::Zeroizing;

use super::keyrings::{Secret, choose, read_words};
use super::keys::find_seen;
use super::{Store, absolute, io};
use crate::backup::ALL_PATHS;
use crate::cache::Cache;
use crate::connection::now_ms;
use crate::error::{Error, Kind, Result};
use crate::profile::Profile;
use crate::restore::placing::sync_folder;

/// What the sheet says.
pub struct Kit {
    words: Zeroizing<String>,
    /// Where the sealed objects are.
    place: String,
    /// Whose they are on that server.
    account: Option<String>,
    /// Day it was made, as `21 November 2026`.
    day: String,
}

impl Kit {
    /// The sheet for these words.
    pub async fn new(store: &Store, words: Zeroizing<String>) -> Result<Self> {
        let account = store.account().await?;
        Ok(Self { words, place: store.shown(), account, day: day_of(now_ms()) })
    }

    /// The sheet for words that somebody types, if they open the sealed backup: a way to replace a lost sheet, and to prove
    /// one that is not lost.
    pub async fn of_typed(store: &Store, profile: &Profile, words: &str) -> Result<Self> {
        let recovery = read_words(words)?;
        let known = find_seen(store, profile).await?;
        let words = recovery.words();
        choose(store, Secret::Words(recovery), known.as_ref()).await?;
        Self::new(store, words).await
    }

    /// What is typed on a new computer, in order.
    fn commands(&self) -> Vec<String> {
        match &self.account {
            None => {
                let relay = "photosync relay --dir FOLDER";
                vec![format!("{relay} recover"), format!("{relay} restore Restored")]
            }
            Some(account) => vec![
                format!("photosync login {} {account}", self.place),
                "photosync relay recover".to_owned(),
                "photosync relay restore Restored".to_owned(),
            ],
        }
    }

    /// The sheet as text of at most 80 columns, the address and what is typed excepted.
    pub fn text(&self) -> Zeroizing<String> {
        let words: Vec<&str> = self.words.split(' ').collect();
        let rows = words.len().div_ceil(4);
        let mut text = Zeroizing::new(String::with_capacity(2048));
        text.push_str(
            "PhotoSync recovery kit\n\n\
             Whoever has these 24 words and the sealed backup can read every photo in it.\n\
             Keep this sheet where you keep your passport, and not beside the backup. It is\n\
             the only way back if the password is lost.\n\n",
        );
        for row in 0..rows {
            for column in 0..4 {
                let number = column * rows + row;
                if let Some(word) = words.get(number) {
                    text.push_str(&format!("{:>2}. {word:<12}", number + 1));
                }
            }
            let length = text.trim_end().len();
            text.truncate(length);
            text.push('\n');
        }
        text.push_str(&format!("\nThe sealed backup: {}\n", self.place));
        if let Some(account) = &self.account {
            text.push_str(&format!("Account:           {account}\n"));
        }
        text.push_str(&format!("This sheet:        {}\n\nOn a new computer:\n", self.day));
        for command in self.commands() {
            text.push_str(&format!("  {command}\n"));
        }
        text
    }

    /// The sheet as a page to print, if the name ends with `.svg`; as text otherwise. For its owner alone; a file that is
    /// there is not replaced.
    pub fn write(&self, path: &Path) -> Result<()> {
        let is_page = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));
        let text = if is_page { self.page()? } else { self.text() };
        let mut file = create(path)?;
        io("write", path, std::io::Write::write_all(&mut file, text.as_bytes()))?;
        io("write", path, file.sync_all())?;
        sync_folder(path)
    }
}

fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::storage("write", path, &cause).hint("name a file in a folder that is there"),
    })
}

fn exists(path: &Path) -> Error {
    Error::new(Kind::Usage, format!("{} is there already", path.display()))
        .coded("exists")
        .hint("name another file, or move that one away; a kit never replaces a file")
}

/// Whether a kit could be written there. Before anything that is done only once: words that were made and cannot be
/// written down are lost.
pub fn require_writable(path: &Path) -> Result<()> {
    drop(create(path)?);
    io("remove", path, std::fs::remove_file(path))
}

/// Why a kit should not lie there, if so: beside the sealed objects, or where it is itself backed up for others to read.
pub fn misplaced(store: &Store, profile: &Profile, path: &Path) -> Option<String> {
    let folder = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| absolute(path));
    let above = folder(absolute(path).parent().unwrap_or(Path::new("/")));
    if let Store::Folder(sealed) = store
        && above.starts_with(folder(sealed.path()))
    {
        let text = "the kit lies in the folder of the sealed backup: whoever finds one has both; move it away";
        return Some(text.to_owned());
    }
    let is_backed_up = backed_up(profile).iter().any(|root| above.starts_with(folder(root)));
    let text = "the kit lies in a folder that is backed up: its words would go to the server; move it \
                away before the next backup";
    is_backed_up.then(|| text.to_owned())
}

/// Folders of all backups that were not sealed.
fn backed_up(profile: &Profile) -> Vec<PathBuf> {
    if !profile.cache_file().exists() {
        return Vec::new();
    }
    let fact = Cache::open(&profile.cache_file()).and_then(|cache| cache.find_fact(ALL_PATHS));
    let named = fact.ok().flatten().unwrap_or_default();
    named.lines().map(PathBuf::from).collect()
}

/// The day of a Unix time, in words: no country reads it wrongly.
fn day_of(unix_ms: i64) -> String {
    let (year, month, day) = civil_from_days(unix_ms.div_euclid(86_400_000));
    let month = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month));
    format!("{day} {} {year}", month.unwrap_or(&""))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use photosync_protocol::format::keys::RecoveryKey;

    /// A sheet with the words of 32 bytes that nobody uses.
    pub fn kit(account: Option<&str>, place: &str) -> Kit {
        let words = RecoveryKey(photosync_protocol::crypto::Key::new([9; 32])).words();
        let account = account.map(str::to_owned);
        Kit { words, place: place.to_owned(), account, day: day_of(1_795_219_200_000) }
    }

    #[test]
    fn a_day_is_that_of_the_calendar() {
        assert_eq!(day_of(0), "1 January 1970");
        assert_eq!(day_of(-1), "31 December 1969");
        assert_eq!(day_of(951_782_400_000), "29 February 2000");
        assert_eq!(day_of(951_868_800_000), "1 March 2000");
        assert_eq!(day_of(1_795_219_200_000), "21 November 2026");
        assert_eq!(day_of(4_107_542_400_000), "1 March 2100");
    }

    #[test]
    fn the_sheet_has_every_word_with_its_number_and_what_is_typed() {
        let kit = kit(Some("ada@example.org"), "https://nas.example.org:3000");
        let text = kit.text();
        for (number, word) in kit.words.split(' ').enumerate() {
            assert!(text.contains(&format!("{:>2}. {word}", number + 1)), "{}", text.as_str());
        }
        for said in ["photosync login https://nas.example.org:3000 ada@example.org", "21 November"]
        {
            assert!(text.contains(said), "{}", text.as_str());
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{}", text.as_str());
    }

    #[test]
    #[cfg(unix)]
    fn a_kit_is_for_its_owner_alone_and_replaces_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for name in ["kit.svg", "kit.txt"] {
            let path = folder.path().join(name);
            require_writable(&path).unwrap();
            assert!(!path.exists(), "only tried");
            let kit = kit(None, "/media/disk");
            kit.write(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let written = std::fs::read(&path).unwrap();
            assert_eq!(written.starts_with(b"<svg"), name == "kit.svg");
            assert_eq!(kit.write(&path).unwrap_err().code, "exists");
            assert_eq!(require_writable(&path).unwrap_err().code, "exists");
            assert_eq!(std::fs::read(&path).unwrap(), written);
        }
    }

    #[test]
    fn a_kit_beside_the_objects_or_among_the_photos_is_warned_of() {
        let disk = tempfile::tempdir().unwrap();
        let at = |name: &str| disk.path().join(name);
        for folder in ["sealed/deep", "photos/deep", "safe"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let (store, profile) = (Store::folder(&at("sealed")), Profile::at(at("profile")));
        assert!(misplaced(&store, &profile, &at("photos/kit.svg")).is_none());
        profile.create().unwrap();
        let cache = Cache::open(&profile.cache_file()).unwrap();
        cache.put_fact(ALL_PATHS, &at("photos").display().to_string()).unwrap();
        drop(cache);
        let said = |name: &str| misplaced(&store, &profile, &at(name)).unwrap_or_default();
        assert!(said("sealed/deep/kit.svg").contains("sealed backup"));
        assert!(said("safe/../sealed/kit.svg").contains("sealed backup"));
        assert!(said("photos/deep/kit.svg").contains("backed up"));
        assert_eq!(said("safe/kit.svg"), "");
        assert_eq!(said("sealed2/kit.svg"), "", "a name that begins like it is another folder");
    }
}
