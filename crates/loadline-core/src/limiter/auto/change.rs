//! Whether the service has changed abruptly, and what follows from it.
//!
//! Page's cumulative sum (1954), of how much better "throughput is f times what it was" explains what is answered at the limit than "as
//! it was". With n answered where m were expected from n₀ answers, and φ the [dispersion](super::verdict::Dispersion):
//!
//! ```text
//! S ← max(0, S + (n ln f − m (f − 1)) ÷ (φ (1 + m ÷ n₀)))
//! f = 1.25: a rise, if S > 8      f = 1.8: the return of what was lost, if S > 5      f = 0.6: a fall, if S > 12
//! ```
//!
//! After a fall all that was learned is void, and a lower limit is tried at once, by as much as throughput fell. After a rise a
//! higher one is: the one [before the fall](super::former), if there was one.
//!
//! Only what the limit gives while it stands is looked at, not trials. A service that can do more again shows it only if it was kept busy, which
//! is one reason for [room above the knee](super::knee). A fall shows itself also to a limit that was not in the way until then: a service
//! that has become busy and answers less than before has lost something.

use super::Auto;
use super::knee::Alone;
use super::meter::Meter;
use super::slope::Slope;
use super::trial::Direction;
use super::tuning::{
    BOUND, COARSE, FALL, FALL_EVIDENCE, LONGEST_PAUSE_UP, MOST_CREDIT, RETURN, RETURN_EVIDENCE, RISE,
    RISE_EVIDENCE, SHOCK_ANSWERS, SOONEST, WIDEST, WIDEST_DOWN,
};
use crate::time::nanos;
use crate::{Duration, Instant};

/// Evidence that throughput has changed; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    risen: f64,
    /// Of so large a rise as when what was lost comes back.
    returned: f64,
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
        if self.change.risen + self.evidence(meter, RISE) > RISE_EVIDENCE
            || self.lost().is_some() && self.change.returned + self.evidence(meter, RETURN) > RETURN_EVIDENCE
        {
            self.react_to_rise(now, meter);
            return true;
        }
        false
    }

    /// A period at the limit is over, and nothing was noticed.
    pub(super) fn remember_change(&mut self, meter: &Meter) {
        self.change.risen = (self.change.risen + self.evidence(meter, RISE)).max(0.0);
        self.change.returned = (self.change.returned + self.evidence(meter, RETURN)).max(0.0);
        self.change.fallen = (self.change.fallen + self.evidence(meter, FALL)).max(0.0);
    }

    fn has_fallen(&self, meter: &Meter) -> bool {
        let usual = self.usual.as_ref().unwrap_or(&self.eased);
        // Workers that finish together look like a change until they have finished twice.
        let expected = usual.rate() * meter.nanos as f64;
        expected >= (SOONEST * usual.level().max(meter.level())).max(SHOCK_ANSWERS)
            && meter.bound() >= BOUND
            && self.change.fallen + self.evidence(meter, FALL) > FALL_EVIDENCE
    }

    fn evidence(&self, meter: &Meter, of: Factor) -> f64 {
        // Who was not in the way let through less than there could have been.
        let base = if self.base.nanos == 0 && of.factor < 1.0 { &self.eased } else { &self.base };
        if base.nanos == 0 || meter.bound() < BOUND {
            return 0.0;
        }
        let expected = base.rate() * meter.nanos as f64;
        // Unequal requests say less.
        let share = (base.count() / base.work().max(1e-9)).min(1.0);
        let dispersion = self.dispersion.get().max(of.least_dispersion);
        // What is expected is not certain either.
        let doubt = 1.0 + expected * share / base.count();
        (meter.work() * of.ln - expected * (of.factor - 1.0)) * share / (dispersion * doubt)
    }

    fn react_to_fall(&mut self, now: Instant, meter: &Meter) {
        let usual = self.usual.unwrap_or(self.eased);
        let ratio = usual.rate() / meter.rate().max(1e-15);
        self.forget_usual(now);
        // How long they take now that are in flight, which few of them have shown yet.
        self.held = self.held.max(meter.level() / meter.rate().max(1e-15));
        // Who had enough slots before has enough of them now.
        let was_enough = self.is_overloaded(now);
        let pause = if was_enough { LONGEST_PAUSE_UP } else { Duration::ZERO };
        self.up = Direction { width: WIDEST, next: now + pause, vain: 0 };
        self.down = Direction { width: (ratio - 1.0).clamp(COARSE, WIDEST_DOWN), next: now, vain: 0 };
        self.shocked = true;
        self.thrashes = false;
        (self.alone, self.slope) = (Alone::default(), Slope::default());
        (self.room, self.showed) = (None, None);
        // Who was overloaded before tries fewer first, who was not tries more.
        self.went_up = was_enough;
        self.bound_since = Some(Instant::ORIGIN);
        self.credit = nanos(MOST_CREDIT) as f64;
        self.remember_former(self.limit, usual.rate(), was_enough);
    }

    fn react_to_rise(&mut self, now: Instant, meter: &Meter) {
        self.forget_usual(now);
        if self.lost().is_some() {
            self.base = *meter;
        }
        let width = if self.thrashes { COARSE } else { WIDEST };
        self.up = Direction { width, next: now, vain: 1 };
        self.went_up = false;
        self.begin_trial(now);
    }

    fn forget_usual(&mut self, now: Instant) {
        self.give_up(now);
        self.usual = None;
        self.eased = Meter::default();
        self.change = Change::default();
    }
}
