//! The relay: sealed backups in a place that can read nothing, a folder or a server.
//!
//! What is sealed how is decided in [`photosync_protocol::format`]; here is where objects lie ([`store`]), what this
//! device keeps to open them ([`space`]), how it learns what others wrote ([`sync`]), and the work itself: [`keys`]
//! (begin, unlock, recover, change the password, begin a new epoch), [`backup`], [`restore`], [`verify`].

pub mod backup;
mod folder;
mod hiding;
mod keyrings;
pub mod keys;
pub mod kit;
mod remote;
mod restore;
mod sealing;
mod space;
mod store;
mod sync;
mod tally;
mod verify;
pub mod version1;
mod working;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use photosync_protocol::format::Bad;
use photosync_protocol::format::keyring::Failed;
use tokio_util::sync::CancellationToken;

pub use hiding::KeyPlace;
pub use restore::restore;
use space::Held;
pub use space::Space;
pub use store::Store;
pub use tally::Tally;
pub use verify::{Verified, verify};

use crate::backup::blocking;
use crate::error::{Error, Kind, Result};
use crate::profile::Profile;
use crate::report::Report;

/// A place with sealed objects, and this device's keys to it.
pub struct Relay {
    /// Where the objects are.
    pub store: Arc<Store>,
    /// What this device keeps.
    pub space: Space,
    /// Where events go.
    pub report: Arc<dyn Report>,
    /// Ends when the run is interrupted.
    pub stop: CancellationToken,
}

impl Relay {
    /// An unlocked relay. [`Kind::SignIn`] if this device has no keys to it.
    pub async fn open(
        store: Arc<Store>,
        profile: &Profile,
        report: Arc<dyn Report>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let (profile, name) = (profile.clone(), store.name());
        let space = blocking(move || Space::find(&profile, &name)).await?;
        let space = space.ok_or_else(|| locked(&store))?;
        Ok(Self { store, space, report, stop })
    }

    /// Lets no other run of this computer write here until the answer is dropped, and takes in what the last one noted: this
    /// relay may have been opened before that.
    async fn hold(&mut self) -> Result<Held> {
        let (profile, name) = (self.space.profile().clone(), self.store.name());
        let held = hold(&self.store, &profile).await?;
        let known = self.space.key_place.clone();
        let found = blocking(move || Space::find_with(&profile, &name, Some(&known))).await?;
        self.space = found.ok_or_else(|| locked(&self.store))?;
        Ok(held)
    }
}

/// Lets no other run of this computer write into that place until the answer is dropped. `busy` if one is at work.
async fn hold(store: &Store, profile: &Profile) -> Result<Held> {
    let (profile, name) = (profile.clone(), store.name());
    blocking(move || Held::take(&profile, &name)).await?.ok_or_else(|| {
        let text = format!("another run is at work on the sealed backup in {}", store.shown());
        Error::new(Kind::Storage, text)
            .coded("busy")
            .hint("wait until it has ended, and type this again")
    })
}

fn locked(store: &Store) -> Error {
    Error::new(Kind::SignIn, format!("this computer has no keys to {}", store.shown()))
        .coded("locked")
        .hint(
            "photosync relay unlock gets them by the password, photosync relay recover by the 24 words; a new sealed \
             backup begins with photosync relay init",
        )
}

/// What was refused, and why.
fn refused(what: impl std::fmt::Display, bad: Bad) -> Error {
    let (kind, code) = match bad {
        Bad::WrongSecret => (Kind::SignIn, "wrong_secret"),
        Bad::RolledBack => (Kind::WrongServer, "rolled_back"),
        Bad::UnknownEpoch => (Kind::SignIn, "new_epoch"),
        _ => (Kind::File, "damaged"),
    };
    let error = Error::new(kind, format!("{what} is refused: {bad}")).coded(code);
    match bad {
        Bad::RolledBack => error.hint(
            "something was removed or an old state was put back; look for an older copy of the relay, and do not \
             trust this one",
        ),
        Bad::UnknownEpoch => error.hint("the keys were changed; type photosync relay unlock"),
        _ => error,
    }
}

fn failed(what: &str, failed: Failed) -> Error {
    match failed {
        Failed::Bad(bad) => refused(what, bad),
        Failed::NoMemory => Error::unexpected(failed.to_string()),
    }
}

/// Blocking work on the file system, with the path in the error.
fn io<T>(what: &str, path: &Path, done: std::io::Result<T>) -> Result<T> {
    done.map_err(|cause| Error::storage(what, path, &cause))
}

/// An absolute path, for a name that stays the same wherever the command is typed.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
