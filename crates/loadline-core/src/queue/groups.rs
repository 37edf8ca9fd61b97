//! Whose turn it is among the waiters of one class, when they are not all alike.
//!
//! Waiters of one tenant form a *group*, those of one route in it a *flow*. Where tenants do not count, all are in one group, but
//! for those whose [cohort](super::cohorts) is behind, who are in another. A request of which nothing is known but its class is
//! in the only flow of the only group, and found without a search.
//!
//! # Routes at their limit
//! A flow whose route is at its own limit is passed over. Limited routes have a *pool* each, all others share one; what is ordered
//! below is ordered per pool, so the waiters of a full route are passed over at once, however many they are.
//!
//! # Cost
//! Under overload ([`Order::Cheapest`]) the flow with the least predicted slot time is served first, the newest of it. Flows that cost
//! less than [`ALIKE`](super::group::ALIKE) times the cheapest count as equally cheap, so that nobody is put off for a millisecond. A route that is
//! owed its floor goes first: [`mod@super::shares`].
//!
//! # Tenants
//! Fair is what gives each tenant that waits the same slot time. Each has a *tag*, in nanoseconds of slot time, and the class a
//! *round*:
//!
//! ```text
//! a tenant begins to wait:         tag = round
//! one of its waiters is served:    tag = tag + predicted slot time,   round = round + predicted slot time ÷ tenants that wait
//! in its share:                    tag ≤ round
//! ```
//!
//! The round is what each would have got by now if all were served at once, a little each (Demers, Keshav, Shenker 1989, "Analysis
//! and simulation of a fair queueing algorithm"; that who is ahead of it must wait is from Bennett, Zhang 1996, "WF²Q").
//! Served is the tenant with the lowest tag; under newest-first, the tenant in its share with the newest waiter; if nobody is in his
//! share, again the one with the lowest tag, as no slot stays free. Deficit round robin (Shreedhar, Varghese 1995) has the same
//! aim with a quantum per turn. Here it would have to be as large as the dearest request, which can cost a thousand times the
//! cheapest; and its turns have an order of their own, oldest first in effect, which is what newest-first service must avoid
//! under overload.
//!
//! Whoever stops waiting is forgotten, so there are never more tenants than waiters.
//!
//! Worked number: one tenant has 100 waiters of 10 ms, nine others have one each. The round grows by 1 ms with each served, so in
//! 100 ms of slot time each of the ten gets 10 ms. The nine are served, then the one gets everything.

use std::collections::{BTreeMap, BTreeSet};

use crate::{TenantId, routes::Routes};

use super::{
    entry::Entry,
    group::{Before, Group, OPEN, Order, pool_of, serial},
    shares::Shares,
    slab::Slab,
};

/// The group of all, where tenants do not count.
pub(super) const COMMON: u32 = 0;
/// The group of those whose cohort is behind.
pub(super) const BEHIND: u32 = 1;

/// In which group somebody waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Common,
    Behind,
    /// Who has no tenant shares a group with the others who have none.
    OfTenant(Option<TenantId>),
}

/// The groups of one class; see the module.
#[derive(Debug)]
pub(super) struct Groups {
    /// The two that are always there, then those of tenants.
    all: Vec<Group>,
    /// Which of the latter are unused.
    vacant: Vec<u32>,
    tenants: BTreeMap<Option<TenantId>, u32>,
    /// The tenants by pool and tag.
    by_tag: BTreeSet<(u32, u64, u32)>,
    /// Those in their share, by pool and newest waiter.
    by_newest: BTreeSet<(u32, u64, u32)>,
    /// Those ahead of their share, by tag.
    ahead: BTreeSet<(u64, u32)>,
    /// The tenants by the slot time that they wait for.
    by_work: BTreeSet<(u64, u32)>,
    round: u64,
}

/// What a tenant waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant {
    pub(super) group: u32,
    /// In slots.
    pub(super) cost: u64,
    /// In nanoseconds of slot time.
    pub(super) work: u64,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self {
            all: vec![Group::default(), Group::default()],
            vacant: Vec::new(),
            tenants: BTreeMap::new(),
            by_tag: BTreeSet::new(),
            by_newest: BTreeSet::new(),
            ahead: BTreeSet::new(),
            by_work: BTreeSet::new(),
            round: 0,
        }
    }

    /// Whether nobody's cohort is behind.
    pub(super) fn nobody_is_behind(&self) -> bool {
        self.all[BEHIND as usize].len == 0
    }

    /// Appends an entry that is in no group.
    pub(super) fn push(&mut self, entries: &mut Slab<Entry>, index: u32, place: Place, routes: &Routes) {
        let group = match place {
            Place::Common => COMMON,
            Place::Behind => BEHIND,
            Place::OfTenant(tenant) => self.group_of(tenant),
        };
        entries[index].group = group;
        let Entry { request, work, .. } = entries[index];
        let is_tenants = matches!(place, Place::OfTenant(_));
        if is_tenants {
            self.unlist(group, entries);
        }
        let of = &mut self.all[group as usize];
        of.flow(request.route, routes).list.push(entries, index);
        of.len += 1;
        of.cost += u64::from(request.cost.get());
        of.work += work;
        if is_tenants {
            self.list(group, entries);
        }
    }

    /// Takes out an entry that is in a group.
    pub(super) fn unlink(&mut self, entries: &mut Slab<Entry>, index: u32, routes: &Routes) {
        let Entry { request, work, group, .. } = entries[index];
        let is_tenants = group != COMMON && group != BEHIND;
        if is_tenants {
            self.unlist(group, entries);
        }
        let of = &mut self.all[group as usize];
        of.flow(request.route, routes).list.unlink(entries, index);
        of.len -= 1;
        of.cost -= u64::from(request.cost.get());
        of.work -= work;
        match of.len {
            0 if is_tenants => {
                self.tenants.remove(&of.tenant);
                of.flows.clear();
                self.vacant.push(group);
                if self.tenants.is_empty() {
                    self.give_back();
                }
            }
            _ if is_tenants => self.list(group, entries),
            _ => {}
        }
    }

    /// A waiter is about to be served: its tenant gets so much slot time.
    pub(super) fn give(&mut self, entries: &Slab<Entry>, index: u32) {
        let Entry { work, group, .. } = entries[index];
        if self.tenants.is_empty() {
            return;
        }
        self.unlist(group, entries);
        let tag = self.all[group as usize].tag;
        // Where all are ahead of their share, the round was too slow.
        let lowest = self.ahead.first().map_or(tag, |(lowest, _)| tag.min(*lowest));
        if self.by_newest.is_empty() && lowest > self.round {
            self.round = lowest;
        }
        self.round = self.round.saturating_add(work / self.tenants.len() as u64);
        self.all[group as usize].tag = tag.saturating_add(work);
        self.list(group, entries);
        while let Some((tag, group)) = self.ahead.first().copied().filter(|(tag, _)| *tag <= self.round) {
            self.ahead.remove(&(tag, group));
            self.all[group as usize].in_share = true;
            self.list_as_in_share(group, entries);
        }
    }

    /// Whose turn it is.
    pub(super) fn head(
        &self,
        entries: &Slab<Entry>,
        order: Order,
        routes: &Routes,
        shares: &Shares,
    ) -> Option<u32> {
        let [common, behind, ..] = &self.all[..] else { unreachable!("two groups are always there") };
        if !self.tenants.is_empty() {
            return self.whose_turn(order, routes)?.head(entries, order, routes, shares);
        }
        let first = common.head(entries, order, routes, shares);
        if behind.len == 0 || first.is_some() && order == Order::Cheapest {
            return first;
        }
        let heads = first.into_iter().chain(behind.head(entries, order, routes, shares));
        match order {
            Order::Oldest => heads.min_by_key(|index| serial(entries, *index)),
            Order::Newest | Order::Cheapest => heads.max_by_key(|index| serial(entries, *index)),
        }
    }

    /// What is served before this one, which is in a group, at least. `all` are the waiters of all groups, and their slots.
    pub(super) fn before(&self, entries: &Slab<Entry>, index: u32, all: (u32, u64)) -> Before {
        let Entry { group, request, .. } = entries[index];
        let of = &self.all[group as usize];
        let Before { mut len, mut cost } = of.before(entries, index);
        if group == BEHIND {
            len += self.all[COMMON as usize].len;
            cost += self.all[COMMON as usize].cost;
        } else if group != COMMON {
            // While its own tenant is served so much, each of the others is too, as far as it has waiters.
            let others = self.tenants.len() as u64 - 1;
            let turns = others * (u64::from(len) + 1);
            len += u32::try_from(turns).unwrap_or(u32::MAX).min(all.0 - of.len);
            cost += (others * (cost + u64::from(request.cost.get()))).min(all.1 - of.cost);
        }
        Before { len, cost }
    }

    /// Who gives way first: the oldest of the longest group, or of those whose cohort is behind.
    pub(super) fn first_to_give_way(&self, entries: &Slab<Entry>) -> Option<u32> {
        self.oldest_of(self.served_last(), entries)
    }

    /// Another one who may be the last to be served, besides the oldest of all: the oldest of the dearest.
    pub(super) fn oldest_of_dearest(&self, entries: &Slab<Entry>) -> Option<u32> {
        self.all[self.served_last() as usize].dearest(entries)?.list.oldest()
    }

    pub(super) fn oldest_of(&self, group: u32, entries: &Slab<Entry>) -> Option<u32> {
        let group = &self.all[group as usize];
        if let [only] = &group.flows[..] {
            return only.list.oldest();
        }
        let heads = group.flows.iter().filter_map(|flow| flow.list.oldest());
        heads.min_by_key(|index| serial(entries, *index))
    }

    pub(super) fn newest_of(&self, group: u32, entries: &Slab<Entry>) -> Option<u32> {
        let heads = self.all[group as usize].flows.iter().filter_map(|flow| flow.list.newest());
        heads.max_by_key(|index| serial(entries, *index))
    }

    /// The tenant that waits for the most slot time.
    pub(super) fn longest(&self) -> Option<Tenant> {
        let (work, group) = *self.by_work.last()?;
        Some(Tenant { group, cost: self.all[group as usize].cost, work })
    }

    /// What this tenant waits for, if it does.
    pub(super) fn tenant(&self, tenant: Option<TenantId>) -> Option<Tenant> {
        let group = *self.tenants.get(&tenant)?;
        let Group { cost, work, .. } = self.all[group as usize];
        Some(Tenant { group, cost, work })
    }

    /// How many tenants wait.
    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// Panics unless groups, sets and lists agree.
    pub(super) fn check(&self, entries: &Slab<Entry>) {
        let mut listed = (0, 0);
        for (index, group) in self.all.iter().enumerate() {
            let waiting = group.flows.iter().flat_map(|flow| flow.list.iter(entries));
            let mut sums = (0, 0, 0);
            for (_, entry) in waiting {
                assert_eq!(entry.group as usize, index, "who is in a group knows it");
                assert!(!entry.witness && entry.gave_way.is_none(), "{entry:?} waits for its turn");
                sums = (sums.0 + 1, sums.1 + u64::from(entry.request.cost.get()), sums.2 + entry.work);
            }
            assert_eq!(sums, (group.len, group.cost, group.work), "sums of group {index}");
            for flow in &group.flows {
                let mut waiting = flow.list.iter(entries);
                assert!(waiting.all(|(_, entry)| entry.request.route == flow.route), "flows are by route");
            }
            if index <= BEHIND as usize || group.len == 0 {
                continue;
            }
            let id = u32::try_from(index).expect("fewer than 2^32 groups");
            assert_eq!(self.tenants.get(&group.tenant), Some(&id), "tenants are found");
            assert!(self.by_work.contains(&(group.work, id)), "tenants are ordered by work");
            assert_eq!(group.in_share, group.tag <= self.round, "who is in its share");
            assert_eq!(group.in_share, !self.ahead.contains(&(group.tag, id)), "or ahead of it");
            for (pool, newest) in group.pools(entries) {
                assert!(self.by_tag.contains(&(pool, group.tag, id)), "tenants are ordered by tag");
                assert_eq!(self.by_newest.contains(&(pool, newest, id)), group.in_share, "and by newest");
                listed = (listed.0 + 1, listed.1 + usize::from(group.in_share));
            }
        }
        assert_eq!(listed, (self.by_tag.len(), self.by_newest.len()), "nobody else is listed");
        assert_eq!(self.tenants.len(), self.by_work.len(), "nobody else is listed by work");
        let vacant = self.all[2..].iter().filter(|group| group.len == 0).count();
        assert_eq!(vacant, self.vacant.len(), "vacant groups are known");
    }

    /// The tenant whose turn it is.
    fn whose_turn(&self, order: Order, routes: &Routes) -> Option<&Group> {
        let pools = || {
            let limited = routes.limited().filter(|route| !routes.is_full(*route));
            std::iter::once(OPEN).chain(limited.map(pool_of))
        };
        let of_pool = |pool: u32| (pool, 0, 0)..(pool + 1, 0, 0);
        let newest = || {
            let heads = pools().filter_map(|pool| self.by_newest.range(of_pool(pool)).next_back());
            heads.max_by_key(|(_, newest, _)| *newest)
        };
        let lowest = || {
            let heads = pools().filter_map(|pool| self.by_tag.range(of_pool(pool)).next());
            heads.min_by_key(|(_, tag, group)| (*tag, *group))
        };
        let (_, _, group) = match order {
            Order::Oldest => lowest(),
            Order::Newest | Order::Cheapest => newest().or_else(lowest),
        }?;
        Some(&self.all[*group as usize])
    }

    /// The group with the most to wait for.
    fn served_last(&self) -> u32 {
        match self.by_work.last() {
            Some((_, group)) => *group,
            None if self.nobody_is_behind() => COMMON,
            None => BEHIND,
        }
    }

    fn group_of(&mut self, tenant: Option<TenantId>) -> u32 {
        if let Some(group) = self.tenants.get(&tenant) {
            return *group;
        }
        let group = self.vacant.pop().unwrap_or_else(|| {
            self.all.push(Group::default());
            u32::try_from(self.all.len() - 1).expect("fewer than 2^32 groups")
        });
        self.tenants.insert(tenant, group);
        let of = &mut self.all[group as usize];
        (of.tenant, of.tag, of.in_share) = (tenant, self.round, true);
        group
    }

    /// Puts a tenant that waits into every order.
    fn list(&mut self, group: u32, entries: &Slab<Entry>) {
        let of = &mut self.all[group as usize];
        of.in_share = of.tag <= self.round;
        self.by_work.insert((of.work, group));
        self.by_tag.extend(of.pools(entries).map(|(pool, _)| (pool, of.tag, group)));
        if of.in_share {
            self.list_as_in_share(group, entries);
        } else {
            self.ahead.insert((of.tag, group));
        }
    }

    fn list_as_in_share(&mut self, group: u32, entries: &Slab<Entry>) {
        let pools = self.all[group as usize].pools(entries);
        self.by_newest.extend(pools.map(|(pool, newest)| (pool, newest, group)));
    }

    /// Takes a tenant out of every order, if it is in.
    fn unlist(&mut self, group: u32, entries: &Slab<Entry>) {
        let of = &self.all[group as usize];
        self.by_work.remove(&(of.work, group));
        self.ahead.remove(&(of.tag, group));
        for (pool, newest) in of.pools(entries) {
            self.by_tag.remove(&(pool, of.tag, group));
            self.by_newest.remove(&(pool, newest, group));
        }
    }

    /// Gives back what a spike took. To be called when no tenant is left.
    fn give_back(&mut self) {
        self.all.truncate(2);
        self.vacant.clear();
    }
}
