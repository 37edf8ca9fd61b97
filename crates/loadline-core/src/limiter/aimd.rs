//! `aimd`: additive increase, multiplicative decrease, as TCP Reno controls its window.
//!
//! ```text
//! timed out, or held its slot longer than `slow`:   L ← L × backoff          (at most once per service time)
//! answered, and 2 × in flight ≥ L:                  L ← L + 1 ÷ L
//! ```
//!
//! Unit: slots. In flight is what it was when the request was admitted, so the limit rises only when half of it was used.
//! Requests that failed or were given up earlier than `slow` say nothing. One increase per answer would double the limit per
//! service time; one per limit's worth of answers is Reno's rise by 1 per service time.
//!
//! Source: Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance" (1989); for concurrency,
//! `AIMDLimit` in Netflix's concurrency-limits (backoff 0.9, 5 s).
//!
//! How it fails: it needs the number that nobody knows, what "slow" is. Above the service's own time it fills the service's queue
//! up to that latency and saws around it; below it, it starves a healthy service whose answers simply take longer. It cannot
//! tell "everything takes three times as long" from "three times too many in flight".
//!
//! Worked number: limit 20, one timeout: 18. Then 18 answers: 19.

use std::num::NonZeroU32;

use super::{LimitRange, Sample, Why, bounded::Bounded};
use crate::{Duration, Outcome, Percent, time::nanos};

/// Settings of [`LimiterSettings::Aimd`](crate::LimiterSettings::Aimd).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AimdSettings {
    /// Where it begins and how low it goes.
    pub range: LimitRange,
    /// What is left of the limit after a decrease.
    pub backoff: Percent,
    /// A slot held longer than this counts as a timeout.
    pub slow: Duration,
}

impl Default for AimdSettings {
    /// 90 % are left, after 5 s.
    fn default() -> Self {
        Self {
            range: LimitRange::default(),
            backoff: Percent::new(90).expect("90 is a percentage"),
            slow: Duration::from_secs(5),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Aimd {
    settings: AimdSettings,
    pub(super) limit: Bounded,
    /// Ends until the next decrease is possible: those of requests that were admitted under the limit before it.
    deaf: u32,
}

impl Aimd {
    pub(super) fn new(settings: AimdSettings, max: NonZeroU32) -> Self {
        Self { limit: Bounded::new(settings.range, max), settings, deaf: 0 }
    }

    pub(super) fn reconfigure(&mut self, settings: AimdSettings, max: NonZeroU32) {
        self.limit.reconfigure(settings.range, max);
        self.settings = settings;
    }

    pub(super) fn on_complete(&mut self, sample: &Sample) -> Why {
        let slow = sample.held_nanos > nanos(self.settings.slow);
        let hearing = self.deaf == 0;
        self.deaf = self.deaf.saturating_sub(1);
        if slow || sample.outcome == Outcome::TimedOut {
            if hearing {
                self.deaf = sample.in_flight;
                let left = self.limit.exact() * f64::from(self.settings.backoff.get()) / 100.0;
                // Towards the next whole slot below, or a small limit would never move.
                self.limit.set(left.min(f64::from(self.limit.slots().get()) - 1.0));
            }
            return Why::TooSlow;
        }
        let used = 2 * u64::from(sample.in_flight) >= u64::from(self.limit.slots().get());
        if sample.outcome == Outcome::Completed && used {
            self.limit.set(self.limit.exact() + 1.0 / self.limit.exact());
        }
        Why::Law
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RouteId;

    fn ended(outcome: Outcome, in_flight: u32, ms: u64) -> Sample {
        Sample { held_nanos: ms * 1_000_000, outcome, route: RouteId::OTHER, cost: 1, in_flight }
    }

    fn aimd(start: u32, max: u32) -> Aimd {
        let range = LimitRange::starting_at(NonZeroU32::new(start).unwrap());
        Aimd::new(AimdSettings { range, ..AimdSettings::default() }, NonZeroU32::new(max).unwrap())
    }

    #[test]
    fn the_worked_number() {
        let mut aimd = aimd(20, 100);
        aimd.on_complete(&ended(Outcome::TimedOut, 1, 10));
        assert_eq!(aimd.limit.slots().get(), 18);
        for _ in 0..19 {
            aimd.on_complete(&ended(Outcome::Completed, 18, 10));
        }
        assert_eq!(aimd.limit.slots().get(), 19);
    }

    #[test]
    fn those_that_were_in_flight_together_count_once() {
        let mut aimd = aimd(20, 100);
        for _ in 0..20 {
            aimd.on_complete(&ended(Outcome::Completed, 20, 5_001));
        }
        assert_eq!(aimd.limit.slots().get(), 18);
    }

    #[test]
    fn an_unused_limit_does_not_grow_and_the_ceiling_holds() {
        let mut aimd = aimd(20, 21);
        for _ in 0..100 {
            aimd.on_complete(&ended(Outcome::Completed, 9, 10));
        }
        assert_eq!(aimd.limit.slots().get(), 20);
        for _ in 0..100 {
            aimd.on_complete(&ended(Outcome::Completed, 20, 10));
        }
        assert_eq!(aimd.limit.slots().get(), 21);
    }

    #[test]
    fn a_small_limit_goes_down_by_whole_slots_and_not_below_one() {
        let mut aimd = aimd(2, 10);
        aimd.on_complete(&ended(Outcome::TimedOut, 0, 10));
        assert_eq!(aimd.limit.slots().get(), 1);
        aimd.on_complete(&ended(Outcome::TimedOut, 0, 10));
        assert_eq!(aimd.limit.slots().get(), 1);
    }
}
