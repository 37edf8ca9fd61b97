//! What must hold between any two calls. Checked after every mutation in debug builds, and by tests whenever they like.

use crate::{Admission, Class};

impl Admission {
    /// Panics unless every invariant holds:
    /// - the limit in force ≤ the limit of the settings;
    /// - slots in use ≤ limit in force + reserve; after the limit was lowered, no more than were in flight then, and falling only;
    /// - the same for bypass and its cap;
    /// - per class: offered = admitted + shed + abandoned + queued;
    /// - admitted = completed + failed + timed out + aborted + in flight;
    /// - every waiter is in one list, in order of arrival, and will expire if it has a timeout;
    /// - witnesses, and only they, were spared from giving way;
    /// - tenants and routes of a class are where the order of service looks for them, and their sums are true;
    /// - the requests in flight by route add up.
    ///
    /// O(number of waiters).
    pub fn check_invariants(&self) {
        self.check_ledger();
        self.queue.check();
    }

    /// Called at the end of every mutation. The ledger is checked each time. Walking the queue costs its length, so that is
    /// done once per that many calls: a debug build stays usable with thousands of waiters.
    #[inline]
    pub(crate) fn check_after_mutation(&mut self) {
        if cfg!(debug_assertions) {
            self.check_ledger();
            self.unchecked += 1;
            if self.unchecked > self.queue.waiting() {
                self.unchecked = 0;
                self.queue.check();
            }
        }
    }

    fn check_ledger(&self) {
        assert!(self.in_flight <= self.ceiling, "{} in flight, ceiling {}", self.in_flight, self.ceiling);
        assert!(self.ceiling >= self.limiter.in_force().get(), "the ceiling is never below the limit");
        assert!(self.limiter.in_force() <= self.settings.limit, "a number that was given is a ceiling");
        assert!(
            self.bypass_in_flight <= self.bypass_ceiling,
            "{} bypass in flight, ceiling {}",
            self.bypass_in_flight,
            self.bypass_ceiling
        );
        let mut in_flight = 0;
        for class in Class::ALL {
            let counters = self.counters.of(class);
            assert_eq!(
                counters.offered,
                counters.admitted
                    + counters.shed_total()
                    + counters.abandoned
                    + u64::from(self.queue.unanswered(class)),
                "class {class}: offered = admitted + shed + abandoned + queued"
            );
            assert!(counters.admitted >= counters.ended(), "class {class}: only what was admitted ends");
            if class == Class::Bypass {
                assert_eq!(counters.in_flight(), u64::from(self.bypass_in_flight), "bypass in flight");
            } else {
                in_flight += counters.in_flight();
            }
        }
        assert_eq!(in_flight, u64::from(self.requests), "admitted = ended + in flight");
        assert!(self.retries_in_flight <= self.in_flight, "retries are among those in flight");
        assert!(self.requests <= self.in_flight, "each takes a slot at least");
        let by_route = self.routes.in_flight().iter().map(|count| u64::from(*count)).sum::<u64>();
        assert_eq!(by_route, u64::from(self.requests), "each is of a route");
    }
}
