//! What became of the limit lately, for whoever asks why it is what it is.

use std::num::NonZeroU32;

use crate::Instant;

/// So many changes are remembered: a few minutes of a service that changes, weeks of one that does not.
const KEPT: usize = 8;

/// A change of the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitChange {
    /// When.
    pub at: Instant,
    /// The limit before.
    pub from: u32,
    /// The limit since.
    pub to: u32,
    /// What made the law change it.
    pub why: Why,
}

/// What made a law change the limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Why {
    /// By the law's own arithmetic, which has no single cause.
    #[default]
    Law,
    /// A higher limit gave more throughput.
    MoreThroughput,
    /// A lower limit gave as much throughput.
    NoLoss,
    /// Far more than was used for minutes.
    Unused,
    /// Most of what was admitted timed out or was given up.
    TimedOut,
    /// A request timed out, or took too long.
    TooSlow,
    /// Other settings.
    Settings,
}

impl Why {
    /// In words, for status pages and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Law => "the law's arithmetic",
            Self::MoreThroughput => "a higher limit gave more throughput",
            Self::NoLoss => "a lower limit gave as much throughput",
            Self::Unused => "it was not used for minutes",
            Self::TimedOut => "most of what was admitted timed out or was given up",
            Self::TooSlow => "a request timed out or took too long",
            Self::Settings => "other settings",
        }
    }
}

/// The last changes, and how many there were.
#[derive(Debug, Default)]
pub(super) struct History {
    changes: [Option<LimitChange>; KEPT],
    /// Where the next one goes, which is where the oldest one is.
    next: usize,
    raised: u64,
    lowered: u64,
}

impl History {
    /// Remembers a change, if it is one.
    pub(super) fn note(&mut self, at: Instant, from: NonZeroU32, to: NonZeroU32, why: Why) {
        if from == to {
            return;
        }
        if to > from {
            self.raised += 1;
        } else {
            self.lowered += 1;
        }
        self.changes[self.next] = Some(LimitChange { at, from: from.get(), to: to.get(), why });
        self.next = (self.next + 1) % KEPT;
    }

    /// The oldest first.
    pub(super) fn changes(&self) -> impl Iterator<Item = LimitChange> {
        let (newer, older) = self.changes.split_at(self.next);
        older.iter().chain(newer).copied().flatten()
    }

    pub(super) const fn raised(&self) -> u64 {
        self.raised
    }

    pub(super) const fn lowered(&self) -> u64 {
        self.lowered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_are_kept_and_all_are_counted() {
        let mut history = History::default();
        let slots = |n: u32| NonZeroU32::new(n).unwrap();
        history.note(Instant::ORIGIN, slots(5), slots(5), Why::Law);
        assert_eq!(history.changes().count(), 0, "no change");
        for n in 1..=10 {
            history.note(Instant::from_nanos(n.into()), slots(n), slots(n + 1), Why::Law);
        }
        history.note(Instant::from_nanos(11), slots(11), slots(3), Why::NoLoss);
        let from: Vec<_> = history.changes().map(|change| change.from).collect();
        assert_eq!(from, [4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!((history.raised(), history.lowered()), (10, 1));
    }
}
