//! The box beside `tweetnacl` in Node, which is what the published desktop client seals with.
//!
//! Both make as many calls, and what counts is the median of the processor time of the one thread that seals, the release
//! of the new buffers included. Node can only tell the time of its whole process, so it runs with `--single-threaded`, which
//! leaves nothing to other threads. Wall time would be fair on a quiet machine only.

use std::path::{Path, PathBuf};

use super::sealing::{PIECE_BYTES, Times, rates, time_copied_boxes};
use crate::Failure;
use crate::contestant::OURS;
use crate::goals::{Direction, Goals};
use crate::options::RelayOptions;
use crate::process::{clean_command, find_program, run_to_end};
use crate::spread::Spread;
use crate::table::Table;
use crate::uploads::Folder;

/// What Node runs.
const SCRIPT: &str = include_str!("secretbox.cjs");

/// Both copy what they seal. One after the other: they are two processes.
pub fn compare(options: &RelayOptions, goals: &mut Goals) -> Result<(), Failure> {
    let what = "the box over tweetnacl in Node";
    let Some((node, package)) = find(options.reader.as_deref()) else {
        println!("\ntweetnacl is not installed and left out (scripts/bench relay --install)");
        goals.judge(what, Direction::AtLeast, 10.0, " x", None);
        return Ok(());
    };
    let theirs = time_tweetnacl(options, &node, &package)?;
    let ours = time_copied_boxes(options.calls);
    let title = format!("The box into a new buffer, 4 MiB, one thread, {} calls", options.calls);
    let mut table = Table::new(title, &["what", "MB/s, fastest", "MB/s, median"]);
    for (name, times) in [(OURS, &ours), ("tweetnacl", &theirs)] {
        let [fastest, median] = rates(times);
        table.row([name.to_owned(), fastest, median]);
    }
    table.print();
    println!("  processor time of the thread that seals; node runs with --single-threaded");
    let what = format!("{what}, medians");
    goals.judge(what, Direction::AtLeast, 10.0, " x", Some(theirs.median() / ours.median()));
    Ok(())
}

/// Node, and the package's folder.
fn find(reader: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let package = reader?.join("node_modules/tweetnacl").canonicalize().ok()?;
    Some((find_program("node")?, package))
}

fn time_tweetnacl(options: &RelayOptions, node: &Path, package: &Path) -> Result<Times, Failure> {
    let folder = Folder::make(&options.dir, "node")?;
    let script = folder.path.join("secretbox.cjs");
    std::fs::write(&script, SCRIPT)
        .map_err(|error| format!("could not write {}: {error}", script.display()))?;
    let mut command = clean_command(node, &folder.path);
    command.arg("--single-threaded").arg(&script).arg(package);
    command.arg(PIECE_BYTES.to_string()).arg(options.calls.to_string());
    let finished = run_to_end("tweetnacl", command, "", &folder.path)?;
    let times: Vec<f64> = serde_json::from_str(&finished.output)
        .map_err(|error| format!("tweetnacl's times cannot be read: {error}"))?;
    folder.remove()?;
    let times = Spread::of(times.into_iter().map(|microseconds| microseconds / 1e6));
    Ok(times.ok_or("tweetnacl was not called")?)
}
