//! The waiters of one class: their order, the verdict on them, and who of them gives way.
//!
//! # Giving way
//! Under overload a class is served newest first, so its oldest waiter is reached only after all newer ones. When they are too
//! many, it waits for nothing: at the end of its patience the client leaves and tries again, and everything that was queued
//! comes back as a wave when the overload itself is long over. So it is told at once. It gives way ([`Reason::Codel`]) when
//!
//! ```text
//! the class is overloaded, the waiter's age ≥ 2 × target,
//! newer ≥ max(limit, 16), and
//! newer × mean service time > limit × (end − now),   end = min(its expiry, its arrival + median patience, where known)
//! ```
//!
//! (`newer` counts requests in the one place, and the slots they need in the other.)
//!
//! The last line is the promise not to reject what could have been served: as long as the slots could serve all who are before
//! it, it stays. The one before keeps the slots busy and noise from deciding. Twice the target, so that whoever is now
//! the oldest is usually above the target too, and the verdict stands.
//!
//! Everything that counts grows with age, so one look at the oldest suffices. (After a reload with a shorter timeout, whoever
//! was promised more time may stand before others who wait in vain; they then expire as usual.) Time alone can make the last
//! line true, yet no timer is needed: while slots complete, clients arrive or leave, there is a next call; when nothing
//! happens at all, the waiter is told no later than its expiry.
//!
//! Where waiters are not all alike, `newer` means: those that are served before it, at least ([`Groups::before`]), and besides the
//! oldest of all, the oldest of the dearest is asked.
//!
//! Worked number: limit 8, 50 ms each, so 160 per second; a waiter 0.2 s old that will leave at 1 s can be reached if at most
//! 128 wait before it. A burst of 200 that may wait for 5 s is served to the end: 192 × 50 ms ÷ 8 = 1.2 s.
//!
//! Out of scope: telling apart clients of one class. Where most attempts are hasty, patient clients are judged by them.
//!
//! # Witnesses
//! If all gave way early, nobody would be left to show how long clients wait ([`Patience`]), and what is known would fade in the
//! midst of the overload. So one waiter per [`WITNESS_INTERVAL`] whose turn it is stays instead: until it leaves, expires,
//! or is served after all. Witnesses are served and evicted after all others. There are never more than [`MAX_WITNESSES`].
//!
//! [`Reason::Codel`]: crate::Reason::Codel

use crate::{Duration, Instant, RouteId, routes::Routes, time::nanos};

use super::{
    codel::Codel,
    cohorts::Cohorts,
    entry::Entry,
    group::Order,
    groups::{Groups, Place},
    list::List,
    overload::{self, Overload},
    patience::Patience,
    shares::Shares,
    slab::Slab,
};

/// Fewer newer waiters than this are noise, whatever the limit.
const MIN_NEWER: u32 = 16;
/// Ten witnesses per second: enough departures for an estimate within a second, and few beside those who give way.
const WITNESS_INTERVAL: Duration = Duration::from_millis(100);

/// Six seconds' worth: longer than most clients wait. They may have to be searched for one whose route is not at its limit.
const MAX_WITNESSES: u32 = 64;

/// How fast the service is, as far as the queue must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    limit: u32,
    service_nanos: Option<u64>,
    target: Duration,
}

impl Pace {
    pub(crate) fn new(limit: u32, service_nanos: Option<u64>) -> Self {
        Self { limit, service_nanos, target: overload::target(service_nanos.map(Duration::from_nanos)) }
    }

    /// How long it takes to give so many slots. Nothing while the service time is unknown.
    pub(crate) fn nanos_to_serve(&self, slots: u64) -> u64 {
        let nanos = u128::from(slots) * u128::from(self.service_nanos.unwrap_or(0)) / u128::from(self.limit);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// How many must be served before somebody at least, for it to wait in vain.
    const fn least_newer(&self) -> u32 {
        if self.limit > MIN_NEWER { self.limit } else { MIN_NEWER }
    }

    /// Whether so many slots cannot all be given in so many nanoseconds. Not while the service time is unknown.
    fn cannot_serve(&self, slots: u64, within: u64) -> bool {
        let Some(service) = self.service_nanos else { return false };
        u128::from(slots) * u128::from(service) > u128::from(self.limit) * u128::from(within)
    }
}

/// The waiters of one class; see the module.
#[derive(Debug)]
pub(super) struct Line {
    waiting: List,
    witnesses: List,
    /// Those who wait, but for the witnesses, in the order of their turns.
    groups: Groups,
    /// Those who wait, by route.
    shares: Shares,
    cohorts: Cohorts,
    /// The bytes that all hold.
    held_bytes: u64,
    /// Not before this is another one made a witness.
    next_witness: Instant,
    overload: Overload,
    patience: Patience,
    pub(super) codel: Codel,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            waiting: List::EMPTY,
            witnesses: List::EMPTY,
            groups: Groups::new(),
            shares: Shares::NONE,
            cohorts: Cohorts::UNKNOWN,
            held_bytes: 0,
            next_witness: Instant::ORIGIN,
            overload: Overload::HEALTHY,
            patience: Patience::UNKNOWN,
            codel: Codel::QUIET,
        }
    }

    pub(super) const fn len(&self) -> u32 {
        self.waiting.len() + self.witnesses.len()
    }

    /// The slots that its waiters need.
    pub(super) const fn cost(&self) -> u64 {
        self.waiting.cost() + self.witnesses.cost()
    }

    /// The slots needed by those who wait for a slot, not for their route.
    pub(super) fn ready_cost(&self, routes: &Routes) -> u64 {
        self.cost() - routes.full().map(|route| self.shares.waiting(route).1).sum::<u64>()
    }

    /// Whether somebody waits for a slot, not for his route.
    pub(super) fn has_ready(&self, routes: &Routes) -> bool {
        let len = self.len();
        len > 0 && len > routes.full().map(|route| self.shares.waiting(route).0).sum()
    }

    /// How many of this route wait.
    pub(super) fn waiting_of(&self, route: RouteId) -> u32 {
        self.shares.waiting(route).0
    }

    pub(super) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) const fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) const fn cohorts(&self) -> &Cohorts {
        &self.cohorts
    }

    pub(super) fn oldest(&self, entries: &Slab<Entry>) -> Option<u32> {
        match (self.witnesses.oldest(), self.waiting.oldest()) {
            (Some(witness), Some(other))
                if entries.ticket(other).serial() < entries.ticket(witness).serial() =>
            {
                Some(other)
            }
            (witness, other) => witness.or(other),
        }
    }

    /// When the oldest arrived.
    pub(super) fn oldest_arrival(&self, entries: &Slab<Entry>) -> Option<Instant> {
        self.oldest(entries).map(|oldest| entries[oldest].arrived)
    }

    /// Whose turn it is, of those whose route is not at its limit.
    pub(super) fn head(&self, entries: &Slab<Entry>, order: Order, routes: &Routes) -> Option<u32> {
        let head = self.groups.head(entries, order, routes, &self.shares);
        if self.witnesses.len() == 0 {
            return head;
        }
        let witnesses = self.witnesses.iter(entries);
        let mut ready = witnesses.filter(|(_, entry)| !routes.is_full(entry.request.route));
        if order != Order::Oldest {
            return head.or_else(|| ready.last().map(|(newest, _)| newest));
        }
        let witness = ready.next().map(|(oldest, _)| oldest);
        witness.into_iter().chain(head).min_by_key(|index| entries.ticket(*index).serial())
    }

    /// Appends an entry that is in no list.
    pub(super) fn push(
        &mut self,
        entries: &mut Slab<Entry>,
        index: u32,
        now: Instant,
        place: Place,
        routes: &Routes,
    ) {
        let Entry { request, work, .. } = entries[index];
        self.held_bytes += u64::from(request.held_bytes);
        self.shares.begin(now, request.route, request.cost.get(), work);
        if let Some(cohort) = request.cohort {
            self.cohorts.asked(now, cohort, work);
        }
        self.waiting.push(entries, index);
        self.groups.push(entries, index, place, routes);
    }

    /// An entry that is in this line is about to be served. `by_cost`: while cost decides.
    pub(super) fn give(&mut self, entries: &Slab<Entry>, index: u32, by_cost: bool) {
        let Entry { request, work, witness, .. } = entries[index];
        if by_cost {
            self.shares.give(request.route, work);
        }
        if request.cohort.is_some() {
            self.cohorts.given(work);
        }
        if !witness {
            self.groups.give(entries, index);
        }
    }

    /// Takes out an entry that is in this line; `departed` if its client left, not if it is answered.
    pub(super) fn unlink(
        &mut self,
        entries: &mut Slab<Entry>,
        index: u32,
        now: Instant,
        pace: &Pace,
        routes: &Routes,
        departed: bool,
    ) {
        let was_oldest = self.oldest(entries) == Some(index);
        if was_oldest {
            self.observe(entries, now, pace);
        }
        let Entry { arrived, request, witness, .. } = entries[index];
        self.patience.record(now, now.nanos_since(arrived), departed);
        self.held_bytes -= u64::from(request.held_bytes);
        self.shares.end(request.route, request.cost.get());
        if witness {
            self.witnesses.unlink(entries, index);
        } else {
            self.waiting.unlink(entries, index);
            self.groups.unlink(entries, index, routes);
        }
        if was_oldest {
            self.observe(entries, now, pace);
        }
    }

    /// Sorts everybody into groups anew.
    pub(super) fn regroup(&mut self, entries: &mut Slab<Entry>, fair: bool, routes: &Routes) {
        self.groups = Groups::new();
        let mut next = self.waiting.oldest();
        while let Some(index) = next {
            let place = if fair { Place::OfTenant(entries[index].request.tenant) } else { Place::Common };
            self.groups.push(entries, index, place, routes);
            next = self.waiting.newer_than(entries, index);
        }
    }

    /// The verdict at `now`.
    pub(super) fn is_overloaded(&self, entries: &Slab<Entry>, now: Instant, pace: &Pace) -> bool {
        let mut overload = self.overload;
        overload.observe(now, self.oldest_arrival(entries), pace.target);
        overload.is_overloaded(now)
    }

    /// The median patience of the clients of this class, if known.
    pub(super) fn median_patience(&self, entries: &Slab<Entry>, now: Instant) -> Option<Duration> {
        // On a copy: looking changes nothing.
        let mut patience = self.patience;
        patience.median_nanos(now, self.ages(entries, now)).map(Duration::from_nanos)
    }

    /// Who is to give way now because it waits in vain, if anybody.
    pub(super) fn in_vain(
        &mut self,
        entries: &mut Slab<Entry>,
        now: Instant,
        pace: &Pace,
        routes: &Routes,
    ) -> Option<u32> {
        while self.is_crowded(pace) && self.is_overloaded(entries, now, pace) {
            let oldest = self.waiting.oldest()?;
            let mut last = Some(oldest).filter(|index| self.is_in_vain(entries, *index, now, pace));
            if last.is_none() {
                let dearest = self.groups.oldest_of_dearest(entries).filter(|index| *index != oldest);
                last = dearest.filter(|index| self.is_in_vain(entries, *index, now, pace));
            }
            let index = last?;
            if !self.spare(entries, index, now, routes) {
                return Some(index);
            }
        }
        None
    }

    /// Who makes room for a newcomer in a full queue.
    pub(super) fn makes_room(
        &mut self,
        entries: &mut Slab<Entry>,
        now: Instant,
        pace: &Pace,
        routes: &Routes,
    ) -> Option<u32> {
        if self.is_crowded(pace)
            && let Some(first) = self.groups.first_to_give_way(entries)
        {
            self.spare(entries, first, now, routes);
        }
        self.first_to_give_way(entries)
    }

    /// Who gives way first, witnesses last.
    pub(super) fn first_to_give_way(&self, entries: &Slab<Entry>) -> Option<u32> {
        self.groups.first_to_give_way(entries).or_else(|| self.witnesses.oldest())
    }

    /// Every entry, oldest first, with its index.
    pub(super) fn iter<'a>(&self, entries: &'a Slab<Entry>) -> impl Iterator<Item = (u32, &'a Entry)> {
        self.witnesses.iter(entries).chain(self.waiting.iter(entries))
    }

    /// Panics unless who is in the list of witnesses is one, and nobody else, and groups and sums agree.
    pub(super) fn check(&self, entries: &Slab<Entry>) {
        assert!(self.witnesses.iter(entries).all(|(_, entry)| entry.witness), "witnesses are marked");
        assert!(!self.waiting.iter(entries).any(|(_, entry)| entry.witness), "only witnesses are");
        assert!(self.witnesses.len() <= MAX_WITNESSES, "witnesses are few");
        let held = self.iter(entries).map(|(_, entry)| u64::from(entry.request.held_bytes)).sum::<u64>();
        assert_eq!(held, self.held_bytes, "held bytes");
        self.groups.check(entries);
    }

    /// Whether this one, which is in a group, waits in vain.
    fn is_in_vain(&mut self, entries: &Slab<Entry>, index: u32, now: Instant, pace: &Pace) -> bool {
        let Entry { arrived, expires, .. } = entries[index];
        if now.nanos_since(arrived) < nanos(2 * pace.target) {
            return false;
        }
        let before = self.groups.before(entries, index, (self.waiting.len(), self.waiting.cost()));
        if before.len < pace.least_newer() {
            return false;
        }
        let leaves = self.learn_patience(entries, now).map(|patience| arrived + patience);
        // Without both it waits for ever, and will be served.
        let end = expires.into_iter().chain(leaves).min();
        end.is_some_and(|end| pace.cannot_serve(before.cost, end.nanos_since(now)))
    }

    fn learn_patience(&mut self, entries: &Slab<Entry>, now: Instant) -> Option<Duration> {
        let ages = ages(&self.witnesses, entries, now).chain(ages(&self.waiting, entries, now));
        self.patience.median_nanos(now, ages).map(Duration::from_nanos)
    }

    fn ages<'a>(&self, entries: &'a Slab<Entry>, now: Instant) -> impl Iterator<Item = u64> + 'a {
        ages(&self.witnesses, entries, now).chain(ages(&self.waiting, entries, now))
    }

    const fn is_crowded(&self, pace: &Pace) -> bool {
        self.waiting.len() > pace.least_newer()
    }

    /// Makes this one, which is in a group, a witness if it is time for one.
    fn spare(&mut self, entries: &mut Slab<Entry>, index: u32, now: Instant, routes: &Routes) -> bool {
        if now < self.next_witness || self.witnesses.len() == MAX_WITNESSES {
            return false;
        }
        self.waiting.unlink(entries, index);
        self.groups.unlink(entries, index, routes);
        entries[index].witness = true;
        self.witnesses.insert(entries, index);
        self.next_witness = now + WITNESS_INTERVAL;
        true
    }

    fn observe(&mut self, entries: &Slab<Entry>, now: Instant, pace: &Pace) {
        self.overload.observe(now, self.oldest_arrival(entries), pace.target);
    }
}

fn ages<'a>(list: &List, entries: &'a Slab<Entry>, now: Instant) -> impl Iterator<Item = u64> + use<'a> {
    list.iter(entries).map(move |(_, entry)| now.nanos_since(entry.arrived))
}
