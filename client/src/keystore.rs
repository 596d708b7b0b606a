//! The key store of the system: Secret Service, Keychain, Credential Manager. Called by [`crate::credentials`] alone.
//!
//! Every call ends: a store that does not answer in time counts as absent, and its thread is left behind. Nothing
//! here says what a secret is, also not in an error.

use std::sync::mpsc;
use std::time::Duration;

use keyring::{Entry, Error};

/// Name under which the store shows what this program keeps.
const SERVICE: &str = "photosync";
/// A store that has not said hello by then is not there: 3 s.
const HELLO: Duration = Duration::from_secs(3);
/// A locked store may ask a person for its password: 45 s.
const UNLOCK: Duration = Duration::from_secs(45);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The store has nothing under that name.
    Absent,
    /// There is no store, or it did not do it: why.
    Unusable(String),
}

/// What is kept under that name.
pub fn get(name: &str) -> Result<String, Failure> {
    with_entry(name, |entry| entry.get_password())
}

/// Keeps a secret under that name, in place of what was there.
pub fn set(name: &str, secret: String) -> Result<(), Failure> {
    with_entry(name, move |entry| entry.set_password(&secret))
}

/// Forgets what is kept under that name; done already is fine.
pub fn remove(name: &str) -> Result<(), Failure> {
    match with_entry(name, |entry| entry.delete_credential()) {
        Err(Failure::Absent) => Ok(()),
        done => done,
    }
}

fn with_entry<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let name = name.to_owned();
    let (hello, greeted) = mpsc::channel();
    let (done, answered) = mpsc::channel();
    // A thread of its own, not one of the runtime: a store that never answers must hold nobody.
    let spawned = std::thread::Builder::new().name("key store".into()).spawn(move || {
        let entry = match Entry::store_status() {
            Ok(()) => Entry::new(SERVICE, &name).map_err(|cause| failure(&cause)),
            Err(cause) => Err(failure(cause)),
        };
        let _ = hello.send(());
        let _ = done.send(entry.and_then(|entry| work(&entry).map_err(|cause| failure(&cause))));
    });
    let unusable = |why: &str| Failure::Unusable(why.to_owned());
    spawned.map_err(|cause| unusable(&cause.to_string()))?;
    greeted.recv_timeout(HELLO).map_err(|_| unusable("it does not answer"))?;
    answered.recv_timeout(UNLOCK).map_err(|_| unusable("it was not unlocked in time"))?
}

fn failure(cause: &Error) -> Failure {
    match cause {
        Error::NoEntry => Failure::Absent,
        // The text of some causes holds what was kept.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => {
            Failure::Unusable("what it holds is not what was put there".to_owned())
        }
        Error::PlatformFailure(cause) | Error::NoStorageAccess(cause) => {
            Failure::Unusable(match crate::error::root_cause(cause.as_ref()) {
                // The socket of the message bus, which a desktop session has.
                text if text.starts_with("No such file") => "no desktop session".to_owned(),
                text => text,
            })
        }
        other => Failure::Unusable(other.to_string()),
    }
}
