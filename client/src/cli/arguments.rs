//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Backs photos up to a PhotoSync server, brings them back, and proves that they are safe.
#[derive(Debug, Parser)]
#[command(name = "photosync", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    /// Folder of this client: credentials, cache [default: the user's configuration folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub profile: Option<PathBuf>,
    /// Print one JSON object a line instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in with e-mail and password
    Login(Login),
    /// Sign in with a pairing code or the text of a QR code
    Pair(Pair),
    /// Sign out and forget the credentials
    Logout,
    /// Back up files and folders; repeat it as often as you like
    Backup(BackupTo),
    /// Bring everything back into a folder; nothing there is overwritten
    Restore(Restore),
    /// Ask the server for a signed receipt of every file of this computer
    Verify(Verify),
    /// Show who is signed in, and what is safe
    Status,
    /// List what the server holds
    List,
    /// Fetch one photo by name, id or digest
    Get(Get),
    /// Look for what could be wrong, each finding with a way out
    Doctor(Doctor),
    /// Find files with equal bytes, and with --clean move the younger ones to the trash
    Duplicates(Duplicates),
    /// Sealed backups that nobody but you can read, wherever they lie
    Relay(super::relay::Relay),
}

/// `login`
#[derive(Debug, Args)]
pub struct Login {
    /// Address of the server, as https://192.168.1.5:3000
    pub url: String,
    /// The account's e-mail; the password is asked for, or read from standard input
    pub email: String,
    #[command(flatten)]
    pub device: Device,
}

/// `pair`
#[derive(Debug, Args)]
pub struct Pair {
    /// Address of the server, or the whole text of a QR code
    pub url: String,
    /// The pairing code, or the text of the QR code; asked for if it is left out
    pub code: Option<String>,
    #[command(flatten)]
    pub device: Device,
}

/// What both ways of signing in take.
#[derive(Debug, Args)]
pub struct Device {
    /// What to call this computer [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub device_name: Option<String>,
    /// Fingerprint of the server's key, as it prints it at start; no question is asked then
    #[arg(long, value_name = "KEY")]
    pub fingerprint: Option<String>,
}

/// How fast.
#[derive(Debug, Args)]
pub struct Transfer {
    /// Most bytes a second, as 500K, 2M or 1.5MiB
    #[arg(long, value_name = "RATE", value_parser = read_rate)]
    pub limit_rate: Option<u64>,
    /// Files on their way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupTo {
    #[command(flatten)]
    pub backup: Backup,
    /// Keep running and back up whatever appears
    #[arg(long)]
    pub watch: bool,
    /// Seal everything into the relay too, reading each file once; begin with photosync relay init
    #[arg(long, conflicts_with = "watch")]
    pub relay: bool,
    /// Folder with the sealed objects, such as a disk of yours [default: the server this computer is signed in on]
    #[arg(long, value_name = "DIR", requires = "relay")]
    pub dir: Option<PathBuf>,
    /// Only look: say what there is to back up, and what of it cannot be read
    #[arg(long, conflicts_with_all = ["watch", "relay"])]
    pub dry_run: bool,
    /// End as at Ctrl-C when standard input is closed: whoever runs this is gone then
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// What `backup` and `relay backup` take.
#[derive(Debug, Args)]
pub struct Backup {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub rules: Rules,
    #[command(flatten)]
    pub transfer: Transfer,
}

/// What is looked at.
#[derive(Debug, Args)]
pub struct Rules {
    /// Leave out names (*.tmp) at any depth, or paths (old/**) below PATH; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Look into hidden files and folders too
    #[arg(long)]
    pub hidden: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The folder; made if it is not there
    pub dir: PathBuf,
    /// Put photos where this device had them, by its name or id [default: this computer]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    #[command(flatten)]
    pub transfer: Transfer,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Ask again until the server has re-read everything
    #[arg(long)]
    pub wait: bool,
}

/// `get`
#[derive(Debug, Args)]
pub struct Get {
    /// Listed name, id or SHA-256
    #[arg(value_name = "NAME|ID")]
    pub wanted: String,
    /// File to write, or a folder to write into [default: its own name, here]
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Server to look at [default: the one this computer is signed in on]
    pub url: Option<String>,
    /// Try an upload of 101 MiB, not only of 1.5 MiB; nothing of it is kept
    #[arg(long, conflicts_with = "probe_bytes")]
    pub thorough: bool,
    /// Try an upload of this size, as 500K, 20M or 1.5MiB; nothing of it is kept
    #[arg(long, value_name = "SIZE", value_parser = read_rate)]
    pub probe_bytes: Option<u64>,
}

/// `duplicates`
#[derive(Debug, Args)]
pub struct Duplicates {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub rules: Rules,
    /// Move all but the oldest of each group to the trash; only files the server has verified
    #[arg(long)]
    pub clean: bool,
    /// Do not ask before moving
    #[arg(long, requires = "clean")]
    pub yes: bool,
}

fn read_rate(text: &str) -> Result<u64, String> {
    photosync_client::meter::read_rate(text).ok_or_else(|| "as in 500K, 2M or 1.5MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Arguments::command().debug_assert();
    }
}
