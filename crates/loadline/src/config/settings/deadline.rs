//! `[deadline]`: how long clients wait, and what follows from it.

use std::time::Duration;

use loadline_http::deadline::{DeadlineHeaders, DeadlineSettings, HeaderKind, NaiveZone};

/// `[deadline]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Headers that are read, each known and given once; empty reads none. Default all known ones.
    pub headers: Vec<(String, HeaderKind)>,
    /// Zone of dates that name none. Default the machine's.
    pub zone: NaiveZone,
    /// Tolerance for clocks that differ, up to 1 min. Default 50 ms.
    pub skew: Duration,
    /// The longest budget, 1 ms to 1 day. Default 1 h.
    pub max: Duration,
    /// Whether a request is refused when by past experience it cannot be answered in time. Default true.
    pub predict: bool,
    /// Longest time a request may have waited before it came here, as a trusted hop says; `None` is any. Default 10 s.
    pub max_queue_age: Option<Duration>,
    /// The budget of requests that name none, at most `max`; `None` leaves them without. Default none.
    pub default_budget: Option<Duration>,
    /// Whether the rest of the budget is passed to the upstream. Default true.
    pub propagate: bool,
}

impl Deadline {
    /// The headers, ready for use.
    pub fn reader(&self) -> DeadlineHeaders {
        let Self { headers, zone, skew, max, .. } = self;
        let settings = DeadlineSettings { headers: headers.clone(), zone: *zone, skew: *skew, max: *max };
        DeadlineHeaders::new(settings).expect("names and the longest budget were checked when they were read")
    }
}
