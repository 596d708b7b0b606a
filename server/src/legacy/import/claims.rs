//! Whose an old folder is.
//!
//! The old server believed whatever device id a client sent, so two users may have used one folder. The rule: a
//! folder that more than one user has a claim to is given to nobody but by the operator.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::report::Imported;
use super::source::OldServer;
use crate::accounts::queries::Account;

/// Longest folder name that the old server makes for the cloud.
const MAX_KEY_CHARS: usize = 128;

/// What kind of folder is meant: the two are named by different rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `uploads/<device id>`
    Uploads,
    /// `cloud/users/<key>`
    Cloud,
}

/// Which users have a claim to which folder.
pub(super) struct Claims {
    /// Old user numbers by folder.
    users: BTreeMap<(Place, String), BTreeSet<i64>>,
    devices: BTreeMap<Uuid, BTreeSet<i64>>,
    /// Accounts by old user number; users that were left have none.
    accounts: BTreeMap<i64, Account>,
    chosen: HashMap<Uuid, Account>,
    used: HashSet<Uuid>,
}

impl Claims {
    pub(super) fn new(
        old: &OldServer,
        people: &BTreeMap<i64, Account>,
        chosen: HashMap<Uuid, Account>,
    ) -> Self {
        let mut users: BTreeMap<(Place, String), BTreeSet<i64>> = BTreeMap::new();
        let mut devices: BTreeMap<Uuid, BTreeSet<i64>> = BTreeMap::new();
        let mut claim = |id: i64, name: &str| {
            users.entry((Place::Uploads, fold(name))).or_default().insert(id);
            users.entry((Place::Cloud, fold(&cloud_key(name)))).or_default().insert(id);
        };
        for user in &old.users {
            claim(user.id, &user.id.to_string());
            claim(user.id, user.user_uuid.as_deref().unwrap_or_default());
        }
        for device in &old.devices {
            // Rows of deleted users stay in the old database; they own nothing any more.
            if !old.users.iter().any(|user| user.id == device.user_id) {
                continue;
            }
            claim(device.user_id, &device.device_uuid);
            if let Ok(uuid) = Uuid::try_parse(&device.device_uuid) {
                devices.entry(uuid).or_default().insert(device.user_id);
            }
        }
        Self { users, devices, accounts: people.clone(), chosen, used: HashSet::new() }
    }

    /// Device UUIDs that one user alone has used, with the account.
    pub(super) fn devices(&self) -> Vec<(Uuid, Uuid)> {
        let alone = self.devices.iter().filter(|(_, users)| users.len() == 1);
        alone
            .filter_map(|(uuid, users)| {
                let account = self.accounts.get(users.first()?)?;
                Some((*uuid, account.account_uuid))
            })
            .collect()
    }

    /// Folders by account. Those that are nobody's are named in the report.
    pub(super) fn divide(
        &mut self,
        folders: &[PathBuf],
        place: Place,
        report: &mut Imported,
    ) -> BTreeMap<Uuid, Vec<PathBuf>> {
        let mut divided: BTreeMap<Uuid, Vec<PathBuf>> = BTreeMap::new();
        for folder in folders {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_hidden(folder) {
                report.note(format!("{}: hidden", folder.display()));
                continue;
            }
            match self.owner_of(&name, place) {
                Ok((account, email)) => {
                    report.tally(account, &email);
                    divided.entry(account).or_default().push(folder.clone());
                }
                Err(reason) => report.left.push(format!("{}: {reason}", folder.display())),
            }
        }
        divided
    }

    fn owner_of(&mut self, name: &str, place: Place) -> Result<(Uuid, String), String> {
        let nobody = BTreeSet::new();
        let users = self.users.get(&(place, fold(name))).unwrap_or(&nobody);
        let found = |account: &Account| (account.account_uuid, account.email.clone());
        if let (1, Some(account)) =
            (users.len(), users.first().and_then(|user| self.accounts.get(user)))
        {
            return Ok(found(account));
        }
        let uuid = Uuid::try_parse(name).ok();
        if let Some((uuid, account)) = uuid.and_then(|uuid| Some((uuid, self.chosen.get(&uuid)?))) {
            self.used.insert(uuid);
            return Ok(found(account));
        }
        let hint = uuid.map_or_else(String::new, |uuid| {
            format!("; say whose it is with --owner {uuid}=E-MAIL")
        });
        let emails: Vec<String> = users
            .iter()
            .map(|user| match self.accounts.get(user) {
                Some(account) => account.email.clone(),
                None => format!("user {user}, who was not imported"),
            })
            .collect();
        Err(match emails.as_slice() {
            [] => format!("the old database does not know whose it is{hint}"),
            [one] => format!("it belongs to {one}{hint}"),
            several => format!("it was used by {}{hint}", several.join(" and ")),
        })
    }

    /// Device UUIDs of folders that the operator gave to somebody, with the account. Choices that no folder needed
    /// are named in the report: they may be typing mistakes.
    pub(super) fn chosen_devices(&self, report: &mut Imported) -> Vec<(Uuid, Uuid)> {
        let mut bound = Vec::new();
        for (uuid, account) in &self.chosen {
            if self.used.contains(uuid) {
                bound.push((*uuid, account.account_uuid));
            } else {
                report.left.push(format!(
                    "--owner {uuid}={}: there is no folder of this name without an owner",
                    account.email
                ));
            }
        }
        bound
    }
}

/// Whether a file or folder is one that file managers and the like leave everywhere.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// UUIDs are one whatever their case; other ids are taken as they are.
fn fold(name: &str) -> String {
    match Uuid::try_parse(name) {
        Ok(_) => name.to_ascii_lowercase(),
        Err(_) => name.to_owned(),
    }
}

/// The old server's name of a user's cloud folder.
fn cloud_key(name: &str) -> String {
    let keep = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.chars().filter(keep).take(MAX_KEY_CHARS).collect()
}
