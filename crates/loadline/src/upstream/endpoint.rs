//! One endpoint: its connections, what is in service there, and what is thought of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use loadline_core::{
    Breaker, BreakerCall, BreakerChange, BreakerResult, BreakerSettings, BreakerState, Instant,
};

use super::choose::{Candidate, Latency, weight};
use super::health::Trouble;
use super::place::{Found, Place};
use super::pool::Pool;

/// A probe is left for so long to requests that can be repeated elsewhere. After that any request is one: where there are only
/// such that cannot, an endpoint would never come back.
const PROBE_OVERDUE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Endpoint {
    pub(super) place: Place,
    /// The place as text, for labels and logs.
    pub(crate) name: String,
    /// Other addresses of the same host.
    pub(super) spare: ArcSwap<Vec<SocketAddr>>,
    pub(crate) pool: Pool,
    in_flight: AtomicUsize,
    judged: Mutex<Judged>,
    /// The breaker's word, to be read without the lock.
    tripped: AtomicBool,
    /// Its health checks fail.
    down: AtomicBool,
    /// When it last answered as it should, in nanoseconds; 0: never.
    answered_at: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
}

/// What is learned of an endpoint by using it.
struct Judged {
    breaker: Breaker,
    latency: Latency,
    /// When it joined the rotation or came back to it; `None`: it was there from the start.
    since: Option<Instant>,
    /// Why its health checks fail.
    trouble: Option<Trouble>,
}

/// What an endpoint is at one moment, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It gets requests.
    Up,
    /// It failed, and gets none until then.
    Open(Instant),
    /// A few requests try whether it is well again.
    Probing,
    /// Its health checks fail, and how the last one did that counted.
    Down(Trouble),
}

/// Numbers of an endpoint, for whoever watches.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
    /// Mean time to a response's head in seconds; 0 when it is not known.
    pub(crate) latency: f64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) trips: u64,
    /// It failed and has not yet proved itself since.
    pub(crate) unproven: bool,
}

impl Endpoint {
    /// `joined`: when it joined others that were there before.
    pub(super) fn new(
        found: Found,
        workers: usize,
        breaker: BreakerSettings,
        seed: u64,
        joined: Option<Instant>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: found.place.to_string(),
            place: found.place,
            spare: ArcSwap::from_pointee(found.spare),
            pool: Pool::new(workers),
            in_flight: AtomicUsize::new(0),
            judged: Mutex::new(Judged {
                breaker: Breaker::new(breaker, seed),
                latency: Latency::default(),
                since: joined,
                trouble: None,
            }),
            tripped: false.into(),
            down: false.into(),
            answered_at: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether it failed and has not yet proved itself since.
    pub(super) fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// Whether it may prove itself, and for so long nobody has come who would let it.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.judged().breaker.probe_due_for(now) >= Some(PROBE_OVERDUE)
    }

    /// What its breaker lets through now.
    ///
    /// # Errors
    /// How long it is worth waiting.
    pub(super) fn check(&self, now: Instant) -> Result<(), Duration> {
        if self.is_tripped() { self.judged().breaker.check(now) } else { Ok(()) }
    }

    /// How it looks to who has to choose, with its share of what goes to its like. `latency`: whether that counts.
    pub(super) fn candidate(
        &self,
        now: Instant,
        share: f64,
        latency: bool,
        slow_start: Duration,
    ) -> Candidate {
        let judged = self.judged();
        Candidate {
            in_flight: self.in_flight(),
            share,
            latency: if latency { judged.latency.at(now) } else { 0.0 },
            weight: judged.since.map_or(1.0, |since| weight(now.saturating_since(since), slow_start)),
        }
    }

    pub(super) fn reconfigure(&self, breaker: BreakerSettings) {
        self.judged().breaker.reconfigure(breaker);
    }

    /// Takes a place among those in service; `most`: how many there may be.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<InService> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        let entered = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.is_ok().then(|| InService(Arc::clone(self)))
    }

    /// Asks the breaker for the right to an exchange.
    pub(super) fn begin(&self, now: Instant) -> Option<BreakerCall> {
        self.judged().breaker.try_begin(now).ok()
    }

    /// Notes how an exchange ended for the breaker, and tells what it changed.
    pub(super) fn end(
        &self,
        now: Instant,
        call: BreakerCall,
        result: BreakerResult,
        may_trip: impl FnOnce() -> bool,
    ) -> Option<BreakerChange> {
        let mut judged = self.judged();
        let change = judged.breaker.on_end(now, call, result, may_trip);
        if change == Some(BreakerChange::Closed) {
            judged.since = Some(now);
        }
        self.tripped.store(judged.breaker.is_tripped(), Ordering::Relaxed);
        change
    }

    pub(super) fn note_latency(&self, now: Instant, took: Duration) {
        self.judged().latency.record(now, took);
    }

    pub(super) fn note_result(&self, now: Instant, good: bool) {
        if good {
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.answered_at.store(now.as_nanos(), Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Exchanges that have ended with an answer or a failure.
    pub(super) fn exchanges(&self) -> u64 {
        self.answered.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }

    /// Whether it answered a request within this time.
    pub(super) fn answered_within(&self, now: Instant, span: Duration) -> bool {
        let at = self.answered_at.load(Ordering::Relaxed);
        at > 0 && now.saturating_since(Instant::from_nanos(at)) < span
    }

    /// Notes what its health checks say. One that passes them again has proved itself.
    pub(super) fn set_down(&self, now: Instant, trouble: Option<Trouble>) {
        let mut judged = self.judged();
        judged.trouble = trouble;
        let was = self.down.swap(trouble.is_some(), Ordering::Relaxed);
        if was && trouble.is_none() {
            judged.breaker.force_close(now);
            judged.since = Some(now);
            self.tripped.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let judged = self.judged();
        if let Some(trouble) = judged.trouble {
            return Standing::Down(trouble);
        }
        match judged.breaker.state(now) {
            BreakerState::Closed => Standing::Up,
            BreakerState::Open { until } => Standing::Open(until),
            BreakerState::Probing => Standing::Probing,
        }
    }

    pub(super) fn sight(&self, now: Instant) -> Sight {
        let standing = self.standing(now);
        let judged = self.judged();
        Sight {
            name: self.name.clone(),
            standing,
            in_flight: self.in_flight(),
            connections: self.pool.open(),
            latency: judged.latency.at(now),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            trips: judged.breaker.trips(),
            unproven: judged.breaker.is_tripped(),
        }
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among an endpoint's requests in service; free again when dropped.
pub(crate) struct InService(Arc<Endpoint>);

impl InService {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InService {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_is_known_to_be_well() {
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        let found = Found::at(Place::Tcp(([127, 0, 0, 1], 1).into()));
        let endpoint = Endpoint::new(found, 1, BreakerSettings::default(), 1, None);
        assert!(!endpoint.answered_within(at(1), Duration::from_secs(5)));
        endpoint.note_result(at(2), true);
        endpoint.note_result(at(9), false);
        assert!(endpoint.answered_within(at(6), Duration::from_secs(5)));
        assert!(!endpoint.answered_within(at(7), Duration::from_secs(5)));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let found = Found::at(Place::Tcp(([127, 0, 0, 1], 1).into()));
        let endpoint = Endpoint::new(found, 1, BreakerSettings::default(), 1, None);
        let held: Vec<_> = (0..5).map_while(|_| endpoint.enter(3)).collect();
        assert_eq!((held.len(), endpoint.in_flight()), (3, 3));
        drop(held);
        assert_eq!(endpoint.in_flight(), 0);
    }
}
