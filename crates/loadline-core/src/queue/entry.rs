//! One waiter.

use crate::{Instant, Reason, Request};

/// One waiter, or one that has given way and must still be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// With the class whose line it is in.
    pub(super) request: Request,
    pub(super) arrived: Instant,
    /// When it is rejected if it still waits; `None`: never.
    pub(super) expires: Option<Instant>,
    /// How many had been dispatched from the queue when it arrived, for its depth.
    pub(super) dispatched_before: u64,
    /// Set when it gave way: it waits no more, and the next `poll` tells it why.
    pub(super) gave_way: Option<Reason>,
    /// Whether it was spared from giving way, to learn how long its client waits.
    pub(super) witness: bool,
    /// Neighbours in the list that it is in.
    pub(super) older: u32,
    pub(super) newer: u32,
}
