//! Which law, and between which bounds.

use std::num::NonZeroU32;

use super::{AimdSettings, AutoSettings, Gradient2Settings, VegasSettings};

/// How the limit comes about. The ceiling is [`Settings::limit`](crate::Settings::limit) in every case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum LimiterSettings {
    /// The limit is [`Settings::limit`](crate::Settings::limit), exactly.
    #[default]
    Fixed,
    /// One more per good answer, a share less per slow one.
    Aimd(AimdSettings),
    /// By the queue that a rise in service time suggests.
    Vegas(VegasSettings),
    /// By the ratio of the long-term mean service time to the present one.
    Gradient2(Gradient2Settings),
    /// By what a higher and a lower limit do to the throughput.
    Auto(AutoSettings),
}

impl LimiterSettings {
    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Aimd(_) => "aimd",
            Self::Vegas(_) => "vegas",
            Self::Gradient2(_) => "gradient2",
            Self::Auto(_) => "auto",
        }
    }
}

/// Where a law begins, and how low it may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitRange {
    /// The limit before anything is known. Above the ceiling it is the ceiling, below `min` it is `min`.
    pub start: NonZeroU32,
    /// The limit never goes below; above the ceiling it is the ceiling.
    pub min: NonZeroU32,
}

impl LimitRange {
    /// From so many on, and as low as 1.
    #[must_use]
    pub const fn starting_at(start: NonZeroU32) -> Self {
        Self { start, min: NonZeroU32::MIN }
    }

    /// The number of slots nearest to `limit` between `min` and `max`.
    pub(super) fn clamp(&self, limit: f64, max: NonZeroU32) -> f64 {
        let min = f64::from(self.min.min(max).get());
        limit.clamp(min, f64::from(max.get()))
    }

    /// Where a law with this ceiling begins.
    pub(super) fn first(&self, max: NonZeroU32) -> f64 {
        self.clamp(f64::from(self.start.get()), max)
    }
}

impl Default for LimitRange {
    /// From 10 on: a small app's size, from which a large one's is a few doublings away.
    fn default() -> Self {
        Self::starting_at(NonZeroU32::new(10).expect("10 is not zero"))
    }
}

/// Whole slots of a limit that a law keeps as a fraction.
pub(super) fn slots(limit: f64) -> NonZeroU32 {
    // The cast saturates; laws keep their limit at 1 or more.
    NonZeroU32::new(limit as u32).unwrap_or(NonZeroU32::MIN)
}
