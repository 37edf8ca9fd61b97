//! Retries: who comes again adds to an overload without adding demand, so fresh work goes first.
//!
//! Two rules, both judged at the door:
//!
//! - While fresh work of its class is being shed (somebody was within the last [`LATELY`]), a retry is judged as one of the class
//!   below. Everything that follows, its place in the queue and the ledger included, is that of the lower class.
//! - Where slots are scarce, retries hold at most a fifth of them, at least [`MIN_SHARE`]: those in flight and those waiting
//!   together. One more is refused with [`Reason::Priority`] instead of waiting. With a slot free and nobody waiting for it, it
//!   takes nothing from anybody, so it is admitted: retries may fill an idle service, and from the moment on at which fresh
//!   work comes and has to wait, no further one is let in before fewer than the share are left. One retry alone is never refused
//!   for it, whatever it costs.
//!
//! So an overload is not made longer by its own retries: while it lasts they get a fifth of the slots, however many they are, and
//! behind fresh work.
//!
//! Worked number: of 100 slots retries get 20; of 10 they get 3.

use crate::{Admission, Class, Duration, Instant, Reason, Request, time::nanos};

/// An overload sheds somebody every few milliseconds; a second without is its end.
const LATELY: Duration = Duration::from_secs(1);
/// Retries get one slot in so many.
const SHARE: u32 = 5;
/// With few slots, a share of them would be nothing.
const MIN_SHARE: u32 = 3;

/// When fresh work of each class was last shed for want of capacity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FreshShed([Option<Instant>; Class::QUEUED.len()]);

impl FreshShed {
    pub(crate) fn note(&mut self, now: Instant, request: &Request, reason: Reason) {
        // The others would be shed by an idle service too.
        let for_want_of_capacity = !matches!(reason, Reason::DeadlineExpired | Reason::Draining);
        if for_want_of_capacity
            && !request.retry
            && let Some(last) = self.0.get_mut(request.class.index())
        {
            *last = Some(now);
        }
    }

    fn is_going_on(&self, now: Instant, class: Class) -> bool {
        let last = self.0.get(class.index()).copied().flatten();
        last.is_some_and(|last| now.nanos_since(last) < nanos(LATELY))
    }
}

impl Admission {
    /// The class under which this retry is judged.
    #[cold]
    pub(crate) fn class_of_retry(&self, now: Instant, class: Class) -> Class {
        match class {
            class if !self.fresh_shed.is_going_on(now, class) => class,
            Class::Critical => Class::High,
            Class::High => Class::Normal,
            Class::Normal | Class::Low => Class::Low,
            Class::Bypass => Class::Bypass,
        }
    }

    /// How many slots retries may hold.
    pub(crate) fn retry_share(&self, now: Instant) -> u32 {
        (self.limit(now).get() / SHARE).max(MIN_SHARE)
    }

    /// Whether retries have their share already, as far as this one is concerned.
    pub(crate) fn retries_are_many(&self, now: Instant, request: &Request) -> bool {
        let held = u64::from(self.retries_in_flight) + self.queue.retries_waiting();
        held > 0 && held + u64::from(request.cost.get()) > u64::from(self.retry_share(now))
    }
}
