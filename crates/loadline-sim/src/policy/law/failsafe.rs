//! failsafe-go's adaptive limiter (`adaptivelimiter.go`): latency against a slow average of itself, and correlations of latency and
//! throughput with concurrency.
//!
//! ```text
//! every window (1 s or twice the shortest latency in it) with 50 samples or more:
//!   R  = its 90th percentile, median of the last 5, averaged over 5        R₀ = R averaged over 10 windows
//!   q  = ceil(L × (1 − R₀ ÷ R))                                            lg = max(1, floor(log10 L))
//!   over the last 50 windows: c = corr(N, N ÷ R), k = corr(N, R), cv = variation of N ÷ R
//!   q > 6 lg, or full and (c < 0, or c < 0.3 and k > 0.5, or cv < 0.2 and k > 0.5):  L ← L − lg
//!   q < 3 lg:  L ← L + lg               from 20, between 1 and 200, at most 5 × the most in flight
//! ```
//!
//! Known failures: R₀ drifts to R in a long incident, q collapses and the limit stops falling; N ÷ R is no throughput, it says
//! nothing that R does not.

use std::collections::VecDeque;

use serde::Deserialize;

use super::{Law, LawSpec, Sample, step};
use crate::units::Span;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Failsafe {
    start: f64,
    min: f64,
    max: f64,
    window: Span,
    min_samples: usize,
    /// Weight of a window in the baseline: 2 ÷ (this + 1).
    baseline_windows: f64,
    /// Windows over which correlations are taken.
    correlation_windows: usize,
    /// The limit is at most so many times the most in flight.
    max_factor: f64,
}

impl Default for Failsafe {
    fn default() -> Self {
        Self {
            start: 20.0,
            min: 1.0,
            max: 200.0,
            window: Span(1_000_000_000),
            min_samples: 50,
            baseline_windows: 10.0,
            correlation_windows: 50,
            max_factor: 5.0,
        }
    }
}

/// The percentile of a window is smoothed by the median of so many ...
const MEDIAN_OF: usize = 5;
/// ... and then by an average with a weight of 2 ÷ (this + 1).
const RECENT_WINDOWS: f64 = 5.0;
/// The baseline begins as a plain mean of so many.
const WARM_UP: f64 = 10.0;

impl Failsafe {
    pub(super) fn build(&self) -> Running {
        Running {
            limit: self.start,
            knobs: self.clone(),
            window_began: 0,
            took: Vec::new(),
            most_in_flight: 0,
            percentiles: VecDeque::new(),
            recent: None,
            baseline: 0.0,
            windows: 0.0,
            history: VecDeque::new(),
        }
    }
}

impl From<Failsafe> for LawSpec {
    fn from(knobs: Failsafe) -> Self {
        Self::Failsafe(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Failsafe,
    limit: f64,
    window_began: u64,
    took: Vec<u64>,
    most_in_flight: u32,
    percentiles: VecDeque<f64>,
    /// R.
    recent: Option<f64>,
    /// R₀.
    baseline: f64,
    windows: f64,
    /// N and R of the last windows.
    history: VecDeque<(f64, f64)>,
}

impl Running {
    fn update(&mut self) {
        // Below the length for any length above 0, and a window has samples.
        let rank = self.took.len() * 9 / 10;
        let percentile = *self.took.select_nth_unstable(rank).1 as f64;
        push(&mut self.percentiles, percentile, MEDIAN_OF);
        let mut sorted: Vec<f64> = self.percentiles.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let r =
            self.recent.map_or(median, |recent| recent + (median - recent) * 2.0 / (RECENT_WINDOWS + 1.0));
        self.recent = Some(r);
        self.windows += 1.0;
        let weight = if self.windows <= WARM_UP {
            1.0 / self.windows
        } else {
            2.0 / (self.knobs.baseline_windows + 1.0)
        };
        self.baseline += (r - self.baseline) * weight;

        let n = f64::from(self.most_in_flight);
        push(&mut self.history, (n, r), self.knobs.correlation_windows);
        let lg = step(self.limit);
        let q = (self.limit * (1.0 - self.baseline / r)).ceil();
        let full = n >= self.limit.floor();
        if q > 6.0 * lg || (full && self.is_past_the_knee()) {
            self.limit -= lg;
        } else if q < 3.0 * lg {
            self.limit += lg;
        }
        let ceiling = (n * self.knobs.max_factor).min(self.knobs.max).max(self.knobs.min);
        self.limit = self.limit.clamp(self.knobs.min, ceiling);
    }

    fn is_past_the_knee(&self) -> bool {
        let concurrency: Vec<f64> = self.history.iter().map(|(n, _)| *n).collect();
        let latency: Vec<f64> = self.history.iter().map(|(_, r)| *r).collect();
        let throughput: Vec<f64> = self.history.iter().map(|(n, r)| n / r).collect();
        let (c, k) = (correlation(&concurrency, &throughput), correlation(&concurrency, &latency));
        let cv = variation(&throughput);
        c < 0.0 || (c < 0.3 && k > 0.5) || (cv < 0.2 && k > 0.5)
    }
}

impl Law for Running {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn on_end(&mut self, now: u64, sample: &Sample) {
        self.took.push(sample.took.max(1));
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        let shortest = self.took.iter().min().copied().unwrap_or(0);
        let lasts = self.knobs.window.0.max(2 * shortest);
        if now >= self.window_began + lasts && self.took.len() >= self.knobs.min_samples {
            self.update();
            self.took.clear();
            (self.most_in_flight, self.window_began) = (0, now);
        }
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T, kept: usize) {
    ring.push_back(value);
    while ring.len() > kept {
        ring.pop_front();
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Pearson's; 0 when one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a) * (x - mean_a);
        bb += (y - mean_b) * (y - mean_b);
    }
    let scale = (aa * bb).sqrt();
    if scale > 0.0 { ab / scale } else { 0.0 }
}

/// Standard deviation ÷ mean.
fn variation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let variance =
        values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len().max(1) as f64;
    if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_core::Outcome;

    /// One window in which everything took so long.
    fn window(law: &mut Running, second: u64, ms: u64, in_flight: u32) -> f64 {
        for n in 0..50 {
            let now = second * 1_000_000_000 + n * 20_408_164;
            law.on_end(now, &Sample { took: ms * 1_000_000, in_flight, outcome: Outcome::Completed });
        }
        law.limit()
    }

    #[test]
    fn correlations_of_small_series() {
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), 1.0);
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        assert_eq!(correlation(&[1.0, 1.0], &[3.0, 2.0]), 0.0);
        assert_eq!(variation(&[1.0, 3.0]), 0.5);
    }

    #[test]
    fn one_up_per_window_while_latency_is_what_it_was_then_down() {
        let mut law = Failsafe::default().build();
        for second in 0..10 {
            assert_eq!(window(&mut law, second + 1, 10, 15), 21.0 + second as f64);
        }
        // Three windows until the median believes it; then R = 10 + 30/3 = 20, R0 ≈ 11.8: q = 13 > 6.
        let limits: Vec<f64> = (11..14).map(|second| window(&mut law, second, 40, 15)).collect();
        assert_eq!(limits, [31.0, 32.0, 31.0]);
    }

    #[test]
    fn in_a_long_incident_the_baseline_drifts_and_the_limit_rises_again() {
        let mut law = Failsafe::default().build();
        (0..10).for_each(|second| _ = window(&mut law, second + 1, 10, 19));
        let lowest =
            (10..30).map(|second| window(&mut law, second + 1, 80, 19)).fold(f64::INFINITY, f64::min);
        let later = (30..60).map(|second| window(&mut law, second + 1, 80, 19)).last().unwrap();
        assert!(later > lowest + 5.0, "{lowest} then {later}");
    }
}
