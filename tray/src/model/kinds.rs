//! The words of the model: how the server is, what happens, what to do, what to say.

use std::path::PathBuf;

use photosync_protocol::control::{OverdueDevice, Status};
use photosync_protocol::process::Ready;

use super::backup::{Account, Progress, RunEnd};
use super::import::ImportEnd;
use super::updates::UpdateEnd;
use crate::addresses::Address;
use crate::kept::Kept;

/// The server as the tray sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Perhaps one runs already.
    Looking,
    /// Ours was started and has not said that it is ready.
    Starting {
        /// Whether it takes longer than usual.
        is_slow: bool,
    },
    /// It answers.
    Running {
        /// Port of its public listener.
        port: u16,
        /// Whether this tray started it.
        is_ours: bool,
        /// Whether its status is heard, or was until a moment ago.
        answers: bool,
    },
    /// It was asked to stop.
    Stopping {
        /// What comes when it has.
        then: Then,
        /// Whether this tray started it.
        is_ours: bool,
    },
    /// None runs, because photos of the server that came before are being copied.
    Importing {
        /// Originals of one account that are here by now; told now and then.
        done_files: u64,
        /// Originals of that account; 0 before it is known.
        total_files: u64,
    },
    /// Ours ended by itself and will be started again.
    Pausing,
    /// None runs.
    Stopped(Option<Trouble>),
}

/// What comes after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Rest,
    /// Another start.
    Start,
    /// The copy of old photos, then another start.
    Import,
    /// The end of the tray.
    Quit,
}

/// Why no server runs although one should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Another program has the port.
    PortTaken {
        /// Which port.
        port: u16,
        /// Which program, if the system tells.
        owner: Option<String>,
    },
    /// The settings cannot be used; the server's own words.
    Settings(String),
    /// The disk or folder cannot be used; the server's own words.
    Storage(String),
    /// Another server holds the data and does not answer.
    DataBusy,
    /// It ended too often; its last words.
    KeepsFailing(String),
    /// It could not be started at all; the system's words.
    NotStarted(String),
    /// A server that somebody else had started is gone.
    Gone,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The tray began.
    Launched,
    /// A menu entry was chosen.
    Chosen(Action),
    /// A server answers on the control listener; the first line of its status.
    Attached(Status),
    /// No server answers there.
    NobodyThere,
    /// Another line of the status.
    Said(Status),
    /// The stream of the status ended.
    Detached,
    /// Our server says that it is ready.
    Ready(Ready),
    /// Our server ended.
    Exited(Ended),
    /// Our server could not be started.
    NotStarted(String),
    /// The program that has the port, if the system tells.
    PortOwner(Option<String>),
    /// A timer of this round ran out.
    Elapsed(Timer, u64),
    /// The computer's addresses, now.
    Addresses(Vec<Address>),
    /// A text is on the clipboard.
    Copied(String),
    /// It could not be put there.
    NotCopied(String),
    /// Whether it starts with the session, after a change.
    StartsAtLogin(Option<bool>),
    /// No desktop shows the icon.
    NoIcon,
    /// The session ends, or the process was asked to end.
    SessionEnds,
    /// Folders that a person chose; none if the dialog was closed.
    FoldersChosen(Vec<PathBuf>),
    /// This desktop has no dialog for choosing folders.
    NoFolderDialog,
    /// Who is signed in with the client on this computer; `None` if nobody is and it knows of no account.
    Client(Option<Account>),
    /// The client could not be signed in: why.
    NotSignedIn(String),
    /// The client has an account whose credentials are gone or refused: its words.
    SignInLost(String),
    /// The client could not be asked, or could not tell for now: why.
    NotTold(String),
    /// How far the backup of this computer is.
    BackupSaid(Progress),
    /// A backup of this computer ended, or could not begin.
    BackupEnded(RunEnd),
    /// How far the copy of old photos is.
    ImportSaid {
        /// Originals of one account that are here.
        done_files: u64,
        /// Originals of that account.
        total_files: u64,
    },
    /// The copy of old photos ended, or could not begin.
    ImportEnded(ImportEnd),
    /// The look for a newer version that a person asked for ended.
    UpdateChecked(UpdateEnd),
    /// An update ended; the version is installed, or why not.
    Updated(UpdateEnd),
}

/// How our server ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The last line that it wrote to its log.
    pub last_words: String,
}

/// What a person can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a menu entry")]
pub enum Action {
    Start,
    Stop,
    Restart,
    CopyAddress(String),
    Pair,
    OpenPage,
    OpenPhotos,
    OpenLog,
    ToggleLogin,
    AddFolder,
    AddThis(PathBuf),
    RemoveFolder(PathBuf),
    BackUpNow,
    StopBackup,
    SignInAs(String),
    Import,
    CheckUpdate,
    Update(String),
    Quit,
}

/// A timer; it comes back with the round in which it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The server was asked to stop and had its time.
    Grace,
    /// The server takes long to start.
    SlowStart,
    /// The pause after a crash is over.
    Pause,
    /// Time to look for a server again.
    LookAgain,
    /// A phone should have reached the server by now.
    Unreached,
    /// Time for another backup of this computer; its rounds are counted apart.
    BackUp,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look for a running server and follow its status: `Attached`, `Said` and `Detached`, or `NobodyThere`.
    Follow,
    /// Start our server: `Ready`, `Exited`, or `NotStarted`.
    StartServer,
    /// Ask our server to stop.
    StopOurs,
    /// Ask the server that somebody else started to stop.
    StopOther,
    /// End our server at once.
    KillOurs,
    /// Find who has this port: `PortOwner`.
    FindPortOwner(u16),
    /// `Elapsed` with this round after so many milliseconds.
    After(u64, Timer, u64),
    /// Put a text on the clipboard: `Copied` or `NotCopied`.
    Copy(String),
    /// Open the page for pairing a phone.
    OpenPairing,
    /// Open the page of the server at this port of this computer.
    OpenPage(u16),
    /// Open the folder with the photos.
    OpenPhotos,
    /// Open the log.
    OpenLog,
    /// Start with the session, or not: `StartsAtLogin`.
    SetLogin(bool),
    /// Put PhotoSync among the programs of this desktop, if it is not there.
    PutLauncher,
    /// Tell the person.
    Notify(Notice),
    /// Remember this for the next start.
    Keep(Kept),
    /// Ask the client who is signed in: `Client`, `SignInLost` or `NotTold`.
    AskClient,
    /// Sign the client in to the server at this port of this computer, as this account: `NotSignedIn`, or as
    /// after [`Effect::AskClient`].
    SignIn {
        /// E-mail of the account.
        email: String,
        /// The server's port.
        port: u16,
    },
    /// Let a person choose folders: `FoldersChosen` or `NoFolderDialog`.
    ChooseFolders,
    /// Back these folders up: `BackupSaid`, then `BackupEnded`.
    BackUp {
        /// The folders.
        folders: Vec<PathBuf>,
        /// Whether they are sealed, too.
        sealed: bool,
    },
    /// End the backup under way in order.
    StopBackup,
    /// Copy the photos of the old server in that folder: `ImportSaid`, then `ImportEnded`.
    Import(PathBuf),
    /// End that copy at once.
    StopImport,
    /// Look for a newer version: `UpdateChecked`.
    CheckUpdate,
    /// Install this version beside the running one: `Updated`.
    Update(String),
    /// Keep the computer awake, or no longer.
    KeepAwake(bool),
    /// End the tray.
    Exit,
}

/// What the tray says without being asked. Nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It runs for the first time: where phones reach it.
    FirstStart(Option<String>),
    /// An address is on the clipboard.
    Copied(String),
    /// An address could not be put on the clipboard: here it is.
    NotCopied(String),
    /// The server failed and stays stopped.
    Failed(Trouble),
    /// The disk is nearly full: free bytes.
    LowSpace(u64),
    /// No phone has reached the server.
    Unreached(u16),
    /// This computer is not backed up any more until a person does something: why.
    BackupStopped(String),
    /// No dialog can be opened here.
    NoFolderDialog,
    /// This folder cannot be backed up: its name is not Unicode.
    UnnamedFolder(PathBuf),
    /// Everything of the old server is here: what that was.
    Imported(String),
    /// Something of it needs a person: what.
    ImportedInPart(String),
    /// The old photos could not be copied: why.
    ImportFailed(String),
    /// A device has had no backup for too long.
    Overdue(OverdueDevice),
    /// A newer version is there.
    Newer(String),
    /// A person asked, and there is no newer version, or it cannot be told: in the server's words.
    Checked(String),
    /// A newer version is installed and waits for a restart.
    UpdateInstalled(String),
    /// It could not be installed: why.
    NotUpdated(String),
    /// The icon cannot be seen; the port of the page that can be opened instead.
    NoIcon(u16),
}
