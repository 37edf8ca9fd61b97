//! Durations and rates as people write them, in flags and in scenario files alike.
//!
//! A duration is a whole number with a unit (`us ms s m h d`); without one it counts milliseconds, as everywhere in
//! loadline. A rate is a number with `/s`, `/m` or `/h`; without one it is per second.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// Microseconds per unit, largest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// More than any one machine sends: beyond it a rate is a slip of the finger.
const MAX_RATE: f64 = 10_000_000.0;

/// A duration that was written by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Written")]
pub struct Span(pub Duration);

/// Requests per second, 0 or more and finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rate(f64);

/// What a file may hold for either: a number or a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub(crate) enum Written {
    Whole(u64),
    Number(f64),
    Text(String),
}

impl Rate {
    /// `per_second`, if it is 0 or more, finite, and no more than ten millions.
    #[must_use]
    pub fn per_second(per_second: f64) -> Option<Self> {
        (0.0..=MAX_RATE).contains(&per_second).then_some(Self(per_second))
    }

    /// Requests per second.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let size = if unit.is_empty() { Some(1_000) } else { find(unit) };
        let micros = number.parse::<u64>().ok().zip(size).and_then(|(number, size)| number.checked_mul(size));
        let micros = micros.ok_or_else(|| format!("`{text}` is not a duration (try 30s, 500ms, 2m)"))?;
        Ok(Self(Duration::from_micros(micros)))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, seconds) = match text.split_once('/') {
            None => (text, 1.0),
            Some((number, "s")) => (number, 1.0),
            Some((number, "m")) => (number, 60.0),
            Some((number, "h")) => (number, 3_600.0),
            Some(_) => ("", 1.0),
        };
        let rate = number.parse::<f64>().ok().and_then(|number| Self::per_second(number / seconds));
        rate.ok_or_else(|| format!("`{text}` is not a rate from 0 to 10000000/s (try 500/s, 30/m)"))
    }
}

impl TryFrom<Written> for Span {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        written.text().parse()
    }
}

impl TryFrom<Written> for Rate {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        written.text().parse()
    }
}

impl Written {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl fmt::Display for Span {
    /// With the largest unit that divides it: `90s`, `1500ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        let largest = UNITS.iter().skip(2).find(|(_, size)| micros > 0 && micros.is_multiple_of(*size));
        match largest {
            Some((unit, size)) => write!(f, "{}{unit}", micros / size),
            None => f.write_str("0s"),
        }
    }
}

fn find(unit: &str) -> Option<u64> {
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_as_people_write_them() {
        let millis = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis()).ok();
        for (text, expected) in [("30s", 30_000), ("500ms", 500), ("500", 500), ("2m", 120_000), ("0", 0)] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        let rate = |text: &str| text.parse::<Rate>().map(Rate::get).ok();
        for (text, expected) in [("500/s", 500.0), ("500", 500.0), ("30/m", 0.5), ("0.5", 0.5), ("0", 0.0)] {
            assert_eq!(rate(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "s", "5 s", "-5s", "1.5s", "5w", "99999999999999999999s"] {
            assert!(text.parse::<Span>().unwrap_err().contains("try 30s"), "{text}");
        }
        for text in ["", "-1", "nan", "inf", "5/d", "/s", "1e9", "5s"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("try 500/s"), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_short_as_it_is() {
        for text in ["90s", "1500ms", "2m", "0s", "7us"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }
}
