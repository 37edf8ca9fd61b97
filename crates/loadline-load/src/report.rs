//! What a run showed: figures that a person reads, a program compares, an expectation is held against.
//!
//! The shape of the JSON is stable: fields may be added, none is renamed or changes its unit. [`FORMAT`] counts up if that
//! ever has to be broken.

mod html;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::{Counter, Histogram};
use loadline_core::Reason;
use serde::{Deserialize, Serialize};

pub use html::{html, html_of_two};

use crate::client::Client;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::record::{Recorder, TICK, Tally};
use crate::recovery::{self, Recovery};

/// Version of the JSON's shape.
pub const FORMAT: u32 = 1;

/// A request that left so much after it was due left late. Below it is what a scheduler does to any process; above it, the
/// target did not get the arrivals that the plan says.
pub const LATE_START: Duration = Duration::from_millis(10);

/// The largest share of late starts in a run that is valid.
pub const MAX_LATE_STARTS: f64 = 0.01;

/// Percentiles of the curve in a report, as shares.
const CURVE: [f64; 14] =
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// A run's figures. Rates are per second of the planned duration, shares are of what was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was asked.
    pub url: String,
    /// `http/1.1` or `h2`.
    pub protocol: String,
    /// How long requests were due.
    pub planned_s: f64,
    /// How long the run took, answers included.
    pub elapsed_s: f64,
    /// Whether it came to its end.
    pub complete: bool,
    /// Whether its figures mean what they say; if not, [`Self::problems`] says why.
    pub valid: bool,
    /// What is wrong with the run itself, in words.
    pub problems: Vec<String>,
    /// Everything.
    pub total: Group,
    /// Requests that were due, per second.
    pub offered_per_s: f64,
    /// Requests that were served in time, per second.
    pub goodput_per_s: f64,
    /// Requests under way when the run was ended early.
    pub unfinished: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    /// Connections opened.
    pub connections: u64,
    /// Requests sent once more because a kept connection had been closed by the server meanwhile.
    pub resent: u64,
    /// Answers by status, those to attempts that were repeated included.
    pub statuses: BTreeMap<u16, u64>,
    /// Why requests were refused, reset or not sent, in words: the first of each kind.
    #[serde(default)]
    pub causes: BTreeMap<Outcome, String>,
    /// The generator's own punctuality.
    pub late_starts: LateStarts,
    /// How soon goodput came back after the overload, if the plan has one.
    pub recovery: Option<Recovery>,
    /// Each stage of the plan.
    pub stages: Vec<StageReport>,
    /// Each target, if there are several.
    pub targets: Vec<Group>,
    /// Each class.
    pub classes: Vec<Group>,
    /// Each tenant.
    pub tenants: Vec<Group>,
    /// Share of served requests and the latency they stayed within, in milliseconds.
    pub curve: Vec<(f64, f64)>,
    /// How it went over time.
    pub series: Series,
}

/// Some part of the requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Which part; empty for all.
    pub name: String,
    /// Requests that were due.
    pub offered: u64,
    /// What became of them; every outcome is there.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Why requests were shed; `unspecified` where the answer gave no reason.
    pub shed_by_reason: BTreeMap<String, u64>,
    /// Share of the offered requests that were served in time.
    pub goodput: f64,
    /// Of what was served, in time or late.
    pub latency: Latency,
    /// Of what was shed: how quickly it was said.
    pub shed_latency: Latency,
    /// Of everything that was sent, failures and timeouts included.
    pub all_latency: Latency,
}

/// Latencies in milliseconds, from when a request was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub count: u64,
    pub mean_ms: f64,
    pub min_ms: f64,
    pub p50_ms: f64,
    pub p75_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub p99_99_ms: f64,
    pub max_ms: f64,
}

/// How punctual the generator was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LateStarts {
    /// Requests that left more than [`LATE_START`] after they were due.
    pub count: u64,
    /// Their share of those that were started.
    pub share: f64,
    /// The 99th percentile of all delays, in milliseconds.
    pub p99_ms: f64,
    /// The longest delay, in milliseconds.
    pub max_ms: f64,
}

/// One stage of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// When it began, in seconds from the start.
    pub begin_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// The rate at its beginning, per second.
    pub from_per_s: f64,
    /// The rate at its end.
    pub to_per_s: f64,
    /// The requests that were due in it.
    #[serde(flatten)]
    pub group: Group,
}

/// Figures over time, by when requests were due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of a step in seconds.
    pub step_s: f64,
    /// The steps, from the start.
    pub points: Vec<Point>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it began, in seconds from the start.
    pub at_s: f64,
    /// Requests that were due.
    pub offered: u64,
    /// What became of them, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::COUNT],
    /// Median latency of those that were served; `null` if none was.
    pub p50_ms: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_ms: Option<f64>,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        recorder: &Recorder,
        client: &Client,
        elapsed: Duration,
        complete: bool,
    ) -> Self {
        let planned = plan.duration().as_secs_f64();
        let total = Group::new("", &recorder.total);
        // A run that was ended early offered less than it planned to.
        let offering = if complete { planned } else { planned.min(elapsed.as_secs_f64()) };
        let late_starts = LateStarts::new(&recorder.lag);
        let groups = |tallies: &[(std::rc::Rc<str>, Tally)]| {
            tallies.iter().map(|(name, tally)| Group::new(name, tally)).collect::<Vec<_>>()
        };
        let problems = problems(plan, recorder, &late_starts, complete);
        Self {
            format: FORMAT,
            url: plan.url.to_string(),
            protocol: plan.protocol.as_str().to_owned(),
            planned_s: planned,
            elapsed_s: elapsed.as_secs_f64(),
            complete,
            valid: problems.is_empty(),
            problems,
            offered_per_s: total.offered as f64 / offering,
            goodput_per_s: total.count(Outcome::Served) as f64 / offering,
            unfinished: total.offered - total.outcomes.values().sum::<u64>(),
            attempts: recorder.attempts,
            connections: client.opened(),
            resent: client.resent(),
            statuses: recorder.statuses.clone(),
            causes: recorder.causes.clone(),
            late_starts,
            recovery: recovery::find(&plan.stages, &recorder.ticks),
            stages: stages(plan, recorder),
            targets: if plan.targets.len() > 1 { groups(&recorder.targets) } else { Vec::new() },
            classes: groups(&recorder.classes),
            tenants: groups(&recorder.tenants),
            curve: CURVE.map(|share| (share, quantile(&recorder.total.served, share))).to_vec(),
            series: Series::new(recorder),
            total,
        }
    }

    /// As pretty JSON with a final line break.
    #[must_use]
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers and texts can be written as JSON");
        text + "\n"
    }

    /// Reads what [`Self::json`] wrote.
    ///
    /// # Errors
    /// When it is something else, or a later version's.
    pub fn parse(json: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(json).map_err(|error| format!("is no report: {error}"))?;
        if report.format == FORMAT {
            Ok(report)
        } else {
            Err(format!("is a report of format {}, and only {FORMAT} is known", report.format))
        }
    }

    /// A summary that fits a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// The part that `name` means: a class, a target or a tenant, in this order.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.classes.iter().chain(&self.targets).chain(&self.tenants).find(|group| group.name == name)
    }
}

impl Group {
    fn new(name: &str, tally: &Tally) -> Self {
        let reasons = Reason::ALL.map(Reason::as_str).into_iter().chain(["unspecified"]);
        let shed_by_reason = reasons.zip(tally.reasons).filter(|(_, count)| *count > 0);
        Self {
            name: name.to_owned(),
            offered: tally.offered,
            outcomes: Outcome::ALL.into_iter().zip(tally.outcomes).collect(),
            shed_by_reason: shed_by_reason.map(|(reason, count)| (reason.to_owned(), count)).collect(),
            goodput: share(tally.outcomes[Outcome::Served.index()], tally.offered),
            latency: Latency::new(&tally.served),
            shed_latency: Latency::new(&tally.shed),
            all_latency: Latency::new(&tally.all),
        }
    }

    /// How many had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// Their share of the offered requests.
    #[must_use]
    pub fn share(&self, outcome: Outcome) -> f64 {
        share(self.count(outcome), self.offered)
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |share| quantile(histogram, share);
        Self {
            count: histogram.len(),
            mean_ms: millis(histogram.mean()),
            min_ms: millis(histogram.min() as f64),
            p50_ms: at(0.5),
            p75_ms: at(0.75),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            p99_99_ms: at(0.9999),
            max_ms: millis(histogram.max() as f64),
        }
    }
}

impl LateStarts {
    fn new(lag: &Histogram<u64>) -> Self {
        let bound = u64::try_from(LATE_START.as_micros()).unwrap_or(u64::MAX);
        let punctual = if lag.is_empty() { 0 } else { lag.count_between(0, bound) };
        let count = lag.len() - punctual;
        Self {
            count,
            share: share(count, lag.len()),
            p99_ms: quantile(lag, 0.99),
            max_ms: if lag.is_empty() { 0.0 } else { millis(lag.max() as f64) },
        }
    }
}

impl Series {
    /// Where its last step ends, in seconds from the start; `None` if there is none.
    pub(crate) fn end(&self) -> Option<f64> {
        self.points.last().map(|point| point.at_s + self.step_s)
    }

    fn new(recorder: &Recorder) -> Self {
        let step_s = f64::from(recorder.step) * TICK.as_secs_f64();
        let chunks = recorder.ticks.chunks(recorder.step as usize);
        let points = chunks.enumerate().map(|(index, ticks)| {
            let mut point = Point { at_s: rounded(index as f64 * step_s), ..Point::default() };
            for tick in ticks {
                point.offered += u64::from(tick.offered);
                for (sum, count) in point.outcomes.iter_mut().zip(tick.outcomes) {
                    *sum += u64::from(count);
                }
            }
            let latency = recorder.series.get(index).filter(|latency| !latency.is_empty());
            point.p50_ms = latency.map(|latency| quantile(latency, 0.5));
            point.p99_ms = latency.map(|latency| quantile(latency, 0.99));
            point
        });
        let mut points: Vec<Point> = points.collect();
        // Ticks after the last request was due only have answers.
        points.truncate(points.iter().rposition(|point| point.offered > 0).map_or(0, |last| last + 1));
        Self { step_s, points }
    }
}

/// Why the figures do not mean what they say.
fn problems(plan: &Plan, recorder: &Recorder, late: &LateStarts, complete: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if !complete {
        problems.push("the run was ended early: the report covers what was over by then".to_owned());
    }
    if late.share > MAX_LATE_STARTS {
        problems.push(format!(
            "{:.1} % of the requests left more than {} ms late (at most {} % may): this machine cannot send at this rate",
            late.share * 100.0,
            LATE_START.as_millis(),
            MAX_LATE_STARTS * 100.0
        ));
    }
    if recorder.no_room > 0 {
        problems.push(format!(
            "{} requests were not sent because {} were under way: raise max-in-flight, or lower the timeout",
            recorder.no_room, plan.max_in_flight
        ));
    }
    if let Some(cause) = recorder.causes.get(&Outcome::NotSent) {
        let count = recorder.total.outcomes[Outcome::NotSent.index()] - recorder.no_room;
        problems
            .push(format!("{count} requests were not sent for want of a connection on this side: {cause}"));
    }
    problems
}

fn stages(plan: &Plan, recorder: &Recorder) -> Vec<StageReport> {
    let mut begin = Duration::ZERO;
    let stages = plan.stages.iter().zip(&recorder.stages).map(|(stage, tally)| {
        let report = StageReport {
            begin_s: begin.as_secs_f64(),
            duration_s: stage.duration.as_secs_f64(),
            from_per_s: stage.from.get(),
            to_per_s: stage.to.get(),
            group: Group::new("", tally),
        };
        begin += stage.duration;
        report
    });
    stages.collect()
}

fn quantile<C: Counter>(histogram: &Histogram<C>, share: f64) -> f64 {
    if histogram.is_empty() { 0.0 } else { millis(histogram.value_at_quantile(share) as f64) }
}

/// Microseconds as milliseconds.
fn millis(micros: f64) -> f64 {
    rounded(micros / 1_000.0)
}

/// To three decimals: what lies beyond is noise, and makes the JSON hard to read.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
pub(crate) mod tests;
