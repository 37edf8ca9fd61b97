//! Which headers are read, and how.

use std::{fmt, time::Duration};

use super::{HeaderSet, Zone};

/// A set of lengths must fit 64 bits.
pub(super) const LONGEST_NAME: usize = 63;

/// The headers that [`Default`] reads, and the kind of each well-known name.
const KNOWN: [(&str, HeaderKind); 8] = [
    ("x-respond-by", HeaderKind::Deadline(DeadlineKind::Instant)),
    ("x-request-deadline", HeaderKind::Deadline(DeadlineKind::Instant)),
    ("grpc-timeout", HeaderKind::Deadline(DeadlineKind::GrpcTimeout)),
    ("x-envoy-expected-rq-timeout-ms", HeaderKind::Deadline(DeadlineKind::Milliseconds)),
    ("x-request-timeout-ms", HeaderKind::Deadline(DeadlineKind::Milliseconds)),
    ("x-request-start", HeaderKind::Age(AgeKind::Since)),
    ("x-queue-start", HeaderKind::Age(AgeKind::Since)),
    ("x-queue-time-seconds", HeaderKind::Age(AgeKind::Seconds)),
];

/// What a header's value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderKind {
    /// Until when, or for how long, the client waits. Read from anyone.
    Deadline(DeadlineKind),
    /// How long the request has waited already. Read from trusted hops only.
    Age(AgeKind),
}

impl HeaderKind {
    /// The kind of a well-known header, by its lower-case name.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        KNOWN.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// How a deadline is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineKind {
    /// A point in time: `X-Respond-By`, `X-Request-Deadline`. RFC 3339 with `Z` or an offset; the same without zone, as
    /// Python's `datetime.isoformat()` prints it, in [`DeadlineSettings::zone`]; seconds since 1970 in ten digits, perhaps
    /// with a fraction; milliseconds since 1970 in thirteen digits; an IMF-fixdate (RFC 9110 section 5.6.7). Fractions
    /// have one to nine digits. No leap second, no `24:00`.
    ///
    /// A time without zone that a change of the clocks skips or repeats means the later of the two instants it could be.
    Instant,
    /// Milliseconds from the start of the request, a whole number of 1 to 15 digits, not 0: `X-Request-Timeout-Ms`,
    /// `X-Envoy-Expected-Rq-Timeout-Ms`.
    Milliseconds,
    /// 1 to 8 digits and one of `H M S m u n`, from the start of the request: `grpc-timeout`. Zero has passed.
    GrpcTimeout,
}

/// How an age is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgeKind {
    /// The time since 1970 at which the first hop received the request: `X-Request-Start`, `X-Queue-Start`. With or without
    /// `t=`; 10 digits before the point are seconds, 13 milliseconds, 16 microseconds, 19 nanoseconds.
    Since,
    /// Seconds, a decimal number without sign or exponent: `X-Queue-Time-Seconds`.
    Seconds,
}

/// The zone in which a date and time without offset is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NaiveZone {
    /// The machine's, as it was when first asked for. The default where the feature `local-time` is on.
    #[cfg(feature = "local-time")]
    #[cfg_attr(feature = "local-time", default)]
    Local,
    /// UTC. The default without that feature.
    #[cfg_attr(not(feature = "local-time"), default)]
    Utc,
}

impl NaiveZone {
    pub(super) fn resolve(self) -> Zone {
        match self {
            #[cfg(feature = "local-time")]
            Self::Local => Zone::Local(crate::zone::local_zone().clone()),
            Self::Utc => Zone::Utc,
        }
    }
}

/// What is read. The default reads every header of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineSettings {
    /// Lower-case names and what they mean.
    pub headers: Vec<(String, HeaderKind)>,
    /// Zone of dates that name none. Default: see [`NaiveZone`].
    pub zone: NaiveZone,
    /// Tolerance for clocks that differ, added to instants. Default 50 ms, several times what NTP leaves between hosts.
    pub skew: Duration,
    /// The longest budget; also how far ahead an instant may lie. Default 1 h. Not zero.
    pub max: Duration,
}

impl Default for DeadlineSettings {
    fn default() -> Self {
        Self {
            headers: KNOWN.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            zone: NaiveZone::default(),
            skew: Duration::from_millis(50),
            max: Duration::from_secs(3_600),
        }
    }
}

impl DeadlineSettings {
    pub(super) fn check(&self) -> Result<(), HeaderError> {
        if self.max.is_zero() {
            return Err(HeaderError::ZeroMax);
        }
        if self.headers.len() > HeaderSet::CAPACITY {
            return Err(HeaderError::TooMany(self.headers.len()));
        }
        for (position, (name, _)) in self.headers.iter().enumerate() {
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_lower_token) {
                return Err(HeaderError::Name(name.clone()));
            }
            if self.headers[..position].iter().any(|(other, _)| other == name) {
                return Err(HeaderError::Twice(name.clone()));
            }
        }
        Ok(())
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not a lower-case header name of 1 to 63 bytes.
    Name(String),
    /// The same name twice.
    Twice(String),
    /// More names than [`HeaderSet::CAPACITY`].
    TooMany(usize),
    /// A longest budget of nothing would refuse every request that names a deadline.
    ZeroMax,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                write!(f, "{name:?} is not a lower-case header name of 1 to {LONGEST_NAME} bytes")
            }
            Self::Twice(name) => write!(f, "{name:?} is given twice"),
            Self::TooMany(count) => write!(f, "{count} headers are more than {}", HeaderSet::CAPACITY),
            Self::ZeroMax => f.write_str("the longest budget must be more than 0"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// RFC 9110 section 5.6.2, without upper case.
fn is_lower_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}
