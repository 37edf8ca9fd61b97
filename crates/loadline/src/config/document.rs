//! A configuration file as a tree of names and values, each with its place.
//!
//! TOML and JSON become the same tree, so that everything after this module is written once. serde's own data model would lose
//! the places on the way; TOML's come from the parser's spans, JSON's from where serde_json's raw values lie in the text.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::value::Raw;

/// Deepest object in JSON that is looked into. Settings need two levels; beyond this an object is a value nobody takes. (The TOML
/// parser has a bound of its own.)
const MAX_DEPTH: usize = 8;

/// One `name = value`, or one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The name alone, without its table's.
    pub(super) name: String,
    /// Where the name stands, in bytes from the start.
    pub(super) name_at: usize,
    /// Where the value stands, in bytes from the start.
    pub(super) value_at: usize,
    /// What the name stands for.
    pub(super) item: Item,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// More names, in the order of their places.
    Table(Vec<Node>),
    /// A value.
    Value(Raw),
}

/// Text that is not TOML or not JSON.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    /// Where, in bytes from the start.
    pub(super) at: usize,
    /// What is wrong, one line.
    pub(super) message: String,
}

/// Reads a TOML document.
///
/// # Errors
/// Every syntax error of the text; never empty.
pub(super) fn parse_toml(text: &str) -> Result<Vec<Node>, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(toml_table(table.get_ref()));
    }
    Err(errors
        .iter()
        .map(|error| SyntaxError {
            at: error.span().map_or(0, |span| span.start),
            message: one_line(error.message()),
        })
        .collect())
}

/// Reads a JSON document of the same shape.
///
/// # Errors
/// The first syntax error of the text.
pub(super) fn parse_json(text: &str) -> Result<Vec<Node>, Vec<SyntaxError>> {
    // Editors on Windows put a byte order mark first. The TOML parser skips it itself.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut source = serde_json::Deserializer::from_str(body);
    source
        .deserialize_map(JsonObject { document: text, depth: 0 })
        .and_then(|nodes| source.end().map(|()| nodes))
        .map_err(|error| {
            vec![SyntaxError {
                at: text.len() - body.len() + byte_offset(body, error.line(), error.column()),
                message: json_message(&error),
            }]
        })
}

/// Reads one value as TOML or JSON writes it, for where a setting is given outside of a file.
///
/// # Errors
/// The first syntax error, of the notation in which more of the text makes sense.
pub(super) fn parse_inline(text: &str) -> Result<Raw, SyntaxError> {
    let toml = parse_inline_toml(text);
    match (toml, parse_inline_json(text)) {
        (Ok(raw), _) | (Err(_), Ok(raw)) => Ok(raw),
        (Err(toml), Err(json)) => Err(if json.at > toml.at { json } else { toml }),
    }
}

/// Line and column in characters, both from 1, of a byte offset.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn parse_inline_toml(text: &str) -> Result<Raw, SyntaxError> {
    DeValue::parse(text).map(|value| toml_value(value.get_ref(), value.span().start)).map_err(|error| {
        SyntaxError { at: error.span().map_or(0, |span| span.start), message: one_line(error.message()) }
    })
}

fn parse_inline_json(text: &str) -> Result<Raw, SyntaxError> {
    let document = JsonObject { document: text, depth: 0 };
    serde_json::from_str::<&RawValue>(text).and_then(|value| document.value(value.get())).map_err(|error| {
        SyntaxError { at: byte_offset(text, error.line(), error.column()), message: json_message(&error) }
    })
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

fn toml_table(table: &DeTable<'_>) -> Vec<Node> {
    let mut nodes: Vec<_> = table
        .iter()
        .map(|(name, value)| Node {
            name: name.get_ref().to_string(),
            name_at: name.span().start,
            value_at: value.span().start,
            item: match value.get_ref() {
                DeValue::Table(table) => Item::Table(toml_table(table)),
                inner => Item::Value(toml_value(inner, value.span().start)),
            },
        })
        .collect();
    nodes.sort_by_key(|node| node.name_at);
    nodes
}

fn toml_value(value: &DeValue<'_>, at: usize) -> Raw {
    match value {
        DeValue::String(text) => Raw::String(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Raw::Float(number.as_str().parse().unwrap_or(f64::INFINITY)), Raw::Integer),
        DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other("a number"), Raw::Float),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => {
            Raw::List(items.iter().map(|item| toml_value(item.get_ref(), item.span().start)).collect())
        }
        DeValue::Table(table) => Raw::Table { at, entries: toml_table(table) },
    }
}

/// Reads a JSON object; names and values are slices of `document`, so that their addresses tell their places.
#[derive(Clone, Copy)]
struct JsonObject<'d> {
    document: &'d str,
    depth: usize,
}

impl JsonObject<'_> {
    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr().saturating_sub(self.document.as_ptr().addr())
    }

    /// The value that `text` spells. It is a slice of the document, and its syntax was checked when it was taken from there.
    fn value(&self, text: &str) -> serde_json::Result<Raw> {
        let inside = Self { document: self.document, depth: self.depth + 1 };
        Ok(match text.as_bytes() {
            [b'{' | b'[', ..] if self.depth >= MAX_DEPTH => Raw::Other("something deeply nested"),
            [b'{', ..] => Raw::Table {
                at: self.offset(text),
                entries: serde_json::Deserializer::from_str(text).deserialize_map(inside)?,
            },
            [b'[', ..] => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Raw::List(items.iter().map(|item| inside.value(item.get())).collect::<Result<_, _>>()?)
            }
            _ => json_scalar(text),
        })
    }
}

impl<'d> Visitor<'d> for JsonObject<'d> {
    type Value = Vec<Node>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut entries: A) -> Result<Vec<Node>, A::Error> {
        let mut nodes = Vec::new();
        while let Some((name, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            let text = value.get();
            let item = match self.value(text).map_err(serde::de::Error::custom)? {
                Raw::Table { entries, .. } => Item::Table(entries),
                value => Item::Value(value),
            };
            nodes.push(Node {
                name: serde_json::from_str(name.get()).map_err(serde::de::Error::custom)?,
                name_at: self.offset(name.get()),
                value_at: self.offset(text),
                item,
            });
        }
        Ok(nodes)
    }
}

/// A JSON value that holds no others.
fn json_scalar(text: &str) -> Raw {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::String(text)) => Raw::String(text),
        Ok(serde_json::Value::Bool(value)) => Raw::Boolean(value),
        Ok(serde_json::Value::Number(_)) => match text.parse() {
            Ok(number) => Raw::Integer(number),
            Err(_) => text.parse().map_or(Raw::Other("a number"), Raw::Float),
        },
        Ok(serde_json::Value::Null) => Raw::Other("null"),
        Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => {
            Raw::Other("nothing known")
        }
    }
}

/// serde_json's message without its own "at line … column …", which the place already says.
fn json_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned()
}

/// serde_json counts lines from 1 and columns in bytes; its column is the last byte read.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same settings in both notations.
    const TOML: &str = "listen = [\"a\", \"b\"]\n[queue]\n  depth = 3.0\nhttp2 = true\n";
    const JSON: &str = "{\"listen\": [\"a\", \"b\"],\n \"queue\": {\n  \"depth\": 3.0, \"http2\": true}}";

    fn shape(nodes: &[Node]) -> Vec<(String, Option<Raw>)> {
        let each = nodes.iter().flat_map(|node| match &node.item {
            Item::Table(inner) => {
                let mut all = vec![(node.name.clone(), None)];
                all.extend(shape(inner));
                all
            }
            Item::Value(raw) => vec![(node.name.clone(), Some(raw.clone()))],
        });
        each.collect()
    }

    #[test]
    fn both_notations_give_the_same_tree() {
        assert_eq!(shape(&parse_toml(TOML).unwrap()), shape(&parse_json(JSON).unwrap()));
    }

    #[test]
    fn every_name_and_value_knows_its_place() {
        for (text, nodes) in [(TOML, parse_toml(TOML).unwrap()), (JSON, parse_json(JSON).unwrap())] {
            let Item::Table(queue) = &nodes[1].item else { panic!("queue is a table") };
            let depth = &queue[0];
            assert!(text[depth.name_at..].trim_start_matches('"').starts_with("depth"), "{text}");
            assert!(text[depth.value_at..].starts_with("3.0"), "{text}");
            assert_eq!(line_and_column(text, depth.name_at), (3, 3), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let toml = parse_toml("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(line_and_column("a = 1\nb = = 2\n", toml[0].at).0, 2, "{toml:?}");
        let text = "{\"a\": 1,\n \"b\": x}";
        let json = parse_json(text).unwrap_err();
        assert_eq!((line_and_column(text, json[0].at), json[0].message.as_str()), ((2, 7), "expected value"));
        assert!(parse_json("[1]").is_err() && parse_json("{} {}").is_err() && parse_json("").is_err());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let (toml, json) = (format!("\u{feff}{TOML}"), format!("\u{feff}{JSON}"));
        assert_eq!(shape(&parse_toml(&toml).unwrap()), shape(&parse_json(&json).unwrap()));
        let broken = "\u{feff}{\n \"a\": x}";
        assert_eq!(line_and_column(broken, parse_json(broken).unwrap_err()[0].at).0, 2);
    }

    #[test]
    fn depth_costs_no_stack() {
        let (deep, end) = ("{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(parse_json(&format!("{deep}1{end}")).map(|nodes| nodes.len()), Ok(1));
        assert!(parse_toml(&format!("{}a = 1", "a.".repeat(100_000))).is_err());
    }

    #[test]
    fn huge_numbers_are_values_too() {
        let huge = "9".repeat(60);
        for nodes in [parse_toml(&format!("a = {huge}")), parse_json(&format!("{{\"a\": {huge}}}"))]
            .into_iter()
            .flatten()
        {
            assert!(matches!(nodes[0].item, Item::Value(Raw::Float(_))), "{nodes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\"'=:,.a-c0-9é\n -]{0,60}") {
            for errors in [parse_toml(&text).err(), parse_json(&text).err()].into_iter().flatten() {
                for error in errors {
                    line_and_column(&text, error.at);
                }
            }
        }
    }
}
