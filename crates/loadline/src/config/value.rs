//! One value: how a source wrote it ([`Raw`]), and what it takes to read and write it ([`Codec`]).
//!
//! A codec knows four things about its kind, side by side so that they cannot drift apart: how to read it, how to write it as
//! TOML, how to describe it to people, and how to describe it to machines (JSON Schema). Errors are the second half of a
//! sentence, `… is not a duration (try …)`; the caller puts the place and the setting's name before it.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;

use super::document::{Item, Node, parse_inline};

/// A value as its source wrote it, before anything is known about its meaning.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// Text without a type: a variable, a flag or an argument. `3`, `true` and `a,b` are read as the setting needs them.
    Untyped(String),
    /// A string in a file.
    String(String),
    /// A whole number in a file; numbers beyond 128 bits arrive as floats.
    Integer(i128),
    /// Any other number in a file.
    Float(f64),
    /// `true` or `false` in a file.
    Boolean(bool),
    /// An array in a file.
    List(Vec<Self>),
    /// A table within an array in a file.
    Table {
        /// Where it begins, in bytes from the start of the text.
        at: usize,
        /// Its names and values, in the order of their places.
        entries: Vec<Node>,
    },
    /// What no setting takes; says what it is (`a table`, `a date`, `null`).
    Other(&'static str),
}

impl Raw {
    /// The text of a string or an untyped value.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::String(text) => Some(text),
            Self::Integer(_)
            | Self::Float(_)
            | Self::Boolean(_)
            | Self::List(_)
            | Self::Table { .. }
            | Self::Other(_) => None,
        }
    }

    /// A whole number. `3.0` counts, because templating engines (Helm) render integers so.
    pub(super) fn integer(&self) -> Option<i128> {
        /// Above it neighbouring whole numbers share one float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Integer(number) => Some(*number),
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, so exact")]
            Self::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => Some(*number as i128),
            Self::Untyped(text) => text.strip_suffix(".0").unwrap_or(text).parse().ok(),
            Self::Float(_)
            | Self::String(_)
            | Self::Boolean(_)
            | Self::List(_)
            | Self::Table { .. }
            | Self::Other(_) => None,
        }
    }

    /// The elements of a list. Untyped text is separated by commas, or written as in a file, so that what `config` prints can be
    /// pasted; anything else is a list of one.
    pub(super) fn elements(&self) -> Cow<'_, [Self]> {
        match self {
            Self::List(items) => items.into(),
            Self::Untyped(text) => match parse_inline(text) {
                Ok(Self::List(items)) => items.into(),
                _ => text.split(',').map(|one| Self::Untyped(one.trim().to_owned())).collect(),
            },
            one => std::slice::from_ref(one).into(),
        }
    }

    /// The same for a list of strings; `None` if another kind of value is among them.
    pub(super) fn strings(&self) -> Option<Vec<String>> {
        match self {
            Self::Untyped(_) | Self::String(_) | Self::List(_) => {
                self.elements().iter().map(|item| item.text().map(str::to_owned)).collect()
            }
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) | Self::Table { .. } | Self::Other(_) => {
                None
            }
        }
    }

    /// The first control character in any string, with its position counted in characters from 1.
    pub(super) fn control_character(&self) -> Option<(char, usize)> {
        match self {
            Self::Untyped(text) | Self::String(text) => {
                text.chars().zip(1..).find(|(character, _)| character.is_control())
            }
            Self::List(items) => items.iter().find_map(Self::control_character),
            Self::Table { entries, .. } => entries.iter().find_map(|entry| match &entry.item {
                Item::Value(raw) => raw.control_character(),
                // Deeper tables are values that no setting takes.
                Item::Table(_) => None,
            }),
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Raw {
    /// As error messages quote it: numbers bare, strings in quotes and escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped(text) if self.integer().is_some() => f.write_str(text),
            Self::Untyped(text) | Self::String(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(_) => f.write_str("a list"),
            Self::Table { .. } => f.write_str("a table"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// How one kind of setting is read, written and described.
pub(super) trait Codec {
    /// What a good value becomes.
    type Target;

    /// Reads a value.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the setting's name.
    fn parse(&self, raw: &Raw) -> Result<Self::Target, String>;

    /// Writes a value as a TOML literal that parses back to it (a secret's does not); empty when there is no value.
    fn literal(&self, value: &Self::Target) -> String;

    /// What is accepted, for people: kind, unit and range.
    fn accepts(&self) -> String;

    /// What is accepted, for machines: a JSON Schema.
    fn schema(&self) -> Json;
}

/// `text` as a TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    // JSON's escapes are a subset of TOML's.
    Json::from(text).to_string()
}

/// `; did you mean …?`
pub(super) fn did_you_mean(candidate: &str) -> String {
    format!("; did you mean `{candidate}`?")
}
