//! Never shed when it would not help: who is rejected for want of room while there is room for him, and nobody else to take it, is
//! counted, and nobody should ever be.
//!
//! This looks at a rejection from the outside, by what is in use and who waits, and not by the rules that led to it: a mistake in
//! those shows here.
//!
//! Out of scope: rejections that have another cause than want of room. A deadline, a threshold, an overload signal, a timeout or a cap
//! that was set turn requests away while slots are free, because they were asked to.

use crate::{Admission, Class, Instant, Reason, Request, Rule};

impl Admission {
    /// A newcomer is about to be rejected by this rule.
    #[inline]
    pub(crate) fn watch_door(&mut self, now: Instant, request: &Request, rule: Rule) {
        let wants_room = matches!(
            rule,
            Rule::SlotsTaken
                | Rule::RouteLimit
                | Rule::RetryShare
                | Rule::Draining
                | Rule::QueueDepth
                | Rule::HeldBytes
                | Rule::TenantShare
        );
        self.needless_sheds += u64::from(wants_room && self.has_room_for_nobody_else(now, request));
    }

    /// One who waited is about to be rejected for this reason.
    #[inline]
    pub(crate) fn watch_queue(&mut self, now: Instant, request: &Request, reason: Reason) {
        let wants_room = matches!(reason, Reason::QueueFull | Reason::Codel | Reason::Fairness);
        self.needless_sheds += u64::from(wants_room && self.has_room_for_nobody_else(now, request));
    }

    /// Whether it would fit, and nobody waits who could have its place.
    fn has_room_for_nobody_else(&self, now: Instant, request: &Request) -> bool {
        // Most who are rejected have others waiting before them, and then this is all there is to do.
        if self.queue.waiting() > 0 || request.class == Class::Bypass || self.routes.is_full(request.route) {
            return false;
        }
        let room = self.room(now);
        room.free > 0 && room.fits(request)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{Decision, Outcome, Settings};

    fn watched(class: Class, rule: Rule, reason: Reason) -> (Admission, [u64; 2]) {
        let now = Instant::ORIGIN;
        let mut admission = Admission::new(Settings::new(NonZeroU32::MIN));
        let request = Request::new(class);
        admission.watch_door(now, &request, rule);
        let at_the_door = admission.snapshot(now).needless_sheds;
        admission.watch_queue(now, &request, reason);
        let both = admission.snapshot(now).needless_sheds;
        (admission, [at_the_door, both - at_the_door])
    }

    #[test]
    fn a_rejection_beside_a_free_slot_is_noticed() {
        assert_eq!(watched(Class::Normal, Rule::SlotsTaken, Reason::QueueFull).1, [1, 1]);
        assert_eq!(watched(Class::Low, Rule::QueueDepth, Reason::Codel).1, [1, 1]);
    }

    #[test]
    fn what_was_asked_for_is_not_needless() {
        assert_eq!(watched(Class::Normal, Rule::Threshold, Reason::QueueTimeout).1, [0, 0]);
        assert_eq!(watched(Class::Bypass, Rule::BypassLimit, Reason::QueueFull).1, [0, 0]);
    }

    #[test]
    fn a_taken_slot_is_a_need() {
        let (mut admission, before) = watched(Class::Normal, Rule::Threshold, Reason::QueueTimeout);
        let now = Instant::ORIGIN;
        let request = Request::new(Class::Normal);
        let Decision::Admit(permit) = admission.on_arrival(now, request) else { panic!("a slot is free") };
        admission.watch_door(now, &request, Rule::SlotsTaken);
        assert_eq!((before, admission.snapshot(now).needless_sheds), ([0, 0], 0));
        admission.on_complete(now, permit, Outcome::Completed);
        admission.watch_door(now, &request, Rule::SlotsTaken);
        assert_eq!(admission.snapshot(now).needless_sheds, 1);
    }
}
