//! Shares of failures and of slow exchanges over the last seconds.
//!
//! The window is a ring of ten slices; a slice that has become too old is emptied as a whole. So the window's true length
//! varies between nine and ten tenths of what was asked for, and an exchange costs no allocation and no list.

use crate::{Duration, Instant, Percent, time::nanos};

/// More slices would be more exact than anybody chooses a window.
const SLICES: u64 = 10;

/// Exchanges of one slice, or of the whole window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) total: u32,
    failed: u32,
    slow: u32,
}

impl Tally {
    /// Whether failures are at least this share.
    pub(super) fn failures_reach(&self, share: Percent) -> bool {
        self.failed >= share.of(self.total)
    }

    /// Whether slow exchanges are at least this share.
    pub(super) fn slow_reach(&self, share: Percent) -> bool {
        self.slow >= share.of(self.total)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slices: [Tally; SLICES as usize],
    /// Length of a slice in nanoseconds; never 0.
    slice: u64,
    /// Number of the newest slice since the origin of time.
    newest: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            slices: [Tally::default(); SLICES as usize],
            slice: (nanos(length) / SLICES).max(1),
            newest: 0,
        }
    }

    /// Counts an exchange that ended at `now`, and returns what the window holds.
    pub(super) fn record(&mut self, now: Instant, failed: bool, slow: bool) -> Tally {
        self.advance(now);
        let slice = &mut self.slices[(self.newest % SLICES) as usize];
        slice.total = slice.total.saturating_add(1);
        slice.failed += u32::from(failed);
        slice.slow += u32::from(slow);
        self.slices.iter().fold(Tally::default(), |sum, slice| Tally {
            total: sum.total.saturating_add(slice.total),
            failed: sum.failed.saturating_add(slice.failed),
            slow: sum.slow.saturating_add(slice.slow),
        })
    }

    pub(super) fn clear(&mut self) {
        self.slices = [Tally::default(); SLICES as usize];
    }

    /// Empties the slices that time has passed over.
    fn advance(&mut self, now: Instant) {
        // Time that goes back stays where it was.
        let slice = (now.as_nanos() / self.slice).max(self.newest);
        for passed in 0..(slice - self.newest).min(SLICES) {
            self.slices[((slice - passed) % SLICES) as usize] = Tally::default();
        }
        self.newest = slice;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut window = Window::new(Duration::from_secs(10));
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        for second in 0..10 {
            window.record(at(second * 1_000), true, false);
        }
        assert_eq!(window.record(at(9_999), false, false).total, 11);
        assert_eq!(
            window.record(at(10_000), false, false).total,
            11,
            "the first second is gone, this one is new"
        );
        assert_eq!(window.record(at(60_000), false, false).total, 1);
    }

    #[test]
    fn a_share_is_reached_at_its_number() {
        let mut window = Window::new(Duration::from_secs(10));
        let half = Percent::new(50).unwrap();
        let failed = window.record(Instant::ORIGIN, true, true);
        assert!(failed.failures_reach(half) && failed.slow_reach(half));
        assert!(window.record(Instant::ORIGIN, false, false).failures_reach(half), "1 of 2");
        assert!(!window.record(Instant::ORIGIN, false, false).failures_reach(half), "1 of 3");
    }
}
