//! Sample expressions, `%[fetch(arguments),converter(arguments),…]`.
//!
//! HAProxy has hundreds; where Spillway puts the format, HAProxy refuses all that need live headers. This is the
//! part of the rest that makes sense in a log line, plus what loadline adds: headers, and the admission decision.

mod fetch;
mod scanner;

use std::borrow::Cow;
use std::net::IpAddr;

use super::alias::{push_ip, string};
use super::format::{Flags, Needs};
use super::record::Record;
use crate::date::{self, Zone};
use crate::escape::Encoding;
use fetch::Fetch;
use scanner::Scanner;

const CONVERTERS: &str = "lower, upper, ltime, utime";

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    fetch: Fetch,
    converters: Vec<Converter>,
}

/// Where the expression is wrong (offset and length within it), and what would do instead.
pub(crate) type Problem = (usize, usize, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Converter {
    Lower,
    Upper,
    Time { pattern: String, offset: i64, zone: Zone },
}

/// A value on its way through the converters.
enum Value<'a> {
    None,
    Number(i64),
    Address(IpAddr),
    Trusted(Cow<'a, [u8]>),
    /// A peer chose these bytes.
    Peer(Cow<'a, [u8]>),
    Header(Cow<'a, [u8]>),
}

impl Sample {
    /// Parses an expression from the start of `text`; returns it and its length. The caller checks what follows.
    pub(crate) fn parse(text: &[u8]) -> Result<(Self, usize), Problem> {
        let mut scanner = Scanner { text, at: 0 };
        let (start, name) = scanner.word();
        let arguments = scanner.arguments()?;
        let fetch = Fetch::new(&name, &arguments).map_err(|why| (start, name.len(), why))?;
        let mut converters = Vec::new();
        while scanner.take(b',') {
            let (start, name) = scanner.word();
            let arguments = scanner.arguments()?;
            converters.push(Converter::new(&name, &arguments).map_err(|why| (start, name.len(), why))?);
        }
        Ok((Self { fetch, converters }, scanner.at))
    }

    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        let (list, name) = match &self.fetch {
            Fetch::RequestHeader(name) => (&mut needs.request_headers, name),
            Fetch::ResponseHeader(name) => (&mut needs.response_headers, name),
            _ => return,
        };
        if !list.contains(name) {
            list.push(name.clone());
        }
    }

    pub(crate) fn render(&self, flags: Flags, record: &Record<'_>, out: &mut Vec<u8>) {
        let mut value = self.fetch.value(record);
        for converter in &self.converters {
            value = converter.apply(value);
        }
        match value {
            Value::None => string(out, flags, Encoding::Trusted, b""),
            Value::Number(number) => {
                string(out, flags, Encoding::Trusted, itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Address(ip) => string(out, flags, Encoding::Trusted, &ip_text(ip)),
            Value::Trusted(text) => string(out, flags, Encoding::Trusted, &text),
            Value::Peer(text) => string(out, flags, Encoding::Url, &text),
            Value::Header(text) => string(out, flags, Encoding::Header, &text),
        }
    }
}

impl Converter {
    fn new(name: &str, arguments: &[String]) -> Result<Self, String> {
        match (name, arguments) {
            ("lower", []) => Ok(Self::Lower),
            ("upper", []) => Ok(Self::Upper),
            ("ltime" | "utime", [pattern, rest @ ..]) if rest.len() <= 1 => {
                let offset = rest.first().map_or(Ok(0), |offset| integer(offset))?;
                if date::strftime(0, pattern, Zone::Utc).is_none() {
                    return Err("the pattern is no `strftime` format, such as `%Y-%m-%d`".to_owned());
                }
                let zone = if name == "ltime" { Zone::Local } else { Zone::Utc };
                Ok(Self::Time { pattern: pattern.clone(), offset, zone })
            }
            ("lower" | "upper" | "ltime" | "utime", _) => {
                Err("wrong number of arguments; write `lower`, `upper`, `ltime(pattern)` or `utime(pattern)`"
                    .to_owned())
            }
            _ => Err(format!("no such converter; known are {CONVERTERS}")),
        }
    }

    fn apply<'a>(&self, value: Value<'a>) -> Value<'a> {
        match self {
            Self::Lower => value.map_text(<[u8]>::make_ascii_lowercase),
            Self::Upper => value.map_text(<[u8]>::make_ascii_uppercase),
            Self::Time { pattern, offset, zone } => value
                .number()
                .and_then(|seconds| date::strftime(seconds.saturating_add(*offset), pattern, *zone))
                .map_or(Value::None, |text| Value::Trusted(Cow::Owned(text.into_bytes()))),
        }
    }
}

impl Value<'_> {
    fn map_text(self, change: impl FnOnce(&mut [u8])) -> Self {
        let changed = |text: Cow<'_, [u8]>| {
            let mut text = text.into_owned();
            change(&mut text);
            Cow::Owned(text)
        };
        match self {
            Self::Trusted(text) => Self::Trusted(changed(text)),
            Self::Peer(text) => Self::Peer(changed(text)),
            Self::Header(text) => Self::Header(changed(text)),
            Self::Address(ip) => Self::Trusted(changed(Cow::Owned(ip_text(ip)))),
            Self::None | Self::Number(_) => self,
        }
    }

    /// As a number, as HAProxy casts: text that is none counts as 0, an IPv4 address as its 32 bits.
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Trusted(text) | Self::Peer(text) | Self::Header(text) => {
                Some(std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0))
            }
            Self::Address(IpAddr::V4(v4)) => Some(i64::from(u32::from(*v4))),
            Self::None | Self::Address(IpAddr::V6(_)) => None,
        }
    }
}

fn ip_text(ip: IpAddr) -> Vec<u8> {
    let mut text = Vec::with_capacity(40);
    push_ip(&mut text, ip);
    text
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{}` is no integer", text.escape_debug()))
}
