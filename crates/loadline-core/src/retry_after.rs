//! When a rejected client should come back.
//!
//! A constant would bring a crowd that was turned away together back together. Instead those who were turned away are a
//! backlog beside the queue, and get appointments at which the spare capacity can take them:
//!
//! ```text
//! capacity    = limit ÷ mean service time                          requests per second, all slots busy
//! spare       = capacity × (1 − share of slots in use over 10 s)   at least 10 % of the capacity
//! returning   = clients told to come back and not yet due; it shrinks by 0.8 × spare per second
//! retry after = (queued + returning + 1) ÷ (0.8 × spare)           1 to 30 s, then jitter
//! ```
//!
//! Jitter lengthens an appointment by up to a quarter, never shortens it. It takes clients apart whose own clocks tick
//! together, and, as appointments only spread, they still arrive at no more than 80 % of the spare capacity. Appointments past
//! 30 s cannot be told apart any more: they fall anywhere between 15 and 30 s.
//!
//! Worked number: limit 4, 0.2 s each, so the capacity is 20 per second; half the slots were in use, so 10 are spare and 8 of
//! them are given away. 30 queued and 9 on their way back: (30 + 9 + 1) ÷ 8 = 5 s, with jitter up to 6.25 s; the edge rounds
//! up to whole seconds, at most 7.
//!
//! Under lasting overload nothing is spare, so the answer soon is 15 to 30 s: those who return would only be turned away
//! again. Out of scope: whether clients obey.

use crate::{Duration, Instant, time::nanos};

/// The shortest wait: `Retry-After` is in whole seconds, and 0 would mean "at once".
const MIN_SECS: f64 = 1.0;
/// The longest: who is told to stay away longer assumes that the service is gone.
const MAX_SECS: f64 = 30.0;
/// The share of the spare capacity that is promised to returning clients; the rest absorbs those who come unannounced.
const PROMISED: f64 = 0.8;
/// At full use nothing is spare, but some of those who were turned away do not return: count on a tenth.
const MIN_SPARE: f64 = 0.1;
/// Jitter adds up to this share of the wait.
const JITTER: f64 = 0.25;
/// How long an estimate of the spare rate is used: it is an average over seconds, and turning away a flood must stay cheap.
const ESTIMATE_LASTS: Duration = Duration::from_millis(10);
/// Before the first request has ended: a guess on the slow side of web services, corrected within a few completions.
const UNKNOWN_SERVICE_SECS: f64 = 1.0;

/// What the answer depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) limit: u32,
    /// Mean service time in nanoseconds, if any request has ended yet.
    pub(crate) service_nanos: Option<u64>,
    /// Mean number of slots in use.
    pub(crate) mean_in_flight: f64,
}

impl Load {
    /// Spare slots per second; see the module.
    fn spare(&self) -> f64 {
        let service = self.service_nanos.map_or(UNKNOWN_SERVICE_SECS, |nanos| seconds(nanos.max(1)));
        let limit = f64::from(self.limit);
        (limit - self.mean_in_flight).max(limit * MIN_SPARE) / service
    }
}

/// Gives appointments to rejected clients; see the module.
#[derive(Debug)]
pub(crate) struct RetryAfter {
    returning: f64,
    /// Up to when `returning` is accounted for.
    seen: Instant,
    /// Clients per second that may come back; 0 before the first rejection.
    promised: f64,
    /// When `promised` was estimated.
    estimated: Instant,
    jitter: Jitter,
}

impl RetryAfter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            returning: 0.0,
            seen: Instant::ORIGIN,
            promised: 0.0,
            estimated: Instant::ORIGIN,
            jitter: Jitter::new(seed),
        }
    }

    /// Whether [`Self::estimate`] is due before the next [`Self::next`].
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.promised == 0.0 || now.nanos_since(self.estimated) >= nanos(ESTIMATE_LASTS)
    }

    /// Takes note of the load.
    pub(crate) fn estimate(&mut self, now: Instant, load: &Load) {
        self.promised = load.spare() * PROMISED;
        self.estimated = now;
    }

    /// The wait for one more rejected client, while so many are queued.
    pub(crate) fn next(&mut self, now: Instant, queued: u32) -> Duration {
        let promised = self.promised;
        let elapsed = seconds(now.nanos_since(self.seen));
        self.seen = now;
        self.returning = (self.returning - promised * elapsed).max(0.0) + 1.0;
        let wait = (f64::from(queued) + self.returning) / promised;
        let jitter = self.jitter.unit();
        let secs = if wait < MAX_SECS {
            (wait.max(MIN_SECS) * (1.0 + JITTER * jitter)).min(MAX_SECS)
        } else {
            self.returning = self.returning.min(promised * MAX_SECS);
            MAX_SECS * (0.5 + 0.5 * jitter)
        };
        Duration::from_nanos((secs * 1e9) as u64)
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): a few instructions, any seed
/// is good, and quality far beyond what jitter needs.
#[derive(Debug)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Uniform in 0..1.
    pub(crate) const fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits are what a double holds exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_BUSY: Load = Load { limit: 4, service_nanos: Some(200_000_000), mean_in_flight: 2.0 };

    fn next(retry: &mut RetryAfter, now: Instant, load: &Load, queued: u32) -> Duration {
        if retry.is_stale(now) {
            retry.estimate(now, load);
        }
        retry.next(now, queued)
    }

    fn secs(duration: Duration) -> f64 {
        duration.as_secs_f64()
    }

    #[test]
    fn the_worked_number() {
        let mut retry = RetryAfter::new(7);
        retry.returning = 9.0;
        let wait = secs(next(&mut retry, Instant::ORIGIN, &HALF_BUSY, 30));
        assert!((5.0..=6.25).contains(&wait), "{wait}");
    }

    #[test]
    fn a_crowd_turned_away_at_once_returns_at_most_at_the_promised_rate() {
        let load = Load { limit: 10, service_nanos: Some(100_000_000), mean_in_flight: 5.0 };
        let (spare, crowd) = (50.0, 800);
        for seed in 0..20 {
            let mut retry = RetryAfter::new(seed);
            let mut per_second = [0_i32; 31];
            for _ in 0..crowd {
                let whole = secs(next(&mut retry, Instant::ORIGIN, &load, 0)).ceil() as usize;
                per_second[whole] += 1;
            }
            assert_eq!(per_second.iter().sum::<i32>(), crowd);
            // The first seconds also get what the minimum of 1 s pushed into them.
            for (start, seconds) in per_second[3..].windows(3).enumerate() {
                let rate = f64::from(seconds.iter().sum::<i32>()) / 3.0;
                assert!(rate <= spare, "{rate} per second from second {start} on, seed {seed}");
            }
            let busiest = f64::from(per_second[3..20].iter().sum::<i32>()) / 17.0;
            assert!(busiest <= 0.8 * spare, "{busiest} per second, seed {seed}");
            let returning: i32 = per_second[..=25].iter().sum();
            assert!(f64::from(returning) >= 0.8 * f64::from(crowd), "spread too thin: {per_second:?}");
        }
    }

    #[test]
    fn appointments_fall_due() {
        let load = HALF_BUSY;
        let mut retry = RetryAfter::new(1);
        for _ in 0..80 {
            let _ = next(&mut retry, Instant::ORIGIN, &load, 0);
        }
        let soon = secs(next(&mut retry, Instant::ORIGIN, &load, 0));
        assert!((10.0..=12.7).contains(&soon), "81 ÷ 8 per second: {soon}");
        let later = secs(next(&mut retry, Instant::from_nanos(60_000_000_000), &load, 0));
        assert!((1.0..=1.25).contains(&later), "{later}");
    }

    #[test]
    fn between_one_and_thirty_seconds_whatever_the_load() {
        let mut retry = RetryAfter::new(3);
        let mut waits = Vec::new();
        for service_nanos in [None, Some(0), Some(1), Some(60_000_000_000), Some(u64::MAX)] {
            for mean_in_flight in [0.0, 4.0, 400.0] {
                for queued in [0, 1, u32::MAX] {
                    let load = Load { limit: 4, service_nanos, mean_in_flight };
                    retry.estimate(Instant::ORIGIN, &load);
                    let wait = secs(retry.next(Instant::ORIGIN, queued));
                    assert!((1.0..=30.0).contains(&wait), "{wait} for {load:?}");
                    waits.push(wait);
                }
            }
        }
        assert!(waits.iter().any(|wait| *wait < 1.3) && waits.iter().any(|wait| *wait > 15.0));
    }

    #[test]
    fn same_seed_same_answers_other_seed_others() {
        let run = |seed| {
            let mut retry = RetryAfter::new(seed);
            (0..10).map(|_| next(&mut retry, Instant::ORIGIN, &HALF_BUSY, 30)).collect::<Vec<_>>()
        };
        assert_eq!(run(42), run(42));
        assert_ne!(run(42), run(43));
    }
}
