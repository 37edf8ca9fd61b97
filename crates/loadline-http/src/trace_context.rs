//! `traceparent`: which trace a request belongs to (W3C Trace Context, level 1, section 3.2).
//!
//! A request's trace is named in the log, at a histogram's bucket and in the spans that the proxy sends. The header is read
//! strictly, as the specification asks: what is not valid is no trace, and is still passed on as it came. `tracestate`
//! belongs to others and is not read at all.

use std::fmt;

/// Length of `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;

/// Bit of the flags that says that the trace is recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// A trace's id: 16 bytes, not all zero. Shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span's id within its trace: 8 bytes, not all zero. Shown as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A valid `traceparent`. Shown as version 00 of the header writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The whole trace.
    pub trace: TraceId,
    /// The span that the request is part of.
    pub span: SpanId,
    /// The flags as they came; only the lowest bit has a meaning yet.
    pub flags: u8,
}

impl TraceId {
    /// `None` for zero, which is no id.
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then(|| Self(id.to_be_bytes()))
    }

    /// The 32 digits, without allocating.
    pub fn digits(&self) -> [u8; 32] {
        let mut digits = [0; 32];
        write_digits(&self.0, &mut digits);
        digits
    }
}

impl SpanId {
    /// `None` for zero, which is no id.
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then(|| Self(id.to_be_bytes()))
    }
}

impl TraceParent {
    /// Reads the value of a `traceparent` header.
    ///
    /// Digits are lower-case, ids are not zero, version `ff` does not exist, and version 00 ends where the flags do. A later
    /// version may have more behind them, after a dash.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, more) = value.split_at_checked(LENGTH)?;
        if [head[2], head[35], head[52]] != *b"---" {
            return None;
        }
        let version = read_digits::<1>(&head[..2])?[0];
        let extended = version > 0 && more.first() == Some(&b'-');
        if version == 0xff || !(more.is_empty() || extended) {
            return None;
        }
        Some(Self {
            trace: TraceId::new(u128::from_be_bytes(read_digits(&head[3..35])?))?,
            span: SpanId::new(u64::from_be_bytes(read_digits(&head[36..52])?))?,
            flags: read_digits::<1>(&head[53..])?[0],
        })
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The parent of what happens below `span` in a trace that is recorded.
    pub fn sampled(trace: TraceId, span: SpanId) -> Self {
        Self { trace, span, flags: SAMPLED }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn read_digits<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value_of(pair[0])? << 4 | value_of(pair[1])?;
    }
    Some(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn write_digits(bytes: &[u8], digits: &mut [u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_header_is_read_and_written_back() {
        let parent = TraceParent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(parent.to_string(), EXAMPLE);
        assert_eq!(parent.trace.to_string().as_bytes(), parent.trace.digits());
        assert!(parent.is_sampled());
        let unsampled = EXAMPLE.replace("-01", "-00");
        assert!(!TraceParent::parse(unsampled.as_bytes()).unwrap().is_sampled());
    }

    #[test]
    fn what_the_specification_calls_invalid_is_no_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        for invalid in [
            "",
            "00",
            &EXAMPLE[..54],
            &format!("{EXAMPLE}-more"),
            &format!("{EXAMPLE} "),
            &EXAMPLE.to_uppercase(),
            &EXAMPLE.replacen("00", "ff", 1),
            &EXAMPLE.replacen("00", "0g", 1),
            &EXAMPLE.replacen('-', "_", 1),
            &zero_trace,
            &zero_span,
        ] {
            assert_eq!(TraceParent::parse(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = EXAMPLE.replacen("00", "cc", 1);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}-what-else").as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}.what-else").as_bytes()).is_none());
    }
}
