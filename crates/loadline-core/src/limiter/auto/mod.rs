//! `auto`: the limit that nobody has to tune. It tries other limits, and keeps what throughput tells it to keep.
//!
//! While the limit is in the way, `auto` now and then puts a higher or a lower one in force for a few service times, counts what is
//! answered, and compares (see [`verdict`] for the arithmetic, [`trial`] for what follows):
//!
//! ```text
//! the higher one gave more throughput     it becomes the limit
//! the lower one gave as much              it becomes the limit
//! the lower one gave less                 it shows how many keep the service busy; a quarter to a half more become the limit
//! ```
//!
//! Throughput is work answered per second (see [`weights`]), counted, never computed from latency: so it has no baseline that could
//! drift, and "three times slower" (the same limit still gives the most) differs from "a quarter of the parallelism" (a quarter of
//! the limit gives as much).
//!
//! Units: slots, answers, nanoseconds. Sources: the marginal throughput of Protego (NSDI 2023) and Cinnamon; Little's law (1961) for the
//! [`knee`]; the tests are Wald's (1945) and Page's (1954). That trials are paid from a budget is ours.
//!
//! # When it acts
//! - Only while the limit is in the way, nearly all of the time: what an application shaped says nothing about the limit. An
//!   unused limit does not rise, and falls only to twice its use (see [`disuse`]).
//! - A trial of a lower limit costs throughput when the limit was right, so it is rare (see [`choice`]).
//! - When throughput falls as the limit rises, the service thrashes (see [`slope`]): then the limit goes by steps to where it gives most.
//! - When throughput changes abruptly, what was learned is forgotten, and a trial begins at once (see [`change`]). What was right before
//!   a fall is tried again (see [`former`]).
//! - When most of what was admitted times out or is given up, there is nothing to compare; the limit goes down.
//!
//! # What it cannot do
//! With few answers per second it takes long to be sure, and until then the limit stays where it is. A limit that is too low while nobody waits
//! long enough to be noticed stays as it is.

mod change;
mod choice;
mod disuse;
mod former;
mod knee;
mod meter;
mod slope;
mod trial;
mod tuning;
mod verdict;
mod weights;

use std::num::NonZeroU32;

use super::{Facts, LimitRange, Load, Sample, Why};
use crate::{Duration, Instant, Outcome, time::nanos};

use change::Change;
use disuse::Disuse;
use former::Former;
use knee::Alone;
use meter::Meter;
use slope::Slope;
use trial::{Direction, Trial};
use tuning::{
    BUDGET, COARSE, FIRST_CREDIT, LONGEST_PERIOD, MOST_CREDIT, PERIOD, PERIOD_ANSWERS, SHORTEST_PERIOD,
    SOONEST, SOONEST_DROPPED, WIDEST,
};
use verdict::{Comparison, Dispersion};
use weights::Weights;

/// Settings of [`LimiterSettings::Auto`](crate::LimiterSettings::Auto).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AutoSettings {
    /// Where it begins and how low it goes.
    pub range: LimitRange,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Auto {
    settings: AutoSettings,
    max: u32,
    /// The limit it stands by.
    limit: u32,
    trial: Option<Trial>,
    /// Up to where time is accounted for.
    seen: Instant,
    period: Period,
    /// At the limit it stands by: the last period, and during a trial all since it began.
    base: Meter,
    /// What the limit gave before, to notice an abrupt change.
    usual: Option<Meter>,
    /// What was done while the limit was not in the way, if that was just before.
    eased: Meter,
    up: Direction,
    down: Direction,
    /// Which kind was tried last.
    went_up: bool,
    weights: Weights,
    dispersion: Dispersion,
    /// Mean time a slot is held, in nanoseconds.
    held: f64,
    compared: Option<Comparison>,
    bound: f64,
    /// Since when the limit has been in the way without a break.
    bound_since: Option<Instant>,
    /// Time's worth of throughput that trials may lose, in nanoseconds.
    credit: f64,
    /// What was before the last abrupt fall of throughput, until it is back.
    former: Option<Former>,
    disuse: Disuse,
    /// Whether throughput fell when a higher limit was tried, and nothing has changed since.
    thrashes: bool,
    /// Whether throughput has just changed abruptly, so that the next period should be short.
    shocked: bool,
    /// How long a request takes when few are in the service.
    alone: Alone,
    /// The elasticity between the limit and a lower one that gave less, if that was just measured.
    showed: Option<f64>,
    /// A higher limit that would leave room for chance, if it does no harm.
    room: Option<u32>,
    /// How throughput changes above the limit.
    slope: Slope,
    /// Whether it has changed abruptly.
    change: Change,
}

/// The time since the limit in force changed, or since the last one ended.
#[derive(Clone, Copy, Debug, Default)]
struct Period {
    /// From then on it counts; `None` until the number in flight has followed.
    settled: Option<Instant>,
    began: Instant,
    meter: Meter,
}

impl Auto {
    pub(super) fn new(settings: AutoSettings, max: NonZeroU32) -> Self {
        let limit = settings.range.first(max) as u32;
        Self {
            settings,
            max: max.get(),
            limit,
            trial: None,
            seen: Instant::ORIGIN,
            period: Period::default(),
            base: Meter::default(),
            usual: None,
            eased: Meter::default(),
            up: Direction { width: WIDEST, next: Instant::ORIGIN, vain: 0 },
            down: Direction { width: COARSE, next: Instant::ORIGIN, vain: 0 },
            went_up: false,
            weights: Weights::default(),
            dispersion: Dispersion::default(),
            held: 0.0,
            compared: None,
            bound: 0.0,
            bound_since: None,
            credit: nanos(FIRST_CREDIT) as f64,
            former: None,
            disuse: Disuse::default(),
            thrashes: false,
            shocked: false,
            alone: Alone::default(),
            showed: None,
            room: None,
            slope: Slope::default(),
            change: Change::default(),
        }
    }

    pub(super) fn reconfigure(&mut self, settings: AutoSettings, max: NonZeroU32) {
        let before = self.limit;
        self.limit = settings.range.clamp(f64::from(self.limit), max) as u32;
        if self.limit < before {
            // An endpoint is away, perhaps: when it is back, what was right before is the first to be tried.
            self.remember_former(before, self.base.rate(), false);
        }
        if self.max != max.get() {
            self.up = Direction { width: WIDEST, next: self.seen, vain: u32::from(self.former.is_some()) };
        }
        (self.settings, self.max) = (settings, max.get());
        self.pause(self.seen);
    }

    /// The limit in force.
    pub(super) fn limit(&self) -> NonZeroU32 {
        let level = match &self.trial {
            Some(trial) if trial.on => trial.level,
            _ => self.limit,
        };
        NonZeroU32::new(level).unwrap_or(NonZeroU32::MIN)
    }

    /// The limit it stands by.
    pub(super) fn settled(&self) -> NonZeroU32 {
        NonZeroU32::new(self.limit).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn min(&self) -> NonZeroU32 {
        NonZeroU32::new(self.settings.range.min.get().min(self.max)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn facts(&self) -> Facts {
        let arms = self.trial.map(|trial| (trial.level.min(self.limit), trial.level.max(self.limit)));
        Facts {
            arms,
            elasticity: self.compared.map(|compared| compared.elasticity),
            standard_error: self.compared.map(|compared| compared.standard_error),
            bound: Some(self.bound),
        }
    }

    /// When a lowered limit is given up even if nothing happens.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let trial = self.trial.as_ref()?;
        let later = if trial.on { trial.level < self.limit } else { trial.level > self.limit };
        later.then(|| self.period.began + LONGEST_PERIOD + LONGEST_PERIOD)
    }

    /// What was measured is void.
    pub(super) fn pause(&mut self, now: Instant) {
        self.trial = None;
        self.base = Meter::default();
        self.usual = None;
        self.seen = now;
        self.switch(now);
    }

    pub(super) fn advance(&mut self, now: Instant, load: Load) -> Why {
        let from = std::mem::replace(&mut self.seen, now);
        let elapsed = now.nanos_since(from);
        if elapsed > 0 {
            self.credit = (self.credit + BUDGET * elapsed as f64).min(nanos(MOST_CREDIT) as f64);
            if load.bound {
                self.bound_since.get_or_insert(from);
            } else {
                self.bound_since = None;
            }
            self.elapse(from, now, load);
        }
        if let Some(useful) = self.disuse.observe(now, load.in_flight)
            && useful.max(self.min().get()) < self.limit
        {
            self.settle_on(now, useful.max(self.min().get()));
            return Why::Unused;
        }
        // Nothing ended for so long that nobody else would say that it is over.
        if self.wakes_at().is_some_and(|at| at <= now) { self.end_period(now) } else { Why::Law }
    }

    pub(super) fn on_complete(&mut self, now: Instant, sample: &Sample) -> Why {
        if sample.outcome == Outcome::Completed {
            let held = sample.held_nanos as f64;
            self.held = if self.held == 0.0 { held } else { self.held + (held - self.held) / 16.0 };
        }
        let held = sample.held_nanos as f64 * f64::from(sample.cost);
        let settled = self.period.settled.is_some_and(|settled| settled <= now);
        let limit = self.limit;
        let weight = (sample.outcome == Outcome::Completed).then(|| self.weights.weigh(sample, limit));
        if let Some(weight) = weight {
            match &mut self.trial {
                Some(trial) if trial.level < limit => trial.few.observe(sample.in_flight, weight, held),
                _ => self.alone.observe(sample.in_flight, weight, held),
            }
        }
        let mut meters = [settled.then_some(&mut self.period.meter), None];
        if let Some(trial) = &mut self.trial
            && trial.on
        {
            meters[1] = Some(&mut trial.gross);
        }
        for meter in meters.into_iter().flatten() {
            match (weight, sample.outcome) {
                (Some(weight), _) => meter.answer(weight, held),
                (None, Outcome::TimedOut | Outcome::Aborted) => meter.waste(),
                _ => {}
            }
        }
        if settled { self.decide(now) } else { Why::Law }
    }

    /// Time went by under this load.
    fn elapse(&mut self, from: Instant, now: Instant, load: Load) {
        if let Some(trial) = &mut self.trial
            && trial.on
        {
            trial.gross.elapse(now.nanos_since(from), load);
        }
        if self.period.settled.is_none() {
            // A lowered limit is in force when as many have ended; a raised one at once. While critical requests use the reserve,
            // there are always more.
            let waited = now.saturating_since(self.period.began);
            if load.in_flight > self.limit().get() && waited < self.settling() + self.settling() {
                return;
            }
            self.period.settled = Some(from + self.settling());
        }
        let Some(settled) = self.period.settled else { return };
        let since = from.max(settled);
        if since < now {
            self.period.meter.elapse(now.nanos_since(since), load);
        }
    }

    /// One service time, so that who was admitted before has left. Under a lower limit it is shorter if it is long because of how
    /// many there were, and else a part of it has passed while they became fewer.
    fn settling(&self) -> Duration {
        let share = match &self.trial {
            Some(trial) if trial.on && trial.level < self.limit => {
                f64::from(trial.level) / f64::from(self.limit)
            }
            _ => 1.0,
        };
        Duration::from_nanos(((self.held * share) as u64).min(nanos(LONGEST_PERIOD)))
    }

    /// What the numbers say by now.
    fn decide(&mut self, now: Instant) -> Why {
        let meter = self.period.meter;
        let answered = f64::from(meter.answered + meter.wasted);
        let all = meter.nanos >= nanos(SHORTEST_PERIOD)
            && answered >= if self.shocked { SOONEST } else { PERIOD } * meter.level()
            && (self.shocked || meter.answered + meter.wasted >= PERIOD_ANSWERS)
            || meter.nanos >= nanos(LONGEST_PERIOD);
        if let Some(trial) = &self.trial
            && trial.on
        {
            let mut tried = trial.meter;
            tried.add(&meter);
            let rounds = f64::from(tried.answered + tried.wasted) / tried.level().max(1.0);
            if rounds >= SOONEST_DROPPED
                && let Some(why) = self.judge(now, &tried, rounds >= SOONEST)
            {
                return why;
            }
        } else if self.notice_change(now, &meter) {
            return Why::Law;
        }
        if all { self.end_period(now) } else { Why::Law }
    }
}
