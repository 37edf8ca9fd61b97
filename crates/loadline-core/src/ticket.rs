//! A place in the queue.

use std::fmt;

/// Names one wait in the queue of one [`Admission`](crate::Admission), from [`Decision::Queue`](crate::Decision::Queue)
/// until the event that answers it.
///
/// Tickets are never reissued, so one that was already answered or cancelled is harmless: it names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    index: u32,
    serial: u64,
}

impl Ticket {
    pub(crate) const fn new(index: u32, serial: u64) -> Self {
        Self { index, serial }
    }

    /// A small number that no two *waiting* tickets share, for a caller's table beside the queue. It is reused as soon as
    /// the ticket was answered or cancelled.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    pub(crate) const fn slot(self) -> u32 {
        self.index
    }

    /// Counts tickets in the order of their arrival.
    pub(crate) const fn serial(self) -> u64 {
        self.serial
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}@{})", self.serial, self.index)
    }
}
