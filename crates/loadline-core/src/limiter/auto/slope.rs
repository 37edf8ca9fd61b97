//! Whether throughput falls, or rises, above the limit: what all trials of higher limits together say.
//!
//! ```text
//! e = Σ eᵢ ÷ SEᵢ² ÷ Σ 1 ÷ SEᵢ²      SE = 1 ÷ √(Σ 1 ÷ SEᵢ²)      older trials count for less
//! it falls if e + 2 SE < −0.12       (after a single trial: e + 3 SE)
//! ```
//!
//! Where little is answered, no trial of a higher limit may be long enough to show a gain. So those that were not clear count here too,
//! and the limit is raised if e − 2 SE > 0.06.
//!
//! A trial ends as soon as it is clear that a higher limit gives no more, which is before it is clear whether it gives less. So one
//! trial seldom tells a service that thrashes from one that is merely busy; a few do.

use super::tuning::{FALLS, KEPT_SLOPE, RISES};

/// Errors that a single trial must be away by, and several.
const ERRORS: (f64, f64) = (3.0, 2.0);

/// Elasticity of throughput above the limit; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slope {
    trials: u32,
    sum: f64,
    weight: f64,
}

impl Slope {
    pub(super) fn learn(&mut self, elasticity: f64, standard_error: f64) {
        self.trials += 1;
        let weight = 1.0 / (standard_error * standard_error);
        self.sum = self.sum * KEPT_SLOPE + elasticity * weight;
        self.weight = self.weight * KEPT_SLOPE + weight;
    }

    /// Throughput falls as the limit rises.
    pub(super) fn falls(&self) -> bool {
        if self.trials == 0 {
            return false;
        }
        let errors = if self.trials > 1 { ERRORS.1 } else { ERRORS.0 };
        self.sum / self.weight + errors * (1.0 / self.weight).sqrt() < FALLS
    }

    /// Throughput rises with the limit: no trial was long enough to show it, but together they do.
    pub(super) fn rises(&self) -> bool {
        self.trials > 1 && self.sum / self.weight - ERRORS.1 * (1.0 / self.weight).sqrt() > RISES
    }

    /// It rather falls than not, or nobody knows.
    pub(super) fn may_fall(&self) -> bool {
        self.trials == 0 || self.sum / self.weight < FALLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trials: &[(f64, f64)]) -> Slope {
        let mut slope = Slope::default();
        for &(elasticity, standard_error) in trials {
            slope.learn(elasticity, standard_error);
        }
        slope
    }

    #[test]
    fn one_trial_must_be_clearer_than_two() {
        assert!(!of(&[]).falls() && of(&[]).may_fall());
        assert!(!of(&[(-0.5, 0.15)]).falls() && of(&[(-0.5, 0.15)]).may_fall());
        assert!(of(&[(-0.5, 0.15), (-0.5, 0.15)]).falls());
        assert!(of(&[(-1.0, 0.2)]).falls());
        assert!(!of(&[(0.0, 0.05), (-0.5, 0.2)]).may_fall(), "the surer trial counts for more");
    }

    #[test]
    fn several_that_are_not_clear_may_be_together() {
        assert!(!of(&[(0.4, 0.2)]).rises() && !of(&[(0.4, 0.2), (0.1, 0.2)]).rises());
        assert!(of(&[(0.4, 0.2), (0.3, 0.2), (0.3, 0.2)]).rises());
    }
}
