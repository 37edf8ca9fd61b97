//! The way out for everybody at once: nobody is served any more. O(n log n), once.

use crate::{Class, Instant, Reason, routes::Routes};

use super::{Pace, Queue};

impl Queue {
    /// Everybody who waits gives way for this reason, the highest class first, and is told by the next polls. How many did.
    pub(crate) fn send_all_away(
        &mut self,
        now: Instant,
        reason: Reason,
        pace: &Pace,
        routes: &Routes,
    ) -> u32 {
        let waiting = self.waiting();
        for class in Class::QUEUED {
            while let Some(index) = self.lines[class.index()].oldest(&self.entries) {
                self.give_way(now, index, reason, pace, routes);
            }
        }
        waiting
    }
}
