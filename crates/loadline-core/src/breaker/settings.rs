//! What an operator chooses about a breaker.

use std::num::NonZeroU32;

use crate::{Duration, Percent};

/// Settings of one [`Breaker`](crate::Breaker). Made with `BreakerSettings::default()` and changed field by field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// So many failures in a row trip it; `None`: they do not.
    pub consecutive_failures: Option<NonZeroU32>,
    /// This share of failures within the window trips it; `None`: it does not.
    pub failure_rate: Option<Percent>,
    /// This share of slow exchanges within the window trips it; `None`: it does not.
    pub slow_rate: Option<Percent>,
    /// From how long on an exchange is slow.
    pub slow_call: Duration,
    /// The least number of exchanges within the window of which a share is taken: below it a share is noise.
    pub min_requests: NonZeroU32,
    /// How far back the shares look.
    pub window: Duration,
    /// How long it stays open, the first time.
    pub open: Duration,
    /// How long at most, when it trips again and again.
    pub max_open: Duration,
    /// How many exchanges may try at one time whether it can close; as many must succeed.
    pub probes: NonZeroU32,
}

impl Default for BreakerSettings {
    /// Five failures in a row, or half of at least 20 exchanges within 10 s; open for 10 s, at most for 2 min; one probe.
    fn default() -> Self {
        Self {
            consecutive_failures: NonZeroU32::new(5),
            failure_rate: Percent::new(50),
            slow_rate: None,
            slow_call: Duration::from_secs(5),
            min_requests: NonZeroU32::new(20).expect("20 is not zero"),
            window: Duration::from_secs(10),
            open: Duration::from_secs(10),
            max_open: Duration::from_secs(120),
            probes: NonZeroU32::MIN,
        }
    }
}
