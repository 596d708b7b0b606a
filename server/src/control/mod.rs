//! What an operator asks of the data: one list of commands, carried out in this process or, while a server runs,
//! by that server through its loopback listener. And what the tray asks there: the server's state, a stop, a page.

pub mod import;
mod pages;
pub mod remote;
mod status;

use std::path::PathBuf;

use photosync_protocol::v2::admin::Role;
use photosync_protocol::v2::session::PairingOffer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::web::{self, HANDED_LINK_MS};
use crate::accounts::{self, queries::Account};
use crate::boot::App;
use crate::clock::{DAY_MS, iso_utc};
use crate::doctor::{self, Examined, Shown};
use crate::error::{Error, Result};
use crate::library;
use crate::pairing;
use crate::upkeep::{self, backup, check, scrub, sweep, trash};
use import::Ticket;

/// A command. Passwords travel only over loopback, under the control token.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the arguments of the subcommands of the same name")]
pub enum Command {
    UserAdd { email: String, password: String, admin: bool },
    UserList,
    UserPasswd { email: String, password: String },
    UserDisable { email: String },
    UserEnable { email: String },
    UserRemove { email: String },
    UserRestore { email: String },
    UserInvite { email: String },
    UserLink { email: String },
    UserRole { email: String, role: Role },
    Pair { email: String },
    Trash { email: String, names: Vec<String> },
    TrashRestore { email: String },
    Health,
    Check { read_bytes: bool },
    Scrub,
    Backup { folder: PathBuf, keep: Option<usize>, verify: bool },
    VerifyBackup { folder: PathBuf },
    Sweep { dry_run: bool },
    Doctor,
    ImportBegin { email: String },
    ImportEnd { account: Uuid, device_id: String },
}

/// What a command says when it is done.
#[derive(Default, Serialize, Deserialize)]
pub struct Outcome {
    /// For people.
    pub text: String,
    /// Whether `check` found disagreements, or `scrub` files that are lost.
    pub disagreements: bool,
    /// The offer that `pair` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<PairingOffer>,
    /// What `doctor` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examined: Option<Examined>,
    /// With what an import may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Ticket>,
}

impl Outcome {
    fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// Carries a command out.
pub async fn execute(app: &App, command: Command) -> Result<Outcome> {
    match command {
        Command::UserAdd { email, password, admin } => {
            let account = accounts::add(app, &email, password, admin).await?;
            Ok(Outcome::said(format!(
                "added {} ({}), folder {}",
                account.email, account.role, account.account_uuid
            )))
        }
        Command::UserList => Ok(Outcome::said(list(&accounts::list(app).await?))),
        Command::UserPasswd { email, password } => {
            let account = accounts::get_by_email(app, &email).await?;
            let ended = accounts::set_password(app, account.account_uuid, password).await?;
            let mut text =
                format!("the password of {} was set; {ended} sessions ended", account.email);
            if account.relay_bytes > 0 {
                text += "\nNote: encrypted cloud backups made by the desktop client with the old password can only \
                         be read with the old password.";
            }
            Ok(Outcome::said(text))
        }
        Command::UserDisable { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            accounts::disable(app, account.account_uuid).await?;
            Ok(Outcome::said(format!("{} cannot sign in any more; its files stay", account.email)))
        }
        Command::UserEnable { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            accounts::enable(app, account.account_uuid).await?;
            Ok(Outcome::said(format!("{} can sign in again", account.email)))
        }
        Command::UserRemove { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            accounts::delete(app, account.account_uuid).await?;
            Ok(Outcome::said(format!(
                "removed {}; its files are kept for {} days, `user restore {}` brings it back",
                account.email, app.config.trash_days, account.email
            )))
        }
        Command::UserRestore { email } => {
            let account = accounts::restore_deleted(app, &email).await?;
            Ok(Outcome::said(format!(
                "{} is back, with {} files",
                account.email, account.held_count
            )))
        }
        Command::UserInvite { email } => {
            let email = accounts::invite(app, &email).await?;
            Ok(Outcome::said(format!("{email} may register now")))
        }
        Command::UserRole { email, role } => {
            let account = accounts::get_by_email(app, &email).await?;
            let email = account.email.clone();
            accounts::set_role(app, account, role).await?;
            Ok(Outcome::said(format!("{email} is {} now", role.as_str())))
        }
        Command::UserLink { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            if account.disabled {
                return Err(Error::bad_request(format!("{} is disabled", account.email)));
            }
            let addresses = pairing::presence::browser_urls(app);
            if addresses.is_empty() {
                let message = "no server is running on this data; start it first";
                return Err(Error::bad_request(message));
            }
            let token = web::offer_link(app, account.account_uuid, HANDED_LINK_MS).await?;
            let mut text = format!(
                "This link signs {} in, once, within a day. Whoever has it can do so.",
                account.email
            );
            for address in addresses {
                text += &format!("\n  {address}/link#{token}");
            }
            Ok(Outcome::said(text))
        }
        Command::Pair { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            if account.disabled {
                return Err(Error::bad_request(format!("{} is disabled", account.email)));
            }
            if app.presence.listening().is_empty() {
                let message = "no server is running on this data; start it first";
                return Err(Error::bad_request(message));
            }
            let offer = pairing::offer(app, account.account_uuid).await?;
            let urls = pairing::presence::native_urls(app);
            let mut text = if urls.is_empty() {
                "This machine has no network address another device could reach.".to_owned()
            } else {
                format!("Address to type: {}", urls.join(", "))
            };
            text += &format!("\nKey of this server: {}", app.identity.fingerprint());
            Ok(Outcome { offer: Some(offer), ..Outcome::said(text) })
        }
        Command::Trash { email, names } => {
            let account = accounts::get_by_email(app, &email).await?;
            let files = library::delete_names(app, account.account_uuid, &names).await?;
            Ok(Outcome::said(format!(
                "{files} files of {} are in the trash for {} days; `trash-restore {}` brings everything back",
                account.email, app.config.trash_days, account.email
            )))
        }
        Command::TrashRestore { email } => {
            let account = accounts::get_by_email(app, &email).await?;
            let since_ms = app.clock.now_ms() - app.config.trash_days * DAY_MS;
            let restored = trash::restore(app, account.account_uuid, since_ms).await?;
            Ok(Outcome::said(format!(
                "{restored} files and sealed objects of {} are back",
                account.email
            )))
        }
        Command::Health => {
            upkeep::require_ready(app).await?;
            Ok(Outcome::said("ready"))
        }
        Command::Check { read_bytes } => {
            let report = check::check(app, read_bytes).await?;
            let mut text = String::new();
            for line in report.disagreements.iter().chain(&report.spares) {
                text += &format!("{line}\n");
            }
            let found = report.disagreements.len();
            text += &format!(
                "{} entries and {} files compared, {found} disagreements",
                report.assets + report.sealed,
                report.files
            );
            Ok(Outcome { disagreements: found > 0, ..Outcome::said(text) })
        }
        Command::Backup { folder, keep, verify } => {
            let made = backup::make(app, folder.clone(), keep).await?;
            let mut outcome = self::made(&made);
            if verify {
                let tried = tried(&backup::prove(app, folder).await?);
                outcome.text += &format!("\n{}", tried.text);
                outcome.disagreements |= tried.disagreements;
            }
            Ok(outcome)
        }
        Command::Doctor => {
            let (config, clock) = (app.config.clone(), app.clock.clone());
            let looking = move || doctor::examine(&config, &clock, doctor::Server::Runs);
            let findings = tokio::task::spawn_blocking(looking)
                .await
                .map_err(|source| Error::internal("look at this server").caused_by(source))?;
            let examined = Examined { findings, shown: Shown::of(app) };
            Ok(Outcome { examined: Some(examined), ..Outcome::default() })
        }
        Command::ImportBegin { email } => {
            let ticket = import::begin(app, &email).await?;
            Ok(Outcome { import: Some(ticket), ..Outcome::default() })
        }
        Command::ImportEnd { account, device_id } => {
            import::end(app, account, &device_id).await?;
            Ok(Outcome::default())
        }
        Command::VerifyBackup { folder } => Ok(tried(&backup::prove(app, folder).await?)),
        Command::Sweep { dry_run: true } => Ok(swept(&sweep::survey(app).await?, "would be")),
        Command::Sweep { dry_run: false } => Ok(swept(&sweep::sweep(app).await?, "were")),
        Command::Scrub => {
            let totals = scrub::read_all(app).await?;
            let mut text = format!(
                "{} files read back, {} MB; {} are missing or damaged and asked for again",
                totals.files,
                totals.bytes / 1_000_000,
                totals.lost
            );
            if totals.unread > 0 {
                text += &format!(
                    "\n{} files could not be read; the log says why, and nobody knows what they hold",
                    totals.unread
                );
            }
            let disagreements = totals.lost + totals.unread > 0;
            Ok(Outcome { disagreements, ..Outcome::said(text) })
        }
    }
}

/// What is said of a backup.
fn made(made: &backup::Made) -> Outcome {
    let missing = made.missing.iter().map(|name| format!("missing on the server: {name}\n"));
    let mut text: String = missing.collect();
    text += &format!(
        "{}: {} files, {} MB, of which {} MB are new",
        made.folder.display(),
        made.generation.files,
        made.generation.bytes / 1_000_000,
        made.copied_bytes / 1_000_000
    );
    if made.removed > 0 {
        text += &format!("\n{} older backups were removed", made.removed);
    }
    if made.is_same_disk {
        text += "\nNote: it is on the disk of the photos, and would be lost with them.";
    }
    Outcome { disagreements: !made.missing.is_empty(), ..Outcome::said(text) }
}

/// What is said of a sweep: every kind, also those of which there is nothing.
fn swept(swept: &sweep::Swept, verb: &str) -> Outcome {
    let mut text = String::new();
    for (kind, amount) in swept.kinds() {
        text += &format!("{:>8} {:>14} bytes  {kind}\n", amount.count, amount.bytes);
    }
    if swept.adopted > 0 {
        text += &format!("{:>8} visible files without an entry were taken in\n", swept.adopted);
    }
    for left in &swept.left {
        text += &format!("{left}\n");
    }
    let total = swept.total();
    text += &format!("{} things with {} bytes {verb} removed", total.count, total.bytes);
    Outcome::said(text)
}

/// What is said of a restore.
pub fn tried(tried: &backup::Tried) -> Outcome {
    let report = &tried.report;
    let mut text: String = report.disagreements.iter().map(|line| format!("{line}\n")).collect();
    text += &format!(
        "{} of {}: {} entries and {} files compared, {} disagreements",
        tried.folder.display(),
        iso_utc(tried.generation.made_at_ms),
        report.assets + report.sealed,
        report.files,
        report.disagreements.len()
    );
    if tried.is_same_disk {
        text += "\nNote: it is on the disk of the photos, and would be lost with them: nothing there counts as a second copy.";
    }
    Outcome { disagreements: !report.disagreements.is_empty(), ..Outcome::said(text) }
}

fn list(accounts: &[Account]) -> String {
    if accounts.is_empty() {
        return "no accounts yet: register in the app, or run `photosync-server user add E-MAIL`"
            .into();
    }
    let mut text = format!(
        "{:<32} {:<8} {:<10} {:>8} {:>10}  {}\n",
        "e-mail", "role", "state", "files", "MB", "since"
    );
    for account in accounts {
        let state = match (account.deleted_at_ms, account.disabled, &account.password_hash) {
            (Some(_), ..) => "deleted",
            (None, true, _) => "disabled",
            (None, false, None) => "locked",
            (None, false, Some(_)) => "active",
        };
        let megabytes = account.held_bytes / 1_000_000;
        let since: String = iso_utc(account.created_at_ms).chars().take(10).collect();
        text += &format!(
            "{:<32} {:<8} {:<10} {:>8} {:>10}  {since}\n",
            account.email, account.role, state, account.held_count, megabytes
        );
    }
    text.trim_end().to_owned()
}
