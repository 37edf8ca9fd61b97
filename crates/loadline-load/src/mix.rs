//! Names drawn by weight: which target, which class, which tenant a request gets.

use std::str::FromStr;

use serde::Deserialize;

/// Most names in one mix: each has histograms of its own in the report.
const MAX_NAMES: usize = 256;

/// Weights of up to 256 names. An empty mix draws nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Mix {
    names: Vec<String>,
    /// Sum of the weights up to and with each name.
    sums: Vec<u64>,
}

/// A mix in a scenario file: `{ critical = 1, low = 9 }`, in the file's order of names.
type Table = std::collections::BTreeMap<String, u32>;

impl Mix {
    /// # Errors
    /// No weight above 0, a name that is empty or twice there, or more than 256 names.
    pub fn new(weights: impl IntoIterator<Item = (String, u32)>) -> Result<Self, String> {
        let mut mix = Self::default();
        for (name, weight) in weights {
            if name.is_empty() || mix.names.contains(&name) {
                return Err(format!("the name `{name}` is empty or given twice"));
            }
            mix.sums.push(mix.total() + u64::from(weight));
            mix.names.push(name);
        }
        match (mix.total(), mix.names.len()) {
            (0, _) => Err("no weight is above 0".to_owned()),
            (_, count) if count > MAX_NAMES => Err(format!("{count} names are more than {MAX_NAMES}")),
            _ => Ok(mix),
        }
    }

    /// The names, in the order in which they were given.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The index of a name, drawn by weight; `None` if there are no names.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Option<usize> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        // One name needs no luck: a plan without a mix then draws the same whether or not others have one.
        let ticket = if self.names.len() == 1 { 0 } else { random.u64(0..total) };
        Some(self.sums.partition_point(|sum| *sum <= ticket))
    }

    fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }
}

impl FromStr for Mix {
    type Err = String;

    /// `critical=1,low=9`; a name without weight has weight 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("mix `{text}`: {why} (try critical=1,low=9)");
        let weights = text.split(',').map(|part| {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight = weight.parse().map_err(|_| format!("`{weight}` is not a weight"))?;
            Ok((name.trim().to_owned(), weight))
        });
        let weights: Result<Vec<_>, String> = weights.collect();
        weights.and_then(Self::new).map_err(|why| wrong(&why))
    }
}

impl TryFrom<Table> for Mix {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        Self::new(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_drawn_by_weight() {
        let mix: Mix = "a=1,never=0,b=3".parse().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = [0_u32; 3];
        for _ in 0..40_000 {
            counts[mix.draw(&mut random).unwrap()] += 1;
        }
        assert!(counts[1] == 0 && (9_700..=10_300).contains(&counts[0]), "{counts:?}");
        assert_eq!(Mix::default().draw(&mut random), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in
            [("a=x", "not a weight"), ("a=0", "above 0"), ("a,a", "given twice"), ("", "is empty")]
        {
            assert!(text.parse::<Mix>().unwrap_err().contains(part), "{text}");
        }
    }
}
