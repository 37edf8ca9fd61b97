//! Which of the configured headers is meant: an index, and a set of them that fits a register.

/// One of the configured headers, by its position in [`DeadlineSettings::headers`](super::DeadlineSettings::headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderId(u8);

impl HeaderId {
    /// The position, for tables with one row per header: below [`HeaderSet::CAPACITY`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// `position` is below the capacity: the settings were checked.
    pub(super) fn new(position: usize) -> Self {
        debug_assert!(position < HeaderSet::CAPACITY);
        Self(position as u8)
    }

    pub(super) fn first(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(Self::new)
    }
}

/// Some of the configured headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderSet(u16);

impl HeaderSet {
    /// How many headers can be configured.
    pub const CAPACITY: usize = 16;

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn contains(self, id: HeaderId) -> bool {
        self.0 & 1 << id.0 != 0
    }

    /// Each of them, in the order of the settings.
    pub fn iter(self) -> impl Iterator<Item = HeaderId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| HeaderId(rest.trailing_zeros() as u8));
            rest &= rest.wrapping_sub(1);
            next
        })
    }

    pub(super) fn insert(&mut self, id: HeaderId) {
        self.0 |= 1 << id.0;
    }
}
