//! Envoy's adaptive concurrency (`gradient_controller.cc` and its v3 configuration): the latest latency against one that is measured
//! again and again by letting almost nobody through.
//!
//! ```text
//! probe: L = 3 until 50 samples are there; R₀ = their median. At the start, every 60 s (+ 0 to 15 %), and after 5 updates at L = 3
//! every 100 ms: g = clamp(1.25 × R₀ ÷ median, 0.5, 2);  L ← g L + sqrt(g L)          between 3 and 1,000
//! ```
//!
//! Worked number: L = 100, R₀ = 10 ms, median 12.5 ms: g = 1, L = 110.
//!
//! Known failures: each probe turns live traffic away; the limit grows while nobody uses it; a probe during a slow spell makes
//! slow the norm; requests that the client or the route timeout ended are no samples, so that it freezes when all are.

use loadline_core::Outcome;
use serde::Deserialize;

use super::{Law, LawSpec, Sample};
use crate::random::Random;
use crate::units::Span;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Envoy {
    min: f64,
    max: f64,
    update_interval: Span,
    probe_interval: Span,
    probe_samples: usize,
    jitter: f64,
    /// How much slower than R₀ is still as it should be.
    buffer: f64,
}

impl Default for Envoy {
    fn default() -> Self {
        Self {
            min: 3.0,
            max: 1_000.0,
            update_interval: Span(100_000_000),
            probe_interval: Span(60_000_000_000),
            probe_samples: 50,
            jitter: 0.15,
            buffer: 0.25,
        }
    }
}

/// So many updates at the minimum, and R₀ is measured again.
const TOO_LOW: u32 = 5;

impl Envoy {
    pub(super) fn build(&self, seed: u64) -> Running {
        Running {
            limit: self.min,
            knobs: self.clone(),
            baseline: None,
            before_probe: self.min,
            next_probe: 0,
            next_update: self.update_interval.0,
            at_minimum: 0,
            samples: Vec::new(),
            random: Random::new(seed, 0xe4707),
        }
    }
}

impl From<Envoy> for LawSpec {
    fn from(knobs: Envoy) -> Self {
        Self::Envoy(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Envoy,
    limit: f64,
    /// R₀; `None` while it is measured.
    baseline: Option<f64>,
    before_probe: f64,
    next_probe: u64,
    next_update: u64,
    at_minimum: u32,
    samples: Vec<u64>,
    random: Random,
}

impl Running {
    fn probe(&mut self) {
        (self.before_probe, self.limit, self.baseline) = (self.limit, self.knobs.min, None);
        self.samples.clear();
    }

    fn finish_probe(&mut self, now: u64) {
        self.baseline = median(&mut self.samples);
        self.samples.clear();
        self.limit = self.before_probe;
        let jitter = 1.0 + self.knobs.jitter * self.random.unit();
        self.next_probe = now + (self.knobs.probe_interval.0 as f64 * jitter) as u64;
        self.next_update = now + self.knobs.update_interval.0;
    }

    fn update(&mut self, now: u64) {
        self.next_update = now + self.knobs.update_interval.0;
        let (Some(baseline), Some(latest)) = (self.baseline, median(&mut self.samples)) else { return };
        self.samples.clear();
        let gradient = (baseline * (1.0 + self.knobs.buffer) / latest).clamp(0.5, 2.0);
        let scaled = gradient * self.limit;
        self.limit = (scaled + scaled.sqrt()).floor().clamp(self.knobs.min, self.knobs.max);
        if self.limit <= self.knobs.min {
            self.at_minimum += 1;
        } else {
            self.at_minimum = 0;
        }
        if self.at_minimum >= TOO_LOW {
            self.at_minimum = 0;
            self.probe();
        }
    }
}

impl Law for Running {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn admits(&mut self, now: u64, in_flight: u32) -> bool {
        if self.baseline.is_some() {
            if now >= self.next_probe {
                self.probe();
            } else if now >= self.next_update {
                self.update(now);
            }
        }
        f64::from(in_flight) < self.limit
    }

    fn on_end(&mut self, now: u64, sample: &Sample) {
        if !matches!(sample.outcome, Outcome::Completed | Outcome::Failed) {
            return;
        }
        self.samples.push(sample.took.max(1));
        if self.baseline.is_none() && self.samples.len() >= self.knobs.probe_samples {
            self.finish_probe(now);
        }
    }
}

fn median(samples: &mut [u64]) -> Option<f64> {
    let middle = samples.len().checked_sub(1)? / 2;
    Some(*samples.select_nth_unstable(middle).1 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn end(law: &mut Running, now: u64, ms: f64) {
        law.on_end(
            now * MS,
            &Sample { took: (ms * MS as f64) as u64, in_flight: 1, outcome: Outcome::Completed },
        );
    }

    #[test]
    fn almost_nobody_passes_while_it_measures() {
        let mut law = Envoy::default().build(1);
        assert!(law.admits(0, 2) && !law.admits(0, 3));
        for n in 0..50 {
            end(&mut law, n, 10.0);
        }
        assert_eq!(law.baseline, Some(10.0 * MS as f64));
    }

    #[test]
    fn the_worked_number_and_it_grows_while_nobody_uses_it() {
        let mut law = Envoy::default().build(1);
        (law.baseline, law.next_probe, law.limit) = (Some(10e6), u64::MAX, 100.0);
        end(&mut law, 150, 12.5);
        assert!(law.admits(200 * MS, 0));
        assert_eq!(law.limit(), 110.0);
        for n in 0..100 {
            let now = 300 + n * 100;
            end(&mut law, now, 10.0);
            law.admits(now * MS + MS, 1);
        }
        assert_eq!(law.limit(), 1_000.0);
    }

    #[test]
    fn timeouts_are_no_samples() {
        let mut law = Envoy::default().build(1);
        (law.baseline, law.next_probe, law.limit) = (Some(10e6), u64::MAX, 100.0);
        law.on_end(0, &Sample { took: 15_000 * MS, in_flight: 100, outcome: Outcome::TimedOut });
        law.admits(200 * MS, 100);
        assert_eq!(law.limit(), 100.0, "frozen");
    }
}
