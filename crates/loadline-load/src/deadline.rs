//! The header by which a request says until when its answer is of use.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use loadline_http::deadline::{DeadlineKind, HeaderKind, write_remaining};
use serde::{Deserialize, Serialize};

/// A deadline for every request of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// How long after a request was due its answer is still of use.
    pub after: Duration,
    /// The header that says so, in lower case; `None` keeps the deadline to ourselves.
    pub header: Option<String>,
    /// How the header is written.
    pub format: DeadlineFormat,
}

/// How a deadline is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum DeadlineFormat {
    /// `2026-11-20T15:30:00.123456Z`.
    Rfc3339,
    /// `2026-11-20T15:30:00.123456`, in the local zone, as Python's `datetime.isoformat()` prints it.
    Naive,
    /// Seconds since 1970 with six decimals.
    Epoch,
    /// Milliseconds since 1970.
    EpochMs,
    /// `Fri, 20 Nov 2026 15:30:00 GMT`; whole seconds, rounded down.
    HttpDate,
    /// Milliseconds from now.
    Milliseconds,
    /// gRPC's: up to eight digits and a unit, from now.
    Grpc,
}

/// Every format and its name.
const FORMATS: [(&str, DeadlineFormat); 7] = [
    ("rfc3339", DeadlineFormat::Rfc3339),
    ("naive", DeadlineFormat::Naive),
    ("epoch", DeadlineFormat::Epoch),
    ("epoch-ms", DeadlineFormat::EpochMs),
    ("http-date", DeadlineFormat::HttpDate),
    ("ms", DeadlineFormat::Milliseconds),
    ("grpc", DeadlineFormat::Grpc),
];

impl DeadlineFormat {
    /// The format of a well-known header, by its lower-case name; `None` for others.
    #[must_use]
    pub fn of_header(name: &str) -> Option<Self> {
        match HeaderKind::known(name)? {
            HeaderKind::Deadline(DeadlineKind::Instant) => Some(Self::Rfc3339),
            HeaderKind::Deadline(DeadlineKind::Milliseconds) => Some(Self::Milliseconds),
            HeaderKind::Deadline(DeadlineKind::GrpcTimeout) => Some(Self::Grpc),
            HeaderKind::Age(_) => None,
        }
    }

    /// Appends the value that says "so long from now".
    pub(crate) fn write(self, remaining: Duration, now: SystemTime, out: &mut Vec<u8>) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let kind = match self {
            Self::Rfc3339 => DeadlineKind::Instant,
            Self::Milliseconds => DeadlineKind::Milliseconds,
            Self::Grpc => DeadlineKind::GrpcTimeout,
            Self::Naive | Self::Epoch | Self::EpochMs | Self::HttpDate => {
                return out.extend_from_slice(self.instant(now + remaining).as_bytes());
            }
        };
        write_remaining(kind, remaining, now_ns, out);
    }

    fn instant(self, at: Duration) -> String {
        match self {
            Self::Epoch => format!("{}.{:06}", at.as_secs(), at.subsec_micros()),
            Self::EpochMs => at.as_millis().to_string(),
            _ => {
                let instant = Timestamp::from_microsecond(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
                let instant = instant.unwrap_or(Timestamp::MAX);
                if self == Self::HttpDate {
                    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
                } else {
                    instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
                }
            }
        }
    }
}

impl FromStr for DeadlineFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = FORMATS.iter().find(|(name, _)| *name == text);
        found.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is not a deadline format (one of {})", names.join(", "))
        })
    }
}

impl TryFrom<String> for DeadlineFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeadlineFormat> for &'static str {
    fn from(format: DeadlineFormat) -> Self {
        FORMATS.iter().find(|(_, known)| *known == format).map_or("", |(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_http::deadline::{DeadlineHeaders, DeadlineSettings};

    /// 2026-11-20T15:27:23.5Z.
    const NOW: Duration = Duration::from_millis(1_795_188_443_500);

    fn written(format: DeadlineFormat, remaining: Duration) -> String {
        let mut out = Vec::new();
        format.write(remaining, UNIX_EPOCH + NOW, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_read_as_it_was_meant() {
        let settings = DeadlineSettings { skew: Duration::ZERO, ..DeadlineSettings::default() };
        let headers = DeadlineHeaders::new(settings).unwrap();
        for (name, format) in FORMATS {
            let header = match format {
                DeadlineFormat::Milliseconds => "x-request-timeout-ms",
                DeadlineFormat::Grpc => "grpc-timeout",
                _ => "x-respond-by",
            };
            let value = written(format, Duration::from_millis(2_500));
            let fields = [(header.as_bytes(), value.as_bytes())];
            let budget = headers.budget(fields, i64::try_from(NOW.as_nanos()).unwrap(), false);
            assert_eq!(budget.remaining, Some(Duration::from_millis(2_500)), "{name}: {value}");
        }
    }

    #[test]
    fn well_known_headers_have_their_format() {
        assert_eq!(DeadlineFormat::of_header("x-respond-by"), Some(DeadlineFormat::Rfc3339));
        assert_eq!(DeadlineFormat::of_header("grpc-timeout"), Some(DeadlineFormat::Grpc));
        assert_eq!(DeadlineFormat::of_header("x-request-start"), None);
        assert!("iso".parse::<DeadlineFormat>().unwrap_err().contains("one of rfc3339, naive"));
    }
}
