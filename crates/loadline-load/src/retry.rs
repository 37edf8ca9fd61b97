//! What a client does after a failed attempt: nothing, the same at once, or the same later.
//!
//! Retries are what turns an overload into an outage: they add load when there is least to spare. So the model belongs
//! to the experiment. The exponential one waits a uniformly random time up to `base · 2^(n-1)`, at most `cap` ("full
//! jitter": M. Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015).
//!
//! Worked number: base 100 ms, cap 2 s: the third retry waits up to 400 ms, the sixth up to 2 s.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// After a doubling too many the cap holds anyway; this keeps the shift within 32 bits.
const MAX_DOUBLINGS: u32 = 20;

/// Retries of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When.
    pub policy: RetryPolicy,
    /// How often, beyond the first attempt.
    pub limit: u32,
    /// Bound of the random wait before the first retry; it doubles with each further one.
    pub base: Duration,
    /// Longest random wait.
    pub cap: Duration,
    /// Whether a `Retry-After` in seconds is waited for, if it is longer than the random wait, however long it is.
    pub honour_retry_after: bool,
}

/// When a failed attempt is repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryPolicy {
    /// Never.
    #[default]
    None,
    /// At once: the worst that clients do.
    Immediate,
    /// After a random wait whose bound doubles.
    Exponential,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            policy: RetryPolicy::None,
            limit: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(2),
            honour_retry_after: true,
        }
    }
}

impl Retry {
    /// How long to wait after `attempt` failed (1 is the first); `None` to give up.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        if attempt > self.limit {
            return None;
        }
        match self.policy {
            RetryPolicy::None => None,
            RetryPolicy::Immediate => Some(Duration::ZERO),
            RetryPolicy::Exponential => {
                let doubled = self.base.saturating_mul(1 << (attempt - 1).min(MAX_DOUBLINGS));
                let wait = doubled.min(self.cap).mul_f64(random.f64());
                Some(wait.max(retry_after.filter(|_| self.honour_retry_after).unwrap_or_default()))
            }
        }
    }
}

impl FromStr for RetryPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "immediate" => Ok(Self::Immediate),
            "exponential" => Ok(Self::Exponential),
            _ => Err(format!("`{text}` is not one of none, immediate, exponential")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let retry = Retry { policy: RetryPolicy::Exponential, limit: 40, ..Retry::default() };
        let mut random = fastrand::Rng::with_seed(3);
        for (attempt, bound) in [(1, 100), (2, 200), (3, 400), (6, 2_000), (40, 2_000)] {
            let waits: Vec<u128> =
                (0..500).map(|_| retry.wait(attempt, None, &mut random).unwrap().as_millis()).collect();
            let mean = waits.iter().sum::<u128>() / 500;
            assert!(waits.iter().all(|wait| *wait <= bound), "{attempt}");
            assert!((bound * 4 / 10..=bound * 6 / 10).contains(&mean), "{attempt}: {mean}");
        }
        assert_eq!(retry.wait(41, None, &mut random), None);
    }

    #[test]
    fn retry_after_is_waited_for_unless_ignored() {
        let mut random = fastrand::Rng::with_seed(3);
        let seconds = Some(Duration::from_secs(9));
        let honest = Retry { policy: RetryPolicy::Exponential, ..Retry::default() };
        assert_eq!(honest.wait(1, seconds, &mut random), seconds);
        let rude = Retry { honour_retry_after: false, ..honest };
        assert!(rude.wait(1, seconds, &mut random) < Some(Duration::from_secs(1)));
        let storm = Retry { policy: RetryPolicy::Immediate, ..honest };
        assert_eq!(storm.wait(3, seconds, &mut random), Some(Duration::ZERO));
        assert_eq!(Retry::default().wait(1, None, &mut random), None);
    }
}
