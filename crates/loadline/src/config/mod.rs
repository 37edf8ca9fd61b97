//! Configuration: from file, environment and arguments to checked [`settings::Settings`].
//!
//! One table (`table.rs`) says which settings exist. Sources become assignments (`document.rs` reads files, `layers.rs` the
//! rest), assignments are read in the table's order by each setting's codec (`codecs.rs` and its neighbours), and `rules.rs` adds
//! what spans several settings. Every mistake is collected before any is reported.
//!
//! [`load`] only reads the file it is told to; it can run again at any time, which is what a reload is. It changes nothing:
//! whoever calls it decides whether the result replaces the old settings ([`needs_restart`] names what cannot be replaced).

mod address;
mod codecs;
mod defaults;
mod document;
mod endpoints;
mod error;
mod key;
mod layers;
mod logging;
pub mod render;
mod rules;
pub mod settings;
mod table;
pub mod units;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, ConfigErrors, Origin, closest};
use layers::{Assignment, Layers};
use settings::{Settings, Upstream};
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
    /// Where each value came from.
    pub origins: Origins,
    /// What is odd but harmless, one sentence each.
    pub warnings: Vec<String>,
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
    load_text(sources, read(sources))
}

/// Like [`load`], for commands that only need to find a running loadline: upstream and limit may be missing.
///
/// # Errors
/// Every mistake that was found, never an empty list.
pub fn load_partial(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (loaded, errors) = resolve(sources, read(sources));
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors::new(errors)) }
}

/// Settings that differ and cannot change in a running process, by dotted name.
pub fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let changed = KEYS.iter().filter(|key| key.restart && key.literal(old) != key.literal(new));
    changed.map(|key| key.name).collect()
}

/// What became of reading the file, if there is one.
type FileText = Option<io::Result<String>>;

fn read(sources: &Sources) -> FileText {
    sources.file.as_ref().map(std::fs::read_to_string)
}

fn load_text(sources: &Sources, text: FileText) -> Result<Loaded, ConfigErrors> {
    let (loaded, mut errors) = resolve(sources, text);
    errors.extend(missing(sources, &loaded));
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors::new(errors)) }
}

fn resolve(sources: &Sources, text: FileText) -> (Loaded, Vec<ConfigError>) {
    let mut layers = Layers::default();
    if let (Some(path), Some(text)) = (&sources.file, text) {
        add_file(&mut layers, path, text);
    }
    layers.environment(&sources.environment);
    sources.set.iter().for_each(|text| layers.flag(text));
    if let Some(text) = &sources.upstream {
        layers.argument("upstream", text);
    }
    if let Some(text) = &sources.concurrency {
        layers.argument("limit.concurrency", text);
    }
    drop_lone_log_format(&mut layers);

    let Layers { assignments, mut errors, mut warnings } = layers;
    let (mut settings, origins) = apply(&assignments, &mut errors);
    rules::derive(&mut settings, &origins);
    // A contradiction with a value that was not understood would only confuse.
    if errors.is_empty() {
        errors.extend(rules::contradictions(&settings, &origins));
        warnings.extend(rules::doubts(&settings));
    }
    (Loaded { settings, origins, warnings }, errors)
}

fn apply(assignments: &[Assignment], errors: &mut Vec<ConfigError>) -> (Settings, Origins) {
    let mut settings = Settings::default();
    let mut origins = Origins::default();
    for key in KEYS.iter() {
        for assignment in assignments.iter().filter(|assignment| assignment.key == key.name) {
            match key.set(&mut settings, &assignment.raw) {
                Ok(()) => {}
                Err(message) => errors.push(ConfigError::in_value(&assignment.origin, key.name, &message)),
            }
            origins.0.insert(key.name, assignment.origin.clone());
        }
    }
    (settings, origins)
}

fn add_file(layers: &mut Layers, path: &Path, text: io::Result<String>) {
    let shown = path.display().to_string();
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            layers.errors.push(ConfigError::elsewhere(format_args!("cannot read {shown}: {error}")));
            return;
        }
    };
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let parsed = if is_json { document::parse_json(&text) } else { document::parse_toml(&text) };
    match parsed {
        Ok(nodes) => layers.file(&shown, &text, &nodes),
        Err(errors) => layers.errors.extend(errors.iter().map(|error| {
            ConfigError::in_file(&shown, document::line_and_column(&text, error.at), &error.message)
        })),
    }
}

/// Spillway logs nothing without `LOG_ADDRESS`, even if `LOG_FORMAT` is set; a format that somebody wrote elsewhere asks for a log
/// by itself.
fn drop_lone_log_format(layers: &mut Layers) {
    let is_lone = |assignment: &Assignment| assignment.origin == Origin::Variable("LOG_FORMAT".to_owned());
    let asks_for_a_log = |assignment: &Assignment| match assignment.key {
        "log.address" => true,
        "log.access" => !is_lone(assignment),
        _ => false,
    };
    if layers.assignments.iter().any(is_lone) && !layers.assignments.iter().any(asks_for_a_log) {
        layers.assignments.retain(|assignment| !is_lone(assignment));
        layers
            .warnings
            .push("LOG_FORMAT has no effect without LOG_ADDRESS (try LOG_ADDRESS=stdout)".to_owned());
    }
}

/// What must be there and is not. With no upstream and no file at all the demo app stands in.
fn missing(sources: &Sources, loaded: &Loaded) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let has_upstream = loaded.origins.is_set("upstream");
    if let (Some(file), false) = (&sources.file, has_upstream) {
        errors.push(ConfigError::elsewhere(format_args!(
            "the upstream is missing\n  in {file}:  upstream = \"app:8080\"\n  or as an argument:  loadline app:8080 3",
            file = file.display()
        )));
    }
    if has_upstream && !loaded.origins.is_set("limit.concurrency") {
        let upstream = match &loaded.settings.upstream {
            Upstream::Demo => "app:8080".to_owned(),
            upstream => upstream.to_string(),
        };
        errors.push(ConfigError::elsewhere(format_args!(
            "the concurrency argument is missing\n  loadline {upstream} <concurrency>     for example: loadline {upstream} 3"
        )));
    }
    errors
}
