//! Which rule of the door decides: the core's verdict, after what the proxy refuses before it asks the core.

use std::sync::atomic::Ordering;

use loadline_core::{Class, Explanation, Reason, Snapshot, Verdict};

use crate::asked::Asked;
use crate::live::Live;
use crate::worker::Shared;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A slot is free for it.
    FreeSlot,
    /// The cap of health checks.
    Bypass,
    /// The queue has a place.
    Queue,
    /// `max_connections`.
    Connections,
    /// `deadline.max_queue_age`.
    QueueAge,
    /// Its deadline has passed.
    DeadlineExpired,
    /// By prediction it cannot be answered in time.
    DeadlineUnreachable,
    /// An overload signal.
    Overload,
    /// `priority.shed_at`.
    Threshold,
    /// Retries have their share of the slots.
    RetryShare,
    /// The proxy drains.
    Draining,
    /// There is no queue.
    NoQueue,
    /// The queue is full.
    QueueFull,
    /// Any other reason.
    Other,
}

impl Rule {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FreeSlot => "free_slot",
            Self::Bypass => "bypass",
            Self::Queue => "queue",
            Self::Connections => "max_connections",
            Self::QueueAge => "queue_age",
            Self::DeadlineExpired => "deadline_expired",
            Self::DeadlineUnreachable => "deadline_unreachable",
            Self::Overload => "overload_level",
            Self::Threshold => "threshold",
            Self::RetryShare => "retry_share",
            Self::Draining => "draining",
            Self::NoQueue => "no_queue",
            Self::QueueFull => "queue_full",
            Self::Other => "other",
        }
    }
}

/// The verdict, and the rule behind it.
pub(super) fn decide(
    shared: &Shared,
    live: &Live,
    asked: &Asked,
    explanation: &Explanation,
    gate: &Snapshot,
) -> (Verdict, Rule) {
    let bypass = asked.class == Class::Bypass;
    // The pipeline's order: see its stage 3.
    let open = shared.connections.load(Ordering::Relaxed);
    if !bypass && open >= live.settings.max_connections as usize {
        return (Verdict::Shed(Reason::ConnectionLimit), Rule::Connections);
    }
    if asked.too_old {
        return (Verdict::Shed(Reason::QueueAge), Rule::QueueAge);
    }
    let rule = match explanation.verdict {
        _ if bypass => Rule::Bypass,
        Verdict::Admit => Rule::FreeSlot,
        Verdict::Queue => Rule::Queue,
        Verdict::Shed(reason) => match reason {
            Reason::DeadlineExpired => Rule::DeadlineExpired,
            Reason::DeadlineUnreachable => Rule::DeadlineUnreachable,
            Reason::Overload => Rule::Overload,
            Reason::Draining => Rule::Draining,
            Reason::Concurrency => Rule::NoQueue,
            Reason::QueueFull => Rule::QueueFull,
            Reason::Priority
                if explanation.in_flight >= explanation.slots && has_threshold(live, explanation.class) =>
            {
                Rule::Threshold
            }
            // Of two rules with this reason, the other one: retries beyond their share.
            Reason::Priority if gate.retry_share > 0 => Rule::RetryShare,
            _ => Rule::Other,
        },
    };
    (explanation.verdict, rule)
}

fn has_threshold(live: &Live, class: Class) -> bool {
    let shed_at = &live.settings.priority.shed_at;
    match class {
        Class::High => shed_at.high.is_some(),
        Class::Normal => shed_at.normal.is_some(),
        Class::Low => shed_at.low.is_some(),
        Class::Bypass | Class::Critical => false,
    }
}
