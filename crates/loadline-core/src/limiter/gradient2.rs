//! `gradient2`: the ratio of the long-term mean service time to the present one.
//!
//! Per window of at least a second and at least ten answers, with R their mean service time and Long an exponential mean of R
//! over 600 windows (a plain mean of the first ten):
//!
//! ```text
//! Long ÷ R > 2:               Long ← 0.95 Long             (after a slow spell the baseline comes down faster)
//! most in flight < L ÷ 2:     hold
//! g = 1.5 Long ÷ R, between 0.5 and 1
//! L ← 0.8 L + 0.2 (g L + 4)
//! ```
//!
//! Unit: slots. Aborted requests and timeouts are answers that took as long as they took; failures are none.
//!
//! Source: `Gradient2Limit` and `WindowedLimit` in Netflix's concurrency-limits, constants included, but for the floor: its
//! default of 20 is above what a small application can do.
//!
//! How it fails: the baseline drifts. In a long overload Long approaches R, g becomes 1 and the + 4 makes the limit climb for as
//! long as it lasts. When every call takes exactly a timeout, R is constant, and the limit climbs to its maximum. What became three
//! times slower at the same parallelism has its limit halved for minutes, for nothing.
//!
//! Worked number: L = 100, Long = 50 ms, R = 100 ms: g = 0.75, so 80 + 0.2 × 79 = 95.8.

use std::num::NonZeroU32;

use super::{LimitRange, Sample, Why, bounded::Bounded};
use crate::{Duration, Instant, Outcome, time::nanos};

/// The shortest window.
const WINDOW: Duration = Duration::from_secs(1);
/// The fewest answers in one.
const MIN_SAMPLES: u32 = 10;
/// Windows over which the baseline is averaged.
const LONG: f64 = 600.0;
/// Windows before that.
const FIRST: u32 = 10;
/// So much slower than usual is still usual.
const TOLERANCE: f64 = 1.5;
/// The share of a new limit in the next.
const SMOOTHING: f64 = 0.2;

/// Settings of [`LimiterSettings::Gradient2`](crate::LimiterSettings::Gradient2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gradient2Settings {
    /// Where it begins and how low it goes.
    pub range: LimitRange,
    /// So many may wait inside the service.
    pub queue: u32,
}

impl Default for Gradient2Settings {
    /// 4.
    fn default() -> Self {
        Self { range: LimitRange::default(), queue: 4 }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gradient2 {
    settings: Gradient2Settings,
    pub(super) limit: Bounded,
    /// Nanoseconds; 0 before the first window.
    long: f64,
    windows: u32,
    began: Option<Instant>,
    sum_nanos: f64,
    samples: u32,
    most_in_flight: u32,
}

impl Gradient2 {
    pub(super) fn new(settings: Gradient2Settings, max: NonZeroU32) -> Self {
        Self {
            limit: Bounded::new(settings.range, max),
            settings,
            long: 0.0,
            windows: 0,
            began: None,
            sum_nanos: 0.0,
            samples: 0,
            most_in_flight: 0,
        }
    }

    pub(super) fn reconfigure(&mut self, settings: Gradient2Settings, max: NonZeroU32) {
        self.limit.reconfigure(settings.range, max);
        self.settings = settings;
    }

    pub(super) fn on_complete(&mut self, now: Instant, sample: &Sample) -> Why {
        if sample.outcome == Outcome::Failed {
            return Why::Law;
        }
        let began = *self.began.get_or_insert(now);
        self.sum_nanos += sample.held_nanos as f64;
        self.samples += 1;
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        if now.nanos_since(began) >= nanos(WINDOW) && self.samples >= MIN_SAMPLES {
            let mean = (self.sum_nanos / f64::from(self.samples)).max(1.0);
            self.end_window(mean);
            (self.began, self.sum_nanos, self.samples, self.most_in_flight) = (Some(now), 0.0, 0, 0);
        }
        Why::Law
    }

    fn end_window(&mut self, mean: f64) {
        self.windows = self.windows.saturating_add(1);
        let weight = if self.windows <= FIRST { f64::from(self.windows) } else { (LONG + 1.0) / 2.0 };
        self.long += (mean - self.long) / weight;
        if self.long / mean > 2.0 {
            self.long *= 0.95;
        }
        if f64::from(self.most_in_flight) < self.limit.exact() / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.long / mean).clamp(0.5, 1.0);
        let next = gradient * self.limit.exact() + f64::from(self.settings.queue);
        let limit = self.limit.exact() * (1.0 - SMOOTHING) + next * SMOOTHING;
        self.limit.set(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RouteId;

    fn gradient(start: u32) -> Gradient2 {
        let range = LimitRange::starting_at(NonZeroU32::new(start).unwrap());
        let settings = Gradient2Settings { range, ..Gradient2Settings::default() };
        Gradient2::new(settings, NonZeroU32::new(1_000).unwrap())
    }

    /// Windows of eleven answers in a second.
    fn windows(gradient: &mut Gradient2, from_ms: &mut u64, n: u32, service_ms: u64, in_flight: u32) {
        for _ in 0..n * 11 {
            *from_ms += 100;
            let sample = Sample {
                held_nanos: service_ms * 1_000_000,
                outcome: Outcome::Completed,
                route: RouteId::OTHER,
                cost: 1,
                in_flight,
            };
            gradient.on_complete(Instant::from_nanos(*from_ms * 1_000_000), &sample);
        }
    }

    #[test]
    fn a_window_that_is_twice_as_slow_lowers_by_the_worked_number() {
        let mut gradient = gradient(100);
        gradient.long = 50.0e6;
        gradient.windows = u32::MAX;
        windows(&mut gradient, &mut 0, 1, 100, 100);
        assert_eq!(gradient.limit.slots().get(), 95);
    }

    #[test]
    fn an_unused_limit_holds() {
        let mut gradient = gradient(100);
        windows(&mut gradient, &mut 0, 20, 50, 49);
        assert_eq!(gradient.limit.slots().get(), 100);
    }

    #[test]
    fn the_known_weakness_a_long_overload_becomes_the_baseline_and_the_limit_climbs() {
        let mut gradient = gradient(100);
        let mut clock = 0;
        windows(&mut gradient, &mut clock, 20, 50, 100);
        let before = gradient.limit.slots();
        windows(&mut gradient, &mut clock, 60, 70, u32::MAX);
        assert!(
            gradient.limit.slots() > before,
            "40 % slower, and {before} became {}",
            gradient.limit.slots()
        );
    }
}
