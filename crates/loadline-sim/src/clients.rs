//! Who asks: streams of clients, their patience, their deadlines, and what they do when they are turned away.
//!
//! An *open* stream sends new clients at a rate, however the service fares, as the public does. A *closed* one is a number of
//! users that each ask, wait for the answer, think, and ask again. What a client is like (its route, its patience, how much
//! work it needs) is drawn from a stream of random numbers of its own, so that all policies meet the same clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadline_core::Class;
use serde::Deserialize;

use crate::random::Random;
use crate::replay::Recorded;
use crate::units::{Rate, SECOND, Span, Spread};

/// One stream of clients.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientsSpec {
    /// Its name, for expectations and settings.
    #[serde(default)]
    pub name: String,
    /// New clients per second, for the whole run. Or [`Self::stages`], or [`Self::users`].
    pub rate: Option<Rate>,
    /// Rates one after the other.
    #[serde(default)]
    pub stages: Vec<Phase>,
    /// A closed loop of so many users.
    pub users: Option<u32>,
    /// How long a user of a closed loop thinks before the next request.
    pub think: Option<Spread>,
    /// How arrivals are spread.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// How many come at once; bursts only.
    pub burst: Option<u32>,
    /// The class of all, or the share of each.
    #[serde(default)]
    pub class: ClassMix,
    /// How many tenants there are; each client belongs to one of them. 0: no tenants.
    #[serde(default)]
    pub tenants: u32,
    /// The number of the first tenant.
    #[serde(default)]
    pub first_tenant: u64,
    /// The route of all; left out: any, by the routes' shares.
    pub route: Option<String>,
    /// How long a client waits for an attempt before it leaves.
    pub timeout: Option<Spread>,
    /// In what time from its first attempt a client needs its answer. It leaves then.
    pub deadline: Option<Spread>,
    /// Whether the deadline is sent along, so that the policy knows it.
    #[serde(default = "yes")]
    pub send_deadline: bool,
    /// What a client does when it is turned away. Left out: it goes home.
    pub retry: Option<Retry>,
    /// Exactly these come, instead of any that are drawn.
    #[serde(skip)]
    pub(crate) recorded: Option<Arc<[Recorded]>>,
}

const fn yes() -> bool {
    true
}

/// A rate for a while.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Span,
    /// New clients per second.
    pub rate: Rate,
}

/// How arrivals are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Independently of each other.
    #[default]
    Poisson,
    /// At equal distances.
    Constant,
    /// Several at once, and the bursts independently of each other.
    Bursts,
}

/// The class of clients.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub enum ClassMix {
    /// All have the same.
    One(ClassName),
    /// Shares; they need not add up to 1.
    Shares(BTreeMap<ClassName, f64>),
}

impl Default for ClassMix {
    fn default() -> Self {
        Self::One(ClassName(Class::Normal))
    }
}

/// A class by its word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassName(pub Class);

impl PartialOrd for ClassName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClassName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.index().cmp(&other.0.index())
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let class = Class::QUEUED.into_iter().find(|class| class.as_str() == word);
        class.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("`{word}` is not a class: critical, high, normal, low"))
        })
    }
}

/// What a client does when it is turned away or waited in vain.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many times it tries again.
    pub max: u32,
    /// The pause before the first time; 0: at once.
    #[serde(default)]
    pub pause: Span,
    /// Whether the pause doubles each time.
    #[serde(default)]
    pub doubling: bool,
    /// The longest pause.
    #[serde(default = "half_a_minute")]
    pub max_pause: Span,
    /// The share of the pause that is random, 0 to 1.
    #[serde(default)]
    pub jitter: f64,
    /// Whether it stays away for as long as it is told.
    #[serde(default)]
    pub honours_retry_after: bool,
    /// Whether it tries again also after it waited in vain.
    #[serde(default = "yes")]
    pub after_timeout: bool,
    /// Whether retries say that they are some.
    #[serde(default = "yes")]
    pub marked: bool,
}

const fn half_a_minute() -> Span {
    Span(30 * SECOND)
}

impl Retry {
    /// The pause after the attempt with this number, counted from 1.
    pub(crate) fn pause(&self, attempt: u32, retry_after: Option<u64>, random: &mut Random) -> u64 {
        let doublings = if self.doubling { (attempt - 1).min(32) } else { 0 };
        let pause = self.pause.0.saturating_mul(1 << doublings).min(self.max_pause.0);
        let pause = pause - (pause as f64 * self.jitter * random.unit()) as u64;
        match retry_after {
            Some(told) if self.honours_retry_after => pause.max(told),
            _ => pause,
        }
    }
}

impl ClassMix {
    pub(crate) fn draw(&self, random: &mut Random) -> Class {
        match self {
            Self::One(class) => class.0,
            Self::Shares(shares) => {
                let mut left = random.unit() * shares.values().sum::<f64>();
                for (class, share) in shares {
                    left -= share;
                    if left < 0.0 {
                        return class.0;
                    }
                }
                shares.keys().next_back().map_or(Class::Normal, |class| class.0)
            }
        }
    }
}

impl ClientsSpec {
    /// What is wrong with it.
    ///
    /// # Errors
    /// The first fault, in words.
    pub fn check(&self) -> Result<(), String> {
        let ways = [self.rate.is_some(), !self.stages.is_empty(), self.users.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            return Err("exactly one of `rate`, `stages` and `users` is needed".to_owned());
        }
        if self.arrivals == Arrivals::Bursts && self.burst.unwrap_or(0) == 0 {
            return Err("`arrivals = \"bursts\"` needs `burst`, how many come at once".to_owned());
        }
        if matches!(&self.class, ClassMix::Shares(shares) if shares.is_empty()) {
            return Err("`class` has no shares".to_owned());
        }
        Ok(())
    }

    /// The rate at this moment, per second, and until when it is that; `None`: nobody comes any more.
    fn rate_at(&self, at: u64, capacity: f64) -> Option<(f64, u64)> {
        if let Some(rate) = self.rate {
            return Some((rate.per_second(capacity), u64::MAX));
        }
        let mut end = 0;
        for phase in &self.stages {
            end += phase.lasts.0;
            if at < end {
                return Some((phase.rate.per_second(capacity), end));
            }
        }
        None
    }

    /// How many come at once.
    pub(crate) fn at_once(&self) -> u32 {
        if self.arrivals == Arrivals::Bursts { self.burst.unwrap_or(1).max(1) } else { 1 }
    }

    /// When the next come after `now`; `None`: nobody does.
    ///
    /// The gap is drawn in expected arrivals and then spent at the rates that pass by, which is exact for rates that change.
    pub(crate) fn next_arrival(&self, now: u64, capacity: f64, random: &mut Random) -> Option<u64> {
        let mut expected = match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson | Arrivals::Bursts => random.exponential(),
        } * f64::from(self.at_once());
        let mut at = now;
        loop {
            let (rate, until) = self.rate_at(at, capacity)?;
            let span = until.saturating_sub(at) as f64 / SECOND as f64;
            if rate > 0.0 && expected <= rate * span {
                return Some(at.saturating_add((expected / rate * SECOND as f64) as u64));
            }
            if until == u64::MAX {
                return None;
            }
            expected -= rate * span;
            at = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ClientsSpec {
        let spec: ClientsSpec = toml::from_str(text).unwrap();
        spec.check().unwrap();
        spec
    }

    /// How many arrivals there are in each second.
    fn counts(spec: &ClientsSpec, secs: usize) -> Vec<u32> {
        let (mut at, mut random) = (0, Random::new(1, 1));
        let mut counts = vec![0; secs];
        while let Some(next) = spec.next_arrival(at, 100.0, &mut random) {
            let Some(count) = counts.get_mut((next / SECOND) as usize) else { break };
            *count += spec.at_once();
            at = next;
        }
        counts
    }

    #[test]
    fn stages_have_their_rates_and_an_end() {
        let stages =
            "stages = [{ for = '2s', rate = '0.5x' }, { for = '1s', rate = 300 }, { for = '2s', rate = 10 }]";
        let constant = spec(&format!("arrivals = 'constant'\n{stages}"));
        assert_eq!(counts(&constant, 6), [49, 50, 301, 10, 10, 0]);
        let poisson = counts(&spec(stages), 6);
        assert!(
            (30..70).contains(&poisson[0]) && (240..360).contains(&poisson[2]) && poisson[5] == 0,
            "{poisson:?}"
        );
    }

    #[test]
    fn bursts_have_the_rate_too() {
        let bursts = spec("rate = 200\narrivals = 'bursts'\nburst = 20");
        let sum: u32 = counts(&bursts, 100).iter().sum();
        assert!((17_000..23_000).contains(&sum) && sum.is_multiple_of(20), "{sum}");
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_heed_what_they_are_told() {
        let retry: Retry =
            toml::from_str("max = 9\npause = '100ms'\ndoubling = true\nmax_pause = '1s'\n").unwrap();
        let mut random = Random::new(1, 1);
        let pauses: Vec<u64> =
            (1..=5).map(|n| retry.pause(n, Some(SECOND * 9), &mut random) / 1_000_000).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000]);
        let obedient = Retry { honours_retry_after: true, ..retry };
        assert_eq!(obedient.pause(1, Some(SECOND * 9), &mut random), SECOND * 9);
    }

    #[test]
    fn faults_are_named() {
        for (text, named) in [
            ("name = 'x'", "exactly one of"),
            ("rate = 5\nusers = 3", "exactly one of"),
            ("rate = 5\narrivals = 'bursts'", "needs `burst`"),
        ] {
            let fault = toml::from_str::<ClientsSpec>(text).unwrap().check().unwrap_err();
            assert!(fault.contains(named), "{fault}");
        }
        let error = toml::from_str::<ClientsSpec>("rate = 5\nclass = 'urgent'").unwrap_err().to_string();
        assert!(error.contains("class") || error.contains("ClassMix"), "{error}");
    }
}
