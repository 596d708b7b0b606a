//! Which files are to be there, before the first is written: two photos may claim one path.
//!
//! That happens when a file was changed between two backups. The version that was changed last gets the name, the other
//! a number, and no number is a name that some other file had.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::AssetRow;

use super::placing::{Target, numbered, targets};

/// Every path of the library, with the photo that gets it. Takes about 50 bytes for each.
#[derive(Debug, Default)]
pub struct Plan {
    /// Hash of the path → when the file was changed there, and what stands for its bytes.
    owners: HashMap<u64, (Option<i64>, u64)>,
    /// How many files are to be there.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
}

impl Plan {
    /// Plans every place of an asset; of equally old ones the asset that comes last gets the name.
    pub fn add(&mut self, row: &AssetRow) {
        for target in targets(row) {
            self.files += 1;
            self.bytes += row.size_bytes;
            let owner = (target.modified_ms, mark(&row.digest));
            match self.owners.entry(key(&target.path)) {
                Entry::Vacant(slot) => {
                    slot.insert(owner);
                }
                Entry::Occupied(mut known) if known.get().0 <= owner.0 => {
                    known.insert(owner);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// Whether an asset gets this path without a number. One that arrived since the plan was made does if nobody else
    /// does.
    fn is_owner(&self, path: &Path, digest: &Digest) -> bool {
        self.owners.get(&key(path)).is_none_or(|(_, owner)| *owner == mark(digest))
    }

    /// Names below `folder` under which a file may be, with whether it may be written under them, in the order in which
    /// they are tried.
    pub fn names<'a>(
        &'a self,
        folder: &'a Path,
        target: &'a Target,
        digest: &Digest,
    ) -> impl Iterator<Item = (PathBuf, bool)> + 'a {
        let is_owner = self.is_owner(&target.path, digest);
        let first = std::iter::once((folder.join(&target.path), is_owner));
        let others = (2..super::placing::MAX_NUMBER)
            .map(|number| numbered(&target.path, number))
            .filter(|path| !self.owners.contains_key(&key(path)))
            .map(|path| (folder.join(path), true));
        first.chain(others)
    }
}

fn key(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Half a digest would do: it only tells two photos of one path apart.
fn mark(digest: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.0[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::v2::claims::Claims;
    use photosync_protocol::v2::places::Place;

    fn row(digest: u8, places: &[(&str, Option<i64>)]) -> AssetRow {
        let mut claims = Claims::default();
        for (path, modified_ms) in places {
            let said = Claims {
                device_asset_id: Some(format!("path:{path}")),
                folder: path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
                modified_ms: *modified_ms,
                ..Claims::default()
            };
            assert!(claims.add(said));
        }
        assert!(claims.copies.iter().all(|copy| *copy != Place::default()));
        AssetRow {
            id: digest.to_string(),
            digest: Digest([digest; 32]),
            size_bytes: 10,
            name: "listed.jpg".into(),
            media_type: "image/jpeg".into(),
            arrived_at_ms: 0,
            verified_at_ms: None,
            claims,
        }
    }

    /// The first name under which each place may be written.
    fn written(plan: &Plan, row: &AssetRow) -> Vec<String> {
        let name = |target: &Target| {
            let mut names = plan.names(Path::new("r"), target, &row.digest);
            let (path, _) = names.find(|(_, may_be_written)| *may_be_written).unwrap();
            path.to_str().unwrap().replace(std::path::MAIN_SEPARATOR, "/")
        };
        targets(row).iter().map(name).collect()
    }

    #[test]
    fn the_version_that_was_changed_last_gets_the_name_and_no_number_is_a_name_of_another() {
        let old = row(1, &[("d/a.jpg", Some(5)), ("b.jpg", Some(5))]);
        let new = row(2, &[("d/a.jpg", Some(9))]);
        let named_so = row(3, &[("d/a (2).jpg", Some(1))]);
        for order in [[&old, &new, &named_so], [&named_so, &new, &old]] {
            let mut plan = Plan::default();
            order.iter().for_each(|row| plan.add(row));
            assert_eq!((plan.files, plan.bytes), (4, 40));
            assert_eq!(written(&plan, &old), ["r/d/a (3).jpg", "r/b.jpg"]);
            assert_eq!(written(&plan, &new), ["r/d/a.jpg"]);
            assert_eq!(written(&plan, &named_so), ["r/d/a (2).jpg"]);
            // It came while the plan was made.
            assert_eq!(written(&plan, &row(4, &[("late.jpg", None)])), ["r/late.jpg"]);
            assert_eq!(written(&plan, &row(4, &[("b.jpg", Some(99))])), ["r/b (2).jpg"]);
        }
    }

    #[test]
    fn of_versions_without_a_time_the_one_that_arrived_last_gets_the_name() {
        let (first, last) = (row(1, &[("a.jpg", None)]), row(2, &[("a.jpg", None)]));
        let mut plan = Plan::default();
        plan.add(&first);
        plan.add(&last);
        assert_eq!(written(&plan, &first), ["r/a (2).jpg"]);
        assert_eq!(written(&plan, &last), ["r/a.jpg"]);
        // An earlier run may have left it there: it is looked for under the name, and not written.
        let target = &targets(&first)[0];
        let first_name = plan.names(Path::new("r"), target, &first.digest).next();
        assert_eq!(first_name, Some(("r/a.jpg".into(), false)));
    }
}
