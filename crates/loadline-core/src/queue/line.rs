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
//! Worked number: limit 8, 50 ms each, so 160 per second; a waiter 0.2 s old that will leave at 1 s can be reached if at most
//! 128 wait before it. A burst of 200 that may wait for 5 s is served to the end: 192 × 50 ms ÷ 8 = 1.2 s.
//!
//! Out of scope: telling apart clients of one class. Where most attempts are hasty, patient clients are judged by them.
//!
//! # Witnesses
//! If all gave way early, nobody would be left to show how long clients wait ([`Patience`]), and what is known would fade in the
//! midst of the overload. So one waiter per [`WITNESS_INTERVAL`] whose turn it is stays instead: until it leaves, expires,
//! or is served after all. Witnesses are older than all others, and are served and evicted after them.
//!
//! [`Reason::Codel`]: crate::Reason::Codel

use crate::{Duration, Instant, time::nanos};

use super::{
    entry::Entry,
    list::List,
    overload::{self, Overload},
    patience::Patience,
    slab::Slab,
};

/// Fewer newer waiters than this are noise, whatever the limit.
const MIN_NEWER: u32 = 16;
/// Ten witnesses per second: enough departures for an estimate within a second, and few beside those who give way.
const WITNESS_INTERVAL: Duration = Duration::from_millis(100);

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

    /// Whether so many slots cannot all be given in so many nanoseconds. Not while the service time is unknown.
    fn cannot_serve(&self, slots: u64, within: u64) -> bool {
        let Some(service) = self.service_nanos else { return false };
        u128::from(slots) * u128::from(service) > u128::from(self.limit) * u128::from(within)
    }
}

/// The waiters of one class; see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    waiting: List,
    witnesses: List,
    /// Not before this is another one made a witness.
    next_witness: Instant,
    overload: Overload,
    patience: Patience,
}

impl Line {
    pub(super) const EMPTY: Self = Self {
        waiting: List::EMPTY,
        witnesses: List::EMPTY,
        next_witness: Instant::ORIGIN,
        overload: Overload::HEALTHY,
        patience: Patience::UNKNOWN,
    };

    pub(super) const fn len(&self) -> u32 {
        self.waiting.len() + self.witnesses.len()
    }

    /// The slots that its waiters need.
    pub(super) const fn cost(&self) -> u64 {
        self.waiting.cost() + self.witnesses.cost()
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        self.witnesses.oldest().or_else(|| self.waiting.oldest())
    }

    pub(super) fn newest(&self) -> Option<u32> {
        self.waiting.newest().or_else(|| self.witnesses.newest())
    }

    /// When the oldest arrived.
    pub(super) fn oldest_arrival(&self, entries: &Slab<Entry>) -> Option<Instant> {
        self.oldest().map(|oldest| entries[oldest].arrived)
    }

    /// Appends an entry that is in no list.
    pub(super) fn push(&mut self, entries: &mut Slab<Entry>, index: u32) {
        self.waiting.push(entries, index);
    }

    /// Takes out an entry that is in this line; `departed` if its client left, not if it is answered.
    pub(super) fn unlink(
        &mut self,
        entries: &mut Slab<Entry>,
        index: u32,
        now: Instant,
        pace: &Pace,
        departed: bool,
    ) {
        let was_oldest = self.oldest() == Some(index);
        if was_oldest {
            self.observe(entries, now, pace);
        }
        let entry = &entries[index];
        self.patience.record(now, now.nanos_since(entry.arrived), departed);
        let list = if entry.witness { &mut self.witnesses } else { &mut self.waiting };
        list.unlink(entries, index);
        if was_oldest {
            self.observe(entries, now, pace);
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
        let mut line = *self;
        line.learn_patience(entries, now)
    }

    /// Who is to give way now because it waits in vain, if anybody.
    pub(super) fn in_vain(&mut self, entries: &mut Slab<Entry>, now: Instant, pace: &Pace) -> Option<u32> {
        while self.is_crowded(pace) && self.is_overloaded(entries, now, pace) {
            let oldest = self.waiting.oldest()?;
            let Entry { arrived, expires, request, .. } = entries[oldest];
            if now.nanos_since(arrived) < nanos(2 * pace.target) {
                return None;
            }
            let leaves = self.learn_patience(entries, now).map(|patience| arrived + patience);
            // Without both it waits for ever, and will be served.
            let end = expires.into_iter().chain(leaves).min()?;
            let newer = self.waiting.cost() - u64::from(request.cost.get());
            if !pace.cannot_serve(newer, end.nanos_since(now)) {
                return None;
            }
            if !self.spare(entries, now) {
                return Some(oldest);
            }
        }
        None
    }

    /// Who makes room for a newcomer in a full queue.
    pub(super) fn makes_room(&mut self, entries: &mut Slab<Entry>, now: Instant, pace: &Pace) -> Option<u32> {
        if self.is_crowded(pace) {
            self.spare(entries, now);
        }
        self.waiting.oldest().or_else(|| self.witnesses.oldest())
    }

    /// Every entry, oldest first, with its index.
    pub(super) fn iter<'a>(&self, entries: &'a Slab<Entry>) -> impl Iterator<Item = (u32, &'a Entry)> {
        self.witnesses.iter(entries).chain(self.waiting.iter(entries))
    }

    /// Panics unless who is in the list of witnesses is one, and nobody else.
    pub(super) fn check(&self, entries: &Slab<Entry>) {
        assert!(self.witnesses.iter(entries).all(|(_, entry)| entry.witness), "witnesses are marked");
        assert!(!self.waiting.iter(entries).any(|(_, entry)| entry.witness), "only witnesses are");
    }

    fn learn_patience(&mut self, entries: &Slab<Entry>, now: Instant) -> Option<Duration> {
        let (witnesses, waiting) = (self.witnesses, self.waiting);
        let still_here = witnesses.iter(entries).chain(waiting.iter(entries));
        let ages = still_here.map(|(_, entry)| now.nanos_since(entry.arrived));
        self.patience.median_nanos(now, ages).map(Duration::from_nanos)
    }

    fn is_crowded(&self, pace: &Pace) -> bool {
        self.waiting.len() > pace.limit.max(MIN_NEWER)
    }

    /// Makes the oldest a witness if it is time for one.
    fn spare(&mut self, entries: &mut Slab<Entry>, now: Instant) -> bool {
        let Some(oldest) = self.waiting.oldest().filter(|_| now >= self.next_witness) else { return false };
        self.waiting.unlink(entries, oldest);
        entries[oldest].witness = true;
        self.witnesses.push(entries, oldest);
        self.next_witness = now + WITNESS_INTERVAL;
        true
    }

    fn observe(&mut self, entries: &Slab<Entry>, now: Instant, pace: &Pace) {
        self.overload.observe(now, self.oldest_arrival(entries), pace.target);
    }
}
