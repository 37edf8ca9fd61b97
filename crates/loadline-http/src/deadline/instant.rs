//! Absolute deadlines: a point in time, as nanoseconds since 1970-01-01T00:00:00Z.
//!
//! | form | example |
//! |---|---|
//! | RFC 3339 section 5.6 with `Z` or an offset | `2026-11-20T15:27:23.5Z`, `2026-11-20T16:27:23+01:00` |
//! | the same without zone, as Python's `datetime.isoformat()` prints it | `2026-11-20T15:27:23.472284` |
//! | seconds since 1970, ten digits, perhaps a fraction | `1795188443.25` |
//! | milliseconds since 1970, thirteen digits | `1795188443250` |
//! | IMF-fixdate (RFC 9110 section 5.6.7) | `Fri, 20 Nov 2026 15:27:23 GMT` |
//!
//! Fractions have one to nine digits. `T` and `Z` may be lower case, as RFC 3339 allows; a space is no `T`. The weekday of
//! an IMF-fixdate must be that of its date. `-00:00` is UTC. Refused although other parsers take them: leap seconds and
//! `24:00`, which no computer's clock shows; offsets without colon; the obsolete HTTP dates.
//!
//! A time without zone that a change of the clocks skips or repeats means the later of the two instants it could be: a
//! request is then rather served in vain than refused while its client waits.

use super::{Zone, calendar::Written, decimal, layout::Layout};
use crate::utc::NANOS_PER_SECOND;

/// Ten digits: 2001-09-09 to 2286-11-20.
const SECONDS_DIGITS: usize = 10;
/// Thirteen digits: the same years.
const MILLIS_DIGITS: usize = 13;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// `None` for what has none of the forms above, or lies outside the years 1678 to 2261.
pub(super) fn parse(value: &[u8], zone: &Zone) -> Option<i64> {
    match *value {
        [_, _, _, _, b'-', ..] => iso(value, zone),
        [_, _, _, b',', ..] => imf_fixdate(value),
        _ => epoch(value),
    }
}

fn epoch(value: &[u8]) -> Option<i64> {
    let decimal = decimal::parse(value)?;
    let whole = i64::try_from(decimal.whole).ok()?;
    match (decimal.digits, decimal.fraction) {
        (SECONDS_DIGITS, fraction) => join(whole, fraction.unwrap_or(0)),
        (MILLIS_DIGITS, None) => whole.checked_mul(NANOS_PER_MILLI),
        _ => None,
    }
}

fn iso(value: &[u8], zone: &Zone) -> Option<i64> {
    let (text, rest) = value.split_first_chunk::<19>()?;
    let written = date_and_time(text)?;
    let seconds = written.seconds()?;
    let (nanos, rest) = match rest {
        [b'.', rest @ ..] => {
            let (nanos, digits) = decimal::fraction(rest)?;
            (nanos, &rest[digits..])
        }
        _ => (0, rest),
    };
    let offset = match *rest {
        [] => zone.offset_of(written)?,
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(h1, h2)?, pair(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let east = i64::from(hours * 3_600 + minutes * 60);
            if sign == b'-' { -east } else { east }
        }
        _ => return None,
    };
    join(seconds - offset, nanos)
}

/// `YYYY-MM-DDThh:mm:ss`, two of three words overlapping by what they have in common.
fn date_and_time(text: &[u8; 19]) -> Option<Written> {
    const DATE: Layout = Layout::new(b"0000-00-");
    const MIDDLE: Layout = Layout::new(b"00t00:00");
    const TIME: Layout = Layout::new(b"00:00:00");
    let &[y1, y2, y3, y4, s1, n1, n2, s2, d1, d2, t, h1, h2, s3, m1, m2, ..] = text;
    let date = DATE.digits([y1, y2, y3, y4, s1, n1, n2, s2])?;
    // Only `T` and `t` become `t`.
    let middle = MIDDLE.digits([d1, d2, t | 0x20, h1, h2, s3, m1, m2])?;
    let time = TIME.digits(*text.last_chunk::<8>()?)?;
    let number = |tens: u8, ones: u8| u32::from(tens) * 10 + u32::from(ones);
    Some(Written {
        year: number(date[0], date[1]) * 100 + number(date[2], date[3]),
        month: number(date[5], date[6]),
        day: number(middle[0], middle[1]),
        hour: number(time[0], time[1]),
        minute: number(time[3], time[4]),
        second: number(time[6], time[7]),
    })
}

/// `Fri, 20 Nov 2026 15:27:23 GMT`: fixed length, case-sensitive.
fn imf_fixdate(value: &[u8]) -> Option<i64> {
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let &[w1, w2, w3, b',', b' ', d1, d2, b' ', n1, n2, n3, b' ', y1, y2, y3, y4, b' ', ref clock @ ..] =
        value
    else {
        return None;
    };
    let &[h1, h2, b':', m1, m2, b':', s1, s2, b' ', b'G', b'M', b'T'] = clock else { return None };
    let month = MONTHS.iter().position(|name| **name == [n1, n2, n3])?;
    let written = Written {
        year: pair(y1, y2)? * 100 + pair(y3, y4)?,
        month: month as u32 + 1,
        day: pair(d1, d2)?,
        hour: pair(h1, h2)?,
        minute: pair(m1, m2)?,
        second: pair(s1, s2)?,
    };
    let seconds = written.seconds()?;
    (*WEEKDAYS[written.weekday()] == [w1, w2, w3]).then_some(())?;
    join(seconds, 0)
}

/// The number that two digits make.
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

fn join(seconds: i64, nanos: u32) -> Option<i64> {
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(i64::from(nanos))
}

#[cfg(all(test, feature = "local-time"))]
mod tests;
