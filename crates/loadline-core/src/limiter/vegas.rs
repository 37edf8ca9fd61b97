//! `vegas`: the queue inside the service, as TCP Vegas estimates that of a network.
//!
//! With R the service time of a request, R₀ the shortest one known, and g = max(1, ⌊log₁₀ L⌋):
//!
//! ```text
//! q = ⌈L × (1 − R₀ ÷ R)⌉                  how many of those in flight wait inside the service
//! timed out:                             L ← L − g
//! 2 × in flight < L:                     hold
//! q ≤ g:                                 L ← L + 6 g
//! q < 3 g:                               L ← L + g
//! q > 6 g:                               L ← L − g
//! else:                                  hold
//! ```
//!
//! Unit: slots. After every 30 × L requests R₀ is replaced by the next R, so that a service that became slower for good is
//! believed.
//!
//! Source: Brakmo and Peterson, "TCP Vegas" (1995); `VegasLimit` in Netflix's concurrency-limits, constants included (its probe is
//! jittered; here it is not, because the core has no generator to spare and one instance needs none).
//!
//! How it fails: one lucky fast request becomes R₀ and the limit collapses, above all where fast and slow routes are mixed; a
//! probe that happens under load makes the load the baseline, and the limit runs away. In both cases the throughput would have
//! told. Each answer moves the limit, so it follows noise.
//!
//! Worked number: L = 20, R₀ = 50 ms, R = 100 ms: q = 10 > 6, so 19. R = 55 ms: q = 2, so 21.

use std::num::NonZeroU32;

use super::{LimitRange, Sample, Why, bounded::Bounded};
use crate::Outcome;

/// R₀ is measured anew after so many requests per slot.
const PROBE_EVERY: u64 = 30;

/// Settings of [`LimiterSettings::Vegas`](crate::LimiterSettings::Vegas).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VegasSettings {
    /// Where it begins and how low it goes.
    pub range: LimitRange,
    /// Below so many waiting inside the service (times g) the limit rises.
    pub alpha: NonZeroU32,
    /// Above so many (times g) it falls.
    pub beta: NonZeroU32,
}

impl Default for VegasSettings {
    /// 3 and 6.
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).expect("not zero");
        Self { range: LimitRange::default(), alpha: number(3), beta: number(6) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Vegas {
    settings: VegasSettings,
    pub(super) limit: Bounded,
    /// R₀ in nanoseconds.
    shortest: Option<u64>,
    /// Requests since R₀ was measured anew.
    since_probe: u64,
}

impl Vegas {
    pub(super) fn new(settings: VegasSettings, max: NonZeroU32) -> Self {
        Self { limit: Bounded::new(settings.range, max), settings, shortest: None, since_probe: 0 }
    }

    pub(super) fn reconfigure(&mut self, settings: VegasSettings, max: NonZeroU32) {
        self.limit.reconfigure(settings.range, max);
        self.settings = settings;
    }

    pub(super) fn on_complete(&mut self, sample: &Sample) -> Why {
        let held = sample.held_nanos.max(1);
        let step = f64::from(self.limit.slots().get().ilog10().max(1));
        match sample.outcome {
            Outcome::TimedOut => return self.step(-step, Why::TooSlow),
            Outcome::Failed => return Why::Law,
            // What was given up would have taken even longer: a sample, but never the shortest.
            Outcome::Aborted if self.shortest.is_none_or(|shortest| held <= shortest) => return Why::Law,
            Outcome::Aborted | Outcome::Completed => {}
        }
        self.since_probe += 1;
        if self.since_probe >= PROBE_EVERY * u64::from(self.limit.slots().get()) {
            self.since_probe = 0;
            self.shortest = Some(held);
            return Why::Law;
        }
        let Some(shortest) = self.shortest.filter(|shortest| *shortest <= held) else {
            self.shortest = Some(held);
            return Why::Law;
        };
        if 2 * u64::from(sample.in_flight) < u64::from(self.limit.slots().get()) {
            return Why::Law;
        }
        let queue = (self.limit.exact() * (1.0 - shortest as f64 / held as f64)).ceil();
        let [alpha, beta] = [self.settings.alpha, self.settings.beta].map(|n| f64::from(n.get()) * step);
        if queue <= step {
            self.step(beta, Why::Law)
        } else if queue < alpha {
            self.step(step, Why::Law)
        } else if queue > beta {
            self.step(-step, Why::Law)
        } else {
            Why::Law
        }
    }

    fn step(&mut self, by: f64, why: Why) -> Why {
        self.limit.set(self.limit.exact() + by);
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RouteId;

    fn ended(in_flight: u32, ms: u64) -> Sample {
        let outcome = Outcome::Completed;
        Sample { held_nanos: ms * 1_000_000, outcome, route: RouteId::OTHER, cost: 1, in_flight }
    }

    fn vegas(start: u32) -> Vegas {
        let range = LimitRange::starting_at(NonZeroU32::new(start).unwrap());
        Vegas::new(VegasSettings { range, ..VegasSettings::default() }, NonZeroU32::new(1_000).unwrap())
    }

    #[test]
    fn the_worked_number() {
        for (ms, limit) in [(100, 19), (55, 21), (50, 26), (67, 20)] {
            let mut vegas = vegas(20);
            vegas.on_complete(&ended(20, 50));
            vegas.on_complete(&ended(20, ms));
            assert_eq!(vegas.limit.slots().get(), limit, "{ms} ms");
        }
    }

    #[test]
    fn an_unused_limit_holds_and_a_timeout_lowers() {
        let mut vegas = vegas(20);
        vegas.on_complete(&ended(9, 50));
        vegas.on_complete(&ended(9, 50));
        assert_eq!(vegas.limit.slots().get(), 20);
        vegas.on_complete(&Sample { outcome: Outcome::TimedOut, ..ended(20, 50) });
        assert_eq!(vegas.limit.slots().get(), 19);
    }

    #[test]
    fn the_known_weakness_one_lucky_request_makes_the_limit_collapse() {
        let mut vegas = vegas(20);
        vegas.on_complete(&ended(20, 5));
        for _ in 0..30 {
            vegas.on_complete(&ended(20, 50));
        }
        assert!(vegas.limit.slots().get() < 10, "{}", vegas.limit.slots());
    }
}
