//! The budget of requests that are sent a second time, elsewhere.
//!
//! A retry is more work for upstreams that may have too much of it already. How much more is a share of what they are sent, not of
//! what is in service: an endpoint that turns requests away within a millisecond has none in service, however often it is asked.
//! What is not used lasts for a while ([`LASTS_SECS`]), for an endpoint that dies takes all with it that it had in service, and
//! that is more than a share of one moment.
//!
//! ```text
//! allowance: + share × requests sent + minimum × seconds, fades to 37 % within 10 s, − 1 for each repetition
//! ```
//!
//! Worked numbers: at 100 requests per second with a share of 20 % and a minimum of 3/s, up to 230 may be repeated at once, and
//! 23 per second for long: everything fails, and the upstreams get 1.23 times the requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use loadline_core::Instant;

/// Most endpoints that one request is sent to, the first included: what two others could not do, a fourth will not.
pub(crate) const MOST_ENDPOINTS: usize = 3;

/// Time constant with which an allowance that is not used fades: longer than a restart of an endpoint takes to be noticed, and
/// short enough that an hour of health does not pay for a minute of storm.
const LASTS_SECS: f64 = 10.0;

#[derive(Debug, Default)]
pub(crate) struct Retries {
    allowance: Mutex<Allowance>,
    refused: AtomicU64,
}

/// Counted when it is asked for only: requests that need no repetition pay nothing for it.
#[derive(Debug, Default)]
struct Allowance {
    left: f64,
    /// When it was counted last, and what had been sent by then.
    counted: Option<(Instant, u64)>,
    /// Repetitions since then: they earn nothing.
    repeated: u64,
}

impl Retries {
    /// Whether one more request may be repeated. `share`: of those that were sent, in percent; `least`: so many per second
    /// in any case; `sent`: requests that were sent so far, repetitions included.
    pub(super) fn allow(&self, share: u8, least: u32, now: Instant, sent: u64) -> bool {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = allowance.take(f64::from(share) / 100.0, f64::from(least), now, sent);
        if !allowed {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// Repetitions that the budget did not allow, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Allowance {
    fn take(&mut self, share: f64, least: f64, now: Instant, sent: u64) -> bool {
        let (at, before) = self.counted.unwrap_or_else(|| {
            // As if the minimum had been earned for ever.
            self.left = least * LASTS_SECS;
            (Instant::ORIGIN, 0)
        });
        // Less than before: an endpoint is gone, and its count with it.
        let fresh = sent.saturating_sub(before).saturating_sub(self.repeated);
        let seconds = now.saturating_since(at).as_secs_f64();
        let kept = (-seconds / LASTS_SECS).exp();
        let earned = share * fresh as f64 + least * seconds;
        // What was earned evenly over the time has faded in part.
        let lasting = if seconds > 0.0 { (1.0 - kept) * LASTS_SECS / seconds } else { 1.0 };
        self.left = self.left * kept + earned * lasting;
        self.counted = Some((now, sent));
        self.repeated = 0;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
            self.repeated = 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn however_fast_the_failures_are_the_share_holds() {
        let (retries, mut sent, mut repeated) = (Retries::default(), 0, 0);
        for millis in 0..100_000 {
            sent += 1;
            if retries.allow(10, 0, at(millis), sent) {
                repeated += 1;
                sent += 1;
            }
        }
        assert!((9_900..=10_000).contains(&repeated), "{repeated}");
        assert_eq!(retries.refused(), 100_000 - repeated);
    }

    #[test]
    fn what_one_endpoint_had_in_service_when_it_died_can_be_repeated() {
        let retries = Retries::default();
        assert!(retries.allow(20, 0, at(1_000), 1_000));
        // 10 s at 100/s, and a quarter of 300 in service is lost at once.
        let allowed = (0..75).filter(|_| retries.allow(20, 0, at(11_000), 2_000)).count();
        assert_eq!(allowed, 75);
        let allowed = (0..1_000).filter(|_| retries.allow(20, 0, at(11_000), 2_000)).count();
        assert!(allowed < 300, "{allowed}");
    }

    #[test]
    fn the_minimum_needs_no_traffic_and_does_not_pile_up() {
        let retries = Retries::default();
        let burst = |millis| (0..1_000).filter(|_| retries.allow(1, 3, at(millis), 0)).count();
        assert_eq!(burst(0), 30);
        assert_eq!(burst(1_000), 2);
        assert!((29..=30).contains(&burst(10_000_000)));
        let none = Retries::default();
        assert!(!none.allow(20, 0, at(0), 0));
    }

    #[test]
    fn an_endpoint_that_is_gone_takes_nothing_from_the_others() {
        let retries = Retries::default();
        assert!(retries.allow(20, 1, at(0), 1_000_000));
        assert!(retries.allow(20, 1, at(1), 10));
    }
}
