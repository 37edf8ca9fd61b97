//! Which endpoint is next: pure functions over numbers.
//!
//! The power of two choices (Mitzenmacher, "The power of two choices in randomized load balancing", 2001): of two endpoints at
//! random the better one. The choice needs no list in order, never sends everybody to the one that looked best a moment ago,
//! and is nearly as even as looking at all of them.
//!
//! ```text
//! least-latency:   cost = mean time to the response's head × (requests in service ÷ share + 1)
//! least-inflight:  cost =                                     requests in service ÷ share + 1
//! ```
//!
//! Worked number: 10 ms with 3 in service costs 40 ms, 100 ms with none 100 ms. So an endpoint that became ten times as slow
//! gets requests only while the others have ten times as many in service.
//!
//! A share is 1 unless a service gives its hosts weights. Then both are drawn by their shares, and one that is drawn twice is not
//! compared: whoever has a very small share gets no more for being idle.
//!
//! An endpoint whose latency is not known is compared by requests in service alone. While one that is new or has returned warms
//! up, its weight is below 1, and with that probability it takes a turn that is its own.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::config::settings::Policy;

/// The least weight of an endpoint that warms up: some requests have to come for it to warm up at all.
const LEAST_WEIGHT: f64 = 0.1;

/// How an endpoint looks at the moment of a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) in_flight: usize,
    /// How much it counts beside others; 1 is as much as any other.
    pub(super) share: f64,
    /// Mean time to the response's head in seconds; 0 when it is not known.
    pub(super) latency: f64,
    /// [`weight`].
    pub(super) weight: f64,
}

/// Grows from [`LEAST_WEIGHT`] to 1 in `over`; `since`: how long the endpoint has been in the rotation.
pub(super) fn weight(since: Duration, over: Duration) -> f64 {
    if since >= over { 1.0 } else { (since.as_secs_f64() / over.as_secs_f64()).max(LEAST_WEIGHT) }
}

/// How endpoints are drawn at random: all alike, or by their shares.
#[derive(Debug)]
pub(super) struct Draws {
    count: usize,
    /// The shares summed up; empty where all are the same.
    sums: Vec<u64>,
}

impl Draws {
    pub(super) fn new(shares: impl Iterator<Item = u32> + Clone) -> Self {
        let sum = |sum: &mut u64, share: u32| {
            *sum += u64::from(share);
            Some(*sum)
        };
        let even = shares.clone().zip(shares.clone().skip(1)).all(|(one, next)| one == next);
        let sums = if even { Vec::new() } else { shares.clone().scan(0, sum).collect() };
        Self { count: shares.count(), sums }
    }

    fn by_share(&self) -> bool {
        !self.sums.is_empty()
    }

    /// `random`: any number.
    fn draw(&self, random: u64) -> usize {
        match self.sums.last() {
            Some(total) => self.sums.partition_point(|sum| *sum <= random % total),
            None => (random % self.count.max(1) as u64) as usize,
        }
    }
}

/// The index of the endpoint to use, out of those that `draws` knows. `candidate` tells how one looks if it can be used. `turn`: a
/// number that grows by one each time.
pub(super) fn choose(
    policy: Policy,
    draws: &Draws,
    turn: usize,
    random: &mut impl FnMut() -> u64,
    candidate: impl Fn(usize) -> Option<Candidate>,
) -> Option<usize> {
    let count = draws.count;
    // The share of one that cannot be used goes to those behind it; comparing two evens that out.
    let from = |start: usize, but: Option<usize>| {
        let mut circle = (start..count).chain(0..start).filter(|index| Some(*index) != but);
        circle.find_map(|index| Some((index, candidate(index)?)))
    };
    let in_turn = policy == Policy::RoundRobin && !draws.by_share();
    let first = if in_turn { turn % count.max(1) } else { draws.draw(random()) };
    let (mut chosen, mut looks) = from(first, None)?;
    if matches!(policy, Policy::LeastLatency | Policy::LeastInFlight) {
        let second = draws.draw(random());
        if !(draws.by_share() && second == chosen)
            && let Some((other, others)) = from(second, Some(chosen))
            && is_better(policy, &others, &looks)
        {
            (chosen, looks) = (other, others);
        }
    }
    // One that warms up lets most of its turns go by.
    if looks.weight < 1.0 && looks.weight < unit(random()) {
        return from(chosen, Some(chosen)).map_or(Some(chosen), |(next, _)| Some(next));
    }
    Some(chosen)
}

fn is_better(policy: Policy, a: &Candidate, b: &Candidate) -> bool {
    let known = policy == Policy::LeastLatency && a.latency > 0.0 && b.latency > 0.0;
    let cost = |it: &Candidate| if known { it.latency } else { 1.0 } * (it.in_flight as f64 / it.share + 1.0);
    cost(a) < cost(b)
}

/// A random number of the calling thread's.
pub(super) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    // SplitMix64: a few instructions, and better than a choice between endpoints needs.
    let mut z = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(z);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in 0..1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// A mean of the times to a response's head that follows changes within some ten answers, and fades while there are none: one
/// that was slow is tried again, also when nobody else is worse.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    seconds: f64,
    /// When the last sample came.
    updated: loadline_core::Instant,
}

/// The weight of one more sample.
const GAIN: f64 = 1.0 / 8.0;

/// Without samples the mean falls to 37 % in this time: an endpoint that was ten times slower than others is tried again
/// after some 12 s.
const FADES_IN_SECS: f64 = 5.0;

impl Latency {
    pub(super) fn record(&mut self, now: loadline_core::Instant, sample: Duration) {
        let mean = self.at(now);
        // Zero is the word for unknown.
        let sample = sample.as_secs_f64().max(1e-9);
        self.seconds = if mean == 0.0 { sample } else { mean + (sample - mean) * GAIN };
        self.updated = now;
    }

    /// The mean at this moment in seconds; 0 when it is not known.
    pub(super) fn at(&self, now: loadline_core::Instant) -> f64 {
        self.seconds * (-now.saturating_since(self.updated).as_secs_f64() / FADES_IN_SECS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM: Candidate = Candidate { in_flight: 0, share: 1.0, latency: 0.01, weight: 1.0 };

    /// How often each of `endpoints` is chosen in 10,000 draws.
    fn shares(policy: Policy, endpoints: &[Option<Candidate>]) -> Vec<usize> {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        };
        let mut counts = vec![0; endpoints.len()];
        let millionths = |it: &Option<Candidate>| (it.map_or(1.0, |it| it.share) * 1e6) as u32;
        let draws = Draws::new(endpoints.iter().map(millionths));
        for turn in 0..10_000 {
            if let Some(index) = choose(policy, &draws, turn, &mut random, |index| endpoints[index]) {
                counts[index] += 1;
            }
        }
        counts
    }

    const ALL: [Policy; 4] =
        [Policy::LeastLatency, Policy::LeastInFlight, Policy::RoundRobin, Policy::Random];

    #[test]
    fn equals_share_equally() {
        for policy in ALL {
            let counts = shares(policy, &[Some(WARM); 4]);
            assert!(counts.iter().all(|count| (2_200..2_800).contains(count)), "{policy:?}: {counts:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_chosen() {
        for policy in ALL {
            let counts = shares(policy, &[None, Some(WARM), None, Some(WARM)]);
            assert_eq!((counts[0], counts[2], counts.iter().sum()), (0, 0, 10_000), "{policy:?}");
            assert_eq!(shares(policy, &[None, Some(WARM)]), [0, 10_000]);
            assert_eq!(shares(policy, &[None, None]), [0, 0]);
            assert!(shares(policy, &[]).is_empty());
        }
    }

    #[test]
    fn a_slow_one_gets_what_the_others_are_too_busy_for() {
        let slow = Candidate { latency: 0.1, ..WARM };
        let counts = shares(Policy::LeastLatency, &[Some(slow), Some(WARM), Some(WARM), Some(WARM)]);
        assert_eq!(counts[0], 0);
        let busy = Candidate { in_flight: 10, ..WARM };
        assert_eq!(shares(Policy::LeastLatency, &[Some(slow), Some(busy)]), [10_000, 0]);
        assert_eq!(shares(Policy::LeastInFlight, &[Some(slow), Some(busy)]), [10_000, 0]);
        let unknown = Candidate { latency: 0.0, in_flight: 5, ..WARM };
        assert_eq!(
            shares(Policy::LeastLatency, &[Some(unknown), Some(WARM)]),
            [0, 10_000],
            "by requests in service"
        );
    }

    #[test]
    fn shares_are_kept_by_whoever_is_idle_and_by_whoever_is_busy() {
        let with = |share: f64, in_flight| Some(Candidate { share, in_flight, ..WARM });
        for policy in ALL {
            let counts = shares(policy, &[with(1.5, 0), with(0.5, 0)]);
            assert!((7_200..7_800).contains(&counts[0]), "{policy:?}: {counts:?}");
            let counts = shares(policy, &[with(1.5, 30), with(0.5, 10)]);
            assert!((7_200..7_800).contains(&counts[0]), "{policy:?}: {counts:?}");
            let counts = shares(policy, &[with(1.98, 5), with(0.02, 0)]);
            assert!(
                (1..250).contains(&counts[1]),
                "{policy:?}: a very small chance, idle or not: {counts:?}"
            );
        }
        let counts = shares(Policy::LeastInFlight, &[with(1.5, 60), with(0.5, 10)]);
        assert!(counts[0] < 6_500, "it has twice what it should have: {counts:?}");
        assert_eq!(shares(Policy::LeastLatency, &[None, with(0.02, 9)]), [0, 10_000]);
    }

    #[test]
    fn one_that_warms_up_gets_a_part_of_its_share() {
        assert_eq!(weight(Duration::ZERO, Duration::from_secs(10)), LEAST_WEIGHT);
        assert_eq!(weight(Duration::from_secs(5), Duration::from_secs(10)), 0.5);
        assert_eq!(weight(Duration::ZERO, Duration::ZERO), 1.0);
        let cold = Candidate { weight: 0.1, ..WARM };
        for policy in ALL {
            let counts = shares(policy, &[Some(cold), Some(WARM)]);
            assert!((300..900).contains(&counts[0]), "{policy:?}: {counts:?}");
            assert_eq!(shares(policy, &[Some(cold), None]), [10_000, 0], "{policy:?}: there is no other");
        }
    }

    #[test]
    fn latency_follows_and_fades() {
        let at = |secs: u64| loadline_core::Instant::from_nanos(secs * 1_000_000_000);
        let mut latency = Latency::default();
        assert_eq!(latency.at(at(1)), 0.0);
        for _ in 0..40 {
            latency.record(at(1), Duration::from_millis(10));
        }
        assert!((latency.at(at(1)) - 0.01).abs() < 1e-6);
        latency.record(at(1), Duration::from_secs(1));
        assert!((0.13..0.14).contains(&latency.at(at(1))), "one slow answer is no slow endpoint");
        assert!(latency.at(at(15)) < 0.01);
    }
}
