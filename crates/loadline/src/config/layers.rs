//! Who set what: every source becomes a list of assignments, and later layers win.
//!
//! Defaults < file < environment < flags. Within the environment Spillway's seven names come before `LOADLINE_…`, which say
//! exactly what they mean. An empty variable is an unset one, as in Spillway.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use super::document::{Item, Node, line_and_column};
use super::error::{ConfigError, Errors, Origin, closest};
use super::key::Key;
use super::table::{KEYS, find};
use super::value::{Raw, did_you_mean};

/// One value for one setting.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    /// Dotted name; a key of the table.
    pub(super) key: &'static str,
    /// The value as written.
    pub(super) raw: Raw,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// What the sources said, in order of precedence, lowest first.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// All values for known settings.
    pub(super) assignments: Vec<Assignment>,
    /// Mistakes that are no values: unknown keys, unreadable variables.
    pub(super) errors: Errors,
    /// What is odd but harmless.
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Adds a parsed file. `text` is the file's content, from which lines and columns are counted.
    pub(super) fn file(&mut self, path: &str, text: &str, nodes: &[Node]) {
        let walk = Walk { path: path.into(), text };
        walk.table(self, "", nodes);
    }

    /// Adds the environment: Spillway's variables and `LOADLINE_…`; everything else is nobody's business.
    pub(super) fn environment(&mut self, variables: &[(OsString, OsString)]) {
        let value_of =
            |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str());
        for key in KEYS.iter() {
            let names = key.spillway.map(str::to_owned).into_iter().chain([key.variable()]);
            for name in names {
                if let Some(value) = value_of(&name) {
                    self.variable(key, name, value);
                }
            }
        }
        for (name, _) in variables {
            let name = name.to_string_lossy();
            if name.starts_with("LOADLINE_")
                && !KEYS.iter().any(|key| key.variable() == name)
                && !is_service_link(&name)
            {
                // Without what all have in common, for that is close to everything.
                let known: Vec<_> = KEYS.iter().map(Key::variable).collect();
                let own = |name: &str| name.trim_start_matches("LOADLINE_").to_owned();
                let known: Vec<_> = known.iter().map(|known| own(known)).collect();
                let hint = closest(&own(&name), known.iter().map(String::as_str))
                    .map(|close| did_you_mean(&format!("LOADLINE_{close}")))
                    .unwrap_or_default();
                self.warnings.push(format!("unknown variable {} is ignored{hint}", name.escape_debug()));
            }
        }
    }

    /// Adds a `--set key=value`.
    pub(super) fn flag(&mut self, text: &str) {
        let shown = text.escape_debug();
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            let message = format!("--set {shown}: expected key=value (try --set queue.timeout=2s)");
            self.errors.push(ConfigError::elsewhere(message));
            return;
        };
        match find(name.trim()) {
            Some(key) => self.add(key, Raw::Untyped(value.trim().to_owned()), Origin::Flag),
            None => {
                let name = name.trim();
                let what = match KEYS.iter().find(|key| key.split().0 == name) {
                    Some(key) => format!("`{name}` is a table: name a key of it (such as {})", key.name),
                    None => {
                        let hint = suggestion(name).unwrap_or_default();
                        format!("unknown key `{}`{hint}", name.escape_debug())
                    }
                };
                let message = format!("--set {shown}: {what}");
                self.errors.push(ConfigError::elsewhere(message));
            }
        }
    }

    /// Adds a positional argument for `key`.
    pub(super) fn argument(&mut self, key: &'static str, text: &str) {
        let key = find(key).expect("arguments stand for settings of the table");
        self.add(key, Raw::Untyped(text.to_owned()), Origin::Argument);
    }

    fn variable(&mut self, key: &Key, name: String, value: &OsStr) {
        match value.to_str() {
            Some("") => {}
            Some(text) => self.add(key, Raw::Untyped(text.to_owned()), Origin::Variable(name)),
            None => self.errors.push(ConfigError::in_value(
                &Origin::Variable(name),
                key.name,
                "the value is not UTF-8",
            )),
        }
    }

    fn add(&mut self, key: &Key, raw: Raw, origin: Origin) {
        self.assignments.push(Assignment { key: key.name, raw, origin });
    }
}

/// The way through a file's tables.
struct Walk<'f> {
    path: Arc<str>,
    text: &'f str,
}

impl Walk<'_> {
    fn table(&self, layers: &mut Layers, prefix: &str, nodes: &[Node]) {
        let mut names = HashSet::with_capacity(nodes.len());
        for node in nodes {
            let dotted =
                if prefix.is_empty() { node.name.clone() } else { format!("{prefix}.{}", node.name) };
            // TOML refuses this itself; in JSON the last one would win in silence.
            if !names.insert(&node.name) {
                self.mistake(layers, node, || format!("key `{dotted}` is given twice"));
                continue;
            }
            match (find(&dotted), &node.item) {
                (Some(key), Item::Value(raw)) => layers.add(key, raw.clone(), self.origin(node.value_at)),
                (Some(key), Item::Table(_)) => {
                    layers.add(key, Raw::Other("a table"), self.origin(node.name_at));
                }
                (None, Item::Table(inner)) if is_section(&dotted) => {
                    self.table(layers, &dotted, inner);
                }
                (None, item) => {
                    let is_table = matches!(item, Item::Table(_));
                    self.mistake(layers, node, || unknown(prefix, &node.name, is_table));
                }
            }
        }
    }

    fn mistake(&self, layers: &mut Layers, node: &Node, message: impl FnOnce() -> String) {
        layers.errors.push_with(|| {
            ConfigError::in_file(&self.path, line_and_column(self.text, node.name_at), &message())
        });
    }

    fn origin(&self, at: usize) -> Origin {
        let (line, column) = line_and_column(self.text, at);
        Origin::File { path: Arc::clone(&self.path), line, column }
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| {
        let rest = key.split().0.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Kubernetes announces a Service named `loadline` by such variables, in every pod of its namespace.
fn is_service_link(name: &str) -> bool {
    ["LOADLINE_SERVICE_HOST", "LOADLINE_SERVICE_PORT", "LOADLINE_PORT"]
        .iter()
        .any(|link| name.starts_with(link))
}

/// The sentence about a name in a file that no setting has.
fn unknown(section: &str, name: &str, is_table: bool) -> String {
    let name = &name.escape_debug().to_string();
    let dotted = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
    if is_section(&dotted) {
        return format!("`{dotted}` is a table: write [{dotted}] and its keys below");
    }
    if section.is_empty() {
        let what = if is_table { "table" } else { "key" };
        let tops = KEYS.iter().map(|key| match key.split() {
            ("", name) => name,
            (section, _) => section,
        });
        let hint = closest(name, tops).map(did_you_mean).or_else(|| suggestion(name));
        return format!("unknown {what} `{name}`{}", hint.unwrap_or_default());
    }
    let siblings = KEYS.iter().filter(|key| key.split().0 == section).map(|key| key.split().1);
    let hint = closest(name, siblings).map(did_you_mean);
    let hint = hint.or_else(|| suggestion(&dotted));
    format!("unknown key `{name}` in [{section}]{}", hint.unwrap_or_default())
}

/// A hint for a dotted name: the closest one, or one that ends in the same word in another table.
fn suggestion(dotted: &str) -> Option<String> {
    let last = dotted.rsplit('.').next().unwrap_or(dotted);
    closest(dotted, KEYS.iter().map(|key| key.name))
        .or_else(|| KEYS.iter().map(|key| key.name).find(|name| name.rsplit('.').next() == Some(last)))
        .map(did_you_mean)
}
