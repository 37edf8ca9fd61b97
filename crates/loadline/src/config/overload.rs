//! The kinds of settings below `[overload]`.

use hyper::header::HeaderName;
use serde_json::{Value as Json, json};

use super::priority::TOKEN;
use super::value::{Codec, Raw, quoted};

/// The name of a header, kept in lower case.
pub(super) struct FieldName;

impl Codec for FieldName {
    type Target = String;

    fn parse(&self, raw: &Raw) -> Result<String, String> {
        let name = raw.text().and_then(|text| HeaderName::from_bytes(text.as_bytes()).ok());
        name.map(|name| name.as_str().to_owned()).ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &String) -> String {
        quoted(value)
    }

    fn accepts(&self) -> String {
        "the name of a header".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": TOKEN })
    }
}

/// The name of a number in a load report.
pub(super) struct MetricName;

impl Codec for MetricName {
    type Target = String;

    fn parse(&self, raw: &Raw) -> Result<String, String> {
        // What separates names in a report cannot be in one.
        let is_name = |text: &&str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",=\"\\{}".contains(&byte))
        };
        raw.text()
            .filter(is_name)
            .map(str::to_owned)
            .ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &String) -> String {
        quoted(value)
    }

    fn accepts(&self) -> String {
        "the name of a metric (such as named_metrics.queue)".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
