//! The kinds of settings of upstreams that no other setting has.

use serde_json::{Value as Json, json};

use super::address::{list_literal, parse_upstream};
use super::codecs::whole;
use super::error::Mistakes;
use super::key::Field;
use super::settings::{Settings, Upstream, Upstreams};
use super::value::{Codec, Raw, quoted};

/// `upstream`: one place or several; a name without a port takes the listener's.
pub(super) struct UpstreamField;

impl Field for UpstreamField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        let texts = raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        let port = settings.listen.first().map_or(0, std::net::SocketAddr::port);
        let targets = texts.iter().map(|text| parse_upstream(text, port)).collect::<Result<Vec<_>, _>>()?;
        let repeated = targets.iter().enumerate().find(|(at, target)| targets[..*at].contains(target));
        if let Some((_, target)) = repeated {
            return Err(format!("{:?} is given twice", target.to_string()).into());
        }
        settings.upstream = Upstreams::new(targets)
            .ok_or_else(|| "an empty list sends requests nowhere (try \"app:8080\")".to_owned())?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let texts: Vec<_> = settings.upstream.targets().iter().map(Upstream::to_string).collect();
        match texts.as_slice() {
            _ if settings.upstream.is_demo() => String::new(),
            [one] => quoted(one),
            several => list_literal(several.iter().map(String::as_str)),
        }
    }

    fn accepts(&self) -> String {
        "an address (such as \"app:8080\") or a list of addresses".to_owned()
    }

    fn schema(&self) -> Json {
        let address = json!({ "type": "string", "minLength": 1 });
        json!({ "anyOf": [address, { "type": "array", "items": address, "minItems": 1 }] })
    }
}

/// A list of status codes that are failures of a server, or of a client if one insists.
pub(super) struct Statuses;

impl Codec for Statuses {
    type Target = Vec<u16>;

    fn parse(&self, raw: &Raw) -> Result<Vec<u16>, String> {
        let status =
            |item: &Raw| whole(400, 599).parse(item).ok().and_then(|status| u16::try_from(status).ok());
        let statuses: Option<Vec<u16>> = raw.elements().iter().map(status).collect();
        statuses.ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &Vec<u16>) -> String {
        format!("{value:?}")
    }

    fn accepts(&self) -> String {
        "a list of status codes from 400 to 599".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": { "type": "integer", "minimum": 400, "maximum": 599 } })
    }
}

/// An address with a port.
pub(super) struct Address;

impl Codec for Address {
    type Target = std::net::SocketAddr;

    fn parse(&self, raw: &Raw) -> Result<Self::Target, String> {
        let address = raw.text().and_then(|text| text.parse().ok());
        address.ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &Self::Target) -> String {
        quoted(&value.to_string())
    }

    fn accepts(&self) -> String {
        "an address with port (such as \"10.0.0.2:53\")".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A path that is asked for as it stands, query included.
pub(super) struct RequestPath;

impl Codec for RequestPath {
    type Target = String;

    fn parse(&self, raw: &Raw) -> Result<String, String> {
        let path = raw
            .text()
            .filter(|text| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()));
        path.map(str::to_owned).ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &String) -> String {
        quoted(value)
    }

    fn accepts(&self) -> String {
        "a path (such as \"/healthz\")".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
