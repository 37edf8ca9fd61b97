//! What the settings say about endpoints, in ready form.

use std::num::NonZeroU32;
use std::time::Duration;

use loadline_core::{BreakerSettings, Percent};

use crate::config::settings::{Policy, Settings};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    /// Most requests in service at one endpoint.
    pub(super) cap: Option<NonZeroU32>,
    /// Most requests in service at all of them.
    pub(super) slots: usize,
    /// Whether an endpoint that failed gets nothing even when there is no other.
    pub(super) breaker: bool,
    /// In a dry run nobody is refused: what would be out gets requests when there is nothing else.
    pub(super) open: bool,
    /// What trips a breaker, and what brings it back.
    pub(super) breaker_settings: BreakerSettings,
    /// The share of endpoints that may be ejected, in percent.
    pub(super) max_ejected: u8,
    pub(super) slow_start: Duration,
    /// Repetitions in service, in percent of all.
    pub(super) retry_budget: Option<u8>,
    pub(super) retry_min: u32,
    /// Statuses that are failures.
    pub(super) statuses: Vec<u16>,
    /// Whether health checks may take an endpoint out.
    pub(super) checked: bool,
}

impl Rules {
    pub(super) fn of(settings: &Settings) -> Self {
        let (breaker, balance) = (&settings.breaker, &settings.balance);
        let share = |percent: Option<u8>| percent.and_then(Percent::new);
        let mut core = BreakerSettings::default();
        core.consecutive_failures = NonZeroU32::new(breaker.consecutive_failures);
        core.failure_rate = share(breaker.failure_rate);
        core.slow_rate = share(breaker.slow_rate);
        core.slow_call = breaker.slow_call;
        core.min_requests = breaker.min_requests;
        core.window = breaker.window;
        core.open = breaker.open;
        core.max_open = breaker.max_open;
        core.probes = breaker.probes;
        Self {
            policy: balance.policy,
            cap: balance.max_per_endpoint.filter(|_| !settings.dry_run),
            slots: if settings.dry_run { usize::MAX } else { settings.limit.ceiling().get() as usize },
            breaker: breaker.enabled && !settings.dry_run,
            open: settings.dry_run,
            breaker_settings: core,
            max_ejected: balance.max_ejected.unwrap_or(0),
            slow_start: balance.slow_start,
            retry_budget: balance.retry_budget,
            retry_min: balance.retry_min,
            statuses: breaker.statuses.clone(),
            checked: balance.health.path.is_some(),
        }
    }

    /// [`Self::cap`] in the machine's word.
    pub(super) fn most(&self) -> usize {
        self.cap.map_or(usize::MAX, |cap| cap.get() as usize)
    }

    /// How many of so many endpoints may be ejected.
    pub(super) fn may_eject(&self, endpoints: usize) -> usize {
        endpoints * usize::from(self.max_ejected) / 100
    }

    /// Whether one of so many endpoints is judged by its answers.
    pub(super) fn judges(&self, endpoints: usize) -> bool {
        self.breaker || self.may_eject(endpoints) > 0
    }
}
