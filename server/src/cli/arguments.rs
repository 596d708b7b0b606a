//! What can be typed.

use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use photosync_protocol::config_names::SETTINGS;
use photosync_protocol::process::Exit;
use photosync_protocol::v2::admin::Role;

/// Keeps each account's photos, bit for bit, on a machine you trust.
///
/// Start it with `photosync-server serve`, then type one of the addresses it prints into the phone app.
#[derive(Parser)]
#[command(name = "photosync-server", version, max_term_width = 100, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    /// Folder of all data [default: your own data folder, or PHOTOSYNC_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [default: <data>/photosync.toml, then /etc/photosync/photosync.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

fn role_of(word: &str) -> Result<Role, String> {
    Role::find(word).ok_or_else(|| "roles are admin, creator, member and viewer".to_owned())
}

const AFTER_HELP: &str = "\
Every setting is a flag too; `photosync-server serve --help` lists them, `config example` explains them.

Exit codes: 0 asked to stop or done, 1 unexpected, 3 check found disagreements or doctor something broken,
4 some files could not be imported, 64 usage, 69 port taken, 73 another server holds the data, 74 storage or volume, 75 restart me, 78 configuration.";

/// What to do.
#[derive(Subcommand)]
pub enum Action {
    /// Run the server until it is asked to stop (Ctrl-C or SIGTERM)
    Serve,
    /// Ask the running server whether it is well: exit 0 if so, 1 if not or if none runs. For containers and monitors
    Health,
    /// Ask the server that runs on this data to stop, and wait until it has
    Stop,
    /// Compare the index with the disk and name every disagreement; changes nothing
    Check {
        /// Read every original and compare its hash too
        #[arg(long)]
        read: bool,
    },
    /// Read everything back now and compare it with its hash; what is missing or damaged is asked for again from the
    /// devices that have it. The server does this by itself, slowly, every 30 days
    Scrub,
    /// Remove what nobody needs any more: unfinished uploads, what was in the trash for long enough, sealed objects that no
    /// backup names. The server does this by itself, every hour
    Sweep {
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy everything to another disk, also while the server runs: each time a whole data folder of its own, in which
    /// unchanged files take no room
    Backup {
        /// Where; not inside the data
        folder: PathBuf,
        /// Remove the oldest beyond so many
        #[arg(long, value_name = "N")]
        keep: Option<std::num::NonZeroUsize>,
        /// Prove afterwards that it can be restored, as verify-backup does
        #[arg(long)]
        verify: bool,
    },
    /// Prove that the newest backup in a folder can be restored: restores it beside itself and compares every hash
    VerifyBackup {
        /// The folder of the backups, or one of them
        folder: PathBuf,
    },
    /// Restore the newest backup in a folder into an empty data folder (and the storage roots that the settings name), and
    /// compare every hash
    RestoreBackup {
        /// The folder of the backups, or one of them
        folder: PathBuf,
    },
    /// Make a new index from the folders alone, after the database was lost
    Rebuild {
        /// Whose a folder is that does not say so itself
        #[arg(long, value_name = "UUID=EMAIL")]
        owner: Vec<String>,
    },
    /// Look for what could be wrong with this server, each finding with a way out; changes nothing
    Doctor(Doctor),
    /// Take the photos of a folder, or of an unpacked Takeout or iCloud export, into an account; the folder stays as it is,
    /// and a second run does only what is new
    Import(Import),
    /// Take over the data of an old (Node) server; copies, never moves
    ImportLegacy(ImportArgs),
    /// Add, list and look after accounts
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Show a QR code and an 8-character code that add a device to an account
    Pair {
        /// Whose
        email: String,
    },
    /// Move files to the trash, for the person whose they are; devices do not send them again by themselves
    Trash {
        /// Whose
        email: String,
        /// Names as they are listed
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Bring back everything that is in the trash, while the trash period lasts
    TrashRestore {
        /// Whose
        email: String,
    },
    /// Make a service of Windows that starts with the computer, or bring it up to date; as an administrator
    #[cfg(windows)]
    InstallService {
        /// Leave the firewall as it is
        #[arg(long)]
        keep_firewall: bool,
        /// Do not start it now
        #[arg(long)]
        no_start: bool,
    },
    /// Stop the service of Windows and take it away; photos and settings stay
    #[cfg(windows)]
    UninstallService,
    /// What the service manager of Windows runs
    #[cfg(windows)]
    #[command(hide = true)]
    RunService,
    /// Say whether a newer version is there; changes nothing
    CheckUpdate {
        /// For programs
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Install the newest version beside the running one, as who has installed this one (a service: with sudo). It takes
    /// effect when the server is restarted; a version that does not become healthy is put back
    Update(UpdateArgs),
    /// Look at one original, as a process for itself
    #[command(hide = true)]
    MediaWorker {
        #[command(subcommand)]
        task: MediaTask,
    },
    /// Print the description of the native API (OpenAPI 3.1)
    Openapi,
    /// Show the settings in force, or an example file
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

/// Which version.
#[derive(Args)]
pub struct UpdateArgs {
    /// This version instead of the newest
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// Go back to the version that was replaced
    #[arg(long, conflicts_with = "to")]
    pub rollback: bool,
    /// Before a start: put the version before back if this one had its try
    #[arg(long, hide = true, conflicts_with_all = ["to", "rollback"])]
    pub settle: bool,
}

/// What a media worker does with its standard input.
#[derive(Subcommand)]
pub enum MediaTask {
    /// Read facts and draw
    Look,
    /// Draw
    Draw,
    /// Become another program in a jail
    Become {
        /// Which
        #[arg(long)]
        program: PathBuf,
        /// The only folder it can write to
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Bytes of address space, seconds of processor time, bytes of a file: instead of those for one picture
        #[arg(long, num_args = 3)]
        bounds: Vec<u64>,
        /// What it is told
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// `doctor`
#[derive(Args)]
pub struct Doctor {
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Send 101 MiB through the proxy in front, not only 1.5 MiB; nothing of it is kept
    #[arg(long)]
    pub thorough: bool,
}

/// `import`
#[derive(Args)]
pub struct Import {
    /// The folder; nothing in it is changed
    pub dir: PathBuf,
    /// Whose the photos are
    #[arg(long, value_name = "E-MAIL")]
    pub account: String,
    /// Only look: say what there is to import, and what of it cannot be read
    #[arg(long)]
    pub dry_run: bool,
    /// Leave out names (*.tmp) at any depth, or paths (old/**) below DIR; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Look into hidden files and folders too
    #[arg(long)]
    pub hidden: bool,
    /// Print one JSON object a line, as `photosync --json backup` does
    #[arg(long)]
    pub json: bool,
}

/// Where an old server's data lies.
#[derive(Args)]
pub struct ImportArgs {
    /// Data folder of the old server, with backup.db, uploads and cloud
    pub dir: Option<PathBuf>,
    /// Its database, if it lies elsewhere
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Its uploads folder, if it lies elsewhere
    #[arg(long, value_name = "DIR")]
    pub uploads: Option<PathBuf>,
    /// Its cloud folder, if it lies elsewhere
    #[arg(long, value_name = "DIR")]
    pub cloud: Option<PathBuf>,
    /// Its chunks folder, if it had one of its own
    #[arg(long, value_name = "DIR")]
    pub chunks: Option<PathBuf>,
    /// Whose a folder is that the old database does not know
    #[arg(long, value_name = "UUID=EMAIL")]
    pub owner: Vec<String>,
}

/// What to do with accounts.
#[derive(Subcommand)]
pub enum UserAction {
    /// Add an account; the password is asked for, or read from standard input
    Add {
        /// E-mail
        email: String,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
    },
    /// List all accounts
    List,
    /// Set a password, unlock the account and end its sessions
    Passwd {
        /// E-mail
        email: String,
    },
    /// Keep an account from signing in; its files stay
    Disable {
        /// E-mail
        email: String,
    },
    /// Let a disabled account sign in again
    Enable {
        /// E-mail
        email: String,
    },
    /// Remove an account; its files stay for the trash period
    Remove {
        /// E-mail
        email: String,
    },
    /// Bring a removed account back
    Restore {
        /// E-mail
        email: String,
    },
    /// Let somebody register although registration is not open
    Invite {
        /// E-mail
        email: String,
    },
    /// Give somebody another role; their browsers have to sign in again
    Role {
        /// E-mail
        email: String,
        /// admin, creator, member or viewer
        #[arg(value_parser = role_of)]
        role: Role,
    },
    /// Make a link that signs a browser in: once, within a day
    Link {
        /// E-mail
        email: String,
    },
}

/// What to show.
#[derive(Subcommand)]
pub enum ConfigAction {
    /// Every setting with its value and where it came from
    Show,
    /// A commented file with every default
    Example,
    /// The page of the documentation
    #[command(hide = true)]
    Reference,
}

/// A command line that was understood.
pub struct Parsed {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `(section.key, value)`
    pub settings: Vec<(String, String)>,
    /// The subcommand.
    pub action: Action,
}

/// Reads the command line; help, version and mistakes are printed here.
pub fn parse() -> Result<Parsed, Exit> {
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.name())
            .long(setting.flag())
            .value_name("VALUE")
            .help(setting.help)
            .help_heading("Settings")
            .hide_short_help(true)
            .global(true)
    });
    let command =
        Cli::command().version(photosync_server::updates::running_version()).args(settings);
    let parse = || -> Result<Parsed, clap::Error> {
        let matches = command.try_get_matches()?;
        let cli = Cli::from_arg_matches(&matches)?;
        let flags = SETTINGS.iter().filter_map(|setting| {
            let name = setting.name();
            matches.get_one::<String>(&name).map(|value| (name, value.clone()))
        });
        Ok(Parsed {
            data: cli.data,
            config: cli.config,
            settings: flags.collect(),
            action: cli.action,
        })
    };
    parse().map_err(|error| {
        // Help and version are no mistakes.
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
        let _ = error.print();
        exit
    })
}
