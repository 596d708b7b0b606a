//! `doctor` and `duplicates`.

use photosync_client::doctor::{
    Finding, ORDINARY_PROBE, Options, THOROUGH_PROBE, Verdict, examine,
};
use photosync_client::duplicates::{Group, clean, find, system_trash, verified};
use photosync_client::error::{Error, Kind, Result};
use photosync_client::report::Event;
use photosync_client::signing_in::First;
use photosync_protocol::findings::conclusion;
use photosync_protocol::process::Exit;

use super::arguments::{Doctor, Duplicates};
use super::files::rules;
use super::show::{bytes, files, line_to_stdout, number, width};
use super::{Context, ask_on_terminal};

/// Looks for what could be wrong.
pub async fn doctor(context: &Context, doctor: Doctor) -> Result<Exit> {
    let first = First { report: context.report.clone(), stop: context.stop.clone() };
    let probe_bytes = match doctor.thorough {
        true => THOROUGH_PROBE,
        false => doctor.probe_bytes.unwrap_or(ORDINARY_PROBE),
    };
    let options = Options { url: doctor.url, probe_bytes };
    let tell = |finding: &Finding| tell(context.is_json, finding);
    let findings = examine(&context.profile, &options, &first, &tell).await?;
    if !context.is_json {
        line_to_stdout(&conclusion(&findings));
    }
    let is_broken = findings.iter().any(|finding| finding.verdict == Verdict::Broken);
    Ok(if is_broken { Exit::Disagreements } else { Exit::Success })
}

fn tell(is_json: bool, finding: &Finding) {
    if is_json {
        let line = serde_json::json!({"event": "finding", "finding": finding});
        line_to_stdout(&line.to_string());
        return;
    }
    line_to_stdout(&finding.lines(width(), console::colors_enabled()));
}

/// Finds equal files, and moves all but the oldest to the trash if asked to.
pub async fn duplicates(context: &Context, wanted: Duplicates) -> Result<Exit> {
    let rules = rules(&wanted.rules)?;
    let (report, stop) = (context.report.clone(), context.stop.clone());
    let groups = find(&context.profile, wanted.paths, rules, report, stop).await?;
    let event = Event::DuplicatesDone {
        groups: groups.len() as u64,
        files: groups.iter().map(|group| group.others.len() as u64).sum(),
        bytes: groups.iter().map(Group::spare_bytes).sum(),
    };
    context.report.event(&event);
    groups.iter().for_each(|group| show(context, group));
    if !wanted.clean || groups.is_empty() {
        return Ok(Exit::Success);
    }
    move_away(context, groups, wanted.yes).await
}

fn show(context: &Context, group: &Group) {
    if context.is_json {
        let paths: Vec<_> = group.others.iter().map(|file| &file.path).collect();
        let line = serde_json::json!({
            "event": "duplicates",
            "digest": group.digest,
            "keep": group.oldest.path,
            "others": paths,
            "bytes": group.spare_bytes(),
        });
        line_to_stdout(&line.to_string());
        return;
    }
    line_to_stdout(&format!("{}  {}", bytes(group.oldest.size_bytes), group.oldest.path.display()));
    for file in &group.others {
        line_to_stdout(&format!("      = {}", file.path.display()));
    }
}

async fn move_away(context: &Context, groups: Vec<Group>, is_agreed: bool) -> Result<Exit> {
    let all = groups.len();
    let connection = context.connect()?;
    let safe = verified(&connection, groups).await?;
    let unsafe_groups = all - safe.len();
    if unsafe_groups > 0 {
        let text = format!(
            "{} groups stay: the server has not verified them (photosync verify --wait)",
            number(unsafe_groups as u64)
        );
        context.report.event(&Event::Note { text });
    }
    let count: u64 = safe.iter().map(|group| group.others.len() as u64).sum();
    if count == 0 {
        return Ok(Exit::Incomplete);
    }
    let length: u64 = safe.iter().map(Group::spare_bytes).sum();
    let question = format!("Move {} ({}) to the trash?", files(count), bytes(length));
    if !is_agreed {
        match ask_on_terminal(&question) {
            Some(true) => {}
            Some(false) => return Ok(Exit::Success),
            None => {
                return Err(Error::new(Kind::Usage, "nobody is there to agree to moving files")
                    .hint("add --yes"));
            }
        }
    }
    let (stop, report) = (context.stop.clone(), context.report.clone());
    let (moved, failed) = tokio::task::spawn_blocking(move || {
        let (mut moved, mut failed) = (0, 0);
        for group in &safe {
            match clean(group, &stop, &system_trash) {
                Ok(count) => moved += count,
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => {
                    failed += 1;
                    let path = group.oldest.path.to_string_lossy().into_owned();
                    let reason = error.message;
                    report.event(&Event::FileFailed { path, code: error.code, reason });
                }
            }
        }
        Ok((moved, failed))
    })
    .await
    .map_err(|cause| Error::unexpected(format!("a task ended unexpectedly: {cause}")))??;
    if context.is_json {
        let line = serde_json::json!({"event": "cleaned", "moved": moved, "failed": failed});
        line_to_stdout(&line.to_string());
    } else {
        line_to_stdout(&format!("{} moved to the trash", files(moved)));
    }
    Ok(if failed + unsafe_groups > 0 { Exit::Incomplete } else { Exit::Success })
}
