//! Warm-up: a service that has just begun (empty caches, cold code, connections to open) gets fewer slots first, and then more
//! and more.
//!
//! ```text
//! effective limit = max(1, floor(limit × (from + (1 − from) × elapsed ÷ over)))      until `over` has elapsed, then the limit
//! ```
//!
//! It begins at the origin of time and with every [`Admission::restart_warmup`]. The effective limit is a function of the time,
//! nothing counts it up, so it is right whenever it is asked for; who waits while it rises is dispatched at the step, for which
//! [`Admission::poll`] asks to be woken.
//!
//! Worked number: limit 10, from 20 % over 30 s: 2 at first, 3 from 3.75 s on (2 + 8 × 3.75 ÷ 30), 6 after 15 s, 10 after 30 s.

use std::num::NonZeroU32;

use crate::{Admission, Duration, Instant, Percent, time::nanos};

/// How the limit rises after a start; see [`Settings::warmup`](crate::Settings::warmup).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warmup {
    /// The share of the limit with which it begins.
    pub from: Percent,
    /// How long it takes until all of the limit is there.
    pub over: Duration,
}

impl Warmup {
    /// The effective limit after `elapsed` nanoseconds.
    fn limit(&self, limit: NonZeroU32, elapsed: u64) -> NonZeroU32 {
        let over = u128::from(nanos(self.over));
        let elapsed = u128::from(elapsed);
        if elapsed >= over {
            return limit;
        }
        let (from, all) = (u128::from(self.from.get()), u128::from(limit.get()));
        let slots = all * (from * over + (100 - from) * elapsed) / (100 * over);
        let slots = u32::try_from(slots).expect("less than the limit");
        NonZeroU32::new(slots).unwrap_or(NonZeroU32::MIN)
    }

    /// After how many nanoseconds the effective limit is above `slots`, which is below the limit.
    fn rises_above(&self, limit: NonZeroU32, slots: u32) -> u64 {
        let over = u128::from(nanos(self.over));
        let (from, all) = (u128::from(self.from.get()), u128::from(limit.get()));
        let missing = ((u128::from(slots) + 1) * 100 * over).saturating_sub(all * from * over);
        // Below the limit it has not begun with all of it.
        let elapsed = missing.div_ceil(all * (100 - from).max(1));
        u64::try_from(elapsed.min(over)).expect("`over` is in nanoseconds of 64 bits")
    }
}

impl Admission {
    /// The service begins anew, as when its upstream has come back: the limit rises once more.
    pub fn restart_warmup(&mut self, now: Instant) {
        let now = self.advance(now);
        self.warm_since = now;
        self.is_warm = self.settings.warmup.is_none();
    }

    /// How many slots there are at `now`.
    #[inline]
    pub(crate) fn limit(&self, now: Instant) -> NonZeroU32 {
        if self.is_warm { self.limiter.in_force() } else { self.limit_while_warming_up(now) }
    }

    #[cold]
    fn limit_while_warming_up(&self, now: Instant) -> NonZeroU32 {
        let limit = self.limiter.in_force();
        let elapsed = now.nanos_since(self.warm_since);
        self.settings.warmup.map_or(limit, |warmup| warmup.limit(limit, elapsed))
    }

    /// When there will be more slots than now, by themselves; `None` unless warming up, or while an adaptive limit tries a lower
    /// one. Whoever holds waiters should
    /// [`poll`](Self::poll) then.
    #[must_use]
    pub fn next_rise(&self, now: Instant) -> Option<Instant> {
        if self.is_warm {
            return self.limiter.wakes_at();
        }
        let now = self.at_least(now);
        let warmup = self.settings.warmup.as_ref()?;
        let (slots, limit) = (self.limit(now), self.limiter.in_force());
        let elapsed = (slots < limit).then(|| warmup.rises_above(limit, slots.get()))?;
        Some(self.warm_since + Duration::from_nanos(elapsed))
    }

    /// Takes note that the warm-up is over, so that it need not be asked about any more. What is warm stays so: settings that come
    /// later are for the next time.
    #[cold]
    pub(crate) fn finish_warmup(&mut self, now: Instant) {
        let over = self.settings.warmup.map_or(Duration::ZERO, |warmup| warmup.over);
        self.is_warm |= now.nanos_since(self.warm_since) >= nanos(over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_reached_when_it_is_said_to_be() {
        for (limit, from, over) in
            [(10, 20, 30_000_000_000), (3, 1, 7), (1, 50, 100), (200, 99, 13), (7, 100, 50)]
        {
            let warmup = Warmup { from: Percent::new(from).unwrap(), over: Duration::from_nanos(over) };
            let limit = NonZeroU32::new(limit).unwrap();
            let mut slots = warmup.limit(limit, 0);
            while slots < limit {
                let step = warmup.rises_above(limit, slots.get());
                assert_eq!(warmup.limit(limit, step - 1), slots);
                let next = warmup.limit(limit, step);
                assert!(next > slots, "{next} after {step} ns");
                slots = next;
            }
        }
    }

    #[test]
    fn the_worked_number() {
        let warmup = Warmup { from: Percent::new(20).unwrap(), over: Duration::from_secs(30) };
        let limit = |ms: u64| warmup.limit(NonZeroU32::new(10).unwrap(), ms * 1_000_000).get();
        assert_eq!([0, 3_749, 3_750, 15_000, 29_999, 30_000, 99_000].map(limit), [2, 2, 3, 6, 9, 10, 10]);
        let tiny = warmup.limit(NonZeroU32::new(2).unwrap(), 0);
        assert_eq!(tiny.get(), 1, "0.4 slots would be none");
    }
}
