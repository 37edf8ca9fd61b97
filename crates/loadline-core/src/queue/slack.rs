//! Time to spare: under overload, who may come too late gives its turn to one of its kind that has time enough.
//!
//! What the prediction rules out is half of the risk. The predicted service time is a median, so of those that have just that much
//! time left every second comes too late, and each of them has taken a slot from somebody who had time. While a class is
//! overloaded somebody is turned away in any case, and it costs nothing that it is the one whose chance is worst. So whoever is
//! next and has less time than a request of its route hardly ever takes (see [`predictor`](crate::predictor)) is passed over for
//! the next of its flow that has more, if there is one among [`LOOKED_AT`].
//!
//! Passed over is not refused: if nobody has more time, it is its turn all the same, and where all clients have as little
//! nothing changes. Only within the flow, so that tenants, routes and cohorts get what they are owed; and only in favour of one that
//! has a deadline too. Who has none always has time: beside such clients those who say how long they wait would get a fifth of what is
//! theirs (`tests/deadlines.rs`), and would do better not to say it. Not in a class that is healthy, where all who wait are served, nor
//! under a discipline that was chosen by name.
//!
//! Worked number: median 60 ms, longest 240 ms: whose deadline is less than 420 ms away lets others go first.

use crate::Instant;

use super::{Pace, Queue, group::Order, list::BY_FLOW, order::Next, slab::NIL};

/// How many are asked instead of one that may come too late. Those who were passed over stay in the way for as long as they have
/// a chance: with 8, every second time there was one with time behind them.
const LOOKED_AT: u32 = 32;

impl Queue {
    /// Who is served when it is the turn of this one: itself, unless it may come too late and another one has time. `needed` to be
    /// safe, in nanoseconds.
    pub(crate) fn with_time(&self, now: Instant, next: Next, needed: u64, pace: &Pace) -> Next {
        let has_time = |due: Instant| due.nanos_since(now) >= needed;
        // Most have no deadline, and then this is all there is to do. A witness is in no flow.
        if next.request.deadline.is_none_or(has_time)
            || self.entries[next.index].witness
            || self.order(now, next.request.class, pace) != Order::Cheapest
        {
            return next;
        }
        let mut index = next.index;
        for _ in 0..LOOKED_AT {
            index = self.entries[index].links[BY_FLOW].older;
            if index == NIL {
                break;
            }
            let request = self.entries[index].request;
            // There is room for what is next, not for more.
            if request.deadline.is_some_and(has_time) && request.cost <= next.request.cost {
                return Next { index, request, ..next };
            }
        }
        next
    }
}
