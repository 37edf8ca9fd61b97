//! Vegas, as in Netflix's concurrency-limits (`VegasLimit.java`): an estimate of the queue inside the service, from the shortest
//! latency ever seen.
//!
//! ```text
//! q = ceil(L × (1 − R₀ ÷ R))          lg = max(1, floor(log10 L))
//! dropped            L ← L − lg
//! 2 × in flight < L  hold
//! q ≤ lg             L ← L + 6 lg
//! q < 3 lg           L ← L + lg
//! q > 6 lg           L ← L − lg                                   from 20, between 1 and 1,000
//! ```
//!
//! R₀ is the running minimum, and every (0.5 to 1) × 30 × L samples it is replaced by the sample that happens to come.
//!
//! Worked number: L = 20, R₀ = 10 ms, R = 15 ms: q = ceil(20 × (1 − 2/3)) = 7 > 6, so L = 19.
//!
//! Known failures: one lucky fast sample becomes R₀ and the limit collapses; a sample taken under load becomes R₀ and the limit
//! runs away.

use loadline_core::Outcome;
use serde::Deserialize;

use super::{Law, LawSpec, Sample, step};
use crate::random::Random;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Vegas {
    start: f64,
    min: f64,
    max: f64,
    /// R₀ is replaced after about so many × L samples.
    probe_multiplier: f64,
}

impl Default for Vegas {
    fn default() -> Self {
        Self { start: 20.0, min: 1.0, max: 1_000.0, probe_multiplier: 30.0 }
    }
}

impl Vegas {
    pub(super) fn build(&self, seed: u64) -> Running {
        let mut running = Running {
            knobs: self.clone(),
            limit: self.start,
            shortest: f64::INFINITY,
            until_probe: 0.0,
            random: Random::new(seed, 0x7e9a5),
        };
        running.plan_probe();
        running
    }
}

impl From<Vegas> for LawSpec {
    fn from(knobs: Vegas) -> Self {
        Self::Vegas(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Vegas,
    limit: f64,
    /// R₀.
    shortest: f64,
    until_probe: f64,
    random: Random,
}

impl Running {
    fn plan_probe(&mut self) {
        self.until_probe = (0.5 + 0.5 * self.random.unit()) * self.knobs.probe_multiplier * self.limit;
    }
}

impl Law for Running {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn on_end(&mut self, _now: u64, sample: &Sample) {
        let took = sample.took.max(1) as f64;
        self.until_probe -= 1.0;
        if self.until_probe <= 0.0 {
            self.plan_probe();
            self.shortest = took;
            return;
        }
        if took < self.shortest {
            self.shortest = took;
            return;
        }
        let lg = step(self.limit);
        let q = (self.limit * (1.0 - self.shortest / took)).ceil();
        if matches!(sample.outcome, Outcome::Failed | Outcome::TimedOut) {
            self.limit -= lg;
        } else if f64::from(sample.in_flight) * 2.0 < self.limit {
            return;
        } else if q <= lg {
            self.limit += 6.0 * lg;
        } else if q < 3.0 * lg {
            self.limit += lg;
        } else if q > 6.0 * lg {
            self.limit -= lg;
        }
        self.limit = self.limit.clamp(self.knobs.min, self.knobs.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(law: &mut Running, ms: u64, in_flight: u32) -> f64 {
        law.on_end(0, &Sample { took: ms * 1_000_000, in_flight, outcome: Outcome::Completed });
        law.limit()
    }

    #[test]
    fn by_the_estimated_queue() {
        let mut law = Vegas::default().build(1);
        assert_eq!(end(&mut law, 10, 20), 20.0, "the first is the baseline");
        assert_eq!(end(&mut law, 15, 20), 19.0, "q = 7");
        assert_eq!(end(&mut law, 15, 9), 19.0, "not used");
        assert_eq!(end(&mut law, 10, 20), 25.0, "q = 0");
        assert_eq!(end(&mut law, 11, 20), 25.0, "q = 3 holds");
        assert_eq!(end(&mut law, 10, 25), 31.0);
    }

    #[test]
    fn a_probe_under_load_poisons_the_baseline() {
        let mut law = Vegas { probe_multiplier: 1.0, ..Vegas::default() }.build(1);
        end(&mut law, 10, 20);
        for _ in 0..2_000 {
            end(&mut law, 100, 1_000);
        }
        assert_eq!(law.limit(), 1_000.0, "ten times as slow, and the limit is at its maximum");
    }
}
