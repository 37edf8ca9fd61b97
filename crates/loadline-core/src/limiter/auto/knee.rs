//! How many it takes to keep the service busy, and where the limit should stand.
//!
//! ```text
//! knee  = throughput × how long a request holds a slot when fewer are in the service than keep it busy    (Little's law)
//! limit = knee × (1 + 0.25 × evenness²) + more × evenness⁴, and some more while that is not sure
//! more = 2.5 √knee − 0.25 knee          between 0 and a quarter of the knee
//! evenness = (Σ w)² ÷ (n Σ w²)          of the works w of n answers: 1 if all are alike
//! ```
//!
//! At the knee itself chance leaves workers idle, and a service that can do more again would not show it: nobody waits inside. A
//! quarter above it costs a quarter of a service time, and nothing where throughput is flat. Where requests differ much in what they
//! cost it does cost something: each slot more lets in expensive ones that the queue would have kept behind cheap ones, so there is
//! less room. How much chance there is grows only with the square root of the service, so a small one needs the larger share
//! (square-root staffing: Halfin and Whitt 1981): a processor that waits for a database now and then has nothing to do with a quarter more
//! than its knee, and has with half as much. That is given once trials of higher limits have shown that throughput does not [fall](super::slope)
//! there. After a fall there is [more](super::former). Where throughput falls above a point, nothing of this is asked; then the
//! limit is found by steps.
//!
//! The time is no baseline that drifts: it is measured by a trial of a lower limit that gave less, on those that were let in under
//! it, which end when the trial is long over. It is void when throughput changes abruptly or a lower limit gives as much. It never
//! lowers the limit by itself: only after such a trial, and not below what that showed. It may raise it also after a higher limit has
//! brought its share: then the lower one of the two was too low, and what it gave is such a measurement.
//!
//! Worked number: 24 workers of 50 ms do 480 per second. At a limit of 40 that is 83 ms each; those let in under a trial of 20 take 50 ms each.
//! 480 × 0.05 = 24, so the limit becomes 30.

use super::Auto;
use super::meter::Meter;
use super::tuning::{
    CHANCE, CLOSE, DOUBT, KEPT_ALONE, MOST_ALONE, MOST_ROOM, NEAR, ROOM, ROOM_LOW, SCARCE, STEP,
};
use crate::Instant;

/// How long a request holds a slot when fewer are in the service than keep it busy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alone {
    /// Who met no more than so many in the service, its own slots included.
    level: u32,
    /// Slots × nanoseconds.
    held: f64,
    work: f64,
    /// Squares of the works: unequal ones say less.
    squares: f64,
    answers: f64,
}

impl Alone {
    /// Nothing yet of a lower limit.
    pub(super) const fn at(level: u32) -> Self {
        Self { level, held: 0.0, work: 0.0, squares: 0.0, answers: 0.0 }
    }

    /// All that was measured at a limit that was too low.
    pub(super) fn of(level: u32, meter: &Meter) -> Self {
        let (work, answers) = (meter.work(), meter.count());
        Self { level, held: meter.held() * work, work, squares: work * work / answers, answers }
    }

    /// A request was answered that met so many, its own slots included.
    pub(super) fn observe(&mut self, in_flight: u32, weight: f64, held: f64) {
        if in_flight > self.level {
            return;
        }
        if self.answers >= MOST_ALONE {
            self.fade(0.5);
        }
        self.held += held;
        self.work += weight;
        self.squares += weight * weight;
        self.answers += 1.0;
    }

    /// What a lower limit showed that gave less.
    pub(super) fn learn(&mut self, other: &Self) {
        self.fade(KEPT_ALONE);
        self.level = other.level;
        self.held += other.held;
        self.work += other.work;
        self.squares += other.squares;
        self.answers += other.answers;
    }

    fn fade(&mut self, kept: f64) {
        for sum in [&mut self.held, &mut self.work, &mut self.squares, &mut self.answers] {
            *sum *= kept;
        }
    }

    /// As many equal requests would say as much.
    fn count(&self) -> f64 {
        self.work * self.work / self.squares.max(1e-9)
    }

    pub(super) fn is_known(&self) -> bool {
        self.work > 0.0
    }

    /// How many keep a service busy that has this throughput per nanosecond.
    pub(super) fn knee(&self, rate: f64) -> Option<f64> {
        self.is_known().then(|| self.held / self.work * rate)
    }
}

impl Auto {
    /// A lower limit has shown that it gives less: the limit may be further above the knee than it need be, or not far enough. Whether
    /// it moved.
    pub(super) fn stand(&mut self, now: Instant) -> bool {
        let Some(elasticity) = self.showed.take() else { return false };
        let Some((least, most)) = self.wanted(&self.base).filter(|_| !self.thrashes) else { return false };
        // Each slot still brings its share: there is no room at all yet.
        let knee = self.alone.knee(self.base.rate()).unwrap_or(0.0);
        let scarce = elasticity > SCARCE && knee > NEAR * f64::from(self.limit);
        let step = (f64::from(self.limit) * (1.0 + STEP)).round() as u32;
        let least = if scarce { step } else { least };
        let (least, most) = (least.min(step).min(self.max), most.max(self.min().get()));
        if f64::from(least) >= f64::from(self.limit) * CLOSE && least > self.limit {
            // Not without a trial: throughput may fall between here and there.
            self.room = Some(least);
        } else if f64::from(most) * CLOSE <= f64::from(self.limit) && elasticity <= SCARCE {
            let usual = self.usual;
            self.settle_on(now, most);
            self.usual = usual;
            return true;
        }
        false
    }

    /// With room above the knee, for requests as unequal as these.
    pub(super) fn with_room(&self, knee: f64, of: &Meter) -> f64 {
        let alike = of.evenness() * of.evenness();
        let chance = 1.0 + CHANCE / knee.max(1.0).sqrt();
        let more = if self.slope.may_fall() { 0.0 } else { chance.clamp(ROOM, MOST_ROOM) - ROOM };
        let usual = knee * (1.0 + (ROOM - 1.0) * alike + more * alike * alike);
        self.former.map_or(usual, |former| (knee * ROOM_LOW).min(f64::from(former.limit)).max(usual))
    }

    /// So many as keep the service busy that gives this, with room for chance; and the same with room for doubt.
    pub(super) fn wanted(&self, busy: &Meter) -> Option<(u32, u32)> {
        let knee = self.alone.knee(busy.rate())?;
        let doubt = (self.dispersion.get() * (1.0 / self.alone.count() + 1.0 / busy.count())).sqrt() * DOUBT;
        let least = self.with_room(knee, busy);
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
        (0..answers).for_each(|_| meter.answer(1.0, 83_000_000.0));
        meter
    }

    #[test]
    fn the_knee_of_the_worked_number() {
        let mut alone = Alone::default();
        assert_eq!(alone.knee(second(480, 40).rate()), None);
        let mut trial = Alone::at(20);
        (0..400).for_each(|_| trial.observe(20, 1.0, 50_000_000.0));
        trial.observe(40, 1.0, 83_000_000.0);
        alone.learn(&trial);
        let knee = alone.knee(second(480, 40).rate()).unwrap();
        assert!((knee - 24.0).abs() < 1e-9, "{knee}");
    }
}
