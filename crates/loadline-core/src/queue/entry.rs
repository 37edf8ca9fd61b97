//! One waiter.

use crate::{Instant, Reason, Request};

use super::slab::NIL;

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
    /// The slot time that it was expected to need when it arrived, in nanoseconds: its slots × its predicted service time.
    pub(super) work: u64,
    /// The group in which it waits for its turn, unless it is a witness.
    pub(super) group: u32,
    /// Neighbours in the lists that it is in.
    pub(super) links: [Link; 2],
}

/// The neighbours in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) older: u32,
    pub(super) newer: u32,
}

impl Link {
    pub(super) const NONE: Self = Self { older: NIL, newer: NIL };
}
