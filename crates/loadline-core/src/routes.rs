//! Routes with a limit of their own: how many of their requests are in flight, and whether one more may be.
//!
//! Every route is counted, limited or not, so that a limit that a reload brings is true from its first moment.

use std::num::NonZeroU32;

use crate::{Request, RouteCost, RouteId, RouteSettings};

/// What is in flight by route; see the module.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By [`RouteId::index`].
    in_flight: Vec<u32>,
    /// By [`RouteId::index`].
    rows: Vec<RouteSettings>,
    /// Those with a limit.
    limited: Vec<RouteId>,
}

impl Routes {
    pub(crate) fn new(rows: &[RouteSettings]) -> Self {
        let mut routes = Self::default();
        routes.reconfigure(rows);
        routes
    }

    /// Puts new limits and costs in force for whoever is not in flight yet.
    pub(crate) fn reconfigure(&mut self, rows: &[RouteSettings]) {
        self.rows = rows.to_vec();
        let ids = (0..=u16::MAX).map(RouteId::new);
        let limited = ids.zip(rows).filter(|(_, row)| row.concurrency.is_some());
        self.limited = limited.map(|(id, _)| id).collect();
    }

    /// How many slots a request takes.
    pub(crate) fn cost(&self, request: &Request) -> NonZeroU32 {
        match self.rows.get(request.route.index()).map(|row| row.cost) {
            Some(RouteCost::Fixed(cost)) => request.cost.max(cost),
            Some(RouteCost::Learned) | None => request.cost,
        }
    }

    /// Whether a route has a limit.
    pub(crate) fn is_limited(&self, route: RouteId) -> bool {
        self.rows.get(route.index()).is_some_and(|row| row.concurrency.is_some())
    }

    /// Whether a route is at its limit.
    #[inline]
    pub(crate) fn is_full(&self, route: RouteId) -> bool {
        self.of_limit(route).is_some_and(|(in_flight, limit)| in_flight >= limit.get())
    }

    /// How many requests of a route are in flight, and its limit, if it has one.
    #[inline]
    pub(crate) fn of_limit(&self, route: RouteId) -> Option<(u32, NonZeroU32)> {
        let limit = self.rows.get(route.index())?.concurrency?;
        Some((self.in_flight_of(route), limit))
    }

    /// How many requests of a route are in flight.
    pub(crate) fn in_flight_of(&self, route: RouteId) -> u32 {
        self.in_flight.get(route.index()).copied().unwrap_or(0)
    }

    /// The routes that have a limit.
    pub(crate) fn limited(&self) -> impl Iterator<Item = RouteId> + '_ {
        self.limited.iter().copied()
    }

    /// The routes that are at their limit.
    pub(crate) fn full(&self) -> impl Iterator<Item = RouteId> + '_ {
        self.limited().filter(|route| self.is_full(*route))
    }

    /// A request of this route is in flight from now on.
    #[inline]
    pub(crate) fn begin(&mut self, route: RouteId) {
        match self.in_flight.get_mut(route.index()) {
            Some(count) => *count += 1,
            None => self.grow(route),
        }
    }

    /// A request of this route is not in flight any more.
    #[inline]
    pub(crate) fn end(&mut self, route: RouteId) {
        self.in_flight[route.index()] -= 1;
    }

    /// By [`RouteId::index`], as far as there were any.
    pub(crate) fn in_flight(&self) -> &[u32] {
        &self.in_flight
    }

    #[cold]
    fn grow(&mut self, route: RouteId) {
        self.in_flight.resize(route.index() + 1, 0);
        self.in_flight[route.index()] = 1;
    }
}
