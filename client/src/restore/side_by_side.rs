//! Files that are restored side by side: how many at once, and what becomes of each. An error of one file is told and the next
//! one is done; any other ends the run.

use std::path::PathBuf;

use tokio::task::JoinSet;

use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::report::{Event, Report, RestoreSummary};

/// What became of one place of a photo: `present` if it was there, `restored` if it is there now.
pub(crate) struct Done {
    /// Where, below the folder that is restored to.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What became of it.
    pub how: Result<&'static str>,
}

impl Done {
    /// Counts and reports it. Answers the error that ends the run, if it is one.
    pub fn tell(
        self,
        meter: &Meter,
        report: &dyn Report,
        summary: &mut RestoreSummary,
    ) -> Result<()> {
        let (path, bytes) = (self.path.to_string_lossy().into_owned(), self.bytes);
        match self.how {
            Ok(how) => {
                meter.finish(bytes);
                match how {
                    "present" => summary.present_files += 1,
                    _ => summary.restored_files += 1,
                }
                report.event(&Event::FileDone { path, how, bytes });
            }
            Err(error) if error.kind == Kind::File => {
                summary.failed_files += 1;
                let (code, reason) = (error.code, error.message);
                report.event(&Event::FileFailed { path, code, reason });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Restores all of these, `parallel` at once. When it ends early, those that were begun are given up.
pub(crate) async fn restore_all<Restoring>(
    files: impl Iterator<Item = Restoring>,
    parallel: usize,
    meter: &Meter,
    report: &dyn Report,
    summary: &mut RestoreSummary,
) -> Result<()>
where
    Restoring: Future<Output = Done> + Send + 'static,
{
    let mut waiting = files;
    let mut restoring = JoinSet::new();
    loop {
        while restoring.len() < parallel {
            let Some(file) = waiting.next() else { break };
            restoring.spawn(file);
        }
        let Some(joined) = restoring.join_next().await else { return Ok(()) };
        joined.map_err(ended_unexpectedly)?.tell(meter, report, summary)?;
    }
}

/// A task of a restore that panicked.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn ended_unexpectedly(cause: tokio::task::JoinError) -> Error {
    Error::unexpected(format!("restoring ended unexpectedly: {cause}"))
}
