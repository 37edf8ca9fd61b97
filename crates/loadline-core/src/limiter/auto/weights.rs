//! How much work a request is, so that a changed mix of routes is not taken for a changed capacity.
//!
//! A request's weight is its slots times the mean time that its route holds them, in units of the mean over all: with one route
//! every weight is 1. The means move slowly, so that all limits that are being compared are measured with the same weights.
//!
//! What waits inside the service waits equally long whether it is cheap or expensive, so that its routes look more alike there than they are.
//! Therefore mainly those requests are learned from that met few others: under a lower limit, or while there was no overload.

use crate::limiter::Sample;

/// A sample's share is one in so many, at least.
const WEIGHT: f64 = 64.0;
/// The same of one that met many others.
const WEIGHT_CROWDED: f64 = 2048.0;
/// So many others are few, as a share of the limit.
const FEW: f64 = 0.7;

/// Mean service times in nanoseconds; see the module.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// By route.
    routes: Vec<Mean>,
    overall: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    nanos: f64,
    samples: f64,
}

impl Mean {
    /// What is known, or else this.
    fn or(&self, held: f64) -> f64 {
        if self.samples > 0.0 { self.nanos } else { held }
    }

    fn learn(&mut self, held: f64, crowded: bool) {
        self.samples += 1.0;
        let weight = if crowded && self.samples > WEIGHT { WEIGHT_CROWDED } else { self.samples.min(WEIGHT) };
        self.nanos += (held - self.nanos) / weight;
    }
}

impl Weights {
    /// The weight of a request that was answered, which is then learned from. `limit`: what it is when it is not being tried.
    pub(super) fn weigh(&mut self, sample: &Sample, limit: u32) -> f64 {
        let held = sample.held_nanos.max(1) as f64;
        let index = sample.route.index();
        if self.routes.len() <= index {
            self.routes.resize(index + 1, Mean::default());
        }
        let crowded = f64::from(sample.in_flight) > FEW * f64::from(limit);
        let weight = self.routes[index].or(held) / self.overall.or(held) * f64::from(sample.cost);
        self.routes[index].learn(held, crowded);
        self.overall.learn(held, crowded);
        if index == 0 && self.routes.len() == 1 { f64::from(sample.cost) } else { weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, RouteId};

    fn sample(route: u16, millis: u64, in_flight: u32) -> Sample {
        let (outcome, route) = (Outcome::Completed, RouteId::new(route));
        Sample { held_nanos: millis * 1_000_000, outcome, route, cost: 1, in_flight }
    }

    #[test]
    fn a_line_inside_the_service_does_not_make_routes_alike() {
        let mut weights = Weights::default();
        let ratio = |weights: &mut Weights, wait: u64, in_flight: u32| {
            let cheap = weights.weigh(&sample(0, 10 + wait, in_flight), 40);
            weights.weigh(&sample(1, 60 + wait, in_flight), 40) / cheap
        };
        (0..100).for_each(|_| _ = ratio(&mut weights, 0, 10));
        let alone = ratio(&mut weights, 0, 10);
        (0..100).for_each(|_| _ = ratio(&mut weights, 40, 40));
        let crowded = ratio(&mut weights, 40, 40);
        assert!((alone - 6.0).abs() < 0.1 && crowded > 5.0, "{alone}, {crowded}");
    }
}
