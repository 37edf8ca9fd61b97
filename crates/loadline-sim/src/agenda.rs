//! What happens when: a heap of events on an integer clock.
//!
//! Events at the same nanosecond happen in the order in which they were entered, so that a run depends on nothing but its
//! seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Future events; see the module.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<(u64, u64, E)>>,
    entered: u64,
}

impl<E: Ord> Agenda<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), entered: 0 }
    }

    /// `what` will happen at `at`, in nanoseconds.
    pub(crate) fn enter(&mut self, at: u64, what: E) {
        self.entered += 1;
        self.heap.push(Reverse((at, self.entered, what)));
    }

    /// The next event and its time, unless it is after `until`.
    pub(crate) fn next(&mut self, until: u64) -> Option<(u64, E)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > until {
            return None;
        }
        let Reverse((at, _, what)) = self.heap.pop()?;
        Some((at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time_then_of_entry() {
        let mut agenda = Agenda::new();
        for (at, what) in [(5, 'b'), (3, 'z'), (5, 'a'), (9, 'c')] {
            agenda.enter(at, what);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.next(8)).collect();
        assert_eq!(order, [(3, 'z'), (5, 'b'), (5, 'a')]);
        assert_eq!(agenda.next(9), Some((9, 'c')));
    }
}
