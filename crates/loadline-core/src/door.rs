//! The door: what becomes of a request that has just arrived. Looks, and changes nothing.
//!
//! In this order, the first that applies decides:
//!
//! ```text
//! overload signal against the class            shed  overload
//! threshold of the class reached               shed  priority
//! enough slots are free, nobody of its class or above waits   admit
//! draining                                     shed  draining
//! the queue has a place, or somebody gives way           wait
//! otherwise                                    shed  concurrency (no queue) or queue_full
//! ```

use crate::{Admission, Class, Instant, OverloadLevel, Reason, Request, queue::Way};

/// What the door says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Admit,
    Queue(Way),
    Shed(Reason),
}

impl Admission {
    /// What becomes of a request that arrives at `now`.
    pub(crate) fn judge(&self, now: Instant, request: &Request) -> Verdict {
        let class = request.class;
        if class == Class::Bypass {
            let full = self.bypass_in_flight >= self.settings.bypass_limit.get();
            return if full { Verdict::Shed(Reason::Concurrency) } else { Verdict::Admit };
        }
        if self.overload.sheds(class) {
            return Verdict::Shed(Reason::Overload);
        }
        if let Some(threshold) = self.settings.shed_at.threshold(class, self.settings.limit.get())
            && self.in_flight >= threshold
        {
            return Verdict::Shed(Reason::Priority);
        }
        if self.room().fits(request) && self.queue.is_empty_from(class) {
            return Verdict::Admit;
        }
        if self.draining {
            return Verdict::Shed(Reason::Draining);
        }
        match self.queue.way_in(now, class, &self.pace()) {
            Ok(way) => Verdict::Queue(way),
            Err(reason) => Verdict::Shed(reason),
        }
    }
}

impl OverloadLevel {
    fn sheds(self, class: Class) -> bool {
        match self {
            Self::None => false,
            Self::Moderate => matches!(class, Class::Normal | Class::Low),
            Self::Severe => matches!(class, Class::High | Class::Normal | Class::Low),
        }
    }
}
