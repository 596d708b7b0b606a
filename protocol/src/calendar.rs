//! The calendar, without time zones: days since 1970 as people write them.

/// Names of the months in English, January first.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Year, month (from 1) and day of a day since 1970 in the Gregorian calendar. Years are counted from March, so that leap
/// days come last, in eras of 400 years.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970 of a date of the Gregorian calendar; the inverse of [`civil_from_days`]. Months count from 1.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A day since 1970 as `2024-05-12`.
pub fn day_text(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads `2024-05-12`; `None` for anything else, also for days that no month has.
pub fn read_day(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let days = days_from_civil(date.0, date.1, date.2);
    (civil_from_days(days) == date).then_some(days)
}

/// A clock on the wall, in milliseconds as if it had been UTC, as `2024-05-12T18:30:05`.
pub fn wall_text(wall_ms: i64) -> String {
    let (days, second) = (wall_ms.div_euclid(DAY_MS), wall_ms.rem_euclid(DAY_MS) / 1000);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{}T{hour:02}:{minute:02}:{:02}", day_text(days), second % 60)
}

/// Reads `2024-05-12T18:30:05`, with or without a fraction of a second, into milliseconds as if it had been UTC. A leap second
/// is the second before it.
pub fn read_wall(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (day, time) = (whole.get(..10)?, whole.get(10..)?);
    let bytes = time.as_bytes();
    if bytes.len() != 9 || bytes[0] != b'T' || bytes[3] != b':' || bytes[6] != b':' {
        return None;
    }
    let number = |part: &str, below: i64| -> Option<i64> {
        let fits = part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|value| fits && *value < below)
    };
    let hour = number(time.get(1..3)?, 24)?;
    let minute = number(time.get(4..6)?, 60)?;
    let second = number(time.get(7..9)?, 61)?.min(59);
    let milli = number(fraction.get(..fraction.len().min(3))?, 1000)?;
    let milli = milli * 10_i64.pow(3 - u32::try_from(fraction.len().min(3)).ok()?);
    Some(read_day(day)? * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 + milli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_right_around_leap_days_centuries_and_the_epoch() {
        let cases = [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_541, (2100, 3, 1)),
            (-719_468, (0, 3, 1)),
        ];
        for (days, date) in cases {
            assert_eq!(civil_from_days(days), date, "{days}");
        }
    }
    #[test]
    fn dates_and_wall_clocks_read_back_and_nonsense_is_none() {
        for days in [-719_468, -1, 0, 59, 11_016, 11_017, 20_778, 2_932_896] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert_eq!(read_day(&day_text(days)), Some(days), "{}", day_text(days));
        }
        assert_eq!(read_wall("2024-05-12T18:30:05"), Some(1_715_538_605_000));
        assert_eq!(read_wall("2024-05-12T18:30:05.25"), Some(1_715_538_605_250));
        assert_eq!(read_wall("1969-12-31T23:59:59.9999"), Some(-1));
        assert_eq!(wall_text(-1), "1969-12-31T23:59:59");
        assert_eq!(wall_text(1_715_538_605_250), "2024-05-12T18:30:05");
        for text in ["", "2024-02-30", "2024-13-01", "2024-1-01", "+024-01-01", "2024-05-12T"] {
            assert_eq!((read_day(text), read_wall(text)), (None, None), "{text}");
        }
        for text in [
            "2024-05-12T24:00:00",
            "2024-05-12T18:30",
            "2024-05-12 18:30:05",
            "2024-05-12T18:30:05Z",
        ] {
            assert_eq!(read_wall(text), None, "{text}");
        }
    }
}
