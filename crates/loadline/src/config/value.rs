//! One value: how a source wrote it ([`Raw`]), and how each kind of setting reads and writes it ([`Codec`]).
//!
//! A codec knows four things about its kind, side by side so that they cannot drift apart: how to read it, how to write it as
//! TOML, how to describe it to people, and how to describe it to machines (JSON Schema). Errors are the second half of a
//! sentence, `… is not a duration (try …)`; the caller puts the place and the setting's name before it.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::settings::{RetryAfter, available_cores};
use super::units::{format_duration, format_size, parse_duration, parse_size};

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
    /// What no setting takes; says what it is (`a table`, `a date`, `null`).
    Other(&'static str),
}

impl Raw {
    /// The text of a string or an untyped value.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::String(text) => Some(text),
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) | Self::List(_) | Self::Other(_) => None,
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
            Self::Float(_) | Self::String(_) | Self::Boolean(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// The elements of a list of strings; untyped text is separated by commas, and one string is a list of one.
    pub(super) fn strings(&self) -> Option<Vec<&str>> {
        match self {
            Self::Untyped(text) => Some(text.split(',').map(str::trim).collect()),
            Self::String(text) => Some(vec![text]),
            Self::List(items) => items
                .iter()
                .map(|item| match item {
                    Self::String(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) | Self::Other(_) => None,
        }
    }

    /// The first control character in any string, with its position counted in characters from 1.
    pub(super) fn control_character(&self) -> Option<(char, usize)> {
        match self {
            Self::Untyped(text) | Self::String(text) => {
                text.chars().zip(1..).find(|(character, _)| character.is_control())
            }
            Self::List(items) => items.iter().find_map(Self::control_character),
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

    /// Writes a value as a TOML literal that parses back to it.
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

/// A whole number within a range, both ends included.
pub(super) struct Whole<T> {
    /// Smallest value.
    pub(super) min: u32,
    /// Largest value.
    pub(super) max: u32,
    /// Makes the target; the range guarantees that it exists.
    pub(super) make: fn(u32) -> Option<T>,
    /// The number of a target.
    pub(super) number: fn(&T) -> u32,
}

/// A whole number from `min` to `max`.
pub(super) fn whole(min: u32, max: u32) -> Whole<u32> {
    Whole { min, max, make: Some, number: |value| *value }
}

/// A whole number from 1 to `max`.
pub(super) fn positive(max: u32) -> Whole<NonZeroU32> {
    Whole { min: 1, max, make: NonZeroU32::new, number: |value| value.get() }
}

impl<T> Codec for Whole<T> {
    type Target = T;

    fn parse(&self, raw: &Raw) -> Result<T, String> {
        raw.integer()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (self.min..=self.max).contains(number))
            .and_then(self.make)
            .ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &T) -> String {
        (self.number)(value).to_string()
    }

    fn accepts(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }
}

/// The concurrency limit: a positive number, spelled out. `auto` will come; `unlimited` will not.
pub(super) struct Concurrency(pub Whole<NonZeroU32>);

impl Codec for Concurrency {
    type Target = NonZeroU32;

    fn parse(&self, raw: &Raw) -> Result<NonZeroU32, String> {
        match raw.text() {
            Some("auto") => {
                Err("auto is not available yet in this version; give a number, for example 3".to_owned())
            }
            _ => self.0.parse(raw).map_err(|error| format!("{error} (for example: 3)")),
        }
    }

    fn literal(&self, value: &NonZeroU32) -> String {
        self.0.literal(value)
    }

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn schema(&self) -> Json {
        self.0.schema()
    }
}

/// The number of worker threads, 0 for one per core.
pub(super) struct Workers {
    /// Largest value.
    pub(super) max: u32,
}

impl Codec for Workers {
    type Target = NonZeroUsize;

    fn parse(&self, raw: &Raw) -> Result<NonZeroUsize, String> {
        let number = whole(0, self.max).parse(raw)?;
        Ok(usize::try_from(number).ok().and_then(NonZeroUsize::new).unwrap_or_else(available_cores))
    }

    fn literal(&self, value: &NonZeroUsize) -> String {
        value.to_string()
    }

    fn accepts(&self) -> String {
        format!("{}; 0 means one per core", whole(0, self.max).accepts())
    }

    fn schema(&self) -> Json {
        whole(0, self.max).schema()
    }
}

/// A duration within a range, both ends included.
pub(super) struct Span {
    /// Shortest value.
    pub(super) min: Duration,
    /// Longest value.
    pub(super) max: Duration,
}

impl Codec for Span {
    type Target = Duration;

    fn parse(&self, raw: &Raw) -> Result<Duration, String> {
        let duration = match raw.integer() {
            Some(millis) => u64::try_from(millis).ok().map(Duration::from_millis),
            None => raw.text().and_then(parse_duration),
        };
        let duration =
            duration.ok_or_else(|| format!("{raw} is not a duration (try \"5s\", \"500ms\", 5000)"))?;
        if (self.min..=self.max).contains(&duration) {
            Ok(duration)
        } else {
            let (min, max) = (format_duration(self.min), format_duration(self.max));
            Err(format!("{raw} is out of range: {min} to {max}"))
        }
    }

    fn literal(&self, value: &Duration) -> String {
        quoted(&format_duration(*value))
    }

    fn accepts(&self) -> String {
        format!("a duration from {} to {}", format_duration(self.min), format_duration(self.max))
    }

    fn schema(&self) -> Json {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        json!({ "anyOf": [
            { "type": "integer", "minimum": millis(self.min), "maximum": millis(self.max) },
            { "type": "string", "pattern": "^[0-9]+(us|ms|s|m|h|d)?$" },
        ] })
    }
}

/// A duration of which 0 means "for ever", as Spillway reads `QUEUE_TIMEOUT=0`.
pub(super) struct Wait {
    /// Longest value.
    pub(super) max: Duration,
}

impl Wait {
    fn span(&self) -> Span {
        Span { min: Duration::ZERO, max: self.max }
    }
}

impl Codec for Wait {
    type Target = Option<Duration>;

    fn parse(&self, raw: &Raw) -> Result<Option<Duration>, String> {
        Ok(Some(self.span().parse(raw)?).filter(|duration| !duration.is_zero()))
    }

    fn literal(&self, value: &Option<Duration>) -> String {
        value.map_or_else(|| "0".to_owned(), |duration| self.span().literal(&duration))
    }

    fn accepts(&self) -> String {
        format!("{}; 0 means for ever", self.span().accepts())
    }

    fn schema(&self) -> Json {
        self.span().schema()
    }
}

/// A size in bytes within a range, both ends included.
pub(super) struct Size {
    /// Smallest value.
    pub(super) min: u64,
    /// Largest value.
    pub(super) max: u64,
}

impl Codec for Size {
    type Target = u64;

    fn parse(&self, raw: &Raw) -> Result<u64, String> {
        let bytes = match raw.integer() {
            Some(number) => u64::try_from(number).ok(),
            None => raw.text().and_then(parse_size),
        };
        let bytes = bytes.ok_or_else(|| format!("{raw} is not a size (try \"64KiB\", \"1MB\", 65536)"))?;
        if (self.min..=self.max).contains(&bytes) {
            Ok(bytes)
        } else {
            let (min, max) = (format_size(self.min), format_size(self.max));
            Err(format!("{raw} is out of range: {min} to {max}"))
        }
    }

    fn literal(&self, value: &u64) -> String {
        quoted(&format_size(*value))
    }

    fn accepts(&self) -> String {
        format!("a size from {} to {}", format_size(self.min), format_size(self.max))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": self.min, "maximum": self.max },
            { "type": "string", "pattern": "^[0-9]+(B|[kKMG]B|[KMG]iB)?$" },
        ] })
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Codec for Switch {
    type Target = bool;

    fn parse(&self, raw: &Raw) -> Result<bool, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Untyped(text) if text == "true" => Ok(true),
            Raw::Untyped(text) if text == "false" => Ok(false),
            _ => Err(format!("{raw} is not {}", self.accepts())),
        }
    }

    fn literal(&self, value: &bool) -> String {
        value.to_string()
    }

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

/// One of a closed list of words.
pub(super) struct Words<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Clone + PartialEq> Codec for Words<T> {
    type Target = T;

    fn parse(&self, raw: &Raw) -> Result<T, String> {
        let known = raw.text().and_then(|text| self.0.iter().find(|(word, _)| *word == text));
        known.map(|(_, value)| value.clone()).ok_or_else(|| {
            let words = self.0.iter().map(|(word, _)| *word);
            let hint = raw.text().and_then(|text| super::error::closest(text, words)).map(did_you_mean);
            format!("{raw} is not {}{}", self.accepts(), hint.unwrap_or_default())
        })
    }

    fn literal(&self, value: &T) -> String {
        let word = self.0.iter().find(|(_, known)| known == value).map(|(word, _)| *word);
        quoted(word.expect("every value of a closed list has a word"))
    }

    fn accepts(&self) -> String {
        either(&self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>())
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }
}

/// One of a few HTTP status codes.
pub(super) struct Status(pub &'static [u16]);

impl Codec for Status {
    type Target = u16;

    fn parse(&self, raw: &Raw) -> Result<u16, String> {
        raw.integer()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|status| self.0.contains(status))
            .ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &u16) -> String {
        value.to_string()
    }

    fn accepts(&self) -> String {
        either(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0 })
    }
}

/// `auto`, or a whole number of seconds.
pub(super) struct Seconds {
    /// Largest number of seconds.
    pub(super) max: u32,
}

impl Codec for Seconds {
    type Target = RetryAfter;

    fn parse(&self, raw: &Raw) -> Result<RetryAfter, String> {
        if raw.text() == Some("auto") {
            return Ok(RetryAfter::Auto);
        }
        let seconds = whole(1, self.max).parse(raw);
        seconds.map(RetryAfter::Seconds).map_err(|_| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &RetryAfter) -> String {
        match value {
            RetryAfter::Auto => quoted("auto"),
            RetryAfter::Seconds(seconds) => seconds.to_string(),
        }
    }

    fn accepts(&self) -> String {
        format!("\"auto\" or a whole number of seconds from 1 to {}", self.max)
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": "auto" }, whole(1, self.max).schema()] })
    }
}

/// `; did you mean …?`
pub(super) fn did_you_mean(candidate: &str) -> String {
    format!("; did you mean `{candidate}`?")
}

/// `a`, `a or b`, `a, b or c`.
fn either<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            format!("{} or {}", first.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "), last.as_ref())
        }
    }
}
