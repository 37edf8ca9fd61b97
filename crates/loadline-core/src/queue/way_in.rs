//! The way into the queue: whether a newcomer gets a place, and who gives way to it when the queue is full.
//!
//! The queue is full when as many wait as [`depth`](crate::QueueSettings::depth) allows, or when the waiters and the newcomer
//! would hold more bytes than [`held_bytes`](crate::QueueSettings::held_bytes). Then, in this order:
//!
//! 1. One whose time is up gives way.
//! 2. One of the lowest class does, if that is below the newcomer's: its oldest, which has used up most of its time, and is told so
//!    while its client still listens; where tenants are treated alike, the oldest of the tenant that waits for the most slot time.
//! 3. If the newcomer's own class is the lowest and tenants are treated alike: one of the tenant that waits for the most slot time, if
//!    that is more than the newcomer's tenant waits for, the newcomer included (longest queue drop: Suter et al. 1999, "Buffer
//!    management schemes for supporting TCP in gigabit routers with per-flow queueing"). It is the one that would be served last.
//! 4. With newest-first service, the oldest of its own class does (of its own tenant), as it would be the last to be served.
//!    Whose cohort is behind takes the place of others behind only.
//!
//! Witnesses are spared as long as there are others, and critical ones never give way. Else the newcomer is refused. A newcomer that
//! holds much may take the place of several; only if there are enough for it does anybody give way.

use crate::{Class, Discipline, Instant, Reason, Request, Rule, Ticket, routes::Routes};

use super::{Entry, Link, Pace, Queue, group::Order, groups::Place};

/// No request counts for more slot time than this, about 18 minutes: sums stay far from overflow.
const MAX_WORK: u64 = 1 << 40;

/// A request that is to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    request: Request,
    /// The slot time that it is expected to need, in nanoseconds.
    work: u64,
}

/// How a newcomer gets its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// There is one.
    Free,
    /// From this one, whose time is up.
    InsteadOfExpired(u32),
    /// From somebody of this class.
    InsteadOf(Class),
    /// From somebody of the newcomer's class, of the tenant with this group.
    InsteadOfTenant(u32),
}

impl Newcomer {
    /// It is expected to take so long.
    pub(crate) fn new(request: Request, service_nanos: u64) -> Self {
        let work = u64::from(request.cost.get()).saturating_mul(service_nanos.max(1));
        Self { request, work: work.min(MAX_WORK) }
    }
}

impl Queue {
    /// How a newcomer gets a place in the queue, of which the depth is not 0; or which rule refuses it.
    pub(crate) fn way_in(&self, now: Instant, newcomer: &Newcomer, pace: &Pace) -> Result<Way, Rule> {
        let is_full = self.waiting() >= self.settings.depth;
        let shortfall = self.shortfall(newcomer);
        if !self.entries.has_room() {
            return Err(Rule::QueueDepth);
        }
        if !is_full && shortfall == 0 {
            return Ok(Way::Free);
        }
        let way = self.who_gives_way(now, newcomer, pace);
        if shortfall == 0 {
            return way;
        }
        match way {
            Ok(way) if self.can_give(now, newcomer, pace, way) >= shortfall => Ok(way),
            Err(Rule::TenantShare) => way,
            _ => Err(Rule::HeldBytes),
        }
    }

    /// Lets a newcomer wait, in the way that [`Self::way_in`] has just found.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        newcomer: &Newcomer,
        way: Way,
        pace: &Pace,
        routes: &Routes,
    ) -> Ticket {
        let mut next = Some(way);
        while let Some(way) = next {
            self.make_room(now, newcomer, way, pace, routes);
            let more = self.shortfall(newcomer) > 0;
            // The oldest having left, the class may count as healthy again: what was found must hold all the same.
            let still = matches!(way, Way::InsteadOf(_)).then_some(way);
            next = more.then(|| self.who_gives_way(now, newcomer, pace).ok().or(still)).flatten();
        }
        let Newcomer { request, work } = *newcomer;
        let place = self.place(now, &request, pace);
        let timeout = self.settings.timeout.map(|timeout| now + timeout);
        let expires = timeout.into_iter().chain(request.deadline).min();
        let ticket = self.entries.insert(Entry {
            request,
            arrived: now,
            expires,
            dispatched_before: self.dispatched,
            gave_way: None,
            witness: false,
            work,
            group: 0,
            links: [Link::NONE; 2],
        });
        if request.retry {
            self.retries += u64::from(request.cost.get());
        }
        self.lines[request.class.index()].push(&mut self.entries, ticket.slot(), now, place, routes);
        if let Some(at) = expires {
            self.expiry.insert(at, ticket);
        }
        ticket
    }

    /// The lowest class that somebody gives way to in a full queue.
    pub(crate) fn class_that_pushes_out(&self) -> Option<Class> {
        let lowest = self.lowest_class()?;
        Class::QUEUED[..lowest.index()].last().copied()
    }

    /// By how many bytes this newcomer is over the bound.
    fn shortfall(&self, newcomer: &Newcomer) -> u64 {
        match (self.settings.held_bytes, newcomer.request.held_bytes) {
            (None, _) | (_, 0) => 0,
            (Some(bound), bytes) => (self.held_bytes() + u64::from(bytes)).saturating_sub(bound),
        }
    }

    /// Who gives way first, or the rule by which nobody does.
    fn who_gives_way(&self, now: Instant, newcomer: &Newcomer, pace: &Pace) -> Result<Way, Rule> {
        if let Some((at, expired)) = self.expiry.first()
            && at <= now
        {
            return Ok(Way::InsteadOfExpired(expired));
        }
        let class = newcomer.request.class;
        match self.lowest_class() {
            Some(lowest) if lowest.index() > class.index() => Ok(Way::InsteadOf(lowest)),
            Some(lowest) if lowest == class && class != Class::Critical => {
                let may_take_a_place = || {
                    let others_are_behind = !self.lines[class.index()].groups().nobody_is_behind();
                    others_are_behind || self.place(now, &newcomer.request, pace) != Place::Behind
                };
                if self.fair {
                    self.tenant_that_gives_way(now, newcomer, pace)
                } else if self.newest_first(now, class, pace) && may_take_a_place() {
                    Ok(Way::InsteadOf(class))
                } else {
                    Err(Rule::QueueDepth)
                }
            }
            _ => Err(Rule::QueueDepth),
        }
    }

    /// The same within a class of tenants.
    fn tenant_that_gives_way(&self, now: Instant, newcomer: &Newcomer, pace: &Pace) -> Result<Way, Rule> {
        let class = newcomer.request.class;
        let groups = self.lines[class.index()].groups();
        let own = groups.tenant(newcomer.request.tenant);
        let wants = own.map_or(0, |tenant| tenant.work) + newcomer.work;
        let longest = groups.longest();
        if let Some(longest) = longest
            && own.is_none_or(|own| own.group != longest.group)
            && longest.work > wants
        {
            return Ok(Way::InsteadOfTenant(longest.group));
        }
        let newest_first = self.newest_first(now, class, pace);
        match own {
            Some(own) if newest_first => Ok(Way::InsteadOfTenant(own.group)),
            Some(_) if groups.tenants() > 1 => Err(Rule::TenantShare),
            None if newest_first => Ok(Way::InsteadOf(class)),
            _ => Err(Rule::QueueDepth),
        }
    }

    /// At least how many bytes come free when whoever may gives way to this newcomer.
    fn can_give(&self, now: Instant, newcomer: &Newcomer, pace: &Pace, way: Way) -> u64 {
        let class = newcomer.request.class;
        let below = self.lines[class.index() + 1..].iter().map(|line| line.held_bytes()).sum::<u64>();
        let own = match way {
            Way::InsteadOfExpired(index) if self.entries[index].request.class.index() <= class.index() => {
                u64::from(self.entries[index].request.held_bytes)
            }
            Way::InsteadOfTenant(group) => {
                let index = self.who_of_tenant(now, class, pace, group);
                index.map_or(0, |index| u64::from(self.entries[index].request.held_bytes))
            }
            Way::InsteadOf(lowest) if lowest == class && self.fair => {
                let index = self.lines[class.index()].first_to_give_way(&self.entries);
                index.map_or(0, |index| u64::from(self.entries[index].request.held_bytes))
            }
            Way::InsteadOf(lowest)
                if lowest == class && self.place(now, &newcomer.request, pace) == Place::Common =>
            {
                self.lines[class.index()].held_bytes()
            }
            _ => 0,
        };
        below + own
    }

    fn make_room(&mut self, now: Instant, newcomer: &Newcomer, way: Way, pace: &Pace, routes: &Routes) {
        let class = newcomer.request.class;
        let (index, reason) = match way {
            Way::Free => return,
            Way::InsteadOfExpired(index) => (Some(index), self.why_expired(now, index)),
            Way::InsteadOfTenant(group) => {
                let groups = self.lines[class.index()].groups();
                let own = groups.tenant(newcomer.request.tenant).is_some_and(|own| own.group == group);
                // Whose tenant is the only one does not give way to tenants.
                let reason = if own && groups.tenants() == 1 { Reason::QueueFull } else { Reason::Fairness };
                (self.who_of_tenant(now, class, pace, group), reason)
            }
            Way::InsteadOf(class) => {
                let line = &mut self.lines[class.index()];
                let index = match self.settings.discipline {
                    Discipline::Adaptive => line.makes_room(&mut self.entries, now, pace, routes),
                    Discipline::Fifo | Discipline::Lifo | Discipline::Codel => {
                        line.first_to_give_way(&self.entries)
                    }
                };
                (index, Reason::QueueFull)
            }
        };
        let index = index.expect("somebody was found who gives way");
        self.give_way(now, index, reason, pace, routes);
    }

    /// Who of this tenant gives way first: whoever would be served last.
    fn who_of_tenant(&self, now: Instant, class: Class, pace: &Pace, group: u32) -> Option<u32> {
        let groups = self.lines[class.index()].groups();
        match self.order(now, class, pace) {
            Order::Oldest => groups.newest_of(group, &self.entries),
            Order::Newest | Order::Cheapest => groups.oldest_of(group, &self.entries),
        }
    }

    /// In which group of its class this one would wait.
    fn place(&self, now: Instant, request: &Request, pace: &Pace) -> Place {
        if self.fair {
            return Place::OfTenant(request.tenant);
        }
        match request.cohort {
            Some(cohort)
                if self.lines[request.class.index()].cohorts().is_behind(cohort)
                    && self.order(now, request.class, pace) == Order::Cheapest =>
            {
                Place::Behind
            }
            _ => Place::Common,
        }
    }

    fn lowest_class(&self) -> Option<Class> {
        Class::QUEUED.into_iter().rev().find(|class| self.lines[class.index()].len() > 0)
    }
}
