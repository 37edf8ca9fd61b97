//! `auto`: the limit that nobody has to tune. It tries other limits, and keeps what throughput tells it to keep.
//!
//! While the limit is in the way, `auto` now and then puts a higher or a lower one in force for a few service times, counts what is
//! answered, and compares (see [`verdict`] for the arithmetic):
//!
//! ```text
//! the higher one gave more throughput     it becomes the limit
//! the lower one gave as much              it becomes the limit
//! neither                                 the limit stays; the next trial is narrower, and later
//! ```
//!
//! Throughput is work answered per second (see [`weights`]), counted, never computed from latency: so it has no baseline that could
//! drift, and "three times slower" (the same limit still gives the most) differs from "a quarter of the parallelism" (a quarter of
//! the limit gives as much).
//!
//! Units: slots, answers, nanoseconds. Source: the marginal throughput of Protego (NSDI 2023) and Cinnamon; the sequential test is
//! Wald's; that trials are paid from a budget is ours.
//!
//! # When it acts
//! - Only while the limit is in the way, nearly all of the time: what an application shaped says nothing about the limit. An
//!   unused limit neither rises nor falls.
//! - A trial of a lower limit costs throughput when the limit was right. Such cost is measured, and the next trial of the kind waits until
//!   the loss is at most [`BUDGET`] of the throughput. So it is rare when it is expensive, and frequent when it is free.
//! - When throughput changes abruptly, widths and waiting times are forgotten, and a trial begins at once: a lower limit by as much as
//!   throughput fell, or a doubled one.
//! - When most of what was admitted times out or is given up, there is nothing to compare; the limit goes down.
//!
//! # What it cannot do
//! With few answers per second it takes long to be sure, and until then the limit stays where it is. Where throughput is flat, any limit is as
//! good as another to it, and how long requests take inside the service is not its criterion. A limit that is too low while nobody waits
//! long enough to be noticed stays as it is.

mod meter;
mod verdict;
mod weights;

use std::num::NonZeroU32;

use super::{Facts, LimitRange, Load, Sample, Why};
use crate::{Duration, Instant, Outcome, time::nanos};

use meter::Meter;
use verdict::{Comparison, Dispersion, Verdict};
use weights::Weights;

/// The share of the throughput that trials may cost.
const BUDGET: f64 = 0.01;
/// Share of the time in which the limit must have been in the way.
const BOUND: f64 = 0.9;
/// A period lasts so many service times after it has settled: alternating more often would leave less to count, more seldom
/// would take a service that changes for an effect of the limit.
const PERIOD: f64 = 4.0;
/// A verdict needs so many service times: workers that finish together look like speed until they have finished twice.
const SOONEST: f64 = 2.0;
/// Answers that a period is given time for.
const PERIOD_ANSWERS: u32 = 32;
/// A period is over after this long whatever happens.
const LONGEST_PERIOD: Duration = Duration::from_secs(2);
/// Shortest period.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
/// A trial that is not clear after so many periods is given up.
const ROUNDS: u32 = 16;
/// The narrowest and the widest trial, as a share of the limit.
const NARROWEST: f64 = 0.1;
const WIDEST: f64 = 1.0;
/// After a trial that changed the limit the next is wider by this, else narrower.
const WIDER: f64 = 1.5;
const NARROWER: f64 = 0.5;
/// Longest time between trials of a kind that cost nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Throughput changed abruptly: by this factor (as a logarithm), and so many standard errors.
const SHOCK: f64 = 0.3;
const SHOCK_ERRORS: f64 = 4.0;
/// What is left of the limit when most of what was admitted is wasted.
const CUT: f64 = 0.7;

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
}

/// Another limit that is being tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    level: u32,
    /// Whether it is in force now, and not the limit it is compared with.
    on: bool,
    began: Instant,
    rounds: u32,
    meter: Meter,
    /// All of the time in which it was in force, settling included.
    gross: Meter,
    /// The last period of it.
    last: Option<Meter>,
}

/// The time since the limit in force changed, or since the last one ended.
#[derive(Clone, Copy, Debug, Default)]
struct Period {
    /// From then on it counts; `None` until the number in flight has followed.
    settled: Option<Instant>,
    began: Instant,
    meter: Meter,
}

/// How trials in one direction go.
#[derive(Clone, Copy, Debug)]
struct Direction {
    width: f64,
    /// Not before.
    next: Instant,
    /// Trials in a row that changed nothing.
    vain: u32,
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
            up: Direction { width: 1.0, next: Instant::ORIGIN, vain: 0 },
            down: Direction { width: 0.5, next: Instant::ORIGIN, vain: 0 },
            went_up: false,
            weights: Weights::default(),
            dispersion: Dispersion::default(),
            held: 0.0,
            compared: None,
            bound: 0.0,
        }
    }

    pub(super) fn reconfigure(&mut self, settings: AutoSettings, max: NonZeroU32) {
        self.limit = settings.range.clamp(f64::from(self.limit), max) as u32;
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
            self.elapse(from, now, load);
        }
        Why::Law
    }

    pub(super) fn on_complete(&mut self, now: Instant, sample: &Sample, load: Load) -> Why {
        let _ = load;
        if sample.outcome == Outcome::Completed {
            let held = sample.held_nanos as f64;
            self.held = if self.held == 0.0 { held } else { self.held + (held - self.held) / 16.0 };
        }
        let settled = self.period.settled.is_some_and(|settled| settled <= now);
        let weight = (sample.outcome == Outcome::Completed).then(|| self.weights.weigh(sample));
        let mut meters = [settled.then_some(&mut self.period.meter), None];
        if let Some(trial) = &mut self.trial
            && trial.on
        {
            meters[1] = Some(&mut trial.gross);
        }
        for meter in meters.into_iter().flatten() {
            match (weight, sample.outcome) {
                (Some(weight), _) => meter.answer(weight),
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
            // A lowered limit is in force when as many have ended; a raised one at once.
            if load.in_flight > self.limit().get() {
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

    /// One service time, so that who was admitted before has left.
    fn settling(&self) -> Duration {
        Duration::from_nanos((self.held as u64).min(nanos(LONGEST_PERIOD)))
    }

    /// What the numbers say by now.
    fn decide(&mut self, now: Instant) -> Why {
        let meter = self.period.meter;
        let elapsed = meter.nanos as f64;
        let all = elapsed >= nanos(SHORTEST_PERIOD) as f64
            && elapsed >= PERIOD * self.held
            && meter.answered >= PERIOD_ANSWERS
            || meter.nanos >= nanos(LONGEST_PERIOD);
        if let Some(trial) = &self.trial
            && trial.on
        {
            let mut tried = trial.meter;
            tried.add(&meter);
            if tried.nanos as f64 >= SOONEST * self.held
                && let Some(why) = self.judge(now, &tried)
            {
                return why;
            }
        }
        if all { self.end_period(now) } else { Why::Law }
    }

    /// Ends the trial if what was measured so far is clear.
    fn judge(&mut self, now: Instant, tried: &Meter) -> Option<Why> {
        let trial = self.trial?;
        let up = trial.level > self.limit;
        let compared = if up {
            Comparison::of(&self.base, tried, self.dispersion)
        } else {
            Comparison::of(tried, &self.base, self.dispersion)
        }?;
        self.compared = Some(compared);
        match (compared.verdict(), up) {
            (Verdict::Open, _) => None,
            (Verdict::Grows, true) => {
                let used = if tried.bound() < BOUND {
                    tried.peak.clamp(self.limit + 1, trial.level)
                } else {
                    trial.level
                };
                self.accept(now, used, tried);
                Some(Why::MoreThroughput)
            }
            (Verdict::Flat, false) => {
                if tried.bound() < BOUND {
                    self.give_up(now);
                    return Some(Why::Law);
                }
                self.accept(now, trial.level, tried);
                Some(Why::NoLoss)
            }
            (Verdict::Flat, true) | (Verdict::Grows, false) => {
                self.reject(now);
                Some(Why::Law)
            }
        }
    }

    /// A period has been long enough.
    fn end_period(&mut self, now: Instant) -> Why {
        let meter = self.period.meter;
        let Some(trial) = self.trial else { return self.end_base_period(now, &meter) };
        self.bound = meter.bound();
        let up = trial.level > self.limit;
        let mut trial = trial;
        if trial.on {
            if let Some(last) = &trial.last {
                self.dispersion.learn(last, &meter);
            }
            trial.meter.add(&meter);
            trial.last = Some(meter);
            if meter.bound() < BOUND && !up {
                self.give_up(now);
                return Why::Law;
            }
        } else {
            if meter.bound() < BOUND {
                self.give_up(now);
                return Why::Law;
            }
            if let Some(usual) = self.usual {
                self.dispersion.learn(&usual, &meter);
            }
            self.usual = Some(meter);
            self.base.add(&meter);
        }
        trial.rounds += 1;
        trial.on = !trial.on;
        if trial.rounds >= ROUNDS {
            self.reject(now);
            return Why::Law;
        }
        self.trial = Some(trial);
        self.switch(now);
        Why::Law
    }

    fn end_base_period(&mut self, now: Instant, meter: &Meter) -> Why {
        self.bound = meter.bound();
        self.period.meter = Meter::default();
        if meter.bound() < BOUND {
            self.base = Meter::default();
            return Why::Law;
        }
        if meter.wasted > meter.answered && meter.wasted >= 5 {
            let cut = ((f64::from(self.limit) * CUT) as u32).max(self.min().get());
            self.settle_on(now, cut.min(self.limit));
            return Why::TimedOut;
        }
        self.notice_shock(now, meter);
        self.base = *meter;
        self.begin_trial(now);
        Why::Law
    }

    /// Compares with what was usual.
    fn notice_shock(&mut self, now: Instant, meter: &Meter) {
        if let Some(usual) = self.usual.replace(*meter) {
            let (before, after) = (usual.rate().max(1e-15), meter.rate().max(1e-15));
            let y = super::number::ln(after / before);
            let error = (self.dispersion.get() * (1.0 / usual.count() + 1.0 / meter.count())).sqrt();
            if y.abs() > SHOCK && y.abs() > SHOCK_ERRORS * error {
                self.up = Direction { width: WIDEST, next: now, vain: 0 };
                let fell = (before / after).clamp(1.5, 4.0) - 1.0;
                self.down = Direction { width: if y < 0.0 { fell } else { 0.5 }, next: now, vain: 0 };
                // The next trial goes the way that throughput went.
                self.went_up = y < 0.0;
                return;
            }
            self.dispersion.learn(&usual, meter);
        }
    }

    fn begin_trial(&mut self, now: Instant) {
        let limit = f64::from(self.limit);
        let higher =
            ((limit * (1.0 + self.up.width)) as u32).clamp(self.limit + 1, self.max.max(self.limit + 1));
        let lower = ((limit / (1.0 + self.down.width)) as u32 + 1).min(self.limit.saturating_sub(1));
        let can_up = higher <= self.max && now >= self.up.next;
        let can_down = lower >= self.min().get() && now >= self.down.next;
        let level = match (can_up, can_down, self.went_up) {
            (true, false, _) | (true, true, false) => higher,
            (false, true, _) | (true, true, true) => lower,
            (false, false, _) => return,
        };
        self.went_up = level > self.limit;
        self.trial = Some(Trial {
            level,
            on: true,
            began: now,
            rounds: 0,
            meter: Meter::default(),
            gross: Meter::default(),
            last: None,
        });
        self.switch(now);
    }

    /// The limit in force has changed.
    fn switch(&mut self, now: Instant) {
        self.period = Period { settled: None, began: now, meter: Meter::default() };
    }

    fn settle_on(&mut self, now: Instant, limit: u32) {
        self.limit = limit;
        self.trial = None;
        self.usual = None;
        self.base = Meter::default();
        self.switch(now);
    }

    fn accept(&mut self, now: Instant, limit: u32, tried: &Meter) {
        let up = limit > self.limit;
        self.settle_on(now, limit);
        let (this, other) = if up { (&mut self.up, &mut self.down) } else { (&mut self.down, &mut self.up) };
        this.width = (this.width * WIDER).min(WIDEST);
        (this.next, this.vain) = (now, 0);
        other.next = other.next.max(now);
        other.vain = 0;
        self.went_up = !up;
        // It was measured as well as any.
        self.base = *tried;
        self.usual = Some(*tried);
        self.begin_trial(now);
    }

    fn reject(&mut self, now: Instant) {
        let Some(trial) = self.trial.take() else { return };
        let up = trial.level > self.limit;
        let direction = if up { &mut self.up } else { &mut self.down };
        direction.vain += 1;
        direction.width = (direction.width * NARROWER).max(NARROWEST);
        let expected = self.base.rate() * trial.gross.nanos as f64;
        let lost = ((expected - trial.gross.work()) / self.base.rate().max(1e-15)).max(0.0);
        let took = now.nanos_since(trial.began) as f64;
        let pause = (lost / BUDGET).max((took * f64::from(direction.vain)).min(nanos(LONGEST_PAUSE) as f64));
        direction.next = now + Duration::from_nanos(pause as u64);
        self.base = Meter::default();
        self.switch(now);
    }

    /// The trial became meaningless.
    fn give_up(&mut self, now: Instant) {
        self.trial = None;
        self.base = Meter::default();
        self.switch(now);
    }
}
