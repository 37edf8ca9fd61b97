//! A breaker: stops asking an upstream that fails, and finds out by a few requests when it is well again.
//!
//! Why: work sent to an upstream that cannot do it is lost twice: the client waits for a failure, and the upstream spends on it
//! what it needs to recover.
//!
//! ```text
//!            5 failures in a row,
//!            half of ≥ 20 failed within 10 s,       open time over
//!            or a share of slow ones                and somebody asks
//!   Closed ─────────────────────────────────▶ Open ────────────────▶ Probing
//!      ▲                                       ▲  a probe fails        │  │
//!      │                                       └───────────────────────┘  │
//!      └──────────────────────────────────────────────────────────────────┘
//!                         as many probes as `probes` succeed
//! ```
//!
//! *Open time:* [`BreakerSettings::open`], doubled each time that it trips again before it was closed for as long as it had
//! been open, at most [`BreakerSettings::max_open`]; and up to a sixteenth more, so that a fleet does not probe as one.
//! Worked numbers: 10 s, then 20, 40, 80, 120, 120 s, each plus up to 6.25 %.
//!
//! *Generations:* every change of state begins a new one. What began in an earlier one neither closes nor trips anything: a slow
//! success that arrives after the trip says nothing of the present, and neither does the tail of failures that made it trip.
//!
//! *Truth without traffic:* the state is derived from the time when it is read. A breaker whose open time is over and that
//! nobody asks refuses nobody, so it reads as closed; what comes next is still a probe.
//!
//! Out of scope: what counts as a failure, and what to do with a request that is refused.

mod settings;
mod window;

use std::num::NonZeroU32;

pub use settings::BreakerSettings;
use window::{Tally, Window};

use crate::retry_after::Jitter;
use crate::time::nanos;
use crate::{Duration, Instant};

/// Up to this share is added to the open time: 10 s become at most 10.625 s, so that whoever waits 11 s has waited enough.
const JITTER: f64 = 1.0 / 16.0;
/// Doublings of the open time that are counted: 2^20 times anything sensible is above every maximum.
const MOST_DOUBLINGS: u32 = 20;

/// One upstream endpoint's breaker; see the module.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    generation: u64,
    consecutive: u32,
    window: Window,
    /// Trips in a row, the present one included, of which each followed too soon upon the one before.
    repeats: u32,
    /// How long the last open time was, and when it closed after it; zero and the origin before the first trip.
    last_open: Duration,
    closed_at: Instant,
    trips: u64,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Until this moment everything is refused; the first that asks afterwards begins to probe.
    Open {
        until: Instant,
    },
    /// So many probes are under way, so many have succeeded. `since`: when the last one began or ended.
    Probing {
        under_way: u32,
        succeeded: u32,
        since: Instant,
    },
}

/// What a breaker does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It lets everything through, or would let the next request through as a probe.
    Closed,
    /// It refuses everything until then.
    Open {
        /// When it lets the first probe through.
        until: Instant,
    },
    /// Probes are under way; it refuses what goes beyond their number.
    Probing,
}

/// The right to one exchange. It is given back with [`Breaker::on_end`], however the exchange ends.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that is not ended keeps its place"]
pub struct BreakerCall {
    generation: u64,
    probe: bool,
}

impl BreakerCall {
    /// Whether it tries out if the breaker can close.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// How an exchange ended, for a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerResult {
    /// The upstream answered as it should, after this time.
    Success(Duration),
    /// It did not: no answer in time, a broken connection, a failure of its own.
    Failure,
    /// Nothing can be said: the client left, or gave it too little time.
    Unknown,
}

/// What [`Breaker::on_end`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// It opened, or opened again.
    Tripped,
    /// It closed.
    Closed,
}

impl Breaker {
    /// A closed one. `seed` varies the jitter of its open times.
    #[must_use]
    pub fn new(settings: BreakerSettings, seed: u64) -> Self {
        Self {
            settings,
            phase: Phase::Closed,
            generation: 0,
            consecutive: 0,
            window: Window::new(settings.window),
            repeats: 0,
            last_open: Duration::ZERO,
            closed_at: Instant::ORIGIN,
            trips: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// Puts other settings in force. An open time that has begun stays as it is.
    pub fn reconfigure(&mut self, settings: BreakerSettings) {
        if settings.window != self.settings.window {
            self.window = Window::new(settings.window);
        }
        self.settings = settings;
    }

    /// What it does at this moment.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Open { until } if now < until => BreakerState::Open { until },
            Phase::Probing { under_way: 1.., .. } => BreakerState::Probing,
            // Some probes succeeded, and the rest of them will be soon, or there is no traffic.
            Phase::Probing { since, .. } if now < since + self.settings.open => BreakerState::Probing,
            Phase::Closed | Phase::Open { .. } | Phase::Probing { .. } => BreakerState::Closed,
        }
    }

    /// Whether it has tripped and has not closed since: what it lets through are probes.
    #[must_use]
    pub const fn is_tripped(&self) -> bool {
        !matches!(self.phase, Phase::Closed)
    }

    /// How often it tripped.
    #[must_use]
    pub const fn trips(&self) -> u64 {
        self.trips
    }

    /// Whether [`Self::try_begin`] would let an exchange through at this moment.
    ///
    /// # Errors
    /// How long it is worth waiting before asking again: the rest of the open time, or zero while the probes decide.
    pub fn check(&self, now: Instant) -> Result<(), Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Err(until.saturating_since(now)),
            Phase::Probing { under_way, succeeded, .. }
                if under_way + succeeded >= self.settings.probes.get() =>
            {
                Err(Duration::ZERO)
            }
            Phase::Closed | Phase::Open { .. } | Phase::Probing { .. } => Ok(()),
        }
    }

    /// For how long it has let a probe through and nobody has made one; `None` while it lets none through, or is closed.
    #[must_use]
    pub fn probe_due_for(&self, now: Instant) -> Option<Duration> {
        self.check(now).ok()?;
        match self.phase {
            Phase::Closed => None,
            Phase::Open { until: since } | Phase::Probing { since, .. } => Some(now.saturating_since(since)),
        }
    }

    /// Lets an exchange through that begins now.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn try_begin(&mut self, now: Instant) -> Result<BreakerCall, Duration> {
        self.check(now)?;
        if matches!(self.phase, Phase::Open { .. }) {
            self.enter(Phase::Probing { under_way: 0, succeeded: 0, since: now });
        }
        if let Phase::Probing { under_way, since, .. } = &mut self.phase {
            *under_way += 1;
            *since = now;
        }
        Ok(BreakerCall { generation: self.generation, probe: self.is_tripped() })
    }

    /// An exchange ended. `may_trip`: whether it may open now; a balancer that must keep a part of its endpoints says no. Then it
    /// goes on as before, and looks at the next failures afresh.
    pub fn on_end(
        &mut self,
        now: Instant,
        call: BreakerCall,
        result: BreakerResult,
        may_trip: impl FnOnce() -> bool,
    ) -> Option<BreakerChange> {
        if call.generation != self.generation {
            return None;
        }
        let failed = result == BreakerResult::Failure;
        let slow = matches!(result, BreakerResult::Success(took) if self.is_slow(took));
        let Phase::Probing { under_way, succeeded, since } = &mut self.phase else {
            return self.on_closed_end(now, result, slow, may_trip);
        };
        *under_way -= 1;
        *since = now;
        if failed || slow {
            self.trip(now);
            return Some(BreakerChange::Tripped);
        }
        if result != BreakerResult::Unknown {
            *succeeded += 1;
            if *succeeded >= self.settings.probes.get() {
                self.close(now);
                return Some(BreakerChange::Closed);
            }
        }
        None
    }

    /// Closes it by another's word: a health check that passed.
    pub fn force_close(&mut self, now: Instant) {
        if self.is_tripped() {
            self.close(now);
        }
    }

    fn on_closed_end(
        &mut self,
        now: Instant,
        result: BreakerResult,
        slow: bool,
        may_trip: impl FnOnce() -> bool,
    ) -> Option<BreakerChange> {
        let failed = match result {
            BreakerResult::Unknown => return None,
            BreakerResult::Failure => true,
            BreakerResult::Success(_) => false,
        };
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        let tally = self.window.record(now, failed, slow);
        if !self.is_too_much(&tally, failed, slow) {
            return None;
        }
        if !may_trip() {
            self.forget();
            return None;
        }
        self.trip(now);
        Some(BreakerChange::Tripped)
    }

    /// Whether the exchange that was just counted is the one too many.
    fn is_too_much(&self, tally: &Tally, failed: bool, slow: bool) -> bool {
        let Self { settings, consecutive, .. } = self;
        let enough = tally.total >= settings.min_requests.get();
        let row = |most: NonZeroU32| *consecutive >= most.get();
        failed && settings.consecutive_failures.is_some_and(row)
            || failed && enough && settings.failure_rate.is_some_and(|share| tally.failures_reach(share))
            || slow && enough && settings.slow_rate.is_some_and(|share| tally.slow_reach(share))
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.settings.slow_rate.is_some() && took >= self.settings.slow_call
    }

    fn trip(&mut self, now: Instant) {
        let too_soon =
            self.is_tripped() || self.trips > 0 && now.saturating_since(self.closed_at) < self.last_open;
        self.repeats = if too_soon { (self.repeats + 1).min(MOST_DOUBLINGS) } else { 0 };
        let BreakerSettings { open, max_open, .. } = self.settings;
        let longest = max_open.max(open);
        self.last_open = open.saturating_mul(1 << self.repeats).min(longest);
        let extra = nanos(self.last_open) as f64 * JITTER * self.jitter.unit();
        self.trips += 1;
        self.enter(Phase::Open { until: now + self.last_open + Duration::from_nanos(extra as u64) });
    }

    fn close(&mut self, now: Instant) {
        self.closed_at = now;
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        self.forget();
    }

    fn forget(&mut self) {
        self.consecutive = 0;
        self.window.clear();
    }
}
