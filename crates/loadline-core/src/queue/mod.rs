//! The queue: who waits, who is next, who gives way, who expires.
//!
//! One line per class, in order of arrival. Who of them is next is a matter of the classes and of the discipline, not of the
//! lines ([`order`]), so a change of discipline moves nobody. Every operation is O(1), but for the expiry heap's O(log n),
//! and for a look at all waiters of a class now and then under overload ([`patience`]).
//!
//! A waiter gives way when it waits in vain ([`mod@line`]), or to a newcomer in a full queue. The latter leaves its line at
//! once and is answered by the next `poll`: see [`Queue::push`]. The critical class never gives way.

mod codel;
mod entry;
mod expiry;
mod line;
mod list;
mod order;
mod overload;
mod patience;
mod slab;

use crate::{Class, Discipline, Duration, Instant, QueueSettings, Reason, Request, Ticket};
use entry::Entry;
use expiry::Expiry;
use line::Line;
use list::List;
use slab::{NIL, Slab};

pub(crate) use line::Pace;
pub(crate) use order::Room;

/// How a newcomer gets its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// There is one.
    Free,
    /// From this one, whose time is up.
    InsteadOfExpired(u32),
    /// From somebody of this class.
    InsteadOf(Class),
}

/// The waiters; see the module.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: QueueSettings,
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
    pub(crate) const fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            entries: Slab::new(),
            lines: [Line::EMPTY; Class::QUEUED.len()],
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

    /// Nobody of this class or of a higher one waits for a slot.
    pub(crate) fn is_empty_from(&self, class: Class) -> bool {
        self.waiting() == 0 || self.lines[..=class.index()].iter().all(|line| line.len() == 0)
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

    /// How long half of the clients of this class would wait, as far as known.
    pub(crate) fn median_patience(&self, now: Instant, class: Class) -> Option<Duration> {
        self.lines.get(class.index())?.median_patience(&self.entries, now)
    }

    /// The slots needed by those who would be served before a newcomer of this class.
    pub(crate) fn slots_ahead(&self, now: Instant, class: Class, pace: &Pace) -> u64 {
        let above = self.lines[..class.index()].iter().map(Line::cost).sum::<u64>();
        let own = if self.newest_first(now, class, pace) { 0 } else { self.lines[class.index()].cost() };
        above + own
    }

    /// How a newcomer gets a place in the queue, or why it gets none.
    ///
    /// In a full queue, one whose time is up gives way first. Then the oldest of the lowest class does, if that is below the
    /// newcomer's: it has used up most of its time, and is told so while its client still listens. If the newcomer's own class is
    /// the lowest, its oldest does with newest-first service: it would be the last to be served. Witnesses are spared as long as
    /// there are others.
    pub(crate) fn way_in(&self, now: Instant, class: Class, pace: &Pace) -> Result<Way, Reason> {
        if self.settings.depth == 0 {
            return Err(Reason::Concurrency);
        }
        if !self.entries.has_room() {
            return Err(Reason::QueueFull);
        }
        if self.waiting() < self.settings.depth {
            return Ok(Way::Free);
        }
        if let Some((at, expired)) = self.expiry.first()
            && at <= now
        {
            return Ok(Way::InsteadOfExpired(expired));
        }
        self.class_to_give_way(now, class, pace).map(Way::InsteadOf).ok_or(Reason::QueueFull)
    }

    /// Lets a newcomer wait, in the way that [`Self::way_in`] has just found.
    pub(crate) fn push(&mut self, now: Instant, request: Request, way: Way, pace: &Pace) -> Ticket {
        match way {
            Way::Free => {}
            Way::InsteadOfExpired(index) => {
                let reason = self.why_expired(now, index);
                self.give_way(now, index, reason, pace);
            }
            Way::InsteadOf(class) => {
                let index = self.who_gives_way(now, class, pace);
                self.give_way(now, index, Reason::QueueFull, pace);
            }
        }
        let timeout = self.settings.timeout.map(|timeout| now + timeout);
        let expires = timeout.into_iter().chain(request.deadline).min();
        let ticket = self.entries.insert(Entry {
            request,
            arrived: now,
            expires,
            dispatched_before: self.dispatched,
            gave_way: None,
            witness: false,
            older: NIL,
            newer: NIL,
        });
        if request.retry {
            self.retries += u64::from(request.cost.get());
        }
        self.lines[request.class.index()].push(&mut self.entries, ticket.slot());
        if let Some(at) = expires {
            self.expiry.insert(at, ticket);
        }
        ticket
    }

    /// Takes a waiter out, wherever it is, unless it was answered already.
    pub(crate) fn cancel(&mut self, now: Instant, ticket: Ticket, pace: &Pace) -> Option<Left> {
        self.entries.contains(ticket).then(|| self.take(now, ticket.slot(), pace, true))
    }

    /// Takes out the next whose wait is over without a slot, and says why.
    pub(crate) fn pop_rejected(&mut self, now: Instant, pace: &Pace) -> Option<(Left, Reason)> {
        if let Some(index) = self.giving_way.oldest() {
            let left = self.take(now, index, pace, false);
            let reason = left.gave_way.expect("who gives way knows why");
            return Some((left, reason));
        }
        let (index, reason) = match self.expiry.first() {
            Some((at, expired)) if at <= now => (expired, self.why_expired(now, expired)),
            _ => (self.in_vain(now, pace)?, Reason::Codel),
        };
        Some((self.take(now, index, pace, false), reason))
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
                let place = (entry.arrived, self.entries.ticket(index).serial());
                assert!(before < Some(place), "class {class} is in order of arrival");
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
    fn in_vain(&mut self, now: Instant, pace: &Pace) -> Option<u32> {
        if self.settings.discipline != Discipline::Adaptive {
            return None;
        }
        let exempt = Class::Critical.index();
        let lines = self.lines.iter_mut().enumerate().filter(|(row, _)| *row != exempt);
        lines.map(|(_, line)| line).find_map(|line| line.in_vain(&mut self.entries, now, pace))
    }

    /// One entry stops waiting in favour of a newcomer.
    fn give_way(&mut self, now: Instant, index: u32, reason: Reason, pace: &Pace) {
        self.stop_waiting(now, index, pace, false);
        self.entries[index].gave_way = Some(reason);
        self.giving_way.push(&mut self.entries, index);
    }

    /// The class of which somebody gives way to a newcomer of `class`, if any does.
    fn class_to_give_way(&self, now: Instant, class: Class, pace: &Pace) -> Option<Class> {
        let present = |class: &Class| self.lines[class.index()].len() > 0;
        let lowest = Class::QUEUED.into_iter().rev().find(present)?;
        let gives_way = if lowest == class {
            lowest != Class::Critical && self.newest_first(now, class, pace)
        } else {
            lowest.index() > class.index()
        };
        gives_way.then_some(lowest)
    }

    /// Who of this class, of which somebody waits.
    fn who_gives_way(&mut self, now: Instant, class: Class, pace: &Pace) -> u32 {
        let line = &mut self.lines[class.index()];
        let index = match self.settings.discipline {
            Discipline::Adaptive => line.makes_room(&mut self.entries, now, pace),
            Discipline::Fifo | Discipline::Lifo | Discipline::Codel => line.oldest(),
        };
        index.expect("somebody of this class waits")
    }

    /// Takes an entry out of its class and of the expiry heap; `departed` if its client left.
    fn stop_waiting(&mut self, now: Instant, index: u32, pace: &Pace, departed: bool) {
        let row = self.entries[index].request.class.index();
        self.lines[row].unlink(&mut self.entries, index, now, pace, departed);
        self.expiry.remove(index);
    }

    /// Takes an entry out altogether; `departed` if its client left.
    fn take(&mut self, now: Instant, index: u32, pace: &Pace, departed: bool) -> Left {
        if self.entries[index].gave_way.is_some() {
            self.giving_way.unlink(&mut self.entries, index);
        } else {
            self.stop_waiting(now, index, pace, departed);
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
