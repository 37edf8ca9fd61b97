//! A limit that a law keeps as a fraction of slots, between the bounds that hold: what laws that add and multiply have in common.

use std::num::NonZeroU32;

use super::{LimitRange, settings::slots};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounded {
    limit: f64,
    range: LimitRange,
    max: NonZeroU32,
}

impl Bounded {
    /// Where a law begins.
    pub(super) fn new(range: LimitRange, max: NonZeroU32) -> Self {
        Self { limit: range.first(max), range, max }
    }

    /// It stays where it is, as far as the new bounds allow.
    pub(super) fn reconfigure(&mut self, range: LimitRange, max: NonZeroU32) {
        *self = Self { limit: range.clamp(self.limit, max), range, max };
    }

    /// With its fraction.
    pub(super) const fn exact(&self) -> f64 {
        self.limit
    }

    /// Moves it there, as far as the bounds allow.
    pub(super) fn set(&mut self, limit: f64) {
        self.limit = self.range.clamp(limit, self.max);
    }

    /// The whole slots of it.
    pub(super) fn slots(&self) -> NonZeroU32 {
        slots(self.limit)
    }

    /// It goes no lower.
    pub(super) fn min(&self) -> NonZeroU32 {
        self.range.min.min(self.max)
    }
}
