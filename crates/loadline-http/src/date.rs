//! Calendar text for log lines: seconds since the epoch to the few layouts that logs use.
//!
//! Turning an instant into a date is the dearest part of a log line, and thousands of lines share one second. So
//! each thread remembers the last second it converted, per zone. The local zone is read from the system once, the
//! first time a line needs it: rendering never waits for a disk. A change of the machine's zone therefore needs a
//! restart; a change of summer time does not.

use std::cell::Cell;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use crate::utc::NANOS_PER_SECOND;
use crate::zone::local_zone;

const NANOS_PER_MICRO: i64 = 1_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Which clock face a date is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    Local,
    Utc,
}

/// One second of wall-clock time in a zone. `offset` is seconds east of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    offset: i32,
}

/// The date of an instant, given in nanoseconds since the epoch.
pub(crate) fn civil(epoch_nanos: i64, zone: Zone) -> Civil {
    let second = epoch_nanos.div_euclid(NANOS_PER_SECOND);
    LAST.with(|last| {
        let slot = &last[zone as usize];
        match slot.get() {
            Some((known, date)) if known == second => date,
            _ => {
                let date = match zone {
                    Zone::Utc => civil_in(second, &TimeZone::UTC),
                    Zone::Local => civil_in(second, local_zone()),
                };
                slot.set(Some((second, date)));
                date
            }
        }
    })
}

/// Milliseconds within the second, 0 to 999.
pub(crate) fn millis(epoch_nanos: i64) -> u32 {
    (epoch_nanos.rem_euclid(NANOS_PER_SECOND) / NANOS_PER_MILLI) as u32
}

/// Microseconds within the second, 0 to 999,999.
fn micros(epoch_nanos: i64) -> u32 {
    (epoch_nanos.rem_euclid(NANOS_PER_SECOND) / NANOS_PER_MICRO) as u32
}

/// `20/Nov/2026:15:27:23`, the common log date without fraction or offset.
pub(crate) fn push_clf(out: &mut Vec<u8>, date: Civil) {
    push_two(out, date.day);
    out.push(b'/');
    out.extend_from_slice(month_name(date));
    out.push(b'/');
    push_padded(out, year(date), 4);
    out.push(b':');
    push_clock(out, date);
}

/// ` +0000`, the offset as it follows a common log date.
pub(crate) fn push_clf_offset(out: &mut Vec<u8>, date: Civil) {
    out.push(b' ');
    push_offset(out, date, false);
}

/// `2026-11-20T15:27:54.505710+00:00`: ISO 8601 with microseconds and a numeric offset, as RFC 5424 section 6.2.3 allows.
pub(crate) fn push_iso_micros(out: &mut Vec<u8>, epoch_nanos: i64) {
    let date = civil(epoch_nanos, Zone::Local);
    push_iso_second(out, date);
    out.push(b'.');
    push_padded(out, micros(epoch_nanos), 6);
    push_offset(out, date, true);
}

/// `2026-11-20T15:27:54.505Z`: ISO 8601 in UTC with milliseconds, the form that log stores sort as text.
pub(crate) fn push_iso_utc_millis(out: &mut Vec<u8>, epoch_nanos: i64) {
    push_iso_second(out, civil(epoch_nanos, Zone::Utc));
    out.push(b'.');
    push_padded(out, millis(epoch_nanos), 3);
    out.push(b'Z');
}

/// `Nov 20 15:27:52`, local time, the day padded with a space (RFC 3164 section 4.1.2).
pub(crate) fn push_rfc3164(out: &mut Vec<u8>, epoch_nanos: i64) {
    let date = civil(epoch_nanos, Zone::Local);
    out.extend_from_slice(month_name(date));
    out.push(b' ');
    if date.day < 10 {
        out.push(b' ');
        out.push(b'0' + date.day as u8);
    } else {
        push_two(out, date.day);
    }
    out.push(b' ');
    push_clock(out, date);
}

/// `seconds` formatted by a `strftime` pattern. `None` if the pattern or the instant is out of range.
pub(crate) fn strftime(seconds: i64, pattern: &str, zone: Zone) -> Option<String> {
    let timezone = match zone {
        Zone::Utc => TimeZone::UTC,
        Zone::Local => local_zone().clone(),
    };
    let instant = Timestamp::from_second(seconds).ok()?.to_zoned(timezone);
    jiff::fmt::strtime::format(pattern, &instant).ok()
}

/// Decimal digits of `value`, padded with zeros on the left to at least `width` (up to 10).
pub(crate) fn push_padded(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}

thread_local! {
    static LAST: [Cell<Option<(i64, Civil)>>; 2] = const { [Cell::new(None), Cell::new(None)] };
}

fn civil_in(second: i64, zone: &TimeZone) -> Civil {
    // An instant outside jiff's years −9999 to 9999 cannot come from a clock; it must not panic either.
    let instant = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = zone.to_offset(instant);
    let date = offset.to_datetime(instant);
    Civil {
        year: date.year(),
        month: date.month(),
        day: date.day(),
        hour: date.hour(),
        minute: date.minute(),
        second: date.second(),
        offset: offset.seconds(),
    }
}

fn year(date: Civil) -> u32 {
    u32::try_from(date.year).unwrap_or(0)
}

fn month_name(date: Civil) -> &'static [u8; 3] {
    MONTHS[usize::try_from(date.month - 1).unwrap_or(0) % MONTHS.len()]
}

fn push_two(out: &mut Vec<u8>, value: i8) {
    let value = value.unsigned_abs() % 100;
    out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10]);
}

fn push_clock(out: &mut Vec<u8>, date: Civil) {
    push_two(out, date.hour);
    out.push(b':');
    push_two(out, date.minute);
    out.push(b':');
    push_two(out, date.second);
}

fn push_iso_second(out: &mut Vec<u8>, date: Civil) {
    push_padded(out, year(date), 4);
    out.push(b'-');
    push_two(out, date.month);
    out.push(b'-');
    push_two(out, date.day);
    out.push(b'T');
    push_clock(out, date);
}

fn push_offset(out: &mut Vec<u8>, date: Civil, colon: bool) {
    let minutes = date.offset / 60;
    out.push(if minutes < 0 { b'-' } else { b'+' });
    push_two(out, (minutes.abs() / 60) as i8);
    if colon {
        out.push(b':');
    }
    push_two(out, (minutes.abs() % 60) as i8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANT: i64 = 1_795_188_443_726_505_710; // 2026-11-20T15:27:23.726505710Z

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn common_log_date_in_utc_and_elsewhere() {
        let utc = civil(INSTANT, Zone::Utc);
        assert_eq!(text(|o| push_clf(o, utc)), "20/Nov/2026:15:27:23");
        assert_eq!(text(|o| push_clf_offset(o, utc)), " +0000");

        let nepal = civil_in(
            INSTANT / NANOS_PER_SECOND,
            &TimeZone::fixed(jiff::tz::Offset::from_seconds(20_700).unwrap()),
        );
        assert_eq!(text(|o| push_clf(o, nepal)), "20/Nov/2026:21:12:23");
        assert_eq!(text(|o| push_clf_offset(o, nepal)), " +0545");

        let newfoundland = civil_in(
            INSTANT / NANOS_PER_SECOND,
            &TimeZone::fixed(jiff::tz::Offset::from_seconds(-12_600).unwrap()),
        );
        assert_eq!(text(|o| push_clf_offset(o, newfoundland)), " -0330");
    }

    #[test]
    fn iso_with_milliseconds_in_utc() {
        assert_eq!(text(|o| push_iso_utc_millis(o, INSTANT)), "2026-11-20T15:27:23.726Z");
    }

    #[test]
    fn the_cache_follows_the_second_in_both_directions() {
        let later = civil(INSTANT + NANOS_PER_SECOND, Zone::Utc);
        let earlier = civil(INSTANT, Zone::Utc);
        assert_eq!((earlier.second, later.second), (23, 24));
    }

    #[test]
    fn before_the_epoch_and_past_the_calendar_do_not_panic() {
        for nanos in [-1, i64::MIN, i64::MAX] {
            for zone in [Zone::Local, Zone::Utc] {
                text(|o| push_clf(o, civil(nanos, zone)));
            }
            text(|o| push_rfc3164(o, nanos));
        }
        assert_eq!(millis(-1), 999);
    }
}
