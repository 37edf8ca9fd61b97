//! How long a request waited before it came here, as load balancers report it.
//!
//! `X-Request-Start` and `X-Queue-Start` hold the time of arrival, with or without `t=`. nginx writes seconds with a
//! fraction, Heroku milliseconds, Apache microseconds; nobody writes the unit. The number of digits before the point tells
//! it: 10 are seconds, 13 milliseconds, 16 microseconds, 19 nanoseconds, each from 2001 to 2286 (nanoseconds to 2262).

use super::decimal::{self, Decimal};

const BILLION: u64 = 1_000_000_000;

/// Nanoseconds since 1970 at which the first hop saw the request.
pub(super) fn since(value: &[u8]) -> Option<i64> {
    let number = decimal::parse(value.strip_prefix(b"t=").unwrap_or(value))?;
    let unit = match number.digits {
        10 => BILLION,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    i64::try_from(scaled(number, unit)?).ok()
}

/// Nanoseconds that `X-Queue-Time-Seconds` tells: a decimal number, finite and without sign by its grammar.
pub(super) fn seconds(value: &[u8]) -> Option<u64> {
    scaled(decimal::parse(value)?, BILLION)
}

/// `number` units of so many nanoseconds, at most a billion; what is finer than a nanosecond is cut off.
fn scaled(number: Decimal, unit: u64) -> Option<u64> {
    let fraction = u64::from(number.fraction.unwrap_or(0)) * unit / BILLION;
    number.whole.checked_mul(unit)?.checked_add(fraction)
}
