//! How many it takes to keep the service busy, and where the limit should stand.
//!
//! ```text
//! knee  = throughput × how long a request holds a slot when fewer are in the service than keep it busy    (Little's law)
//! limit = 1.25 × knee, and some more while that is not sure
//! ```
//!
//! At the knee itself chance leaves workers idle, and a service that can do more again would not show it: nobody waits inside. A
//! quarter above it costs a quarter of a service time, and nothing where throughput is flat. Where it falls, this is not asked; then the
//! limit is found by steps.
//!
//! The time is no baseline that drifts: it is measured by a trial of a lower limit that gave less, at the same moment as the throughput it is
//! multiplied with; it is void when throughput changes abruptly or a lower limit gives as much. It never lowers the limit by itself: only
//! together with such a trial, and not below what it showed.
//!
//! Worked number: 24 workers of 50 ms do 480 per second. At a limit of 40 that is 83 ms each; a trial of 20 gives 400 per second, 50 ms each.
//! 480 × 0.05 = 24, so the limit becomes 30.

use super::Auto;
use super::meter::Meter;
use super::tuning::{KEPT_ALONE, ROOM, SCARCE, STEP};
use crate::Instant;

/// How long a request holds a slot when fewer are in the service than keep it busy, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alone {
    sum: f64,
    weight: f64,
}

impl Alone {
    /// From a limit that was too low.
    pub(super) fn learn(&mut self, meter: &Meter) {
        let weight = meter.count();
        self.sum = self.sum * KEPT_ALONE + meter.level() / meter.rate().max(1e-15) * weight;
        self.weight = self.weight * KEPT_ALONE + weight;
    }

    pub(super) fn is_known(&self) -> bool {
        self.weight > 0.0
    }

    /// How many keep a service busy that has this throughput per nanosecond.
    pub(super) fn knee(&self, rate: f64) -> Option<f64> {
        self.is_known().then(|| self.sum / self.weight * rate)
    }
}

impl Auto {
    /// A lower limit gave less: the limit may be further above the knee than it need be, or not far enough.
    pub(super) fn stand(&mut self, now: Instant, lost: &Meter) {
        if self.thrashes {
            return;
        }
        self.alone.learn(lost);
        let Some((least, most)) = self.wanted(&self.base) else { return };
        // Each slot still brings its share: there is no room at all yet.
        let scarce = self.compared.is_some_and(|compared| compared.elasticity > SCARCE);
        let least =
            if scarce { least.max((f64::from(self.limit) * (1.0 + STEP)).round() as u32) } else { least };
        let (least, most) = (least.min(self.max), most.max(self.min().get()));
        if least * 8 >= self.limit * 9 {
            // Not without a trial: throughput may fall between here and there.
            self.room = Some(least);
        } else if most * 9 <= self.limit * 8 {
            let usual = self.usual;
            self.settle_on(now, most);
            self.usual = usual;
        }
    }

    /// So many as keep the service busy that gives this, with room for chance; and the same with room for doubt.
    pub(super) fn wanted(&self, busy: &Meter) -> Option<(u32, u32)> {
        let knee = self.alone.knee(busy.rate())?;
        let doubt = (self.dispersion.get() * (1.0 / self.alone.weight + 1.0 / busy.count())).sqrt();
        let least = knee * ROOM;
        Some((least.round() as u32, (least * (1.0 + doubt)).round() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::Load;

    /// So many answers in a second with so many in flight.
    fn second(answers: u32, in_flight: u32) -> Meter {
        let mut meter = Meter::default();
        meter.elapse(1_000_000_000, Load { in_flight, bound: true });
        (0..answers).for_each(|_| meter.answer(1.0));
        meter
    }

    #[test]
    fn the_knee_of_the_worked_number() {
        let mut alone = Alone::default();
        assert_eq!(alone.knee(second(480, 40).rate()), None);
        alone.learn(&second(400, 20));
        let knee = alone.knee(second(480, 40).rate()).unwrap();
        assert!((knee - 24.0).abs() < 1e-9, "{knee}");
    }
}
