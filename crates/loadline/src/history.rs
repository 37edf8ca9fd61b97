//! The last five minutes, second by second, for whoever begins to look: the live page, `loadline top`, `/api/v1/history`.
//!
//! **Why it exists.** Metrics need somebody who scrapes and keeps them. On the day of an overload there may be nobody, and the
//! question is what the last minutes were like. So the process keeps [`KEPT`] samples of itself.
//!
//! **When it acts.** Once a second on the main thread. It adds up what the workers have counted, as a scrape does; a request
//! never waits for it but for that lock.
//!
//! **Out of scope.** Anything longer, and anything that survives the process: that is what Prometheus is for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::{Class, Snapshot};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::metrics::{Histogram, Totals};
use crate::process::WINDOW;
use crate::shared::Shared;

/// Samples that are kept, one per second: five minutes in about 30 kB.
const KEPT: usize = 300;

/// The samples, and what is needed for the next one.
#[derive(Default)]
pub(crate) struct History {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The latest last.
    samples: VecDeque<Sample>,
    /// What had been counted at the last samples, one [`WINDOW`] back.
    counted: VecDeque<Counted>,
}

/// One second.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Milliseconds since 1970 at its end. When the clock is set back, it goes on with the time that passes until the clock is
    /// there again: readers ask for what is new by the time of what they have, and draw samples at their distances.
    time_ms: u64,
    /// Per second, all classes but bypass.
    offered: f64,
    served: f64,
    shed: f64,
    good: f64,
    /// What settings that are not obeyed would have shed, per second.
    would_shed: Option<f64>,
    limit: u32,
    in_flight: u32,
    queued: u32,
    /// Requests per second that the limit allows: limit ÷ mean service time (Little's law). A limit of 4 and a mean of 50 ms
    /// allow 80.
    limit_rate: Option<f64>,
    /// Over the last [`WINDOW`], in seconds.
    wait_p95: Option<f64>,
}

/// Counts since the start, at one moment.
#[derive(Clone)]
struct Counted {
    at: Instant,
    offered: u64,
    served: u64,
    shed: u64,
    would_shed: Option<u64>,
    totals: Totals,
}

/// What is told of the last [`WINDOW`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Lately {
    /// Requests per second that were answered below 500, in time, to a client that was still there.
    pub(crate) good: f64,
    /// Time in the queue.
    wait: Option<Histogram>,
    /// Time at the upstream.
    service: Option<Histogram>,
}

impl Lately {
    /// Percentiles of the time in the queue, in milliseconds; nulls when nothing was admitted.
    pub(crate) fn wait(&self) -> Value {
        percentiles(self.wait.as_ref())
    }

    /// Percentiles of the time at the upstream, in milliseconds.
    pub(crate) fn service(&self) -> Value {
        percentiles(self.service.as_ref())
    }
}

fn percentiles(histogram: Option<&Histogram>) -> Value {
    let at = |share: f64| Some(round(histogram?.quantile(share)? * 1e3));
    json!({ "p50": at(0.5), "p95": at(0.95), "p99": at(0.99) })
}

impl History {
    /// Takes a sample; called about once a second.
    pub(crate) fn sample(&self, shared: &Shared, gate: &Snapshot) {
        let would = shared.live().shadow.as_ref().map(|run| run.snapshot().counters.total().shed_total());
        let counted = Counted::new(gate, would, Totals::of(shared));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.kept().add(gate, counted, u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
    }

    /// What is told of the last [`WINDOW`].
    pub(crate) fn lately(&self) -> Lately {
        let kept = self.kept();
        let (Some(first), Some(last)) = (kept.counted.front(), kept.counted.back()) else {
            return Lately::default();
        };
        let seconds = (last.at - first.at).as_secs_f64();
        Lately {
            good: per_second(first.totals.good, last.totals.good, seconds),
            wait: Some(last.totals.wait.since(&first.totals.wait)),
            service: Some(last.totals.service.since(&first.totals.service)),
        }
    }

    /// The samples after the one with this time, and the time of the latest one.
    pub(crate) fn after(&self, time_ms: u64) -> (Vec<Value>, u64) {
        let kept = self.kept();
        let new = kept.samples.iter().filter(|sample| sample.time_ms > time_ms).map(Sample::json).collect();
        (new, kept.samples.back().map_or(0, |last| last.time_ms))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The document of `/api/v1/history?after=MILLISECONDS`.
///
/// # Errors
/// The query is another one.
pub(crate) fn answer(shared: &Shared, query: &str) -> Result<Value, String> {
    let after = match query.strip_prefix("after=") {
        Some(number) => number.parse().ok(),
        None if query.is_empty() => Some(0),
        None => None,
    };
    let after = after.ok_or("expected nothing or after=MILLISECONDS (the time_ms of a sample)")?;
    Ok(json!({ "samples": shared.history.after(after).0 }))
}

impl Kept {
    fn add(&mut self, gate: &Snapshot, counted: Counted, wall_ms: u64) {
        // The first one has nothing to be compared with.
        if let Some(before) = self.counted.back() {
            let passed = u64::try_from((counted.at - before.at).as_millis()).unwrap_or(u64::MAX).max(1);
            let sample = Sample {
                time_ms: wall_ms
                    .max(self.samples.back().map_or(0, |last| last.time_ms.saturating_add(passed))),
                wait_p95: self
                    .counted
                    .front()
                    .and_then(|first| counted.totals.wait.since(&first.totals.wait).quantile(0.95)),
                ..counted.sample(before, gate)
            };
            self.samples.push_back(sample);
            while self.samples.len() > KEPT {
                self.samples.pop_front();
            }
        }
        while self.counted.len() > 1 && counted.at - self.counted[1].at >= WINDOW {
            self.counted.pop_front();
        }
        self.counted.push_back(counted);
    }
}

impl Counted {
    fn new(gate: &Snapshot, would_shed: Option<u64>, totals: Totals) -> Self {
        let mut counted = Self { at: Instant::now(), offered: 0, served: 0, shed: 0, would_shed, totals };
        for class in Class::QUEUED {
            let counters = gate.counters.of(class);
            counted.offered += counters.offered;
            counted.served += counters.admitted;
            counted.shed += counters.shed_total();
        }
        counted
    }

    /// What happened since `before`.
    fn sample(&self, before: &Self, gate: &Snapshot) -> Sample {
        let seconds = (self.at - before.at).as_secs_f64();
        let mean = gate.mean_service.map(|mean| mean.as_secs_f64()).filter(|mean| *mean > 0.0);
        Sample {
            time_ms: 0,
            offered: per_second(before.offered, self.offered, seconds),
            served: per_second(before.served, self.served, seconds),
            shed: per_second(before.shed, self.shed, seconds),
            good: per_second(before.totals.good, self.totals.good, seconds),
            would_shed: before
                .would_shed
                .zip(self.would_shed)
                .map(|(from, to)| per_second(from, to, seconds)),
            limit: gate.limit,
            in_flight: gate.in_flight,
            queued: gate.queued,
            limit_rate: mean.map(|mean| f64::from(gate.limit) / mean),
            wait_p95: None,
        }
    }
}

impl Sample {
    fn json(&self) -> Value {
        json!({
            "time_ms": self.time_ms,
            "offered": round(self.offered),
            "served": round(self.served),
            "shed": round(self.shed),
            "good": round(self.good),
            "would_shed": self.would_shed.map(round),
            "limit": self.limit,
            "in_flight": self.in_flight,
            "queued": self.queued,
            "limit_rate": self.limit_rate.map(round),
            "wait_p95_ms": self.wait_p95.map(|wait| round(wait * 1e3)),
        })
    }
}

/// 0 where no time has passed, or where counting began anew.
fn per_second(from: u64, to: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { to.saturating_sub(from) as f64 / seconds } else { 0.0 }
}

fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use loadline_core::{Admission, Instant as Moment, Reason, Settings};

    use std::time::Duration;

    use super::*;

    /// One second in which so many were shed and so many answered after 30 ms of waiting.
    fn second(
        kept: &mut Kept,
        admission: &mut Admission,
        totals: &mut Totals,
        shed: u64,
        good: u64,
        wall_ms: u64,
    ) {
        for _ in 0..shed {
            let _ = admission.record_shed(Moment::from_nanos(1), Class::Normal, Reason::QueueFull);
        }
        for _ in 0..good {
            totals.good += 1;
            totals.wait.observe(0.03, None);
        }
        let gate = admission.snapshot(Moment::from_nanos(1));
        let counted = Counted::new(&gate, None, totals.clone());
        kept.add(&gate, counted, wall_ms);
    }

    fn admission() -> Admission {
        Admission::new(Settings::new(std::num::NonZeroU32::MIN))
    }

    #[tokio::test(start_paused = true)]
    async fn five_minutes_are_kept_and_no_more() {
        let (mut kept, mut admission, mut totals) = (Kept::default(), admission(), Totals::default());
        for at in 0..2 * KEPT as u64 {
            second(&mut kept, &mut admission, &mut totals, at, 3, at * 1000);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(kept.samples.len(), KEPT);
        assert_eq!(kept.counted.len(), 11, "ten seconds have eleven ends");
        let last = kept.samples.back().unwrap();
        assert_eq!((last.shed, last.good), (599.0, 3.0));
        let p95 = last.wait_p95.unwrap();
        assert!((0.026..0.034).contains(&p95), "{p95}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_repeats_no_time_and_keeps_seconds_apart() {
        let (mut kept, mut admission, mut totals) = (Kept::default(), admission(), Totals::default());
        for wall_ms in [1000, 2000, 500, 1500, 2500, 7000, 8000] {
            second(&mut kept, &mut admission, &mut totals, 0, 0, wall_ms);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let times: Vec<_> = kept.samples.iter().map(|sample| sample.time_ms).collect();
        assert_eq!(times, [2000, 3000, 4000, 5000, 7000, 8000]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_new_is_told() {
        let history = History::default();
        assert_eq!(history.after(0), (Vec::new(), 0));
        let (mut admission, mut totals) = (admission(), Totals::default());
        for wall_ms in [1000, 2000, 3000] {
            second(&mut history.kept(), &mut admission, &mut totals, 0, 0, wall_ms);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let (all, latest) = history.after(0);
        assert_eq!((all.len(), latest), (2, 3000));
        assert_eq!(history.after(2000).0.len(), 1);
        assert_eq!(history.after(3000).0.len(), 0);
    }
}
