//! The progress bar of a terminal: one line that never wraps, so that it can always be cleared again.

use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use photosync_client::report::Progress;

use super::show::{files, number};

/// Last columns of a terminal that the bar leaves free. A terminal writes `^C` after the bar, and a line that wraps by
/// that could not be cleared again.
const SPARE_COLUMNS: usize = 3;

/// A terminal that looks narrower to the bar than it is.
#[derive(Debug)]
struct Screen(Term);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        let width = usize::from(self.0.size().1).saturating_sub(SPARE_COLUMNS);
        u16::try_from(width).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, lines: usize) -> std::io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> std::io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> std::io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> std::io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, line: &str) -> std::io::Result<()> {
        self.0.write_line(line)
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A bar on standard error; it turns until it knows how much there is to do.
pub fn new() -> ProgressBar {
    let screen = Box::new(Screen(Term::buffered_stderr()));
    let target = ProgressDrawTarget::term_like_with_hz(screen, 10);
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(spinner());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Shows how far it is.
pub fn set(bar: &ProgressBar, progress: &Progress) {
    // A bar without a length would jump about while the list of files still grows.
    let length = progress.bytes_total.max(1);
    if bar.length() != Some(length) {
        bar.set_style(with_bar());
        bar.set_length(length);
    }
    bar.set_position(progress.bytes_done);
    bar.set_message(progress_line(progress));
}

/// What stands beside the bar; with it 80 columns for all but the largest libraries.
fn progress_line(progress: &Progress) -> String {
    let mut parts = vec![
        format!("{} of {}", number(progress.files_done), files(progress.files_total)),
        share(progress.bytes_done, progress.bytes_total),
    ];
    if let Some(left) = progress.seconds_left.filter(|_| progress.bytes_done > 0) {
        parts.push(format!("{} left", coarse(left)));
    }
    if progress.bytes_per_s > 0 {
        parts.push(format!("{}/s", short(progress.bytes_per_s, progress.bytes_per_s)));
    }
    parts.join(" · ")
}

/// `36 of 229 MiB`: both in the unit of the whole.
fn share(part: u64, whole: u64) -> String {
    let shown = short(part, whole);
    let number = shown.split(' ').next().unwrap_or_default();
    format!("{number} of {}", short(whole, whole))
}

/// A length in the unit that fits `like`, with one decimal below 100.
fn short(length: u64, like: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while unit + 1 < units.len() && like >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded for people")]
    let in_unit = |bytes: u64| bytes as f64 / (1_u64 << (10 * unit)) as f64;
    let decimals = usize::from(unit > 0 && in_unit(like) < 100.0);
    format!("{:.decimals$} {}", in_unit(length), units.get(unit).copied().unwrap_or_default())
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn with_bar() -> ProgressStyle {
    ProgressStyle::with_template("{bar:8} {percent:>3}%  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━╌")
}

/// Time left, in one unit or two.
fn coarse(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds.div_ceil(60)),
        6000..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_of_a_large_library_fits_beside_the_bar() {
        let progress = Progress {
            files_done: 12_345,
            files_total: 45_678,
            bytes_done: 36 << 20,
            bytes_total: 229 << 20,
            bytes_per_s: 9_646_899,
            seconds_left: Some(20),
            ..Progress::default()
        };
        let line = progress_line(&progress);
        assert_eq!(line, "12,345 of 45,678 files · 36 of 229 MiB · 20 s left · 9.2 MiB/s");
        assert!("━━━━━━━━ 100%  ".chars().count() + line.chars().count() <= 80 - SPARE_COLUMNS);
        assert_eq!(share(1 << 30, 5 << 30), "1.0 of 5.0 GiB");
        assert_eq!(share(0, 900), "0 of 900 B");
    }
}
