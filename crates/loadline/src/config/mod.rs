//! Configuration: from file, environment and arguments to checked [`settings::Settings`].
//!
//! One table (`table.rs`) says which settings exist. Sources become assignments (`document.rs` reads files, `layers.rs` the
//! rest), assignments are read in the table's order by each setting's codec (`codecs.rs` and its neighbours), and `rules.rs` adds
//! what spans several settings. Every mistake is collected before any is reported.
//!
//! [`load`] only reads the file it is told to; it can run again at any time, which is what a reload is. It changes nothing:
//! whoever calls it decides whether the result replaces the old settings ([`needs_restart`] names what cannot be replaced).

mod address;
mod class_rules;
mod codecs;
mod deadline;
mod defaults;
mod document;
mod endpoints;
mod error;
mod fairness;
mod file;
mod key;
mod layers;
mod logging;
mod overload;
mod priority;
pub mod render;
mod routes;
mod rules;
pub mod settings;
mod table;
mod tables;
mod trace;
pub mod units;
mod upstream;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ConfigError, ConfigErrors, Origin, closest};
use error::{Errors, Mistake, Mistakes};
pub(crate) use file::read as read_text;
use layers::{Assignment, Layers};
use settings::Settings;
use table::KEYS;

/// Where settings may come from. Keeping it allows to [`load`] again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A configuration file; TOML, or JSON when its name ends in `.json`.
    pub file: Option<PathBuf>,
    /// The environment, unfiltered.
    pub environment: Vec<(OsString, OsString)>,
    /// `--set key=value`, in order; the last one wins.
    pub set: Vec<String>,
    /// First positional argument.
    pub upstream: Option<String>,
    /// Second positional argument.
    pub concurrency: Option<String>,
}

/// A configuration that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Those of the file named by `shadow`, over the values.
    pub shadow: Option<Settings>,
    /// Where each value came from.
    pub origins: Origins,
    /// What is odd but harmless, one sentence each.
    pub warnings: Vec<String>,
    /// [`fingerprint`] of the configuration file that was read, if one was.
    pub fingerprint: Option<u64>,
}

/// Where each effective value came from, by dotted name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// The origin of a setting's value.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Whether anybody set it.
    pub fn is_set(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// How many settings were set.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads all sources and resolves them.
///
/// # Errors
/// Every mistake that was found, never an empty list.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut loaded = resolve(sources, sources.file.as_deref().map(file::read), Need::Everything)?;
    if let Some(path) = &loaded.settings.shadow {
        let text = file::read(path);
        let over = resolve_over(
            sources,
            sources.file.as_deref().map(file::read),
            Some((path, text)),
            Need::Everything,
        )?;
        loaded.shadow = Some(over.settings);
    }
    Ok(loaded)
}

/// Like [`load`], for commands that only need to find a running loadline: upstream and limit may be missing.
///
/// # Errors
/// Every mistake that was found, never an empty list.
pub fn load_partial(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    resolve(sources, sources.file.as_deref().map(file::read), Need::Anything)
}

/// Settings that differ and cannot change in a running process, by dotted name.
pub fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let changed = KEYS.iter().filter(|key| key.restart && key.literal(old) != key.literal(new));
    changed.map(|key| key.name).collect()
}

/// A rule of `priority.rules` as it is written in a file.
pub fn rule_text(rule: &loadline_http::classify::Rule) -> String {
    class_rules::rule_literal(rule)
}

/// [`Loaded::fingerprint`] of what the file holds now; `None` if it cannot be read, or is none that can be read twice.
pub fn fingerprint_of(path: &Path) -> Option<u64> {
    // A pipe would be emptied, or waited for.
    let can_change = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    can_change.then(|| file::read(path).ok()).flatten().map(|text| fingerprint(text.as_bytes()))
}

/// A number that tells one file content from another, to notice later that it has changed.
fn fingerprint(content: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hasher::write(&mut hasher, content);
    std::hash::Hasher::finish(&hasher)
}

/// What became of reading the file, if there is one.
type FileText = Option<io::Result<String>>;

/// What a command cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Upstream and limit.
    Everything,
    /// Whatever is there.
    Anything,
}

fn resolve(sources: &Sources, text: FileText, need: Need) -> Result<Loaded, ConfigErrors> {
    resolve_over(sources, text, None, need)
}

/// Like [`resolve`], with a file over everything else: a shadow's.
fn resolve_over(
    sources: &Sources,
    text: FileText,
    over: Option<(&Path, io::Result<String>)>,
    need: Need,
) -> Result<Loaded, ConfigErrors> {
    let content = text.as_ref().and_then(|text| text.as_deref().ok());
    let fingerprint = content.map(|content| fingerprint(content.as_bytes()));
    let mut layers = Layers::default();
    let file_is_sound = match (&sources.file, &text) {
        (Some(path), Some(text)) => file::add(&mut layers, path, text),
        _ => true,
    };
    layers.environment(&sources.environment);
    sources.set.iter().for_each(|text| layers.flag(text));
    if let Some(text) = &sources.upstream {
        layers.argument("upstream", text);
    }
    if let Some(text) = &sources.concurrency {
        layers.argument("limit.concurrency", text);
    }
    if let Some((path, text)) = &over {
        file::add(&mut layers, path, text);
    }
    let texts: Vec<_> = [
        sources.file.as_deref().zip(content),
        over.as_ref().and_then(|(path, text)| Some((*path, text.as_deref().ok()?))),
    ]
    .into_iter()
    .flatten()
    .map(|(path, text)| (path.display().to_string(), text))
    .collect();

    let Layers { assignments, mut errors, mut warnings } = layers;
    // What was ignored may be what is missing; the other warnings can wait.
    let ignored = warnings.clone();
    let (mut settings, mut origins) = apply(&assignments, &texts, &mut errors);
    if is_lone_log_format(&assignments) {
        settings.log.access = None;
        origins.0.remove("log.access");
        warnings.push("LOG_FORMAT has no effect without LOG_ADDRESS (try LOG_ADDRESS=stdout)".to_owned());
    }
    rules::derive(&mut settings, &origins);
    // A contradiction with a value that was not understood would only confuse, and so would asking for what a broken file holds.
    if errors.is_empty() {
        errors.extend(rules::contradictions(&settings, &origins));
        warnings.extend(rules::doubts(&settings));
    }
    if need == Need::Everything && file_is_sound {
        errors.extend(rules::missing(&settings, &origins, sources.file.as_deref()));
    }
    if errors.is_empty() {
        Ok(Loaded { settings, shadow: None, origins, warnings, fingerprint })
    } else {
        Err(ConfigErrors::new(errors, ignored))
    }
}

/// Reads every assignment in the table's order, lower layers first. `texts` are the files' texts by name, in which
/// mistakes have places.
fn apply(assignments: &[Assignment], texts: &[(String, &str)], errors: &mut Errors) -> (Settings, Origins) {
    let mut settings = Settings::default();
    let mut origins = Origins::default();
    for key in KEYS.iter() {
        for Assignment { raw, origin, .. } in assignments.iter().filter(|one| one.key == key.name) {
            // No setting needs a control character, and in a log line or a header it is an injection.
            let read = match raw.control_character() {
                Some((character, position)) => {
                    Err(format!("the value holds a control character ({character:?} at position {position})")
                        .into())
                }
                None => key.set(&mut settings, raw),
            };
            if let Err(Mistakes(mistakes)) = read {
                let text = raw.text().unwrap_or_else(|| text_of(origin, texts));
                for mistake in &mistakes {
                    errors.push_with(|| located(mistake, origin, key.name, text));
                }
            }
            origins.0.insert(key.name, origin.clone());
        }
    }
    (settings, origins)
}

/// The text of the file that a value came from.
fn text_of<'t>(origin: &Origin, texts: &[(String, &'t str)]) -> &'t str {
    let Origin::File { path, .. } = origin else { return "" };
    texts.iter().find(|(name, _)| **name == **path).map_or("", |(_, text)| text)
}

/// A mistake in a value from `origin`: with its own place in `text`, which is the file or, elsewhere, the value.
fn located(mistake: &Mistake, origin: &Origin, key: &str, text: &str) -> ConfigError {
    let Mistake { at, message } = mistake;
    let Some((line, column)) = at.map(|at| document::line_and_column(text, at)) else {
        return ConfigError::in_value(origin, key, message);
    };
    match origin {
        Origin::File { path, .. } => {
            ConfigError::in_value(&Origin::File { path: Arc::clone(path), line, column }, key, message)
        }
        _ => ConfigError::in_value(origin, key, &format!("at character {column}: {message}")),
    }
}

/// Spillway logs nothing without `LOG_ADDRESS`, even if `LOG_FORMAT` is set; a format that somebody wrote elsewhere asks for a log
/// by itself.
fn is_lone_log_format(assignments: &[Assignment]) -> bool {
    let is_spillways =
        |one: &Assignment| matches!(&one.origin, Origin::Variable(name) if name == "LOG_FORMAT");
    let asks_for_a_log = |one: &Assignment| match one.key {
        "log.address" => true,
        "log.access" => !is_spillways(one),
        _ => false,
    };
    assignments.iter().any(is_spillways) && !assignments.iter().any(asks_for_a_log)
}
