//! A limit that was never needed follows its use down, so that it does not let in far too many when a crowd comes one day.
//!
//! ```text
//! highest useful limit = 2 × most slots in use in the last minute or two, at least 10
//! ```
//!
//! Acts once a minute, and only while the service is used at all: one that is idle has shown nothing. A limit that was in the way
//! was in use to the last slot, so it stays.

use crate::{Duration, Instant};

/// How long a peak counts: this, and as long again.
const WINDOW: Duration = Duration::from_secs(60);
/// Room for a crowd: doubling once more takes a few service times.
const ROOM: u32 = 2;
/// The usual start: below it there is nothing to gain.
const LEAST: u32 = 10;

/// The most slots in use lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disuse {
    began: Instant,
    peak: u32,
    before: u32,
}

impl Disuse {
    /// So many were in use until now. Once a minute: the highest limit that is of use.
    pub(super) fn observe(&mut self, now: Instant, in_flight: u32) -> Option<u32> {
        self.peak = self.peak.max(in_flight);
        if now.saturating_since(self.began) < WINDOW {
            return None;
        }
        // A first window that began before the first request is not a whole one.
        let peak = (self.before > 0).then_some(self.peak.max(self.before));
        *self = Self { began: now, peak: 0, before: self.peak };
        peak.map(|peak| peak.saturating_mul(ROOM).max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_the_last_two_windows_counts() {
        let at = |secs: u64| Instant::ORIGIN + Duration::from_secs(secs);
        let mut disuse = Disuse::default();
        assert_eq!(disuse.observe(at(1), 40), None);
        assert_eq!(disuse.observe(at(60), 3), None, "one window is not enough");
        assert_eq!(disuse.observe(at(120), 7), Some(80));
        assert_eq!(disuse.observe(at(180), 8), Some(16));
        assert_eq!(disuse.observe(at(240), 2), Some(16));
        assert_eq!(disuse.observe(at(300), 1), Some(10));
        assert_eq!(disuse.observe(at(360), 0), Some(10));
        assert_eq!(disuse.observe(at(420), 0), None, "idle");
    }
}
