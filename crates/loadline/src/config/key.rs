//! One setting: its name, its documentation, and the way from a written value to its place in [`Settings`].

use serde_json::Value as Json;

use super::error::Mistakes;
use super::settings::Settings;
use super::value::{Codec, Raw};

/// One setting.
pub(super) struct Key {
    /// Dotted name, such as `queue.timeout`.
    pub(super) name: &'static str,
    /// What it does, for users: one or two sentences.
    pub(super) doc: &'static str,
    /// Spillway's variable of the same meaning.
    pub(super) spillway: Option<&'static str>,
    /// The default in words, when it follows from something else; `config --defaults` comments such a key out.
    pub(super) follows: Option<&'static str>,
    /// Whether a change needs a restart.
    pub(super) restart: bool,
    field: Box<dyn Field>,
}

impl Key {
    /// `LOADLINE_QUEUE_TIMEOUT` for `queue.timeout`.
    pub(super) fn variable(&self) -> String {
        format!("LOADLINE_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// Table and name within it: `("queue", "timeout")`, `("priority.shed_at", "low")`; the table is empty for `listen`.
    pub(super) fn split(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// Reads `raw` into `settings`.
    ///
    /// # Errors
    /// What was expected; `settings` is unchanged then.
    pub(super) fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        self.field.set(settings, raw)
    }

    /// The value in `settings` as a TOML literal; empty when there is none.
    pub(super) fn literal(&self, settings: &Settings) -> String {
        self.field.literal(settings)
    }

    /// What is accepted, for people.
    pub(super) fn accepts(&self) -> String {
        self.field.accepts()
    }

    /// What is accepted, for machines.
    pub(super) fn schema(&self) -> Json {
        self.field.schema()
    }

    /// Adds Spillway's variable.
    pub(super) fn spillway(mut self, variable: &'static str) -> Self {
        self.spillway = Some(variable);
        self
    }

    /// Says what the default follows from.
    pub(super) fn follows(mut self, words: &'static str) -> Self {
        self.follows = Some(words);
        self
    }

    /// Says that a change needs a restart.
    pub(super) fn restart(mut self) -> Self {
        self.restart = true;
        self
    }
}

/// One setting's place in [`Settings`], with its kind hidden.
pub(super) trait Field: Send + Sync {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes>;
    fn literal(&self, settings: &Settings) -> String;
    fn accepts(&self) -> String;
    fn schema(&self) -> Json;
}

/// A setting that a codec reads on its own.
struct Plain<C: Codec> {
    codec: C,
    get: fn(&Settings) -> &C::Target,
    get_mut: fn(&mut Settings) -> &mut C::Target,
}

impl<C: Codec + Send + Sync> Field for Plain<C> {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        *(self.get_mut)(settings) = self.codec.parse(raw)?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        self.codec.literal((self.get)(settings))
    }

    fn accepts(&self) -> String {
        self.codec.accepts()
    }

    fn schema(&self) -> Json {
        self.codec.schema()
    }
}

/// The getter and the setter of a field.
pub(super) type Place<T> = (fn(&Settings) -> &T, fn(&mut Settings) -> &mut T);

/// A setting that `codec` reads into the field at `place`.
pub(super) fn key<C: Codec + Send + Sync + 'static>(
    name: &'static str,
    doc: &'static str,
    codec: C,
    (get, get_mut): Place<C::Target>,
) -> Key {
    with_field(name, doc, Plain { codec, get, get_mut })
}

/// A setting with a field of its own kind.
pub(super) fn with_field(name: &'static str, doc: &'static str, field: impl Field + 'static) -> Key {
    Key { name, doc, spillway: None, follows: None, restart: false, field: Box::new(field) }
}
