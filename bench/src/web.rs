//! The bench `web`: the app in Chromium on a library of many pictures. The script `web/browser/scale.mjs` measures; here the
//! library is made, and the figures are put beside the goals.

use serde_json::Value;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::machine;
use crate::options::WebOptions;
use crate::photosync::{EMAIL, PASSWORD, PhotoSync};
use crate::process::{clean_command, find_program, run_to_end};
use crate::seed;
use crate::table::Table;
use crate::uploads::Folder;

/// Figures that have a goal, with it, in ms.
const GOALS: &[(&str, f64)] = &[
    ("first thumbnail on a cold page", 1500.0),
    ("longest task while scrolling slowly", 50.0),
    ("longest task while scrolling quickly", 50.0),
    ("longest task while scrolling in leaps", 50.0),
];
/// The figure that must be nothing.
const WRONG_DAYS: &str = "places at which the scrubber names another day";

/// Measures everything and prints it.
pub fn run(options: &WebOptions) -> Result<(), Failure> {
    let home = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    machine::print(&home, false)?;
    let server =
        PhotoSync::find(options.server.as_deref()).ok_or("name the server with --server")?;
    let script = options.web.as_deref().ok_or("name the folder of the web app with --web")?;
    let script = script.join("browser/scale.mjs").canonicalize().map_err(|error| {
        format!("could not find browser/scale.mjs in {}: {error}", script.display())
    })?;
    let node = find_program("node").ok_or("there is no Node (scripts/web installs one)")?;
    let folder = Folder::make(&home, "web")?;
    seed::make_pictures(&server, &folder.path, options.assets)?;
    seed::add_thumbnails_and_places(&folder.path)?;
    let ready = server.start_bare(&folder.path)?;

    let mut command = clean_command(&node, &folder.path);
    command.arg(&script).arg(format!("http://{}", ready.address)).arg(EMAIL).arg(PASSWORD);
    if let Some(profile) = &options.profile {
        command.arg(std::path::absolute(profile)?);
    }
    let finished = run_to_end("scale.mjs", command, "", &folder.path)?;
    let mut table = Table::new(
        format!("Web app: {} pictures over ten years, Chromium, one cold page", options.assets),
        &["what", "", "unit"],
    );
    let mut goals = Goals::default();
    let mut found = Vec::new();
    for line in finished.output.lines() {
        let line: Value = serde_json::from_str(line)
            .map_err(|error| format!("scale.mjs said {line:?}, which is no JSON: {error}"))?;
        if let Some(failed) = line["failed"].as_str() {
            return Err(format!("scale.mjs: {failed}").into());
        }
        let (Some(what), Some(value)) = (line["figure"].as_str(), line["value"].as_f64()) else {
            continue;
        };
        let unit = line["unit"].as_str().unwrap_or_default();
        table.row([what.to_owned(), format!("{value}"), unit.to_owned()]);
        found.push((what.to_owned(), value));
    }
    table.print();
    let value = |wanted: &str| found.iter().find(|(what, _)| what == wanted).map(|(_, v)| *v);
    for (what, most) in GOALS {
        goals.judge(*what, Direction::AtMost, *most, "ms", value(what));
    }
    goals.judge(WRONG_DAYS, Direction::AtMost, 0.0, "", value(WRONG_DAYS));
    goals.print();
    ready.process.stop()?;
    folder.remove()
}
