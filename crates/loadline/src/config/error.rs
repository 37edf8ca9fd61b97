//! What is wrong with a configuration, and where.
//!
//! One line per mistake, all mistakes at once: the place first (file:line:column, variable, flag or argument), then the
//! setting, the value, what was expected and, where close, what was probably meant.

use std::fmt;
use std::sync::Arc;

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file.
    File {
        /// The path as it was given.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Variable(String),
    /// `--set`.
    Flag,
    /// A positional argument.
    Argument,
}

impl fmt::Display for Origin {
    /// As the banner and `config --effective` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "{path}:{line}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("--set"),
            Self::Argument => f.write_str("argument"),
        }
    }
}

/// The longest message, in bytes. Messages repeat the value, and a value may be whatever somebody has pasted.
const LONGEST: usize = 2_000;

/// A text of at most [`LONGEST`] bytes: its beginning tells the place, its end what was expected.
fn cut(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let half = LONGEST / 2;
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let begin = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let end = (text.len() - half..text.len()).find(is_boundary).unwrap_or(text.len());
    format!("{} … {}", &text[..begin], &text[end..])
}

/// What is wrong with one value, before anything is known about where the value came from; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where, in bytes from the start of the text that was parsed; `None` is the value as a whole.
    pub(super) at: Option<usize>,
    /// The rest of a sentence that begins with the setting's name.
    pub(super) message: String,
}

impl From<String> for Mistakes {
    /// About the value as a whole.
    fn from(message: String) -> Self {
        Self(vec![Mistake { at: None, message }])
    }
}

/// One mistake, ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Line and column, for mistakes in a file.
    place: Option<(usize, usize)>,
    text: String,
}

impl ConfigError {
    /// A mistake in the value of `key`, which came from `origin`.
    pub fn in_value(origin: &Origin, key: &str, message: &str) -> Self {
        match origin {
            Origin::Default => Self::elsewhere(format_args!("{key}: {message}")),
            Origin::File { path, line, column } => {
                Self::in_file(path, (*line, *column), &format!("{key}: {message}"))
            }
            Origin::Variable(name) => Self::elsewhere(format_args!("{name}: {message}")),
            Origin::Flag => Self::elsewhere(format_args!("--set {key}: {message}")),
            Origin::Argument => {
                let argument = key.rsplit('.').next().unwrap_or(key);
                Self::elsewhere(format_args!("the {argument} argument: {message}"))
            }
        }
    }

    /// A mistake at a place in a file, in the form that editors and terminals make clickable.
    pub fn in_file(path: &str, (line, column): (usize, usize), message: &str) -> Self {
        Self { place: Some((line, column)), text: cut(format!("{path}:{line}:{column}: {message}")) }
    }

    /// A mistake that has no place in a file.
    pub fn elsewhere(message: impl fmt::Display) -> Self {
        Self { place: None, text: cut(format!("error: {message}")) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How many mistakes are told. Whoever has made more has not made that many, but one: it is another program's file, say. To find the
/// place and a close word for each of tens of thousands would take minutes, also of a proxy that is asked to reload.
const TOLD: usize = 100;

/// Mistakes as they are found: the first [`TOLD`], and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    told: Vec<ConfigError>,
    found: usize,
}

impl Errors {
    pub(super) fn push(&mut self, error: ConfigError) {
        self.push_with(|| error);
    }

    /// The same; `error` is composed only if it is told.
    pub(super) fn push_with(&mut self, error: impl FnOnce() -> ConfigError) {
        self.found += 1;
        if self.told.len() < TOLD {
            self.told.push(error());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found == 0
    }
}

impl Extend<ConfigError> for Errors {
    fn extend<T: IntoIterator<Item = ConfigError>>(&mut self, errors: T) {
        errors.into_iter().for_each(|error| self.push(error));
    }
}

/// Every mistake of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Errors,
    /// What is odd, and may be why something is missing: a misspelt variable.
    warnings: Vec<String>,
}

impl ConfigErrors {
    /// Collects mistakes: those in the file first, from top to bottom.
    pub(super) fn new(mut errors: Errors, warnings: Vec<String>) -> Self {
        errors.told.sort_by_key(|error| error.place.unwrap_or((usize::MAX, 0)));
        Self { errors, warnings }
    }
}

impl fmt::Display for ConfigErrors {
    /// One warning or mistake per line; more than one mistake are counted at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let Errors { told, found } = &self.errors;
        for (index, error) in told.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        match found {
            0 | 1 => Ok(()),
            _ if *found > told.len() => write!(f, "\n{found} errors, the first {} of them above", told.len()),
            _ => write!(f, "\n{found} errors"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// The candidate that `word` was probably meant to be, if any is close: at most one edit in three letters.
pub fn closest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(word.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_suggested_and_far_ones_are_not() {
        let words = ["concurrency", "release", "on_abort"];
        assert_eq!(closest("concurency", words.into_iter()), Some("concurrency"));
        assert_eq!(closest("Release", words.into_iter()), Some("release"));
        assert_eq!(closest("size", words.into_iter()), None);
        assert_eq!(closest("", words.into_iter()), None);
    }

    #[test]
    fn several_mistakes_are_counted() {
        let one = ConfigError::elsewhere("a");
        let shown = |found: Vec<ConfigError>, warnings| {
            let mut errors = Errors::default();
            errors.extend(found);
            ConfigErrors::new(errors, warnings).to_string()
        };
        assert_eq!(shown(vec![one.clone()], vec![]), "error: a");
        assert_eq!(shown(vec![one.clone()], vec!["b".to_owned()]), "warning: b\nerror: a");
        assert_eq!(shown(vec![one.clone(); 2], vec![]), "error: a\nerror: a\n2 errors");
        let many = shown(vec![one; TOLD + 1], vec![]);
        assert_eq!(many.lines().count(), TOLD + 1);
        assert!(many.ends_with("\nerror: a\n101 errors, the first 100 of them above"), "{many}");
    }

    #[test]
    fn a_value_without_end_is_not_repeated_to_its_end() {
        let error = ConfigError::elsewhere(format!("{} is too long", "é".repeat(100_000))).to_string();
        assert!(error.len() <= LONGEST + 10 && error.starts_with("error: éé"), "{}", error.len());
        assert!(error.ends_with("é is too long") && error.contains(" … "), "{error}");
    }
}
