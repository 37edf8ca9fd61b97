//! The right to do one unit of work.

use std::num::NonZeroU32;

use crate::{Class, Duration, Instant, Request, RouteId};

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
    cost: NonZeroU32,
    /// Slots in use once it was admitted.
    in_flight: u32,
    route: RouteId,
    class: Class,
    retry: bool,
}

impl Permit {
    /// For so many slots, given to a request with the class under which it was admitted.
    pub(crate) const fn new(
        request: &Request,
        cost: NonZeroU32,
        admitted_at: Instant,
        queued_nanos: u64,
        depth: u32,
        in_flight: u32,
    ) -> Self {
        let Request { class, route, retry, .. } = *request;
        Self { admitted_at, queued_nanos, depth, cost, in_flight, route, class, retry }
    }

    /// Whether it was asked for by a retry.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.retry
    }

    pub(crate) const fn in_flight_at_admission(&self) -> u32 {
        self.in_flight
    }

    pub(crate) const fn route(&self) -> RouteId {
        self.route
    }

    /// The class it was admitted under.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// How many slots it holds.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost.get()
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
