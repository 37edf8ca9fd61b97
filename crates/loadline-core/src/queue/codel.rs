//! CoDel as RFC 8289 has it (section 5, the pseudocode of `dequeue` and `control_law`), one per class.
//!
//! When a waiter's turn has come, the time that it waited is looked at. Has it been above the target for a whole interval, the waiter
//! is dropped instead of served; the next drops follow at intervals that shrink with the square root of their number, until a
//! wait below the target ends it. Who is alone in its class is never dropped.
//!
//! # Its weakness
//! The law was made for senders that slow down when a packet is lost. Clients of a service do not: under a lasting overload of
//! 1,000 requests per second it drops some hundred in 20 s, while the wait stays at the queue timeout. It shortens the queue of a
//! load that is slightly too high, and it cannot bound the wait of one that is far too high. `adaptive` can.
//!
//! Worked number: interval 1 s; the first drop at t, the second at t + 1 s, the third 1 s ÷ √2 = 0.71 s after it, then 0.58 s.

use crate::{CodelSettings, Instant, time::nanos};

/// Who begins to drop again so soon after the last time goes on from the rate it had: RFC 8289, section 5.4.
const REMEMBERED_INTERVALS: u64 = 16;

/// The state of the law in one class; see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codel {
    /// When waits will have been above the target for an interval; `None` while they are below.
    above_until: Option<Instant>,
    /// When the next is dropped, while dropping.
    next_drop: Instant,
    /// Drops in this spell.
    count: u32,
    /// What `count` was when this spell began.
    count_before: u32,
    dropping: bool,
}

impl Codel {
    pub(super) const QUIET: Self =
        Self { above_until: None, next_drop: Instant::ORIGIN, count: 0, count_before: 0, dropping: false };

    /// Whether one whose turn it is is dropped, after it waited for so long.
    pub(super) fn drops(
        &mut self,
        now: Instant,
        waited: u64,
        is_alone: bool,
        settings: &CodelSettings,
    ) -> bool {
        let is_late = self.is_late(now, waited, is_alone, settings);
        match (self.dropping, is_late) {
            (_, false) => {
                self.dropping = false;
                false
            }
            (true, true) if now < self.next_drop => false,
            (true, true) => {
                self.count = self.count.saturating_add(1);
                self.next_drop = after(self.next_drop, self.count, settings);
                true
            }
            (false, true) => {
                let spell = self.count - self.count_before;
                let lately = REMEMBERED_INTERVALS.saturating_mul(nanos(settings.interval));
                self.count = if spell > 1 && now.nanos_since(self.next_drop) < lately { spell } else { 1 };
                self.count_before = self.count;
                self.next_drop = after(now, self.count, settings);
                self.dropping = true;
                true
            }
        }
    }

    /// Whether waits have been above the target for an interval.
    fn is_late(&mut self, now: Instant, waited: u64, is_alone: bool, settings: &CodelSettings) -> bool {
        if waited < nanos(settings.target) || is_alone {
            self.above_until = None;
            return false;
        }
        now >= *self.above_until.get_or_insert(now + settings.interval)
    }
}

/// When the next is dropped after one at `at`, the `count`-th.
fn after(at: Instant, count: u32, settings: &CodelSettings) -> Instant {
    at + settings.interval.div_f64(f64::from(count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * MS)
    }

    /// When waiters are dropped who come to their turn every 10 ms after having waited for so many ms.
    fn drops(codel: &mut Codel, times: std::ops::Range<u64>, waited: u64) -> Vec<u64> {
        let settings = CodelSettings::default();
        times.step_by(10).filter(|now| codel.drops(at(*now), waited * MS, false, &settings)).collect()
    }

    #[test]
    fn the_first_drop_comes_after_an_interval_the_next_by_the_square_root() {
        let mut codel = Codel::QUIET;
        assert_eq!(drops(&mut codel, 0..4_000, 60), [1_000, 2_000, 2_710, 3_290, 3_790]);
    }

    #[test]
    fn a_wait_below_the_target_or_of_one_alone_ends_it() {
        let settings = CodelSettings::default();
        for (waited, is_alone) in [(49, false), (60, true)] {
            let mut codel = Codel::QUIET;
            assert_eq!(drops(&mut codel, 0..1_500, 60), [1_000]);
            assert!(!codel.drops(at(1_500), waited * MS, is_alone, &settings));
            assert_eq!(drops(&mut codel, 1_510..3_000, 60), [2_510], "the interval begins again");
        }
    }

    #[test]
    fn who_drops_again_soon_goes_on_from_the_rate_it_had() {
        let settings = CodelSettings::default();
        let mut codel = Codel::QUIET;
        assert_eq!(drops(&mut codel, 0..4_000, 60).len(), 5);
        assert!(!codel.drops(at(4_000), 0, false, &settings));
        assert_eq!(drops(&mut codel, 4_010..6_000, 60), [5_010, 5_510, 5_960], "as after the fourth");
        assert!(!codel.drops(at(6_000), 0, false, &settings));
        assert_eq!(drops(&mut codel, 40_000..42_010, 60), [41_000, 42_000], "long ago");
    }
}
