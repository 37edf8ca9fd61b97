//! How admission comes to an end: first nobody begins to wait, then nobody waits any more.
//!
//! A process that ends draws two lines. From the first on (`set_draining`) it finishes what it has, those included who wait. At
//! the second (`shed_waiting`) the time for that is over, and who still waits is told so while there is time to tell.
//! What is in service is not touched by either: its end is its holder's business.

use crate::{Admission, Instant, Reason};

impl Admission {
    /// While draining, who waits is still served, and who arrives gets a free slot or [`Reason::Draining`]: open connections
    /// finish what they ask for, and no new backlog builds up.
    pub fn set_draining(&mut self, now: Instant, draining: bool) {
        self.advance(now);
        self.draining = draining;
    }

    /// Rejects everybody who waits, whatever his class, with [`Reason::Draining`]: the next [`poll`](Self::poll)s say so, before
    /// anybody is dispatched. Who gave way before keeps his own reason. How many were rejected.
    ///
    /// It shuts no door: without [`set_draining`](Self::set_draining) the next arrival may wait again.
    pub fn shed_waiting(&mut self, now: Instant) -> u32 {
        let now = self.advance(now);
        let pace = self.pace(now);
        let shed = self.queue.send_all_away(now, Reason::Draining, &pace, &self.routes);
        self.check_after_mutation();
        shed
    }
}
