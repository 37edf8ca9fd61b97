//! `[fairness]`, `[retry]`, `[warmup]` and `[queue.codel]`: what else than class and deadline decides who gets in.

use std::fmt;
use std::time::Duration;

/// `[fairness]`: sharing within a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fairness {
    /// Between whom. Default [`FairnessKey::Off`].
    pub key: FairnessKey,
    /// Whether an overload, instead of giving every tenant the same, turns the same ones away for an hour. Default false.
    pub cohorts: bool,
}

/// What tells one tenant from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FairnessKey {
    /// Nothing: all requests of a class are one line.
    Off,
    /// The client's address, as far as trusted proxies tell it; IPv6 by /64.
    ClientIp,
    /// The value of the header with this lower-case name; the client's address where it is missing.
    Header(String),
}

impl fmt::Display for FairnessKey {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// `[retry]`: requests whose client has tried before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Whether attempt headers are heeded. Default true.
    pub detect: bool,
    /// Whether a rejection names the header by which its retry is known. Default true.
    pub token: bool,
}

/// `[warmup]`: how the limit rises after a start and after the upstream's return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// The share of the limit to begin with, in whole percent, 1 to 100. Default 20.
    pub from: u8,
    /// How long it takes to reach the limit; `None`: it is there at once. Default none.
    pub over: Option<Duration>,
}

/// `[queue.codel]`: what the discipline `codel` goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codel {
    /// The wait that is nothing to worry about. Default 50 ms.
    pub target: Duration,
    /// How long waits must have been above it before the first is dropped. Default 1 s.
    pub interval: Duration,
}
