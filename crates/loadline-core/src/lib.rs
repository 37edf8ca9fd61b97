//! The admission state machine of loadline: who gets in, when, and why. Pure and deterministic.

/// Stand-in until the core lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// critical
    Critical,
    /// high
    High,
    /// normal
    Normal,
    /// low
    Low,
    /// bypass
    Bypass,
}
impl Class {
    /// Name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Bypass => "bypass",
        }
    }
}
/// Stand-in until the core lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "stand-in")]
pub enum Reason {
    QueueFull,
    QueueTimeout,
    Concurrency,
    Priority,
    Codel,
    Fairness,
    DeadlineExpired,
    DeadlineUnreachable,
    QueueAge,
    Overload,
    BreakerOpen,
    NoEndpoint,
    ConnectionLimit,
    Draining,
}
impl Reason {
    /// Name.
    pub fn as_str(self) -> &'static str {
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
}
