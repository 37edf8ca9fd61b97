//! A request's time: how long its client waits for the answer, and what is told to the upstream of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_http::deadline::{self, HeaderKind, HeaderSet, write_line};
use tokio::time::Instant;

use crate::buffers::Scratch;
use crate::live::Live;

/// Until when an answer is worth something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// How much of that is only our allowance for the difference of two clocks.
    tolerance: Duration,
    /// The headers that said so; none for a deadline of the configuration's.
    named: HeaderSet,
}

/// What a request's headers say of its time.
pub(crate) struct Budget {
    pub(crate) deadline: Option<Deadline>,
    /// It waited too long before it came here, by the word of a trusted hop.
    pub(crate) too_old: bool,
    /// Headers that were ignored, because no value of theirs could be a deadline.
    pub(crate) invalid: HeaderSet,
}

/// Reads the headers of the request in `scratch`, which began at `began`.
pub(crate) fn read(scratch: &Scratch, live: &Live, began: Instant, trusted: bool) -> Budget {
    let Scratch { head, inbox, .. } = scratch;
    // Most requests say nothing of their time; then the clock need not be asked either.
    let budget = if head.names.meets(live.deadline_names) {
        live.deadlines.budget(head.iter(inbox), wall_clock(), trusted)
    } else {
        deadline::Budget::default()
    };
    let named = Deadline { at: began, tolerance: budget.tolerance, named: budget.understood };
    let remaining = budget.remaining.or(live.settings.deadline.default_budget);
    Budget {
        deadline: remaining.map(|remaining| Deadline { at: began + remaining, ..named }),
        too_old: live.settings.deadline.max_queue_age.is_some_and(|most| budget.waited_longer_than(most)),
        invalid: budget.invalid,
    }
}

impl Deadline {
    /// At this moment, whatever headers say.
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, tolerance: Duration::ZERO, named: HeaderSet::default() }
    }

    /// Time left; zero once it has passed.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Writes the lines that tell the upstream how much time is left, in the forms in which the client said it, and
    /// returns the names of the headers that they replace.
    pub(crate) fn forward<'a>(&self, live: &'a Live, now: Instant, out: &mut Vec<u8>) -> Vec<&'a str> {
        let left = self.left(now).saturating_sub(self.tolerance);
        let wall = wall_clock();
        let said = self.named.iter().filter_map(|id| live.deadlines.header(id));
        said.filter_map(|(name, kind)| match kind {
            HeaderKind::Deadline(kind) => {
                write_line(name, kind, left, wall, out);
                Some(name)
            }
            // How long it waited until it came here remains as true as it was.
            HeaderKind::Age(_) => None,
        })
        .collect()
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
