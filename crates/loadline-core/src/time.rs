//! Time as the core knows it: nanoseconds since an origin that the caller chose.
//!
//! Not `std::time::Instant`, because a simulator and a replay have no clock to take one from. `u64` nanoseconds last 584
//! years, and all arithmetic saturates: a nonsensical timeout means "never", not a panic.

use std::ops::Add;

use crate::Duration;

/// A moment, in nanoseconds since an origin of the caller's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The caller's origin: 0 ns.
    pub const ORIGIN: Self = Self(0);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// [`Self::saturating_since`] in nanoseconds, for the paths that a `Duration`'s split into seconds would slow down.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the last representable moment.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// Nanoseconds of a duration; what does not fit is the longest representable time.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let t = Instant::from_nanos(5);
        assert_eq!(t + Duration::from_nanos(3), Instant::from_nanos(8));
        assert_eq!(t + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(t.saturating_since(Instant::from_nanos(2)), Duration::from_nanos(3));
        assert_eq!(t.saturating_since(Instant::from_nanos(9)), Duration::ZERO);
    }
}
