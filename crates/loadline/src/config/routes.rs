//! `[[route]]`: a list of tables, each with a name, paths, and what holds for them.

use std::num::NonZeroU32;
use std::time::Duration;

use loadline_core::Class;
use loadline_http::classify::{Condition, Rule, RuleError, Rules};
use serde_json::{Value as Json, json};

use super::class_rules::{parse_class, path};
use super::codecs::{Span, positive};
use super::error::{Mistake, Mistakes};
use super::key::Field;
use super::settings::{Cost, Route, Settings, is_route_name};
use super::tables::{Entry, Kind};
use super::value::{Codec as _, Raw, quoted};

const ROUTES: Kind = Kind {
    one: "route",
    example: "{name=\"search\",path=\"/search/**\"}",
    names: &["name", "path", "method", "concurrency", "cost", "class", "timeout"],
};

/// Every request may be compared with all of them; who has more wants a rule about paths, not a list.
const MOST_ROUTES: usize = 1_000;

/// The list of routes.
pub(super) struct RoutesField {
    /// Largest number of slots.
    pub(super) most: u32,
    /// Bounds of the timeout.
    pub(super) timeout: (Duration, Duration),
}

impl Field for RoutesField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        let mut seen: Vec<String> = Vec::new();
        let routes = ROUTES.read(raw, |at, entries| {
            let route = self.route(at, entries)?;
            if seen.contains(&route.name) {
                let message = format!("two routes have the name {:?}", route.name);
                return Err(Mistake { at: Some(at), message });
            }
            seen.push(route.name.clone());
            Ok(route)
        })?;
        if routes.len() > MOST_ROUTES {
            return Err(format!("{} routes are more than {MOST_ROUTES}", routes.len()).into());
        }
        settings.route = routes;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let routes: Vec<_> = settings.route.iter().map(|route| self.literal_of(route)).collect();
        format!("[{}]", routes.join(", "))
    }

    fn accepts(&self) -> String {
        ROUTES.accepts()
    }

    fn schema(&self) -> Json {
        let text = json!({ "type": "string", "minLength": 1 });
        let texts = json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] });
        json!({ "type": "array", "maxItems": MOST_ROUTES, "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "path"],
            "properties": {
                "name": text,
                "path": texts,
                "method": texts,
                "concurrency": positive(self.most).schema(),
                "cost": { "anyOf": [{ "const": "learned" }, positive(self.most).schema()] },
                "class": { "enum": Class::ALL.map(Class::as_str) },
                "timeout": self.span().schema(),
            },
        } })
    }
}

impl RoutesField {
    fn span(&self) -> Span {
        Span { min: self.timeout.0, max: self.timeout.1 }
    }

    /// Reads the table that begins at `at`.
    fn route(&self, at: usize, entries: &[Entry<'_>]) -> Result<Route, Mistake> {
        let mut name = None;
        let mut route = Route {
            name: String::new(),
            paths: Vec::new(),
            methods: Vec::new(),
            concurrency: None,
            cost: Cost::Learned,
            class: None,
            timeout: None,
        };
        for entry in entries {
            let wrong = |message: String| entry.wrong(message);
            match entry.name {
                "name" => name = Some(read_name(entry)?),
                "path" => {
                    for text in texts(entry)? {
                        route.paths.push(path(&text, entry.at)?);
                    }
                }
                "method" => {
                    for text in texts(entry)? {
                        route.methods.push(method(&text).map_err(wrong)?);
                    }
                }
                "concurrency" => {
                    route.concurrency = Some(positive(self.most).parse(entry.raw).map_err(wrong)?);
                }
                "cost" => route.cost = self.cost(entry.raw).map_err(wrong)?,
                "class" => route.class = Some(parse_class(text(entry)?).map_err(wrong)?),
                _ => route.timeout = Some(self.span().parse(entry.raw).map_err(wrong)?),
            }
        }
        let incomplete = |message: &str| Mistake { at: Some(at), message: message.to_owned() };
        route.name = name.ok_or_else(|| incomplete("a route needs a name (such as name=\"search\")"))?;
        if route.paths.is_empty() {
            return Err(incomplete("a route needs a path (such as path=\"/search/**\")"));
        }
        Ok(route)
    }

    fn cost(&self, raw: &Raw) -> Result<Cost, String> {
        if raw.text() == Some("learned") {
            return Ok(Cost::Learned);
        }
        let slots: Result<NonZeroU32, _> = positive(self.most).parse(raw);
        slots.map(Cost::Slots).map_err(|error| format!("{error} or \"learned\""))
    }

    fn literal_of(&self, route: &Route) -> String {
        let list = |texts: Vec<&str>| match texts[..] {
            [only] => quoted(only),
            _ => super::address::list_literal(texts.into_iter()),
        };
        let paths = route.paths.iter().map(|path| path.as_str()).collect();
        let mut text = format!("{{ name = {}, path = {}", quoted(&route.name), list(paths));
        if !route.methods.is_empty() {
            text += &format!(", method = {}", list(route.methods.iter().map(String::as_str).collect()));
        }
        if let Some(concurrency) = route.concurrency {
            text += &format!(", concurrency = {concurrency}");
        }
        if let Cost::Slots(slots) = route.cost {
            text += &format!(", cost = {slots}");
        }
        if let Some(class) = route.class {
            text += &format!(", class = {}", quoted(class.as_str()));
        }
        if let Some(timeout) = route.timeout {
            text += &format!(", timeout = {}", self.span().literal(&timeout));
        }
        text + " }"
    }
}

fn read_name(entry: &Entry<'_>) -> Result<String, Mistake> {
    let name = text(entry)?;
    if is_route_name(name) {
        return Ok(name.to_owned());
    }
    Err(entry.wrong(format_args!(
        "{name:?} is not a name of at most 64 letters, digits, `_`, `-` and `.` (and other than other and healthcheck)"
    )))
}

fn method(name: &str) -> Result<String, String> {
    // The class does not matter to the check.
    let alone = Rule { conditions: vec![Condition::Method(name.to_owned())], class: Class::Low };
    match Rules::new(vec![alone], Class::Normal) {
        Ok(_) => Ok(name.to_owned()),
        Err(RuleError { problem, .. }) => Err(RuleError { rule: None, problem }.to_string()),
    }
}

fn text<'a>(entry: &Entry<'a>) -> Result<&'a str, Mistake> {
    match entry.raw {
        Raw::String(text) => Ok(text),
        raw => Err(entry.wrong(format_args!("{raw} is not a string"))),
    }
}

/// One string or a list of them; at least one.
fn texts(entry: &Entry<'_>) -> Result<Vec<String>, Mistake> {
    let texts = entry.raw.strings().filter(|texts| !texts.is_empty());
    texts.ok_or_else(|| entry.wrong(format_args!("{} is not a string or a list of strings", entry.raw)))
}
