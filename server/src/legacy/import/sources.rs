//! Where an old server's data lies, and that it lies apart from ours.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// Where an old server's data lies.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Its database.
    pub database: PathBuf,
    /// Folders of originals by device.
    pub uploads: PathBuf,
    /// `users/<key>/chunks` and `users/<key>/manifests`, if it had any.
    pub cloud: Option<PathBuf>,
    /// `users/<key>/chunks` on a disk of their own.
    pub chunks: Option<PathBuf>,
}

impl Sources {
    /// Completes what was named by what lies where the old server puts it in `dir`. The error is a sentence for
    /// whoever typed the command.
    pub fn find(
        dir: Option<&Path>,
        database: Option<PathBuf>,
        uploads: Option<PathBuf>,
        cloud: Option<PathBuf>,
        chunks: Option<PathBuf>,
    ) -> Result<Self, String> {
        let first = |names: [&str; 2]| {
            let mut places = names.iter().filter_map(|name| Some(dir?.join(name)));
            places.find(|path| path.exists())
        };
        // `db/` and `media/` are where its container image keeps them.
        let database = database
            .or_else(|| first(["backup.db", "db/backup.db"]))
            .ok_or("where is the old database? Name its folder, or the file with --db")?;
        let uploads = uploads
            .or_else(|| first(["uploads", "media"]))
            .ok_or("where are the old uploads? Name their folder with --uploads")?;
        let cloud = cloud.or_else(|| first(["cloud", "cloud"]));
        if !database.is_file() {
            return Err(format!("{} is no file", database.display()));
        }
        for folder in [Some(&uploads), cloud.as_ref(), chunks.as_ref()].into_iter().flatten() {
            if !folder.is_dir() {
                return Err(format!("{} is no folder", folder.display()));
            }
        }
        Ok(Self { database, uploads, cloud, chunks })
    }

    /// The folders that hold one folder per old cloud key.
    pub(super) fn cloud_users(&self) -> Vec<PathBuf> {
        let roots = self.cloud.iter().chain(&self.chunks);
        let mut users: Vec<PathBuf> =
            roots.map(|root| root.join("users")).filter(|users| users.is_dir()).collect();
        users.dedup();
        users
    }

    /// Refuses an import that would write into its own source, or read what it writes.
    pub fn require_apart(&self, config: &Config) -> Result<(), String> {
        let stores = [Some(&config.uploads), Some(&config.relay), config.relay_chunks.as_ref()];
        let stores: Vec<PathBuf> = stores.into_iter().flatten().map(|path| real(path)).collect();
        let data_dir = real(&config.data_dir);
        let folders = [Some(&self.uploads), self.cloud.as_ref(), self.chunks.as_ref()];
        for folder in folders.into_iter().flatten() {
            let source = real(folder);
            let writes_there = stores.iter().chain([&data_dir]).any(|own| own.starts_with(&source));
            let reads_here = stores.iter().any(|own| source.starts_with(own));
            if writes_there || reads_here {
                return Err(format!(
                    "{} is where this server keeps its own data; import into a new folder with --data",
                    folder.display()
                ));
            }
        }
        if real(&self.database) == real(&config.database) {
            return Err(format!("{} is this server's own database", self.database.display()));
        }
        Ok(())
    }
}

/// A path without links, also if its end does not exist yet.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return found.join(rest);
        }
    }
    path
}
