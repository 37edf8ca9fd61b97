//! The order of service: whose turn it is, and whether there is room for him.
//!
//! Strict order of classes; in a class, the discipline says which end of the line is first, and [`mod@super::groups`] what else counts:
//! tenants, cost, cohorts. Who is next and does not fit is waited for: nobody of its class or below passes it. Whose route is at its
//! own limit is not next: everybody passes it.
//!
//! # Aging
//! Strict order alone would let a lower class wait for ever. Once its oldest waiter is older than
//! [`aging`](crate::QueueSettings::aging), every [`AGED_TURN`]-th dispatch goes to it: of the classes below the highest that waits,
//! to the one with the oldest waiter, unless all of it wait for their routes. Dispatches count, not time: the classes above lose
//! the same share at any speed of service.

use std::num::NonZeroU32;

use crate::{Class, Discipline, Instant, Request, routes::Routes};

use super::{Left, Pace, Queue, group::Order};

/// One dispatch in so many goes to a lower class that has waited too long: a share that the classes above hardly notice, and
/// enough for a class to see that it is alive.
const AGED_TURN: u32 = 8;

/// Why somebody is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// By the order of the classes.
    Order,
    /// Its class has waited too long.
    Aged,
}

/// Who is the next to be served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(super) index: u32,
    pub(super) turn: Turn,
    pub(crate) request: Request,
}

/// The room that there is for who is next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Slots, free or not: no request takes more.
    pub(crate) limit: NonZeroU32,
    /// Free slots.
    pub(crate) free: u32,
    /// Free slots, the reserve included.
    pub(crate) free_with_reserve: u32,
}

impl Room {
    /// Whether there is room for this one.
    #[inline]
    pub(crate) fn fits(&self, request: &Request) -> bool {
        let free = if request.class == Class::Critical { self.free_with_reserve } else { self.free };
        request.cost.min(self.limit).get() <= free
    }
}

impl Queue {
    /// Who is the next to be served, if it fits into the room that there is.
    pub(crate) fn next(&self, now: Instant, pace: &Pace, room: &Room, routes: &Routes) -> Option<Next> {
        if room.free_with_reserve == 0 {
            return None;
        }
        let (index, turn) = self.who_is_next(now, pace, room, routes)?;
        Some(Next { index, turn, request: self.entries[index].request })
    }

    /// Whether who is next is dropped by the discipline instead of being served. To be asked once for each.
    pub(crate) fn drops(&mut self, now: Instant, next: &Next) -> bool {
        let class = next.request.class;
        if self.settings.discipline != Discipline::Codel || class == Class::Critical {
            return false;
        }
        let waited = now.nanos_since(self.entries[next.index].arrived);
        let line = &mut self.lines[class.index()];
        let is_alone = line.len() == 1;
        line.codel.drops(now, waited, is_alone, &self.settings.codel)
    }

    /// Takes out who is next, because it is served.
    pub(crate) fn serve(&mut self, now: Instant, next: &Next, pace: &Pace, routes: &Routes) -> Left {
        self.overtaken = match self.aged_below(now, next.request.class, routes) {
            Some(_) if next.turn == Turn::Order => (self.overtaken + 1).min(AGED_TURN - 1),
            _ => 0,
        };
        let class = next.request.class;
        let by_cost = self.order(now, class, pace) == Order::Cheapest;
        self.lines[class.index()].give(&self.entries, next.index, by_cost);
        let left = self.take(now, next.index, pace, routes, false);
        self.dispatched += 1;
        left
    }

    /// Takes out who is next, because it is not worth serving.
    pub(crate) fn refuse(&mut self, now: Instant, next: &Next, pace: &Pace, routes: &Routes) -> Left {
        self.take(now, next.index, pace, routes, false)
    }

    /// Whether the newest of this class is the first to be served.
    pub(super) fn newest_first(&self, now: Instant, class: Class, pace: &Pace) -> bool {
        self.order(now, class, pace) != Order::Oldest
    }

    /// Whose turn it is in this class.
    pub(super) fn order(&self, now: Instant, class: Class, pace: &Pace) -> Order {
        match self.settings.discipline {
            Discipline::Fifo | Discipline::Codel => Order::Oldest,
            Discipline::Lifo => Order::Newest,
            Discipline::Adaptive if self.is_overloaded(now, class, pace) => Order::Cheapest,
            Discipline::Adaptive => Order::Oldest,
        }
    }

    /// The next to be served, if it fits, and whose turn that is.
    fn who_is_next(&self, now: Instant, pace: &Pace, room: &Room, routes: &Routes) -> Option<(u32, Turn)> {
        let mut heads = Class::QUEUED.into_iter();
        let (highest, next) = heads.find_map(|class| Some((class, self.head(now, class, pace, routes)?)))?;
        if self.overtaken == AGED_TURN - 1
            && let Some(aged) = self.aged_below(now, highest, routes)
            && let Some(next) = self.head(now, aged, pace, routes)
        {
            if room.fits(&self.entries[next].request) {
                return Some((next, Turn::Aged));
            }
            // It holds what is free until there is enough for it. Only critical may pass.
            let next = self.head(now, Class::Critical, pace, routes)?;
            return room.fits(&self.entries[next].request).then_some((next, Turn::Order));
        }
        room.fits(&self.entries[next].request).then_some((next, Turn::Order))
    }

    /// Who of this class is the next to be served.
    fn head(&self, now: Instant, class: Class, pace: &Pace, routes: &Routes) -> Option<u32> {
        let line = &self.lines[class.index()];
        if line.len() == 0 {
            return None;
        }
        line.head(&self.entries, self.order(now, class, pace), routes)
    }

    /// Which of the classes below this one has waited too long, the longest of them. One in which everybody waits for his route
    /// could not use its turn, and would keep it from the others.
    fn aged_below(&self, now: Instant, class: Class, routes: &Routes) -> Option<Class> {
        let aging = self.settings.aging?;
        let below = Class::QUEUED[class.index() + 1..].iter();
        let below = below.filter(|class| self.lines[class.index()].has_ready(routes));
        let oldest = below.filter_map(|class| Some((self.oldest(*class)?, *class)));
        let (arrived, class) = oldest.min_by_key(|(arrived, _)| *arrived)?;
        (arrived + aging <= now).then_some(class)
    }
}
