//! Where requests go, and what is done about places that fail: `upstream`, `[dns]`, `[breaker]`, `[balance]`.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::Upstream;

/// `upstream`: the places that requests are sent to; at least one. The demo app is always alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstreams(Vec<Upstream>);

impl Upstreams {
    /// `None` for none, for one that is given twice, and for the demo app beside others.
    pub fn new(targets: Vec<Upstream>) -> Option<Self> {
        let twice = targets.iter().enumerate().any(|(at, target)| targets[..at].contains(target));
        let demo = targets.len() > 1 && targets.contains(&Upstream::Demo);
        (!targets.is_empty() && !twice && !demo).then_some(Self(targets))
    }

    /// The embedded demo app.
    pub fn demo() -> Self {
        Self(vec![Upstream::Demo])
    }

    /// Whether it is the embedded demo app.
    pub fn is_demo(&self) -> bool {
        self.0 == [Upstream::Demo]
    }

    /// All of them, in the order in which they were given.
    pub fn targets(&self) -> &[Upstream] {
        &self.0
    }
}

impl fmt::Display for Upstreams {
    /// All, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// `[dns]`: how names become addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name server that is asked; `None`: the system's way (hosts file, search list, its servers). Default none.
    pub server: Option<SocketAddr>,
    /// Longest time between two resolutions of a name, 100 ms to 1 h. Default 5 s.
    pub refresh: Duration,
}

/// `[breaker]`: one for each endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Whether an endpoint that fails is asked nothing for a while even if there is no other. Default false.
    pub enabled: bool,
    /// So many failures in a row trip it; 0: they do not. Default 5.
    pub consecutive_failures: u32,
    /// This share of failures within `window` trips it, in percent. Default 50.
    pub failure_rate: Option<u8>,
    /// This share of slow answers within `window` trips it, in percent. Default none.
    pub slow_rate: Option<u8>,
    /// From how long on an answer is slow. Default 5 s.
    pub slow_call: Duration,
    /// The least number of answers within `window` of which a share is taken. Default 20.
    pub min_requests: NonZeroU32,
    /// How far back shares look. Default 10 s.
    pub window: Duration,
    /// How long it stays open the first time. Default 10 s.
    pub open: Duration,
    /// How long at most. Default 2 min.
    pub max_open: Duration,
    /// Requests that try at one time whether it can close. Default 1.
    pub probes: NonZeroU32,
    /// Statuses that are failures, 400 to 599. Default 500, 502, 503, 504.
    pub statuses: Vec<u16>,
}

/// `[balance]`: several endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which endpoint is next. Default [`Policy::LeastLatency`].
    pub policy: Policy,
    /// Requests in service at one endpoint; `None`: as many as the limit. Default none.
    pub max_per_endpoint: Option<NonZeroU32>,
    /// The share of the endpoints that may be out of the rotation for their failures, in percent; `None`: none may.
    /// Default 50.
    pub max_ejected: Option<u8>,
    /// Until an endpoint that is new or returns gets its full share; zero: at once. Default 10 s.
    pub slow_start: Duration,
    /// Requests that may be repeated elsewhere, as a share of all in percent; `None`: nothing is repeated elsewhere. Default 20.
    pub retry_budget: Option<u8>,
    /// Repetitions per second that are allowed whatever the share. Default 3.
    pub retry_min: u32,
    /// Active health checks.
    pub health: Health,
}

/// Which endpoint is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Of two at random, the one with less latency times requests in service.
    LeastLatency,
    /// Of two at random, the one with fewer requests in service.
    LeastInFlight,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
}

/// `[balance.health]`: asking each endpoint whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked for; `None`: nothing is asked. Default none.
    pub path: Option<String>,
    /// Between two checks of an endpoint that has not answered a request meanwhile. Default 5 s.
    pub interval: Duration,
    /// Until the answer. Default 1 s.
    pub timeout: Duration,
    /// So many passed checks in a row bring an endpoint back. Default 2.
    pub rise: NonZeroU32,
    /// So many failed ones in a row take it out. Default 3.
    pub fall: NonZeroU32,
}
