//! The answers of the state machine, and the one answer it is given: how the work ended.

use crate::{Class, Duration, Instant, Permit, Reason, Remedy, Ticket};

/// What happens to a request that has just arrived.
#[derive(Debug)]
#[must_use = "a permit must be handed back, a ticket waited for, a rejection told to the client"]
pub enum Decision {
    /// Go ahead.
    Admit(Permit),
    /// Wait: `poll` will answer this ticket with `Dispatch` or `Expire`, unless it is cancelled first.
    Queue(Ticket),
    /// Rejected at once.
    Shed(Rejection),
}

/// What [`Admission::poll`](crate::Admission::poll) wants done.
#[derive(Debug)]
#[must_use = "an event answers a waiting request or names the next wake-up"]
pub enum Event {
    /// The waiter has a slot now.
    Dispatch(Ticket, Permit),
    /// The waiter is rejected.
    Expire(Ticket, Rejection),
    /// Nothing to do before this moment, unless something happens first.
    WakeAt(Instant),
    /// Nothing to do until something happens.
    Idle,
}

/// How admitted work ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It was answered.
    Completed,
    /// It ended with an error of the service.
    Failed,
    /// It ran into a time limit.
    TimedOut,
    /// It was given up, or never begun. How long it would have taken is not known.
    Aborted,
}

/// A request was not admitted: why, and when it is worth coming back.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// The class under which it was judged.
    pub class: Class,
    /// How long the client should stay away: 1 to 30 seconds, not yet rounded to whole ones.
    pub retry_after: Duration,
    /// How long it waited in the queue; zero if it was rejected at the door.
    pub waited: Duration,
    /// 0 if it was rejected at the door, else one more than the number of waiters dispatched while it waited.
    pub depth: u32,
    /// What would have let it in, besides coming back later; `None`: nothing of that kind.
    pub remedy: Option<Remedy>,
}

impl Rejection {
    /// A rejection at the door.
    #[must_use]
    pub const fn new(reason: Reason, class: Class, retry_after: Duration) -> Self {
        Self { reason, class, retry_after, waited: Duration::ZERO, depth: 0, remedy: None }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rejected: {} (class {})", self.reason, self.class)
    }
}

impl std::error::Error for Rejection {}
