//! How long a request may still take: every deadline header that clients and proxies send, as one remaining budget.
//!
//! **Why it exists.** Work that ends after its client has given up is wasted, and it is wasted when there is least to
//! spare. Clients say until when they wait in half a dozen ways; the admission core knows one: a duration from now.
//!
//! **When it acts.** Once, when a request's head is complete: [`DeadlineHeaders::budget`]. Later, when the request goes
//! upstream with less time than it came with: [`write_remaining`].
//!
//! **Rules**
//! - Strict grammar, listed at [`DeadlineKind`] and [`AgeKind`]. What does not parse, or is implausible, is ignored and
//!   reported in [`Budget::invalid`], so that a client's mistake costs it the protection, never the answer.
//! - Several deadlines: the earliest counts. Several lines of one header count as several deadlines.
//! - An instant must lie within [`DeadlineSettings::max`] of now on the future side and within the larger of `max` and
//!   [`STALE`] on the past side. Further off it is a clock or a time zone that is wrong, not a deadline.
//! - An instant is compared with a tolerance, [`DeadlineSettings::skew`], since the clocks of two machines differ.
//! - Durations are cut at `max`. A client can shorten its own time with any header; it can never get more than `max`,
//!   nor gain anything else.
//! - Headers that say how long the request has waited already are believed from a trusted hop only. They shorten
//!   durations, not instants, because an instant has not moved while the request waited.
//!
//! **Out of scope.** Clocks (the caller passes the wall clock), what an expired request is answered, predictions.
//! Values are taken as RFC 9110 section 5.5 defines them, without surrounding white space; nothing is trimmed here.
//!
//! ```
//! use std::time::Duration;
//! use loadline_http::deadline::{DeadlineHeaders, DeadlineSettings};
//!
//! let headers = DeadlineHeaders::new(DeadlineSettings::default())?;
//! let request = [(&b"Host"[..], &b"shop"[..]), (b"X-Request-Timeout-Ms", b"250")];
//! let budget = headers.budget(request, 1_795_188_443_000_000_000, false);
//! assert_eq!(budget.remaining, Some(Duration::from_millis(250)));
//! # Ok::<(), loadline_http::deadline::HeaderError>(())
//! ```

mod age;
mod calendar;
mod decimal;
mod instant;
mod layout;
mod name;
mod relative;
mod set;
mod settings;
mod write;
mod zone;

use std::time::Duration;

use zone::Zone;

pub use set::{HeaderId, HeaderSet};
pub use settings::{AgeKind, DeadlineKind, DeadlineSettings, HeaderError, HeaderKind, NaiveZone};
pub use write::{write_line, write_remaining};

/// How far in the past an instant may lie and still be a deadline that has passed, unless `max` is larger.
///
/// No client waits for an hour, but a client whose clock shows another zone's time is off by whole hours; shedding all it
/// sends would be an outage made of a misconfiguration.
pub const STALE: Duration = Duration::from_secs(3_600);

/// What a request's headers say about its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Time until the earliest deadline, tolerance included; zero if it has passed, `None` if there is no deadline.
    /// At most [`DeadlineSettings::max`].
    pub remaining: Option<Duration>,
    /// How much of `remaining` is tolerance for the difference of two clocks, at most [`DeadlineSettings::skew`]; zero if
    /// there is no instant. It is ours, so take it off before passing the rest upstream, or each hop would add its own.
    pub tolerance: Duration,
    /// How long the request had waited before it came here, as a trusted hop reports it; zero if unknown. Several
    /// reports describe the same wait, so the longest counts.
    pub age: Duration,
    /// The header whose deadline counts.
    pub source: Option<HeaderId>,
    /// Deadline and age headers that were understood.
    pub understood: HeaderSet,
    /// Headers with at least one value that was ignored because it is malformed or implausible.
    pub invalid: HeaderSet,
}

impl Budget {
    /// Whether the deadline has passed.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.remaining == Some(Duration::ZERO)
    }

    /// Whether the request has already waited for longer than `bound` (exactly as long is not too long).
    #[must_use]
    pub fn waited_longer_than(&self, bound: Duration) -> bool {
        self.age > bound
    }
}

/// The headers that are read, ready for use: [`DeadlineSettings`] checked and resolved.
#[derive(Clone, Debug)]
pub struct DeadlineHeaders {
    headers: Vec<(Box<str>, HeaderKind)>,
    /// Bit n: some name has n bytes. Most fields of a request are told apart by that and by their first letter alone.
    lengths: u64,
    /// Bit n: some name begins with the nth letter, or with what has the same low bits as that.
    letters: u32,
    zone: Zone,
    skew: u64,
    max: u64,
    stale: u64,
}

impl DeadlineHeaders {
    /// Checks the settings and reads the machine's time zone if they ask for it.
    ///
    /// # Errors
    /// A name that is no lower-case header name, is longer than 63 bytes or is given twice; more than
    /// [`HeaderSet::CAPACITY`] names; a `max` of zero.
    pub fn new(settings: DeadlineSettings) -> Result<Self, HeaderError> {
        settings.check()?;
        let lengths = settings.headers.iter().fold(0, |lengths, (name, _)| lengths | 1 << name.len());
        let letters = settings.headers.iter().fold(0, |letters, (name, _)| letters | letter(name.as_bytes()));
        Ok(Self {
            headers: settings.headers.into_iter().map(|(name, kind)| (name.into(), kind)).collect(),
            lengths,
            letters,
            zone: settings.zone.resolve(),
            skew: nanos(settings.skew),
            max: nanos(settings.max),
            stale: nanos(settings.max.max(STALE)),
        })
    }

    /// Reads all fields of a request, in any order and any case.
    ///
    /// `now_wall_ns` is the wall clock in nanoseconds since 1970-01-01T00:00:00Z. `trusted` says that the request comes
    /// from a hop whose word on the request's age is believed; from others such headers are passed over, not even counted.
    pub fn budget<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now_wall_ns: i64,
        trusted: bool,
    ) -> Budget {
        let mut found = Found::default();
        for (name, value) in fields {
            if !self.may_be_known(name) {
                continue;
            }
            if let Some((id, kind)) = self.find(name) {
                self.read(&mut found, id, kind, value, now_wall_ns, trusted);
            }
        }
        self.conclude(found)
    }

    /// Whether [`Self::budget`] looks at fields of this name, whatever its case.
    #[must_use]
    pub fn reads(&self, name: &[u8]) -> bool {
        self.may_be_known(name) && self.find(name).is_some()
    }

    /// The name and the kind of a header that [`Self::budget`] mentioned.
    #[must_use]
    pub fn header(&self, id: HeaderId) -> Option<(&str, HeaderKind)> {
        self.headers.get(id.index()).map(|(name, kind)| (&**name, *kind))
    }

    /// All headers that are read, in the order of the settings.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderId, &str, HeaderKind)> {
        HeaderId::first(self.headers.len())
            .filter_map(|id| self.header(id).map(|(name, kind)| (id, name, kind)))
    }

    /// Tells most fields apart from the known ones, without looking at their names as a whole.
    fn may_be_known(&self, name: &[u8]) -> bool {
        name.len() <= settings::LONGEST_NAME
            && self.lengths & 1 << name.len() != 0
            && self.letters & letter(name) != 0
    }

    fn find(&self, name: &[u8]) -> Option<(HeaderId, HeaderKind)> {
        let position = self.headers.iter().position(|(known, _)| name::same(known.as_bytes(), name))?;
        Some((HeaderId::new(position), self.headers[position].1))
    }

    fn read(&self, found: &mut Found, id: HeaderId, kind: HeaderKind, value: &[u8], now: i64, trusted: bool) {
        let understood = match kind {
            HeaderKind::Age(_) if !trusted => return,
            HeaderKind::Age(kind) => self.age(kind, value, now).map(|age| found.age = found.age.max(age)),
            HeaderKind::Deadline(DeadlineKind::Instant) => {
                self.until(value, now).map(|until| found.instant.keep_least(until, id))
            }
            HeaderKind::Deadline(DeadlineKind::Milliseconds) => {
                relative::milliseconds(value).map(|nanos| found.duration.keep_least(nanos, id))
            }
            HeaderKind::Deadline(DeadlineKind::GrpcTimeout) => {
                relative::grpc_timeout(value).map(|nanos| found.duration.keep_least(nanos, id))
            }
        };
        match understood {
            Some(()) => found.understood.insert(id),
            None => found.invalid.insert(id),
        }
    }

    /// Nanoseconds until the instant, tolerance included; zero if it has passed; `None` if it is implausible.
    fn until(&self, value: &[u8], now: i64) -> Option<u64> {
        let at = instant::parse(value, &self.zone)?;
        let distance = at.abs_diff(now);
        if at >= now {
            (distance <= self.max).then(|| distance.saturating_add(self.skew))
        } else {
            (distance <= self.stale).then(|| self.skew.saturating_sub(distance))
        }
    }

    /// Nanoseconds of waiting; a start that lies in the future by no more than `max` is a clock that runs ahead.
    fn age(&self, kind: AgeKind, value: &[u8], now: i64) -> Option<u64> {
        let age = match kind {
            AgeKind::Since => {
                let since = age::since(value)?;
                let distance = since.abs_diff(now);
                if since > now {
                    return (distance <= self.max).then_some(0);
                }
                distance
            }
            AgeKind::Seconds => age::seconds(value)?,
        };
        (age <= self.stale).then_some(age)
    }

    fn conclude(&self, found: Found) -> Budget {
        let Found { instant, duration, age, understood, invalid } = found;
        // Most requests say nothing.
        if understood.is_empty() {
            return Budget { invalid, ..Budget::default() };
        }
        let instant = instant.0;
        // Cut first, then take off the wait: the whole request may take `max`, not what is left of it.
        let duration = duration.0.map(|(nanos, id)| (nanos.min(self.max).saturating_sub(age), id));
        let earliest = match (instant, duration) {
            (Some(instant), Some(duration)) => Some(if instant.0 <= duration.0 { instant } else { duration }),
            (one, other) => one.or(other),
        };
        let remaining = earliest.map(|(nanos, _)| nanos.min(self.max));
        // The same minimum without the tolerance: all that the client has promised to wait.
        let wait = |of: Option<(u64, HeaderId)>| of.map_or(u64::MAX, |(nanos, _)| nanos);
        let promised = wait(instant).saturating_sub(self.skew).min(wait(duration));
        let tolerance = remaining.map_or(0, |remaining| remaining.saturating_sub(promised));
        Budget {
            remaining: remaining.map(Duration::from_nanos),
            tolerance: Duration::from_nanos(tolerance),
            age: Duration::from_nanos(age),
            source: earliest.map(|(_, id)| id),
            understood,
            invalid,
        }
    }
}

/// The bit of a name's first letter, the same for both cases; none without a name.
fn letter(name: &[u8]) -> u32 {
    name.first().map_or(0, |first| 1 << (first & 0x1f))
}

/// What has been read so far. Instants and durations are kept apart because the wait shortens durations only.
#[derive(Default)]
struct Found {
    instant: Earliest,
    duration: Earliest,
    age: u64,
    understood: HeaderSet,
    invalid: HeaderSet,
}

#[derive(Default)]
struct Earliest(Option<(u64, HeaderId)>);

impl Earliest {
    fn keep_least(&mut self, nanos: u64, id: HeaderId) {
        if self.0.is_none_or(|(least, _)| nanos < least) {
            self.0 = Some((nanos, id));
        }
    }
}

/// Nanoseconds; five centuries at most, which no deadline needs.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
