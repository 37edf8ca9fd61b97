//! Priorities and weights of a service's hosts (RFC 2782), as ranks and shares.
//!
//! Hosts of the lowest priority come first, the others are for when those cannot be used. Among hosts of one priority requests go
//! by weight. Ranks count from 0 and the mean share is an even one, so that a service beside other places in the list counts as
//! its hosts would: a weight says something of the hosts of that service alone.
//!
//! Worked number: weights 60, 20 and 10 have the mean 30, and the shares 2, 0.67 and 0.33.

use super::dns::Service;
use super::place::EVEN_SHARE;

/// A weight of 0 is "a very small chance" beside others: so much less than the least of them.
const ZERO_IS: f64 = 0.01;

/// Rank and share of each, in their order.
pub(super) fn ranked(services: &[Service]) -> Vec<(u16, u32)> {
    let mut priorities: Vec<_> = services.iter().map(|service| service.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    services.iter().map(|one| (rank(&priorities, one.priority), share(services, one))).collect()
}

fn rank(priorities: &[u16], priority: u16) -> u16 {
    u16::try_from(priorities.partition_point(|better| *better < priority)).unwrap_or(u16::MAX)
}

fn share(services: &[Service], one: &Service) -> u32 {
    let weights = || services.iter().filter(|other| other.priority == one.priority).map(|other| other.weight);
    let Some(least) = weights().filter(|weight| *weight > 0).min() else { return EVEN_SHARE };
    let counts = |weight: u16| if weight == 0 { f64::from(least) * ZERO_IS } else { f64::from(weight) };
    let mean = weights().map(counts).sum::<f64>() / weights().count() as f64;
    // At least a 65,535th of the mean, at most as many times the mean as there are hosts.
    ((counts(one.weight) / mean * f64::from(EVEN_SHARE)) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(services: &[(u16, u16)]) -> Vec<(u16, f64)> {
        let service =
            |&(priority, weight): &(u16, u16)| Service { host: "app".into(), port: 80, priority, weight };
        let services: Vec<_> = services.iter().map(service).collect();
        let even = |(rank, share)| (rank, (f64::from(share) / f64::from(EVEN_SHARE) * 100.0).round() / 100.0);
        ranked(&services).into_iter().map(even).collect()
    }

    #[test]
    fn weights_count_within_a_priority() {
        assert_eq!(shares(&[(0, 60), (0, 20), (0, 10)]), [(0, 2.0), (0, 0.67), (0, 0.33)]);
        assert_eq!(shares(&[(20, 7), (10, 1), (10, 3), (30, 0)]), [(1, 1.0), (0, 0.5), (0, 1.5), (2, 1.0)]);
    }

    #[test]
    fn a_weight_of_zero_is_a_very_small_chance_beside_others_and_an_even_one_among_its_like() {
        assert_eq!(shares(&[(0, 0), (0, 0)]), [(0, 1.0), (0, 1.0)]);
        assert_eq!(shares(&[(0, 0), (0, 1)]), [(0, 0.02), (0, 1.98)]);
        let extreme: Vec<_> = std::iter::once((0, 0)).chain((0..300).map(|_| (0, 65_535))).collect();
        assert!(shares(&extreme).iter().all(|(_, share)| *share < 1.1));
    }
}
