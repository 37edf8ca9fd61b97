//! The kinds of settings below `[trace]`.

use hyper::Uri;
use serde_json::{Value as Json, json};

use super::value::{Codec, Raw, quoted};

/// The URL of a collector.
pub(super) struct Collector;

impl Codec for Collector {
    type Target = Uri;

    fn parse(&self, raw: &Raw) -> Result<Uri, String> {
        let url = raw.text().and_then(|text| text.parse::<Uri>().ok());
        let usable = |url: &Uri| {
            let user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
            url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty()) && !user
        };
        url.filter(usable).ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &Uri) -> String {
        quoted(&value.to_string())
    }

    fn accepts(&self) -> String {
        "the address of a collector (such as \"http://127.0.0.1:4318\"; TLS is not available yet)".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^http://[^/@]+" })
    }
}

/// A number from 0 to 1.
pub(super) struct Ratio;

impl Codec for Ratio {
    type Target = f64;

    fn parse(&self, raw: &Raw) -> Result<f64, String> {
        let number = match raw {
            Raw::Float(number) => Some(*number),
            Raw::Integer(0) => Some(0.0),
            Raw::Integer(1) => Some(1.0),
            Raw::Untyped(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (0.0..=1.0).contains(number))
            .ok_or_else(|| format!("{raw} is not {} (try 0.01)", self.accepts()))
    }

    fn literal(&self, value: &f64) -> String {
        format!("{value:?}")
    }

    fn accepts(&self) -> String {
        "a number from 0 to 1".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}
