//! How fast slots come free, and how many of them were in use.
//!
//! Two sums over a sliding window of [`WINDOW`]: slots handed back, and slot time in use. The window is the usual pair of
//! fixed ones, the elapsed one weighted by the part of it that the sliding window still covers, so that recording is a few
//! additions and memory is constant.
//!
//! Worked number: 40 handed back in the elapsed 10 s, 30 in the 5 s since: (40 × ½ + 30) ÷ 10 s = 5 per second.

use crate::{Duration, Instant, time::nanos};

/// Long enough to see a few requests of a service that takes seconds, and to tell a burst from a load; short enough to
/// forget a burst before those it turned away are back.
const WINDOW: Duration = Duration::from_secs(10);

/// Before this much time was seen, a rate would be a coincidence: divide by this much instead.
const SHORTEST_SPAN: Duration = Duration::from_millis(100);

/// Slots handed back and slot time in use, over a sliding window; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drain {
    /// When the first request was seen; rates before the first full window are over the time since.
    first: Option<Instant>,
    /// Start of the current fixed window.
    start: Instant,
    /// Up to where `current.busy` is accounted for.
    seen: Instant,
    current: Sums,
    elapsed: Sums,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    handed_back: u64,
    /// Slot time in use: in flight × nanoseconds.
    busy: u64,
}

impl Drain {
    /// Accounts for the time since the last call, during which `in_flight` slots were in use. To be called before every
    /// change of that number.
    pub(crate) fn advance(&mut self, now: Instant, in_flight: u32) {
        if self.first.is_none() {
            // Time before the first request is not time without load.
            *self = Self { first: Some(now), start: now, seen: now, ..Self::default() };
        }
        if now.nanos_since(self.start) >= nanos(WINDOW) {
            self.roll(now, in_flight);
        }
        self.current.busy = self.current.busy.saturating_add(busy(in_flight, now.nanos_since(self.seen)));
        self.seen = now;
    }

    /// So many slots were handed back. After [`Self::advance`].
    pub(crate) fn handed_back(&mut self, slots: u32) {
        self.current.handed_back += u64::from(slots);
    }

    /// Slots handed back per second. After [`Self::advance`].
    pub(crate) fn rate(&self) -> f64 {
        self.over_window(|sums| sums.handed_back) * 1e9
    }

    /// The mean number of slots in use. After [`Self::advance`].
    pub(crate) fn mean_in_flight(&self) -> f64 {
        self.over_window(|sums| sums.busy)
    }

    /// What `of` sums up, per nanosecond of the sliding window that ends at the last [`Self::advance`].
    fn over_window(&self, of: fn(&Sums) -> u64) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let window = nanos(WINDOW) as f64;
        let into_current = self.seen.nanos_since(self.start) as f64;
        let still_covered = 1.0 - into_current / window;
        let span = (self.seen.nanos_since(first) as f64).clamp(nanos(SHORTEST_SPAN) as f64, window);
        (of(&self.elapsed) as f64 * still_covered + of(&self.current) as f64) / span
    }

    /// Opens the fixed window that contains `now`.
    #[cold]
    fn roll(&mut self, now: Instant, in_flight: u32) {
        let boundary = self.start + WINDOW;
        self.current.busy =
            self.current.busy.saturating_add(busy(in_flight, boundary.nanos_since(self.seen)));
        self.elapsed = self.current;
        self.current = Sums::default();
        self.start = boundary;
        let behind = now.nanos_since(boundary) / nanos(WINDOW);
        if behind > 0 {
            // Whole windows went by without a call: nothing was handed back, and what was in use stayed in use.
            self.elapsed = Sums { handed_back: 0, busy: busy(in_flight, nanos(WINDOW)) };
            self.start = Instant::from_nanos(boundary.as_nanos() + behind * nanos(WINDOW));
        }
        self.seen = self.start;
    }
}

fn busy(in_flight: u32, nanos: u64) -> u64 {
    u64::from(in_flight).saturating_mul(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_worked_number() {
        let mut drain = Drain::default();
        drain.advance(at(0), 1);
        for k in 0..40 {
            drain.advance(at(k * 250), 1);
            drain.handed_back(1);
        }
        for k in 0..30 {
            drain.advance(at(10_000 + k * 166), 1);
            drain.handed_back(1);
        }
        drain.advance(at(15_000), 1);
        assert!((drain.rate() - 5.0).abs() < 1e-9, "{}", drain.rate());
    }

    #[test]
    fn the_first_seconds_are_divided_by_the_time_seen() {
        let mut drain = Drain::default();
        assert_eq!(drain.rate(), 0.0);
        drain.advance(at(5_000_000), 0);
        for k in 1..=20 {
            drain.advance(at(5_000_000 + k * 100), 2);
            drain.handed_back(1);
        }
        assert!((drain.rate() - 10.0).abs() < 1e-9, "{}", drain.rate());
        assert!((drain.mean_in_flight() - 2.0).abs() < 1e-9, "{}", drain.mean_in_flight());
    }

    #[test]
    fn silence_with_slots_in_use_is_full_use_and_no_drain() {
        let mut drain = Drain::default();
        drain.advance(at(0), 1);
        drain.advance(at(1_000), 3);
        drain.handed_back(1);
        drain.advance(at(60_000), 3);
        assert_eq!(drain.rate(), 0.0);
        assert!((drain.mean_in_flight() - 3.0).abs() < 1e-9);
        drain.advance(at(71_000), 0);
        drain.advance(at(95_000), 0);
        assert_eq!(drain.mean_in_flight(), 0.0);
    }
}
