//! The settings as documents: `config --defaults`, `config --effective`, `config --schema` and docs/configuration.md.
//!
//! All four are written from the one table of settings. The schema is written by hand from the same codecs that read the values,
//! not derived from a serde type: there is no such type, because values from a file, a variable and a flag take the same path.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::key::Key;
use super::settings::Settings;
use super::table::KEYS;
use super::{Loaded, Origin, units};

/// Width of comments in `--defaults`, in characters.
const WIDTH: usize = 110;

/// A commented TOML file with every key at its default. Keys whose default follows from something else are commented out, so
/// that the file as it stands means the same as no file (but for the upstream and the limit, which it asks for).
pub fn defaults() -> String {
    let defaults = Settings::default();
    let mut text = String::from(
        "# loadline: every setting with its default.\n\
         # A bare number as a duration counts milliseconds, as a size bytes.\n\
         # Each can also be given as --set queue.timeout=2s or LOADLINE_QUEUE_TIMEOUT=2s.\n",
    );
    let mut section = "";
    for key in KEYS.iter() {
        let (table, name) = key.split();
        if table != section {
            let _ = write!(text, "\n[{table}]\n");
            section = table;
        } else {
            text.push('\n');
        }
        wrap(&mut text, key.doc);
        wrap(&mut text, &format!("Accepts: {}.{}", key.accepts(), restart_note(key)));
        match key.follows {
            Some(words) => {
                wrap(&mut text, &format!("Default: {words}."));
                let _ = writeln!(text, "# {name} = {}", example(key, &defaults));
            }
            None => {
                let _ = writeln!(text, "{name} = {}", key.literal(&defaults));
            }
        }
    }
    text
}

/// Every setting's effective value as a TOML line, with its origin. Settings without a value are comments.
pub fn effective(loaded: &Loaded) -> String {
    let line = |key: &Key| match key.literal(&loaded.settings) {
        literal if literal.is_empty() => format!("# {} = none", key.name),
        literal => format!("{} = {literal}", key.name),
    };
    let lines: Vec<_> = KEYS.iter().map(|key| (line(key), key.name)).collect();
    let width =
        lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    let mut text = String::new();
    for (line, name) in lines {
        let _ = writeln!(text, "{line:width$}  # {}", loaded.origins.of(name));
    }
    text
}

/// The same for programs: `settings` with the origins and warnings of `loaded`, whose own settings are not looked at: a running
/// process knows better where it listens. Secrets are hidden.
pub fn document(settings: &Settings, loaded: &Loaded) -> Json {
    let row = |key: &Key| {
        let literal = key.literal(settings);
        let origin = loaded.origins.of(key.name);
        json!({
            "name": key.name,
            "value": (!literal.is_empty()).then_some(literal),
            "origin": origin.to_string(),
            "set": *origin != Origin::Default,
            "restart": key.restart,
            "meaning": key.doc,
        })
    };
    json!({ "settings": KEYS.iter().map(row).collect::<Vec<_>>(), "warnings": loaded.warnings })
}

/// A JSON Schema (draft 2020-12) of the file.
pub fn schema() -> String {
    let mut top = Map::new();
    for key in KEYS.iter() {
        let (table, name) = key.split();
        let mut property = key.schema();
        property["description"] = Json::from(key.doc);
        let properties = if table.is_empty() {
            &mut top
        } else {
            table.split('.').fold(&mut top, |above, name| {
                let section = above.entry(name).or_insert_with(
                    || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
                );
                section["properties"].as_object_mut().expect("the line above made it an object")
            })
        };
        properties.insert(name.to_owned(), property);
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loadline configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
    });
    format!("{schema:#}\n")
}

/// docs/configuration.md.
pub fn markdown() -> String {
    let defaults = Settings::default();
    let mut text = String::from(MARKDOWN_HEAD);
    let mut section = None;
    for key in KEYS.iter() {
        let (table, _) = key.split();
        if section != Some(table) {
            section = Some(table);
            let title = if table.is_empty() { "Top level".to_owned() } else { format!("`[{table}]`") };
            let _ = write!(
                text,
                "\n## {title}\n\n| setting | default | accepts | meaning |\n|---|---|---|---|\n"
            );
        }
        let default = key.follows.map_or_else(|| format!("`{}`", key.literal(&defaults)), str::to_owned);
        let spillway = key.spillway.map(|name| format!("<br>`{name}`")).unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}`{spillway} | {default} | {} | {}{} |",
            key.name,
            key.accepts().replace('|', "\\|"),
            key.doc,
            restart_note(key)
        );
    }
    text
}

const MARKDOWN_HEAD: &str = "<!-- Generated from the table of settings: UPDATE_DOCS=1 cargo test -p loadline configuration_md -->
# Configuration

Every setting has one dotted name. `queue.timeout` is

- `timeout = \"2s\"` under `[queue]` in the file (`-c loadline.toml`; a name that ends in `.json` is read as JSON of the same shape),
- `LOADLINE_QUEUE_TIMEOUT=2s` in the environment,
- `--set queue.timeout=2s` on the command line.

Later ones win: defaults, file, environment, flags and arguments. Spillway's seven variables (below the names they stand for) keep name,
unit and default; where both are set, `LOADLINE_…` wins. An empty variable counts as unset; an unknown `LOADLINE_…` is warned about.

- A **duration** is a whole number with `us`, `ms`, `s`, `m`, `h` or `d`; a bare number counts milliseconds.
- A **size** is a whole number with `B`, `KB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (powers of 1024); a bare number
  counts bytes.
- A **list** is an array in the file; elsewhere the same, or separated by commas.
- `3.0` is taken for the whole number 3, because templating engines write it so. No value may hold a control character.

`loadline check` tests a configuration and names every mistake with its place; `loadline config --effective` prints what holds and where
each value came from; `loadline config --defaults` prints a complete file to start from; `loadline config --schema` a JSON Schema for
editors.
";

fn restart_note(key: &Key) -> &'static str {
    if key.restart { " A change needs a restart." } else { "" }
}

/// What stands in a commented-out line.
fn example(key: &Key, defaults: &Settings) -> String {
    match key.name {
        "upstream" => "\"app:8080\"".to_owned(),
        "workers" => "0".to_owned(),
        "log.max_len" => loadline_http::syslog::DATAGRAM_MAX.to_string(),
        "admin.token" => "\"\"".to_owned(),
        "limit.abandon_timeout" => format!("\"{}\"", units::format_duration(defaults.timeouts.upstream)),
        _ => key.literal(defaults),
    }
}

/// Appends `words` as comment lines of at most [`WIDTH`] characters.
fn wrap(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split_whitespace() {
        if width == 0 || width + 1 + word.chars().count() > WIDTH {
            text.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.chars().count();
    }
    text.push('\n');
}
