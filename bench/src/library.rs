//! The bench `library`: the timeline of a large library, pages of its tiles, and searches, by one connection.

use std::time::Instant;

use serde_json::Value;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::http::Connection;
use crate::machine;
use crate::options::LibraryOptions;
use crate::payload::split_mix;
use crate::photosync::{self, PhotoSync, SignIn};
use crate::seed;
use crate::spread::Spread;
use crate::table::Table;
use crate::uploads::Folder;

/// Timelines that are asked for after the first.
const TIMELINES: usize = 50;
/// Tiles of a page.
const PAGE_TILES: usize = 500;
/// Searches that walk are slow: so many for each hundred pages.
const WALKS_OF_100: u64 = 5;

/// Measures everything and prints it.
pub fn run(options: &LibraryOptions) -> Result<(), Failure> {
    let home = options.dir.canonicalize().map_err(|error| {
        format!("could not find the folder to write in, {}: {error}", options.dir.display())
    })?;
    machine::print(&home, false)?;
    let server =
        PhotoSync::find(options.server.as_deref()).ok_or("name the server with --server")?;
    let folder = Folder::make(&home, "library")?;
    seed::make_pictures(&server, &folder.path, options.assets)?;
    let ready = server.start_bare(&folder.path)?;
    let mut asking = Asking {
        connection: Connection::new(ready.address),
        sign_in: photosync::sign_in(ready.address)?,
    };
    asking.connection.open()?;

    let title = format!("Library: {} pictures over ten years, one connection (ms)", options.assets);
    let mut table = Table::new(title, &["what", "requests", "min", "median", "99 %", "max"]);
    let mut goals = Goals::default();
    let (first, took_ms) = asking.get("/api/v2/library/timeline")?;
    table.row(cells("timeline, every day made", &[took_ms]));
    let told = first["total"].as_u64();
    if told != Some(options.assets) {
        return Err(format!("the timeline tells of {told:?} pictures").into());
    }
    let mut timeline_ms = Vec::new();
    for _ in 0..TIMELINES {
        timeline_ms.push(asking.get("/api/v2/library/timeline")?.1);
    }
    table.row(cells("timeline", &timeline_ms));
    let median = Spread::of(timeline_ms).map(|all| all.median());
    goals.judge("timeline, median", Direction::AtMost, 50.0, "ms", median);

    let days: Vec<&str> = first["days"].as_array().into_iter().flatten().filter_map(day).collect();
    let mut random = 7;
    let mut pages_ms = Vec::new();
    for _ in 0..options.pages {
        let day = days[split_mix(&mut random) as usize % days.len()];
        let path = format!("/api/v2/library/timeline/tiles?limit={PAGE_TILES}&from={day}");
        pages_ms.push(asking.get(&path)?.1);
    }
    table.row(cells("500 tiles from any day", &pages_ms));
    let slow = Spread::of(pages_ms).map(|all| all.quantile(0.99));
    goals.judge("500 tiles, 99 % of pages", Direction::AtMost, 20.0, "ms", slow);

    let walks = (options.pages * WALKS_OF_100 / 100).max(1);
    for (what, query, times) in [
        ("a rare word", "q=holi", options.pages),
        ("a common word", "q=img", options.pages),
        ("a common word in the past", "q=img&before_day=2015-06-01", options.pages),
        ("two words that never meet", "q=odd+even", walks),
    ] {
        let path = format!("/api/v2/library/search?limit={PAGE_TILES}&{query}");
        let mut took_ms = Vec::new();
        for _ in 0..times {
            took_ms.push(asking.get(&path)?.1);
        }
        table.row(cells(&format!("search: {what}"), &took_ms));
    }
    table.print();
    goals.print();
    ready.process.stop()?;
    folder.remove()
}

fn day(day: &Value) -> Option<&str> {
    day["day"].as_str()
}

fn cells(what: &str, took_ms: &[f64]) -> Vec<String> {
    let all = Spread::of(took_ms.iter().copied());
    let shown = |figure: Option<f64>| figure.map_or("-".into(), |ms| format!("{ms:.1}"));
    vec![
        what.to_owned(),
        took_ms.len().to_string(),
        shown(all.as_ref().map(Spread::min)),
        shown(all.as_ref().map(Spread::median)),
        shown(all.as_ref().map(|all| all.quantile(0.99))),
        shown(all.as_ref().map(Spread::max)),
    ]
}

/// Whoever asks.
struct Asking {
    connection: Connection,
    sign_in: SignIn,
}

impl Asking {
    /// An answer, and how long all of its bytes took. It is read as JSON after the clock.
    fn get(&mut self, path: &str) -> Result<(Value, f64), Failure> {
        let begun = Instant::now();
        let answer = self.connection.get(path, &self.sign_in.headers)?;
        let took_ms = begun.elapsed().as_secs_f64() * 1e3;
        Ok((photosync::succeed(path, answer)?, took_ms))
    }
}
