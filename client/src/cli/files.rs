//! `backup`, `restore`, `verify`, `list`, `get`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photosync_client::connection::Connection;
use photosync_client::endpoints::keep_fresh;
use photosync_client::error::{Error, Result};
use photosync_client::listing::{Pages, find};
use photosync_client::relay::{Relay, Store};
use photosync_client::report::{BackupSummary, Destination, Event, Report, To};
use photosync_client::scan;
use photosync_client::{
    backup as backing_up, restore as restoring, together, verify as verifying, watch as watching,
};
use photosync_protocol::names::stored_name;
use photosync_protocol::process::Exit;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::arguments::{BackupTo, Get, Restore, Rules, Verify};
use super::show::{bytes, files, line_to_stdout, number};

impl Context {
    pub(super) fn connect(&self) -> Result<Arc<Connection>> {
        self.connect_for(self.report.clone())
    }

    /// A connection whose events go to `report`.
    fn connect_for(&self, report: Arc<dyn Report>) -> Result<Arc<Connection>> {
        Connection::signed_in(&self.profile, report, self.stop.clone()).map(Arc::new)
    }
}

pub(super) fn rules(rules: &Rules) -> Result<scan::Rules> {
    scan::Rules::new(&rules.exclude, rules.hidden)
}

/// Backs up once, or until it is stopped.
pub async fn backup(context: &Context, to: BackupTo) -> Result<Exit> {
    let BackupTo { backup, watch, relay, dir, dry_run, until_stdin_closes } = to;
    let options = backing_up::Options {
        rules: rules(&backup.rules)?,
        paths: backup.paths,
        parallel: backup.transfer.parallel.into(),
        limit: backup.transfer.limit_rate,
    };
    if until_stdin_closes {
        stop_without_stdin(context.stop.clone());
    }
    if dry_run {
        return only_look(context, options).await;
    }
    if relay {
        return backup_to_both(context, &options, dir.as_deref()).await;
    }
    let connection = context.connect()?;
    if watch {
        watching::run(connection, &context.profile, &options).await?;
        return Ok(Exit::Success);
    }
    let summary = backing_up::run(connection, &context.profile, &options).await?;
    Ok(if summary.complete { Exit::Success } else { Exit::Incomplete })
}

/// Ends the run when standard input does: a pipe is closed with the program that held its other end, however that ended.
fn stop_without_stdin(stop: CancellationToken) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.cancel();
    });
}

/// Looks through the folders and tries to open each file. Reads, signs in and keeps nothing.
async fn only_look(context: &Context, options: backing_up::Options) -> Result<Exit> {
    let (report, stop) = (context.report.clone(), context.stop.clone());
    let looking = move || -> Result<(u64, u64, u64)> {
        let looked = scan::look(&options.paths, &options.rules, report.as_ref(), &stop)?;
        let mut unreadable = looked.unreadable;
        for file in looked.roots.iter().flat_map(|(_, files)| files) {
            if stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            if let Err(cause) = std::fs::File::open(&file.path) {
                unreadable.push((file.path.clone(), Error::file("read", &file.path, &cause)));
            }
        }
        for (path, error) in &unreadable {
            let (path, reason) = (path.to_string_lossy().into_owned(), error.message.clone());
            report.event(&Event::FileFailed { path, code: error.code, reason });
        }
        Ok((looked.files, looked.bytes, unreadable.len() as u64))
    };
    let (count, length, unreadable) = tokio::task::spawn_blocking(looking)
        .await
        .map_err(|cause| Error::unexpected(format!("a task ended unexpectedly: {cause}")))??;
    if context.is_json {
        let line = serde_json::json!({
            "event": "dry_run", "files": count, "bytes": length, "unreadable_files": unreadable,
        });
        line_to_stdout(&line.to_string());
    } else {
        let mut line = format!("{}, {}", files(count), bytes(length));
        if unreadable > 0 {
            line = format!("{line}: {} cannot be read", number(unreadable));
        }
        line_to_stdout(&format!(
            "{line}\nNothing was read or sent. What the server holds already would not be sent again."
        ));
    }
    Ok(if unreadable == 0 { Exit::Success } else { Exit::Incomplete })
}

/// Backs up to the server and into the relay.
async fn backup_to_both(
    context: &Context,
    options: &backing_up::Options,
    dir: Option<&Path>,
) -> Result<Exit> {
    let to = |destination| To::new(destination, context.report.clone());
    let connection = context.connect_for(to(Destination::Server));
    let opening = async {
        let report = to(Destination::Relay);
        let store = match dir {
            Some(dir) => Store::folder(dir),
            None => Store::remote(context.connect_for(report.clone())?).await?,
        };
        Relay::open(Arc::new(store), &context.profile, report, context.stop.clone()).await
    };
    let mut relay = opening.await;
    let (report, stop) = (&context.report, &context.stop);
    let ended = together::run(
        connection,
        relay.as_mut().map_err(|error| error.clone()),
        &context.profile,
        options,
        report,
        stop,
    )
    .await?;
    Ok(exit_of([ended.server, ended.relay]))
}

/// Of two that failed the first one names the code; one that left files undone counts less than one that failed.
fn exit_of(ended: [Result<BackupSummary>; 2]) -> Exit {
    let is_complete = ended.iter().flatten().all(|summary| summary.complete);
    match ended.into_iter().find_map(Result::err) {
        Some(error) => error.kind.exit(),
        None if is_complete => Exit::Success,
        None => Exit::Incomplete,
    }
}

/// Restores everything.
pub async fn restore(context: &Context, restore: Restore) -> Result<Exit> {
    let options = restoring::Options {
        folder: restore.dir,
        device: restore.device,
        parallel: restore.transfer.parallel.into(),
        limit: restore.transfer.limit_rate,
    };
    let summary = restoring::run(context.connect()?, &options).await?;
    Ok(if summary.failed_files == 0 { Exit::Success } else { Exit::Incomplete })
}

/// Asks for receipts, once or until all are there.
pub async fn verify(context: &Context, verify: Verify) -> Result<Exit> {
    let connection = context.connect()?;
    keep_fresh(&connection, &context.profile).await;
    loop {
        let summary = verifying::run(connection.clone(), &context.profile).await?;
        if verify.wait && summary.received > 0 {
            connection.unless_stopped(tokio::time::sleep(Duration::from_secs(5))).await?;
            continue;
        }
        let all = summary.verified == summary.files;
        return Ok(if all { Exit::Success } else { Exit::Incomplete });
    }
}

/// Lists what the server holds.
pub async fn list(context: &Context) -> Result<Exit> {
    let connection = context.connect()?;
    let mut pages = Pages::new(&connection, None);
    let (mut count, mut length) = (0, 0);
    while let Some(page) = connection.unless_stopped(pages.next()).await?? {
        for row in page.assets {
            count += 1;
            length += row.size_bytes;
            if context.is_json {
                let line = serde_json::to_string(&row).map_err(|cause| {
                    Error::unexpected(format!("could not print a row: {cause}"))
                })?;
                line_to_stdout(&line);
                continue;
            }
            let folder = row.claims.folder.as_deref().unwrap_or_default();
            let folder = if folder.is_empty() { String::new() } else { format!("  in {folder}") };
            let folder = folder + &more_places(row.claims.copies.len());
            line_to_stdout(&format!(
                "{:>11}  {}{folder}",
                bytes(row.size_bytes),
                printable(&row.name)
            ));
        }
    }
    if !context.is_json {
        let text = format!("{}, {}", files(count), bytes(length));
        context.report.event(&Event::Note { text });
    }
    Ok(Exit::Success)
}

fn more_places(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "  and in 1 more place".into(),
        count => format!("  and in {count} more places"),
    }
}

/// A name that cannot move the cursor.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// Fetches one photo.
pub async fn get(context: &Context, get: Get) -> Result<Exit> {
    let connection = context.connect()?;
    let row = find(&connection, &get.wanted).await?;
    let own = PathBuf::from(stored_name(&row.name));
    let target = match get.output {
        None => own,
        Some(path) if path.is_dir() => path.join(own),
        Some(path) => path,
    };
    restoring::fetch(connection, &row, &target).await?;
    if context.is_json {
        let line = serde_json::json!({"event": "file_done", "how": "restored", "path": target, "bytes": row.size_bytes});
        line_to_stdout(&line.to_string());
    } else {
        line_to_stdout(&format!("{} ({})", target.display(), bytes(row.size_bytes)));
    }
    Ok(Exit::Success)
}
