//! Settings that are lists of tables: `[[route]]` and `priority.rules`.
//!
//! They have an inside, so mistakes have places of their own: in a file the line and column of the word at fault, elsewhere
//! its position in the text. Outside of a file the same list is written as TOML or JSON on one line.

use super::document::{Item, Node, parse_inline};
use super::error::{Mistake, Mistakes, closest};
use super::value::{Raw, did_you_mean};

/// What such a list holds, in the words of its messages.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// One of them, such as `rule`.
    pub(super) one: &'static str,
    /// One as it is written.
    pub(super) example: &'static str,
    /// The names that its table may hold.
    pub(super) names: &'static [&'static str],
}

/// A value in a table.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a Raw,
    /// Where the value begins, in bytes from the start of the text.
    pub(super) at: usize,
}

impl Entry<'_> {
    /// A mistake in the value.
    pub(super) fn wrong(&self, message: impl std::fmt::Display) -> Mistake {
        Mistake { at: Some(self.at), message: format!("{}: {message}", self.name) }
    }
}

impl Kind {
    /// What is accepted, for people.
    pub(super) fn accepts(&self) -> String {
        format!("a list of {}s (such as [{}])", self.one, self.example)
    }

    /// Reads every table of the list. `read` gets the place where a table begins, and its entries: known ones, each once.
    ///
    /// # Errors
    /// The first mistake of every table.
    pub(super) fn read<T>(
        &self,
        raw: &Raw,
        mut read: impl FnMut(usize, &[Entry<'_>]) -> Result<T, Mistake>,
    ) -> Result<Vec<T>, Mistakes> {
        let inline;
        let raw = match raw {
            Raw::Untyped(text) => {
                inline = parse_inline(text).map_err(|error| {
                    Mistakes(vec![Mistake { at: Some(error.at), message: error.message }])
                })?;
                &inline
            }
            _ => raw,
        };
        let Raw::List(items) = raw else {
            return Err(format!("{raw} is not {}", self.accepts()).into());
        };
        let mut found = Vec::new();
        let mut mistakes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let one = match item {
                Raw::Table { at, entries } => self.entries(entries).and_then(|entries| read(*at, &entries)),
                other => Err(Mistake {
                    at: None,
                    message: format!(
                        "{} {} is {other}, not a table (such as {})",
                        self.one,
                        index + 1,
                        self.example
                    ),
                }),
            };
            match one {
                Ok(one) => found.push(one),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(found) } else { Err(Mistakes(mistakes)) }
    }

    fn entries<'a>(&self, nodes: &'a [Node]) -> Result<Vec<Entry<'a>>, Mistake> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for Node { name, name_at, value_at, item } in nodes {
            let wrong_name = |message| Mistake { at: Some(*name_at), message };
            if !self.names.contains(&name.as_str()) {
                let hint = closest(name, self.names.iter().copied()).map(did_you_mean).unwrap_or_default();
                let name = name.escape_debug();
                return Err(wrong_name(format!("unknown key `{name}` in a {}{hint}", self.one)));
            }
            if entries.iter().any(|earlier| earlier.name == name) {
                return Err(wrong_name(format!("key `{name}` is given twice")));
            }
            /// What no value of a table can be.
            static A_TABLE: Raw = Raw::Other("a table");
            let raw = match item {
                Item::Value(raw) => raw,
                Item::Table(_) => &A_TABLE,
            };
            entries.push(Entry { name, raw, at: *value_at });
        }
        Ok(entries)
    }
}
