//! What is left of a budget, written for the next hop.
//!
//! Everything is rounded down, so that the next hop never believes in more time than there is; but never to zero, which
//! some take for "no timeout".

use std::time::Duration;

use super::{DeadlineKind, nanos, relative::GRPC_UNITS};
use crate::utc::push_iso_utc_micros;

const NANOS_PER_MILLI: u64 = 1_000_000;
/// What eight digits can hold.
const GRPC_MOST: u64 = 99_999_999;

/// Appends the value of a deadline header that says "so long from `now_wall_ns`" (nanoseconds since 1970).
///
/// An instant is RFC 3339 in UTC with microseconds; gRPC's timeout has the coarsest unit that holds it exactly within
/// eight digits, or else the finest that holds it at all. `remaining` is without the tolerance for our own clock:
/// [`Budget::tolerance`](super::Budget::tolerance).
pub fn write_remaining(kind: DeadlineKind, remaining: Duration, now_wall_ns: i64, out: &mut Vec<u8>) {
    let remaining = nanos(remaining);
    match kind {
        DeadlineKind::Instant => push_iso_utc_micros(out, now_wall_ns.saturating_add_unsigned(remaining)),
        DeadlineKind::Milliseconds => push_number(out, (remaining / NANOS_PER_MILLI).max(1)),
        DeadlineKind::GrpcTimeout => push_grpc(out, remaining.max(1)),
    }
}

/// Appends a whole header line, `name: value` and CRLF, as an HTTP/1.1 head holds it.
pub fn write_line(name: &str, kind: DeadlineKind, remaining: Duration, now_wall_ns: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    write_remaining(kind, remaining, now_wall_ns, out);
    out.extend_from_slice(b"\r\n");
}

fn push_grpc(out: &mut Vec<u8>, nanos: u64) {
    let fitting = || GRPC_UNITS.iter().filter(|(_, length)| nanos / length <= GRPC_MOST);
    // The units go from coarse to fine, and hours hold five centuries in seven digits: one always fits.
    let exact = fitting().find(|(_, length)| nanos.is_multiple_of(*length));
    if let Some((letter, length)) = exact.or_else(|| fitting().next_back()) {
        push_number(out, nanos / length);
        out.push(*letter);
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
