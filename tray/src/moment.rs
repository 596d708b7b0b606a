//! A moment as the clock on the wall shows it: for people to read, not to count with.

use photosync_protocol::calendar::civil_from_days;
use serde::{Deserialize, Serialize};

/// A day and a minute, in the time zone of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Days since 1970.
    pub day: i64,
    /// Minutes since midnight.
    pub minute: u16,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = jiff::Zoned::now();
        let epoch = jiff::civil::date(1970, 1, 1);
        // Every date the clock can show is within reach of the subtraction.
        let days = now.date().since(epoch).map_or(0, |span| i64::from(span.get_days()));
        let minute =
            u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        Self { day: days, minute }
    }

    /// How people write it, on a given day: `today 14:03`, `yesterday 9:00`, `2026-11-03 14:03`.
    pub fn told_on(self, today: i64) -> String {
        let time = format!("{}:{:02}", self.minute / 60, self.minute % 60);
        match today - self.day {
            0 => format!("today {time}"),
            1 => format!("yesterday {time}"),
            _ => {
                let (year, month, day) = civil_from_days(self.day);
                format!("{year}-{month:02}-{day:02} {time}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_as_people_do_and_the_clock_can_be_read() {
        let at = Moment { day: 20_778, minute: 843 };
        assert_eq!(at.told_on(20_778), "today 14:03");
        assert_eq!(at.told_on(20_779), "yesterday 14:03");
        assert_eq!(at.told_on(20_790), "2026-11-21 14:03");
        let now = Moment::now();
        assert!(now.day > 20_000 && now.minute < 1440, "{now:?}");
    }
}
