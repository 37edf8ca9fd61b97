//! One value of a scenario taken through a range: what would be the best limit?

use crate::scenario::{Scenario, ScenarioError};

/// A setting and the values that it gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Its dotted name.
    pub key: String,
    /// Ascending.
    pub values: Vec<u64>,
}

/// So many values at most; beyond it they are spaced evenly on the logarithm.
const VALUES: u32 = 20;

impl Sweep {
    /// From `key=1..64`, both ends included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (key, range) = text.split_once('=')?;
        let (from, to) = range.split_once("..")?;
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        if from == 0 || to < from || key.is_empty() {
            return None;
        }
        let all = to - from < u64::from(VALUES);
        let mut values: Vec<u64> = if all { (from..=to).collect() } else { spaced(from as f64, to as f64) };
        values.dedup();
        Some(Self { key: key.to_owned(), values })
    }

    /// The scenario with each of the values.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn scenarios(&self, text: &str, changes: &[String]) -> Result<Vec<Scenario>, ScenarioError> {
        let with = |value: &u64| {
            let changes: Vec<String> =
                changes.iter().cloned().chain([format!("{}={value}", self.key)]).collect();
            Scenario::parse(text, &changes)
        };
        self.values.iter().map(with).collect()
    }
}

fn spaced(from: f64, to: f64) -> Vec<u64> {
    let step = libm::log(to / from) / f64::from(VALUES - 1);
    (0..VALUES).map(|n| (from * libm::exp(step * f64::from(n))).round() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ranges_are_complete_and_long_ones_are_spaced() {
        assert_eq!(Sweep::parse("limit=3..6").unwrap().values, [3, 4, 5, 6]);
        let long = Sweep::parse("limit=1..64").unwrap();
        assert_eq!((long.values.first(), long.values.last()), (Some(&1), Some(&64)));
        assert!(long.values.len() <= 20 && long.values.is_sorted());
        for wrong in ["limit", "limit=5", "limit=0..4", "limit=9..3", "=1..2", "limit=a..b"] {
            assert_eq!(Sweep::parse(wrong), None, "{wrong}");
        }
    }
}
