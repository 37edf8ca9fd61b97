//! A configuration file, from its path to its values: reading it, and telling which notation it is in.
//!
//! What is no configuration at all (a directory, another notation, another encoding, something without an end) is told as that, not
//! by the first byte that does not fit.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::document;
use super::error::ConfigError;
use super::layers::Layers;

/// The largest file that is read, in bytes: as much as a Kubernetes ConfigMap may hold, which is thousands of routes.
const LARGEST: u64 = 1 << 20;

/// Reads the file's text; also for what else people write by hand, such as scenarios.
///
/// # Errors
/// Why there is none, for people.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    // To open one without a writer would wait for one, and the process with it.
    if is_named_pipe(path) {
        return Err(invalid(
            "it is a named pipe; a configuration is a regular file, or /dev/stdin".to_owned(),
        ));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(invalid("it is a directory; name a file in it".to_owned()));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(invalid("it is larger than 1 MiB, the most that is read".to_owned()));
    }
    String::from_utf8(content).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        let what = if utf16 { "it is UTF-16".to_owned() } else { format!("line {line} is not UTF-8") };
        invalid(format!("{what}; save it as text in UTF-8"))
    })
}

/// Adds the file's values; false when there are none because the file cannot be read or parsed.
pub(super) fn add(layers: &mut Layers, path: &Path, text: &io::Result<String>) -> bool {
    let shown = path.display().to_string();
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            layers.errors.push(ConfigError::elsewhere(format_args!("cannot read {shown}: {error}")));
            return false;
        }
    };
    let is_json = has_extension(path, &["json"]);
    let parsed = if is_json { document::parse_json(text) } else { document::parse_toml(text) };
    match parsed {
        Ok(nodes) => {
            layers.file(&shown, text, &nodes);
            true
        }
        Err(_) if has_extension(path, &["yaml", "yml"]) => {
            let message = "a configuration is written in TOML, or in JSON if the file's name ends in .json; not in YAML";
            layers.errors.push(ConfigError::elsewhere(format_args!("{shown}: {message}")));
            false
        }
        Err(_) if !is_json && document::parse_json(text).is_ok() => {
            let message = "this is JSON, and read as such if the file's name ends in .json";
            layers.errors.push(ConfigError::elsewhere(format_args!("{shown}: {message}")));
            false
        }
        Err(errors) => {
            for error in &errors {
                layers.errors.push_with(|| {
                    ConfigError::in_file(&shown, document::line_and_column(text, error.at), &error.message)
                });
            }
            false
        }
    }
}

/// Whether it is a pipe that somebody else has yet to open. Those that the process was given, as its standard input or by a shell's
/// `<(…)`, are open already.
fn is_named_pipe(path: &Path) -> bool {
    let given = ["/dev", "/proc"].iter().any(|given| path.starts_with(given));
    !given && fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default();
    known.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
