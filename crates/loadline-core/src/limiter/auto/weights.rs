//! How much work a request is, so that a changed mix of routes is not taken for a changed capacity.
//!
//! A request's weight is its slots times the mean time that its route holds them, in units of the mean over all: with one route
//! every weight is 1. The means move slowly, so that all limits that are being compared are measured with the same weights.

use crate::limiter::Sample;

/// A sample's share is one in this many.
const WEIGHT: f64 = 64.0;

/// Mean service times in nanoseconds; see the module.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// By route; 0 while nothing is known.
    routes: Vec<f64>,
    overall: f64,
}

impl Weights {
    /// The weight of a request that was answered, which is then learned from.
    pub(super) fn weigh(&mut self, sample: &Sample) -> f64 {
        let held = sample.held_nanos.max(1) as f64;
        let index = sample.route.index();
        if self.routes.len() <= index {
            self.routes.resize(index + 1, 0.0);
        }
        let mean = &mut self.routes[index];
        if *mean == 0.0 {
            *mean = held;
        }
        if self.overall == 0.0 {
            self.overall = held;
        }
        let weight = *mean / self.overall * f64::from(sample.cost);
        *mean += (held - *mean) / WEIGHT;
        self.overall += (held - self.overall) / WEIGHT;
        if index == 0 && self.routes.len() == 1 { f64::from(sample.cost) } else { weight }
    }
}
