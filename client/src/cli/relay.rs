//! `relay`: sealed backups that nobody else can read.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use photosync_client::credentials::Credentials;
use photosync_client::error::{Error, Kind, Result};
use photosync_client::relay::kit::{self, Kit};
use photosync_client::relay::version1::{self, Source};
use photosync_client::relay::{self, KeyPlace, Relay as Opened, Store, keys};
use photosync_client::report::Event;
use photosync_client::restore;
use photosync_protocol::crypto::Cost;
use photosync_protocol::format::keys::{DEFAULT_COST, LEAST_COST, MOST_COST};
use photosync_protocol::process::Exit;
use zeroize::Zeroizing;

use super::Context;
use super::account::read_secret;
use super::arguments::{Backup, Restore};
use super::files::rules;
use super::show::{files, line_to_stdout, number, wrapped};

/// `relay`
#[derive(Debug, Args)]
pub struct Relay {
    /// Folder with the sealed objects, such as a disk of yours [default: the server this computer is signed in on]
    #[arg(
        id = "place",
        long = "dir",
        global = true,
        value_name = "DIR",
        visible_alias = "from-dir"
    )]
    pub dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin: choose a password, and write down the 24 words that replace it
    Init {
        #[command(flatten)]
        memory: Memory,
        /// Write the sheet with the 24 words to this file: a page to print if it ends with .svg, else text
        #[arg(long, value_name = "FILE")]
        kit: Option<PathBuf>,
    },
    /// Write the sheet with the 24 words anew, or only check that they open it; they are asked for
    Kit {
        /// A page to print if it ends with .svg, else text
        #[arg(long, value_name = "FILE")]
        kit: Option<PathBuf>,
    },
    /// Give this computer the keys, by the password
    Unlock,
    /// Seal files and folders and keep them there; repeat it as often as you like
    Backup(Backup),
    /// Bring everything back into a folder; nothing there is overwritten
    Restore(RestoreSealed),
    /// Look whether everything is still there
    Verify {
        /// Also read and open every piece
        #[arg(long)]
        read: bool,
    },
    /// Show what this computer knows of it
    Status,
    /// Give this computer the keys, by the 24 words, and set a new password
    Recover {
        #[command(flatten)]
        memory: Memory,
    },
    /// Change the password; no photo is touched
    Passwd {
        #[command(flatten)]
        memory: Memory,
    },
    /// After a computer was lost: seal everything from now on with keys that it does not have
    Rotate,
}

/// `relay restore`
#[derive(Debug, Args)]
pub struct RestoreSealed {
    #[command(flatten)]
    to: Restore,
    #[command(flatten)]
    old: OldBackup,
}

/// A cloud backup of the phone app or the desktop client that came before.
#[derive(Debug, Args)]
pub struct OldBackup {
    /// Restore a cloud backup of the old desktop client, from the server or with --dir from a copy of its files
    #[arg(long = "v1")]
    pub is_v1: bool,
    /// E-mail of the account then [default: who is signed in]
    #[arg(long, value_name = "E-MAIL", requires = "is_v1")]
    pub email: Option<String>,
    /// Ask also for the password the account had when it was backed up, if it was changed on the server since
    #[arg(long, requires = "is_v1")]
    pub old_password: bool,
}

/// What guessing the password costs.
#[derive(Debug, Args)]
pub struct Memory {
    /// Memory that one try of a password takes, in MiB; more is safer and needs as much at every unlocking
    #[arg(long = "password-memory", value_name = "MIB", default_value_t = DEFAULT_COST.memory_kib / 1024,
          value_parser = clap::value_parser!(u32).range(i64::from(LEAST_COST.memory_kib / 1024)..=i64::from(MOST_COST.memory_kib / 1024)))]
    pub memory: u32,
}

impl Memory {
    fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory * 1024, ..DEFAULT_COST }
    }
}

/// Does it.
pub async fn relay(context: &Context, relay: Relay) -> Result<Exit> {
    let relay = match relay.command {
        Command::Restore(RestoreSealed { to, old }) if old.is_v1 => {
            return restore_old(context, relay.dir, to, old).await;
        }
        command => Relay { command, ..relay },
    };
    let store = Arc::new(match &relay.dir {
        Some(dir) => Store::folder(dir),
        None => Store::remote(context.connect()?).await?,
    });
    let profile = &context.profile;
    match relay.command {
        Command::Init { memory, kit } => return init(context, &store, &memory, kit).await,
        Command::Unlock => {
            let space = keys::unlock(&store, profile, ask("Password: ", "password")?).await?;
            say(
                context,
                "unlocked",
                format!("This computer now has the keys to {}.", store.shown()),
            );
            tell_of_keys(context, &store, &space);
            return Ok(Exit::Success);
        }
        Command::Kit { kit } => return write_kit(context, &store, kit).await,
        Command::Recover { memory } => {
            let words = ask("The 24 words: ", "24 words")?;
            let password = ask_new()?;
            let space = keys::recover(&store, profile, &words, password, memory.cost()).await?;
            let text = "This computer now has the keys, and the new password opens them elsewhere.";
            say(context, "recovered", text.to_owned());
            tell_of_keys(context, &store, &space);
            return Ok(Exit::Success);
        }
        _ => {}
    }
    let mut opened =
        Opened::open(store, profile, context.report.clone(), context.stop.clone()).await?;
    match relay.command {
        Command::Backup(backup) => {
            let options = relay::backup::Options {
                rules: rules(&backup.rules)?,
                paths: backup.paths,
                parallel: backup.transfer.parallel.into(),
                limit: backup.transfer.limit_rate,
            };
            let summary = relay::backup::run(&mut opened, &options).await?;
            Ok(if summary.complete { Exit::Success } else { Exit::Incomplete })
        }
        Command::Restore(RestoreSealed { to, .. }) => {
            let options = whole(to)?;
            let summary = relay::restore(&mut opened, &options).await?;
            Ok(if summary.failed_files == 0 { Exit::Success } else { Exit::Incomplete })
        }
        Command::Verify { read } => verify(context, &mut opened, read).await,
        Command::Status => status(context, &opened),
        Command::Passwd { memory } => {
            let (old, new) = (ask("Old password: ", "old password")?, ask_new()?);
            opened.change_password(old, new, memory.cost(), profile).await?;
            say(
                context,
                "password_changed",
                "The password was changed. The 24 words stay the same.".to_owned(),
            );
            Ok(Exit::Success)
        }
        Command::Rotate => {
            let epoch = opened.rotate(ask("Password: ", "password")?, profile).await?;
            let text = format!(
                "From now on everything is sealed with new keys (epoch {epoch}).\n\
                 On each of your other computers type photosync relay unlock."
            );
            say(context, "rotated", text);
            Ok(Exit::Success)
        }
        Command::Init { .. } | Command::Kit { .. } | Command::Unlock | Command::Recover { .. } => {
            Ok(Exit::Success)
        }
    }
}

/// A sealed backup knows no other computers' folders to choose from.
fn whole(to: Restore) -> Result<restore::Options> {
    if to.device.is_some() {
        let text = "a sealed backup is restored whole, without --device";
        return Err(Error::new(Kind::Usage, text));
    }
    Ok(restore::Options {
        device: None,
        folder: to.dir,
        parallel: to.transfer.parallel.into(),
        limit: to.transfer.limit_rate,
    })
}

async fn restore_old(
    context: &Context,
    dir: Option<PathBuf>,
    to: Restore,
    old: OldBackup,
) -> Result<Exit> {
    let options = whole(to)?;
    let signed_in = Credentials::find_public(&context.profile)?.map(|known| known.email);
    let email = old.email.or(signed_in).ok_or_else(|| {
        Error::new(Kind::Usage, "whose backup it is is not known: nobody is signed in here")
            .hint("name the account with --email")
    })?;
    let prompt = format!("Password of the account {email}: ");
    let is_server = dir.is_none();
    let (source, password) = match dir {
        Some(dir) => {
            let dir = std::path::absolute(&dir).unwrap_or(dir);
            (Source::folder(&dir)?, ask(&prompt, "password")?)
        }
        None => {
            let connection = context.connect()?;
            // Finds a server that moved, and says so if this computer was signed out.
            Store::remote(connection.clone()).await?.look().await?;
            let password = ask(&prompt, "password")?;
            (Source::sign_in(&connection, &email, &password).await?, password)
        }
    };
    let password = match old.old_password && is_server {
        true => ask("Password it had when it was backed up: ", "old password")?,
        false => password,
    };
    let keys = version1::keys_of(&email, &password);
    let summary =
        version1::restore(source, &keys, &options, &context.report, &context.stop).await?;
    Ok(if summary.failed_files == 0 { Exit::Success } else { Exit::Incomplete })
}

async fn init(
    context: &Context,
    store: &Store,
    memory: &Memory,
    file: Option<PathBuf>,
) -> Result<Exit> {
    if let Some(file) = &file {
        kit::require_writable(file)?;
    }
    let password = ask_new()?;
    let known =
        |words: &str, sheet: &Kit| make_known(context, store, file.as_deref(), words, sheet);
    let begun = keys::begin(store, &context.profile, password, memory.cost(), known).await?;
    if context.is_json {
        let line = serde_json::json!({"event": "relay_begun", "place": store.shown(), "words": begun.words.as_str(), "kit": file});
        line_to_stdout(&line.to_string());
        return Ok(Exit::Success);
    }
    let text = format!("Begun in {}. This computer has the keys.", store.shown());
    line_to_stdout(&wrapped("", &text));
    tell_of_keys(context, store, &begun.space);
    if let Some(file) = file {
        tell_of_kit(context, store, &file);
    }
    Ok(Exit::Success)
}

/// Keeps the words before there is anything that they open: in the file, if one was named, else with whoever reads the output.
fn make_known(
    context: &Context,
    store: &Store,
    file: Option<&Path>,
    words: &str,
    sheet: &Kit,
) -> Result<()> {
    if let Some(file) = file {
        sheet.write(file)?;
    }
    match (context.is_json, file) {
        (true, _) => {
            let line = serde_json::json!({"event": "relay_words", "place": store.shown(), "words": words, "kit": file});
            words_to_stdout(&line.to_string())
        }
        (false, Some(_)) => Ok(()),
        (false, None) => {
            let told = "These words are not shown again. Write them down now.";
            words_to_stdout(&Zeroizing::new(format!("{}\n{told}", sheet.text().as_str())))
        }
    }
}

/// As [`line_to_stdout`], but nothing is begun on words that arrived nowhere.
fn words_to_stdout(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|cause| {
        Error::new(Kind::Storage, format!("could not show the 24 words: {cause}")).hint(
            "nothing was begun; see to it that the output is read or has room, and type this again",
        )
    })
}

async fn write_kit(context: &Context, store: &Store, file: Option<PathBuf>) -> Result<Exit> {
    if let Some(file) = &file {
        kit::require_writable(file)?;
    }
    let words = ask("The 24 words: ", "24 words")?;
    let sheet = Kit::of_typed(store, &context.profile, &words).await?;
    if let Some(file) = &file {
        sheet.write(file)?;
    }
    if context.is_json {
        line_to_stdout(&serde_json::json!({"event": "relay_kit", "kit": file}).to_string());
        return Ok(Exit::Success);
    }
    let text = format!("These are the words: they open the sealed backup in {}.", store.shown());
    line_to_stdout(&wrapped("", &text));
    if let Some(file) = &file {
        tell_of_kit(context, store, file);
    }
    Ok(Exit::Success)
}

/// What to do with a kit that was written, and whether it should lie there.
fn tell_of_kit(context: &Context, store: &Store, file: &Path) {
    let text = format!(
        "The recovery kit is in {}. Print it, put it where you keep your passport, and delete the file.",
        file.display()
    );
    line_to_stdout(&wrapped("", &text));
    if let Some(text) = kit::misplaced(store, &context.profile, file) {
        context.report.event(&Event::Note { text: format!("warning: {text}") });
    }
}

async fn verify(context: &Context, opened: &mut Opened, read: bool) -> Result<Exit> {
    let found = relay::verify(opened, read).await?;
    if context.is_json {
        let mut line = serde_json::json!(found);
        line["event"] = "relay_verified".into();
        line_to_stdout(&line.to_string());
    } else {
        let how = if read { "read and opened" } else { "there" };
        let whole = found.files - found.lost_files;
        context.report.event(&Event::Note {
            text: format!(
                "{} of {} whole: all their pieces are {how}",
                number(whole),
                files(found.files)
            ),
        });
        if found.lost_files > 0 {
            let text = "Back up again: what this computer still has is sealed anew.".to_owned();
            context.report.event(&Event::Note { text });
        }
    }
    Ok(if found.lost_files == 0 { Exit::Success } else { Exit::Incomplete })
}

fn status(context: &Context, opened: &Opened) -> Result<Exit> {
    let space = &opened.space;
    let known = space.tally()?;
    let epoch = space.keys.current().0;
    if context.is_json {
        let line = serde_json::json!({
            "event": "relay_status", "place": opened.store.shown(), "files": known.files, "segments": known.segments,
            "computers": known.computers, "epoch": epoch, "keyring": space.keyring_sequence,
            "keys": if space.key_place.is_in_key_store() { "key_store" } else { "file" },
        });
        line_to_stdout(&line.to_string());
        return Ok(Exit::Success);
    }
    let row = |name: &str, value: &str| line_to_stdout(&wrapped(&format!("{name:<14}"), value));
    row("Place", &opened.store.shown());
    row("Known there", &files(known.files));
    row("Computers", &number(known.computers));
    row("Keys", &format!("epoch {epoch}, keyring {}", space.keyring_sequence));
    let place = match &space.key_place {
        KeyPlace::KeyStore { entry, .. } => {
            format!("key store of the system, as photosync: {entry}")
        }
        KeyPlace::File(why) => format!("file {} ({why})", space.file().display()),
    };
    row("Kept in", &place);
    Ok(Exit::Success)
}

fn say(context: &Context, event: &str, text: String) {
    if context.is_json {
        line_to_stdout(&serde_json::json!({"event": event}).to_string());
    } else {
        context.report.event(&Event::Note { text });
    }
}

/// Says where the keys lie if that is not the key store, and that somebody else's keyrings lie in the place too.
fn tell_of_keys(context: &Context, store: &Store, space: &relay::Space) {
    let note = |text: String| context.report.event(&Event::Note { text });
    if let KeyPlace::File(why) = &space.key_place
        && context.profile.uses_key_store()
    {
        let file = space.file();
        note(format!("The keys lie in {}, for your account alone to read: {why}.", file.display()));
    }
    let who = match space.foreign.len() {
        0 => return,
        1 => "a keyring that is not of this sealed backup; it was".to_owned(),
        count => format!("{count} keyrings that are not of this sealed backup; they were"),
    };
    note(format!(
        "In {} there is also {who} left alone. If nobody you know put it there, somebody else can write there.",
        store.shown()
    ));
}

fn ask(prompt: &str, what: &str) -> Result<Zeroizing<String>> {
    read_secret(prompt, what).map(Zeroizing::new)
}

/// A new password: twice on a terminal, where a mistyped one would be noticed when it is too late.
fn ask_new() -> Result<Zeroizing<String>> {
    let password =
        ask("New password for the sealed backup (not the one you sign in with): ", "new password")?;
    if password.chars().count() < MIN_PASSWORD_CHARS {
        let text = format!("the password is shorter than {MIN_PASSWORD_CHARS} characters");
        return Err(Error::new(Kind::Usage, text)
            .hint("four random words are easy to remember and hard to guess"));
    }
    if std::io::stdin().is_terminal() && ask("Again: ", "new password")? != password {
        return Err(Error::new(Kind::Usage, "the two passwords are not the same"));
    }
    Ok(password)
}

/// Whoever has the sealed objects may guess as long as they like.
const MIN_PASSWORD_CHARS: usize = 10;
