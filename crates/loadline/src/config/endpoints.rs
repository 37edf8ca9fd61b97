//! The two settings that name a listener: where clients connect, and where the operator asks.
//!
//! The first reads more than its own text. A bare port changes the port of the addresses that a lower layer set, so that
//! `PORT=9000` never opens what a file had closed.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::address::{Bind, list_literal, parse_bind, strings_schema};
use super::error::Mistakes;
use super::key::Field;
use super::settings::Settings;
use super::value::{Codec, Raw, quoted};

/// `listen`: a bare port changes the port of the addresses that are already there.
pub(super) struct ListenField;

impl Field for ListenField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        let number = raw.integer().map(|number| number.to_string());
        let texts = match number {
            Some(number) => vec![number],
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
