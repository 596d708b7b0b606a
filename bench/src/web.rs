//! The bench `web`: the app in Chromium on a library of many pictures. The script `web/browser/scale.mjs` measures; here the
//! library is made, and the figures are put beside the goals.

use std::slice::from_ref;

use serde_json::Value;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::machine;
use crate::options::WebOptions;
use crate::photosync::{EMAIL, PASSWORD, PhotoSync};
use crate::process::{clean_command, find_program, run_to_end};
use crate::seed;
use crate::spread::Spread;
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

/// Cold pages, each in a browser of its own: one is too few on a machine whose processors draw as well.
const ROUNDS: usize = 3;

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

    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("bench: the app, round {round} of {ROUNDS}");
        let mut command = clean_command(&node, &folder.path);
        command.arg(&script).arg(format!("http://{}", ready.address)).arg(EMAIL).arg(PASSWORD);
        if let Some(profile) = &options.profile {
            command.arg(std::path::absolute(profile)?);
        }
        rounds.push(figures(&run_to_end("scale.mjs", command, "", &folder.path)?.output)?);
    }
    ready.process.stop()?;
    let title = format!(
        "Web app: {} pictures over ten years, Chromium, {ROUNDS} cold pages one after the other",
        options.assets
    );
    let mut table = Table::new(title, &["what", "min", "median", "max", "unit"]);
    let spread = |wanted: &str| {
        let all = rounds.iter().flatten();
        Spread::of(all.filter(|figure| figure.what == wanted).map(|figure| figure.value))
    };
    // Every round tells the same figures.
    for Figure { what, unit, .. } in &rounds[0] {
        let Some(spread) = spread(what) else { continue };
        let cells =
            [spread.min(), spread.median(), spread.max()].map(|value| format!("{value:.1}"));
        table.row([from_ref(what), &cells, from_ref(unit)].concat());
    }
    table.print();
    let mut goals = Goals::default();
    for (what, most) in GOALS {
        let median = spread(what).map(|spread| spread.median());
        goals.judge(*what, Direction::AtMost, *most, "ms", median);
    }
    let wrong = spread(WRONG_DAYS).map(|spread| spread.max());
    goals.judge(WRONG_DAYS, Direction::AtMost, 0.0, "", wrong);
    goals.print();
    folder.remove()
}

/// One figure of the script.
struct Figure {
    what: String,
    value: f64,
    unit: String,
}

/// The figures of one round, in the order in which the script tells them.
fn figures(output: &str) -> Result<Vec<Figure>, Failure> {
    let mut found = Vec::new();
    for line in output.lines() {
        let line: Value = serde_json::from_str(line)
            .map_err(|error| format!("scale.mjs said {line:?}, which is no JSON: {error}"))?;
        if let Some(failed) = line["failed"].as_str() {
            return Err(format!("scale.mjs: {failed}").into());
        }
        if let (Some(what), Some(value)) = (line["figure"].as_str(), line["value"].as_f64()) {
            let unit = line["unit"].as_str().unwrap_or_default();
            found.push(Figure { what: what.to_owned(), value, unit: unit.to_owned() });
        }
    }
    Ok(found)
}
