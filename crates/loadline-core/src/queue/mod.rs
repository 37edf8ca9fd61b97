//! The queue: who waits, who is next, who gives way, who expires.
//!
//! One line per class, in order of arrival. Who of them is next is a matter of the classes and of the discipline, not of the
//! lines ([`order`]), so a change of discipline moves nobody; who may come too late for its deadline gives its turn to one that has
//! time ([`slack`]). Where a class's waiters are not all alike, they are also kept by
//! tenant and route ([`groups`]).
//!
//! Every operation is O(1) for plain requests, but for the expiry heap's O(log n); O(log n + number of routes that wait) for those with
//! tenants and routes. A look at all waiters of a class, to learn how long they wait, is taken so rarely that each pays for less
//! than a thousandth of the time ([`patience`]).
//!
//! A waiter gives way when it waits in vain ([`mod@line`]), or to a newcomer in a full queue ([`mod@way_in`]). The latter leaves its
//! line at once and is answered by the next `poll`. The critical class gives way only when all do ([`mod@way_out`]).

mod codel;
mod cohorts;
mod entry;
mod expiry;
mod group;
mod groups;
mod line;
mod list;
mod order;
mod overload;
mod patience;
mod shares;
mod slab;
mod slack;
mod way_in;
mod way_out;

use crate::{Class, Discipline, Duration, Instant, QueueSettings, Reason, Request, Ticket, routes::Routes};
use entry::{Entry, Link};
use expiry::Expiry;
use line::Line;
use list::List;
use slab::Slab;

pub(crate) use line::Pace;
pub(crate) use order::Room;
pub(crate) use way_in::{Newcomer, Way};

/// The waiters; see the module.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: QueueSettings,
    /// Whether tenants are treated alike.
    fair: bool,
    entries: Slab<Entry>,
    lines: [Line; Class::QUEUED.len()],
    /// Entries that gave way and must still be told, in the order in which they did.
    giving_way: List,
    expiry: Expiry,
    /// How many were dispatched so far.
    dispatched: u64,
    /// How many were dispatched since a class below theirs has waited too long, and since it had its turn.
    overtaken: u32,
    /// The slots that retries need which have not been answered yet.
    retries: u64,
}

/// A waiter that was taken out.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) ticket: Ticket,
    pub(crate) request: Request,
    pub(crate) arrived: Instant,
    /// One more than the number of those dispatched while it waited: its own place among them, from 1, if it is itself
    /// dispatched now.
    pub(crate) depth: u32,
    /// Why it gave way, if it did.
    gave_way: Option<Reason>,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings, fair: bool) -> Self {
        Self {
            settings,
            fair,
            entries: Slab::new(),
            lines: std::array::from_fn(|_| Line::new()),
            giving_way: List::EMPTY,
            expiry: Expiry::new(),
            dispatched: 0,
            overtaken: 0,
            retries: 0,
        }
    }

    /// In force for newcomers and for the order of service from now on. Whoever waits keeps its place and its timeout.
    pub(crate) fn reconfigure(&mut self, settings: QueueSettings) {
        self.settings = settings;
    }

    /// Sorts everybody into tenants and routes anew, because these count in another way from now on.
    pub(crate) fn regroup(&mut self, fair: bool, routes: &Routes) {
        self.fair = fair;
        self.lines.iter_mut().for_each(|line| line.regroup(&mut self.entries, fair, routes));
    }

    /// Nobody of this class or of a higher one waits for a slot; who waits for his route does not count.
    #[inline]
    pub(crate) fn is_clear_for(&self, class: Class, routes: &Routes) -> bool {
        self.waiting() == 0 || !self.lines[..=class.index()].iter().any(|line| line.has_ready(routes))
    }

    /// The bytes that the waiters hold.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.lines.iter().map(Line::held_bytes).sum()
    }

    /// Nobody waits, and nobody is to be told anything.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.entries.len() == 0
    }

    /// How many wait for a slot.
    pub(crate) const fn waiting(&self) -> u32 {
        self.entries.len() - self.giving_way.len()
    }

    /// The slots needed by retries that have not been answered yet.
    pub(crate) const fn retries_waiting(&self) -> u64 {
        self.retries
    }

    /// How many have not been answered yet.
    pub(crate) const fn all_unanswered(&self) -> u32 {
        self.entries.len()
    }

    /// How many of this class have not been answered yet.
    pub(crate) fn unanswered(&self, class: Class) -> u32 {
        let giving_way = match self.giving_way.len() {
            0 => 0,
            _ => {
                self.giving_way.iter(&self.entries).filter(|(_, entry)| entry.request.class == class).count()
            }
        };
        let waiting = self.lines.get(class.index()).map_or(0, Line::len);
        waiting + u32::try_from(giving_way).expect("fewer than 2^32 waiters")
    }

    /// When the oldest waiter of this class arrived.
    pub(crate) fn oldest(&self, class: Class) -> Option<Instant> {
        self.lines.get(class.index())?.oldest_arrival(&self.entries)
    }

    /// The verdict on this class at `now`.
    pub(crate) fn is_overloaded(&self, now: Instant, class: Class, pace: &Pace) -> bool {
        self.lines.get(class.index()).is_some_and(|line| line.is_overloaded(&self.entries, now, pace))
    }

    /// How many tenants of this class wait; 0 where tenants do not count.
    pub(crate) fn tenants(&self, class: Class) -> u32 {
        let tenants = self.lines.get(class.index()).map_or(0, |line| line.groups().tenants());
        u32::try_from(tenants).expect("no more tenants than waiters")
    }

    /// How long half of the clients of this class would wait, as far as known.
    pub(crate) fn median_patience(&self, now: Instant, class: Class) -> Option<Duration> {
        self.lines.get(class.index())?.median_patience(&self.entries, now)
    }

    /// The slots needed by those who would be served before this newcomer, at least.
    pub(crate) fn slots_ahead(&self, now: Instant, request: &Request, pace: &Pace, routes: &Routes) -> u64 {
        let class = request.class;
        let above = self.lines[..class.index()].iter().map(|line| line.ready_cost(routes)).sum::<u64>();
        let line = &self.lines[class.index()];
        if self.newest_first(now, class, pace) {
            return above;
        }
        let all = line.ready_cost(routes);
        if !self.fair {
            return above + all;
        }
        // While its own tenant is served so much, each of the others is too, as far as it has waiters.
        let own = line.groups().tenant(request.tenant).map_or(0, |tenant| tenant.cost);
        above + all.min(own.saturating_mul(line.groups().tenants() as u64))
    }

    /// How many of this newcomer's route would be served before it, at least.
    pub(crate) fn of_route_ahead(&self, now: Instant, request: &Request, pace: &Pace) -> u32 {
        let class = request.class;
        // Whose turn it is between tenants is not known beforehand.
        let own = !self.fair && !self.newest_first(now, class, pace);
        let before = &self.lines[..class.index() + usize::from(own)];
        before.iter().map(|line| line.waiting_of(request.route)).sum()
    }

    /// Takes a waiter out, wherever it is, unless it was answered already.
    pub(crate) fn cancel(
        &mut self,
        now: Instant,
        ticket: Ticket,
        pace: &Pace,
        routes: &Routes,
    ) -> Option<Left> {
        self.entries.contains(ticket).then(|| self.take(now, ticket.slot(), pace, routes, true))
    }

    /// Takes out the next whose wait is over without a slot, and says why.
    pub(crate) fn pop_rejected(
        &mut self,
        now: Instant,
        pace: &Pace,
        routes: &Routes,
    ) -> Option<(Left, Reason)> {
        if let Some(index) = self.giving_way.oldest() {
            let left = self.take(now, index, pace, routes, false);
            let reason = left.gave_way.expect("who gives way knows why");
            return Some((left, reason));
        }
        let (index, reason) = match self.expiry.first() {
            Some((at, expired)) if at <= now => (expired, self.why_expired(now, expired)),
            _ => (self.in_vain(now, pace, routes)?, Reason::Codel),
        };
        Some((self.take(now, index, pace, routes, false), reason))
    }

    /// When the next expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _)| at)
    }

    /// When the holder of this ticket expires.
    pub(crate) fn expires(&self, ticket: Ticket) -> Option<Instant> {
        if self.entries.contains(ticket) { self.entries[ticket.slot()].expires } else { None }
    }

    /// One more than the number of waiters dispatched since this one arrived; `None` if it does not wait.
    pub(crate) fn depth_of(&self, ticket: Ticket) -> Option<u32> {
        let waits = self.entries.contains(ticket);
        waits.then(|| self.depth_since(self.entries[ticket.slot()].dispatched_before))
    }

    fn depth_since(&self, dispatched_before: u64) -> u32 {
        u32::try_from(self.dispatched - dispatched_before + 1).unwrap_or(u32::MAX)
    }

    /// Panics unless lists, heap and storage agree. O(n).
    pub(crate) fn check(&self) {
        let mut linked = 0;
        let mut expiring = 0;
        for class in Class::QUEUED {
            let mut before = None;
            for (index, entry) in self.lines[class.index()].iter(&self.entries) {
                let place = (!entry.witness, entry.arrived, self.entries.ticket(index).serial());
                assert!(
                    before < Some(place),
                    "class {class} is in order of arrival, the witnesses and the rest"
                );
                assert!(
                    entry.request.class == class && entry.gave_way.is_none(),
                    "{entry:?} waits in class {class}"
                );
                before = Some(place);
                linked += 1;
                expiring += usize::from(entry.expires.is_some());
            }
            self.lines[class.index()].check(&self.entries);
        }
        for (_, entry) in self.giving_way.iter(&self.entries) {
            assert!(entry.gave_way.is_some(), "{entry:?} gives way");
            linked += 1;
        }
        assert_eq!(linked, self.entries.len(), "every waiter is in exactly one list");
        assert_eq!(expiring, self.expiry.len(), "whoever has a timeout will expire");
        self.expiry.check();
    }

    /// Why this one, whose time is up, is rejected.
    fn why_expired(&self, now: Instant, index: u32) -> Reason {
        match self.entries[index].request.deadline {
            Some(deadline) if deadline <= now => Reason::DeadlineExpired,
            _ => Reason::QueueTimeout,
        }
    }

    /// Who waits in vain, under the discipline that cares; see [`mod@line`].
    fn in_vain(&mut self, now: Instant, pace: &Pace, routes: &Routes) -> Option<u32> {
        if self.settings.discipline != Discipline::Adaptive {
            return None;
        }
        let exempt = Class::Critical.index();
        let lines = self.lines.iter_mut().enumerate().filter(|(row, _)| *row != exempt);
        lines.map(|(_, line)| line).find_map(|line| line.in_vain(&mut self.entries, now, pace, routes))
    }

    /// Takes an entry out of its class and of the expiry heap; `departed` if its client left.
    fn stop_waiting(&mut self, now: Instant, index: u32, pace: &Pace, routes: &Routes, departed: bool) {
        let row = self.entries[index].request.class.index();
        self.lines[row].unlink(&mut self.entries, index, now, pace, routes, departed);
        self.expiry.remove(index);
    }

    /// Takes an entry out of its line, to be told this reason.
    fn give_way(&mut self, now: Instant, index: u32, reason: Reason, pace: &Pace, routes: &Routes) {
        self.stop_waiting(now, index, pace, routes, false);
        self.entries[index].gave_way = Some(reason);
        self.giving_way.push(&mut self.entries, index);
    }

    /// Takes an entry out altogether; `departed` if its client left.
    fn take(&mut self, now: Instant, index: u32, pace: &Pace, routes: &Routes, departed: bool) -> Left {
        if self.entries[index].gave_way.is_some() {
            self.giving_way.unlink(&mut self.entries, index);
        } else {
            self.stop_waiting(now, index, pace, routes, departed);
        }
        let ticket = self.entries.ticket(index);
        let entry = self.entries.remove(index);
        if entry.request.retry {
            self.retries -= u64::from(entry.request.cost.get());
        }
        if self.entries.len() == 0 {
            self.expiry.give_back();
        }
        Left {
            ticket,
            request: entry.request,
            arrived: entry.arrived,
            depth: self.depth_since(entry.dispatched_before),
            gave_way: entry.gave_way,
        }
    }
}
