//! Deadlines as a duration from the start of the request, in nanoseconds; longer than five centuries is five centuries.

use super::decimal;

const NANOS_PER_MILLI: u64 = 1_000_000;
/// More than any timeout, and the product with a unit still saturates instead of wrapping.
const MILLIS_DIGITS: usize = 15;
/// gRPC over HTTP/2, "Timeout": at most eight digits.
const GRPC_DIGITS: usize = 8;

/// gRPC's units, the coarsest first, with their length in nanoseconds.
pub(super) const GRPC_UNITS: [(u8, u64); 6] = [
    (b'H', 3_600_000_000_000),
    (b'M', 60_000_000_000),
    (b'S', 1_000_000_000),
    (b'm', 1_000_000),
    (b'u', 1_000),
    (b'n', 1),
];

/// A whole number of milliseconds, 1 to 15 digits, not zero: to some senders 0 means "no timeout", to others "no time
/// left", so it is taken for neither.
pub(super) fn milliseconds(value: &[u8]) -> Option<u64> {
    let millis = decimal::whole(value, MILLIS_DIGITS)?;
    (millis > 0).then(|| millis.saturating_mul(NANOS_PER_MILLI))
}

/// `TimeoutValue TimeoutUnit`: 1 to 8 digits and one of `H M S m u n`.
///
/// The protocol asks for a positive number; libraries send `0n` when no time is left, so zero is a deadline that has passed.
pub(super) fn grpc_timeout(value: &[u8]) -> Option<u64> {
    let (unit, number) = value.split_last()?;
    let number = decimal::whole(number, GRPC_DIGITS)?;
    let (_, nanos) = GRPC_UNITS.iter().find(|(letter, _)| letter == unit)?;
    Some(number.saturating_mul(*nanos))
}
