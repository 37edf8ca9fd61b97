//! The key of `[fairness]`.

use hyper::header::HeaderName;
use serde_json::{Value as Json, json};

use super::settings::FairnessKey;
use super::value::{Codec, Raw, quoted};

/// `off`, `client-ip` or `header:name`.
pub(super) struct Key;

impl Codec for Key {
    type Target = FairnessKey;

    fn parse(&self, raw: &Raw) -> Result<FairnessKey, String> {
        let key = match raw.text() {
            Some("off") => Some(FairnessKey::Off),
            Some("client-ip") => Some(FairnessKey::ClientIp),
            Some(text) => text
                .strip_prefix("header:")
                .and_then(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
                .map(|name| FairnessKey::Header(name.as_str().to_owned())),
            None => None,
        };
        key.ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &FairnessKey) -> String {
        quoted(&value.to_string())
    }

    fn accepts(&self) -> String {
        "\"off\", \"client-ip\" or \"header:\" and the name of a header".to_owned()
    }

    fn schema(&self) -> Json {
        // RFC 9110 section 5.6.2.
        json!({ "type": "string", "pattern": "^(off|client-ip|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let key = |text: &str| Key.parse(&Raw::Untyped(text.to_owned()));
        assert_eq!(key("off"), Ok(FairnessKey::Off));
        assert_eq!(key("client-ip"), Ok(FairnessKey::ClientIp));
        assert_eq!(key("header:X-Tenant"), Ok(FairnessKey::Header("x-tenant".to_owned())));
        for text in ["", "on", "ip", "header:", "header:a b", "X-Tenant", "Client-IP"] {
            let error = key(text).unwrap_err();
            assert!(error.ends_with("is not \"off\", \"client-ip\" or \"header:\" and the name of a header"));
        }
    }
}
