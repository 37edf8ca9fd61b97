//! The right to do one unit of work.

use crate::{Class, Duration, Instant, Request};

/// One slot, or several if it [costs](Request::with_cost) more, held from admission until it is handed back with
/// [`Admission::on_complete`](crate::Admission::on_complete).
///
/// Neither `Clone` nor `Copy`, so a slot cannot be freed twice. A permit that is dropped instead of handed back keeps its
/// slot for ever: the core cannot know. Wrap it in a guard that hands it back on drop, as the gate of `loadline-tower` does.
#[derive(Debug)]
#[must_use = "a dropped permit never frees its slot; hand it to `Admission::on_complete`"]
pub struct Permit {
    admitted_at: Instant,
    queued_nanos: u64,
    depth: u32,
    /// With the class under which it was admitted, and the slots it got.
    request: Request,
}

impl Permit {
    pub(crate) const fn new(request: Request, admitted_at: Instant, queued_nanos: u64, depth: u32) -> Self {
        Self { admitted_at, queued_nanos, depth, request }
    }

    pub(crate) const fn request(&self) -> &Request {
        &self.request
    }

    /// The class it was admitted under.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.request.class
    }

    /// How many slots it holds.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.request.cost.get()
    }

    /// How long it waited in the queue; zero if it did not.
    #[must_use]
    pub const fn queued(&self) -> Duration {
        Duration::from_nanos(self.queued_nanos)
    }

    /// Its position in the queue as HAProxy's `%bq` logs it: 0 if it never waited, else how many waiters were dispatched
    /// while it waited, itself included. Four that begin to wait together have 1, 2, 3 and 4.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// When it got its slot.
    #[must_use]
    pub const fn admitted_at(&self) -> Instant {
        self.admitted_at
    }
}
