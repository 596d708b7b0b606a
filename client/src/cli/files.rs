//! `backup`, `restore`, `verify`, `list`, `get`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use photosync_client::connection::Connection;
use photosync_client::endpoints::keep_fresh;
use photosync_client::error::{Error, Result};
use photosync_client::listing::{Pages, find};
use photosync_client::report::Event;
use photosync_client::scan;
use photosync_client::{
    backup as backing_up, restore as restoring, verify as verifying, watch as watching,
};
use photosync_protocol::names::stored_name;
use photosync_protocol::process::Exit;

use super::Context;
use super::arguments::{Backup, Get, Restore, Rules, Verify};
use super::show::{bytes, files, line_to_stdout};

impl Context {
    pub(super) fn connect(&self) -> Result<Arc<Connection>> {
        let (report, stop) = (self.report.clone(), self.stop.clone());
        Connection::signed_in(&self.profile, report, stop).map(Arc::new)
    }
}

pub(super) fn rules(rules: &Rules) -> Result<scan::Rules> {
    scan::Rules::new(&rules.exclude, rules.hidden)
}

/// Backs up once, or until it is stopped.
pub async fn backup(context: &Context, backup: Backup) -> Result<Exit> {
    let options = backing_up::Options {
        rules: rules(&backup.rules)?,
        paths: backup.paths,
        parallel: backup.transfer.parallel.into(),
        limit: backup.transfer.limit_rate,
    };
    let connection = context.connect()?;
    if backup.watch {
        watching::run(connection, &context.profile, &options).await?;
        return Ok(Exit::Success);
    }
    let summary = backing_up::run(connection, &context.profile, &options).await?;
    Ok(if summary.complete { Exit::Success } else { Exit::Incomplete })
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
