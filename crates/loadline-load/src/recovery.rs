//! How soon a service is itself again after an overload.
//!
//! The overload is over when the last stage ends whose rate lies above that of the run's last stage. Recovery is the time
//! from there to the first second from which on, second by second, at least 95 % of what is offered is served in time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::record::{TICK, Tick};
use crate::stage::Stage;

/// The share of offered requests that must be served in time for a second to be a good one.
pub const RECOVERED_GOODPUT: f64 = 0.95;

/// Ticks per second.
const SECOND: usize = 10;

/// What came after the overload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// When the overload was over, in seconds from the start of the run.
    pub from_s: f64,
    /// Seconds until goodput was back for good: 0 if it was never gone; `None` if it was not back when the run ended.
    pub seconds: Option<f64>,
}

/// Finds it; `None` if no stage lies above the last one, or nothing comes after it.
pub(crate) fn find(stages: &[Stage], ticks: &[Tick]) -> Option<Recovery> {
    let last = stages.last()?.to.get();
    let overload = stages.iter().rposition(|stage| stage.from.get().max(stage.to.get()) > last)?;
    let from: Duration = stages[..=overload].iter().map(|stage| stage.duration).sum();
    let total: Duration = stages.iter().map(|stage| stage.duration).sum();
    let first = usize::try_from(from.as_nanos().div_ceil(TICK.as_nanos())).ok()?;
    // Later ticks have answers only, and a second without requests would be a good one.
    let last = usize::try_from(total.as_nanos() / TICK.as_nanos()).ok()?;
    let after = ticks.get(first..last.min(ticks.len()))?;
    // What is left over at the end is too short to be a second.
    let seconds: Vec<bool> = after.chunks_exact(SECOND).map(is_good).collect();
    if seconds.is_empty() {
        return None;
    }
    let bad = seconds.iter().rposition(|good| !good).map_or(0, |last| last + 1);
    let seconds = (bad < seconds.len()).then_some(bad as f64);
    Some(Recovery { from_s: from.as_secs_f64(), seconds })
}

fn is_good(second: &[Tick]) -> bool {
    let offered: u32 = second.iter().map(|tick| tick.offered).sum();
    let served: u32 = second.iter().map(|tick| tick.outcomes[Outcome::Served.index()]).sum();
    f64::from(served) >= f64::from(offered) * RECOVERED_GOODPUT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds with ten requests each, of which so many were served.
    fn ticks(served: &[u32]) -> Vec<Tick> {
        let second = |served: &u32| {
            let served = *served;
            (0..SECOND as u32).map(move |tick| {
                let mut outcomes = [0; Outcome::COUNT];
                outcomes[Outcome::Served.index()] = u32::from(tick < served);
                Tick { offered: 1, outcomes, ..Tick::default() }
            })
        };
        served.iter().flat_map(second).collect()
    }

    fn find(stages: &[&str], served: &[u32]) -> Option<Recovery> {
        let stages: Vec<Stage> = stages.iter().map(|stage| stage.parse().unwrap()).collect();
        super::find(&stages, &ticks(served))
    }

    #[test]
    fn recovery_counts_from_the_end_of_the_overload_to_the_first_of_only_good_seconds() {
        let stages = ["2s@10", "2s@100", "5s@10"];
        assert_eq!(
            find(&stages, &[10, 10, 3, 3, 0, 10, 4, 10, 10]),
            Some(Recovery { from_s: 4.0, seconds: Some(3.0) })
        );
        assert_eq!(find(&stages, &[10; 9]).unwrap().seconds, Some(0.0));
        assert_eq!(find(&stages, &[10, 10, 3, 3, 0, 0, 0, 10, 0]).unwrap().seconds, None);
    }

    #[test]
    fn answers_after_the_last_request_was_due_are_no_recovery() {
        let mut late = ticks(&[10, 3, 0]);
        late.extend([Tick::default(); 2 * SECOND]);
        let stages = ["1s@10", "1s@100", "1s@10"].map(|stage| stage.parse().unwrap());
        assert_eq!(super::find(&stages, &late).unwrap().seconds, None);
    }

    #[test]
    fn without_an_overload_there_is_nothing_to_recover_from() {
        assert_eq!(find(&["5s@10"], &[0; 5]), None);
        assert_eq!(find(&["2s@10", "3s@100"], &[0; 5]), None);
        assert_eq!(find(&["2s@100", "3s@10"], &[0; 2]), None);
    }
}
