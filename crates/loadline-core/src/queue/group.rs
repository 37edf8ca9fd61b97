//! One group of waiters of a class: its flows, one per route, and which of them is first. Why there are groups, and what makes a flow
//! cheap, is said in [`mod@super::groups`].

use crate::{RouteId, TenantId, routes::Routes};

use super::{
    entry::Entry,
    list::{BY_FLOW, List},
    shares::Shares,
    slab::Slab,
};

/// Flows that cost less than this many times the cheapest are equally cheap: less than a predicted service time varies by itself,
/// and the answers that a stricter order would gain are few.
pub(super) const ALIKE: u64 = 2;

/// The pool of all routes without a limit. That of a route with one is its number plus one.
pub(super) const OPEN: u32 = 0;

/// Which end is first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Oldest,
    Newest,
    /// Newest first, but cheap before expensive, and whose cohort is behind last.
    Cheapest,
}

/// Waiters that are treated as one: a tenant's, or all.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) tenant: Option<TenantId>,
    /// By route.
    pub(super) flows: Vec<Flow>,
    pub(super) len: u32,
    /// Slots that its waiters need.
    pub(super) cost: u64,
    /// Slot time that they need, in nanoseconds.
    pub(super) work: u64,
    /// See [`mod@super::groups`]; unused where tenants do not count.
    pub(super) tag: u64,
    pub(super) in_share: bool,
}

/// Waiters of one route in one group.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) route: RouteId,
    pub(super) pool: u32,
    pub(super) list: List<BY_FLOW>,
}

/// Who is served before somebody, at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) len: u32,
    /// The slots that they need.
    pub(super) cost: u64,
}

impl Group {
    /// The flow of a route.
    pub(super) fn flow(&mut self, route: RouteId, routes: &Routes) -> &mut Flow {
        let position = match self.flows.binary_search_by_key(&route, |flow| flow.route) {
            Ok(position) => position,
            Err(position) => {
                let pool = if routes.is_limited(route) { pool_of(route) } else { OPEN };
                self.flows.insert(position, Flow { route, pool, list: List::EMPTY });
                position
            }
        };
        &mut self.flows[position]
    }

    /// Whose turn it is in this group.
    pub(super) fn head(
        &self,
        entries: &Slab<Entry>,
        order: Order,
        routes: &Routes,
        shares: &Shares,
    ) -> Option<u32> {
        if let [only] = &self.flows[..] {
            let list = if routes.is_full(only.route) { &List::EMPTY } else { &only.list };
            return if order == Order::Oldest { list.oldest() } else { list.newest() };
        }
        let ready = || self.flows.iter().filter(|flow| flow.list.len() > 0 && !routes.is_full(flow.route));
        match order {
            Order::Oldest => {
                ready().filter_map(|flow| flow.list.oldest()).min_by_key(|index| serial(entries, *index))
            }
            Order::Newest => newest(entries, ready()),
            Order::Cheapest => {
                let work = |flow: &&Flow| flow.list.newest().map_or(0, |newest| entries[newest].work);
                let bound = ready().map(|flow| work(&flow)).min()?.saturating_mul(ALIKE);
                if ready().all(|flow| work(&flow) < bound) {
                    return newest(entries, ready());
                }
                let owed = ready().map(|flow| (shares.credit(flow.route), flow));
                let owed = owed.filter(|(credit, _)| *credit > 0.0).max_by(|(a, _), (b, _)| a.total_cmp(b));
                match owed {
                    Some((_, flow)) => flow.list.newest(),
                    None => newest(entries, ready().filter(|flow| work(flow) < bound)),
                }
            }
        }
    }

    /// The flow of which one request costs most.
    pub(super) fn dearest(&self, entries: &Slab<Entry>) -> Option<&Flow> {
        let work = |flow: &&Flow| flow.list.newest().map(|newest| entries[newest].work);
        self.flows.iter().max_by_key(work)
    }

    /// Who of this group is served before this one of it, at least: the cheap, and of those that cost about the same as many as
    /// are known to be newer.
    pub(super) fn before(&self, entries: &Slab<Entry>, index: u32) -> Before {
        let Entry { request, work, .. } = entries[index];
        let mut before = Before { len: self.len - 1, cost: self.cost - u64::from(request.cost.get()) };
        for flow in self.flows.iter().filter(|flow| flow.route != request.route) {
            let (Some(newest), Some(oldest)) = (flow.list.newest(), flow.list.oldest()) else { continue };
            let other = entries[newest].work;
            let is_cheap = other.saturating_mul(ALIKE) <= work;
            let is_alike_and_newer =
                other < work.saturating_mul(ALIKE) && serial(entries, oldest) > serial(entries, index);
            if !is_cheap && !is_alike_and_newer {
                before.len -= flow.list.len();
                before.cost -= flow.list.cost();
            }
        }
        before
    }

    /// The pools in which it has waiters, and the newest in each.
    pub(super) fn pools<'a>(&'a self, entries: &'a Slab<Entry>) -> impl Iterator<Item = (u32, u64)> + 'a {
        let newest = |flow: &Flow| Some((flow.pool, serial(entries, flow.list.newest()?)));
        let open = self.flows.iter().filter(|flow| flow.pool == OPEN).filter_map(newest).max();
        let limited = self.flows.iter().filter(|flow| flow.pool != OPEN).filter_map(newest);
        open.into_iter().chain(limited)
    }
}

/// The newest of these flows' waiters.
fn newest<'a>(entries: &Slab<Entry>, flows: impl Iterator<Item = &'a Flow>) -> Option<u32> {
    flows.filter_map(|flow| flow.list.newest()).max_by_key(|index| serial(entries, *index))
}

/// Counts waiters in order of arrival.
pub(super) fn serial(entries: &Slab<Entry>, index: u32) -> u64 {
    entries.ticket(index).serial()
}

pub(super) fn pool_of(route: RouteId) -> u32 {
    u32::try_from(route.index()).expect("a route is a number of 16 bits") + 1
}
