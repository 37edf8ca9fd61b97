//! Storage for what comes and goes, under keys that are never valid twice.

/// Names one value in one [`Slab`]. A key of a removed value names nothing, also after its place was reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A small number that no two values share at the same time.
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }
}

/// Values by [`Key`].
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 live values")
        });
        let place = &mut self.places[index as usize];
        place.1 = Some(value);
        Key { index, generation: place.0 }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = &self.places[key.index()];
        value.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = &mut self.places[key.index()];
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let place = &mut self.places[key.index()];
        place.0 = place.0.wrapping_add(1);
        self.free.push(key.index);
        place.1.take()
    }

    /// The key under which a value is stored at this [`Key::index`].
    pub(crate) fn key_at(&self, index: usize) -> Option<Key> {
        let (generation, value) = self.places.get(index)?;
        value.as_ref()?;
        Some(Key { index: u32::try_from(index).ok()?, generation: *generation })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_names_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.index(), second.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!((slab.len(), slab.key_at(second.index())), (1, Some(second)));
    }
}
