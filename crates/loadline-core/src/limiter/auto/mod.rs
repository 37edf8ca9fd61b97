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
//!   unused limit does not rise, and falls only to twice its use (see [`disuse`]).
//! - A trial of a lower limit costs throughput when the limit was right. It is paid from an account that grows with time, so that all trials
//!   together lose at most 1 % of the throughput: they are rare when they are expensive, and frequent when they are free.
//! - When throughput fell as a higher limit was tried, that is worth a trial of a lower one whatever it costs, and higher ones are tried
//!   seldom: the service thrashes.
//! - When throughput changes abruptly, widths and waiting times are forgotten, and a trial begins at once: a lower limit by as much as
//!   throughput fell, or a doubled one.
//! - When most of what was admitted times out or is given up, there is nothing to compare; the limit goes down.
//!
//! # What it cannot do
//! With few answers per second it takes long to be sure, and until then the limit stays where it is. Where throughput is flat, any limit is as
//! good as another to it, and how long requests take inside the service is not its criterion. A limit that is too low while nobody waits
//! long enough to be noticed stays as it is.

mod disuse;
mod meter;
mod tuning;
mod verdict;
mod weights;

use std::num::NonZeroU32;

use super::{Facts, LimitRange, Load, Sample, Why};
use crate::{Duration, Instant, Outcome, time::nanos};

use disuse::Disuse;
use meter::Meter;
use tuning::{
    BOUND, BUDGET, CHEAP, COARSE, CUT, FALLS, FEWEST_ROUNDS, FIRST_CREDIT, LONGEST_PAUSE,
    LONGEST_PAUSE_FALLS, LONGEST_PAUSE_UP, LONGEST_PERIOD, LONGEST_TRIAL, LONGEST_TRIAL_LOW,
    LONGEST_TRIAL_UP, MOST_CREDIT, NARROWER, NARROWEST, NARROWEST_UP, OVERLOADED, OVERLOADED_ANSWERS,
    OVERLOADED_AT_LAST, PERIOD, PERIOD_ANSWERS, SHOCK, SHOCK_ANSWERS, SHOCK_ERRORS, SHORTEST_PERIOD, SOONEST,
    SOONEST_DROPPED, WIDER, WIDEST, WIDEST_DOWN,
};
use verdict::{Comparison, Dispersion, Growth, Verdict, answers_needed};
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
    /// The limit before the last abrupt fall of throughput, until it is reached again.
    former: Option<u32>,
    /// Whether it did harm to try that.
    former_is_dear: bool,
    disuse: Disuse,
    /// Whether throughput fell when a higher limit was tried, and nothing has changed since.
    thrashes: bool,
    /// Whether throughput has just changed abruptly, so that the next period should be short.
    shocked: bool,
}

/// Another limit that is being tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    level: u32,
    /// What it must give to be adopted, or cost not to be.
    growth: Growth,
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
            bound_since: None,
            credit: nanos(FIRST_CREDIT) as f64,
            former: None,
            former_is_dear: false,
            disuse: Disuse::default(),
            thrashes: false,
            shocked: false,
        }
    }

    pub(super) fn reconfigure(&mut self, settings: AutoSettings, max: NonZeroU32) {
        let before = self.limit;
        self.limit = settings.range.clamp(f64::from(self.limit), max) as u32;
        if self.limit < before {
            // An endpoint is away, perhaps: when it is back, what was right before is the first to be tried.
            self.former = Some(before.max(self.former.unwrap_or(0)));
            self.former_is_dear = false;
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
        } else if self.is_shock(&meter) {
            self.react_to_shock(now, &meter);
            return Why::Law;
        }
        if all { self.end_period(now) } else { Why::Law }
    }

    /// Ends the trial if what was measured so far is clear.
    fn judge(&mut self, now: Instant, tried: &Meter, adoptable: bool) -> Option<Why> {
        let trial = self.trial?;
        let up = trial.level > self.limit;
        let compared = if up {
            Comparison::of(&self.base, tried, self.dispersion)
        } else {
            Comparison::of(tried, &self.base, self.dispersion)
        }?;
        self.compared = Some(compared);
        match (compared.verdict(trial.growth), up) {
            (Verdict::Open, _) => None,
            (Verdict::Grows, true) | (Verdict::Flat, false) if !adoptable => None,
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
                if up && compared.elasticity + compared.standard_error < FALLS {
                    self.thrashes = true;
                    (self.down.next, self.down.vain) = (now, 0);
                }
                self.reject(now, false);
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
        let longest = nanos(match self.former {
            Some(_) => LONGEST_TRIAL_LOW,
            None if up => LONGEST_TRIAL_UP,
            None => LONGEST_TRIAL,
        });
        if trial.rounds >= FEWEST_ROUNDS && now.nanos_since(trial.began) >= longest {
            self.trial = Some(trial);
            return self.lean(now, &trial);
        }
        self.trial = Some(trial);
        self.switch(now);
        Why::Law
    }

    /// It took too long. What is likely is done if it is certain enough not to be noise.
    fn lean(&mut self, now: Instant, trial: &Trial) -> Why {
        match self.compared.map(|compared| (compared.leaning(trial.growth), trial.level > self.limit)) {
            Some((Verdict::Grows, true)) => {
                self.accept(now, trial.level, &trial.meter);
                return Why::MoreThroughput;
            }
            Some((Verdict::Flat, false)) => {
                self.accept(now, trial.level, &trial.meter);
                return Why::NoLoss;
            }
            _ => {}
        }
        self.reject(now, true);
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
        if meter.wasted * 4 > meter.answered && meter.wasted >= 5 && self.is_overloaded(now) {
            // Fewer at a time would be done sooner: that is worth a trial.
            self.down.next = now;
            self.credit = nanos(MOST_CREDIT) as f64;
            self.went_up = true;
        }
        if let Some(usual) = self.usual.replace(*meter) {
            self.dispersion.learn(&usual, meter);
        }
        self.base.fade();
        self.base.add(meter);
        self.shocked = false;
        self.begin_trial(now);
        Why::Law
    }

    /// Whether the limit gives clearly more or less than it used to.
    fn is_shock(&self, meter: &Meter) -> bool {
        let Some(usual) = &self.usual else { return false };
        let (before, after) = (usual.rate().max(1e-15), meter.rate().max(1e-15));
        let expected = before * meter.nanos as f64;
        if expected < (SOONEST * usual.level()).max(SHOCK_ANSWERS) || meter.bound() < BOUND {
            return false;
        }
        let y = super::number::ln(after / before);
        let error = (self.dispersion.get().max(1.0)
            * (1.0 / usual.count() + 1.0 / meter.count().max(expected.min(1e3))))
        .sqrt();
        y.abs() > SHOCK && y.abs() > SHOCK_ERRORS * error
    }

    fn react_to_shock(&mut self, now: Instant, meter: &Meter) {
        let Some(usual) = self.usual else { return };
        let ratio = usual.rate() / meter.rate().max(1e-15);
        self.give_up(now);
        self.usual = None;
        // How long they take now that are in flight, which few of them have shown yet.
        self.held = self.held.max(meter.level() / meter.rate().max(1e-15));
        self.up = Direction { width: WIDEST, next: now, vain: 0 };
        let width = if ratio > 1.0 { (ratio - 1.0).clamp(0.5, WIDEST_DOWN) } else { 0.5 };
        self.down = Direction { width, next: now, vain: 0 };
        self.shocked = true;
        self.thrashes = false;
        if ratio > 1.0 {
            // Who was overloaded before tries fewer first, who was not tries more.
            self.went_up = self.is_overloaded(now);
            self.bound_since = Some(Instant::ORIGIN);
            self.credit = nanos(MOST_CREDIT) as f64;
            self.former = Some(self.limit.max(self.former.unwrap_or(0)));
            self.former_is_dear = false;
        } else {
            self.went_up = false;
        }
    }

    fn is_overloaded(&self, now: Instant) -> bool {
        // Where little is answered, chance fills the queue for longer.
        let answers = (OVERLOADED_ANSWERS / self.base.rate().max(1e-15)) as u64;
        // Nobody gets an answer in time: that is no reason to wait for many.
        let answers = answers.min(nanos(OVERLOADED_AT_LAST));
        self.bound_since.is_some_and(|since| now.nanos_since(since) >= nanos(OVERLOADED).max(answers))
    }

    fn begin_trial(&mut self, now: Instant) {
        let (up, growth) = self.higher();
        let down = self.lower();
        let can_up = up > self.limit && now >= self.up.next;
        let overloaded = self.is_overloaded(now);
        // That throughput fell as the limit rose is worth more than what a trial may cost.
        let paid = (self.thrashes && self.down.vain == 0) || self.loss_below(down) <= self.credit;
        let can_down = down < self.limit && now >= self.down.next && overloaded && paid;
        let level = match (can_up, can_down, self.went_up) {
            (true, false, _) | (true, true, false) => up,
            (false, true, _) | (true, true, true) => down,
            (false, false, _) => return,
        };
        self.went_up = level > self.limit;
        self.trial = Some(Trial {
            level,
            growth: if level > self.limit { growth } else { Growth::Lost },
            on: true,
            began: now,
            rounds: 0,
            meter: Meter::default(),
            gross: Meter::default(),
            last: None,
        });
        self.switch(now);
    }

    /// The next higher limit to try, the present one if there is none, and what it must give.
    fn higher(&self) -> (u32, Growth) {
        // Whether what was lost has come back is a coarse question, and asked often.
        let width = if self.former.is_some() { self.up.width.max(COARSE) } else { self.up.width };
        let wider = ((f64::from(self.limit) * (1.0 + width)) as u32).max(self.limit + 1);
        let (level, growth) = match self.former {
            // In turn, the one that was right before throughput fell.
            Some(former) if former > self.limit && self.up.vain % 2 == 1 && !self.former_is_dear => {
                (former, Growth::Proportional)
            }
            Some(former) if former > self.limit && self.up.vain > 0 => (wider, Growth::Proportional),
            _ if self.up.vain == 0 => (wider, Growth::Worthwhile),
            _ => (wider, Growth::Any),
        };
        (level.min(self.max), growth)
    }

    /// The next lower limit to try; the present one if there is none.
    fn lower(&self) -> u32 {
        let lower = (f64::from(self.limit) / (1.0 + self.down.width)) as u32 + 1;
        lower.min(self.limit - 1).clamp(self.min().get(), self.limit)
    }

    /// What a trial of this lower limit will lose if throughput is in proportion to the limit.
    fn loss_below(&self, lower: u32) -> f64 {
        let ratio = f64::from(self.limit) / f64::from(lower.max(1));
        let answers = answers_needed(super::number::ln(ratio), self.dispersion);
        answers * (ratio - 1.0) / self.base.rate().max(1e-15)
    }

    /// The limit in force has changed.
    fn switch(&mut self, now: Instant) {
        self.period = Period { settled: None, began: now, meter: Meter::default() };
    }

    fn settle_on(&mut self, now: Instant, limit: u32) {
        self.limit = limit;
        self.former = self.former.filter(|former| *former > limit + limit / 8);
        self.trial = None;
        self.usual = None;
        self.base = Meter::default();
        self.switch(now);
    }

    fn accept(&mut self, now: Instant, limit: u32, tried: &Meter) {
        let up = limit > self.limit;
        self.settle_on(now, limit);
        let (this, other) = if up { (&mut self.up, &mut self.down) } else { (&mut self.down, &mut self.up) };
        // The best one may lie between the two.
        other.width = (this.width / 2.0).clamp(NARROWEST, WIDEST);
        (other.next, other.vain) = (now, 0);
        this.width = (this.width * WIDER).min(WIDEST);
        (this.next, this.vain) = (now, 0);
        self.went_up = !up;
        // It was measured as well as any.
        self.base = *tried;
        self.usual = Some(*tried);
        self.begin_trial(now);
    }

    /// The limit stays. `unclear`: the trial was too narrow to tell.
    fn reject(&mut self, now: Instant, unclear: bool) {
        let Some(trial) = self.trial.take() else { return };
        let up = trial.level > self.limit;
        let nanos_tried = trial.gross.nanos as f64;
        let rate = self.base.rate().max(1e-15);
        // What chance could have lost as well is not held against it.
        let chance = (self.dispersion.get() * trial.gross.count()).sqrt() / rate;
        let lost = (nanos_tried - trial.gross.work() / rate - chance).max(0.0);
        self.credit = (self.credit - lost).max(0.0);
        let direction = if up { &mut self.up } else { &mut self.down };
        direction.vain += 1;
        if unclear && !(up && self.thrashes) {
            direction.width = (direction.width * WIDER).min(if up { WIDEST } else { WIDEST_DOWN });
        } else {
            direction.width *= NARROWER;
            if up && direction.width < NARROWEST_UP {
                // Nothing between here and twice as many: begin again, for the service may have changed.
                direction.width = if self.thrashes { NARROWEST_UP } else { WIDEST };
            }
            direction.width = direction.width.max(NARROWEST);
        }
        let took = now.nanos_since(trial.began) as f64;
        let pause = (took * f64::from(direction.vain)).min(nanos(LONGEST_PAUSE) as f64);
        let pause = match (up, self.former) {
            (true, None) if self.thrashes => pause.max(lost / BUDGET).min(nanos(LONGEST_PAUSE_FALLS) as f64),
            (true, None) => pause.max(lost / BUDGET).min(nanos(LONGEST_PAUSE_UP) as f64),
            (true, Some(_)) => pause.max(lost / BUDGET).min(nanos(LONGEST_PAUSE) as f64),
            (false, None) => pause,
            (false, Some(_)) => pause.max(nanos(LONGEST_PAUSE_UP) as f64),
        };
        if lost > CHEAP * nanos_tried && Some(trial.level) == self.former {
            self.former_is_dear = true;
        }
        direction.next = now + Duration::from_nanos(pause as u64);
        self.switch(now);
    }

    /// The trial became meaningless.
    fn give_up(&mut self, now: Instant) {
        self.trial = None;
        self.base = Meter::default();
        self.switch(now);
    }
}
