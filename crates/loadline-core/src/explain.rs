//! What would become of a request if it arrived now: the door's own verdict, with what it rests on.

use crate::{Admission, Class, Duration, Instant, Reason, Remedy, Request, Rule, door, queue::Way};

/// What would become of a request; see [`Admission::explain`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// What would happen.
    pub verdict: Verdict,
    /// The rule that decides it.
    pub rule: Rule,
    /// What would let it in if it is rejected; see [`Rejection::remedy`](crate::Rejection::remedy).
    pub remedy: Option<Remedy>,
    /// The class under which it would be judged.
    pub class: Class,
    /// Who would lose his place in a full queue to it: somebody of this class.
    pub displaces: Option<Class>,
    /// Slots in use (of the cap of its own for bypass).
    pub in_flight: u32,
    /// Slots that its class may fill, its threshold or the reserve considered.
    pub slots: u32,
    /// How long it would have to wait by the present backlog; zero if it would not, or would be shed without looking.
    pub predicted_wait: Duration,
    /// How long its slot would then be held; `None` while nothing is known of its route.
    pub predicted_service: Option<Duration>,
}

/// What the door would say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It would be admitted.
    Admit,
    /// It would wait.
    Queue,
    /// It would be rejected, for this reason.
    Shed(Reason),
}

impl Admission {
    /// What [`Self::on_arrival`] would say of this request at `now`, and why. Decided by the same code, and changes nothing.
    #[must_use]
    pub fn explain(&self, now: Instant, request: &Request) -> Explanation {
        let now = self.at_least(now);
        let asked = *request;
        let mut request = asked;
        self.prepare(now, &mut request);
        let class = request.class;
        let mut displaces = None;
        let mut remedy = None;
        let (verdict, rule) = match self.judge(now, &request) {
            door::Verdict::Admit => (Verdict::Admit, Rule::FreeSlot),
            door::Verdict::Shed(rule) => {
                remedy = self.remedy(now, &asked, &request, rule);
                (Verdict::Shed(rule.reason()), rule)
            }
            door::Verdict::Queue(way) => {
                displaces = match way {
                    Way::InsteadOf(class) => Some(class),
                    Way::InsteadOfTenant(_) => Some(class),
                    Way::Free | Way::InsteadOfExpired(_) => None,
                };
                (Verdict::Queue, if displaces.is_some() { Rule::PushOut } else { Rule::QueuePlace })
            }
        };
        let bypass = class == Class::Bypass;
        Explanation {
            verdict,
            rule,
            remedy,
            class,
            displaces,
            in_flight: if bypass { self.bypass_in_flight } else { self.in_flight },
            slots: self.slots(now, class),
            predicted_wait: if bypass { Duration::ZERO } else { self.predicted_wait(now, &request) },
            predicted_service: self.predicted_service(&request),
        }
    }
}
