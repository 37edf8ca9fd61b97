//! Why a request was rejected: one closed vocabulary for responses, logs and metrics.

/// The reason of a rejection.
///
/// Some are found by the core; the others are decided at the edge and reported through
/// [`Admission::record_shed`](crate::Admission::record_shed), so that one ledger counts them all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The queue was full, or this entry gave way in a full queue to a newer one of its own class or to one of a higher class.
    QueueFull,
    /// It waited in the queue for as long as the queue timeout allows.
    QueueTimeout,
    /// The limit, or that of its route, was reached and nothing may wait: queue depth 0, or the cap of the bypass class.
    Concurrency,
    /// Its class was not admitted at this load; or it was a retry, slots were scarce, and retries had their share of them.
    Priority,
    /// Its class was overloaded, and it gave way to newer ones that could not all have been served before its own time was
    /// up: see [`Discipline::Adaptive`](crate::Discipline::Adaptive). Or it was dropped by the law of
    /// [`Discipline::Codel`](crate::Discipline::Codel).
    Codel,
    /// The queue was full, and its tenant had more of it than the others.
    Fairness,
    /// Its deadline had passed.
    DeadlineExpired,
    /// It could not have been answered before its deadline.
    DeadlineUnreachable,
    /// It had already waited too long in queues before this one.
    QueueAge,
    /// A signal of overload other than the limit: runtime lag, memory or CPU pressure.
    Overload,
    /// The breaker of the upstream was open.
    BreakerOpen,
    /// No upstream endpoint was available.
    NoEndpoint,
    /// Too many client connections.
    ConnectionLimit,
    /// The instance is shutting down.
    Draining,
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of [`Self::index`].
    pub const ALL: [Self; 14] = [
        Self::QueueFull,
        Self::QueueTimeout,
        Self::Concurrency,
        Self::Priority,
        Self::Codel,
        Self::Fairness,
        Self::DeadlineExpired,
        Self::DeadlineUnreachable,
        Self::QueueAge,
        Self::Overload,
        Self::BreakerOpen,
        Self::NoEndpoint,
        Self::ConnectionLimit,
        Self::Draining,
    ];

    /// The word used in responses, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Concurrency => "concurrency",
            Self::Priority => "priority",
            Self::Codel => "codel",
            Self::Fairness => "fairness",
            Self::DeadlineExpired => "deadline_expired",
            Self::DeadlineUnreachable => "deadline_unreachable",
            Self::QueueAge => "queue_age",
            Self::Overload => "overload",
            Self::BreakerOpen => "breaker_open",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectionLimit => "connection_limit",
            Self::Draining => "draining",
        }
    }

    /// The position in [`Self::ALL`], for tables with one column per reason.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_position_in_all_and_words_are_distinct() {
        for (position, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position);
            assert_eq!(Reason::ALL.iter().filter(|other| other.as_str() == reason.as_str()).count(), 1);
        }
    }
}
