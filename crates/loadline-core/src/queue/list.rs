//! Waiters in the order of their arrival: a doubly linked list through the entries themselves, so that one can leave from
//! the middle in constant time and without allocation. An entry can be in two lists at once, one by each of its links.

use super::{
    entry::{Entry, Link},
    slab::{NIL, Slab},
};

/// By which of its links an entry is in the list of its class, or of those that give way.
pub(super) const BY_CLASS: usize = 0;
/// By which it is in the list of its flow.
pub(super) const BY_FLOW: usize = 1;

/// A list of entries, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<const LINK: usize = BY_CLASS> {
    oldest: u32,
    newest: u32,
    len: u32,
    /// The sum of their costs, in slots.
    cost: u64,
}

impl<const LINK: usize> List<LINK> {
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
        entry.links[LINK] = Link { older: self.newest, newer: NIL };
        match self.newest {
            NIL => self.oldest = index,
            before => entries[before].links[LINK].newer = index,
        }
        self.newest = index;
        self.len += 1;
    }

    /// Puts an entry that is in no list where it belongs by its arrival. As expensive as there are newer ones.
    pub(super) fn insert(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let serial = entries.ticket(index).serial();
        let mut newer = Vec::new();
        while let Some(newest) = self.newest().filter(|newest| entries.ticket(*newest).serial() > serial) {
            self.unlink(entries, newest);
            newer.push(newest);
        }
        self.push(entries, index);
        newer.into_iter().rev().for_each(|newer| self.push(entries, newer));
    }

    /// Takes out an entry that is in this list.
    pub(super) fn unlink(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let Entry { links, request, .. } = &entries[index];
        let Link { older, newer } = links[LINK];
        self.cost -= u64::from(request.cost.get());
        match older {
            NIL => self.oldest = newer,
            before => entries[before].links[LINK].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            after => entries[after].links[LINK].older = older,
        }
        self.len -= 1;
    }

    /// The one after this one.
    pub(super) fn newer_than(&self, entries: &Slab<Entry>, index: u32) -> Option<u32> {
        let newer = entries[index].links[LINK].newer;
        (newer != NIL).then_some(newer)
    }

    /// The entries, oldest first.
    pub(super) fn iter<'a>(
        &self,
        entries: &'a Slab<Entry>,
    ) -> impl Iterator<Item = (u32, &'a Entry)> + use<'a, LINK> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            let index = next;
            (index != NIL).then(|| {
                let entry = &entries[index];
                next = entry.links[LINK].newer;
                (index, entry)
            })
        })
    }
}
