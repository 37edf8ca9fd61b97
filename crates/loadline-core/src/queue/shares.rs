//! What each route of a class has waiting, and the share of slot time that it gets in any case.
//!
//! Under overload cheap requests go first ([`mod@groups`](super::groups)): that gives the most answers, and would give none to an
//! expensive route whenever the cheap ones alone fill the slots. So each route that waits is guaranteed
//!
//! ```text
//! floor = FLOOR × slot time that it asked for ÷ slot time that all routes of the class asked for     (lately)
//! ```
//!
//! of the slot time that the class gets: [`FLOOR`] of what it would get if cost decided nothing. At k times the capacity at least
//! `FLOOR ÷ k` of its requests are served. It is kept as credit: whatever is served adds to the credit of the routes that wait,
//! and is taken from that of its own. A route with credit goes before the cheaper ones.
//!
//! Worked number: ten cheap requests of 10 ms for each of 100 ms, twice what can be served. Without the floor the cheap fill every
//! slot. The floor of the expensive is 0.42 × ½ = 21 % of the slot time: 21 % of them are served, and 79 % of the cheap, in all
//! 1.47 times as many as the half of both that a queue which does not look at cost would serve.

use crate::{Duration, Instant, RouteId};

/// Chosen by simulation (`tests/costs.rs`): at twice the capacity, costs of 1 : 10 and the worst mix, where the cheap alone fill the
/// slots, 0.42 gives 1.46 times the answers and 22 % of the expensive; 0.45 gives 1.43 and 24 %. Below 0.4 the latter would be
/// less than a fifth.
const FLOOR: f64 = 0.42;
/// How long what was asked for counts: the sums are halved that often. As long as a class needs to notice that it is overloaded,
/// many times over.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// One row for each route of a class; see the module.
#[derive(Debug)]
pub(super) struct Shares {
    /// By [`RouteId::index`].
    rows: Vec<Row>,
    /// Of all rows.
    asked: f64,
    /// When the sums are halved next.
    fades: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    waiting: u32,
    /// Slots that those need.
    cost: u64,
    /// Slot time asked for, in nanoseconds.
    asked: f64,
    /// Slot time that it is owed, in nanoseconds; below 0 what it had in advance. Never more than one request's either way.
    credit: f64,
    /// Of its latest request.
    work: f64,
}

impl Shares {
    pub(super) const NONE: Self = Self { rows: Vec::new(), asked: 0.0, fades: Instant::ORIGIN };

    /// A waiter of this route begins to wait, for so many slots and so much slot time.
    pub(super) fn begin(&mut self, now: Instant, route: RouteId, cost: u32, work: u64) {
        if now >= self.fades {
            self.fade(now);
        }
        if self.rows.len() <= route.index() {
            self.rows.resize(route.index() + 1, Row::default());
        }
        let row = &mut self.rows[route.index()];
        row.waiting += 1;
        row.cost += u64::from(cost);
        row.work = work as f64;
        row.asked += row.work;
        self.asked += row.work;
    }

    /// A waiter of this route waits no more.
    pub(super) fn end(&mut self, route: RouteId, cost: u32) {
        let row = &mut self.rows[route.index()];
        row.waiting -= 1;
        row.cost -= u64::from(cost);
    }

    /// So much slot time is given to a waiter of this route, while cost decides.
    pub(super) fn give(&mut self, route: RouteId, work: u64) {
        let given = work as f64;
        let per_asked = FLOOR * given / self.asked.max(1.0);
        for row in self.rows.iter_mut().filter(|row| row.waiting > 0) {
            row.credit = (row.credit + per_asked * row.asked).min(row.work);
        }
        let row = &mut self.rows[route.index()];
        row.credit = (row.credit - given).max(-given);
    }

    /// What this route, of which somebody waits, is owed.
    pub(super) fn credit(&self, route: RouteId) -> f64 {
        self.rows[route.index()].credit
    }

    /// How many of this route wait, and the slots that they need.
    pub(super) fn waiting(&self, route: RouteId) -> (u32, u64) {
        self.rows.get(route.index()).map_or((0, 0), |row| (row.waiting, row.cost))
    }

    #[cold]
    fn fade(&mut self, now: Instant) {
        self.rows.iter_mut().for_each(|row| row.asked *= 0.5);
        // Anew, or rounding would add up.
        self.asked = self.rows.iter().map(|row| row.asked).sum();
        self.fades = now + HALF_LIFE;
    }
}
