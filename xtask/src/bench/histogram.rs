//! A latency histogram with a fixed relative error, cheap enough for every answer of a saturated run.
//!
//! Values are sorted into 64 linear steps per power of two, so a reported value is at most 1/64 (1.6 %) above the
//! recorded one: far below the noise of a shared machine.

use std::time::Duration;

/// log2 of the steps per power of two.
const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;

/// Counts of durations, in nanoseconds, from 0 to the largest `u64`.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; STEPS * (u64::BITS - STEP_BITS + 1) as usize], total: 0 }
    }

    /// Adds one duration.
    pub(super) fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// The smallest value that `share` (0..=1) of the recorded ones do not exceed, in microseconds, rounded up to its
    /// step. 0 when nothing was recorded.
    pub(super) fn quantile_us(&self, share: f64) -> f64 {
        let wanted = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_edge(index) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// Values below `STEPS` have a bucket each; above, the top `STEP_BITS + 1` bits choose it.
fn bucket(value: u64) -> usize {
    let magnitude = u64::BITS - value.leading_zeros();
    let shift = magnitude.saturating_sub(STEP_BITS + 1);
    (shift as usize) * STEPS + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper_edge(index: usize) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    let step = (index - shift * STEPS) as u64;
    ((u128::from(step + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in [0, 1, 63, 64, 127, 128, 129, 1000, 123_456, 999_999_999, u64::MAX / 2, u64::MAX] {
            let edge = upper_edge(bucket(value));
            assert!(edge >= value, "{value}: {edge}");
            assert!(edge - value <= value / STEPS as u64, "{value}: {edge}");
        }
    }

    #[test]
    fn quantiles_of_known_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_us(0.5), 0.0);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, expected) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(share);
            assert!(found >= expected && found <= expected * 1.02, "{share}: {found}");
        }
    }
}
