//! When each request is due: known before the run, whatever the target does.
//!
//! That is what makes the loop open. Requests are events of a process with the rate λ(t) of the stages. Let
//! `N(t) = ∫λ` be the number of requests due until `t`. Evenly spaced arrivals are at `N(t) = 0, 1, 2, …`. For a Poisson
//! process the distances in `N` are exponential with mean 1 (time rescaling: Daley and Vere-Jones, *An Introduction to
//! the Theory of Point Processes*, section 7.4). So both need one thing, the inverse of `N`, which is a square root per
//! stage.
//!
//! Worked number: a ramp of 10 s from 0 to 100/s has 500 requests, and request 125 is due at 5 s, for `N(t) = 5t²`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stage::Stage;

/// How requests follow each other at a given rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Evenly spaced.
    #[default]
    Constant,
    /// Independent of each other, as those of many users are.
    Poisson,
}

/// One request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the start of the run.
    pub at: Duration,
    /// In which stage.
    pub stage: usize,
}

/// The arrivals of a run, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    stages: Vec<Stage>,
    arrivals: Arrivals,
    random: fastrand::Rng,
    /// `N` at the next arrival.
    next: f64,
    stage: usize,
    /// Seconds and `N` at the beginning of the stage.
    begin: (f64, f64),
}

impl Schedule {
    /// Arrivals over `stages`; the same `seed` gives the same ones.
    #[must_use]
    pub fn new(stages: Vec<Stage>, arrivals: Arrivals, seed: u64) -> Self {
        let mut schedule = Self {
            stages,
            arrivals,
            random: fastrand::Rng::with_seed(seed),
            next: 0.0,
            stage: 0,
            begin: (0.0, 0.0),
        };
        if arrivals == Arrivals::Poisson {
            schedule.next = schedule.distance();
        }
        schedule
    }

    /// Distance to the next arrival in `N`.
    fn distance(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Constant => 1.0,
            // 1 - u lies in (0, 1], so that the logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln(),
        }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let stage = self.stages.get(self.stage)?;
            let within = self.next - self.begin.1;
            if within < stage.requests() {
                let at = Duration::from_secs_f64(self.begin.0 + seconds_until(stage, within));
                let arrival = Arrival { at, stage: self.stage };
                self.next += self.distance();
                return Some(arrival);
            }
            self.begin.0 += stage.duration.as_secs_f64();
            self.begin.1 += stage.requests();
            self.stage += 1;
        }
    }
}

/// When a stage has had `requests`: the root of `from·t + (to-from)/(2·duration)·t² = requests`, in the form that loses
/// no digits when the ramp is flat.
fn seconds_until(stage: &Stage, requests: f64) -> f64 {
    let (from, slope) =
        (stage.from.get(), (stage.to.get() - stage.from.get()) / stage.duration.as_secs_f64());
    let root = (from * from + 2.0 * slope * requests).max(0.0).sqrt();
    if requests == 0.0 { 0.0 } else { (2.0 * requests / (from + root)).min(stage.duration.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(stages: &[&str], arrivals: Arrivals) -> Vec<Arrival> {
        let stages = stages.iter().map(|stage| stage.parse().unwrap()).collect();
        Schedule::new(stages, arrivals, 7).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let all = schedule(&["2s@100"], Arrivals::Constant);
        assert_eq!(all.len(), 200);
        assert!(
            all.iter().enumerate().all(|(n, arrival)| arrival.at == Duration::from_millis(10 * n as u64))
        );
    }

    #[test]
    fn a_ramp_is_the_integral_of_its_rate() {
        let all = schedule(&["10s@0..100"], Arrivals::Constant);
        assert_eq!(all.len(), 500);
        assert_eq!(all[125].at, Duration::from_secs(5));
        let down = schedule(&["10s@100..0"], Arrivals::Constant);
        assert_eq!(down.len(), 500);
        assert!(down.windows(2).all(|pair| pair[0].at < pair[1].at));
    }

    #[test]
    fn stages_follow_each_other_and_a_pause_has_no_request() {
        let all = schedule(&["1s@10", "5s@0", "1s@20"], Arrivals::Constant);
        assert_eq!(all.len(), 30);
        assert_eq!((all[9].stage, all[10].stage), (0, 2));
        assert_eq!(all[10].at, Duration::from_secs(6));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_process() {
        let all = schedule(&["1000s@100"], Arrivals::Poisson);
        // Mean 100,000, standard deviation its root, 316: six of them are no accident, and the seed is fixed anyway.
        assert!((98_100..=101_900).contains(&all.len()), "{}", all.len());
        let gaps = all.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64());
        let squares: f64 = gaps.map(|gap| (gap - 0.01).powi(2)).sum::<f64>() / all.len() as f64;
        // The standard deviation of an exponential distribution is its mean.
        assert!((squares.sqrt() - 0.01).abs() < 0.0005, "{}", squares.sqrt());
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let run = |seed| -> Vec<Arrival> {
            Schedule::new(vec!["5s@50..200".parse().unwrap()], Arrivals::Poisson, seed).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    proptest! {
        #[test]
        fn arrivals_are_in_order_and_as_many_as_the_stages_say(
            stages in prop::collection::vec((1u64..5_000, 0u32..500, 0u32..500), 1..6),
        ) {
            let stages: Vec<Stage> =
                stages.iter().map(|(ms, from, to)| format!("{ms}ms@{from}..{to}").parse().unwrap()).collect();
            let total: f64 = stages.iter().map(Stage::requests).sum();
            let end: Duration = stages.iter().map(|stage| stage.duration).sum();
            let all: Vec<Arrival> = Schedule::new(stages, Arrivals::Constant, 0).collect();
            prop_assert!((all.len() as f64 - total).abs() <= 1.0, "{} of {total}", all.len());
            prop_assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert!(all.iter().all(|arrival| arrival.at <= end + Duration::from_micros(1)));
        }
    }
}
