//! kratos' BBR limiter (go-kratos/aegis `ratelimit/bbr/bbr.go`): when the processor is busy, no more in flight than the best
//! throughput times the best latency of the last seconds.
//!
//! ```text
//! every 500 ms: cpu ← 0.95 cpu + 0.05 × busy
//! engaged while cpu ≥ 80 %, or within 1 s after a refusal
//! refuses if engaged, in flight > 1 and in flight > most completed in a bucket × shortest mean of a bucket × 10 ÷ s
//! over 10 s in 100 buckets
//! ```
//!
//! Worked number: at most 40 completed in 100 ms, at best 15 ms on average: 40 × 10 × 0.015 = 6 in flight.
//!
//! Known failures: blind to services that wait, for a lock or for I/O; the two bests are from different buckets, so the
//! product is too large; the smoothing alone takes some 10 s.

use std::collections::VecDeque;

use loadline_core::Outcome;
use serde::Deserialize;

use super::{Law, LawSpec, Sample};
use crate::units::Span;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Kratos {
    window: Span,
    buckets: u32,
    cpu_threshold: f64,
    cpu_decay: f64,
    /// How long it stays engaged after a refusal.
    cooling: Span,
}

impl Default for Kratos {
    fn default() -> Self {
        Self {
            window: Span(10_000_000_000),
            buckets: 100,
            cpu_threshold: 0.8,
            cpu_decay: 0.95,
            cooling: Span(1_000_000_000),
        }
    }
}

impl Kratos {
    pub(super) fn build(&self) -> Running {
        Running { knobs: self.clone(), cpu: 0.0, last_refusal: None, buckets: VecDeque::new() }
    }
}

impl From<Kratos> for LawSpec {
    fn from(knobs: Kratos) -> Self {
        Self::Kratos(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Kratos,
    cpu: f64,
    last_refusal: Option<u64>,
    /// Number, completions and their summed time of the last buckets in which anything ended.
    buckets: VecDeque<(u64, u64, u64)>,
}

impl Running {
    fn bucket_nanos(&self) -> u64 {
        (self.knobs.window.0 / u64::from(self.knobs.buckets.max(1))).max(1)
    }

    fn number(&self, now: u64) -> u64 {
        now / self.bucket_nanos()
    }

    fn forget(&mut self, now: u64) {
        let oldest = self.number(now).saturating_sub(u64::from(self.knobs.buckets) - 1);
        while self.buckets.front().is_some_and(|(number, ..)| *number < oldest) {
            self.buckets.pop_front();
        }
    }

    /// The product of the two bests. The bucket that is not over yet does not count.
    fn most_in_flight(&self, now: u64) -> Option<f64> {
        let current = self.number(now);
        let past = || self.buckets.iter().filter(|(number, ..)| *number < current);
        let most = past().map(|(_, count, _)| *count).max()?;
        let shortest = past().map(|(_, count, sum)| *sum as f64 / *count as f64).min_by(f64::total_cmp)?;
        Some((most as f64 * shortest / self.bucket_nanos() as f64 + 0.5).floor())
    }

    fn is_engaged(&self, now: u64) -> bool {
        let lately = |refused: u64| now.saturating_sub(refused) < self.knobs.cooling.0;
        self.cpu >= self.knobs.cpu_threshold || self.last_refusal.is_some_and(lately)
    }
}

impl Law for Running {
    fn limit(&self) -> f64 {
        let now = self.buckets.back().map_or(0, |(number, ..)| (number + 1) * self.bucket_nanos());
        match self.most_in_flight(now) {
            Some(most) if self.is_engaged(now) => most.max(1.0),
            _ => f64::INFINITY,
        }
    }

    fn admits(&mut self, now: u64, in_flight: u32) -> bool {
        self.forget(now);
        let bound = self.most_in_flight(now);
        !(self.is_engaged(now) && in_flight > 1 && bound.is_some_and(|bound| f64::from(in_flight) > bound))
    }

    fn on_refuse(&mut self, now: u64) {
        // Refusals while only cooling down do not keep it engaged.
        if self.cpu >= self.knobs.cpu_threshold || self.last_refusal.is_none() {
            self.last_refusal = Some(now);
        }
    }

    fn on_end(&mut self, now: u64, sample: &Sample) {
        self.forget(now);
        if sample.outcome != Outcome::Completed {
            return;
        }
        let number = self.number(now);
        match self.buckets.back_mut() {
            Some((last, count, sum)) if *last == number => (*count, *sum) = (*count + 1, *sum + sample.took),
            _ => self.buckets.push_back((number, 1, sample.took)),
        }
    }

    fn observe_cpu(&mut self, _now: u64, share: f64) {
        self.cpu = self.cpu * self.knobs.cpu_decay + share * (1.0 - self.knobs.cpu_decay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// 40 completions of 15 ms in the first 100 ms.
    fn law() -> Running {
        let mut law = Kratos::default().build();
        for n in 0..40 {
            law.on_end(n * MS, &Sample { took: 15 * MS, in_flight: 1, outcome: Outcome::Completed });
        }
        law
    }

    #[test]
    fn the_worked_number_once_the_processor_is_busy() {
        let mut law = law();
        assert!(law.admits(150 * MS, 500), "the processor is idle");
        law.cpu = 0.8;
        assert!(law.admits(150 * MS, 6) && !law.admits(150 * MS, 7));
        assert!(law.admits(10_200 * MS, 500), "forgotten after 10 s");
    }

    #[test]
    fn a_busy_processor_is_believed_after_sixteen_seconds() {
        let mut law = law();
        let samples = (1..).find(|_| {
            law.observe_cpu(0, 1.0);
            law.cpu >= 0.8
        });
        assert_eq!(samples, Some(32), "1 - 0.95^32 = 0.806, of 500 ms each");
    }
}
