//! When a picture was taken: which witness is believed, in an order that does not depend on the server or its zone.
//!
//! The order stands in docs/decisions/0028: EXIF when taken, a container with an offset, the photo library, a sidecar, EXIF when
//! scanned, GPS, EXIF when changed, a container in UTC, the name, the file's time, the arrival. Who knows a wall clock
//! comes before who knows a moment.

use photosync_protocol::v2::claims::{CaptureSource, Captured, Claims};

use super::facts::{ExifTimes, Times};
use super::times::{self, Named};

/// A moment this long after the arrival is no time of taking: the clock of the camera was wrong.
const MOST_AHEAD_MS: i64 = 2 * 24 * 60 * 60 * 1000;
/// A receiver of GPS may tell a time that is so old.
const GPS_SLACK_MS: i64 = 90_000;
/// A video's container may tell its end and the name its beginning.
const NAME_SLACK_MS: i64 = 150_000;
/// Times of files before 1971 are nobody's.
const FIRST_FILE_TIME_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// Everybody who says something.
#[derive(Debug, Clone, Copy)]
pub struct Witnesses<'a> {
    /// What is in the file.
    pub times: &'a Times,
    /// What devices said of it, the one that told first coming first.
    pub claims: &'a [Claims],
    /// Its listed name.
    pub name: &'a str,
    /// When it came.
    pub arrived_at_ms: i64,
}

/// The clock on the wall when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Milliseconds as if it had been UTC.
    pub ms: i64,
    /// Minutes east of UTC, if a witness says so.
    pub offset_minutes: Option<i64>,
    /// Who was believed: column `assets.taken_source`.
    pub source: &'static str,
}

impl Taken {
    fn new(source: &'static str, ms: i64, offset_minutes: Option<i64>) -> Self {
        Self { ms, offset_minutes, source }
    }
}

/// The first witness in the order above who says something possible.
pub fn taken(witnesses: Witnesses<'_>) -> Taken {
    let exif = &witnesses.times.exif;
    let in_order = [
        original(exif),
        local_of_container(witnesses.times),
        claimed(witnesses.claims, &[CaptureSource::Library, CaptureSource::Unknown]),
        claimed(witnesses.claims, &[CaptureSource::Sidecar]),
        digitized(exif),
        gps(exif),
        changed(exif),
        utc_of_container(witnesses),
        named(witnesses.name),
        claimed(witnesses.claims, &[CaptureSource::FileTime]),
        file_time(witnesses.claims),
    ];
    let latest_ms = witnesses.arrived_at_ms.saturating_add(MOST_AHEAD_MS);
    let believed = in_order.into_iter().flatten().find(|taken| taken.ms <= latest_ms);
    believed.unwrap_or(Taken::new("arrival", witnesses.arrived_at_ms, None))
}

fn original(exif: &ExifTimes) -> Option<Taken> {
    let text = exif.original.as_deref()?;
    let ms = times::from_exif(text, exif.original_subsec.as_deref())?;
    let said = exif.original_offset.as_deref().and_then(times::offset);
    Some(Taken::new("exif", ms, said.or_else(|| offset_elsewhere(exif, text, ms))))
}

/// `OffsetTime` is about `DateTime`: it counts for another time only if that is the same.
fn offset_elsewhere(exif: &ExifTimes, text: &str, ms: i64) -> Option<i64> {
    let same = exif.changed.as_deref().map(str::trim) == Some(text.trim());
    let of_same = exif.changed_offset.as_deref().filter(|_| same).and_then(times::offset);
    of_same.or_else(|| times::offset_between(ms, gps_ms(exif)?, GPS_SLACK_MS))
}

fn gps_ms(exif: &ExifTimes) -> Option<i64> {
    let (date, time) = (exif.gps_date.as_deref()?, exif.gps_time.as_deref()?);
    times::from_exif(&format!("{date} {time}"), None)
}

/// The satellites know the moment, but no wall: it is shown as it is, in UTC, without an offset.
fn gps(exif: &ExifTimes) -> Option<Taken> {
    Some(Taken::new("gps", gps_ms(exif)?, None))
}

fn digitized(exif: &ExifTimes) -> Option<Taken> {
    let text = exif.digitized.as_deref()?;
    let ms = times::from_exif(text, exif.digitized_subsec.as_deref())?;
    let said = exif.digitized_offset.as_deref().and_then(times::offset);
    Some(Taken::new("exif", ms, said.or_else(|| offset_elsewhere(exif, text, ms))))
}

fn changed(exif: &ExifTimes) -> Option<Taken> {
    let ms = times::from_exif(exif.changed.as_deref()?, None)?;
    Some(Taken::new("exif", ms, exif.changed_offset.as_deref().and_then(times::offset)))
}

fn local_of_container(said: &Times) -> Option<Taken> {
    let (ms, offset) = times::from_iso(said.container_local.as_deref()?)?;
    Some(Taken::new("container", ms, offset))
}

/// The moment of a container has no wall clock; the name may have one, and then both together have an offset.
fn utc_of_container(witnesses: Witnesses<'_>) -> Option<Taken> {
    let utc_ms = witnesses.times.container_utc_ms?;
    if let Some(Named::Wall(wall_ms)) = times::from_name(witnesses.name)
        && let Some(offset) = times::offset_between(wall_ms, utc_ms, NAME_SLACK_MS)
    {
        return Some(Taken::new("container", wall_ms, Some(offset)));
    }
    Some(Taken::new("container", utc_ms, None))
}

fn named(name: &str) -> Option<Taken> {
    let (Named::Wall(ms) | Named::Utc(ms) | Named::Day(ms)) = times::from_name(name)?;
    Some(Taken::new("name", ms, None))
}

fn claimed(claims: &[Claims], sources: &[CaptureSource]) -> Option<Taken> {
    // In the order of sources first: a library is believed before somebody who does not say where from.
    sources.iter().find_map(|source| {
        let said = claims.iter().filter_map(|claims| claims.captured.as_ref());
        said.filter(|captured| captured.source == *source).find_map(of_claim)
    })
}

fn of_claim(captured: &Captured) -> Option<Taken> {
    let (ms, _) = times::from_iso(&captured.local)?;
    let source = match captured.source {
        CaptureSource::Library | CaptureSource::Unknown => "library",
        CaptureSource::Sidecar => "sidecar",
        CaptureSource::FileTime => "file_time",
    };
    Some(Taken::new(source, ms, captured.offset_minutes.map(i64::from)))
}

/// The oldest time of change that a device knows: copying makes it newer, never older.
fn file_time(claims: &[Claims]) -> Option<Taken> {
    let known = claims.iter().filter_map(|claims| claims.modified_ms);
    let oldest = known.filter(|ms| *ms >= FIRST_FILE_TIME_MS).min()?;
    Some(Taken::new("file_time", oldest, None))
}

#[cfg(test)]
#[path = "rules_table.rs"]
mod table;
