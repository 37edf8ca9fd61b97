//! Gradient2, as in Netflix's concurrency-limits (`Gradient2Limit.java`, `WindowedLimit.java`): the latest latency against a long
//! average of it.
//!
//! ```text
//! every window of 1 s with 10 samples or more: R = their mean
//! long = exponential average of R over 600 windows (plain mean of the first 10); if long > 2 R: long ← 0.95 long
//! in flight < L ÷ 2: hold
//! g = clamp(1.5 × long ÷ R, 0.5, 1)
//! L ← 0.8 L + 0.2 × (g L + 4)                                 from 20, between 20 and 200
//! ```
//!
//! Worked number: L = 100, long = 10 ms, R = 20 ms: g = 0.75, L = 80 + 0.2 × 79 = 95.8.
//!
//! Known failures: the average follows a long overload and the limit climbs; when everything takes as long as the timeout, g is
//! 1 and it climbs to the maximum; the floor of 20 is above the knee of a small service.

use serde::Deserialize;

use super::{Law, LawSpec, Sample};
use crate::units::Span;

/// Its constants.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::policy) struct Gradient2 {
    start: f64,
    min: f64,
    max: f64,
    window: Span,
    min_samples: u32,
    long_window: f64,
    tolerance: f64,
    smoothing: f64,
    queue_size: f64,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self {
            start: 20.0,
            min: 20.0,
            max: 200.0,
            window: Span(1_000_000_000),
            min_samples: 10,
            long_window: 600.0,
            tolerance: 1.5,
            smoothing: 0.2,
            queue_size: 4.0,
        }
    }
}

/// The long average begins as a plain mean of so many.
const WARM_UP: f64 = 10.0;

impl Gradient2 {
    pub(super) fn build(&self) -> Running {
        Running {
            limit: self.start,
            knobs: self.clone(),
            long: 0.0,
            seen: 0.0,
            window_ends: self.window.0,
            sum: 0.0,
            samples: 0,
            most_in_flight: 0,
        }
    }
}

impl From<Gradient2> for LawSpec {
    fn from(knobs: Gradient2) -> Self {
        Self::Gradient2(knobs)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    knobs: Gradient2,
    limit: f64,
    long: f64,
    /// Windows seen so far.
    seen: f64,
    window_ends: u64,
    sum: f64,
    samples: u32,
    most_in_flight: u32,
}

impl Running {
    fn update(&mut self, short: f64) {
        self.seen += 1.0;
        if self.seen <= WARM_UP {
            self.long += (short - self.long) / self.seen;
        } else {
            self.long += (short - self.long) * 2.0 / (self.knobs.long_window + 1.0);
        }
        if self.long > 2.0 * short {
            self.long *= 0.95;
        }
        if f64::from(self.most_in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (self.knobs.tolerance * self.long / short).clamp(0.5, 1.0);
        let target = gradient * self.limit + self.knobs.queue_size;
        self.limit = self.limit * (1.0 - self.knobs.smoothing) + target * self.knobs.smoothing;
        self.limit = self.limit.clamp(self.knobs.min, self.knobs.max);
    }
}

impl Law for Running {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn on_end(&mut self, now: u64, sample: &Sample) {
        self.sum += sample.took.max(1) as f64;
        self.samples += 1;
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        if now >= self.window_ends && self.samples >= self.knobs.min_samples {
            self.update(self.sum / f64::from(self.samples));
            (self.sum, self.samples, self.most_in_flight) = (0.0, 0, 0);
            self.window_ends = now + self.knobs.window.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_core::Outcome;

    #[test]
    fn the_worked_number() {
        let mut law = Gradient2 { start: 100.0, ..Gradient2::default() }.build();
        (law.long, law.seen, law.most_in_flight) = (10e6, 1e9, 100);
        // The average itself takes a step of 2/601 towards 20 ms first.
        law.update(20e6);
        assert!((law.limit() - 95.8).abs() < 0.1, "{}", law.limit());
    }

    #[test]
    fn when_everything_takes_equally_long_it_climbs_to_its_maximum() {
        let mut law = Gradient2::default().build();
        for n in 0..5_000 {
            let sample = Sample { took: 5_000_000_000, in_flight: 200, outcome: Outcome::TimedOut };
            law.on_end(n * 100_000_000, &sample);
        }
        assert!(law.limit() > 199.0, "{}", law.limit());
    }
}
