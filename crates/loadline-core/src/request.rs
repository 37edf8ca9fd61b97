//! What the core is told about a request when it arrives.

use std::num::NonZeroU32;

use crate::Class;

/// A request that asks to be admitted.
///
/// Made with [`Request::new`]; whatever else the core wants to know has a default and a method of its own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How much it matters.
    pub class: Class,
    /// How many slots it needs at once. More than the limit means all of them.
    pub cost: NonZeroU32,
}

impl Request {
    /// A request of this class about which nothing else is known: it needs one slot.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self { class, cost: NonZeroU32::MIN }
    }

    /// It needs so many slots at once, because one such request makes as much work as so many others. Bypass ignores it.
    ///
    /// Who is next and does not fit holds the free slots until there are enough: nobody of its class or below passes it, so
    /// that it is not overtaken for ever by smaller ones; newcomers of higher classes do. Newest-first service makes the newest
    /// next, whatever its cost.
    #[must_use]
    pub const fn with_cost(mut self, cost: NonZeroU32) -> Self {
        self.cost = cost;
        self
    }
}
