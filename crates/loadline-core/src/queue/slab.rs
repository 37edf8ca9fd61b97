//! Storage for waiters: constant-time insertion and removal, tickets that never name anything else.
//!
//! Vacated slots are reused, the last one first, so a short queue touches little memory. Tickets carry a serial number that is
//! never reused, which makes a stale one harmless and lets the storage be given back when the queue runs empty.

use std::ops::{Index, IndexMut};

use crate::Ticket;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// Room that an empty slab keeps: twice the default queue depth, so that an ordinary queue allocates once in its life, while
/// a spike of a hundred thousand waiters is forgotten as soon as it has passed.
pub(super) const KEPT_SLOTS: usize = 4_096;

/// Slots named by tickets; see the module.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    len: u32,
    next_serial: u64,
}

#[derive(Debug)]
enum Slot<T> {
    Vacant { next: u32 },
    Occupied { serial: u64, value: T },
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), vacant: NIL, len: 0, next_serial: 0 }
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) const fn has_room(&self) -> bool {
        self.len < NIL
    }

    /// Stores what `value` makes of its ticket. Only while there [is room](Self::has_room).
    pub(super) fn insert(&mut self, value: T) -> Ticket {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.len += 1;
        let slot = Slot::Occupied { serial, value };
        let index = self.vacant;
        if index == NIL {
            let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 waiters");
            self.slots.push(slot);
            return Ticket::new(index, serial);
        }
        match std::mem::replace(&mut self.slots[index as usize], slot) {
            Slot::Vacant { next } => self.vacant = next,
            Slot::Occupied { .. } => unreachable!("the list of vacant slots holds vacant slots"),
        }
        Ticket::new(index, serial)
    }

    /// The ticket of an occupied slot.
    pub(super) fn ticket(&self, index: u32) -> Ticket {
        match self.slots[index as usize] {
            Slot::Occupied { serial, .. } => Ticket::new(index, serial),
            Slot::Vacant { .. } => unreachable!("slot {index} is linked, so it is occupied"),
        }
    }

    /// Whether the ticket names something here.
    pub(super) fn contains(&self, ticket: Ticket) -> bool {
        matches!(self.slots.get(ticket.index()), Some(Slot::Occupied { serial, .. }) if *serial == ticket.serial())
    }

    /// Empties an occupied slot.
    pub(super) fn remove(&mut self, index: u32) -> T {
        let slot = std::mem::replace(&mut self.slots[index as usize], Slot::Vacant { next: self.vacant });
        let Slot::Occupied { value, .. } = slot else {
            unreachable!("slot {index} is removed once");
        };
        self.vacant = index;
        self.len -= 1;
        if self.len == 0 {
            self.slots.clear();
            self.slots.shrink_to(KEPT_SLOTS);
            self.vacant = NIL;
        }
        value
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.slots.capacity()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        match &self.slots[index as usize] {
            Slot::Occupied { value, .. } => value,
            Slot::Vacant { .. } => unreachable!("slot {index} is linked, so it is occupied"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        match &mut self.slots[index as usize] {
            Slot::Occupied { value, .. } => value,
            Slot::Vacant { .. } => unreachable!("slot {index} is linked, so it is occupied"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_tickets_are_not() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a.slot()), 'a');
        let c = slab.insert('c');
        assert_eq!(c.index(), a.index());
        assert_ne!(c, a);
        assert!(!slab.contains(a) && slab.contains(b) && slab.contains(c));
        assert_eq!((slab[c.slot()], slab.len()), ('c', 2));
    }

    #[test]
    fn stale_tickets_stay_stale_and_memory_is_given_back_when_it_runs_empty() {
        let mut slab = Slab::new();
        let tickets: Vec<_> = (0..100_000).map(|n| slab.insert(n)).collect();
        assert!(slab.allocated() >= 100_000);
        for ticket in &tickets {
            slab.remove(ticket.slot());
        }
        assert!(slab.allocated() <= KEPT_SLOTS);
        let again = slab.insert(0);
        assert_eq!(again.index(), 0);
        assert!(tickets.iter().all(|ticket| !slab.contains(*ticket)));
    }
}
