//! What was done in how much time at one limit, and how sure that is.

use crate::limiter::Load;

/// What is left of a measurement when the next one is added: about six count.
const KEPT: f64 = 0.85;

/// Work, time and slots in use at one limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// Sum of the weights of the requests that were answered.
    work: f64,
    /// Sum of their squares: unequal weights make fewer of them.
    squares: f64,
    /// Sum of the time that they held their slots, in slots × nanoseconds.
    held: f64,
    /// How many were answered.
    pub(super) answered: u32,
    /// How many timed out or were given up.
    pub(super) wasted: u32,
    pub(super) nanos: u64,
    /// Slots in use × nanoseconds.
    area: f64,
    /// Time in which the limit was in the way.
    bound: u64,
    pub(super) peak: u32,
}

impl Meter {
    pub(super) fn elapse(&mut self, nanos: u64, load: Load) {
        self.nanos += nanos;
        self.area += nanos as f64 * f64::from(load.in_flight);
        self.peak = self.peak.max(load.in_flight);
        if load.bound {
            self.bound += nanos;
        }
    }

    pub(super) fn answer(&mut self, weight: f64, held: f64) {
        self.answered += 1;
        self.held += held;
        self.work += weight;
        self.squares += weight * weight;
    }

    pub(super) fn waste(&mut self) {
        self.wasted += 1;
    }

    /// Makes what was measured count for less.
    pub(super) fn fade(&mut self) {
        self.keep(KEPT);
    }

    /// The same, for this share of what it counts.
    pub(super) fn keep(&mut self, share: f64) {
        self.work *= share;
        self.squares *= share;
        self.held *= share;
        self.answered = (f64::from(self.answered) * share) as u32;
        self.wasted = (f64::from(self.wasted) * share) as u32;
        self.nanos = (self.nanos as f64 * share) as u64;
        self.area *= share;
        self.bound = (self.bound as f64 * share) as u64;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.work += other.work;
        self.squares += other.squares;
        self.held += other.held;
        self.answered += other.answered;
        self.wasted += other.wasted;
        self.nanos += other.nanos;
        self.area += other.area;
        self.bound += other.bound;
        self.peak = self.peak.max(other.peak);
    }

    /// Work per nanosecond.
    pub(super) fn rate(&self) -> f64 {
        self.work / self.nanos.max(1) as f64
    }

    pub(super) fn work(&self) -> f64 {
        self.work
    }

    /// How long a slot is held per work.
    pub(super) fn held(&self) -> f64 {
        self.held / self.work.max(1e-9)
    }

    /// Mean slots in use.
    pub(super) fn level(&self) -> f64 {
        self.area / self.nanos.max(1) as f64
    }

    /// As many equal requests would say as much; at least a little, so that nothing is certain that never happened.
    pub(super) fn count(&self) -> f64 {
        if self.squares > 0.0 { self.work * self.work / self.squares } else { 0.5 }
    }

    /// How alike the requests are that were answered: 1 if all are the same work, near 0 if a few are nearly all of it.
    pub(super) fn evenness(&self) -> f64 {
        (self.count() / f64::from(self.answered.max(1))).min(1.0)
    }

    /// The share of the time in which the limit was in the way, 0 to 1.
    pub(super) fn bound(&self) -> f64 {
        self.bound as f64 / self.nanos.max(1) as f64
    }
}
