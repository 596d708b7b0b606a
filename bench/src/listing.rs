//! Pages of a small and of a large library, in turn: rows without files, asked for page by page.

use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::goals::{Direction, Goals};
use crate::http::Connection;
use crate::options::LanOptions;
use crate::photosync::{self, PhotoSync, Ready, SignIn};
use crate::seed;
use crate::spread::Spread;
use crate::table::Table;
use crate::uploads::Folder;

/// Rows per page: what the desktop client asks for.
const PAGE_ROWS: u64 = 500;
/// First pages asked for per round.
const FIRST_PAGES: usize = 20;

/// A server with a library of a known size.
struct Library {
    rows: u64,
    ready: Ready,
    sign_in: SignIn,
    page_ms: Vec<f64>,
    first_ms: Vec<f64>,
    round_medians_ms: Vec<f64>,
}

/// Measures and prints; `large` is the folder of a library of `options.many_assets`, left as it is.
pub fn compare(
    server: &PhotoSync,
    options: &LanOptions,
    large: &Path,
    goals: &mut Goals,
) -> Result<(), Failure> {
    let small = Folder::make(&options.dir, "few")?;
    seed::make_library(server, &small.path, options.few_assets)?;
    let mut libraries = [
        open_library(server, &small.path, options.few_assets)?,
        open_library(server, large, options.many_assets)?,
    ];
    for number in 1..=options.rounds {
        eprintln!("bench: listing: round {number} of {}", options.rounds);
        for library in &mut libraries {
            measure(library)?;
        }
    }
    let title = format!(
        "Listing: GET /api/files, pages of {PAGE_ROWS} in order, {} rounds in turn (ms per page)",
        options.rounds
    );
    let heading =
        ["assets", "pages", "rounds min", "median", "max", "99 % of pages", "first page", "x few"];
    let mut table = Table::new(title, &heading);
    let few_ms = libraries[0].median_ms();
    for library in &libraries {
        table.row(library.cells(few_ms));
    }
    table.print();
    let ratio = over(libraries[1].median_ms(), few_ms);
    goals.judge(
        format!("page time at {} over {}", options.many_assets, options.few_assets),
        Direction::AtMost,
        1.5,
        "",
        ratio,
    );
    for library in libraries {
        library.ready.process.stop()?;
    }
    small.remove()
}

fn over(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    Some(part? / whole?)
}

fn open_library(server: &PhotoSync, home: &Path, rows: u64) -> Result<Library, Failure> {
    let ready = server.start_bare(home)?;
    let sign_in = photosync::sign_in(ready.address)?;
    let total = photosync::listed_total(ready.address, &sign_in)?;
    if total != rows {
        return Err(format!("the library of {rows} assets is listed as {total}").into());
    }
    Ok(Library {
        rows,
        ready,
        sign_in,
        page_ms: Vec::new(),
        first_ms: Vec::new(),
        round_medians_ms: Vec::new(),
    })
}

fn measure(library: &mut Library) -> Result<(), Failure> {
    let mut connection = Connection::new(library.ready.address);
    connection.open()?;
    let mut pages_ms = Vec::new();
    let mut listed = 0;
    while listed < library.rows {
        let (rows, took_ms) = page(&mut connection, &library.sign_in, listed)?;
        if rows == 0 {
            return Err(format!("the listing of {} assets ends at {listed}", library.rows).into());
        }
        listed += rows;
        pages_ms.push(took_ms);
    }
    for _ in 0..FIRST_PAGES {
        library.first_ms.push(page(&mut connection, &library.sign_in, 0)?.1);
    }
    library.round_medians_ms.extend(Spread::of(pages_ms.iter().copied()).map(|all| all.median()));
    library.page_ms.extend(pages_ms);
    Ok(())
}

/// One page: its number of rows and its time in milliseconds. Rows are counted after the clock.
fn page(connection: &mut Connection, sign_in: &SignIn, offset: u64) -> Result<(u64, f64), Failure> {
    let target = format!("/api/files?offset={offset}&limit={PAGE_ROWS}");
    let begun = Instant::now();
    let answer = connection.get(&target, &sign_in.headers)?;
    let took_ms = begun.elapsed().as_secs_f64() * 1e3;
    let page = photosync::succeed("list", answer)?;
    let files = page.get("files").and_then(|files| files.as_array());
    Ok((files.ok_or("the listing has no files")?.len() as u64, took_ms))
}

impl Library {
    fn median_ms(&self) -> Option<f64> {
        Spread::of(self.round_medians_ms.iter().copied()).map(|medians| medians.median())
    }

    fn cells(&self, few_ms: Option<f64>) -> Vec<String> {
        let shown = |figure: Option<f64>| figure.map_or("-".into(), |ms| format!("{ms:.2}"));
        let medians = Spread::of(self.round_medians_ms.iter().copied());
        let pages = Spread::of(self.page_ms.iter().copied());
        let first = Spread::of(self.first_ms.iter().copied());
        vec![
            self.rows.to_string(),
            self.rows.div_ceil(PAGE_ROWS).to_string(),
            shown(medians.as_ref().map(Spread::min)),
            shown(medians.as_ref().map(Spread::median)),
            shown(medians.as_ref().map(Spread::max)),
            shown(pages.map(|pages| pages.quantile(0.99))),
            shown(first.map(|first| first.median())),
            shown(over(medians.map(|medians| medians.median()), few_ms)),
        ]
    }
}
