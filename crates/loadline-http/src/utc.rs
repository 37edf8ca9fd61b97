//! RFC 3339 in UTC, without a time-zone library: a deadline that is passed on needs no more.
//!
//! Days become dates as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the
//! leap day is the last of its year. Worked: 20,777 days after 1970-01-01 is 2026-11-20.

pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;
/// Of 400 years, after which the calendar repeats.
const DAYS_OF_CYCLE: i64 = 146_097;

/// `2026-11-20T15:27:54.505710Z`, of nanoseconds since the epoch: the years 1677 to 2262.
pub(crate) fn push_iso_utc_micros(out: &mut Vec<u8>, epoch_nanos: i64) {
    let seconds = epoch_nanos.div_euclid(NANOS_PER_SECOND);
    let micros = epoch_nanos.rem_euclid(NANOS_PER_SECOND) / NANOS_PER_MICRO;
    let (days, of_day) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = date(days);
    for (number, digits, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3_600, 2, b':'),
        (of_day / 60 % 60, 2, b':'),
        (of_day % 60, 2, b'.'),
        (micros, 6, b'Z'),
    ] {
        push_digits(out, number, digits);
        out.push(after);
    }
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let since = days + DAYS_TO_1970;
    let (cycle, day_of_cycle) = (since.div_euclid(DAYS_OF_CYCLE), since.rem_euclid(DAYS_OF_CYCLE));
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

fn push_digits(out: &mut Vec<u8>, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10_i64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_centuries_are_written_as_jiff_writes_them() {
        let mut text = Vec::new();
        // Some 37 hours and no divisor of a day, so that every time of day occurs.
        for nanos in (i64::MIN..=i64::MAX).step_by(133_333_000_011_000) {
            text.clear();
            push_iso_utc_micros(&mut text, nanos);
            let instant = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
            let expected = instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            assert_eq!(String::from_utf8_lossy(&text), expected);
        }
    }
}
