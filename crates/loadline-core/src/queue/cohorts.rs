//! Cohorts: which groups of users are served through an overload.
//!
//! Shedding at random hits everybody a little: a user who needs ten answers and gets nine has none of them. So under overload a class
//! serves the lower cohorts first, and leaves the upper ones what remains; they are behind, not locked out. The border follows
//! from what was offered and what was served lately:
//!
//! ```text
//! cut = the first cohort c with   slot time asked for by cohorts 0..=c   >   0.95 × slot time given to all cohorts
//! ```
//!
//! This is the admission level of DAGOR (Zhou et al. 2018, "Overload control for scaling WeChat microservices", section 4.2) and of
//! Uber's Cinnamon, without a control loop: what is served depends on the slots, not on the cut, because whoever is behind is
//! served when nobody else waits. So there is nothing that could oscillate, a cut too low corrects itself, and a histogram over
//! cohorts, instead of a share of their number, puts up with cohorts of unequal size and with those that are shed and try again.
//!
//! Worked number: cohorts alike, offered twice what can be served: the cut is 60, and the users of cohorts 0 to 59 notice nothing.
//! The others share what is left.

use crate::{Cohort, Duration, Instant};

/// How often the cut is moved: a few times per verdict on the class would be noise.
const CUT_LASTS: Duration = Duration::from_millis(100);
/// Who are not behind ask for this share of what can be given, so that a busy moment does not make them wait for each other.
const FILLED: f64 = 0.95;
/// What is left of the sums at each move: a memory of about 2 s, in which a service of 100 requests per second sees each
/// cohort once or twice.
const REMEMBERED: f64 = 0.95;

/// The border in one class; see the module.
#[derive(Debug)]
pub(super) struct Cohorts {
    /// Slot time asked for, by cohort. Nothing is allocated before the first request with a cohort.
    asked: Vec<f64>,
    given: f64,
    cut: usize,
    moves: Instant,
}

impl Cohorts {
    pub(super) const UNKNOWN: Self =
        Self { asked: Vec::new(), given: 0.0, cut: Cohort::COUNT, moves: Instant::ORIGIN };

    /// Whether this one is behind.
    pub(super) fn is_behind(&self, cohort: Cohort) -> bool {
        usize::from(cohort.get()) >= self.cut
    }

    /// A request that will wait asks for so much slot time.
    pub(super) fn asked(&mut self, now: Instant, cohort: Cohort, work: u64) {
        self.asked.resize(Cohort::COUNT, 0.0);
        self.asked[usize::from(cohort.get())] += work as f64;
        if now >= self.moves {
            self.move_cut(now);
        }
    }

    /// A waiter with a cohort gets so much slot time.
    pub(super) fn given(&mut self, work: u64) {
        self.given += work as f64;
    }

    fn move_cut(&mut self, now: Instant) {
        let mut left = self.given * FILLED;
        let beyond = |asked: &f64| {
            left -= asked;
            left < 0.0
        };
        self.cut = match self.asked.iter().position(beyond) {
            // Before anything was served nothing is known.
            Some(cut) if self.given > 0.0 => cut.max(1),
            _ => Cohort::COUNT,
        };
        self.given *= REMEMBERED;
        self.asked.iter_mut().for_each(|asked| *asked *= REMEMBERED);
        self.moves = now + CUT_LASTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(asked: impl Fn(u8) -> u64, given: u64) -> usize {
        let mut cohorts = Cohorts::UNKNOWN;
        cohorts.moves = Instant::from_nanos(u64::MAX);
        for cohort in 0..128 {
            cohorts.asked(Instant::ORIGIN, Cohort::new(cohort), asked(cohort));
        }
        cohorts.given(given);
        cohorts.move_cut(Instant::ORIGIN);
        cohorts.cut
    }

    #[test]
    fn the_worked_number_and_the_ends() {
        assert_eq!(cut(|_| 10, 640), 60);
        assert_eq!(cut(|_| 10, 1_350), 128, "all are served");
        assert_eq!(cut(|_| 10, 3), 1, "somebody is served first");
        assert_eq!(cut(|_| 10, 0), 128, "nothing is known");
        assert_eq!(cut(|cohort| if cohort < 4 { 100 } else { 1 }, 250), 2, "unequal cohorts");
    }
}
