//! Waiters in the order of their arrival: a doubly linked list through the entries themselves, so that one can leave from
//! the middle in constant time and without allocation.

use super::{
    entry::Entry,
    slab::{NIL, Slab},
};

/// A list of entries, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    oldest: u32,
    newest: u32,
    len: u32,
    /// The sum of their costs, in slots.
    cost: u64,
}

impl List {
    pub(super) const EMPTY: Self = Self { oldest: NIL, newest: NIL, len: 0, cost: 0 };

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) const fn cost(&self) -> u64 {
        self.cost
    }

    pub(super) const fn oldest(&self) -> Option<u32> {
        if self.len == 0 { None } else { Some(self.oldest) }
    }

    pub(super) const fn newest(&self) -> Option<u32> {
        if self.len == 0 { None } else { Some(self.newest) }
    }

    /// Appends an entry that is in no list.
    pub(super) fn push(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let entry = &mut entries[index];
        self.cost += u64::from(entry.request.cost.get());
        (entry.older, entry.newer) = (self.newest, NIL);
        match self.newest {
            NIL => self.oldest = index,
            before => entries[before].newer = index,
        }
        self.newest = index;
        self.len += 1;
    }

    /// Takes out an entry that is in this list.
    pub(super) fn unlink(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let Entry { older, newer, request, .. } = entries[index];
        self.cost -= u64::from(request.cost.get());
        match older {
            NIL => self.oldest = newer,
            before => entries[before].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            after => entries[after].older = older,
        }
        self.len -= 1;
    }

    /// The entries, oldest first.
    pub(super) fn iter<'a>(&self, entries: &'a Slab<Entry>) -> impl Iterator<Item = (u32, &'a Entry)> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            let index = next;
            (index != NIL).then(|| {
                let entry = &entries[index];
                next = entry.newer;
                (index, entry)
            })
        })
    }
}
