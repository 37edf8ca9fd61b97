//! Which rule decided, and what would have changed the decision: for explanations, responses and logs.
//!
//! A [`Reason`] is the word for the client and for metrics, from a closed list. A [`Rule`] is finer: it says which of the rules that
//! give this reason applied.

use crate::{Class, Duration, Reason};

/// The rule of the door that decided; see [`Admission::explain`](crate::Admission::explain).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// A slot is free and nobody goes before it: admitted.
    FreeSlot,
    /// The queue has a place: it waits.
    QueuePlace,
    /// The queue is full, but somebody gives way to it: it waits.
    PushOut,
    /// The deadline has passed.
    DeadlinePassed,
    /// By prediction it cannot be answered before its deadline.
    Prediction,
    /// A signal of overload is up against its class.
    OverloadSignal,
    /// The threshold of its class is reached.
    Threshold,
    /// It is a retry, slots are scarce, and retries have their share of them.
    RetryShare,
    /// Its route is at its own limit, and nothing may wait.
    RouteLimit,
    /// The slots are taken, or promised to who waits, and nothing may wait.
    SlotsTaken,
    /// Its class has a cap of its own, which is reached: bypass.
    BypassLimit,
    /// The instance drains, and no slot is free.
    Draining,
    /// As many wait as may.
    QueueDepth,
    /// The waiters hold as many bytes as they may.
    HeldBytes,
    /// The queue is full, and its tenant has most of it.
    TenantShare,
}

impl Rule {
    /// The word used in explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FreeSlot => "free_slot",
            Self::QueuePlace => "queue_place",
            Self::PushOut => "push_out",
            Self::DeadlinePassed => "deadline_passed",
            Self::Prediction => "prediction",
            Self::OverloadSignal => "overload_signal",
            Self::Threshold => "threshold",
            Self::RetryShare => "retry_share",
            Self::RouteLimit => "route_limit",
            Self::SlotsTaken => "slots_taken",
            Self::BypassLimit => "bypass_limit",
            Self::Draining => "draining",
            Self::QueueDepth => "queue_depth",
            Self::HeldBytes => "held_bytes",
            Self::TenantShare => "tenant_share",
        }
    }

    /// The reason with which it rejects. Of those that reject nobody, the nearest: [`Reason::Concurrency`].
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::DeadlinePassed => Reason::DeadlineExpired,
            Self::Prediction => Reason::DeadlineUnreachable,
            Self::OverloadSignal => Reason::Overload,
            Self::Threshold | Self::RetryShare => Reason::Priority,
            Self::Draining => Reason::Draining,
            Self::QueueDepth | Self::HeldBytes => Reason::QueueFull,
            Self::TenantShare => Reason::Fairness,
            Self::RouteLimit | Self::SlotsTaken | Self::BypassLimit => Reason::Concurrency,
            Self::FreeSlot | Self::QueuePlace | Self::PushOut => Reason::Concurrency,
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What would have let a rejected request in, at that moment. Besides, there is always
/// [`Rejection::retry_after`](crate::Rejection::retry_after).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// To be of this class or of a higher one.
    HigherClass(Class),
    /// A deadline this far away or farther: the predicted wait and the predicted service.
    Budget(Duration),
}
