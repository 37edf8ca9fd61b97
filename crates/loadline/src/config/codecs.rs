//! The kinds of settings that need no knowledge of their own: numbers, durations, sizes, switches and closed lists.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::error::closest;
use super::settings::{self, RetryAfter, available_cores};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::value::{Codec, Raw, did_you_mean, quoted};

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

/// The concurrency limit: a positive number, or `auto`. There is no `unlimited`.
pub(super) struct Concurrency(pub Whole<NonZeroU32>);

impl Codec for Concurrency {
    type Target = settings::Concurrency;

    fn parse(&self, raw: &Raw) -> Result<settings::Concurrency, String> {
        if raw.text() == Some("auto") {
            return Ok(settings::Concurrency::Auto);
        }
        let number =
            self.0.parse(raw).map_err(|_| format!("{raw} is not {} (for example: 3)", self.accepts()))?;
        Ok(settings::Concurrency::Fixed(number))
    }

    fn literal(&self, value: &settings::Concurrency) -> String {
        match value {
            settings::Concurrency::Fixed(number) => self.0.literal(number),
            settings::Concurrency::Auto => quoted("auto"),
        }
    }

    fn accepts(&self) -> String {
        format!("\"auto\" or {}", self.0.accepts())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": "auto" }, self.0.schema()] })
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

/// A value, or a word that means there is none.
pub(super) struct Optional<C> {
    /// The word.
    pub(super) word: &'static str,
    /// Reads any other value.
    pub(super) of: C,
}

impl<C: Codec> Codec for Optional<C> {
    type Target = Option<C::Target>;

    fn parse(&self, raw: &Raw) -> Result<Self::Target, String> {
        if raw.text() == Some(self.word) {
            return Ok(None);
        }
        self.of.parse(raw).map(Some).map_err(|error| format!("{error} or \"{}\"", self.word))
    }

    fn literal(&self, value: &Self::Target) -> String {
        value.as_ref().map_or_else(|| quoted(self.word), |value| self.of.literal(value))
    }

    fn accepts(&self) -> String {
        format!("{}, or \"{}\"", self.of.accepts(), self.word)
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": self.word }, self.of.schema()] })
    }
}

/// The path of a file.
pub(super) struct FilePath;

impl Codec for FilePath {
    type Target = PathBuf;

    fn parse(&self, raw: &Raw) -> Result<PathBuf, String> {
        let text = raw.text().filter(|text| !text.is_empty());
        text.map(PathBuf::from).ok_or_else(|| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &PathBuf) -> String {
        quoted(&value.to_string_lossy())
    }

    fn accepts(&self) -> String {
        "the path of a file".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
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
            let hint = raw.text().and_then(|text| closest(text, words)).map(did_you_mean);
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
