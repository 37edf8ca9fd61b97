//! The list of headers below `[deadline]`.

use loadline_http::deadline::{DeadlineSettings, HeaderKind};
use serde_json::{Value as Json, json};

use super::address::list_literal;
use super::error::closest;
use super::value::{Codec, Raw, did_you_mean};

/// A list of known deadline and age headers.
///
/// Only known ones: a header of another name would need to say which of the grammars its values follow.
pub(super) struct Headers;

impl Codec for Headers {
    type Target = Vec<(String, HeaderKind)>;

    fn parse(&self, raw: &Raw) -> Result<Self::Target, String> {
        let names = match raw {
            // No text at all would be a list of one empty name.
            Raw::Untyped(text) if text.is_empty() || text == "off" => Vec::new(),
            _ => raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?,
        };
        let mut headers: Self::Target = Vec::new();
        for text in names {
            let name = text.to_ascii_lowercase();
            let kind = HeaderKind::known(&name).ok_or_else(|| {
                let known = known();
                let hint = closest(&name, known.iter().map(String::as_str)).map(did_you_mean);
                let hint = hint.unwrap_or_else(|| format!("; there are {}", known.join(", ")));
                format!("{text:?} is not a known deadline header{hint}")
            })?;
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(format!("{text:?} is given twice"));
            }
            headers.push((name, kind));
        }
        Ok(headers)
    }

    fn literal(&self, value: &Self::Target) -> String {
        list_literal(value.iter().map(|(name, _)| name.as_str()))
    }

    fn accepts(&self) -> String {
        "a list of deadline headers (outside of a file, \"off\" is the empty list)".to_owned()
    }

    fn schema(&self) -> Json {
        let one = json!({ "type": "string", "minLength": 1 });
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// All names, in lower case.
fn known() -> Vec<String> {
    DeadlineSettings::default().headers.into_iter().map(|(name, _)| name).collect()
}
