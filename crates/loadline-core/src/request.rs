//! What the core is told about a request when it arrives.

use crate::Class;

/// A request that asks to be admitted.
///
/// Made with [`Request::new`]; whatever else the core will want to know has a default and a method of its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How much it matters.
    pub class: Class,
}

impl Request {
    /// A request of this class about which nothing else is known.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self { class }
    }
}
