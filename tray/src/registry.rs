//! What the tray writes into the registry of its user, and nothing else does.

use std::io;

use windows_registry::{CURRENT_USER, Key};

/// Programs that start with the session, by name.
const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
/// What Settings and the Task Manager note of those.
const APPROVED: &str = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run";
/// Our name there; tests leave that of an installed program alone.
const NAME: &str = if cfg!(test) { "PhotoSync test" } else { "PhotoSync" };
/// Programs that show notifications.
const NOTIFIERS: &str = r"Software\Classes\AppUserModelId";
/// Whom ours are from.
const NOTIFIER: &str = "PhotoSync.Tray";

/// Whether this command starts with the session: it is there, and nobody switched it off in Settings.
pub fn starts(command: &str) -> bool {
    let value = |key: &str| CURRENT_USER.open(key).and_then(|key| key.get_value(NAME));
    let is_there = CURRENT_USER.open(RUN).and_then(|key| key.get_string(NAME));
    is_there.is_ok_and(|there| there == command)
        && !value(APPROVED).is_ok_and(|mark| crate::login::is_switched_off(&mark))
}

/// Lets a command start with the session, also if it was switched off in Settings.
pub fn set_start(command: &str) -> io::Result<()> {
    let key = CURRENT_USER.create(RUN).map_err(|error| failed("open", RUN, &error))?;
    key.set_string(NAME, command).map_err(|error| failed("write into", RUN, &error))?;
    forget(APPROVED)
}

/// Takes it back; nothing stays. May be called twice.
pub fn remove_start() -> io::Result<()> {
    forget(RUN)?;
    forget(APPROVED)
}

/// Says whom notifications are from, until the session ends, and returns the id to show them with. Without it they
/// would be from the PowerShell.
pub fn name_notifications() -> io::Result<&'static str> {
    // The folder of all programs stays, as it may be ours that comes first: below a volatile key nothing lasts.
    CURRENT_USER.create(NOTIFIERS).map_err(|error| failed("open", NOTIFIERS, &error))?;
    let path = format!(r"{NOTIFIERS}\{NOTIFIER}");
    let name = |key: Key| key.set_string("DisplayName", crate::texts::PRODUCT);
    let named = CURRENT_USER.options().write().create().volatile().open(&path).and_then(name);
    named.map(|()| NOTIFIER).map_err(|error| failed("write into", &path, &error))
}

/// Removes our value from a key that may have none, or not be there.
fn forget(path: &str) -> io::Result<()> {
    let Ok(key) = CURRENT_USER.options().read().write().open(path) else { return Ok(()) };
    if key.get_type(NAME).is_err() {
        return Ok(());
    }
    key.remove_value(NAME).map_err(|error| failed("remove a value from", path, &error))
}

fn failed(what: &str, path: &str, error: &impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("could not {what} HKCU\\{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_off_and_asking_agree_and_off_leaves_nothing() {
        let command = r#""C:\Program Files\PhotoSync\photosync-tray.exe""#;
        remove_start().unwrap();
        assert!(!starts(command));
        set_start(command).unwrap();
        assert!(starts(command));
        let stored = CURRENT_USER.open(RUN).unwrap().get_string(NAME).unwrap();
        assert_eq!(stored, command);
        assert!(!starts(r#""D:\elsewhere\photosync-tray.exe""#), "a program that was moved");

        let approved = CURRENT_USER.create(APPROVED).unwrap();
        approved.set_bytes(NAME, windows_registry::Type::Bytes, &[3, 0, 0, 0, 1]).unwrap();
        assert!(!starts(command), "Settings switched it off");
        set_start(command).unwrap();
        assert!(starts(command), "and the menu on again");

        remove_start().unwrap();
        assert!(!starts(command));
        assert!(CURRENT_USER.open(RUN).unwrap().get_string(NAME).is_err());
        assert!(approved.get_value(NAME).is_err());
        remove_start().unwrap();
    }

    #[test]
    fn notifications_have_the_name_of_the_program() {
        let id = name_notifications().unwrap();
        let key = CURRENT_USER.open(format!(r"{NOTIFIERS}\{id}")).unwrap();
        assert_eq!(key.get_string("DisplayName").unwrap(), crate::texts::PRODUCT);
        assert_eq!(name_notifications().unwrap(), id, "again");
    }
}
