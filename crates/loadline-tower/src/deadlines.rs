//! Until when a request's answer is worth something, by its headers.
//!
//! The grammar and the rules are those of [`loadline_http::deadline`]: what does not parse is ignored and told to the
//! observer, the earliest deadline counts, a client can only shorten its own time.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName};
use loadline_http::deadline::{DeadlineHeaders, DeadlineSettings, HeaderError, NaiveZone};

use crate::Observer;

/// Which deadlines a layer heeds. The default reads `X-Respond-By`, `X-Request-Deadline`, `grpc-timeout`,
/// `X-Envoy-Expected-Rq-Timeout-Ms` and `X-Request-Timeout-Ms`, takes a date without a zone as UTC, and gives what names no
/// deadline none.
///
/// ```
/// use std::time::Duration;
/// use loadline_tower::Deadlines;
///
/// let deadlines = Deadlines::default()
///     .default_budget(Duration::from_secs(10)) // nobody waits longer than the load balancer in front
///     .trusted_age(Duration::from_secs(10)); // its word on how long a request waited there is believed
/// # let _ = deadlines;
/// ```
#[derive(Clone, Debug)]
#[must_use = "put it into a layer"]
pub struct Deadlines {
    /// `None`: no header is read.
    headers: Option<Arc<DeadlineHeaders>>,
    default_budget: Option<Duration>,
    oldest: Option<Duration>,
}

impl Deadlines {
    /// Reads the headers that the settings name.
    ///
    /// # Errors
    /// What [`DeadlineHeaders::new`] says of the settings.
    pub fn new(settings: DeadlineSettings) -> Result<Self, HeaderError> {
        let headers = Some(Arc::new(DeadlineHeaders::new(settings)?));
        Ok(Self { headers, default_budget: None, oldest: None })
    }

    /// Reads no header, nor those that [`trusted_age`](Self::trusted_age) would believe.
    pub const fn none() -> Self {
        Self { headers: None, default_budget: None, oldest: None }
    }

    /// The time of requests that name no deadline.
    pub const fn default_budget(mut self, time: Duration) -> Self {
        self.default_budget = Some(time);
        self
    }

    /// Believes `X-Request-Start`, `X-Queue-Start` and `X-Queue-Time-Seconds`: whoever sends the requests here is a load
    /// balancer that sets them itself. The wait shortens a relative deadline, and who waited for longer than `most` is rejected
    /// ([`QueueAge`](loadline_core::Reason::QueueAge)).
    pub const fn trusted_age(mut self, most: Duration) -> Self {
        self.oldest = Some(most);
        self
    }

    /// Whether [`read`](Self::read) looks at a field of this name.
    pub(crate) fn heeds(&self, name: &HeaderName) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.reads(name.as_str().as_bytes()))
    }

    /// The time of a request none of whose fields is [heeded](Self::heeds).
    pub(crate) fn unsaid(&self) -> Time {
        Time { remaining: self.default_budget, ..Time::default() }
    }

    /// What the headers of a request say.
    pub(crate) fn read(&self, fields: &HeaderMap, observer: Option<&Arc<dyn Observer>>) -> Time {
        let mut time = self.unsaid();
        let Some(headers) = self.headers.as_ref().filter(|_| !fields.is_empty()) else { return time };
        let fields = fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let budget = headers.budget(fields, wall_clock(), self.oldest.is_some());
        if let Some(observer) = observer.filter(|_| !budget.invalid.is_empty()) {
            for (name, _) in budget.invalid.iter().filter_map(|id| headers.header(id)) {
                observer.on_invalid_header(name);
            }
        }
        if budget.remaining.is_some() {
            time = Time { remaining: budget.remaining, tolerance: budget.tolerance, ..time };
        }
        time.too_old = self.oldest.is_some_and(|most| budget.waited_longer_than(most));
        time
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        static KNOWN: LazyLock<Arc<DeadlineHeaders>> = LazyLock::new(|| {
            // Not the machine's zone, so that no feature of another crate changes what a header means here.
            let settings = DeadlineSettings { zone: NaiveZone::Utc, ..DeadlineSettings::default() };
            Arc::new(DeadlineHeaders::new(settings).expect("the well-known names are valid"))
        });
        Self { headers: Some(Arc::clone(&KNOWN)), default_budget: None, oldest: None }
    }
}

/// What is known of a request's time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Time {
    /// Until the deadline, tolerance included.
    pub(crate) remaining: Option<Duration>,
    /// Allowance for two clocks that differ: ours, not the request's.
    pub(crate) tolerance: Duration,
    /// It waited too long before it came here.
    pub(crate) too_old: bool,
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
