//! How long a request will take: the median of the last [`KEPT`] of its route.
//!
//! The median, because one in ten that hangs must not make all look slow, as it would a mean; of few, because a service that
//! became slow, or fast again, is to be believed after eight. Requests that failed or were given up end too soon to say how long
//! they would have taken: they count only if they took longer than expected by then, because they would have taken even longer.
//!
//! # Liveness
//! A prediction that refuses work keeps itself from being corrected: after a slow spell every request looks doomed, nothing is
//! started, nothing completes, and the estimate stays for ever. Hence two rules. The door and dispatch heed it only while a
//! quarter of the slots is in use, or of those that the request's route may take, so that there is always something that can
//! complete. And while something is in flight but nothing
//! completes for a [`HALF_LIFE`], the prediction is halved, and again after each further one.
//!
//! A route is silent for itself: while others complete, nothing is learned of it. When nothing of it is in flight and nothing of it
//! has confirmed its prediction for a [`ROUTE_HALF_LIFE`], this is halved likewise, until one is started and tells how long it
//! takes. With that one in flight, the prediction is what it was; if it took as long, also afterwards.
//!
//! # What is hardly ever exceeded
//! Half of all take longer than the median. Where somebody has to be chosen anyway, the tail counts:
//!
//! ```text
//! longest = max(service time, longest − (longest − median) ÷ 64)          at each completion
//! hardly ever exceeded = longest + (longest − median)
//! ```
//!
//! The longest is remembered for some hundred completions: of sixteen the longest would be a matter of luck, and a hang of a minute is
//! not to count for ever. It is itself exceeded by one in thirty or so; as far again beyond the median are few. Where all take the
//! same, it is what they take. By simulation (`scenarios/tuning/deadlines.toml`; work for answers that came too late): the longest of
//! sixteen 1.7 %, with as much again 1.0 %, the longest that fades 1.1 %, with as much again 0.4 %.
//!
//! Worked number: median 800 ms, nothing completed for 0.6 s: two halvings, so 200 ms are predicted.

use crate::{Duration, Instant, Outcome, RouteId, time::nanos};

/// Up to seven of sixteen may be odd without effect, and eight are believed. A power of two, so that the ring costs nothing.
const KEPT: usize = 16;
/// What the longest is beyond the median fades by one in so many at each completion.
const FADES: u64 = 64;
/// Long enough not to be taken for the gap between two completions of a busy service.
const HALF_LIFE: Duration = Duration::from_millis(250);
/// The same for one route of which nothing is in flight. Longer, because each time one request may be started in vain.
const ROUTE_HALF_LIFE: Duration = Duration::from_secs(1);

/// Predicts service times; see the module.
#[derive(Debug, Default)]
pub(crate) struct Predictor {
    /// By route.
    routes: Vec<Recent>,
    /// Since when nothing has completed while something was in flight.
    silent_since: Instant,
}

/// The last service times of one route in nanoseconds.
///
/// Twice, because each completion asks for the median and replaces the oldest: keeping both orders costs one short move, and
/// finding the median in no order a selection.
#[derive(Clone, Copy, Debug)]
struct Recent {
    /// As they came, in a ring.
    nanos: [u64; KEPT],
    /// The same, the shortest first.
    sorted: [u64; KEPT],
    len: u8,
    /// The place of the oldest, once all places are taken.
    oldest: u8,
    /// The longest of late; see the module.
    longest: u64,
    /// When one of the route last took as long as predicted, or longer.
    confirmed: Instant,
}

impl Predictor {
    /// Work begins, and there was none before.
    pub(crate) const fn wakes_up(&mut self, now: Instant) {
        self.silent_since = now;
    }

    /// A request of this route held its slot for so long.
    pub(crate) fn record(&mut self, now: Instant, route: RouteId, held_nanos: u64, outcome: Outcome) {
        if self.routes.len() <= route.index() {
            self.routes.resize(route.index() + 1, Recent::UNKNOWN);
        }
        let recent = &mut self.routes[route.index()];
        if recent.median().is_none_or(|median| held_nanos >= median) {
            recent.confirmed = now;
        }
        match outcome {
            Outcome::Completed | Outcome::TimedOut => {
                self.silent_since = now;
                recent.push(held_nanos);
            }
            Outcome::Failed | Outcome::Aborted => {
                if recent.median().is_some_and(|median| held_nanos > median) {
                    recent.push(held_nanos);
                }
            }
        }
    }

    /// How long a request of this route will hold its slot, in nanoseconds; `None` before the first has ended. `in_flight`:
    /// whether there are others of it.
    pub(crate) fn predict(&self, now: Instant, route: RouteId, in_flight: bool) -> Option<u64> {
        let recent = self.routes.get(route.index())?;
        let median = recent.median()?;
        let alone = if in_flight {
            median
        } else {
            halve(median, now.nanos_since(recent.confirmed), ROUTE_HALF_LIFE)
        };
        Some(self.fade(now, median).min(alone))
    }

    /// The same, whatever silence there is: to compare routes with each other.
    pub(crate) fn median(&self, route: RouteId) -> Option<u64> {
        self.routes.get(route.index())?.median()
    }

    /// How long one of this route hardly ever takes; see the module.
    pub(crate) fn hardly_exceeded(&self, route: RouteId) -> Option<u64> {
        let recent = self.routes.get(route.index())?;
        let median = recent.median()?;
        Some(recent.longest.saturating_add(recent.longest.saturating_sub(median)))
    }

    /// How much of an estimate is left after the present silence.
    pub(crate) fn fade(&self, now: Instant, estimate: u64) -> u64 {
        halve(estimate, now.nanos_since(self.silent_since), HALF_LIFE)
    }

    /// What each route took of late, by [`RouteId::index`], whatever silence there is.
    pub(crate) fn all(&self) -> Vec<Option<Duration>> {
        self.routes.iter().map(|recent| recent.median().map(Duration::from_nanos)).collect()
    }
}

/// What is left of an estimate after a silence of so many nanoseconds.
fn halve(estimate: u64, silence: u64, half_life: Duration) -> u64 {
    let halvings = silence / nanos(half_life);
    u32::try_from(halvings).ok().and_then(|halvings| estimate.checked_shr(halvings)).unwrap_or(0)
}

impl Recent {
    const UNKNOWN: Self = Self {
        nanos: [0; KEPT],
        sorted: [0; KEPT],
        len: 0,
        oldest: 0,
        longest: 0,
        confirmed: Instant::ORIGIN,
    };

    fn push(&mut self, held_nanos: u64) {
        let len = usize::from(self.len);
        let oldest = std::mem::replace(&mut self.nanos[usize::from(self.oldest)], held_nanos);
        self.oldest = (self.oldest + 1) % KEPT as u8;
        // It takes the place of the oldest, and from there goes to its own: what lies between them moves by one.
        let mut at = if len == KEPT {
            self.sorted.partition_point(|nanos| *nanos < oldest)
        } else {
            self.len += 1;
            len
        };
        let sorted = &mut self.sorted[..usize::from(self.len)];
        while at > 0 && sorted[at - 1] > held_nanos {
            sorted[at] = sorted[at - 1];
            at -= 1;
        }
        while at + 1 < sorted.len() && sorted[at + 1] < held_nanos {
            sorted[at] = sorted[at + 1];
            at += 1;
        }
        sorted[at] = held_nanos;
        let beyond = self.longest.saturating_sub(self.median().unwrap_or(0));
        self.longest = held_nanos.max(self.longest - beyond / FADES);
    }

    /// The upper one of two, so that half of them at least took no longer.
    fn median(&self) -> Option<u64> {
        self.sorted[..usize::from(self.len)].get(usize::from(self.len / 2)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: RouteId = RouteId::new(3);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn predictor(held: &[u64]) -> Predictor {
        let mut predictor = Predictor::default();
        for nanos in held {
            predictor.record(at(0), ROUTE, *nanos, Outcome::Completed);
        }
        predictor
    }

    #[test]
    fn routes_are_told_apart_and_unknown_until_one_has_ended() {
        let predictor = predictor(&[500]);
        assert_eq!(predictor.predict(at(0), ROUTE, true), Some(500));
        for other in [0, 2, 4, u16::MAX] {
            assert_eq!(predictor.predict(at(0), RouteId::new(other), true), None);
        }
        assert_eq!(predictor.all(), [None, None, None, Some(Duration::from_nanos(500))]);
    }

    #[test]
    fn the_median_is_that_of_the_last_sixteen() {
        let mut recent = Recent::UNKNOWN;
        let mut all = Vec::new();
        for step in 0..200_u64 {
            // Some values come often, so that equal ones stand beside each other.
            let nanos = step * step % 23;
            recent.push(nanos);
            all.push(nanos);
            let mut last = all[all.len().saturating_sub(KEPT)..].to_vec();
            last.sort_unstable();
            assert_eq!(recent.median(), Some(last[last.len() / 2]), "after {step}");
        }
    }

    #[test]
    fn seven_of_sixteen_that_hang_change_nothing_and_eight_are_believed() {
        let mut predictor = predictor(&[100; 16]);
        for _ in 0..7 {
            predictor.record(at(0), ROUTE, 60_000_000_000, Outcome::TimedOut);
            assert_eq!(predictor.predict(at(0), ROUTE, true), Some(100));
        }
        predictor.record(at(0), ROUTE, 60_000_000_000, Outcome::TimedOut);
        assert_eq!(predictor.predict(at(0), ROUTE, true), Some(60_000_000_000));
    }

    #[test]
    fn what_failed_early_says_nothing_what_failed_late_says_longer() {
        let mut predictor = predictor(&[100]);
        for outcome in [Outcome::Failed, Outcome::Aborted] {
            predictor.record(at(0), ROUTE, 1, outcome);
            assert_eq!(predictor.predict(at(0), ROUTE, true), Some(100));
        }
        predictor.record(at(0), ROUTE, 900, Outcome::Aborted);
        assert_eq!(predictor.predict(at(0), ROUTE, true), Some(900));
    }

    #[test]
    fn silence_halves_it_every_quarter_of_a_second() {
        let predictor = predictor(&[800]);
        let predicted = |ms| predictor.predict(at(ms), ROUTE, true).unwrap();
        assert_eq!([0, 249, 250, 600, 750, 1_000_000].map(predicted), [800, 800, 400, 200, 100, 0]);
    }

    #[test]
    fn a_route_that_is_silent_while_others_complete_is_believed_less_each_second_until_one_of_it_runs() {
        let mut predictor = predictor(&[800]);
        let others = RouteId::new(1);
        let mut predicted = |ms, in_flight| {
            predictor.record(at(ms), others, 5, Outcome::Completed);
            predictor.predict(at(ms), ROUTE, in_flight).unwrap()
        };
        assert_eq!([0, 999, 1_000, 2_500, 90_000].map(|ms| predicted(ms, false)), [800, 800, 400, 200, 0]);
        assert_eq!(predicted(90_001, true), 800);
    }

    #[test]
    fn the_longest_is_remembered_and_fades_and_a_constant_is_exceeded_by_nothing() {
        let mut predictor = predictor(&[100_000; 16]);
        let mut after = |micros: u64, times: u32| {
            (0..times).for_each(|_| predictor.record(at(0), ROUTE, micros * 1_000, Outcome::Completed));
            predictor.hardly_exceeded(ROUTE).unwrap() / 1_000
        };
        assert_eq!(after(100, 1), 100);
        assert_eq!(after(740, 1), 740 + 640, "as much again as it is beyond the median");
        assert_eq!(after(100, 1), 730 + 630, "a 64th of 640 less");
        assert!(after(100, 200) < 160, "and after a few hundred it is forgotten");
    }
}
