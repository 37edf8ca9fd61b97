//! Whether the service has changed abruptly, and what follows from it.
//!
//! Page's cumulative sum (1954), of how much better "throughput is f times what it was" explains what is answered at the limit than "as
//! it was". With n answered where m were expected, and φ the [dispersion](super::verdict::Dispersion):
//!
//! ```text
//! S ← max(0, S + (n ln f − m (f − 1)) ÷ φ)      f = 1.25: a rise, if S > 8      f = 0.6: a fall, if S > 12
//! ```
//!
//! After a fall all that was learned is void, and a lower limit is tried at once, by as much as throughput fell. After a rise a
//! higher one is: the one before the fall, if there was one.
//!
//! Only what the limit gives while it stands is looked at, not trials. A service that can do more again shows it only if it was kept busy, which
//! is one reason for [room above the knee](super::knee).

use super::Auto;
use super::knee::Alone;
use super::meter::Meter;
use super::slope::Slope;
use super::trial::Direction;
use super::tuning::{
    BOUND, COARSE, FALL, FALL_EVIDENCE, MOST_CREDIT, RISE, RISE_EVIDENCE, SHOCK_ANSWERS, SOONEST, WIDEST,
    WIDEST_DOWN,
};
use crate::Instant;
use crate::time::nanos;

/// Evidence that throughput has changed; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    risen: f64,
    fallen: f64,
}

/// What throughput may have changed by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    /// As a factor.
    pub(super) factor: f64,
    /// Its logarithm.
    pub(super) ln: f64,
    /// Counts are taken to vary at least by so much of what chance makes of them: who is wrong about a fall forgets everything.
    pub(super) least_dispersion: f64,
}

impl Auto {
    /// Reacts to an abrupt change, if what was measured since the last period completes the evidence of one. Whether it did.
    pub(super) fn notice_change(&mut self, now: Instant, meter: &Meter) -> bool {
        if self.has_fallen(meter) {
            self.react_to_fall(now, meter);
            return true;
        }
        if self.change.risen + self.evidence(meter, RISE) > RISE_EVIDENCE {
            self.react_to_rise(now, meter);
            return true;
        }
        false
    }

    /// A period at the limit is over, and nothing was noticed.
    pub(super) fn remember_change(&mut self, meter: &Meter) {
        self.change.risen = (self.change.risen + self.evidence(meter, RISE)).max(0.0);
        self.change.fallen = (self.change.fallen + self.evidence(meter, FALL)).max(0.0);
    }

    fn has_fallen(&self, meter: &Meter) -> bool {
        let Some(usual) = &self.usual else { return false };
        // Workers that finish together look like a change until they have finished twice.
        let expected = usual.rate() * meter.nanos as f64;
        expected >= (SOONEST * usual.level()).max(SHOCK_ANSWERS)
            && meter.bound() >= BOUND
            && self.change.fallen + self.evidence(meter, FALL) > FALL_EVIDENCE
    }

    fn evidence(&self, meter: &Meter, of: Factor) -> f64 {
        if self.base.nanos == 0 || meter.bound() < BOUND {
            return 0.0;
        }
        let expected = self.base.rate() * meter.nanos as f64;
        // Unequal requests say less.
        let share = (self.base.count() / self.base.work().max(1e-9)).min(1.0);
        let dispersion = self.dispersion.get().max(of.least_dispersion);
        (meter.work() * of.ln - expected * (of.factor - 1.0)) * share / dispersion
    }

    fn react_to_fall(&mut self, now: Instant, meter: &Meter) {
        let Some(usual) = self.usual else { return };
        let ratio = usual.rate() / meter.rate().max(1e-15);
        self.forget_usual(now);
        // How long they take now that are in flight, which few of them have shown yet.
        self.held = self.held.max(meter.level() / meter.rate().max(1e-15));
        self.up = Direction { width: WIDEST, next: now, vain: 0 };
        self.down = Direction { width: (ratio - 1.0).clamp(COARSE, WIDEST_DOWN), next: now, vain: 0 };
        self.shocked = true;
        self.thrashes = false;
        (self.alone, self.slope, self.room) = (Alone::default(), Slope::default(), None);
        // Who was overloaded before tries fewer first, who was not tries more.
        self.went_up = self.is_overloaded(now);
        self.bound_since = Some(Instant::ORIGIN);
        self.credit = nanos(MOST_CREDIT) as f64;
        self.former = Some(self.limit.max(self.former.unwrap_or(0)));
        self.former_is_dear = false;
    }

    fn react_to_rise(&mut self, now: Instant, meter: &Meter) {
        self.forget_usual(now);
        self.base = *meter;
        let width = if self.thrashes { COARSE } else { WIDEST };
        self.up = Direction { width, next: now, vain: u32::from(self.former.is_some()) };
        self.went_up = false;
        self.begin_trial(now);
    }

    fn forget_usual(&mut self, now: Instant) {
        self.give_up(now);
        self.usual = None;
        self.change = Change::default();
    }
}
