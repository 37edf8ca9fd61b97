//! What the core is told about a request when it arrives.

use std::num::NonZeroU32;

use crate::{Class, Instant};

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
    /// When its answer is worth nothing any more.
    pub deadline: Option<Instant>,
    /// Among which its service time is predicted.
    pub route: RouteId,
    /// Whether its client has tried before.
    pub retry: bool,
}

impl Request {
    /// A request of this class about which nothing else is known: it needs one slot.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self { class, cost: NonZeroU32::MIN, deadline: None, route: RouteId::OTHER, retry: false }
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

    /// Its answer is worth nothing after this moment: it is not started when it cannot be expected to end before. Bypass
    /// ignores it.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Whether its client has tried before and was refused or failed. Retries go behind fresh work while that is being shed,
    /// and hold a fifth of the slots at most. Bypass ignores it.
    #[must_use]
    pub const fn with_retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }

    /// It takes about as long as others of this route.
    #[must_use]
    pub const fn with_route(mut self, route: RouteId) -> Self {
        self.route = route;
        self
    }
}

impl From<Class> for Request {
    /// About which nothing but the class is known.
    fn from(class: Class) -> Self {
        Self::new(class)
    }
}

/// Names a kind of request whose members take about equally long. The caller numbers them from 1; memory is kept for each number
/// up to the highest that was used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RouteId(u16);

impl RouteId {
    /// Whatever has no route of its own: number 0.
    pub const OTHER: Self = Self(0);

    /// The route with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number, for tables with one row per route.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
