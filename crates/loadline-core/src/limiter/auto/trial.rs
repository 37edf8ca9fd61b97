//! A trial: another limit in force for a while, in turn with the one that it is compared with, until it is clear which is better.
//!
//! ```text
//! higher, more throughput      it becomes the limit, but no more than the knee that it shows, and room
//! higher, no more              dropped; the next is narrower, and later
//! lower, no loss               it becomes the limit, and room: what lies between gives as much
//! lower, less                  dropped; it shows where the knee is, and the limit may move there
//! lower, hardly less           the same, as soon as that is all that can be said: what lies between may give more than either
//! ```
//!
//! Where throughput falls above a point, the limit goes by steps instead: to whichever side gives more, and the steps become finer when neither
//! does.

use super::knee::Alone;
use super::meter::Meter;
use super::slope::Slope;
use super::tuning::{
    ADOPTED, BOUND, BUDGET, BUDGET_PEAK, CHEAP, CHEAP_TRIAL, COARSE, CUT, ENOUGH_ANSWERS, FALLS_ANSWERS,
    FEWEST_ROUNDS, FINEST, LONGEST_PAUSE, LONGEST_PAUSE_DOWN, LONGEST_PAUSE_PEAK, LONGEST_PAUSE_UP,
    LONGEST_TRIAL, LONGEST_TRIAL_CHEAP, LONGEST_TRIAL_LOW, MOST_CREDIT, NARROWER, NARROWEST, PAUSE_LOW,
    SCARCE, SEEMS_TO_FALL, SHARE, STEP, TOO_LOW, WIDER, WIDEST, WIDEST_DOWN,
};
use super::verdict::{Comparison, Question, Verdict};
use super::{Auto, Period};
use crate::limiter::Why;
use crate::time::nanos;
use crate::{Duration, Instant};

/// Another limit that is being tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) level: u32,
    /// What it must give to be adopted, or cost not to be.
    asked: Question,
    /// Whether it is in force now, and not the limit it is compared with.
    pub(super) on: bool,
    began: Instant,
    rounds: u32,
    pub(super) meter: Meter,
    /// All of the time in which it was in force, settling included.
    pub(super) gross: Meter,
    /// Of a lower limit: who was let in under it.
    pub(super) few: Alone,
    /// The last period of it.
    last: Option<Meter>,
}

impl Trial {
    pub(super) fn new(now: Instant, level: u32, asked: Question) -> Self {
        let (meter, gross) = (Meter::default(), Meter::default());
        Self {
            level,
            asked,
            on: true,
            began: now,
            rounds: 0,
            meter,
            gross,
            few: Alone::at(level),
            last: None,
        }
    }
}

/// How trials in one direction go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direction {
    /// The next trial is by this share more, or less.
    pub(super) width: f64,
    /// Not before.
    pub(super) next: Instant,
    /// Trials in a row that changed nothing.
    pub(super) vain: u32,
}

impl Auto {
    /// Ends the trial if what was measured so far is clear. `adoptable`: it has been in force for long enough to become the limit.
    pub(super) fn judge(&mut self, now: Instant, tried: &Meter, adoptable: bool) -> Option<Why> {
        let trial = self.trial.filter(|_| self.base.nanos > 0)?;
        let up = trial.level > self.limit;
        let (lower, higher) = if up { (&self.base, tried) } else { (tried, &self.base) };
        let compared = Comparison::of(lower, higher, self.dispersion)?;
        self.compared = Some(compared);
        match (compared.verdict(trial.asked), up) {
            (Verdict::Open, false)
                if !self.thrashes && tried.count() >= ENOUGH_ANSWERS && trial.few.is_known() =>
            {
                self.learn_knee(now, &trial, &compared);
                Some(Why::Law)
            }
            (Verdict::Open, _) => None,
            (Verdict::Grows, true) | (Verdict::Flat, false) if !adoptable => None,
            (Verdict::Grows, true) => {
                let unused = tried.bound() < BOUND;
                let used = if unused { tried.peak.clamp(self.limit + 1, trial.level) } else { trial.level };
                self.raise(now, used, tried);
                Some(Why::MoreThroughput)
            }
            (Verdict::Flat, false) if tried.bound() < BOUND => {
                self.give_up(now);
                Some(Why::Law)
            }
            (Verdict::Flat, false) => {
                self.lower_to(now, trial.level, tried);
                Some(Why::NoLoss)
            }
            (Verdict::Flat, true) => {
                self.learn_slope(now, &compared);
                self.reject(now, false);
                Some(Why::Law)
            }
            (Verdict::Grows, false) => {
                self.learn_knee(now, &trial, &compared);
                if self.thrashes && compared.elasticity > SHARE {
                    // Each slot still brings its share: the best one is not far above.
                    self.up = Direction { width: STEP, next: now, vain: 0 };
                    self.went_up = false;
                }
                Some(Why::Law)
            }
        }
    }

    /// A lower limit has shown where the knee is.
    fn learn_knee(&mut self, now: Instant, trial: &Trial, compared: &Comparison) {
        self.reject(now, false);
        self.alone.learn(&trial.few);
        self.showed = Some(compared.elasticity);
    }

    /// A period has been long enough.
    pub(super) fn end_period(&mut self, now: Instant) -> Why {
        let meter = self.period.meter;
        let Some(mut trial) = self.trial else { return self.end_base_period(now, &meter) };
        self.bound = meter.bound();
        let up = trial.level > self.limit;
        let last = if trial.on { trial.last.replace(meter) } else { None };
        if let Some(last) = last {
            self.dispersion.learn(&last, &meter);
        }
        if meter.bound() < BOUND && !(trial.on && up) {
            self.give_up(now);
            return Why::Law;
        }
        if trial.on {
            trial.meter.add(&meter);
        } else {
            if let Some(usual) = self.usual.replace(meter) {
                self.dispersion.learn(&usual, &meter);
            }
            self.remember_change(&meter);
            self.base.add(&meter);
        }
        trial.rounds += 1;
        trial.on = !trial.on;
        self.trial = Some(trial);
        let longest = match self.former {
            Some(_) => LONGEST_TRIAL_LOW,
            None if !up && self.lost_by(&trial) < self.credit.max(nanos(CHEAP_TRIAL) as f64) => {
                LONGEST_TRIAL_CHEAP
            }
            None => LONGEST_TRIAL,
        };
        if trial.rounds >= FEWEST_ROUNDS && now.saturating_since(trial.began) >= longest {
            return self.lean(now, &trial);
        }
        self.switch(now);
        Why::Law
    }

    /// What a trial has cost by now, in nanoseconds of throughput.
    fn lost_by(&self, trial: &Trial) -> f64 {
        trial.gross.nanos as f64 - trial.gross.work() / self.base.rate().max(1e-15)
    }

    /// The trial became meaningless.
    pub(super) fn give_up(&mut self, now: Instant) {
        if let Some(trial) = self.trial.take()
            && trial.asked == Question::Room
        {
            self.room = Some(trial.level);
        }
        self.base = Meter::default();
        self.switch(now);
    }

    /// The limit in force has changed.
    pub(super) fn switch(&mut self, now: Instant) {
        self.period = Period { settled: None, began: now, meter: Meter::default() };
    }

    /// Another limit to stand by, about which nothing is known yet.
    pub(super) fn settle_on(&mut self, now: Instant, limit: u32) {
        self.limit = limit;
        self.trial = None;
        self.usual = None;
        self.base = Meter::default();
        self.change = Default::default();
        self.switch(now);
    }

    /// It took too long. What is likely is done if it is certain enough not to be noise.
    fn lean(&mut self, now: Instant, trial: &Trial) -> Why {
        match self.compared.map(|compared| (compared.leaning(trial.asked), trial.level > self.limit)) {
            Some((Verdict::Grows, true)) => {
                self.raise(now, trial.level, &trial.meter);
                Why::MoreThroughput
            }
            Some((Verdict::Flat, false)) => {
                self.lower_to(now, trial.level, &trial.meter);
                Why::NoLoss
            }
            Some((_, true)) if self.rises(trial) => {
                self.raise(now, trial.level, &trial.meter);
                Why::MoreThroughput
            }
            _ => {
                self.reject(now, true);
                Why::Law
            }
        }
    }

    /// Whether this trial, which was not clear, and those before it are clear together.
    fn rises(&mut self, trial: &Trial) -> bool {
        if let Some(compared) = self.compared
            && matches!(trial.asked, Question::Growth | Question::Gain)
        {
            self.slope.learn(compared.elasticity, compared.standard_error);
            return self.slope.rises();
        }
        false
    }

    fn end_base_period(&mut self, now: Instant, meter: &Meter) -> Why {
        self.bound = meter.bound();
        self.period.meter = Meter::default();
        if meter.bound() < BOUND {
            self.base = Meter::default();
            self.eased.fade();
            self.eased.add(meter);
            return Why::Law;
        }
        self.eased = Meter::default();
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
        self.remember_change(meter);
        self.base.fade();
        self.base.add(meter);
        self.shocked = false;
        self.notice_return();
        if self.stand(now) {
            return Why::NoLoss;
        }
        self.begin_trial(now);
        Why::Law
    }

    /// A higher limit did not give more: perhaps because throughput falls there.
    fn learn_slope(&mut self, now: Instant, compared: &Comparison) {
        if self.base.count() >= FALLS_ANSWERS {
            self.slope.learn(compared.elasticity, compared.standard_error);
        }
        if !self.thrashes && self.slope.falls() {
            self.thrashes = true;
            let knee = self.alone.knee(self.base.rate()).unwrap_or(1.0);
            let width = (f64::from(self.limit) / knee - 1.0).clamp(STEP, WIDEST);
            self.down = Direction { width, next: now, vain: 0 };
        }
        self.thrashes &= self.slope.may_fall();
    }

    /// A higher limit is better.
    fn raise(&mut self, now: Instant, level: u32, tried: &Meter) {
        let room = self.trial.is_some_and(|trial| trial.asked == Question::Room);
        let too_low = self.compared.is_some_and(|compared| compared.elasticity > TOO_LOW);
        let scarce = self.compared.is_some_and(|compared| compared.elasticity > SCARCE);
        if too_low && !room || !self.alone.is_known() {
            // What the limit gave so far is what so few take when they are alone.
            self.alone = Alone::of(self.limit, &self.base);
        }
        let knee = self.wanted(tried).filter(|_| !self.thrashes && !room);
        let limit = knee.map_or(level, |(least, most)| {
            let enough = if scarce { most } else { least };
            enough.clamp(self.limit + 1, level)
        });
        let showed = self.compared.map(|compared| compared.elasticity).filter(|_| scarce && !self.thrashes);
        self.adopt(now, limit, tried);
        self.showed = showed;
    }

    /// A lower limit is as good.
    fn lower_to(&mut self, now: Instant, level: u32, tried: &Meter) {
        let falls = self
            .compared
            .is_some_and(|compared| compared.elasticity + compared.standard_error <= SEEMS_TO_FALL);
        let limit = if self.thrashes || falls {
            level
        } else {
            (self.with_room(f64::from(level), tried).round() as u32).clamp(level, self.limit)
        };
        if limit > level && limit * 9 > self.limit * 8 {
            // As far above what is needed as it should be. Perhaps even fewer are.
            let pause = if self.alone.is_known() { LONGEST_PAUSE_UP } else { Duration::ZERO };
            self.down.width = (self.down.width * WIDER).min(WIDEST_DOWN);
            self.down.next = now + pause;
            self.trial = None;
            self.switch(now);
            return;
        }
        self.alone = Alone::default();
        self.adopt(now, limit, tried);
    }

    fn adopt(&mut self, now: Instant, limit: u32, tried: &Meter) {
        let up = limit > self.limit;
        self.settle_on(now, limit);
        (self.slope, self.room, self.showed) = (Slope::default(), None, None);
        let (this, other) = if up { (&mut self.up, &mut self.down) } else { (&mut self.down, &mut self.up) };
        let wider = (this.width * WIDER).min(WIDEST);
        // The best one may lie between the two.
        other.width =
            if self.thrashes { (wider / 2.0).max(STEP) } else { (this.width / 2.0).clamp(NARROWEST, WIDEST) };
        this.width = wider;
        (other.next, other.vain) = (now, 0);
        (this.next, this.vain) = (now, 0);
        // After a fall, whether what was lost is back is asked first.
        self.went_up = !up && self.former.is_none();
        // It was measured as well as any.
        self.base = *tried;
        if !self.thrashes && self.compared.is_none_or(|compared| compared.elasticity <= SCARCE) {
            self.base.keep(ADOPTED);
        }
        self.usual = Some(*tried);
        self.begin_trial(now);
    }

    /// The limit stays. `unclear`: the trial was too narrow to tell.
    fn reject(&mut self, now: Instant, unclear: bool) {
        let Some(trial) = self.trial.take() else { return };
        let up = trial.level > self.limit;
        let lost = self.lost_by(&trial);
        if !self.thrashes && !up {
            self.credit = (self.credit - lost).min(nanos(MOST_CREDIT) as f64);
        }
        let lost = lost.max(0.0);
        if lost > CHEAP * trial.gross.nanos as f64
            && let Some(former) = &mut self.former
            && former.limit == trial.level
        {
            former.is_dear = true;
        }
        let (shortest, longest) = self.pauses(up);
        let budget = if self.thrashes { BUDGET_PEAK } else { BUDGET };
        let thrashes = self.thrashes;
        let direction = if up { &mut self.up } else { &mut self.down };
        direction.vain += 1;
        direction.width = match (unclear, up) {
            _ if thrashes => (direction.width * NARROWER).max(FINEST),
            (true, true) => (direction.width * WIDER).min(WIDEST),
            (true, false) => (direction.width * WIDER).min(WIDEST_DOWN),
            // Nothing between here and twice as many: begin again, for the service may have changed.
            (false, true) if direction.width * NARROWER < COARSE => WIDEST,
            (false, true) => direction.width * NARROWER,
            (false, false) => (direction.width * NARROWER).max(WIDEST),
        };
        let took = now.nanos_since(trial.began) as f64 * f64::from(direction.vain);
        let took = took.max(2.0 * now.nanos_since(trial.began) as f64);
        let pause = took.min(nanos(LONGEST_PAUSE) as f64).max(lost / budget);
        let pause = pause.clamp(nanos(shortest) as f64, nanos(longest) as f64);
        direction.next = now + Duration::from_nanos(pause as u64);
        self.switch(now);
    }

    /// The shortest and the longest time until the next trial in this direction.
    fn pauses(&self, up: bool) -> (Duration, Duration) {
        let seems_to_fall = self
            .compared
            .is_some_and(|compared| compared.elasticity + compared.standard_error / 2.0 < SEEMS_TO_FALL);
        match (self.thrashes, up, self.lost()) {
            (true, true, _) if self.is_coarse() => (Duration::ZERO, PAUSE_LOW),
            (true, _, _) => (Duration::ZERO, LONGEST_PAUSE_PEAK),
            (false, true, Some(_)) => (Duration::ZERO, LONGEST_PAUSE),
            (false, true, None) if seems_to_fall => (Duration::ZERO, LONGEST_PAUSE),
            (false, true, None) => (Duration::ZERO, LONGEST_PAUSE_UP),
            // There is little left to lose.
            (false, false, Some(_)) => (LONGEST_PAUSE_UP, LONGEST_PAUSE_UP),
            (false, false, None) if !self.alone.is_known() => (Duration::ZERO, LONGEST_PAUSE_UP),
            (false, false, None) => (Duration::ZERO, LONGEST_PAUSE_DOWN),
        }
    }
}
