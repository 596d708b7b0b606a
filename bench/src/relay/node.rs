//! The box beside `tweetnacl` in Node, which is what the published desktop client seals with.

use std::path::{Path, PathBuf};

use super::sealing::{PIECE_BYTES, Times, rates, time_copied_boxes};
use crate::Failure;
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
    // Its calls take that much longer.
    let calls = (options.calls / 10).max(5);
    let theirs = time_tweetnacl(options, &node, &package, calls)?;
    let ours = time_copied_boxes(options.calls);
    let title = "The box into a new buffer, 4 MiB, one thread";
    let mut table = Table::new(title, &["what", "MB/s, fastest", "MB/s, median", "calls"]);
    for (name, times, calls) in [("photosync", &ours, options.calls), ("tweetnacl", &theirs, calls)]
    {
        let [fastest, median] = rates(times);
        table.row([name.to_owned(), fastest, median, calls.to_string()]);
    }
    table.print();
    goals.judge(what, Direction::AtLeast, 10.0, " x", Some(theirs.min() / ours.min()));
    Ok(())
}

/// Node, and the package's folder.
fn find(reader: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let package = reader?.join("node_modules/tweetnacl").canonicalize().ok()?;
    Some((find_program("node")?, package))
}

fn time_tweetnacl(
    options: &RelayOptions,
    node: &Path,
    package: &Path,
    calls: usize,
) -> Result<Times, Failure> {
    let folder = Folder::make(&options.dir, "node")?;
    let script = folder.path.join("secretbox.cjs");
    std::fs::write(&script, SCRIPT)
        .map_err(|error| format!("could not write {}: {error}", script.display()))?;
    let mut command = clean_command(node, &folder.path);
    command.arg(&script).arg(package).arg(PIECE_BYTES.to_string()).arg(calls.to_string());
    let finished = run_to_end("tweetnacl", command, "", &folder.path)?;
    let times: Vec<f64> = serde_json::from_str(&finished.output)
        .map_err(|error| format!("tweetnacl's times cannot be read: {error}"))?;
    folder.remove()?;
    let times = Spread::of(times.into_iter().map(|microseconds| microseconds / 1e6));
    Ok(times.ok_or("tweetnacl was not called")?)
}
