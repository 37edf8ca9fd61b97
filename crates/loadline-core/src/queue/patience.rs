//! How long the clients of a class wait before they leave: learned from those who did, and from those who did not.
//!
//! Most waiters tell only a part: one that was served, expired or gave way after 80 ms was patient *until then*. Leaving them out
//! would make clients look hasty (only the hasty are seen to leave), counting them as departures even more so. The
//! estimator for such censored data sums up hazards (Nelson 1972, "Theory and applications of hazard plotting for censored
//! failure data"; Aalen 1978, "Nonparametric inference for a family of counting processes"; on the patience of callers:
//! Brown et al. 2005, "Statistical analysis of a telephone call center", section 5):
//!
//! ```text
//! hazard of an age bin   h = clients that left at that age ÷ time that waiters spent at that age
//! cumulative hazard      H(t) = sum of h × the part of the bin's width that lies below t
//! median patience        the age t with H(t) = ln 2
//! ```
//!
//! Those who still wait count too, or only the hasty would have been heard in the first seconds of an overload. What they will do in
//! their present bin is not known: they count as if they stayed to its end.
//!
//! The bins' edges double from 12.5 ms to 51.2 s; inside a bin the hazard counts as constant, which puts the median up to 15 %
//! too low when all leave at the same age and that is a bin's upper edge.
//!
//! Worked number: 100 waiters leave after 1 s each, 300 more were served after 0.4 s. The bin from 0.8 to 1.6 s saw 100 departures
//! in 100 × 0.2 s, h = 5 per second, and the bins below none: the median is 0.8 s + ln 2 ÷ 5 = 0.94 s. Had the 300 been taken for
//! departures, it would be 0.49 s.
//!
//! Sums are halved every [`HALF_LIFE`], so that what clients did last year is forgotten. The bin that decides needs
//! [`ENOUGH`] departures, else nothing is known, and nothing is known either of patience beyond the last edge. Out of scope: telling
//! clients of one class apart.

use std::f64::consts::LN_2;

use crate::{Duration, Instant, time::nanos};

/// Upper edge of the first bin in nanoseconds: below it, a client's departure is hardly a matter of patience.
const FIRST_EDGE: u64 = 12_500_000;
/// The last of these is up to 51.2 s, longer than most clients' own timeouts.
const BINS: usize = 13;
/// Long enough to gather evidence at a few requests per second, short enough to learn anew during one incident.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// Relative error of a count of 8 is about a third: the right bin, more or less. Fewer are an anecdote.
const ENOUGH: f64 = 8.0;
/// How long an estimate is used: the median does not move faster, and there may be hundreds of decisions meanwhile.
const ESTIMATE_LASTS: Duration = Duration::from_millis(10);
/// At least this long for each who still waits, so that counting them takes less than a thousandth of the time.
const ESTIMATE_LASTS_PER_WAITER: Duration = Duration::from_micros(10);

/// The patience of one class; see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    bins: [Bin; BINS],
    /// Waiters that were still there after the last bin.
    beyond: f64,
    /// When the sums are halved next.
    fades: Instant,
    median_nanos: Option<u64>,
    /// When the median is to be estimated again.
    stale: Instant,
}

/// Waiters whose wait ended in this bin, for whatever reason.
#[derive(Clone, Copy, Debug)]
struct Bin {
    ended: f64,
    /// The time that they spent in this bin, in nanoseconds. Together with those who came past it, this is its exposure.
    spent: f64,
    /// How many of them left of their own accord.
    departed: f64,
}

impl Patience {
    pub(super) const UNKNOWN: Self = Self {
        bins: [Bin { ended: 0.0, spent: 0.0, departed: 0.0 }; BINS],
        beyond: 0.0,
        fades: Instant::ORIGIN,
        median_nanos: None,
        stale: Instant::ORIGIN,
    };

    /// A wait ended at `now` after `waited` nanoseconds; `departed` if the client left, not if it was answered.
    pub(super) fn record(&mut self, now: Instant, waited: u64, departed: bool) {
        if now >= self.fades {
            self.fade(now);
        }
        let index = bin(waited);
        let Some(bin) = self.bins.get_mut(index) else {
            self.beyond += 1.0;
            return;
        };
        bin.ended += 1.0;
        bin.spent += (waited - lower_edge(index)) as f64;
        bin.departed += f64::from(u8::from(departed));
    }

    /// The median patience in nanoseconds; `None` while too little is known. `waiting` are the ages of who still waits.
    pub(super) fn median_nanos(&mut self, now: Instant, waiting: impl Iterator<Item = u64>) -> Option<u64> {
        if now >= self.stale {
            if now >= self.fades {
                self.fade(now);
            }
            let mut staying = [0_u32; BINS + 1];
            waiting.for_each(|age| staying[bin(age)] += 1);
            self.median_nanos = self.estimate(&staying);
            let lasts = ESTIMATE_LASTS.max(ESTIMATE_LASTS_PER_WAITER * staying.iter().sum());
            self.stale = now + lasts;
        }
        self.median_nanos
    }

    /// With so many in each bin who still wait.
    fn estimate(&self, staying: &[u32; BINS + 1]) -> Option<u64> {
        let ended = self.bins.iter().map(|bin| bin.ended).sum::<f64>() + self.beyond;
        let mut later = ended + staying.iter().copied().map(f64::from).sum::<f64>();
        let mut missing = LN_2;
        for (index, bin) in self.bins.iter().enumerate() {
            let width = (lower_edge(index + 1) - lower_edge(index)) as f64;
            // Whoever is in a later bin came through the whole of this one.
            later = (later - bin.ended).max(0.0);
            let exposure = bin.spent + later * width;
            later = (later - f64::from(staying[index])).max(0.0);
            if bin.departed == 0.0 {
                continue;
            }
            let into_bin = missing * exposure / bin.departed;
            if into_bin <= width {
                return (bin.departed >= ENOUGH).then_some(lower_edge(index) + into_bin as u64);
            }
            missing -= bin.departed / exposure * width;
        }
        None
    }

    #[cold]
    fn fade(&mut self, now: Instant) {
        let half_life = nanos(HALF_LIFE);
        let halvings = 1 + now.nanos_since(self.fades) / half_life;
        // After 64 nothing is left of any count.
        let share = 0.5_f64.powi(halvings.min(64) as i32);
        for bin in &mut self.bins {
            bin.ended *= share;
            bin.spent *= share;
            bin.departed *= share;
        }
        self.beyond *= share;
        self.fades =
            Instant::from_nanos(self.fades.as_nanos().saturating_add(halvings.saturating_mul(half_life)));
    }
}

/// The bin of this age; [`BINS`] if it is past the last.
fn bin(age: u64) -> usize {
    match (age / FIRST_EDGE).checked_ilog2() {
        None => 0,
        Some(doublings) => BINS.min(doublings as usize + 1),
    }
}

const fn lower_edge(bin: usize) -> u64 {
    if bin == 0 { 0 } else { FIRST_EDGE << (bin - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * MS)
    }

    fn learn(waits: impl IntoIterator<Item = (u64, bool)>) -> Patience {
        let mut patience = Patience::UNKNOWN;
        for (ms, departed) in waits {
            patience.record(at(1), ms * MS, departed);
        }
        patience
    }

    fn median_ms(patience: &mut Patience) -> Option<u64> {
        patience.median_nanos(at(1), std::iter::empty()).map(|nanos| nanos / MS)
    }

    fn times(n: usize, wait: (u64, bool)) -> impl Iterator<Item = (u64, bool)> {
        std::iter::repeat_n(wait, n)
    }

    #[test]
    fn bins_touch_and_cover_every_age() {
        assert_eq!((bin(0), bin(FIRST_EDGE - 1), bin(FIRST_EDGE)), (0, 0, 1));
        for index in 1..BINS {
            assert_eq!((bin(lower_edge(index) - 1), bin(lower_edge(index))), (index - 1, index));
        }
        assert_eq!(lower_edge(BINS), 51_200 * MS);
        assert_eq!((bin(lower_edge(BINS)), bin(u64::MAX)), (BINS, BINS));
    }

    #[test]
    fn the_worked_number() {
        let mut patience = learn(times(100, (1_000, true)).chain(times(300, (400, false))));
        assert_eq!(median_ms(&mut patience), Some(938));
    }

    #[test]
    fn whoever_was_answered_is_no_departure() {
        assert_eq!(median_ms(&mut learn(times(500, (900, false)))), None);
    }

    #[test]
    fn eight_departures_are_needed_in_the_bin_that_decides() {
        assert_eq!(median_ms(&mut learn(times(7, (1_000, true)))), None);
        assert!(median_ms(&mut learn(times(8, (1_000, true)))).is_some());
        // Many hasty ones do not vouch for the few that came so far.
        let hasty_few =
            times(50, (150, true)).chain(times(1_000, (150, false))).chain(times(3, (5_000, true)));
        assert_eq!(median_ms(&mut learn(hasty_few)), None);
    }

    #[test]
    fn a_hasty_minority_is_not_the_median() {
        let mut patience = learn(times(50, (200, true)).chain(times(950, (5_000, false))));
        assert_eq!(median_ms(&mut patience), None);
    }

    #[test]
    fn who_still_waits_speaks_for_the_patient() {
        let mut patience = learn(times(20, (200, true)));
        let staying = std::iter::repeat_n(300 * MS, 380);
        assert_eq!(patience.median_nanos(at(1), staying), None, "20 of 400 are hasty");
    }

    #[test]
    fn exponential_patience_cut_short_by_service_is_recovered() {
        // Quantiles of an exponential distribution with a mean of 2 s, median 1.386 s; every third was served after 0.5 s.
        let waits = (0..3_000_u32).map(|n| {
            let patience = -2_000.0 * (1.0 - (f64::from(n) + 0.5) / 3_000.0).ln();
            if n % 3 == 0 && patience > 500.0 { (500, false) } else { (patience as u64, true) }
        });
        let median = median_ms(&mut learn(waits)).unwrap();
        assert!((1_340..1_430).contains(&median), "{median}");
    }

    #[test]
    fn knowledge_fades() {
        let mut patience = learn(times(64, (1_000, true)));
        let mut known_at = |secs: u64| patience.median_nanos(at(secs * 1_000), std::iter::empty()).is_some();
        assert!(known_at(5) && known_at(39) && !known_at(41));
        patience.record(at(3_600_000_000), MS, false);
        assert_eq!(patience.bins.iter().filter(|bin| bin.departed > 1e-9).count(), 0);
    }

    #[test]
    fn beyond_the_last_edge_nothing_is_known() {
        assert_eq!(median_ms(&mut learn(times(100, (60_000, true)))), None);
    }
}
