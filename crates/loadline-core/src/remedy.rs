//! What would have let a rejected request in.
//!
//! Computed from the state in which it was rejected, so it is true of that moment and of no later one. Nothing is computed where
//! nothing but time helps.

use crate::{Admission, Class, Duration, Instant, OverloadLevel, Remedy, Request, Rule};

impl Admission {
    /// What would have let this request in, which this rule rejects.
    pub(crate) fn remedy(&self, now: Instant, request: &Request, rule: Rule) -> Option<Remedy> {
        match rule {
            Rule::Prediction => Some(Remedy::Budget(self.needed_budget(now, request))),
            Rule::OverloadSignal => {
                let moderate = self.overload == OverloadLevel::Moderate;
                Some(Remedy::HigherClass(if moderate { Class::High } else { Class::Critical }))
            }
            Rule::Threshold => self.class_below_its_threshold(now, request.class).map(Remedy::HigherClass),
            Rule::QueueDepth | Rule::HeldBytes | Rule::TenantShare => {
                self.queue.class_that_pushes_out().map(Remedy::HigherClass)
            }
            _ => None,
        }
    }

    /// The predicted wait and the predicted service.
    fn needed_budget(&self, now: Instant, request: &Request) -> Duration {
        let service = self.predicted_service(now, request).unwrap_or_default();
        self.predicted_wait(now, request) + service
    }

    /// The nearest of the classes above this one that is below its threshold.
    fn class_below_its_threshold(&self, now: Instant, class: Class) -> Option<Class> {
        let above = Class::QUEUED[..class.index()].iter().rev().copied();
        above.into_iter().find(|class| self.in_flight < self.slots(now, *class))
    }
}
