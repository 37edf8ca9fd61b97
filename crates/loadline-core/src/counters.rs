//! The ledger: what became of every request that was ever offered.
//!
//! Per class, at every moment between two calls:
//! offered = admitted + shed + abandoned + queued, and
//! admitted = completed + failed + timed out + aborted + in flight.

use crate::{Class, Outcome, Reason};

/// What became of the requests of every class, since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    classes: [ClassCounters; Class::ALL.len()],
}

impl Counters {
    /// The counters of one class.
    #[must_use]
    pub const fn of(&self, class: Class) -> &ClassCounters {
        &self.classes[class.index()]
    }

    /// The sum over all classes, bypass included.
    #[must_use]
    pub fn total(&self) -> ClassCounters {
        let mut total = ClassCounters::default();
        for class in &self.classes {
            total.offered += class.offered;
            total.admitted += class.admitted;
            total.abandoned += class.abandoned;
            total.completed += class.completed;
            total.failed += class.failed;
            total.timed_out += class.timed_out;
            total.aborted += class.aborted;
            for (sum, count) in total.shed.iter_mut().zip(class.shed) {
                *sum += count;
            }
        }
        total
    }

    pub(crate) const fn offered(&mut self, class: Class) {
        self.classes[class.index()].offered += 1;
    }

    pub(crate) const fn admitted(&mut self, class: Class) {
        self.classes[class.index()].admitted += 1;
    }

    pub(crate) const fn shed(&mut self, class: Class, reason: Reason) {
        self.classes[class.index()].shed[reason.index()] += 1;
    }

    pub(crate) const fn abandoned(&mut self, class: Class) {
        self.classes[class.index()].abandoned += 1;
    }

    pub(crate) const fn ended(&mut self, class: Class, outcome: Outcome) {
        let counters = &mut self.classes[class.index()];
        match outcome {
            Outcome::Completed => counters.completed += 1,
            Outcome::Failed => counters.failed += 1,
            Outcome::TimedOut => counters.timed_out += 1,
            Outcome::Aborted => counters.aborted += 1,
        }
    }
}

/// What became of the requests of one class, since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ClassCounters {
    /// Arrived, whatever came of it.
    pub offered: u64,
    /// Got a slot.
    pub admitted: u64,
    /// Rejected, by [`Reason::index`]; see [`Self::shed`].
    pub shed: [u64; Reason::COUNT],
    /// Left while queued.
    pub abandoned: u64,
    /// Ended with [`Outcome::Completed`].
    pub completed: u64,
    /// Ended with [`Outcome::Failed`].
    pub failed: u64,
    /// Ended with [`Outcome::TimedOut`].
    pub timed_out: u64,
    /// Ended with [`Outcome::Aborted`].
    pub aborted: u64,
}

impl ClassCounters {
    /// Rejected for this reason.
    #[must_use]
    pub const fn shed(&self, reason: Reason) -> u64 {
        self.shed[reason.index()]
    }

    /// Rejected for any reason.
    #[must_use]
    pub fn shed_total(&self) -> u64 {
        self.shed.iter().sum()
    }

    /// Handed its slot back, however it ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.completed + self.failed + self.timed_out + self.aborted
    }

    /// Holds a slot now.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.admitted - self.ended()
    }
}
