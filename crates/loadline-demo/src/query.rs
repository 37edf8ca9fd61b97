//! Parameters of a query: numbers within a range, or the reason why not. Pure.
//!
//! What is no number is a mistake in the request's form (422); what lies outside of its range is a request that cannot be
//! met (400). The last of several values counts.

use std::ops::RangeInclusive;

use hyper::{Response, StatusCode};

use crate::reply::{Body, detail};

/// Why a parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It cannot be read.
    Unreadable(String),
    /// It is outside of its range.
    OutOfRange(String),
}

impl Refused {
    /// As an answer.
    pub(crate) fn response(&self) -> Response<Body> {
        match self {
            Self::Unreadable(why) => detail(StatusCode::UNPROCESSABLE_ENTITY, why),
            Self::OutOfRange(why) => detail(StatusCode::BAD_REQUEST, why),
        }
    }
}

/// A request's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Of what follows the `?`.
    pub(crate) fn new(query: Option<&'a str>) -> Self {
        Self(query.unwrap_or_default())
    }

    /// The text of `name`, as it is written.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.rev().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The whole number `name`, if it is there.
    pub(crate) fn count(
        &self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Refused> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refused::Unreadable(format!("{name} must be a whole number")));
        }
        // What has too many digits for a number is outside of every range.
        let number =
            digits.parse().ok().filter(|number| (sign.is_empty() || *number == 0) && range.contains(number));
        number.map(Some).ok_or_else(|| {
            Refused::OutOfRange(format!("{name} must be between {} and {}", range.start(), range.end()))
        })
    }

    /// The share `name`, from 0 to 1, if it is there.
    pub(crate) fn share(&self, name: &'static str) -> Result<Option<f64>, Refused> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // `f64` also reads `nan`, which is no number and within no range.
        match text.parse::<f64>() {
            Ok(share) if !share.is_nan() => (0.0..=1.0)
                .contains(&share)
                .then_some(Some(share))
                .ok_or_else(|| Refused::OutOfRange(format!("{name} must be between 0 and 1"))),
            _ => Err(Refused::Unreadable(format!("{name} must be a number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_within_their_range() {
        let query = Query::new(Some("ms=50&fail_rate=0.25&empty&ms=60&far=99999999999999&under=-1&zero=-0"));
        assert_eq!(query.count("ms", 1..=5000), Ok(Some(60)));
        assert_eq!(query.share("fail_rate"), Ok(Some(0.25)));
        assert_eq!(query.count("none", 1..=5), Ok(None));
        assert_eq!(query.count("zero", 0..=5), Ok(Some(0)));
        for name in ["far", "under"] {
            assert!(matches!(query.count(name, 0..=5000), Err(Refused::OutOfRange(_))), "{name}");
        }
        assert!(matches!(query.count("empty", 0..=5), Err(Refused::Unreadable(_))));
    }

    #[test]
    fn what_is_no_number_is_told_apart_from_what_is_out_of_range() {
        for (value, unreadable) in [
            ("nan", true),
            ("-nan", true),
            ("NaN", true),
            ("x", true),
            ("", true),
            ("inf", false),
            ("-0.1", false),
            ("1.01", false),
        ] {
            let text = format!("fail_rate={value}");
            let refused = Query::new(Some(&text)).share("fail_rate").unwrap_err();
            assert_eq!(matches!(refused, Refused::Unreadable(_)), unreadable, "{value}");
        }
    }
}
