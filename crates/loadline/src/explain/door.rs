//! What decides: the core's rule, after what the proxy refuses before it asks the core.

use std::sync::atomic::Ordering;
use std::time::Duration;

use loadline_core::{Class, Explanation, Reason, Verdict};

use crate::asked::Asked;
use crate::live::Live;
use crate::shared::Shared;
use crate::upstream::Refusal;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// `max_connections`.
    Connections,
    /// `deadline.max_queue_age`.
    QueueAge,
    /// Every endpoint failed too often; the time until one is tried again.
    BreakerOpen(Duration),
    /// No endpoint can be asked, for another reason.
    NoEndpoint,
    /// The core's.
    Core(loadline_core::Rule),
}

impl Rule {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::QueueAge => "queue_age",
            Self::BreakerOpen(_) => "breaker_open",
            Self::NoEndpoint => "no_endpoint",
            Self::Core(rule) => rule.as_str(),
        }
    }
}

/// The verdict, and the rule behind it.
pub(super) fn decide(
    shared: &Shared,
    live: &Live,
    asked: &Asked,
    explanation: &Explanation,
) -> (Verdict, Rule) {
    // The pipeline's order: see its stage 3.
    let open = shared.connections.load(Ordering::Relaxed);
    if asked.class != Class::Bypass && open >= live.settings.max_connections as usize {
        return (Verdict::Shed(Reason::ConnectionLimit), Rule::Connections);
    }
    if asked.too_old {
        return (Verdict::Shed(Reason::QueueAge), Rule::QueueAge);
    }
    match live.upstream.check() {
        Err(refusal) if asked.class != Class::Bypass => match refusal {
            Refusal::Open(rest) => (Verdict::Shed(Reason::BreakerOpen), Rule::BreakerOpen(rest)),
            Refusal::Unresolved | Refusal::Busy | Refusal::NoEndpoint => {
                (Verdict::Shed(Reason::NoEndpoint), Rule::NoEndpoint)
            }
        },
        _ => (explanation.verdict, Rule::Core(explanation.rule)),
    }
}
