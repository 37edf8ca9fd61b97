//! What was before an abrupt fall of throughput: the limit that was right then is the first to be tried when there are signs that
//! what was lost is back.
//!
//! Until then the limit stands further above the [knee](super::knee) than usual, for a service at its knee does the same whether it has more
//! workers again or not: only one that is kept busier than it can be shows it. Higher limits are tried often, and less
//! evidence of a [rise](super::change) is enough: who is wrong about it has tried a higher limit once more.
//!
//! It is forgotten when nearly as much is answered as before the fall.

use super::Auto;
use super::tuning::{BACK, FIRST_CREDIT, SHOCK_ANSWERS};
use crate::time::nanos;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    /// The limit it stood by.
    pub(super) limit: u32,
    /// The throughput that it gave.
    rate: f64,
    /// Whether it did harm to try it since.
    pub(super) is_dear: bool,
    /// Whether the limit was in the way when throughput fell. Then slots were not what was missing, and more of them would only make
    /// a longer line inside the service.
    was_enough: bool,
}

impl Auto {
    /// Throughput has fallen from `rate` at the present limit.
    pub(super) fn remember_former(&mut self, limit: u32, rate: f64, was_enough: bool) {
        let before = self.former.map_or((0, 0.0), |former| (former.limit, former.rate));
        let (limit, rate) = (limit.max(before.0), rate.max(before.1));
        self.former = Some(Former { limit, rate, is_dear: false, was_enough });
    }

    /// The limit before the fall, if the present one is far below it.
    pub(super) fn lost(&self) -> Option<u32> {
        let far = self.limit + self.limit / 8;
        self.former.map(|former| former.limit).filter(|limit| *limit > far)
    }

    /// Whether the question is if what was lost has come back, which is a coarse one, and asked often.
    pub(super) fn is_coarse(&self) -> bool {
        self.lost().is_some_and(|former| !self.thrashes || former * 2 > self.limit * 3)
    }

    /// The highest limit to try.
    pub(super) fn highest(&self) -> u32 {
        let enough = self.former.filter(|former| former.was_enough && !self.alone.is_known());
        enough.map_or(self.max, |former| former.limit.min(self.max))
    }

    /// Forgets what was before the fall once it is no news any more.
    pub(super) fn notice_return(&mut self) {
        let is_sure = self.base.count() >= SHOCK_ANSWERS;
        if is_sure && self.former.is_some_and(|former| self.base.rate() > BACK * former.rate) {
            self.former = None;
            self.credit = self.credit.min(nanos(FIRST_CREDIT) as f64);
        }
    }
}
