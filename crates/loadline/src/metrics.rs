//! What is counted, and where: one set of numbers per worker, added up when somebody asks.
//!
//! A worker's numbers are behind a lock that only a scrape contends for, so a request costs one uncontended lock and
//! some additions. Label values are closed sets (known methods, configured routes, status codes that were sent): no
//! request can create a series of its own.

mod endpoints;
mod exposition;
mod histogram;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loadline_core::{Class, RouteId};

pub(crate) use self::exposition::render;
pub(crate) use self::histogram::Histogram;
pub(crate) use self::text::Format;
use crate::exchange::{Exchange, Gone, Repeat, UpstreamResult, Waste};
use crate::process;
use crate::routes::Routes;
use crate::shared::Shared;

/// Bounds of `http_queue_latency_seconds`, in seconds: the ones existing dashboards expect.
pub(crate) const QUEUE_BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds of `loadline_deadline_remaining_seconds`, in seconds: from too late to patient.
const BUDGET_BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of the duration histograms, in seconds: those of the OpenTelemetry semantic conventions, and the 2 that older
/// dashboards of the same names have besides.
pub(crate) const DURATION_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds of what the live views tell percentiles from, in seconds: none at all, and from 0.1 ms on twenty to the decade
/// (each 10^(1/20) = 1.122 times the one before), up to 100 s. A percentile is at most 12 % off.
const FINE_BOUNDS: &[f64] = &fine_bounds();

const fn fine_bounds() -> [f64; 122] {
    let mut bounds = [0.0; 122];
    bounds[1] = 1e-4;
    let mut at = 2;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 1.122_018_454_301_963_4;
        at += 1;
    }
    bounds
}

/// The request methods that have a name in labels; any other is `_OTHER`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "_OTHER"];

/// Index into [`METHODS`].
pub(crate) type Method = u8;

/// The label of a method.
pub(crate) fn method_of(method: &[u8]) -> Method {
    let known = METHODS.iter().position(|known| known.as_bytes() == method);
    known.unwrap_or(METHODS.len() - 1) as Method
}

/// The name of a method, as in labels.
pub(crate) fn method_name(method: Method) -> &'static str {
    METHODS[method as usize]
}

/// Where a request went, for the label `path`: raw paths would let a client create series at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Healthcheck,
    Route(RouteId),
}

impl Place {
    fn of(exchange: &Exchange) -> Self {
        if exchange.class == Class::Bypass && exchange.route == RouteId::OTHER {
            Self::Healthcheck
        } else {
            Self::Route(exchange.route)
        }
    }

    fn name(self, routes: &Routes) -> &str {
        match self {
            Self::Healthcheck => "healthcheck",
            Self::Route(route) => routes.name(route),
        }
    }
}

/// Requests whose client had tried before. Process-wide and counted at the decision, unlike the rest: what they ask for is no
/// demand of its own, and is left out where demand is computed.
#[derive(Debug, Default)]
pub(crate) struct ClientRetries {
    admitted: AtomicU64,
    shed: AtomicU64,
}

impl ClientRetries {
    /// Counts one that was admitted, or shed. Health checks have no retries.
    pub(crate) fn decided(&self, exchange: &Exchange, admitted: bool) {
        if exchange.attempt > 1 && exchange.class != Class::Bypass {
            if admitted { &self.admitted } else { &self.shed }.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were admitted and shed, with the words for it.
    pub(crate) fn by_decision(&self) -> [(&'static str, u64); 2] {
        [("admitted", &self.admitted), ("shed", &self.shed)]
            .map(|(decision, count)| (decision, count.load(Ordering::Relaxed)))
    }

    /// How many were admitted or shed.
    pub(crate) fn total(&self) -> u64 {
        self.by_decision().map(|(_, count)| count).iter().sum()
    }
}

/// Responses to one method on one route.
#[derive(Clone)]
struct Responses {
    /// In the order of the statuses; few, so that finding one is a look at the first or second.
    by_status: Vec<(u16, u64)>,
    durations: Histogram,
}

impl Default for Responses {
    fn default() -> Self {
        Self { by_status: Vec::new(), durations: Histogram::new(DURATION_BOUNDS) }
    }
}

impl Responses {
    fn count(&mut self, status: u16, more: u64) {
        match self.by_status.iter().position(|(known, _)| *known >= status) {
            Some(at) if self.by_status[at].0 == status => self.by_status[at].1 += more,
            Some(at) => self.by_status.insert(at, (status, more)),
            None => self.by_status.push((status, more)),
        }
    }
}

/// One worker's numbers; adding two sets gives the process's.
#[derive(Clone)]
pub(crate) struct WorkerMetrics {
    /// Responses by method and route.
    responses: BTreeMap<(Method, Place), Responses>,
    /// By [`UpstreamResult`], of those that were asked.
    upstream: [Histogram; UpstreamResult::ASKED.len()],
    /// Requests that were not sent because breakers were open.
    breaker_open: u64,
    queue: Histogram,
    /// The times in the queue and at the upstream again, finely.
    fine_queue: Histogram,
    fine_upstream: Histogram,
    /// Time left until the deadline of requests that got a slot.
    budgets: Histogram,
    /// Ignored deadline headers, by their names: a position in the settings means another header after a reload.
    invalid_headers: BTreeMap<String, u64>,
    /// Seconds for which the upstream worked in vain, by [`Waste`].
    wasted: [f64; 2],
    /// By [`Gone`].
    disconnects: [u64; 5],
    /// Answers below 500, in time, to a client that was still there; health checks not counted.
    good: u64,
    /// By [`Repeat`].
    repeats: [u64; Repeat::ALL.len()],
    /// Requests refused for their framing or size, or for not arriving.
    refused: BTreeMap<u16, u64>,
    requests_seen: u64,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            responses: BTreeMap::new(),
            upstream: std::array::from_fn(|_| Histogram::new(DURATION_BOUNDS)),
            queue: Histogram::new(QUEUE_BOUNDS),
            fine_queue: Histogram::new(FINE_BOUNDS),
            fine_upstream: Histogram::new(FINE_BOUNDS),
            budgets: Histogram::new(BUDGET_BOUNDS),
            invalid_headers: BTreeMap::new(),
            wasted: [0.0; 2],
            disconnects: [0; 5],
            good: 0,
            breaker_open: 0,
            repeats: [0; Repeat::ALL.len()],
            refused: BTreeMap::new(),
            requests_seen: 0,
        }
    }
}

impl WorkerMetrics {
    /// Counts one request. `seconds`: from its first byte to the last of its response.
    pub(crate) fn record(&mut self, method: Method, exchange: &Exchange, seconds: f64) {
        self.requests_seen += 1;
        let place = Place::of(exchange);
        let traced = exchange.trace.recorded().map(|trace| (trace, process::unix_seconds()));
        if exchange.status > 0 {
            let responses = self.responses.entry((method, place)).or_default();
            responses.count(exchange.status, 1);
            responses.durations.observe(seconds, traced);
        }
        if exchange.upstream_result == Some(UpstreamResult::BreakerOpen) {
            self.breaker_open += 1;
        } else if let Some(result) = exchange.upstream_result {
            let from = exchange.sent.unwrap_or(exchange.began);
            let to = exchange.upstream_done.or(exchange.answered);
            let took = to.map_or(seconds, |to| to.saturating_duration_since(from).as_secs_f64());
            self.upstream[result as usize].observe(took, None);
            if exchange.class != Class::Bypass {
                self.fine_upstream.observe(took, None);
            }
        }
        if let Some(waste) = exchange.waste().filter(|_| !exchange.unseen) {
            let from = exchange.sent.unwrap_or(exchange.began);
            let until = exchange.upstream_done.map(|done| done.saturating_duration_since(from));
            self.record_waste(waste, until.unwrap_or_else(|| from.elapsed()));
        }
        let answered = exchange.upstream_result == Some(UpstreamResult::Ok) && exchange.waste().is_none();
        self.good += u64::from(answered && exchange.class != Class::Bypass);
        // Who was rejected at the door has not waited: counted as nothing, it would hide how long the others wait.
        let waits = exchange.class != Class::Bypass && (exchange.was_admitted || exchange.depth > 0);
        if let Some(queued) = exchange.queued.filter(|_| waits) {
            self.queue.observe(queued.as_secs_f64(), traced);
            self.fine_queue.observe(queued.as_secs_f64(), None);
        }
        if let Some(deadline) = exchange.deadline.filter(|_| exchange.was_admitted) {
            let admitted = exchange.decided_at();
            self.budgets.observe(deadline.left(admitted).as_secs_f64(), None);
        }
        if let Some(gone) = exchange.gone {
            self.disconnects[gone as usize] += 1;
        }
        for (total, count) in self.repeats.iter_mut().zip(exchange.repeats) {
            *total += u64::from(count);
        }
    }

    /// Counts time that the upstream spent in vain.
    pub(crate) fn record_waste(&mut self, waste: Waste, time: Duration) {
        self.wasted[waste as usize] += time.as_secs_f64();
    }

    /// Counts a deadline header that was ignored.
    pub(crate) fn record_invalid_header(&mut self, name: &str) {
        if let Some(count) = self.invalid_headers.get_mut(name) {
            *count += 1;
        } else {
            self.invalid_headers.insert(name.to_owned(), 1);
        }
    }

    /// Counts what could not be read as a request.
    pub(crate) fn record_refused(&mut self, status: u16) {
        self.requests_seen += 1;
        *self.refused.entry(status).or_default() += 1;
    }

    pub(crate) fn requests_seen(&self) -> u64 {
        self.requests_seen
    }

    /// Adds another worker's numbers.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, theirs) in &other.responses {
            let ours = self.responses.entry(*key).or_default();
            theirs.by_status.iter().for_each(|(status, count)| ours.count(*status, *count));
            ours.durations.add(&theirs.durations);
        }
        for (own, other) in self.upstream.iter_mut().zip(&other.upstream) {
            own.add(other);
        }
        self.queue.add(&other.queue);
        self.fine_queue.add(&other.fine_queue);
        self.fine_upstream.add(&other.fine_upstream);
        self.budgets.add(&other.budgets);
        for (name, count) in &other.invalid_headers {
            *self.invalid_headers.entry(name.clone()).or_default() += count;
        }
        for (own, other) in self.wasted.iter_mut().zip(other.wasted) {
            *own += other;
        }
        for (own, other) in self.disconnects.iter_mut().zip(&other.disconnects) {
            *own += other;
        }
        self.good += other.good;
        self.breaker_open += other.breaker_open;
        for (own, other) in self.repeats.iter_mut().zip(&other.repeats) {
            *own += other;
        }
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.requests_seen += other.requests_seen;
    }
}

/// What the live views need of all workers' numbers.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    /// Answers below 500, in time, to a client that was still there; health checks not counted.
    pub(crate) good: u64,
    /// Seconds in the queue.
    pub(crate) wait: Histogram,
    /// Seconds at the upstream, whatever the result.
    pub(crate) service: Histogram,
}

impl Default for Totals {
    fn default() -> Self {
        Self { good: 0, wait: Histogram::new(FINE_BOUNDS), service: Histogram::new(FINE_BOUNDS) }
    }
}

impl Totals {
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut totals = Self::default();
        for worker in 0..shared.metrics.len() {
            let metrics = shared.metrics_of(worker);
            totals.good += metrics.good;
            totals.wait.add(&metrics.fine_queue);
            totals.service.add(&metrics.fine_upstream);
        }
        totals
    }
}

impl Gone {
    const ALL: [Self; 5] =
        [Self::InRequest, Self::InQueue, Self::BeforeUpstream, Self::InService, Self::InBody];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InRequest => "request",
            Self::InQueue => "queue",
            Self::BeforeUpstream => "connect",
            Self::InService => "upstream",
            Self::InBody => "response",
        }
    }
}

impl Repeat {
    const ALL: [Self; 4] = [Self::StaleConnection, Self::Unreachable, Self::Closed, Self::TurnedAway];

    fn as_str(self) -> &'static str {
        match self {
            Self::StaleConnection => "stale_connection",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::TurnedAway => "turned_away",
        }
    }
}

impl Waste {
    const ALL: [Self; 2] = [Self::ClientGone, Self::Late];

    fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Late => "late",
        }
    }
}

impl UpstreamResult {
    /// All but [`Self::BreakerOpen`], in their order.
    const ASKED: [Self; 5] = [Self::Ok, Self::Error, Self::Timeout, Self::Canceled, Self::Transport];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Transport => "transport",
            Self::BreakerOpen => "breaker_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_bounds_reach_from_a_tenth_of_a_millisecond_to_a_hundred_seconds() {
        assert!(FINE_BOUNDS.is_sorted_by(|a, b| a < b));
        let last = FINE_BOUNDS[FINE_BOUNDS.len() - 1];
        assert!((99.0..101.0).contains(&last), "{last}");
        let mut waits = Totals::default().wait;
        waits.observe(0.0, None);
        assert_eq!(waits.quantile(0.99), Some(0.0), "no wait is none");
        (0..9).for_each(|_| waits.observe(0.3, None));
        let median = waits.quantile(0.5).unwrap();
        assert!((0.26..0.34).contains(&median), "{median}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_of_those_who_got_a_slot_or_stood_in_the_queue() {
        let now = tokio::time::Instant::now();
        let mut metrics = WorkerMetrics::default();
        let mut record = |class, queued, depth, was_admitted| {
            let exchange = Exchange::new(now, now, now, now);
            let queued = Some(Duration::from_secs(queued));
            metrics.record(0, &Exchange { class, queued, depth, was_admitted, ..exchange }, 0.0);
        };
        record(Class::Normal, 0, 0, true);
        record(Class::Normal, 1, 5, true);
        record(Class::Normal, 2, 7, false);
        (0..10).for_each(|_| record(Class::Normal, 0, 0, false));
        record(Class::Bypass, 0, 0, true);
        assert_eq!((metrics.queue.count(), metrics.queue.sum()), (3, 3.0));
        assert_eq!(metrics.fine_queue.count(), 3);
    }

    #[test]
    fn statuses_are_counted_in_their_order() {
        let mut responses = Responses::default();
        for status in [503, 200, 404, 200, 503, 200] {
            responses.count(status, 1);
        }
        assert_eq!(responses.by_status, [(200, 3), (404, 1), (503, 2)]);
    }

    #[test]
    fn an_unknown_method_has_no_name_of_its_own() {
        assert_eq!(METHODS[method_of(b"GET") as usize], "GET");
        assert_eq!(METHODS[method_of(b"get") as usize], "_OTHER");
        assert_eq!(METHODS[method_of(b"BREW") as usize], "_OTHER");
    }
}
