//! Who expires next: a binary heap that knows where each waiter is, so that one can be taken out when it is served or leaves.
//!
//! A list in order of arrival would do while all waiters had the same timeout, and would be wrong as soon as the timeout is
//! changed while some wait, or a request brings its own. Here every waiter has its own moment. With equal timeouts a newcomer
//! expires last, so inserting is one comparison; removal is O(log n).

use crate::{Instant, Ticket};

use super::slab::{KEPT_SLOTS, NIL};

/// Waiters by the moment at which they expire; equal moments in order of arrival.
#[derive(Debug)]
pub(super) struct Expiry {
    heap: Vec<Key>,
    /// Position in the heap by slot of the waiter; `NIL` if it is not in it.
    positions: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    at: Instant,
    serial: u64,
    slot: u32,
}

impl Expiry {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), positions: Vec::new() }
    }

    /// The next to expire, and when.
    pub(super) fn first(&self) -> Option<(Instant, u32)> {
        self.heap.first().map(|key| (key.at, key.slot))
    }

    pub(super) fn insert(&mut self, at: Instant, ticket: Ticket) {
        let slot = ticket.index();
        if slot >= self.positions.len() {
            self.positions.resize(slot + 1, NIL);
        }
        let position = self.heap.len();
        self.heap.push(Key { at, serial: ticket.serial(), slot: ticket.slot() });
        self.rise(position);
    }

    /// Takes the waiter out, if it is in.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(position) = self.positions.get_mut(slot as usize) else { return };
        let position = std::mem::replace(position, NIL);
        if position == NIL {
            return;
        }
        let position = position as usize;
        self.heap.swap_remove(position);
        if position < self.heap.len() {
            // The last one took the place: it may belong further down, or, from another branch, further up.
            self.sink(position);
            self.rise(position);
        }
    }

    /// Gives back what a spike took. To be called when nobody is left.
    pub(super) fn give_back(&mut self) {
        debug_assert!(self.heap.is_empty(), "nobody is left");
        self.heap.shrink_to(KEPT_SLOTS);
        self.positions.clear();
        self.positions.shrink_to(KEPT_SLOTS);
    }

    pub(super) const fn len(&self) -> usize {
        self.heap.len()
    }

    /// Panics unless every parent expires first and every position is true.
    pub(super) fn check(&self) {
        for (position, key) in self.heap.iter().enumerate() {
            assert!(position == 0 || self.heap[parent(position)] < *key, "heap order at {position}");
            assert_eq!(self.positions[key.slot as usize] as usize, position, "position of slot {}", key.slot);
        }
    }

    /// Moves the key at `position` up to where it belongs.
    fn rise(&mut self, mut position: usize) {
        let key = self.heap[position];
        while position > 0 && key < self.heap[parent(position)] {
            self.place(position, self.heap[parent(position)]);
            position = parent(position);
        }
        self.place(position, key);
    }

    /// Moves the key at `position` down to where it belongs.
    fn sink(&mut self, mut position: usize) {
        let key = self.heap[position];
        loop {
            let left = 2 * position + 1;
            let Some(mut smaller) = self.heap.get(left).map(|_| left) else { break };
            if self.heap.get(left + 1).is_some_and(|right| *right < self.heap[left]) {
                smaller = left + 1;
            }
            if key < self.heap[smaller] {
                break;
            }
            self.place(position, self.heap[smaller]);
            position = smaller;
        }
        self.place(position, key);
    }

    fn place(&mut self, position: usize, key: Key) {
        self.heap[position] = key;
        self.positions[key.slot as usize] = u32::try_from(position).expect("fewer than 2^32 waiters");
    }
}

const fn parent(position: usize) -> usize {
    (position - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(actions in prop::collection::vec((0_u32..40, 0_u64..50, any::<bool>()), 0..400)) {
            let mut expiry = Expiry::new();
            let mut model = BTreeMap::new();
            let mut inside = BTreeMap::new();
            for (serial, (slot, at, remove)) in actions.into_iter().enumerate() {
                let serial = serial as u64;
                if remove || inside.contains_key(&slot) {
                    expiry.remove(slot);
                    if let Some(key) = inside.remove(&slot) {
                        model.remove(&key);
                    }
                } else {
                    expiry.insert(Instant::from_nanos(at), Ticket::new(slot, serial));
                    model.insert((at, serial), slot);
                    inside.insert(slot, (at, serial));
                }
                expiry.check();
                let first = model.first_key_value().map(|((at, _), slot)| (Instant::from_nanos(*at), *slot));
                prop_assert_eq!(expiry.first(), first);
                prop_assert_eq!(expiry.len(), model.len());
            }
        }
    }
}
