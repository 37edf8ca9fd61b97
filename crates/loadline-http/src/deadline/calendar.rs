//! Dates of the proleptic Gregorian calendar to seconds since 1970, with every field checked.
//!
//! Days are counted as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the
//! leap day is the last of its year. Worked: 2026-11-20 is day 20,777, and 20,777 × 86,400 s is 1,795,132,800 s,
//! 2026-11-20T00:00:00Z.

const SECONDS_PER_DAY: i64 = 86_400;

/// A date and a time of day, as written; nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl Written {
    /// Seconds since 1970-01-01T00:00:00 on the same clock face. `None` if there is no such date or time of day.
    ///
    /// 24:00 and the leap second :60 are not times that a computer's clock shows.
    pub(super) fn seconds(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(self.days() * SECONDS_PER_DAY + i64::from(hour * 3_600 + minute * 60 + second))
    }

    /// 0 for Sunday to 6 for Saturday, of a date that exists.
    pub(super) fn weekday(self) -> usize {
        // Day 0 was a Thursday.
        (self.days() + 4).rem_euclid(7) as usize
    }

    /// Days since 1970-01-01 of a date that exists.
    fn days(self) -> i64 {
        /// A whole cycle of leap years, so that January and February of the year 0 have a year before them.
        const CYCLE_YEARS: u32 = 400;
        const CYCLE_DAYS: i64 = 146_097;
        /// Days from 0000-03-01 to 1970-01-01.
        const TO_1970: i64 = 719_468;
        let from_march = (self.month + 9) % 12;
        let year = self.year + CYCLE_YEARS - u32::from(self.month <= 2);
        let before_year = year * 365 + year / 4 - year / 100 + year / 400;
        let before_month = (153 * from_march + 2) / 5;
        i64::from(before_year + before_month + self.day) - 1 - CYCLE_DAYS - TO_1970
    }
}

/// `month` is 1 to 12.
fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: u32, month: u32, day: u32) -> Written {
        Written { year, month, day, hour: 0, minute: 0, second: 0 }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before_and_agrees_with_jiff() {
        let mut expected = jiff::civil::date(1900, 1, 1);
        let mut last = date(1900, 1, 1).seconds().unwrap() - SECONDS_PER_DAY;
        while expected.year() < 2300 {
            let ours = date(expected.year() as u32, expected.month() as u32, expected.day() as u32);
            let seconds = ours.seconds().unwrap();
            assert_eq!(seconds, last + SECONDS_PER_DAY, "{expected}");
            assert_eq!(ours.weekday() as i8, expected.weekday().to_sunday_zero_offset(), "{expected}");
            last = seconds;
            expected = expected.tomorrow().unwrap();
        }
        assert_eq!(date(2026, 11, 20).seconds(), Some(1_795_132_800));
        assert_eq!(date(1970, 1, 1).seconds(), Some(0));
    }

    #[test]
    fn dates_that_do_not_exist() {
        for (year, month, day) in [
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 1, 0),
            (2026, 1, 32),
            (2026, 2, 29),
            (2100, 2, 29),
            (2026, 4, 31),
        ] {
            assert_eq!(date(year, month, day).seconds(), None, "{year}-{month}-{day}");
            assert!(jiff::civil::Date::new(year as i16, month as i8, day as i8).is_err());
        }
        assert!(date(2000, 2, 29).seconds().is_some());
        assert!(date(0, 2, 29).seconds().is_some());
    }
}
