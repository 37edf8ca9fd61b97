//! Values as they are written in scenario files: times, rates, distributions.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::random::Random;

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A length of time, in nanoseconds. Written `"250us"`, `"20ms"`, `"1.5s"`, `"2m"`, `"1h"`; a bare number is milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub u64);

impl Span {
    /// In seconds.
    #[must_use]
    pub fn secs(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// So many seconds; negative ones and those that are no number are 0.
    #[must_use]
    pub fn from_secs(secs: f64) -> Self {
        Self((secs * SECOND as f64) as u64)
    }

    /// From text: see [`Span`]. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: f64 = number.parse().ok()?;
        let nanos = match unit.trim() {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" | "" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        Some(Self((number * nanos).round() as u64))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            0 => (0.0, "s"),
            n if n < 1_000_000 => (n as f64 / 1e3, "us"),
            n if n < SECOND => (n as f64 / 1e6, "ms"),
            n => (n as f64 / 1e9, "s"),
        };
        write!(f, "{value}{unit}")
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"20ms\" or \"5s\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: Error>(self, ms: i64) -> Result<Span, E> {
                let ms = u64::try_from(ms).map_err(E::custom)?;
                Ok(Span(ms.saturating_mul(1_000_000)))
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Requests per second: a number, or `"1.5x"`, that many times the capacity of the backend as it is at the start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// Per second.
    PerSecond(f64),
    /// Times the capacity.
    OfCapacity(f64),
}

impl Rate {
    /// Per second, for this capacity.
    #[must_use]
    pub const fn per_second(self, capacity: f64) -> f64 {
        match self {
            Self::PerSecond(rate) => rate,
            Self::OfCapacity(times) => times * capacity,
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let wrong =
            || D::Error::custom("a rate is a number of requests per second, or \"1.5x\" of the capacity");
        let rate = match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Number(rate) => Self::PerSecond(rate),
            Written::Text(text) => {
                let times = text.strip_suffix('x').and_then(|times| times.trim().parse().ok());
                Self::OfCapacity(times.ok_or_else(wrong)?)
            }
        };
        let (Self::PerSecond(value) | Self::OfCapacity(value)) = rate;
        if value.is_finite() && value >= 0.0 { Ok(rate) } else { Err(wrong()) }
    }
}

/// How a time varies from request to request. Written as a time (always that one) or as a table:
/// `{ exponential = "20ms" }`, `{ lognormal = "20ms", cv = 1.5 }`, `{ low = "5ms", high = "200ms", high_share = 0.1 }`,
/// `{ from = "10ms", to = "1s" }` (uniform on the logarithm).
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Spread {
    /// Always the same.
    Constant(Span),
    /// Memoryless, with this mean.
    Exponential {
        /// The mean.
        exponential: Span,
    },
    /// Log-normal, with a mean and a coefficient of variation.
    Lognormal {
        /// The mean.
        lognormal: Span,
        /// Standard deviation ÷ mean.
        cv: f64,
    },
    /// One of two values.
    Bimodal {
        /// The usual one.
        low: Span,
        /// The other.
        high: Span,
        /// How often it is the other, 0 to 1.
        high_share: f64,
    },
    /// Uniform on the logarithm: as many between 10 and 100 ms as between 100 ms and 1 s.
    Between {
        /// The shortest.
        from: Span,
        /// The longest.
        to: Span,
    },
}

impl Spread {
    /// The mean, in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant(span) => span.0 as f64,
            Self::Exponential { exponential } => exponential.0 as f64,
            Self::Lognormal { lognormal, .. } => lognormal.0 as f64,
            Self::Bimodal { low, high, high_share } => {
                low.0 as f64 * (1.0 - high_share) + high.0 as f64 * high_share
            }
            Self::Between { from, to } => {
                let (from, to) = (from.0.max(1) as f64, to.0.max(1) as f64);
                if from == to { from } else { (to - from) / libm::log(to / from) }
            }
        }
    }

    /// One draw, in nanoseconds.
    pub fn draw(&self, random: &mut Random) -> f64 {
        match *self {
            Self::Constant(span) => span.0 as f64,
            Self::Exponential { exponential } => exponential.0 as f64 * random.exponential(),
            Self::Lognormal { lognormal, cv } => {
                let variance = libm::log(1.0 + cv * cv);
                let exponent = libm::sqrt(variance) * random.normal() - variance / 2.0;
                lognormal.0 as f64 * libm::exp(exponent)
            }
            Self::Bimodal { low, high, high_share } => {
                (if random.unit() < high_share { high.0 } else { low.0 }) as f64
            }
            Self::Between { from, to } => {
                let (from, to) = (from.0.max(1) as f64, to.0.max(1) as f64);
                from * libm::exp(random.unit() * libm::log(to / from))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_written() {
        for (text, nanos) in [
            ("20ms", 20_000_000),
            ("1.5s", 1_500_000_000),
            ("250us", 250_000),
            ("2m", 120 * SECOND),
            ("7", 7_000_000),
        ] {
            assert_eq!(Span::parse(text), Some(Span(nanos)), "{text}");
        }
        for wrong in ["", "s", "5 parsecs", "-1s"] {
            assert_eq!(Span::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Span(1_500_000_000).to_string(), "1.5s");
    }

    #[test]
    fn every_spread_has_the_mean_that_it_says() {
        let span = |ms: u64| Span(ms * 1_000_000);
        let mut random = Random::new(5, 5);
        for spread in [
            Spread::Constant(span(20)),
            Spread::Exponential { exponential: span(20) },
            Spread::Lognormal { lognormal: span(20), cv: 1.5 },
            Spread::Bimodal { low: span(5), high: span(200), high_share: 0.1 },
            Spread::Between { from: span(10), to: span(1000) },
        ] {
            let n = 400_000;
            let mean = (0..n).map(|_| spread.draw(&mut random)).sum::<f64>() / f64::from(n);
            assert!((mean / spread.mean() - 1.0).abs() < 0.02, "{spread:?}: {mean}");
        }
    }
}
