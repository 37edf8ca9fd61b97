//! Whether a class is overloaded: the judge of the `adaptive` discipline.
//!
//! First in, first out is what everybody expects, until the queue no longer empties. From then on it is the worst order:
//! everyone waits the whole queue timeout, also those who will have left by the time they are served. Newest first then serves
//! some at once and lets the others time out, which they would do anyway. So: FIFO while healthy, newest first while
//! overloaded, and the whole art is in the verdict.
//!
//! A class is overloaded when the age of its *oldest waiter* has been above a target for a whole interval without a break; an
//! oldest waiter below the target, or nobody waiting, is a break and the class is healthy at once. This is CoDel's question (RFC
//! 8289, section 3: does a standing queue persist for an interval, or was it a burst?) asked of another quantity. CoDel
//! looks at the sojourn of what it serves. Under newest-first that is close to zero precisely *because* the order was changed:
//! the verdict would flip to healthy, the next one served would be the oldest, its sojourn is huge, the verdict flips back,
//! and so on, once per interval. The age of the oldest does not depend on who is served while it waits: it falls only when the
//! backlog is really gone (served, expired, or given way).
//!
//! The target follows the mean service time, so that a service of 30 ms is not called overloaded for keeping one request
//! waiting behind another, within bounds: below 5 ms timers and scheduling would decide, and above 50 ms people notice.
//!
//! Worked number: mean service 20 ms, oldest waiter arrived at t = 0. It is above the target from 20 ms on; if somebody older
//! than 20 ms waits at every moment until 120 ms, the class is overloaded from 120 ms on.
//!
//! Judged per class, because under strict class order the classes above are always young and would hide the one that starves.

use crate::{Duration, Instant};

/// How long the oldest must have been too old: RFC 8289, section 4.3, a worst-case round trip, and a few service times here.
const INTERVAL: Duration = Duration::from_millis(100);
/// Below this, timers and scheduling would decide.
const MIN_TARGET: Duration = Duration::from_millis(5);
/// Above this, people notice.
const MAX_TARGET: Duration = Duration::from_millis(50);

/// The age that the oldest waiter may have, for this mean service time. While nothing is known yet, the most lenient.
pub(crate) fn target(mean_service: Option<Duration>) -> Duration {
    mean_service.unwrap_or(MAX_TARGET).clamp(MIN_TARGET, MAX_TARGET)
}

/// The verdict on one class; see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overload {
    /// Since when somebody above the target has waited, without a break.
    since: Option<Instant>,
}

impl Overload {
    pub(super) const HEALTHY: Self = Self { since: None };

    /// Takes note of the oldest waiter. To be called before and after the oldest changes; in between, time alone does not
    /// change the past.
    pub(super) fn observe(&mut self, now: Instant, oldest: Option<Instant>, target: Duration) {
        self.since = match oldest.map(|arrived| arrived + target) {
            Some(crossed) if crossed <= now => Some(self.since.unwrap_or(crossed)),
            _ => None,
        };
    }

    /// The verdict as of the last [`Self::observe`] at `now`.
    pub(super) fn is_overloaded(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| since + INTERVAL <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(20);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn target_follows_the_service_time_within_bounds() {
        let ms = Duration::from_millis;
        assert_eq!(target(None), ms(50));
        assert_eq!(target(Some(ms(1))), ms(5));
        assert_eq!(target(Some(ms(20))), ms(20));
        assert_eq!(target(Some(ms(400))), ms(50));
    }

    #[test]
    fn overloaded_after_an_interval_above_target_counted_from_the_crossing() {
        let mut overload = Overload::HEALTHY;
        for (now, verdict) in [(10, false), (20, false), (119, false), (120, true), (500, true)] {
            overload.observe(at(now), Some(at(0)), TARGET);
            assert_eq!(overload.is_overloaded(at(now)), verdict, "at {now}");
        }
    }

    #[test]
    fn a_younger_oldest_still_above_target_is_no_break() {
        let mut overload = Overload::HEALTHY;
        overload.observe(at(50), Some(at(0)), TARGET);
        overload.observe(at(50), Some(at(30)), TARGET);
        overload.observe(at(120), Some(at(30)), TARGET);
        assert!(overload.is_overloaded(at(120)));
    }

    #[test]
    fn an_oldest_below_target_or_an_empty_queue_is_a_break() {
        for oldest in [None, Some(at(190))] {
            let mut overload = Overload::HEALTHY;
            overload.observe(at(200), Some(at(0)), TARGET);
            assert!(overload.is_overloaded(at(200)));
            overload.observe(at(200), oldest, TARGET);
            assert!(!overload.is_overloaded(at(200)));
            overload.observe(at(309), Some(at(190)), TARGET);
            assert!(!overload.is_overloaded(at(309)), "the interval begins again");
            overload.observe(at(310), Some(at(190)), TARGET);
            assert!(overload.is_overloaded(at(310)));
        }
    }
}
