//! The mean time for which a slot is held.
//!
//! An exponentially weighted mean over completions, not over time: with nothing completing there is nothing to learn, and a
//! quiet night must not make the morning's first estimate a guess. The first [`WEIGHT`] samples count alike (a plain mean),
//! so that one odd first request does not colour the estimate for long.
//!
//! Worked number: mean 100 ms, one request of 260 ms: 100 + (260 − 100) ÷ 16 = 110 ms.

use crate::Duration;

/// A sample's share is one in this many: old enough to smooth single slow requests, young enough that a service which became
/// ten times slower is believed within some forty completions.
const WEIGHT: u64 = 16;

/// Mean service time; see the module.
#[derive(Debug, Default)]
pub(crate) struct ServiceTime {
    mean_nanos: u64,
    samples: u64,
}

impl ServiceTime {
    pub(crate) const fn record(&mut self, held_nanos: u64) {
        if self.samples < WEIGHT {
            self.samples += 1;
            self.mean_nanos = step(self.mean_nanos, held_nanos, self.samples);
        } else {
            self.mean_nanos = step(self.mean_nanos, held_nanos, WEIGHT);
        }
    }

    /// In nanoseconds; `None` before the first sample.
    pub(crate) const fn mean_nanos(&self) -> Option<u64> {
        if self.samples == 0 { None } else { Some(self.mean_nanos) }
    }

    pub(crate) fn mean(&self) -> Option<Duration> {
        self.mean_nanos().map(Duration::from_nanos)
    }
}

/// One step of `1 / weight` from `mean` towards `sample`.
const fn step(mean: u64, sample: u64, weight: u64) -> u64 {
    if sample >= mean { mean + (sample - mean) / weight } else { mean - (mean - sample) / weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_samples_are_a_plain_mean_then_each_counts_a_sixteenth() {
        let mut service = ServiceTime::default();
        assert_eq!(service.mean(), None);
        service.record(100);
        service.record(300);
        assert_eq!(service.mean_nanos(), Some(200));
        for _ in 0..200 {
            service.record(160_000);
        }
        let settled = service.mean_nanos().unwrap();
        assert!((159_000..=160_000).contains(&settled), "{settled}");
        service.record(settled + 1_600);
        assert_eq!(service.mean_nanos(), Some(settled + 100));
    }

    #[test]
    fn ten_times_slower_is_believed_within_forty_completions() {
        let mut service = ServiceTime::default();
        for _ in 0..100 {
            service.record(1_000_000);
        }
        for _ in 0..40 {
            service.record(10_000_000);
        }
        assert!(service.mean_nanos().unwrap() > 9_000_000);
    }
}
