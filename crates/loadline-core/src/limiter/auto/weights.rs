//! How much work a request is, so that a changed mix of routes is not taken for a changed capacity.
//!
//! ```text
//! w = slots × mᵣ ÷ m       mᵣ: mean time that the request's route holds a slot      m: the mean of mᵣ over all that was answered so far
//! ```
//!
//! With one route every weight is 1, and when all routes become slower alike, none changes. The means move slowly, so that all limits that are
//! being compared are measured with the same weights. That m is a mean over all that was answered, not over the latest, keeps the
//! unit the same when the mix changes: what was measured long ago is compared with what is measured now.
//!
//! What waits inside the service waits equally long whether it is cheap or expensive, so that its routes look more alike there than they are.
//! Therefore mainly those requests are learned from that met few others: under a lower limit, or while there was no overload.

use crate::limiter::Sample;

/// A sample's share in the mean of its route is one in so many, at least.
const WEIGHT: f64 = 256.0;
/// The same of one that met many others.
const WEIGHT_CROWDED: f64 = 2048.0;
/// After so many answers a route is known; before, any will do.
const KNOWN: f64 = 64.0;
/// So many others are few, as a share of the limit.
const FEW: f64 = 0.7;
/// What was answered so far counts for half after so many more: an hour or so.
const MOST_ANSWERS: f64 = 65_536.0;

/// Mean service times; see the module.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// By route.
    routes: Vec<Route>,
    /// Of all routes: answers × the mean of their route.
    sum: f64,
    answers: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Route {
    /// Mean in nanoseconds.
    nanos: f64,
    answers: f64,
}

impl Route {
    fn learn(&mut self, held: f64, crowded: bool) {
        self.answers += 1.0;
        let weight = if crowded && self.answers > KNOWN { WEIGHT_CROWDED } else { self.answers.min(WEIGHT) };
        self.nanos += (held - self.nanos) / weight;
    }

    fn sum(&self) -> f64 {
        self.answers * self.nanos
    }
}

impl Weights {
    /// The weight of a request that was answered, which is learned from first. `limit`: what it is when it is not being tried.
    pub(super) fn weigh(&mut self, sample: &Sample, limit: u32) -> f64 {
        let held = sample.held_nanos.max(1) as f64;
        let index = sample.route.index();
        if self.routes.len() <= index {
            self.routes.resize(index + 1, Route::default());
        }
        let crowded = f64::from(sample.in_flight) > FEW * f64::from(limit);
        let route = &mut self.routes[index];
        let before = route.sum();
        route.learn(held, crowded);
        self.sum += route.sum() - before;
        self.answers += 1.0;
        let weight = route.nanos * self.answers / self.sum.max(1.0) * f64::from(sample.cost);
        if self.answers >= MOST_ANSWERS {
            self.halve();
        }
        if index == 0 && self.routes.len() == 1 { f64::from(sample.cost) } else { weight }
    }

    #[cold]
    fn halve(&mut self) {
        self.routes.iter_mut().for_each(|route| route.answers *= 0.5);
        // Anew, or rounding would add up.
        self.sum = self.routes.iter().map(Route::sum).sum();
        self.answers = self.routes.iter().map(|route| route.answers).sum();
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
