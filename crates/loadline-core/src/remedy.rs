//! What would have let a rejected request in.
//!
//! Computed from the state in which it was rejected, so it is true of that moment and of no later one. The rule that rejected
//! says what would have passed *it*; the door is asked whether that would have passed the others too, and if not, nothing but
//! time helps.

use crate::{Admission, Class, Duration, Instant, OverloadLevel, Remedy, Request, Rule, door::Verdict};

impl Admission {
    /// What would have let a request in which this rule rejects. `asked` is what it was, `judged` what the door
    /// [made of it](Self::prepare).
    pub(crate) fn remedy(
        &self,
        now: Instant,
        asked: &Request,
        judged: &Request,
        rule: Rule,
    ) -> Option<Remedy> {
        let remedy = self.passes(now, judged, rule)?;
        let mut changed = *judged;
        match remedy {
            Remedy::Budget(budget) => changed.deadline = Some(now + budget),
            Remedy::HigherClass(class) => {
                changed = *asked;
                changed.class = class;
                self.prepare(now, &mut changed);
            }
        }
        let helps = !matches!(self.judge(now, &changed), Verdict::Shed(_));
        helps.then_some(remedy)
    }

    /// What would have passed this rule.
    fn passes(&self, now: Instant, request: &Request, rule: Rule) -> Option<Remedy> {
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
        let service = self.service_nanos(now, request.route).unwrap_or_default();
        self.predicted_wait(now, request) + Duration::from_nanos(service)
    }

    /// The nearest of the classes above this one that is below its threshold.
    fn class_below_its_threshold(&self, now: Instant, class: Class) -> Option<Class> {
        let above = Class::QUEUED[..class.index()].iter().rev().copied();
        above.into_iter().find(|class| self.in_flight < self.slots(now, *class))
    }
}
