//! Additive increase, multiplicative decrease, as in Netflix's concurrency-limits (`AIMDLimit.java`).
//!
//! ```text
//! timed out, dropped, or longer than `timeout`      L ← 0.9 L
//! in flight × 2 ≥ L                                 L ← L + 1          between 20 and 200
//! ```
//!
//! Known failure: with a service that only becomes slow, nothing is ever a failure until the timeout, by which time the clients
//! are gone. The floor of 20 is above the knee of a small service.

use serde::Deserialize;

use super::{Law, LawSpec, Sample};
use crate::units::Span;
use loadline_core::Outcome;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Aimd {
    start: f64,
    min: f64,
    max: f64,
    /// What is left after a failure.
    backoff: f64,
    /// What is slower counts as a failure.
    timeout: Span,
}

impl Default for Aimd {
    fn default() -> Self {
        Self { start: 20.0, min: 20.0, max: 200.0, backoff: 0.9, timeout: Span(5_000_000_000) }
    }
}

impl Aimd {
    pub(super) fn build(&self) -> Running {
        Running { limit: self.start, knobs: self.clone() }
    }
}

impl From<Aimd> for LawSpec {
    fn from(knobs: Aimd) -> Self {
        Self::Aimd(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Aimd,
    limit: f64,
}

impl Law for Running {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn on_end(&mut self, _now: u64, sample: &Sample) {
        let failed = matches!(sample.outcome, Outcome::Failed | Outcome::TimedOut)
            || sample.took > self.knobs.timeout.0;
        if failed {
            self.limit *= self.knobs.backoff;
        } else if f64::from(sample.in_flight) * 2.0 >= self.limit {
            self.limit += 1.0;
        }
        self.limit = self.limit.clamp(self.knobs.min, self.knobs.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_up_while_used_a_tenth_down_on_failure() {
        let mut law = Aimd { start: 100.0, ..Aimd::default() }.build();
        let mut end = |in_flight, secs: u64, outcome| {
            law.on_end(0, &Sample { took: secs * 1_000_000_000, in_flight, outcome });
            law.limit()
        };
        assert_eq!(end(50, 1, Outcome::Completed), 101.0);
        assert_eq!(end(50, 1, Outcome::Completed), 101.0, "less than half was in use");
        assert_eq!(end(99, 6, Outcome::Completed), 101.0 * 0.9, "slow is a failure");
        for _ in 0..99 {
            end(99, 1, Outcome::TimedOut);
        }
        assert_eq!(end(1, 1, Outcome::Failed), 20.0, "the floor");
    }
}
