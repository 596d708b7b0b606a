//! Clocks on walls, out of what cameras, containers and file names write. No zone is ever looked up or guessed.
//!
//! A wall clock is milliseconds since 1970 as if it had been UTC.

/// Milliseconds in a minute.
const MINUTE_MS: i64 = 60_000;
/// Nobody is further from UTC: +14:00.
const MOST_OFFSET_MINUTES: i64 = 14 * 60;

/// Milliseconds of a date and a time of day, if there are such. A leap second is one.
fn wall(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // The first photograph is from 1826.
    let fits = (1826..2200).contains(&year)
        && (1..=days).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !fits {
        return None;
    }
    // Years counted from March, in eras of 400 years, so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// The runs of digits in a text, as texts.
fn digit_runs(text: &str) -> Vec<(usize, &str)> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, byte) in text.bytes().enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push((from, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        runs.push((from, &text[from..]));
    }
    runs
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Milliseconds of the digits after the point of a second: `5` is 500, `123456` is 123.
fn fraction_ms(digits: &str) -> i64 {
    let padded: String = digits.chars().chain("000".chars()).take(3).collect();
    number(&padded).unwrap_or(0)
}

/// `2024:05:12 18:30:05` of EXIF, and the other signs between its numbers that programs write. Blanks and zeros mean that
/// nobody set it.
pub fn from_exif(text: &str, subsec: Option<&str>) -> Option<i64> {
    let runs = digit_runs(text);
    let parts: Vec<i64> = runs.iter().take(6).filter_map(|(_, run)| number(run)).collect();
    let ms = match *parts.as_slice() {
        [year, month, day, hour, minute, second] => wall(year, month, day, hour, minute, second)?,
        [year, month, day, hour, minute] => wall(year, month, day, hour, minute, 0)?,
        _ => return None,
    };
    // What is unset in other ways: the beginnings of the usual counts of time.
    if ms == 0 || ms == -2_082_844_800_000 {
        return None;
    }
    let subsec = subsec.map(str::trim).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    Some(ms + subsec.map_or(0, fraction_ms))
}

/// Minutes east of UTC of `+02:00`, `-0330`, `+2:00` or `Z`.
pub fn offset(text: &str) -> Option<i64> {
    let text = text.trim();
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match *digit_runs(text).as_slice() {
        [(1, hours), (_, minutes)] if minutes.len() == 2 => (number(hours)?, number(minutes)?),
        [(1, both)] if both.len() == 4 => (number(&both[..2])?, number(&both[2..])?),
        [(1, hours)] if hours.len() <= 2 => (number(hours)?, 0),
        _ => return None,
    };
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MOST_OFFSET_MINUTES).then_some(sign * total)
}

/// `2024-05-12T18:30:05.250+0200`: the wall clock, and the offset if it says one.
pub fn from_iso(text: &str) -> Option<(i64, Option<i64>)> {
    let text = text.trim();
    let (local, rest) = (text.get(..19)?, text.get(19..)?);
    let (fraction, zone) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => {
            let end = rest.bytes().take_while(u8::is_ascii_digit).count();
            rest.split_at(end)
        }
        None => ("", rest),
    };
    let ms = from_exif(local, Some(fraction))?;
    if zone.is_empty() {
        return Some((ms, None));
    }
    Some((ms, Some(offset(zone)?)))
}

/// The offset between a wall clock and a moment in UTC that is about the same one: a multiple of a quarter of an hour, to
/// the `slack_ms`. `None` if they do not agree about any place on earth.
pub fn offset_between(wall_ms: i64, utc_ms: i64, slack_ms: i64) -> Option<i64> {
    let quarter_ms = 15 * MINUTE_MS;
    let apart = wall_ms - utc_ms;
    let quarters = (apart + quarter_ms / 2).div_euclid(quarter_ms);
    let minutes = quarters * 15;
    let agree = (apart - quarters * quarter_ms).abs() <= slack_ms;
    (agree && minutes.abs() <= MOST_OFFSET_MINUTES).then_some(minutes)
}

/// What a file name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A wall clock.
    Wall(i64),
    /// A moment in UTC, as Pixel phones write it.
    Utc(i64),
    /// A day; its noon.
    Day(i64),
}

/// The date in a name: `IMG_20240512_183005`, `2024-05-12 18.30.05`, `Screenshot_2024-05-12-18-30-05`,
/// `PXL_20240512_163005123`, `IMG-20240512-WA0001`. Years before 1990 are numbers of something else.
pub fn from_name(name: &str) -> Option<Named> {
    let runs = digit_runs(name);
    for (index, (_, run)) in runs.iter().enumerate() {
        let rest: Vec<&str> = runs[index + 1..].iter().map(|(_, run)| *run).collect();
        let Some((date, after)) = date_of(run, &rest) else { continue };
        let Some((hour, minute, second, ms)) = time_of(&after) else {
            return wall(date.0, date.1, date.2, 12, 0, 0).map(Named::Day);
        };
        let Some(at) = wall(date.0, date.1, date.2, hour, minute, second) else {
            return wall(date.0, date.1, date.2, 12, 0, 0).map(Named::Day);
        };
        let is_utc = name.starts_with("PXL_");
        return Some(if is_utc { Named::Utc(at + ms) } else { Named::Wall(at + ms) });
    }
    None
}

type Date = (i64, i64, i64);

/// A date at the beginning of these runs, and the runs after it.
fn date_of<'a>(run: &'a str, rest: &[&'a str]) -> Option<(Date, Vec<&'a str>)> {
    let plausible = |date: Date| {
        let (year, month, day) = date;
        (1990..2100).contains(&year) && wall(year, month, day, 0, 0, 0).is_some()
    };
    if matches!(run.len(), 8 | 14) {
        let date = (number(&run[..4])?, number(&run[4..6])?, number(&run[6..8])?);
        let mut after: Vec<&str> = rest.to_vec();
        if run.len() == 14 {
            after.insert(0, &run[8..]);
        }
        return plausible(date).then_some((date, after));
    }
    if let (4, [month, day, after @ ..]) = (run.len(), rest)
        && (month.len(), day.len()) == (2, 2)
    {
        let date = (number(run)?, number(month)?, number(day)?);
        return plausible(date).then(|| (date, after.to_vec()));
    }
    None
}

/// Hour, minute, second and milliseconds at the beginning of these runs.
fn time_of(runs: &[&str]) -> Option<(i64, i64, i64, i64)> {
    match runs {
        [run, ..] if matches!(run.len(), 6 | 9) => Some((
            number(&run[..2])?,
            number(&run[2..4])?,
            number(&run[4..6])?,
            fraction_ms(&run[6..]),
        )),
        [hour, minute, second, ..] if [hour, minute, second].iter().all(|run| run.len() == 2) => {
            Some((number(hour)?, number(minute)?, number(second)?, 0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_a_moment_a_day_or_nothing() {
        let at = |text| from_exif(text, None).unwrap();
        let evening = at("2024:05:12 18:30:05");
        let noon = Named::Day(at("2024:05:12 12:00:00"));
        for (name, expected) in [
            ("IMG_20240512_183005.jpg", Some(Named::Wall(evening))),
            ("VID_20240512_183005123.mp4", Some(Named::Wall(evening + 123))),
            ("20240512183005.jpg", Some(Named::Wall(evening))),
            ("2024-05-12 18.30.05.png", Some(Named::Wall(evening))),
            ("Screenshot_2024-05-12-18-30-05-12_a.png", Some(Named::Wall(evening))),
            ("signal-2024-05-12-18-30-05-123.jpg", Some(Named::Wall(evening))),
            ("PXL_20240512_183005123.MP.jpg", Some(Named::Utc(evening + 123))),
            ("IMG-20240512-WA0001.jpg", Some(noon)),
            ("2024-05-12.jpg", Some(noon)),
            ("20240512_996199.jpg", Some(noon)),
            ("IMG_1234.JPG", None),
            ("DSC01234.ARW", None),
            ("20241399_000000.jpg", None),
            ("1715531405000.jpg", None),
            ("", None),
        ] {
            assert_eq!(from_name(name), expected, "{name}");
        }
    }

    #[test]
    fn offsets_are_read_in_the_ways_they_are_written_and_no_further() {
        for (text, expected) in [
            ("+02:00", Some(120)),
            ("-03:30", Some(-210)),
            ("+0545", Some(345)),
            ("+2:00", Some(120)),
            ("+14", Some(840)),
            ("Z", Some(0)),
            ("-00:00", Some(0)),
            ("+15:00", None),
            ("02:00", None),
            ("+02:60", None),
            ("", None),
            ("+", None),
            ("CEST", None),
        ] {
            assert_eq!(offset(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wall_and_a_moment_agree_only_about_quarters_of_an_hour() {
        let hour = 3_600_000;
        assert_eq!(offset_between(2 * hour, 0, 1000), Some(120));
        assert_eq!(offset_between(-9 * hour - hour / 2, 0, 1000), Some(-570));
        assert_eq!(offset_between(2 * hour + 1500, 0, 1000), None);
        assert_eq!(offset_between(20 * hour, 0, 1000), None);
        assert_eq!(offset_between(900, 0, 1000), Some(0));
    }

    #[test]
    fn days_are_right_around_leap_days_and_the_epoch() {
        for (text, expected) in [
            ("2000:02:29 23:59:59", Some(951_868_799_000)),
            ("1969:12:31 23:59:59", Some(-1000)),
            ("2023:02:29 00:00:00", None),
            ("1970:01:01 00:00:00", None),
        ] {
            assert_eq!(from_exif(text, None), expected, "{text}");
        }
    }
}
