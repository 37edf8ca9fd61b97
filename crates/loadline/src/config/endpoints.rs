//! The three settings that name an endpoint: where we listen, where requests go, where the operator asks.
//!
//! The first two read more than their own text. A bare port changes the port of the addresses that a lower layer set, so that
//! `PORT=9000` never opens what a file had closed; an upstream without a port takes the listener's, as Spillway has it.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::address::{Bind, list_literal, parse_bind, parse_upstream, strings_schema};
use super::error::Mistakes;
use super::key::Field;
use super::settings::{Settings, Upstream};
use super::value::{Codec, Raw, quoted};

/// `listen`: a bare port changes the port of the addresses that are already there.
pub(super) struct ListenField;

impl Field for ListenField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        let number = raw.integer().map(|number| number.to_string());
        let texts = match &number {
            Some(number) => vec![number.as_str()],
            None => raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?,
        };
        let mut listen = Vec::new();
        for text in &texts {
            match parse_bind(text)? {
                Bind::Port(port) if texts.len() == 1 => {
                    listen.clone_from(&settings.listen);
                    listen.iter_mut().for_each(|address| address.set_port(port));
                }
                Bind::Port(_) => {
                    return Err(
                        format!("{text:?} needs an address beside others (try \"0.0.0.0:{text}\")").into()
                    );
                }
                Bind::Address(address) if listen.contains(&address) => {
                    return Err(format!("{text:?} is given twice").into());
                }
                Bind::Address(address) => listen.push(address),
            }
        }
        if listen.is_empty() {
            return Err("an empty list would accept no clients".to_owned().into());
        }
        settings.listen = listen;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let texts: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
        match texts.as_slice() {
            [one] => quoted(one),
            several => list_literal(several.iter().map(String::as_str)),
        }
    }

    fn accepts(&self) -> String {
        "an address with port, a port, or a list of addresses".to_owned()
    }

    fn schema(&self) -> Json {
        let mut schema = strings_schema("^[0-9a-fA-F.:\\[\\]]+$");
        if let Some(forms) = schema["anyOf"].as_array_mut() {
            forms.push(json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }));
        }
        schema
    }
}

/// `upstream`: a name without a port takes the listener's.
pub(super) struct UpstreamField;

impl Field for UpstreamField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        if matches!(raw, Raw::List(_)) {
            return Err("a list of upstreams is not available yet in this version; give one"
                .to_owned()
                .into());
        }
        let text = raw.text().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        let port = settings.listen.first().map_or(0, SocketAddr::port);
        settings.upstream = parse_upstream(text, port)?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        match &settings.upstream {
            Upstream::Demo => String::new(),
            upstream => quoted(&upstream.to_string()),
        }
    }

    fn accepts(&self) -> String {
        "an address (such as \"app:8080\")".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// `off`, or the address of the admin listener.
pub(super) struct AdminListen;

impl Codec for AdminListen {
    type Target = Option<SocketAddr>;

    fn parse(&self, raw: &Raw) -> Result<Option<SocketAddr>, String> {
        let wrong = || format!("{raw} is not {}", self.accepts());
        let text = raw.text().ok_or_else(wrong)?;
        if text == "off" {
            return Ok(None);
        }
        match parse_bind(text) {
            Ok(Bind::Address(address)) => Ok(Some(address)),
            Ok(Bind::Port(_)) | Err(_) => Err(wrong()),
        }
    }

    fn literal(&self, value: &Option<SocketAddr>) -> String {
        value.map_or_else(|| quoted("off"), |address| quoted(&address.to_string()))
    }

    fn accepts(&self) -> String {
        "an address with port (such as \"127.0.0.1:8001\") or \"off\"".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
