//! Every sentence the tray says, in one place: ready for translation.

pub mod backup;

use photosync_protocol::control::OverdueDevice;

use crate::model::{Notice, Trouble, UpdateWork};

/// The product.
pub const PRODUCT: &str = "PhotoSync";

/// Menu entries.
#[expect(missing_docs, reason = "each is the text of the entry of its name")]
pub mod entry {
    pub const START: &str = "Start";
    pub const STOP: &str = "Stop";
    pub const RESTART: &str = "Restart";
    pub const ADDRESSES: &str = "Local IP Addresses";
    pub const NO_ADDRESS: &str = "No network";
    pub const PAIR: &str = "Pair a phone …";
    pub const OPEN_PAGE: &str = "Open PhotoSync";
    pub const OPEN_PHOTOS: &str = "Open photo folder";
    pub const IMPORT: &str = "Import from the old PhotoSync …";
    pub const LOGIN: &str = "Launch at login";
    pub const CHECK_UPDATE: &str = "Check for updates";
    pub const LOG: &str = "View log";
    pub const QUIT: &str = "Quit PhotoSync";
}

/// State lines of the menu.
#[expect(missing_docs, reason = "each is the line of the state of its name")]
pub mod state {
    pub const LOOKING: &str = "○ Looking for a server …";
    pub const STARTING: &str = "○ Starting …";
    pub const SLOW: &str = "⚠ Still starting; the log says what it does";
    pub const RUNNING: &str = "● Running";
    pub const RUNNING_OTHER: &str = "● Running (started elsewhere)";
    pub const SILENT: &str = "⚠ Running, but it does not answer";
    pub const STOPPING: &str = "○ Stopping …";
    pub const PAUSING: &str = "⚠ It ended unexpectedly; starting again …";
    pub const STOPPED: &str = "○ Stopped";
}

/// An address in the menu.
pub fn address(typed: &str, interface: &str) -> String {
    format!("{typed}  ({interface})")
}

/// What a running server says about the disk, in the menu.
pub fn low_space(free_bytes: u64) -> String {
    format!("⚠ The disk is nearly full: {} free", bytes(free_bytes))
}

/// How far the copy of old photos is; nothing is known of it at first.
pub fn importing(done_files: u64, total_files: u64) -> String {
    match total_files {
        0 => "○ Copying the photos of the old PhotoSync …".to_owned(),
        _ => format!("○ Copying old photos: {done_files} of {total_files} …"),
    }
}

/// The entry that installs a newer version.
pub fn update_to(version: &str) -> String {
    format!("Update to {version}")
}

/// What is under way or done about updates, in the menu.
pub fn updates(work: &UpdateWork) -> Option<String> {
    match work {
        UpdateWork::Nothing => None,
        UpdateWork::Checking => Some("○ Looking for updates …".to_owned()),
        UpdateWork::Installing(version) => Some(format!("○ Installing {version} …")),
        UpdateWork::Installed(version) => {
            Some(format!("{version} is installed; choose Restart when you like"))
        }
    }
}

/// A device without a backup for too long, in the menu.
pub fn overdue(device: &OverdueDevice) -> String {
    format!("⚠ {}", overdue_words(device))
}

fn overdue_words(OverdueDevice { name, email, days, is_first, .. }: &OverdueDevice) -> String {
    let whose = if name.is_empty() { email } else { name };
    let unit = if *days == 1 { "day" } else { "days" };
    match is_first {
        true => format!("{whose}: no complete backup yet, after {days} {unit}"),
        false => format!("{whose}: no complete backup for {days} {unit}"),
    }
}

/// A number of bytes for people, in decimal units.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} KB", bytes / 1_000),
    }
}

/// Why no server runs, in one line.
pub fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::PortTaken { port, owner: Some(owner) } => {
            format!("Port {port} is taken by {owner}")
        }
        Trouble::PortTaken { port, owner: None } => {
            format!("Port {port} is taken by another program")
        }
        Trouble::Settings(words) => format!("The settings cannot be used: {}", short(words)),
        Trouble::Storage(words) => format!("The photo folder cannot be used: {}", short(words)),
        Trouble::DataBusy => "Another server holds the photos and does not answer".to_owned(),
        Trouble::KeepsFailing(words) => format!("It keeps ending: {}", short(words)),
        Trouble::NotStarted(words) => format!("It could not be started: {}", short(words)),
        Trouble::Gone => "The server that ran here has ended".to_owned(),
    }
}

/// What a person can do about it.
fn remedy(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::PortTaken { .. } => {
            "End that program, then choose Start. Existing phone apps always dial port 3000; with another port in the \
             settings they do not find this server."
        }
        Trouble::Settings(_) => {
            "Mend the settings, then choose Start. The log has the whole message."
        }
        Trouble::Storage(_) => {
            "Connect the disk or free some space, then choose Start. Your photos are untouched."
        }
        Trouble::KeepsFailing(_) | Trouble::NotStarted(_) => {
            "The log says more. Choose Start to try again."
        }
        Trouble::DataBusy | Trouble::Gone => "Choose Start to try again.",
    }
}

/// Title and text of a notification.
pub fn notice(notice: &Notice) -> (String, String) {
    match notice {
        Notice::FirstStart(Some(address)) => (
            "PhotoSync is ready".to_owned(),
            format!(
                "In the phone app, type {address} as the server. The icon's menu shows it again."
            ),
        ),
        Notice::FirstStart(None) => (
            "PhotoSync is ready".to_owned(),
            "This computer has no network yet. The icon's menu shows the address once it has."
                .to_owned(),
        ),
        Notice::Copied(text) => ("Address copied".to_owned(), text.clone()),
        Notice::NotCopied(text) => (
            "The clipboard cannot be used here".to_owned(),
            format!("Type this into the phone: {text}"),
        ),
        Notice::Failed(why) => {
            ("PhotoSync is not running".to_owned(), format!("{}. {}", trouble(why), remedy(why)))
        }
        Notice::LowSpace(free_bytes) => (
            "The disk is nearly full".to_owned(),
            format!(
                "{} are left for photos. New uploads will be refused when nothing is left.",
                bytes(*free_bytes)
            ),
        ),
        Notice::BackupStopped(why) => (
            "This computer is not backed up any more".to_owned(),
            format!("{}. The icon's menu shows what can be done.", short(why)),
        ),
        Notice::NoFolderDialog => (
            "No folders can be chosen here".to_owned(),
            "This desktop has no dialog for it (package xdg-desktop-portal, zenity or kdialog). In a terminal,              `photosync backup FOLDER` backs a folder up."
                .to_owned(),
        ),
        Notice::UnnamedFolder(folder) => (
            "This folder cannot be backed up here".to_owned(),
            format!("The name of {} is not Unicode. Rename it, or back up the folder it is in.", folder.display()),
        ),
        Notice::Imported(report) => (
            "The photos of the old PhotoSync are here".to_owned(),
            format!("{}\nThe old ones were not touched.", report.trim()),
        ),
        Notice::ImportedInPart(report) => (
            "Something of the old PhotoSync needs you".to_owned(),
            format!("{}\nThe log has all of it. The old photos were not touched.", short(report)),
        ),
        Notice::ImportFailed(why) => (
            "The old photos could not be copied".to_owned(),
            format!("{}. They were not touched; choose the entry again to go on.", short(why)),
        ),
        Notice::Overdue(device) => (
            "A device has not been backed up".to_owned(),
            format!(
                "{} ({}). Open PhotoSync on it, on the same network as this computer.",
                overdue_words(device),
                device.email
            ),
        ),
        Notice::Newer(version) => (
            format!("PhotoSync {version} is there"),
            "The icon's menu installs it. Nothing is restarted before you choose it.".to_owned(),
        ),
        Notice::Checked(words) => ("Updates".to_owned(), short(words)),
        Notice::UpdateInstalled(version) => (
            format!("PhotoSync {version} is installed"),
            "Choose Restart when you like. If it does not work, the version before comes back by itself."
                .to_owned(),
        ),
        Notice::NotUpdated(why) => (
            "The update was not installed".to_owned(),
            format!("{} Nothing was changed.", sentence(why)),
        ),
        Notice::NoIcon(port) => (
            "PhotoSync runs without an icon".to_owned(),
            format!(
                "This desktop shows none (GNOME needs the AppIndicator extension). Start PhotoSync from your programs, \
                 or open http://127.0.0.1:{port}/. The icon comes by itself when the desktop can show it."
            ),
        ),
        Notice::Unreached(port) => {
            ("No phone has reached this computer yet".to_owned(), firewall(*port))
        }
    }
}

#[cfg(target_os = "linux")]
fn firewall(port: u16) -> String {
    format!(
        "If a phone on the same Wi-Fi cannot connect, a firewall may be in the way. Allow it with:  \
         sudo ufw allow {port}/tcp  (or: sudo firewall-cmd --add-port={port}/tcp --permanent)"
    )
}

#[cfg(not(target_os = "linux"))]
fn firewall(port: u16) -> String {
    format!(
        "If a phone on the same Wi-Fi cannot connect, allow PhotoSync (port {port}) in the firewall of this computer."
    )
}

/// A message as a sentence, long enough for its advice.
fn sentence(why: &str) -> String {
    let line = why.trim().trim_start_matches("photosync-server: ").trim_end_matches('.');
    let cut: String = line.chars().take(240).collect();
    format!("{cut}.")
}

/// A message cut to a menu's width.
pub(crate) fn short(words: &str) -> String {
    const MOST: usize = 80;
    let line = words.trim();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}
