//! Decides before a start whether a version that was installed stays, and puts the version before back if not. Run by who may
//! replace the programs: root before the service (`ExecStartPre=+`), the tray, or the server itself where the programs are
//! the person's own.

use std::fs::{self, File};
use std::path::Path;

use super::install::digest;
use super::ledger::{InstallerList, Ledger, Stage, Update, lock, sync_folder};
use super::rules::{Progress, Seen, Verdict, judge};
use super::{Programs, UpdateError, failed, trial};
use crate::blobs::volume;

/// Decides for the server on `data`, which must not be running; returns what was done, for people. Nothing while it runs.
pub fn before_start(
    programs: &Programs,
    list: &InstallerList,
    data: &Path,
) -> Result<Option<String>, UpdateError> {
    if volume::is_held(data).unwrap_or(false) {
        return Ok(None);
    }
    decide(programs, list, data)
}

/// As [`before_start`], by the server itself that is about to end.
pub fn decide(
    programs: &Programs,
    list: &InstallerList,
    data: &Path,
) -> Result<Option<String>, UpdateError> {
    if Ledger::read(programs)?.update.is_none_or(|update| update.stage != Stage::Installed) {
        return Ok(None);
    }
    let _lock = lock(programs)?;
    let mut ledger = Ledger::read(programs)?;
    let Some(mut update) = ledger.update.clone() else { return Ok(None) };
    let name = data.to_string_lossy().into_owned();
    let said = trial::find_progress(data, &update.id);
    let note = match judge(update.seen.get(&name).copied(), said) {
        Verdict::Start => return Ok(None),
        Verdict::NoteStart => Seen::Started,
        Verdict::NoteProof => Seen::Proven,
        Verdict::GoBack => {
            let text =
                format!("{} did not become healthy on {name}: {} is back", update.to, update.from);
            put_back(programs, list, ledger, update)?;
            return Ok(Some(text));
        }
    };
    update.seen.insert(name, note);
    ledger.update = Some(update);
    ledger.write(programs)?;
    Ok(None)
}

/// Whether this process may replace the programs.
pub fn may_replace(programs: &Programs) -> bool {
    let probe = programs.folder.join(format!(".{}.may-write", programs.server));
    let may = File::create(&probe).is_ok();
    let _ = fs::remove_file(&probe);
    may
}

/// Notes that `version` stays, if this process may write that.
pub fn note_proof(programs: &Programs, id: &str, data: &Path) {
    let Ok(_lock) = lock(programs) else { return };
    let Ok(mut ledger) = Ledger::read(programs) else { return };
    let Some(update) = ledger.update.as_mut().filter(|update| update.id == id) else { return };
    update.seen.insert(data.to_string_lossy().into_owned(), Seen::Proven);
    let _ = ledger.write(programs);
}

/// What a data folder says by now of an update that was seen to start there.
pub(super) fn refresh(id: &str, data: &Path, seen: &mut Seen) {
    if trial::find_progress(data, id) == Some(Progress::Proven) {
        *seen = Seen::Proven;
    }
}

/// Puts the kept programs back, the server's last. Can be run again after a crash.
pub(super) fn put_back(
    programs: &Programs,
    list: &InstallerList,
    mut ledger: Ledger,
    update: Update,
) -> Result<(), UpdateError> {
    let mut sums = Vec::new();
    let mut written = Vec::new();
    for name in &update.programs {
        let (now, kept) = (programs.path(name), programs.previous(name));
        if kept.exists() {
            sums.push((digest(&kept)?, now.to_string_lossy().into_owned()));
            written.extend([now, kept].map(|path| path.to_string_lossy().into_owned()));
        }
    }
    if !programs.previous(&programs.server).exists() {
        return Err(UpdateError::Unavailable(format!(
            "{} is not there: nothing to go back to",
            programs.previous(&programs.server).display()
        )));
    }
    let unlisted = |error| failed("write", &list.0)(error);
    list.note(&sums, &[]).map_err(unlisted)?;
    for name in &update.programs {
        let (now, kept) = (programs.path(name), programs.previous(name));
        if !kept.exists() {
            continue;
        }
        if cfg!(windows) {
            // A running program can be renamed there, and not replaced.
            let aside = programs.path(&format!("{name}.failed"));
            let _ = fs::remove_file(&aside);
            fs::rename(&now, &aside).map_err(failed("put aside", &now))?;
        }
        fs::rename(&kept, &now).map_err(failed("put back", &now))?;
    }
    sync_folder(&programs.server()).map_err(failed("make durable", &programs.server()))?;
    ledger.update = Some(Update { stage: Stage::GoneBack, ..update });
    ledger.write(programs)?;
    list.note(&sums, &written).map_err(unlisted)
}
